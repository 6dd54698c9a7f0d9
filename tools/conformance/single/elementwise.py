"""Operators of each element alone, with broadcasting."""

import ml_dtypes
import numpy as np
from onnx import TensorProto

from draw import FLOATS, HALVES, INTS, NEWEST, TYPES, Fixed, Node, Unfit, element, op

BOUNDED = {"Acos": (-1, 1), "Asin": (-1, 1), "Atanh": (-0.99, 0.99), "Acosh": (1, 9), "Log": (0.01, 9), "Sqrt": (0, 9)}


@op("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Cos", "Cosh", "Erf", "Exp", "Floor", "HardSwish",
    "Identity", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign",
    "Sqrt", "Tan", "Tanh", "IsNaN")
def unary(d):
    name = d.schema.inputs[0].type_str
    dtype = d.dtype("T1" if d.op == "IsNaN" else name if not name.startswith("tensor") else d.schema.inputs[0].name)
    edges = 0.5 if dtype.kind != "i" or d.op in ("Identity", "Sign", "Not", "Relu") else 0.1
    x = d.array(d.shape(), dtype, edges)
    if d.op in BOUNDED and d.maybe(0.8):
        low, high = BOUNDED[d.op]
        x = np.asarray(np.random.uniform(low, high, x.shape)).astype(dtype)
    if d.op in ("Sin", "Cos", "Tan"):
        x = np.where(np.abs(x.astype(np.float64)) > 1e4, 0, x.astype(np.float64)).astype(dtype)
    return Node([x], exact=True)


@op("Celu", "Elu", "LeakyRelu", "ThresholdedRelu", "Selu", "HardSigmoid", "Shrink", "Gelu", "Swish", "IsInf")
def parametrised(d):
    dtype = d.dtype("T1" if d.op == "IsInf" or d.op == "Celu" and "T1" in [t.type_param_str for t in d.schema.type_constraints] else "T")
    x = d.array(d.shape(), dtype, 0.5 if dtype.kind not in "iu" else 0)
    attributes = {
        "Celu": lambda: {"alpha": d.uniform(0.2, 2)},
        "Elu": lambda: {"alpha": d.uniform(-1, 2)},
        "LeakyRelu": lambda: {"alpha": d.uniform(-1, 2)},
        "ThresholdedRelu": lambda: {"alpha": d.uniform(-1, 2)},
        "Selu": lambda: {"alpha": d.uniform(-1, 2), "gamma": d.uniform(0.1, 2)},
        "HardSigmoid": lambda: {"alpha": d.uniform(-0.5, 1), "beta": d.uniform(-1, 1)},
        "Shrink": lambda: {"lambd": d.uniform(0, 2), "bias": d.uniform(-1, 1)},
        "Gelu": lambda: {"approximate": d.some("none", "tanh")},
        "Swish": lambda: {"alpha": d.uniform(-1, 2)},
        "IsInf": lambda: {"detect_negative": d.some(0, 1), "detect_positive": d.some(0, 1)},
    }[d.op]()
    return Node([x], exact=True, **attributes)


def pair(d, dtype, other=None, edges=0.2):
    x = d.array(d.shape(), dtype, edges)
    if d.maybe(0.06) and not other:
        return [x, x]
    y = d.array(d.partner(x.shape), other or dtype, edges)
    return [x, y] if d.maybe() or other else [y, x]


@op("Add", "Sub", "Mul", "And", "Or", "Xor", "Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "BitwiseAnd", "BitwiseOr", "BitwiseXor")
def binary(d):
    dtype = d.dtype("T")
    edges = 0.0 if dtype.kind == "i" and d.op in ("Add", "Sub", "Mul") else 0.4
    return Node(pair(d, dtype, edges=edges), exact=True)


@op("Div", "Mod")
def division(d):
    dtype = d.dtype("T")
    fmod = d.some(0, 1) if d.op == "Mod" else None
    if d.op == "Mod" and (dtype.kind not in "iu"):
        fmod = 1
    x, y = pair(d, dtype, edges=0.4 if dtype.kind not in "iu" else 0)
    if dtype.kind in "iu":
        y = np.where(y == 0, np.ones_like(y), y)
    return Node([x, y], exact=True, fmod=fmod)


@op("Pow")
def power(d):
    dtype = d.dtype("T")
    other = d.dtype("T1") if d.version >= 12 else dtype
    shape = d.shape()
    x = d.array(shape, dtype, 0.1)
    y = d.array(d.partner(shape), other, 0.1)
    if other.kind in "iu":
        y = np.asarray(np.abs(y.astype(np.int64)) % 4).astype(other) if dtype.kind in "iu" or d.maybe() else y
    elif dtype.kind in "iu":
        y = np.asarray(np.round(np.abs(np.nan_to_num(y.astype(np.float64)))) % 4).astype(other)
    elif d.maybe(0.6):
        y = np.asarray(np.full(d.choice([[], [1]]), d.choice([2, 3, 0.5, -1, 1, 0, -2, -0.5]))).astype(other)
    return Node([x, y], exact=True)


@op("BitShift")
def shift(d):
    x, y = pair(d, d.dtype("T"))
    bits = 8 * x.dtype.itemsize
    return Node([x, (y % bits).astype(y.dtype)], exact=True, direction=d.choice(["LEFT", "RIGHT"]))


@op("PRelu")
def prelu(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(), dtype, 0.2)
    slope = list(x.shape[d.int(0, x.ndim):])
    slope = [1 if d.maybe(0.3) else n for n in slope]
    return Node([x, d.array(slope, dtype)], exact=True)


@op("Where")
def where(d):
    dtype = d.dtype("T")
    shape = d.shape()
    parts = [d.array(d.partner(shape), bool), d.array(d.partner(shape), dtype, 0.3), d.array(d.partner(shape), dtype, 0.3)]
    try:
        np.broadcast_shapes(*[p.shape for p in parts])
    except ValueError:
        raise Unfit from None
    return Node(parts, exact=True)


@op("Max", "Min", "Sum", "Mean")
def variadic(d):
    dtype = d.dtype("T")
    shape = d.shape()
    edges = 0.3 if d.op in ("Max", "Min") else 0
    parts = [d.array(shape if d.maybe() else d.partner(shape), dtype, edges) for _ in range(d.int(1, 4))]
    try:
        np.broadcast_shapes(*[p.shape for p in parts])
    except ValueError:
        raise Unfit from None
    return Node(parts, exact=d.op in ("Max", "Min"))


@op("Clip")
def clip(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(), dtype, 0.3)
    if d.version < 11:
        return Node([x], exact=True, min=d.uniform(-1, 0.5), max=d.uniform(0, 1.5))
    low = np.array(d.choice([0, 1, 2] if dtype.kind == "u" else [-3, -1, 0, 1]), dtype) if d.maybe(0.7) else None
    high = np.array(d.choice([0, 1, 5]), dtype) if d.maybe(0.7) else None
    return Node([x, low, high], exact=True)


SMALL = {
    "FLOAT8E4M3FN": ml_dtypes.float8_e4m3fn, "FLOAT8E4M3FNUZ": ml_dtypes.float8_e4m3fnuz, "FLOAT8E5M2": ml_dtypes.float8_e5m2,
    "FLOAT8E5M2FNUZ": ml_dtypes.float8_e5m2fnuz, "UINT4": ml_dtypes.uint4, "INT4": ml_dtypes.int4, "FLOAT4E2M1": ml_dtypes.float4_e2m1fn,
    "FLOAT8E8M0": ml_dtypes.float8_e8m0fnu, "UINT2": ml_dtypes.uint2, "INT2": ml_dtypes.int2,
}
SINCE = {"FLOAT8E4M3FN": 19, "FLOAT8E4M3FNUZ": 19, "FLOAT8E5M2": 19, "FLOAT8E5M2FNUZ": 19, "UINT4": 21, "INT4": 21, "FLOAT4E2M1": 23,
         "FLOAT8E8M0": 24, "UINT2": 25, "INT2": 25}


def castable(d, dtype, to):
    """Numbers whose conversion every target defines."""
    x = d.array(d.shape(), dtype, 0.3)
    to = np.dtype(to)
    if to.kind in "iu" and x.dtype.kind not in "iub":
        info = np.iinfo(to)
        x = np.nan_to_num(x.astype(np.float64), posinf=1, neginf=0)
        x = np.clip(x, max(info.min, -2**30), min(info.max, 2**30))
        x = np.asarray(np.where(np.trunc(x) < info.min, 0, x)).astype(dtype)
        if (x.astype(np.float64) > info.max).any():
            raise Unfit
    return x


def small_cast(d):
    """A conversion through a small type and back: nothing is fed in one."""
    name = d.choice([n for n in SMALL if SINCE[n] <= d.version])
    x = d.array(d.shape(), d.choice([np.float32, np.float16]), 0.3, scale=d.choice([1, 30]))
    if "INT" in name:
        x = np.nan_to_num(x.astype(np.float32), posinf=1, neginf=0)
        x = np.asarray(np.clip(x, 0 if name[0] == "U" else -2, 1 if name == "INT2" else 3)).astype(np.float32)
    return x, name


@op("Cast")
def cast(d):
    saturate = d.some(0, 1) if d.version >= 19 else None
    if d.version >= 19 and d.maybe(0.3):
        x, name = small_cast(d)
        return Node([x], exact=True, to=TensorProto.DataType.Value(name), saturate=saturate)
    to = d.dtype("T2")
    return Node([castable(d, d.dtype("T1"), to)], exact=True, to=element(np.zeros(0, to)), saturate=saturate)


@op("CastLike")
def cast_like(d):
    saturate = d.some(0, 1) if d.version >= 19 else None
    to = d.dtype("T2")
    return Node([castable(d, d.dtype("T1"), to), d.array(d.shape(), to)], exact=True, saturate=saturate)


@op("BitCast")
def bit_cast(d):
    x = d.array(d.shape(), d.dtype("T1"))
    to = d.choice([t for t in d.types("T2") if t.itemsize == x.dtype.itemsize and (t != bool)])
    return Node([x], exact=True, to=element(np.zeros(0, to)))


@op("Dropout")
def dropout(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(), dtype)
    if d.version < 12:
        # What the mask holds without training, old versions do not say.
        return Node([x], exact=True, ratio=d.uniform(0, 0.9))
    ratio = np.array(d.choice([0.0, 0.3]), d.dtype("T1")) if d.maybe() else None
    training = np.array(False) if d.maybe() else None
    if ratio is not None and training is not None and d.maybe(0.3):
        ratio, training = ratio * 0, np.array(True)
        ratio = Fixed(ratio.astype(d.dtype("T1")))
        training = Fixed(training)
    return Node([x, ratio, training], d.int(1, 2), exact=True, seed=d.some(1))
