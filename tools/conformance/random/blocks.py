"""What networks are made of: several nodes that a compiler takes for one. Sizes, axes and constants vary, and now and
then one of them is what the pattern does not allow."""

import numpy as np

from grow import collect, operator
from moves import axes_of


def scalar(m, x):
    return m.constant(np.array(x, np.float32).reshape(m.rng.choice([[], [1]])))


def after(m, values, op, *rest, **attributes):
    """The node over the first of `values`; None where there is none or it is refused."""
    return m.node(op, [values[0], *rest], **attributes) if values else None


@operator(times=2)
def gelu_spelt_out(m):
    x = m.pick()
    if not x or m.opset < 9:
        return
    y = after(m, m.node("Div", [x, scalar(m, m.rng.choice([2**0.5, 1.5]))]), "Erf")
    y = after(m, y, "Add", scalar(m, 1.0))
    if y:
        if m.maybe():
            after(m, m.node("Mul", [x, y[0]]), "Mul", scalar(m, 0.5))
        else:
            half = m.node("Mul", [x, scalar(m, 0.5)])
            m.node("Mul", [half[0], y[0]])


@operator(times=2)
def swish(m):
    x = m.pick()
    if x:
        y = m.node(m.rng.choice(["Sigmoid", "Sigmoid", "HardSigmoid", "Tanh"]), [x])
        m.node("Mul", [x, y[0]] if m.maybe() else [y[0], x])


@operator(times=3)
def layer_norm_spelt_out(m):
    x = m.pick(least=2)
    if not x or x.shape[-1] < 2:
        return
    axis = m.rng.choice([-1, -1, -1, 0])
    mean = axes_of(m, "ReduceMean", x, [axis], 18)
    centred = m.node("Sub", [x, mean[0]]) if mean else None
    square = after(m, centred, "Pow", scalar(m, 2.0)) if m.maybe() else centred and m.node("Mul", [centred[0], centred[0]])
    variance = square and axes_of(m, "ReduceMean", square[0], [axis], 18)
    root = after(m, after(m, variance, "Add", scalar(m, 0.01)), "Sqrt")
    if not root:
        return
    y = m.node("Div", [centred[0], root[0]])
    n = [x.shape[axis]] if axis == -1 else [x.shape[0]] + [1] * (x.rank - 1)
    y = after(m, y, "Mul", m.constant(m.random(n))) if m.maybe(0.8) else y
    after(m, y, "Add", m.constant(m.random(n))) if m.maybe(0.8) else None


@operator(times=2)
def attention_spelt_out(m):
    batch, heads, width = m.extent(2), m.rng.choice([1, 2, 3]), m.rng.choice([2, 4, 8])
    queries, keys = m.extent(), m.extent()
    q, k, v = (m.input(m.random([batch, n, heads * width])) for n in (queries, keys, keys))
    perm = [0, 2, 1, 3]
    parts = []
    for x, n, p in ((q, queries, perm), (k, keys, m.rng.choice([perm, [0, 2, 3, 1]])), (v, keys, perm)):
        y = after(m, m.node("Reshape", [x, m.ints([batch, n, heads, width])]), "Transpose", perm=p)
        parts.append(y[0] if y else None)
    if not all(parts):
        return
    if parts[1].shape[-1] != keys or parts[1].shape[-2] != width:
        turned = m.node("Transpose", [parts[1]], perm=[0, 1, 3, 2])
        parts[1] = turned[0] if turned else parts[1]
    scores = m.node("MatMul", parts[:2])
    scores = after(m, scores, m.rng.choice(["Div", "Mul"]), scalar(m, width**0.5))
    if m.maybe():
        scores = after(m, scores, "Add", m.fresh([queries, keys]))
    weights = after(m, scores, "Softmax", axis=m.rng.choice([-1, 3]))
    y = weights and m.node("MatMul", [weights[0], parts[2]])
    y = after(m, y, "Transpose", perm=perm)
    after(m, y, "Reshape", m.ints([batch, queries, heads * width]))


@operator(times=3)
def conv_block(m):
    from layers import conv
    from reductions import batch_norm

    before = len(m.nodes)
    conv(m)
    if len(m.nodes) == before:
        return
    x = m.values[-1]
    c = x.shape[1]
    if m.maybe(0.6):
        numbers = [m.constant(m.random([c])) for _ in range(3)] + [m.constant(np.random.rand(c).astype(np.float32) + 0.1)]
        y = m.node("BatchNormalization", [x, *numbers])
        x = y[0] if y else x
    if m.maybe(0.4):
        y = m.node("Add", [x, m.fresh(x.shape)])
        x = y[0] if y else x
    if m.maybe(0.8):
        y = m.node(m.rng.choice(["Relu", "LeakyRelu", "Sigmoid", "Elu", "Tanh", "Softplus"]), [x])
        x = y[0] if y else x
    if m.maybe(0.3):
        m.node(m.rng.choice(["GlobalAveragePool", "GlobalMaxPool"]), [x])


@operator(times=3)
def dense_block(m):
    x = m.pick(least=2)
    if not x:
        return
    n = m.rng.choice([1, 4, 9, 32])
    y = m.node("MatMul", [x, m.constant(m.random([x.shape[-1], n]))])
    y = after(m, y, "Add", m.constant(m.random(m.rng.choice([[n], [1, n], [1], []]))))
    if m.maybe(0.3):
        y = after(m, y, m.rng.choice(["Mul", "Sub"]), m.constant(m.random([n])))
    y = after(m, y, m.rng.choice(["Relu", "Tanh", "Sigmoid", "Selu", "Softsign"]))
    if m.maybe(0.4):
        after(m, y, "Softmax", axis=-1 if m.opset >= 11 else y[0].rank - 1 if y else None)


@operator(11, times=3)
def edges(m):
    """Neighbours gathered, compared and pooled, as graph networks do it."""
    points, width, neighbours = m.rng.randint(2, 7), m.extent(), m.rng.randint(1, 4)
    x = m.input(m.random([points, width]))
    index = m.input(np.random.randint(0, points, [points, neighbours]).astype(np.int64))
    near = m.node("Gather", [x, index])
    own = axes_of(m, "Unsqueeze", x, [1], 13)
    if not near or not own:
        return
    own = after(m, own, "Expand", m.ints([points, neighbours, width])) if m.maybe() else own
    difference = m.node(m.rng.choice(["Sub", "Add", "Mul"]), [near[0], own[0]])
    both = m.node("Concat", [difference[0], near[0]], axis=-1) if difference and m.maybe() else difference
    y = both and m.node("MatMul", [both[0], m.constant(m.random([both[0].shape[-1], m.extent()]))])
    y = after(m, y, "Relu") if m.maybe(0.7) else y
    y and axes_of(m, m.rng.choice(["ReduceMax", "ReduceMean"]), y[0], [m.rng.choice([1, -2])], 18)


@operator(times=2)
def transposed_pair(m):
    """Transposes around something that may let them through."""
    x = m.pick(least=2)
    if not x:
        return
    perm = m.rng.sample(range(x.rank), x.rank)
    y = m.node("Transpose", [x], perm=perm)
    if not y:
        return
    kind = m.rng.choice(["unary", "binary", "reduce", "softmax", "concat", "slice"])
    if kind == "unary":
        y = after(m, y, "Relu")
    elif kind == "binary":
        y = after(m, y, "Add", m.fresh([y[0].shape[-1]]))
    elif kind == "reduce":
        y = axes_of(m, "ReduceMax", y[0], [m.rng.randrange(x.rank)], 18, keepdims=1)
    elif kind == "softmax":
        y = after(m, y, "Softmax", axis=m.rng.randrange(x.rank))
    elif kind == "concat":
        y = m.node("Concat", [y[0], y[0]], axis=m.rng.randrange(x.rank))
    elif m.opset >= 10:
        y = after(m, y, "Slice", m.ints([0]), m.ints([1]), m.ints([m.rng.randrange(x.rank)]))
    after(m, y, "Transpose", perm=[int(a) for a in np.argsort(perm)] if m.maybe(0.7) else None)


OPERATORS = collect(globals())
