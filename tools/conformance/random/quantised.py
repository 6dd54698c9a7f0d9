"""Quantised numbers and products of integers."""

import numpy as np

from grow import collect, operator

BYTES = (np.uint8, np.int8)


def zero_point(m, dtype, shape=()):
    low, high = (0, 256) if dtype == np.uint8 else (-128, 128)
    return m.constant(np.array(np.random.randint(low // 4 + high // 4, high // 2 + 1, shape)).astype(dtype))


@operator(10, times=3)
def quantize(m):
    x = m.pick(least=1)
    if not x:
        return
    dtype = m.rng.choice(BYTES)
    axis = m.axis(x.rank) if m.opset >= 13 and m.maybe(0.4) else None
    shape = () if axis is None else (x.shape[axis],)
    scale = m.constant(np.array(np.random.uniform(0.01, 0.1, shape)).astype(np.float32))
    zero = zero_point(m, dtype, shape) if dtype == np.int8 or m.maybe(0.8) else None
    y = m.node("QuantizeLinear", [x, scale, zero], axis=axis)
    if y and m.maybe(0.7):
        m.node("DequantizeLinear", [y[0], scale, zero], axis=axis)


@operator(11)
def dynamic_quantize(m):
    x = m.pick(least=1)
    if x:
        m.node("DynamicQuantizeLinear", [x], 3)


@operator(10, times=2)
def matmul_integer(m):
    a = m.pick(rank=[2, 3], dtypes=BYTES)
    if a:
        b = m.constant(np.random.randint(0, 100, [a.shape[-1], m.extent()]).astype(m.rng.choice(BYTES)))
        zeros = [zero_point(m, a.dtype), zero_point(m, b.dtype)]
        m.node("MatMulInteger", [a, b, *zeros[: m.rng.randint(0, 2)]])


@operator(10, times=2)
def qlinear_matmul(m):
    a = m.pick(rank=[2, 3], dtypes=BYTES)
    if a:
        b = m.constant(np.random.randint(0, 100, [a.shape[-1], m.extent()]).astype(a.dtype))
        scale = lambda x: m.constant(np.array(x, np.float32))
        zero = lambda: zero_point(m, a.dtype)
        m.node("QLinearMatMul", [a, scale(0.05), zero(), b, scale(0.02), zero(), scale(0.11), zero()])


@operator(10, times=2)
def qlinear_conv(m):
    from layers import window

    channels, filters = m.rng.choice([1, 3, 4]), m.rng.choice([1, 2, 5, 16])
    x = m.input(np.random.randint(0, 256, [1, channels, m.rng.randint(4, 9), m.rng.randint(4, 9)]).astype(np.uint8))
    kernel, attributes = window(m, 2, x.shape[2:])
    dtype = m.rng.choice(BYTES)
    w = m.constant(np.random.randint(0, 120, [filters, channels, *kernel]).astype(dtype))
    scale = lambda x: m.constant(np.array(x, np.float32))
    per_filter = m.maybe(0.4)
    w_scale = m.constant(np.random.uniform(0.01, 0.03, filters).astype(np.float32)) if per_filter else scale(0.02)
    w_zero = m.constant(np.zeros(filters, dtype)) if per_filter else zero_point(m, dtype)
    bias = m.constant(np.random.randint(-500, 500, filters).astype(np.int32)) if m.maybe(0.6) else None
    operands = [x, scale(0.05), zero_point(m, np.uint8), w, w_scale, w_zero, scale(0.3), zero_point(m, np.uint8), bias]
    m.node("QLinearConv", operands, **attributes)


@operator(10)
def conv_integer(m):
    from layers import window

    channels, filters = m.rng.choice([1, 3, 4]), m.rng.choice([1, 2, 5])
    x = m.input(np.random.randint(0, 256, [1, channels, m.rng.randint(4, 9), m.rng.randint(4, 9)]).astype(np.uint8))
    kernel, attributes = window(m, 2, x.shape[2:])
    w = m.constant(np.random.randint(0, 120, [filters, channels, *kernel]).astype(np.uint8))
    zeros = [zero_point(m, np.uint8), zero_point(m, np.uint8)]
    m.node("ConvInteger", [x, w, *zeros[: m.rng.randint(0, 2)]], **attributes)


OPERATORS = collect(globals())
