"""Operators of each element alone, with broadcasting."""

import numpy as np
from onnx import TensorProto

from grow import collect, operator

FLOATS = (np.float32, np.float32, np.float32, np.float64)
INTS = (np.int64, np.int32)
ANY = FLOATS + INTS + (bool, np.uint8, np.int8)


def unary(names, since=7, dtypes=FLOATS, **attributes):
    @operator(since)
    def op(m):
        name = m.rng.choice(names)
        x = m.pick(dtypes=dtypes)
        given = {k: draw(m) for k, draw in attributes.items() if m.maybe(0.7)}
        if x:
            m.node(name, [x], **given)

    op.__name__ = names[0]
    return op


def uniform(low, high):
    return lambda m: m.rng.uniform(low, high)


smooth = unary(["Sigmoid", "Tanh", "Softplus", "Softsign", "Relu", "Exp", "Neg", "Abs"])
smooth.times = 3
edges = unary(["Floor", "Ceil", "Identity", "Reciprocal", "Sqrt", "Log"], dtypes=(np.float32, np.float64))
since_9 = unary(["Erf", "Sign", "Sinh", "Cosh", "Asinh"], 9, dtypes=(np.float32,))
trigonometry = unary(["Sin", "Cos", "Tan", "Atan"], dtypes=(np.float32, np.float64))
rounding = unary(["Round"], 11)
hard_swish = unary(["HardSwish"], 14, (np.float32,))
mish = unary(["Mish"], 18, (np.float32,))
leaky = unary(["LeakyRelu"], dtypes=(np.float32,), alpha=uniform(-0.5, 1.5))
elu = unary(["Elu"], dtypes=(np.float32,), alpha=uniform(0.1, 2))
selu = unary(["Selu"], dtypes=(np.float32,), alpha=uniform(0.1, 2), gamma=uniform(0.1, 2))
celu = unary(["Celu"], 12, (np.float32,), alpha=uniform(0.2, 2))
thresholded = unary(["ThresholdedRelu"], 10, (np.float32,), alpha=uniform(-1, 1))
hard_sigmoid = unary(["HardSigmoid"], dtypes=(np.float32,), alpha=uniform(0.05, 1), beta=uniform(-1, 1))
shrink = unary(["Shrink"], 9, (np.float32,), lambd=uniform(0, 1), bias=uniform(-1, 1))
gelu = unary(["Gelu"], 20, (np.float32,), approximate=lambda m: m.rng.choice(["none", "tanh"]))
int_unary = unary(["Neg", "Abs"], dtypes=INTS + (np.int8,))
logical_not = unary(["Not"], dtypes=(bool,))
is_nan = unary(["IsNaN"], 9, (np.float32,))
is_inf = unary(["IsInf"], 10, (np.float32,), detect_negative=lambda m: m.rng.randint(0, 1))
bitwise_not = unary(["BitwiseNot"], 18, INTS + (np.uint8,))


@operator(times=2)
def cast(m):
    x = m.pick(dtypes=ANY)
    to = m.rng.choice(["FLOAT", "DOUBLE", "INT64", "INT32", "BOOL", "UINT8", "INT8", "FLOAT16"])
    # What a float outside the range of an integer becomes is undefined.
    low, high = {"UINT8": (0, 255), "INT8": (-128, 127)}.get(to, (-np.inf, np.inf))
    if x and (x.dtype.kind != "f" or ((low <= x.array) & (x.array <= high)).all()):
        m.node("Cast", [x], to=TensorProto.DataType.Value(to))


def partner(m, x, dtype=None):
    """A tensor that broadcasts with `x`, on either side."""
    dims = list(x.shape)
    style = m.rng.choice(["same", "ones", "short", "long", "scalar"])
    if style == "ones":
        dims = [1 if m.maybe() else d for d in dims]
    elif style == "short":
        dims = dims[m.rng.randint(0, len(dims)):]
    elif style == "long" and len(dims) < 5:
        dims = [m.extent(3)] + dims
    elif style == "scalar":
        dims = []
    existing = [v for v in m.values if v.dtype == x.dtype and v is not x and list(v.shape) == list(x.shape)]
    if existing and m.maybe(0.4) and dtype is None:
        return m.rng.choice(existing)
    return m.fresh(dims, dtype or x.dtype)


def both(m, x, y):
    return [x, y] if m.maybe(0.7) else [y, x]


@operator(times=5)
def arithmetic(m):
    x = m.pick(dtypes=FLOATS + INTS)
    if x:
        m.node(m.rng.choice(["Add", "Sub", "Mul"]), both(m, x, partner(m, x)))


@operator(times=2)
def divide(m):
    x = m.pick(dtypes=FLOATS + INTS)
    if not x:
        return
    y = partner(m, x)
    if (y.array != 0).all():
        m.node("Div", [x, y])


@operator()
def power(m):
    x = m.pick(dtypes=(np.float32,))
    if x:
        exponent = m.rng.choice([2.0, 3.0, 0.5, -1.0, 1.0, 0.0])
        m.node("Pow", [x, m.constant(np.array(exponent, np.float32).reshape(m.rng.choice([[], [1]])))])


@operator(times=2)
def comparison(m):
    x = m.pick(dtypes=FLOATS[:1] if m.opset < 9 else FLOATS + INTS)
    names = ["Greater", "Less"]
    names += ["Equal"] if m.opset >= 11 or (x and x.dtype.kind == "i") else []
    names += ["GreaterOrEqual", "LessOrEqual"] if m.opset >= 12 else []
    if x:
        m.node(m.rng.choice(names), both(m, x, partner(m, x)))


@operator()
def logical(m):
    x = m.pick(dtypes=(bool,))
    if x:
        m.node(m.rng.choice(["And", "Or", "Xor"]), both(m, x, partner(m, x)))


@operator(18)
def bitwise(m):
    x = m.pick(dtypes=INTS + (np.uint8,))
    if x:
        m.node(m.rng.choice(["BitwiseAnd", "BitwiseOr", "BitwiseXor"]), both(m, x, partner(m, x)))


@operator(11)
def bit_shift(m):
    x = m.pick(dtypes=(np.uint8, np.uint32, np.uint64))
    if x:
        amount = m.constant(np.random.randint(0, 8, x.shape).astype(x.dtype))
        m.node("BitShift", [x, amount], direction=m.rng.choice(["LEFT", "RIGHT"]))


@operator(8, times=2)
def variadic(m):
    x = m.pick(dtypes=(np.float32,))
    if x:
        others = [partner(m, x) for _ in range(m.rng.randint(0, 2))]
        m.node(m.rng.choice(["Max", "Min", "Sum", "Mean"]), [x, *others])


@operator(12)
def int_extremes(m):
    x = m.pick(dtypes=INTS)
    if x:
        m.node(m.rng.choice(["Max", "Min"]), [x, partner(m, x)])


@operator(10)
def modulo(m):
    x = m.pick(dtypes=INTS + (np.float32,))
    if not x:
        return
    y = partner(m, x)
    if (y.array != 0).all():
        m.node("Mod", [x, y], fmod=1 if x.dtype.kind == "f" or m.maybe() else None)


@operator(9, times=2)
def where(m):
    x = m.pick(dtypes=FLOATS + INTS)
    if x:
        condition = m.pick(dtypes=(bool,), where=lambda v: v.shape == x.shape) or partner(m, x, bool)
        m.node("Where", [condition, *both(m, x, partner(m, x))])


@operator()
def prelu(m):
    x = m.pick(least=1)
    if x:
        style = m.rng.choice([[], [x.shape[-1]], [x.shape[1]] + [1] * (x.rank - 2) if x.rank > 1 else [1], list(x.shape)])
        m.node("PRelu", [x, m.fresh(style)])


@operator(11)
def clip(m):
    x = m.pick(dtypes=FLOATS if m.opset < 12 else FLOATS + INTS)
    if x:
        low = m.constant(np.array(-1, x.dtype)) if m.maybe(0.7) else None
        high = m.constant(np.array(m.rng.choice([1, 2, -2]), x.dtype)) if m.maybe(0.7) else None
        m.node("Clip", [x, low, high])


@operator(7, 10)
def clip_attributes(m):
    x = m.pick()
    if x:
        m.node("Clip", [x], min=-0.5 if m.maybe() else None, max=1.25 if m.maybe() else None)


OPERATORS = collect(globals())
