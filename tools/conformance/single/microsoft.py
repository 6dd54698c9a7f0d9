"""What ONNX Runtime's own optimiser and quantiser write: com.microsoft."""

import numpy as np

from draw import Fixed, Node, Unfit, op
from layers import weight, window

BYTES = (np.uint8, np.int8)


def numbers(shape, dtype):
    info = np.iinfo(dtype)
    return np.asarray(np.random.randint(info.min, info.max + 1, shape)).astype(dtype)


def scale(shape=()):
    return Fixed(np.asarray(np.random.choice([0.03, 0.1, 0.5], shape)).astype(np.float32))


def zero(dtype, shape=()):
    info = np.iinfo(dtype)
    return Fixed(np.asarray(np.random.randint(info.min // 4, info.max // 4, shape)).astype(dtype))


@op("QLinearAdd", "QLinearMul", domain="ms")
def qlinear_binary(d):
    dtype = d.choice(BYTES)
    shape = d.shape(least=1, most=4, empty=0)
    return Node([numbers(shape, dtype), scale(), zero(dtype), numbers(d.partner(shape), dtype), scale(), zero(dtype), Fixed(np.float32(0.7)), zero(dtype)], within=1)


@op("QLinearSigmoid", "QLinearLeakyRelu", domain="ms")
def qlinear_unary(d):
    dtype = d.choice(BYTES)
    more = {"alpha": d.uniform(0.01, 0.5)} if d.op == "QLinearLeakyRelu" else {}
    return Node([numbers(d.shape(least=1, most=4, empty=0), dtype), scale(), zero(dtype), Fixed(np.float32(0.03)), zero(dtype)], within=1, **more)


@op("QLinearConcat", domain="ms")
def qlinear_concat(d):
    dtype, shape = d.choice(BYTES), d.shape(least=1, most=4, empty=0)
    axis = d.axis(len(shape))
    parts = []
    for _ in range(d.int(1, 3)):
        dims = list(shape)
        dims[axis] = d.int(1, 4)
        parts += [numbers(dims, dtype), scale(), zero(dtype)]
    return Node([Fixed(np.float32(0.3)), zero(dtype), *parts], within=1, axis=axis)


@op("QLinearAveragePool", domain="ms")
def qlinear_pool(d):
    dtype = d.choice(BYTES)
    x = numbers([1, d.int(1, 3), d.int(3, 8), d.int(3, 8)], dtype)
    kernel, attributes = window(d, x.shape[2:], dilated=False)
    return Node([x, scale(), zero(dtype), Fixed(np.float32(0.3)), zero(dtype)], within=1, kernel_shape=kernel, count_include_pad=d.some(0, 1), ceil_mode=d.some(0), **attributes)


@op("FusedMatMul", "TransposeMatMul", domain="ms")
def fused_matmul(d):
    k, m, n = d.int(1, 5), d.int(1, 5), d.int(1, 5)
    ta, tb = d.some(0, 1), d.some(0, 1)
    batch = d.choice([[], [2], [2, 3]])
    return Node([d.array([*batch, *([k, m] if ta else [m, k])]), weight(d, d.array([*d.choice([batch, []]), *([n, k] if tb else [k, n])]))], alpha=d.some(0.5), transA=ta, transB=tb)


@op("FusedGemm", domain="ms")
def fused_gemm(d):
    m, k, n = d.int(1, 4), d.int(1, 5), d.int(1, 5)
    ta, tb = d.some(0, 1), d.some(0, 1)
    bias = d.array(d.choice([[n], [m, n], [1, n], []])) if d.maybe(0.7) else None
    activation = d.choice(["Relu", "Sigmoid", "Tanh", "LeakyRelu"])
    return Node([d.array([k, m] if ta else [m, k]), d.array([n, k] if tb else [k, n]), bias], activation=activation,
                activation_alpha=0.1 if activation == "LeakyRelu" else None, transA=ta, transB=tb, alpha=d.some(0.5), beta=d.some(2.0))


@op("FusedConv", domain="ms")
def fused_conv(d):
    channels, filters = d.int(1, 4), d.int(1, 4)
    x = d.array([d.int(1, 2), channels, d.int(3, 8), d.int(3, 8)])
    kernel, attributes = window(d, x.shape[2:])
    activation = d.choice(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Clip", "HardSigmoid"])
    parameters = {"LeakyRelu": [0.1], "Clip": [-0.5, 1.0], "HardSigmoid": [0.2, 0.4]}.get(activation)
    return Node([x, weight(d, d.array([filters, channels, *kernel])), d.array([filters])], activation=activation, activation_params=parameters, **attributes)


@op("BiasGelu", "FastGelu", "Gelu", "QuickGelu", domain="ms")
def gelus(d):
    x = d.array(d.shape(least=1, most=4, empty=0))
    inputs = [x]
    if d.op == "BiasGelu" or d.op == "FastGelu" and d.maybe():
        inputs.append(d.array([x.shape[-1]]))
    return Node(inputs, alpha=d.some(1.5) if d.op == "QuickGelu" else None)


@op("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain="ms")
def skip_norm(d):
    batch, seq, width = d.int(1, 2), d.int(1, 4), d.int(2, 6)
    x = d.array([batch, seq, width])
    skip = d.array(d.choice([[batch, seq, width]]))
    bias = d.array([width]) if d.maybe() else None
    if d.op == "SkipLayerNormalization":
        return Node([x, skip, d.array([width]), d.array([width]) if d.maybe() else None, bias], named=d.choice([[True], [True, False, False, True]]), epsilon=1e-2)
    return Node([x, skip, d.array([width]), bias], named=d.choice([[True], [True, False, False, True]]), epsilon=1e-2)


@op("DynamicQuantizeMatMul", "MatMulIntegerToFloat", domain="ms")
def dynamic_matmul(d):
    k, n = d.int(1, 6), d.int(1, 5)
    dtype = d.choice(BYTES)
    per = d.choice([[], [n]])
    bias = d.array([n]) if d.maybe() else None
    b = [numbers([k, n], dtype), scale(per), zero(dtype, per) if d.maybe() else None]
    if d.op == "DynamicQuantizeMatMul":
        return Node([d.array([2, 3, k]), Fixed(b[0]), b[1], b[2], bias])
    a = d.choice(BYTES)
    return Node([numbers([2, 3, k], a), Fixed(b[0]), scale(), b[1], zero(a) if d.maybe() else None, b[2], bias])


@op("MatMulNBits", domain="ms")
def n_bits(d):
    bits, block = d.choice([4, 4, 8]), d.choice([16, 32])
    k, n = d.choice([16, 32, 40, 64]), d.int(1, 5)
    blocks = -(-k // block)
    packed = np.random.randint(0, 256, [n, blocks, block * bits // 8]).astype(np.uint8)
    zeros = Fixed(np.random.randint(0, 256, [n, -(-blocks * bits // 8)]).astype(np.uint8)) if d.maybe() else None
    return Node([d.array([d.int(1, 3), k]), Fixed(packed), Fixed(np.random.rand(n, blocks).astype(np.float32) * 0.1), zeros], K=k, N=n, bits=bits, block_size=block)


@op("MultiHeadAttention", domain="ms")
def multi_head(d):
    batch, heads, width, queries, keys = d.int(1, 2), d.int(1, 3), d.choice([2, 4]), d.int(1, 4), d.int(1, 4)
    size = heads * width
    causal = d.some(0, 1) if queries == keys else None
    bias = d.array([3 * size]) if d.maybe() else None
    mask = np.random.randint(0, 2, [batch, keys]).astype(np.int32) if d.maybe(0.3) else None
    if mask is not None:
        mask[:, 0] = 1
    added = d.array([d.choice([1, batch]), d.choice([1, heads]), queries, keys]) if d.maybe(0.4) else None
    return Node([d.array([batch, queries, size]), d.array([batch, keys, size]), d.array([batch, keys, size]), bias, mask, added], num_heads=heads, scale=d.some(0.4), unidirectional=causal)


@op("Inverse", domain="ms")
def inverse(d):
    n = d.int(1, 4)
    return Node([d.array([*d.shape(d.int(0, 2), empty=0), n, n]) + 3 * np.eye(n, dtype=np.float32)])


@op("Trilu", domain="ms")
def trilu(d):
    return Node([d.array(d.shape(least=2, most=4, empty=0), d.choice([np.float32, np.int64])), d.fixed(np.array(d.int(-4, 4))) if d.maybe() else None], exact=True, upper=d.some(0, 1))


@op("QuantizeLinear", "DequantizeLinear", domain="ms")
def quantize(d):
    kinds = [np.uint8, np.int8, np.uint16, np.int16]
    dtype = d.choice(kinds)
    shape = d.shape(least=1, most=4, empty=0)
    axis = d.axis(len(shape)) if d.maybe() else None
    per = [] if axis is None else [shape[axis]]
    x = d.array(shape, scale=9) if d.op == "QuantizeLinear" else numbers(shape, dtype)
    return Node([x, scale(per), zero(dtype, per) if d.op == "QuantizeLinear" or d.maybe() else None], exact=True, axis=axis)


@op("CDist", domain="ms")
def distances(d):
    depth, dtype = d.int(1, 6), d.choice([np.float32, np.float64])
    return Node([d.array([d.int(1, 5), depth], dtype), d.array([d.int(1, 5), depth], dtype)], metric=d.some("euclidean", "sqeuclidean"))


@op("Pad", domain="ms")
def pad(d):
    x = d.array(d.shape(least=1, most=3, empty=0))
    mode = d.choice(["constant", "reflect", "edge", "wrap"])
    pads = [d.int(0 if mode != "constant" else -1, 2) for _ in range(2 * x.ndim)]
    if mode in ("reflect", "wrap") and any(p >= n for p, n in zip(pads, 2 * x.shape)):
        raise Unfit
    return Node([x, Fixed(np.array(pads, np.int64)), np.float32(1.5) if d.maybe() else None], exact=True, mode=mode)


@op("ExpandDims", domain="ms")
def expand_dims(d):
    x = d.array(d.shape(most=3), d.choice([np.float32, np.int64, np.float64]))
    return Node([x, Fixed(np.array(d.int(-x.ndim - 1, x.ndim), np.int32))], exact=True)


@op("UnfoldTensor", domain="ms")
def unfold(d):
    x = d.array(d.shape(least=1, most=3, empty=0), d.choice([np.float32, np.int64, np.float64]))
    axis = d.axis(x.ndim)
    return Node([x], exact=True, dim=axis, size=d.int(1, x.shape[axis]), step=d.some(1, 2, 3))


@op("MatMulInteger16", domain="ms")
def matmul_integer_16(d):
    k = d.int(1, 6)
    return Node([numbers([*d.choice([[], [2]]), d.int(1, 4), k], np.int16), numbers([k, d.int(1, 4)], np.int16)], exact=True)


@op("GridSample", domain="ms")
def grid_sample(d):
    batch = d.int(1, 2)
    x = d.array([batch, d.int(1, 3), d.int(2, 6), d.int(2, 6)])
    return Node([x, np.random.uniform(-1.3, 1.3, [batch, d.int(1, 4), d.int(1, 4), 2]).astype(np.float32)], mode=d.some("bilinear", "nearest", "bicubic"),
                padding_mode=d.some("zeros", "border", "reflection"), align_corners=d.some(0, 1))


@op("CropAndResize", domain="ms")
def crop_and_resize(d):
    batch, regions = d.int(1, 3), d.int(1, 4)
    x = d.array([batch, d.int(1, 3), d.int(1, 6), d.int(1, 6)])
    places = np.random.uniform(-0.2, 1.2, [regions, 4]).astype(np.float32)
    if d.maybe(0.3):
        places = np.round(places)
    of = np.random.randint(0, batch, regions).astype(np.int32)
    return Node([x, places, of, Fixed(np.array([d.int(1, 4), d.int(1, 4)], np.int32))], mode=d.some("bilinear", "nearest"), extrapolation_value=d.some(0.5))


@op("ConvTransposeWithDynamicPads", domain="ms")
def conv_transpose_pads(d):
    channels, kernel = d.int(1, 3), [d.int(1, 3), d.int(1, 3)]
    x = d.array([d.int(1, 2), channels, d.int(2, 5), d.int(2, 5)])
    filters = d.int(1, 3)
    pads = Fixed(np.array([d.int(0, k - 1) for k in [*kernel, *kernel]], np.int64))
    return Node([x, weight(d, d.array([channels, filters, *kernel])), pads, d.array([filters]) if d.maybe() else None], strides=[d.int(1, 2), d.int(1, 2)])
