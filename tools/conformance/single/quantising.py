"""Quantised numbers and products of integers."""

import ml_dtypes
import numpy as np
from onnx import TensorProto

from draw import Fixed, Node, Unfit, op
from layers import weight, window

BYTES = (np.uint8, np.int8)
KINDS = {"uint8": np.uint8, "int8": np.int8, "uint16": np.uint16, "int16": np.int16, "float8e4m3fn": ml_dtypes.float8_e4m3fn,
         "float8e4m3fnuz": ml_dtypes.float8_e4m3fnuz, "float8e5m2": ml_dtypes.float8_e5m2, "float8e5m2fnuz": ml_dtypes.float8_e5m2fnuz,
         "uint4": ml_dtypes.uint4, "int4": ml_dtypes.int4, "float4e2m1": ml_dtypes.float4_e2m1fn, "int2": ml_dtypes.int2, "uint2": ml_dtypes.uint2}


def targets(d, formal, names):
    allowed = [f for f in [*d.schema.inputs, *d.schema.outputs] if f.name == formal][0].types
    return [n for n in names if f"tensor({n})" in allowed]


def zero(dtype, shape):
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.asarray(np.random.randint(info.min // 4, info.max // 4, shape)).astype(dtype)
    return np.zeros(shape, dtype)


def scales(d, x, blocks=True):
    """The shape of scales and the attributes that go with it."""
    if d.version >= 13 and x.ndim and d.maybe(0.5):
        axis = d.axis(x.ndim, 10)
        if d.version >= 21 and blocks and d.maybe(0.5):
            size = d.int(1, 3)
            shape = list(x.shape)
            shape[axis] = -(-shape[axis] // size)
            return shape, {"axis": axis, "block_size": size}
        return [x.shape[axis]], {"axis": axis}
    return [], {}


@op("QuantizeLinear")
def quantize(d):
    kind = d.choice(targets(d, "y", KINDS))
    dtype = d.dtype("T1")
    x = d.array(d.shape(empty=0.02), dtype, 0.0, scale=d.choice([1, 20]))
    shape, attributes = scales(d, x)
    scale = np.asarray(np.random.choice([0.05, 0.1, 0.25, 0.5, 1.0], shape)).astype(np.float32 if dtype.kind in "iu" else dtype)
    if d.version < 19 and kind not in ("uint8", "int8"):
        raise Unfit
    if d.version >= 19:
        attributes["saturate"] = d.some(0, 1) if "float8" in kind else None
    point = None
    if kind != "uint8" or d.maybe():
        point = weight(d, zero(KINDS[kind], shape), 0.9)
        if d.version >= 21 and d.maybe(0.3):
            point = None
            attributes["output_dtype"] = TensorProto.DataType.Value(kind.upper())
    return Node([x, weight(d, scale, 0.8), point], exact=True, **attributes)


@op("DequantizeLinear")
def dequantize(d):
    kind = d.choice([k for k in targets(d, "x", [*KINDS, "int32"])])
    dtype = KINDS.get(kind, np.int32)
    shape = d.shape(empty=0.02)
    x = np.asarray(np.random.randint(0, 2 if "2" in kind[-2:] and "int2" in kind else 6, shape)).astype(np.float32).astype(dtype)
    if kind in ("uint8", "int8", "int16", "uint16"):
        x = np.asarray(np.random.randint(np.iinfo(dtype).min, np.iinfo(dtype).max + 1, shape)).astype(dtype)
    dims, attributes = scales(d, x)
    scale_type = np.float32 if d.version < 19 else d.choice([np.float32, np.float32, np.float16])
    scale = np.asarray(np.random.choice([0.05, 0.1, 0.25, 0.5], dims)).astype(scale_type)
    point = weight(d, zero(dtype, dims) if kind != "int32" else np.zeros(dims, np.int32), 0.9) if d.maybe(0.6) else None
    small = kind not in ("uint8", "int8", "uint16", "int16", "int32")
    return Node([Fixed(x) if small or d.maybe(0.3) else x, weight(d, scale, 0.8), point], exact=True, **attributes)


@op("DynamicQuantizeLinear")
def dynamic(d):
    return Node([d.array(d.shape(empty=0), np.float32) + np.float32(d.choice([0, 5, -5]))], 3, exact=True)


def points(d, dtype, axis_length=None):
    """A zero point, one of them or one a row."""
    return weight(d, zero(dtype, d.choice([[], []] + ([[axis_length]] if axis_length else []))), 0.7)


@op("MatMulInteger")
def matmul_integer(d):
    a_type, b_type = d.choice(BYTES), d.choice(BYTES)
    k = d.choice([1, 3, 8])
    left, right = d.choice([([2, k], [k, 5]), ([2, 3, k], [k, 4]), ([2, 3, k], [2, k, 4]), ([k], [k, 3]), ([3, k], [k]), ([3, k], [2, 2, k, 1])])
    number = lambda s, t: np.asarray(np.random.randint(np.iinfo(t).min, np.iinfo(t).max + 1, s)).astype(t)
    a, b = number(left, a_type), number(right, b_type)
    za = points(d, a_type, left[-2] if len(left) == 2 and d.maybe(0.3) else None) if d.maybe(0.7) else None
    zb = points(d, b_type, right[-1] if len(right) == 2 and d.maybe(0.5) else None) if d.maybe(0.7) else None
    return Node([a, weight(d, b), za, zb], exact=True)


@op("QLinearMatMul")
def qlinear_matmul(d):
    a_type, b_type, y_type = d.choice(BYTES), d.choice(BYTES), d.choice(BYTES)
    k = d.choice([1, 3, 8])
    left, right = d.choice([([2, k], [k, 5]), ([2, 3, k], [k, 4]), ([2, 3, k], [2, k, 4])])
    number = lambda s, t: np.asarray(np.random.randint(np.iinfo(t).min, np.iinfo(t).max + 1, s)).astype(t)
    kind = np.float32
    per = [right[-1]] if len(right) == 2 and d.maybe(0.3) else []
    scale = lambda s=(): weight(d, np.asarray(np.random.choice([0.03, 0.1, 0.5], s)).astype(kind), 0.9)
    return Node([number(left, a_type), scale(), points(d, a_type), weight(d, number(right, b_type)), scale(per), weight(d, zero(b_type, per), 0.9),
                 weight(d, np.asarray(kind(2.0)), 0.9), points(d, y_type)], within=1)


@op("QLinearConv", "ConvInteger")
def qlinear_conv(d):
    spatial = d.choice([1, 2, 2, 3])
    channels = d.choice([1, 2, 4])
    group = d.choice([g for g in (1, 2, 4) if channels % g == 0])
    filters = group * d.int(1, 3)
    x_type, w_type, y_type = d.choice(BYTES), d.choice(BYTES), d.choice(BYTES)
    if d.op == "QLinearConv":
        y_type = x_type
    dims = [d.int(1, 2), channels, *[d.int(2, 6) for _ in range(spatial)]]
    number = lambda s, t: np.asarray(np.random.randint(np.iinfo(t).min, np.iinfo(t).max + 1, s)).astype(t)
    x = number(dims, x_type)
    kernel, attributes = window(d, dims[2:])
    attributes |= {"group": group if group > 1 else d.some(1), "kernel_shape": d.some(kernel)}
    w = weight(d, number([filters, channels // group, *kernel], w_type), 0.8)
    if d.op == "ConvInteger":
        zw = weight(d, zero(w_type, d.choice([[], [filters]])), 0.9) if d.maybe(0.6) else None
        return Node([x, w, points(d, x_type) if d.maybe(0.7) else None, zw], exact=True, **attributes)
    per = d.choice([[], [filters]])
    scale = lambda s=(): weight(d, np.asarray(np.random.choice([0.03, 0.1, 0.5], s)).astype(np.float32), 0.9)
    bias = weight(d, np.random.randint(-500, 500, filters).astype(np.int32)) if d.maybe(0.6) else None
    zw = zero(w_type, per) if w_type == np.uint8 and not per else np.zeros(per, w_type)
    return Node([x, scale(), points(d, x_type), w, scale(per), weight(d, zw, 0.9), weight(d, np.asarray(np.float32(2.0)), 0.9), points(d, y_type), bias],
                within=1, **attributes)
