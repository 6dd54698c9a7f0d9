"""Operators that move elements: shapes, slices, gathers, scatters."""

import numpy as np

from grow import collect, operator

TYPES = (np.float32, np.float32, np.float32, np.int64, np.int32, bool, np.float64)


def axes_of(m, op, x, axes, since, **attributes):
    """Axes are an attribute in old opsets and an operand since."""
    if m.opset < since:
        return m.node(op, [x], axes=axes, **attributes)
    return m.node(op, [x, m.ints(axes)], **attributes)


@operator(times=3)
def reshape(m):
    x = m.pick(dtypes=TYPES)
    if not x:
        return
    left, dims = x.array.size, []
    while left > 1 and len(dims) < 4:
        divisors = [d for d in range(1, left + 1) if left % d == 0]
        dims.append(m.rng.choice(divisors))
        left //= dims[-1]
    dims.append(left)
    if m.maybe(0.4):
        dims[m.rng.randrange(len(dims))] = -1
    dims = [0 if i < x.rank and d == x.shape[i] and m.maybe(0.3) else d for i, d in enumerate(dims)]
    m.node("Reshape", [x, m.ints(dims)])


@operator(times=3)
def transpose(m):
    x = m.pick(dtypes=TYPES)
    if x:
        perm = m.rng.sample(range(x.rank), x.rank) if m.maybe(0.85) else None
        m.node("Transpose", [x], perm=perm)


@operator()
def flatten(m):
    x = m.pick(dtypes=TYPES[:3])
    if x:
        axis = m.rng.randint(0 if m.opset < 11 else -x.rank, x.rank)
        m.node("Flatten", [x], axis=axis if m.maybe(0.8) and x.rank else None)


@operator(times=2)
def unsqueeze(m):
    x = m.pick(dtypes=TYPES)
    if x and x.rank < 4:
        count = m.rng.randint(1, 2)
        axes = m.rng.sample(range(x.rank + count), count)
        if m.opset >= 11:
            axes = [a - x.rank - count if m.maybe(0.4) else a for a in axes]
        axes_of(m, "Unsqueeze", x, axes, 13)


@operator(times=2)
def squeeze(m):
    x = m.pick(dtypes=TYPES, where=lambda v: 1 in v.shape)
    if not x:
        return
    ones = [i for i, d in enumerate(x.shape) if d == 1]
    if m.maybe(0.2):
        m.node("Squeeze", [x])
    else:
        axes_of(m, "Squeeze", x, sorted(m.rng.sample(ones, m.rng.randint(1, len(ones)))), 13)


@operator(times=3)
def concat(m):
    x = m.pick(dtypes=TYPES, least=1)
    if not x:
        return
    axis = m.axis(x.rank) if m.opset >= 11 else m.rng.randrange(x.rank)

    def other():
        fits = [v for v in m.values if v.dtype == x.dtype and v.rank == x.rank
                and all(a == b for i, (a, b) in enumerate(zip(v.shape, x.shape)) if i != axis % x.rank)]
        if m.maybe(0.6):
            return m.rng.choice(fits)
        dims = list(x.shape)
        dims[axis] = m.extent()
        return m.fresh(dims, x.dtype)

    parts = [x] + [other() for _ in range(m.rng.randint(0, 3))]
    m.rng.shuffle(parts)
    m.node("Concat", parts, axis=axis)


@operator(times=2)
def split(m):
    x = m.pick(dtypes=TYPES, least=1, where=lambda v: v.array.size > 1)
    if not x:
        return
    axis = m.rng.choice([a for a in range(x.rank)])
    n = x.shape[axis]
    if n < 2:
        return
    parts = m.rng.randint(2, min(n, 4))
    cuts = sorted(m.rng.sample(range(1, n), parts - 1))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, n])]
    if m.maybe(0.3):
        if m.opset >= 18:
            m.node("Split", [x], parts, axis=axis, num_outputs=parts)
        elif n % parts == 0:
            m.node("Split", [x], parts, axis=axis)
    elif m.opset < 13:
        m.node("Split", [x], parts, axis=axis, split=sizes)
    else:
        m.node("Split", [x, m.ints(sizes)], parts, axis=axis)


@operator(times=4)
def slice_(m):
    x = m.pick(dtypes=TYPES, least=1)
    if not x:
        return
    axes = m.axes(x.rank)
    if m.opset < 10:
        axes = [a % x.rank for a in axes]
    starts, ends, steps = [], [], []
    for a in axes:
        n = x.shape[a]
        step = m.rng.choice([1, 1, 1, 2, 3, -1, -2]) if m.opset >= 10 else 1
        low, high = m.rng.randint(0, n - 1), m.rng.choice([n, n, 2**31 - 1, m.rng.randint(1, n)])
        if step < 0:
            low, high = m.rng.choice([n - 1, 2**31 - 1, m.rng.randint(0, n - 1)]), m.rng.choice([-n - 1, -(2**31), 0])
        elif m.maybe(0.3):
            low -= n
        starts, ends, steps = starts + [low], ends + [high], steps + [step]
    if m.opset < 10:
        m.node("Slice", [x], starts=starts, ends=ends, axes=axes)
    else:
        dtype = m.rng.choice([np.int64, np.int32])
        c = lambda numbers: m.constant(np.array(numbers, dtype))
        with_steps = any(s != 1 for s in steps) or m.maybe(0.3)
        m.node("Slice", [x, c(starts), c(ends), c(axes), *([c(steps)] if with_steps else [])])


@operator(8)
def expand(m):
    x = m.pick(dtypes=TYPES)
    if x:
        dims = [m.extent() if d == 1 and m.maybe() else d for d in x.shape]
        dims = [1 if m.maybe(0.2) else d for d in dims]
        dims = [m.extent(3)] * m.rng.randint(0, 1) + dims if m.maybe(0.7) else dims[m.rng.randint(0, len(dims)):]
        m.node("Expand", [x, m.ints(dims)])


@operator()
def tile(m):
    x = m.pick(dtypes=TYPES, least=1)
    if x:
        m.node("Tile", [x, m.ints([m.rng.randint(1, 3) for _ in x.shape])])


@operator(times=2)
def pad(m):
    x = m.pick(dtypes=TYPES[:3] + ((np.int64,) if m.opset >= 13 else ()), least=1)
    if not x:
        return
    mode = m.rng.choice(["constant", "constant", "reflect", "edge"] + (["wrap"] if m.opset >= 19 else []))
    least = -1 if mode == "constant" else 0
    most = lambda d: min(2, d - 1) if mode == "reflect" else 2
    pads = [m.rng.randint(max(least, -(d // 3)), max(most(d), 0)) for d in [*x.shape, *x.shape]]
    if m.opset < 11:
        m.node("Pad", [x], mode=mode, pads=pads, value=0.5 if m.maybe() else None)
        return
    value = m.constant(np.array(3, x.dtype)) if m.maybe() else None
    if m.opset >= 18 and m.maybe(0.4):
        axes = m.rng.sample(range(x.rank), m.rng.randint(1, x.rank))
        pads = [pads[a] for a in axes] + [pads[x.rank + a] for a in axes]
        m.node("Pad", [x, m.ints(pads), value, m.ints([a - x.rank if m.maybe() else a for a in axes])], mode=mode)
    else:
        m.node("Pad", [x, m.ints(pads), value], mode=mode)


@operator()
def depth_to_space(m):
    b = m.rng.choice([2, 3])
    x = m.input(m.random([m.extent(2), b * b * m.extent(3), m.extent(4), m.extent(4)]))
    m.node("DepthToSpace", [x], blocksize=b, mode=m.rng.choice(["DCR", "CRD"]) if m.opset >= 11 else None)


@operator()
def space_to_depth(m):
    b = m.rng.choice([2, 3])
    x = m.input(m.random([m.extent(2), m.extent(3), b * m.extent(3), b * m.extent(3)]))
    m.node("SpaceToDepth", [x], blocksize=b)


def indices(m, shape, n, negative=True):
    low = -n if negative and m.opset >= 11 else 0
    array = np.array(np.random.randint(low, n, shape)).astype(m.rng.choice([np.int64, np.int32]))
    return m.constant(array) if m.maybe(0.6) else m.input(array)


@operator(times=3)
def gather(m):
    x = m.pick(dtypes=TYPES, least=1)
    if x:
        axis = m.axis(x.rank) if m.opset >= 11 else m.rng.randrange(x.rank)
        m.node("Gather", [x, indices(m, m.shape(most=2), x.shape[axis])], axis=axis if m.maybe(0.8) or axis else None)


@operator(11)
def gather_elements(m):
    x = m.pick(dtypes=TYPES, least=1)
    if x:
        axis = m.axis(x.rank)
        dims = [m.rng.randint(1, d) for d in x.shape]
        dims[axis] = m.extent()
        m.node("GatherElements", [x, indices(m, dims, x.shape[axis])], axis=axis)


def tuples(m, x, batch, extra):
    """Index tuples into the axes of `x` behind `batch`."""
    k = m.rng.randint(1, x.rank - batch)
    dims = [*x.shape[:batch], *m.shape(extra), k]
    ranges = x.shape[batch:batch + k]
    array = np.stack([np.random.randint(-n if m.opset >= 11 else 0, n, dims[:-1]) for n in ranges], -1)
    return array.astype(np.int64).reshape(dims), k


@operator(11)
def gather_nd(m):
    x = m.pick(dtypes=TYPES[:4], least=2)
    if x:
        batch = m.rng.randint(0, x.rank - 1) if m.opset >= 12 else 0
        array, _ = tuples(m, x, batch, m.rng.randint(0, 2))
        m.node("GatherND", [x, m.constant(array)], batch_dims=batch if batch else None)


@operator(11)
def scatter_nd(m):
    x = m.pick(dtypes=(np.float32, np.int64), least=1)
    if not x:
        return
    array, k = tuples(m, x, 0, 1)
    reduction = m.rng.choice(["none", "add", "mul"] + (["max", "min"] if m.opset >= 18 else [])) if m.opset >= 16 else None
    if reduction in (None, "none"):
        # With duplicates the result depends on the order.
        flat = np.unique(array.reshape(-1, k) % np.array(x.shape[:k]), axis=0)
        array = flat.reshape(len(flat), k)
    updates = m.fresh([*array.shape[:-1], *x.shape[k:]], x.dtype)
    m.node("ScatterND", [x, m.constant(array), updates], reduction=reduction)


@operator(11)
def scatter_elements(m):
    x = m.pick(dtypes=(np.float32, np.int64), least=1)
    if not x:
        return
    axis = m.axis(x.rank)
    dims = [m.rng.randint(1, d) for d in x.shape]
    reduction = m.rng.choice(["none", "add", "mul"] + (["max", "min"] if m.opset >= 18 else [])) if m.opset >= 16 else None
    array = np.random.randint(-x.shape[axis], x.shape[axis], dims)
    if reduction in (None, "none"):
        order = np.argsort(np.random.rand(*[x.shape[axis] if i == axis % x.rank else d for i, d in enumerate(dims)]), axis)
        array = np.take(order, range(dims[axis]), axis)
    m.node("ScatterElements", [x, m.constant(array.astype(np.int64)), m.fresh(dims, x.dtype)], axis=axis, reduction=reduction)


@operator()
def shape_of(m):
    x = m.pick(dtypes=TYPES)
    if x:
        bounds = {}
        if m.opset >= 15 and m.maybe():
            bounds = {"start": m.rng.randint(-x.rank - 1, x.rank), "end": m.rng.randint(-x.rank, x.rank + 1)}
        m.node(m.rng.choice(["Shape", "Shape", "Size"]) if not bounds else "Shape", [x], **bounds)


@operator(14)
def trilu(m):
    x = m.pick(dtypes=TYPES[:5], least=2)
    if x:
        k = m.ints(m.rng.randint(-3, 3)) if m.maybe(0.7) else None
        m.node("Trilu", [x, k], upper=m.rng.randint(0, 1) if m.maybe(0.7) else None)


@operator(11)
def one_hot(m):
    depth = m.rng.randint(2, 6)
    index = indices(m, m.shape(most=3), depth)
    values = m.constant(m.random([2], m.rng.choice([np.float32, np.int64])))
    m.node("OneHot", [index, m.ints(m.rng.choice([depth, [depth]])), values], axis=m.axis(index.rank + 1))


@operator(9)
def eye_like(m):
    x = m.pick(rank=2, dtypes=(np.float32, np.int64))
    if x:
        m.node("EyeLike", [x], k=m.rng.randint(-3, 3), dtype=m.rng.choice([None, 1, 7]))


@operator(11)
def cumsum(m):
    x = m.pick(dtypes=(np.float32, np.float64, np.int64, np.int32), least=1)
    if x:
        axis = m.constant(np.array(m.axis(x.rank), m.rng.choice([np.int64, np.int32])))
        m.node("CumSum", [x, axis], exclusive=m.rng.randint(0, 1), reverse=m.rng.randint(0, 1))


@operator(10)
def reverse_sequence(m):
    x = m.pick(dtypes=(np.float32, np.int64), least=2)
    if x:
        batch = m.rng.randint(0, 1)
        lens = np.random.randint(1, x.shape[1 - batch] + 1, x.shape[batch]).astype(np.int64)
        m.node("ReverseSequence", [x, m.constant(lens)], batch_axis=batch, time_axis=1 - batch)


@operator(11, times=2)
def topk(m):
    x = m.pick(dtypes=(np.float32, np.int64), least=1)
    if x:
        axis = m.axis(x.rank)
        k = m.rng.randint(1, x.shape[axis])
        m.node("TopK", [x, m.ints([k])], 2, axis=axis, largest=m.rng.randint(0, 1), sorted=1)


@operator(7, 10)
def topk_old(m):
    x = m.pick(least=1)
    if x:
        axis = m.rng.randrange(x.rank)
        k = m.rng.randint(1, x.shape[axis])
        if m.opset < 10:
            m.node("TopK", [x], 2, axis=axis, k=k)
        else:
            m.node("TopK", [x, m.ints([k])], 2, axis=axis)


@operator(9)
def constant_of_shape(m):
    from onnx import numpy_helper

    value = numpy_helper.from_array(m.random([1], m.rng.choice([np.float32, np.int64, np.int32])), "value")
    shape = m.node("ConstantOfShape", [m.ints(m.shape(most=3))], value=value if m.maybe(0.8) else None)
    if shape:
        m.node("Identity", [shape[0]])


OPERATORS = collect(globals())
