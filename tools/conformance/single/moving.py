"""Operators that move elements: shapes, slices, gathers, scatters, and those that make tensors of nothing."""

import numpy as np
from onnx import numpy_helper

from draw import INTS, Fixed, Node, Unfit, element, op


def any_type(d, name="T"):
    return d.dtype(name)


def by_version(d, op_since, x, axes, exact=True, outputs=1, **attributes):
    """Axes are an attribute in old versions and an operand since."""
    if d.version < op_since:
        return Node([x], outputs, exact=exact, axes=axes, **attributes)
    return Node([x, None if axes is None else d.fixed(axes)], outputs, exact=exact, **attributes)


@op("Reshape")
def reshape(d):
    x = d.array(d.shape(), any_type(d))
    allow = d.some(0, 1) if d.version >= 14 else None
    left, dims = x.size, []
    if left == 0:
        dims = [0 if n == 0 else n for n in x.shape]
        if d.maybe() and allow:
            d.rng.shuffle(dims)
    else:
        while left > 1 and len(dims) < 4:
            dims.append(d.choice([k for k in range(1, left + 1) if left % k == 0]))
            left //= dims[-1]
        if left > 1 or d.maybe(0.3):
            dims.append(left)
        if dims and d.maybe(0.4):
            dims[d.rng.randrange(len(dims))] = -1
        elif not allow:
            dims = [0 if i < x.ndim and n == x.shape[i] and d.maybe(0.3) else n for i, n in enumerate(dims)]
    return Node([x, d.fixed(np.array(dims, np.int64))], exact=True, allowzero=allow)


@op("Transpose")
def transpose(d):
    x = d.array(d.shape(), any_type(d))
    perm = d.rng.sample(range(x.ndim), x.ndim) if d.maybe(0.8) and x.ndim else None
    return Node([x], exact=True, perm=perm)


@op("Flatten")
def flatten(d):
    x = d.array(d.shape(least=1), any_type(d))
    axis = d.some(*range(-x.ndim if d.version >= 11 else 0, x.ndim + 1))
    return Node([x], exact=True, axis=axis)


@op("Unsqueeze")
def unsqueeze(d):
    x = d.array(d.shape(most=3), any_type(d))
    count = d.int(1, 3)
    axes = d.rng.sample(range(x.ndim + count), count)
    if d.version >= 11:
        axes = [a - x.ndim - count if d.maybe(0.4) else a for a in axes]
    return by_version(d, 13, x, axes)


@op("Squeeze")
def squeeze(d):
    shape = [1 if d.maybe() else n for n in d.shape()]
    x = d.array(shape, any_type(d))
    ones = [i for i, n in enumerate(shape) if n == 1]
    if d.maybe(0.25) or not ones:
        return Node([x], exact=True)
    axes = d.rng.sample(ones, d.int(1, len(ones)))
    if d.version >= 11:
        axes = [a - x.ndim if d.maybe() else a for a in axes]
    return by_version(d, 13, x, axes)


@op("Concat")
def concat(d):
    dtype, shape = any_type(d), d.shape(least=1)
    axis = d.axis(len(shape))
    parts = []
    for _ in range(d.int(1, 5)):
        dims = list(shape)
        dims[axis] = d.choice([0, 1, 2, 3, 5])
        parts.append(d.array(dims, dtype))
    return Node(parts, exact=True, axis=axis)


@op("Split")
def split(d):
    x = d.array(d.shape(least=1), any_type(d))
    axis = d.axis(x.ndim)
    n = x.shape[axis]
    named = d.some(axis) if axis == 0 else axis
    parts = d.int(1, 4)
    if d.maybe(0.4):
        if d.version >= 18:
            if n and -(-n // parts) * (parts - 1) > n:
                raise Unfit
            return Node([x], parts, exact=True, axis=named, num_outputs=parts)
        if n % parts:
            raise Unfit
        return Node([x], parts, exact=True, axis=named)
    cuts = sorted(d.int(0, n) for _ in range(parts - 1))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, n])]
    if d.version < 13:
        return Node([x], parts, exact=True, axis=named, split=sizes)
    return Node([x, d.fixed(sizes)], parts, exact=True, axis=named)


@op("Slice")
def slice_(d):
    x = d.array(d.shape(least=1), any_type(d))
    without = d.maybe(0.2)
    axes = list(range(d.int(1, x.ndim))) if without else d.axes(x.ndim, since=10)
    if d.version < 10:
        axes = [a % x.ndim for a in axes]
    starts, ends, steps = [], [], []
    for a in axes:
        n = x.shape[a]
        steps.append(d.choice([1, 1, 1, 2, 3, -1, -2, 9]) if d.version >= 10 else 1)
        far = [2**31 - 1, -(2**31), n, -n, -n - 1]
        starts.append(d.choice([0, 1, n - 1, d.int(-n - 2, n + 2), d.choice(far)]))
        ends.append(d.choice([n, d.int(-n - 2, n + 2), d.choice(far)]))
    if d.version < 10:
        return Node([x], exact=True, starts=starts, ends=ends, axes=None if without else axes)
    dtype = d.choice(d.types("Tind"))
    probability = d.choice([0.0, 1.0, 1.0, 1.0])
    number = lambda v: d.fixed(v, dtype, probability)
    if dtype == np.int32 and any(s < 0 for s in steps):
        # ONNX Runtime takes 2^31 - 1 for the start's side of a backward slice.
        ends = [min(e, 2**30) for e in ends]
    steps = number(steps) if any(s != 1 for s in steps) or d.maybe(0.3) else None
    return Node([x, number(starts), number(ends), None if without else number(axes), steps], exact=True)


@op("Expand")
def expand(d):
    x = d.array(d.shape(), any_type(d))
    dims = [d.extent() if n == 1 and d.maybe() else n for n in x.shape]
    dims = [1 if d.maybe(0.2) else n for n in dims]
    dims = [d.choice([1, 2, 3])] * d.int(0, 1) + dims if d.maybe(0.7) else dims[d.int(0, len(dims)):]
    return Node([x, d.fixed(dims)], exact=True)


@op("Tile")
def tile(d):
    x = d.array(d.shape(), any_type(d))
    return Node([x, d.fixed([d.choice([0, 1, 1, 2, 3]) for _ in x.shape])], exact=True)


@op("Pad")
def pad(d):
    x = d.array(d.shape(least=1, empty=0.02), any_type(d))
    mode = d.choice(["constant", "constant", "reflect", "edge"] + (["wrap"] if d.version >= 19 else []))
    axes = d.rng.sample(range(x.ndim), d.int(1, x.ndim)) if d.version >= 18 and d.maybe(0.4) else None
    on = axes if axes is not None else range(x.ndim)
    least = -1 if d.maybe(0.3) else 0
    most = lambda n: max(min(2, n - 1), 0) if mode == "reflect" else 2 if n or mode == "constant" else 0
    pads = [d.int(max(least, -(n // 3)), most(n)) for n in [x.shape[a] for a in on] * 2]
    named = mode if mode != "constant" or d.maybe() else None
    if d.version < 11:
        return Node([x], exact=True, mode=named, pads=pads, value=d.some(0.5, -1.0))
    value = d.array([], x.dtype) if d.maybe() else None
    if value is not None and d.maybe(0.8):
        value = Fixed(value)
    axes = None if axes is None else d.fixed([a - x.ndim if d.maybe() else a for a in axes], d.choice([np.int64, np.int32]), 1)
    return Node([x, d.fixed(pads), value, axes], exact=True, mode=named)


@op("DepthToSpace")
def depth_to_space(d):
    b = d.choice([1, 2, 3])
    x = d.array([d.int(1, 2), b * b * d.int(1, 3), d.int(1, 4), d.int(1, 4)], any_type(d))
    return Node([x], exact=True, blocksize=b, mode=d.some("DCR", "CRD") if d.version >= 11 else None)


@op("SpaceToDepth")
def space_to_depth(d):
    b = d.choice([1, 2, 3])
    x = d.array([d.int(1, 2), d.int(1, 3), b * d.int(1, 3), b * d.int(1, 3)], any_type(d))
    return Node([x], exact=True, blocksize=b)


def indices(d, shape, n, negative=True, dtypes=(np.int64, np.int32)):
    if n == 0 and 0 not in shape:
        raise Unfit
    low = -n if negative and d.version >= 11 else 0
    array = np.array(np.random.randint(low, max(n, low + 1), shape)).astype(d.choice(dtypes))
    return Fixed(array) if d.maybe(0.4) else array


@op("Gather")
def gather(d):
    x = d.array(d.shape(least=1), any_type(d))
    axis = d.axis(x.ndim)
    named = d.some(axis) if axis == 0 else axis
    return Node([x, indices(d, d.shape(most=3), x.shape[axis])], exact=True, axis=named)


@op("GatherElements")
def gather_elements(d):
    x = d.array(d.shape(least=1), any_type(d))
    axis = d.axis(x.ndim)
    dims = [d.int(min(n, 1), n) for n in x.shape]
    dims[axis] = d.choice([0, 1, 2, 3, 6])
    return Node([x, indices(d, dims, x.shape[axis])], exact=True, axis=axis)


def tuples(d, shape, batch, extra):
    k = d.int(1, len(shape) - batch)
    dims = [*shape[:batch], *d.shape(extra), k]
    ranges = shape[batch:batch + k]
    if 0 in ranges and 0 not in dims:
        raise Unfit
    array = np.stack([np.random.randint(-n if d.version >= 11 else 0, max(n, 1), dims[:-1]) for n in ranges], -1)
    return array.astype(np.int64).reshape(dims), k


@op("GatherND")
def gather_nd(d):
    x = d.array(d.shape(least=1), any_type(d))
    batch = d.int(0, x.ndim - 1) if d.version >= 12 else 0
    array, _ = tuples(d, x.shape, batch, d.int(0, 2))
    return Node([x, Fixed(array) if d.maybe() else array], exact=True, batch_dims=batch if batch or d.maybe(0.3) and d.version >= 12 else None)


def reductions(d):
    if d.version < 16:
        return None
    return d.some("none", "add", "mul", *(["max", "min"] if d.version >= 18 else []))


@op("ScatterND")
def scatter_nd(d):
    x = d.array(d.shape(least=1), any_type(d))
    array, k = tuples(d, x.shape, 0, d.int(0, 2))
    reduction = reductions(d)
    if reduction in (None, "none"):
        # With duplicates the result depends on the order.
        flat = np.unique(array.reshape(-1, k) % np.maximum(np.array(x.shape[:k]), 1), axis=0)
        array = flat.reshape(len(flat), k)
    updates = d.array([*array.shape[:-1], *x.shape[k:]], x.dtype)
    return Node([x, Fixed(array) if d.maybe() else array, updates], exact=x.dtype.kind in "iu", reduction=reduction)


@op("ScatterElements", "Scatter")
def scatter_elements(d):
    x = d.array(d.shape(least=1), any_type(d))
    axis = d.axis(x.ndim)
    dims = [d.int(min(n, 1), n) for n in x.shape]
    reduction = reductions(d)
    if 0 in x.shape:
        array = np.zeros(dims, np.int64)
    elif reduction in (None, "none"):
        order = np.argsort(np.random.rand(*[x.shape[axis] if i == axis % x.ndim else n for i, n in enumerate(dims)]), axis)
        array = np.take(order, range(dims[axis]), axis)
        if d.version >= 11 and d.maybe():
            array = array - x.shape[axis]
    else:
        array = np.random.randint(-x.shape[axis], x.shape[axis], dims)
    array = array.astype(d.choice([np.int64, np.int32]))
    node = Node([x, Fixed(array) if d.maybe() else array, d.array(dims, x.dtype)], exact=x.dtype.kind in "iu", axis=axis)
    if reduction:
        node.attributes["reduction"] = reduction
    return node


@op("TensorScatter")
def tensor_scatter(d):
    shape = d.shape(d.int(2, 4), empty=0)
    axis = d.choice(range(1, len(shape)))
    dtype = any_type(d)
    mode = d.some("linear", "circular")
    update = list(shape)
    update[axis] = d.int(1, shape[axis])
    most = shape[axis] - (0 if mode == "circular" else update[axis])
    where = np.random.randint(0, most + (mode != "circular"), shape[0]).astype(np.int64) if d.maybe(0.7) and most else None
    axis = axis - len(shape) if d.maybe() else axis
    return Node([d.array(shape, dtype), d.array(update, dtype), where], exact=True, axis=axis, mode=mode)


@op("Shape", "Size")
def shape_of(d):
    x = d.array(d.shape(), any_type(d))
    bounds = {}
    if d.op == "Shape" and d.version >= 15:
        bounds = {"start": d.some(*range(-x.ndim - 2, x.ndim + 2)), "end": d.some(*range(-x.ndim - 2, x.ndim + 2))}
    return Node([x], exact=True, **bounds)


@op("Trilu")
def trilu(d):
    x = d.array(d.shape(least=2), any_type(d))
    k = d.fixed(d.int(-8, 8)) if d.maybe(0.7) else None
    return Node([x, k], exact=True, upper=d.some(0, 1))


@op("OneHot")
def one_hot(d):
    depth = d.int(1, 6)
    index = np.asarray(np.random.randint(-depth - 1, depth + 2, d.shape(most=3)))
    dtype = d.dtype("T1", (np.int32, np.int64, np.float32, np.uint8, np.float64))
    if dtype.kind == "u":
        index = np.abs(index)
    values = d.array([2], d.dtype("T3"))
    depth = d.fixed(d.choice([depth, [depth]]), d.dtype("T2", (np.int32, np.int64, np.float32, np.uint8)))
    return Node([np.asarray(index).astype(dtype), depth, values], exact=True, axis=d.some(*range(-index.ndim - 1, index.ndim + 1)))


@op("EyeLike")
def eye_like(d):
    x = d.array(d.shape(2), d.dtype("T1"))
    to = d.dtype("T2")
    return Node([x], exact=True, k=d.some(-3, -1, 0, 1, 4), dtype=d.some(element(np.zeros(0, to))))


@op("ReverseSequence")
def reverse_sequence(d):
    x = d.array(d.shape(least=2, empty=0), any_type(d))
    batch = d.int(0, 1)
    lens = np.random.randint(1, x.shape[1 - batch] + 1, x.shape[batch]).astype(np.int64)
    named = batch == 0 or d.maybe(0.9)
    return Node([x, lens], exact=True, batch_axis=batch if named else None, time_axis=1 - batch if named else None) if named else None


@op("TopK")
def topk(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(least=1), dtype, 0.2)
    x = np.where(x != x, np.zeros_like(x), x)
    axis = d.axis(x.ndim)
    k = d.int(0 if d.maybe(0.1) else min(1, x.shape[axis]), x.shape[axis])
    named = d.some(axis) if axis == -1 or axis == x.ndim - 1 else axis
    if d.version < 10:
        return Node([x], 2, exact=True, k=max(k, 1), axis=named)
    more = {"largest": d.some(0, 1), "sorted": d.some(1)} if d.version >= 11 else {}
    return Node([x, d.fixed([k])], exact=True, named=d.choice([[True, True], [True, True], [True, False], [False, True]]), axis=named, **more)


@op("ConstantOfShape")
def constant_of_shape(d):
    value = numpy_helper.from_array(d.array([1], d.dtype("T2")), "value") if d.maybe(0.8) else None
    return Node([d.fixed(np.array(d.shape(most=4, empty=0.2), np.int64))], exact=True, value=value)


@op("Constant")
def constant(d):
    from onnx import SparseTensorProto, helper

    if d.version < 12 or d.maybe(0.4):
        return Node([], exact=True, value=numpy_helper.from_array(d.array(d.shape(), d.dtype("T")), "v"))
    kind = d.choice(["value_float", "value_floats", "value_int", "value_ints", "sparse_value"])
    if kind == "sparse_value":
        shape = d.shape(least=1, most=3, empty=0)
        places = np.sort(np.random.choice(int(np.prod(shape)), d.int(1, int(np.prod(shape))), replace=False))
        if d.maybe():
            places = np.array(np.unravel_index(places, shape)).T
        values = helper.make_tensor("v", 1, [len(places)], np.random.randn(len(places)).astype(np.float32))
        where = numpy_helper.from_array(np.ascontiguousarray(places.astype(np.int64)), "i")
        return Node([], exact=True, sparse_value=helper.make_sparse_tensor(values, where, shape))
    value = {"value_float": 1.5, "value_floats": [0.5, -2.0], "value_int": -7, "value_ints": [3, 2**40, -1]}[kind]
    return Node([], exact=True, **{kind: value})


@op("Range")
def range_(d):
    dtype = d.dtype("T")
    start, step = d.choice([0, 1, 3, -2]), d.choice([1, 2, 3, -1, -2])
    if dtype.kind == "u":
        raise Unfit
    limit = start + step * d.int(-1, 6) + d.choice([0, 0, 1])
    if dtype.kind not in "iu" and d.maybe():
        step = step / 2
    return Node([d.fixed(v, dtype, 0.7) for v in (start, limit, step)], exact=True)


@op("Compress")
def compress(d):
    x = d.array(d.shape(least=1), any_type(d))
    axis = d.some(d.axis(x.ndim))
    n = x.size if axis is None else x.shape[axis]
    condition = np.random.rand(d.int(0, n)) < 0.5
    return Node([x, d.fixed(condition, bool, 0.4)], exact=True, axis=axis)


@op("NonZero")
def non_zero(d):
    return Node([d.array(d.shape(), any_type(d))], exact=True)


@op("Unique")
def unique(d):
    x = d.array(d.shape(least=1), any_type(d))
    axis = d.some(d.axis(x.ndim))
    named = d.choice([[True] * 4, [True], [True] * 2, [True, False, True], [True, False, False, True]])
    order = d.some(0, 1)
    return Node([x], exact=True, named=named, reference=order != 0, axis=axis, sorted=order)


@op("CenterCropPad")
def center_crop_pad(d):
    x = d.array(d.shape(least=1), any_type(d))
    axes = d.axes(x.ndim) if d.maybe() else None
    sizes = [d.int(1, 9) for _ in (axes if axes is not None else x.shape)]
    return Node([x, d.fixed(sizes, d.choice([np.int64, np.int32]))], exact=True, axes=axes)


@op("Col2Im")
def col2im(d):
    spatial = d.int(1, 3)
    image = [d.int(3, 6) for _ in range(spatial)]
    kernel = [d.int(1, 3) for _ in range(spatial)]
    strides = [d.int(1, 2) for _ in range(spatial)] if d.maybe(0.7) else None
    dilations = [d.int(1, 2) for _ in range(spatial)] if d.maybe() else None
    pads = [d.int(0, 1) for _ in range(2 * spatial)] if d.maybe() else None
    blocks = 1
    for i in range(spatial):
        span = (dilations[i] if dilations else 1) * (kernel[i] - 1) + 1
        room = image[i] + (pads[i] + pads[spatial + i] if pads else 0) - span
        if room < 0:
            raise Unfit
        blocks *= room // (strides[i] if strides else 1) + 1
    x = d.array([d.int(1, 2), d.int(1, 3) * int(np.prod(kernel)), blocks], any_type(d))
    return Node([x, d.fixed(image), d.fixed(kernel)], dilations=dilations, pads=pads, strides=strides)
