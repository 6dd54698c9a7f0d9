"""Products, convolutions, pools, sampling, attention and recurrent layers."""

import numpy as np

from draw import Fixed, Node, Unfit, op

FLOAT = (np.float32, np.float64, np.float16)


def weight(d, array, probability=0.6):
    return Fixed(array) if d.maybe(probability) else array


@op("MatMul")
def matmul(d):
    dtype = d.dtype("T")
    k = d.choice([0, 1, 2, 3, 5, 8])
    left, right = d.choice([([k], [k]), ([k], [k, 4]), ([3, k], [k]), ([2, k], [k, 5]), ([2, 3, k], [k, 4]), ([2, 3, k], [2, k, 4]),
                            ([1, 3, k], [5, k, 2]), ([2, 1, 3, k], [4, k, 2]), ([3, k], [2, 2, k, 1]), ([2, 2, k], [k]), ([k], [2, k, 3])])
    return Node([d.array(left, dtype), weight(d, d.array(right, dtype), 0.4)])


@op("Gemm")
def gemm(d):
    dtype = d.dtype("T")
    ta, tb = d.some(0, 1), d.some(0, 1)
    m, k, n = d.extent(), d.choice([0, 1, 3, 8]), d.choice([1, 4, 9])
    bias = d.choice([[], [1], [n], [1, n], [m, 1], [m, n], [1, 1]])
    c = d.array(bias, dtype) if d.version < 11 or d.maybe(0.7) else None
    alpha = d.some(0.5, 2.0) if dtype.kind not in "iu" else d.some(2.0)
    beta = d.some(0.5, 0.0) if dtype.kind not in "iu" else d.some(3.0)
    return Node([d.array([k, m] if ta else [m, k], dtype), weight(d, d.array([n, k] if tb else [k, n], dtype), 0.4), c], transA=ta, transB=tb,
                alpha=alpha, beta=beta)


@op("Einsum")
def einsum(d):
    n = lambda: d.int(1, 4)
    a, b, c, e = n(), n(), n(), n()
    equation, shapes = d.choice([
        ("ij,jk->ik", [[a, b], [b, c]]), ("bij,bjk->bik", [[a, b, c], [a, c, e]]), ("bhid,bhjd->bhij", [[a, b, c, 3], [a, b, e, 3]]),
        ("ij->ji", [[a, b]]), ("ii->i", [[a, a]]), ("ii", [[a, a]]), ("ijk->", [[a, b, c]]), ("i,j->ij", [[a], [b]]), ("i,i", [[a], [a]]),
        ("ij,ij->i", [[a, b], [a, b]]), ("...ij,...jk->...ik", [[a, b, c], [a, c, e]]), ("...ij,...jk->...ik", [[b, c], [a, c, e]]),
        ("bij , kj -> bik", [[a, b, c], [e, c]]), ("ij,jk", [[a, b], [b, c]]), ("abc,cd,de->abe", [[a, b, c], [c, e], [e, 2]]),
        ("...ii->...i", [[a, b, b]]), ("iji->j", [[a, b, a]]), ("bca", [[a, b, c]]), ("ij,ij->ij", [[a, b], [a, b]]), ("i...->...", [[a, b, c]]),
        ("...,...", [[a, b], [a, b]]), ("ab,->ab", [[a, b], []]), ("Ab,bC->AC", [[a, b], [b, c]]), ("bij,bij->", [[a, b, c], [a, b, c]]),
    ])
    dtype = d.dtype("T")
    return Node([d.array(s, dtype) for s in shapes], equation=equation)


def window(d, extents, transposed=False, dilated=True, most=4):
    spatial = len(extents)
    kernel = [d.int(1, min(most, max(e, 1))) for e in extents]
    strides = [d.choice([1, 1, 2, 3]) for _ in range(spatial)]
    dilations = [d.choice([1, 1, 2]) if dilated else 1 for _ in range(spatial)]
    dilations = [v if v * (k - 1) + 1 <= e or transposed else 1 for v, k, e in zip(dilations, kernel, extents)]
    attributes = {"strides": strides if d.maybe(0.8) else None, "dilations": dilations if dilated and d.maybe(0.6) else None}
    mode = d.choice(["none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
    if mode in ("pads", "NOTSET"):
        attributes["pads"] = [d.int(0, k - 1) for k in [*kernel, *kernel]]
    if mode not in ("none", "pads"):
        attributes["auto_pad"] = mode
    return kernel, attributes


def image(d, channels, spatial, dtype=np.float32, most=9):
    batch = 0 if d.maybe(0.04) else d.int(1, 2)
    return d.array([batch, channels, *[d.int(2, most if spatial < 3 else 5) for _ in range(spatial)]], dtype)


@op("Conv")
def conv(d):
    dtype = d.dtype("T")
    spatial = d.choice([1, 2, 2, 3])
    channels = d.choice([1, 2, 3, 4, 6])
    x = image(d, channels, spatial, dtype)
    group = d.choice([g for g in range(1, channels + 1) if channels % g == 0])
    filters = group * d.int(1, 3)
    kernel, attributes = window(d, x.shape[2:])
    bias = weight(d, d.array([filters], dtype)) if d.maybe() else None
    return Node([x, weight(d, d.array([filters, channels // group, *kernel], dtype)), bias], group=group if group > 1 else d.some(1),
                kernel_shape=d.some(kernel), **attributes)


@op("ConvTranspose")
def conv_transpose(d):
    dtype = d.dtype("T")
    spatial = d.choice([1, 2, 2, 3])
    channels = d.choice([1, 2, 3, 4])
    x = image(d, channels, spatial, dtype, 6)
    group = d.choice([g for g in range(1, channels + 1) if channels % g == 0])
    kernel, attributes = window(d, x.shape[2:], True)
    strides = attributes.get("strides") or [1] * spatial
    if attributes.get("auto_pad", "").startswith("SAME"):
        # ONNX Runtime keeps pads from being negative, where the standard wants the extent times the stride.
        strides = [min(s, k) for s, k in zip(strides, kernel)]
        attributes |= {"strides": strides, "auto_pad": "SAME_UPPER"}
    elif d.maybe(0.3):
        attributes["output_padding"] = [d.int(0, s - 1) for s in strides]
    if d.maybe(0.2):
        attributes.pop("pads", None)
        attributes["output_shape"] = [n * s + d.int(0, 1) for n, s in zip(x.shape[2:], strides)]
        spans = [s * (n - 1) + v * (k - 1) + 1 for s, n, k, v in zip(strides, x.shape[2:], kernel, attributes.get("dilations") or [1] * spatial)]
        if any(span < to for span, to in zip(spans, attributes["output_shape"])):
            raise Unfit  # pads would be negative
    per = d.int(1, 3)
    bias = weight(d, d.array([per * group], dtype)) if d.maybe() else None
    # onnx.reference adds the first filter's bias to every group.
    return Node([x, weight(d, d.array([channels, per, *kernel], dtype)), bias], reference=group == 1 or bias is None,
                group=group if group > 1 else d.some(1), kernel_shape=d.some(kernel), **attributes)


@op("MaxPool", "AveragePool", "LpPool")
def pool(d):
    dtype = d.dtype("T")
    x = image(d, d.int(1, 3), d.choice([1, 2, 2, 3]), dtype)
    dilated = d.version >= {"MaxPool": 10, "AveragePool": 19, "LpPool": 18}[d.op]
    kernel, attributes = window(d, x.shape[2:], dilated=dilated)
    if attributes.get("auto_pad", "").startswith("SAME"):
        # ONNX Runtime forgets the dilation. Windows smaller than their stride have negative pads by the operator's formula, which
        # ONNX Runtime takes as such now and then, and refuses elsewhere.
        attributes["dilations"] = None
        attributes["strides"] = [min(s, k) for s, k in zip(attributes.get("strides") or [1] * len(kernel), kernel)]
    if d.version >= {"MaxPool": 10, "AveragePool": 10, "LpPool": 18}[d.op]:
        attributes["ceil_mode"] = d.some(0, 1)
    outputs = 1
    if d.op == "AveragePool":
        attributes["count_include_pad"] = d.some(0, 1)
    if d.op == "LpPool":
        attributes["p"] = d.some(1, 2, 3)
    if d.op == "MaxPool" and d.version >= 8:
        attributes["storage_order"] = d.some(0, 1)
        outputs = d.int(1, 2)
    # onnx.reference averages the windows of an LpPool before it adds them up again, and has another SAME_LOWER.
    alike = d.op != "LpPool" and attributes.get("auto_pad") != "SAME_LOWER"
    return Node([x], outputs, reference=alike, kernel_shape=kernel, **attributes)


@op("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool")
def global_pool(d):
    x = image(d, d.int(1, 3), d.choice([1, 2, 3]), d.dtype("T"))
    return Node([x], p=d.some(1, 2, 3) if d.op == "GlobalLpPool" else None)


@op("MaxUnpool")
def unpool(d):
    kernel = [2, 2]
    x = d.array([1, d.int(1, 2), d.int(1, 3), d.int(1, 3)], d.dtype("T1"))
    h, w = 2 * x.shape[2], 2 * x.shape[3]
    places = np.random.permutation(x.shape[1] * h * w)[: x.size].reshape(x.shape)
    # ONNX Runtime takes indices for those of the given shape, the standard for those of the inferred one.
    shape = d.fixed([1, x.shape[1], h, w]) if d.maybe(0.3) else None
    return Node([x, places.astype(np.int64), shape], exact=True, kernel_shape=kernel, strides=kernel)


@op("Det")
def det(d):
    n = d.int(1, 4)
    return Node([d.array([*d.shape(most=2), n, n], d.dtype("T"))])


@op("DeformConv")
def deform_conv(d):
    group, groups = d.int(1, 2), d.int(1, 2)
    channels = 2 * group * groups // (1 if group == groups == 1 else d.choice([1, 2]))
    if channels % group or channels % groups:
        raise Unfit
    x = image(d, channels, 2, d.dtype("T"), 6)
    kernel, attributes = window(d, x.shape[2:], most=3)
    attributes.pop("auto_pad", None)
    strides, dilations = attributes.get("strides") or [1, 1], attributes.get("dilations") or [1, 1]
    pads = attributes.get("pads") or [0] * 4
    out = [(x.shape[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1 for i in range(2)]
    filters = group * d.int(1, 2)
    w = d.array([filters, channels // group, *kernel], x.dtype)
    offset = d.array([x.shape[0], groups * kernel[0] * kernel[1] * 2, *out], x.dtype)
    bias = d.array([filters], x.dtype) if d.maybe() else None
    mask = np.random.rand(x.shape[0], groups * kernel[0] * kernel[1], *out).astype(x.dtype) if d.maybe() else None
    return Node([x, w, offset, bias, mask], group=group, offset_group=groups, kernel_shape=d.some(kernel), **attributes)


@op("MaxRoiPool")
def max_roi_pool(d):
    x = image(d, 2, 2, d.dtype("T"))
    rois = [[d.int(0, x.shape[0] - 1), a := d.int(0, 4), b := d.int(0, 4), a + d.int(0, 5), b + d.int(0, 5)] for _ in range(d.int(1, 3))]
    return Node([x, np.array(rois, x.dtype)], pooled_shape=[d.int(1, 3), d.int(1, 3)], spatial_scale=d.some(0.5, 1.0))


@op("RoiAlign")
def roi_align(d):
    x = image(d, 2, 2, d.dtype("T1"))
    n = d.int(1, 3)
    rois = np.array([[a := np.random.uniform(-1, 4), b := np.random.uniform(-1, 4), a + np.random.uniform(0, 6), b + np.random.uniform(0, 6)] for _ in range(n)])
    mode = d.some("half_pixel", "output_half_pixel") if d.version >= 16 else None
    return Node([x, rois.astype(x.dtype), np.random.randint(0, x.shape[0], n).astype(np.int64)], mode=d.some("avg", "max"),
                output_height=d.some(1, 2, 3), output_width=d.some(1, 2, 3), sampling_ratio=d.some(0, 1, 2), spatial_scale=d.some(0.5, 1.0),
                coordinate_transformation_mode=mode)


@op("Resize")
def resize(d):
    rank = d.choice([1, 2, 3, 4, 4, 5]) if d.version >= 11 else 4
    mode = d.some("nearest", "linear", *(["cubic"] if d.version >= 11 else []))
    if mode == "cubic":
        rank = d.choice([2, 4])
    dtype = d.dtype("T1" if d.version >= 11 else "T")
    shape = [d.int(1, 6) for _ in range(rank)]
    x = d.array(shape, dtype)
    spatial = min(rank, d.choice([1, 2, 2, 3]))
    whole = [i >= rank - spatial for i in range(rank)]
    sizes = [d.int(1, 9) if w else n for n, w in zip(shape, whole)]
    scales = [d.choice([0.5, 0.6, 1.0, 1.5, 2.0, 3.0]) if w else 1.0 for w in whole]
    if d.version < 11:
        return Node([x, d.fixed(scales, np.float32)], within=int(dtype.kind in "iu"), mode=mode)
    # Of fractions between integers ONNX says nothing, and onnx.reference has another pytorch_half_pixel of one element.
    whole_numbers = dtype.kind not in "f" and mode in ("linear", "cubic")
    choices = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_crop_and_resize"]
    choices += ["tf_half_pixel_for_nn"] if d.version < 13 else []
    choices += ["half_pixel_symmetric"] if d.version >= 19 else []
    attributes = {"mode": mode, "coordinate_transformation_mode": d.some(*choices)}
    roi = None if d.version >= 13 else Fixed(np.zeros([0], np.float32))
    if attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
        low, high = np.random.uniform(0, 0.4, rank), np.random.uniform(0.5, 1.1, rank)
        low, high = np.where(whole, low, 0), np.where(whole, high, 1)
        roi = Fixed(np.concatenate([low, high]).astype(np.float32))
        attributes["extrapolation_value"] = d.some(0.0, 9.0)
    if mode in (None, "nearest"):
        attributes["nearest_mode"] = d.some("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if mode == "cubic":
        attributes["cubic_coeff_a"] = d.some(-0.5, -0.75)
        attributes["exclude_outside"] = d.some(0, 1)
    if d.version >= 18:
        # ONNX Runtime's antialias knows no negative integers.
        attributes["antialias"] = d.some(0, 1) if mode in ("linear", "cubic") and not whole_numbers else None
        if d.maybe(0.3):
            axes = [i for i in range(rank) if whole[i]]
            sizes, scales = [sizes[a] for a in axes], [scales[a] for a in axes]
            if isinstance(roi, Fixed) and roi.array.size:
                roi = Fixed(np.concatenate([roi.array[axes], roi.array[[rank + a for a in axes]]]))
            attributes["axes"] = [a - rank if d.maybe() else a for a in axes]
            attributes["keep_aspect_ratio_policy"] = d.some("stretch", "not_larger", "not_smaller")
    # Whether align_corners rounds the extent of a scaled axis first, ONNX's text and its tests do not agree.
    if d.maybe() or attributes["coordinate_transformation_mode"] == "align_corners":
        return Node([x, roi, None if d.version >= 13 else Fixed(np.zeros([0], np.float32)), d.fixed(sizes)], reference=not whole_numbers and attributes["coordinate_transformation_mode"] != "pytorch_half_pixel", within=int(whole_numbers), **attributes)
    attributes.pop("keep_aspect_ratio_policy", None)
    return Node([x, roi, d.fixed(scales, np.float32)], reference=not whole_numbers and attributes["coordinate_transformation_mode"] != "pytorch_half_pixel", within=int(whole_numbers), **attributes)


@op("Upsample")
def upsample(d):
    d.opset = min(d.opset, 9)
    if d.version > 9:
        raise Unfit
    rank = d.choice([1, 2, 3, 4, 4, 5])
    x = d.array([d.int(1, 4) for _ in range(rank)], d.dtype("T"))
    scales = [1.0] * (rank - min(rank, 2)) + [d.choice([1.0, 2.0, 3.0, 1.5]) for _ in range(min(rank, 2))]
    mode = d.some("nearest", "linear")
    if d.version < 9:
        return Node([x], scales=scales, mode=mode)
    return Node([x, d.fixed(scales, np.float32)], mode=mode)


@op("GridSample")
def grid_sample(d):
    spatial = d.choice([2, 2, 3]) if d.version >= 20 else 2
    modes = ["bilinear", "nearest", "bicubic"] if d.version < 20 else ["linear", "nearest"] + ["cubic"] * (spatial == 2)
    x = image(d, d.int(1, 3), spatial, d.dtype("T1", FLOAT), 6)
    grid = np.random.uniform(-1.4, 1.4, [x.shape[0], *[d.int(1, 4) for _ in range(spatial)], spatial])
    grid = grid.astype(d.dtype("T2", FLOAT) if d.version >= 20 else d.choice([np.float32, x.dtype] if x.dtype.kind == "f" else [np.float32]))
    mode = d.some(*modes)
    # ONNX Runtime moves the point of a bicubic sample to the border, where the standard moves each pixel.
    outside = ["zeros", "reflection"] + (["border"] if mode not in ("cubic", "bicubic") else [])
    return Node([x, grid], mode=mode, align_corners=d.some(0, 1), padding_mode=d.some(*outside))


@op("AffineGrid")
def affine_grid(d):
    spatial = d.choice([2, 3])
    n = d.int(1, 2)
    theta = d.array([n, spatial, spatial + 1], d.dtype("T1"))
    return Node([theta, d.fixed([n, d.int(1, 2), *[d.int(2, 4) for _ in range(spatial)]])], align_corners=d.some(0, 1))


@op("Attention")
def attention(d):
    dtype = d.dtype("T1")
    batch, kv, width, value = d.int(1, 2), d.choice([1, 2]), d.choice([2, 4, 8]), d.choice([2, 4, 8])
    heads = kv * d.choice([1, 1, 2, 3])
    queries, keys = d.int(1, 5), d.int(1, 5)
    past = d.choice([0, 0, 1, 3]) if d.maybe(0.4) else None
    total = keys + (past or 0)
    attributes = {"is_causal": d.some(0, 1), "scale": d.some(0.3), "softcap": d.some(2.0) if d.maybe(0.3) else None,
                  "qk_matmul_output_mode": d.some(0, 1, 2, 3), "softmax_precision": d.some(1) if d.maybe(0.2) else None}
    if d.maybe():
        q, k, v = d.array([batch, queries, heads * width], dtype), d.array([batch, keys, kv * width], dtype), d.array([batch, keys, kv * value], dtype)
        attributes |= {"q_num_heads": heads, "kv_num_heads": kv}
    else:
        q, k, v = d.array([batch, heads, queries, width], dtype), d.array([batch, kv, keys, width], dtype), d.array([batch, kv, keys, value], dtype)
    if dtype != v.dtype:
        raise Unfit
    mask = None
    if d.maybe(0.5):
        dims = d.choice([[queries, total], [1, 1, queries, total], [batch, 1, queries, total], [batch, heads, queries, total], [1, queries, total]])
        mask = d.array(dims, bool) if d.maybe(0.4) else d.array(dims, dtype)
        if mask.dtype == bool:
            mask[..., 0] = True
    pk = d.array([batch, kv, past, width], dtype) if past is not None else None
    pv = d.array([batch, kv, past, value], dtype) if past is not None else None
    inputs = [q, k, v, mask, pk, pv]
    if d.version >= 24 and past is None and d.maybe(0.3):
        inputs.append(np.random.randint(1, keys + 1, batch).astype(np.int64))
    if past is not None:
        named = [True] * d.choice([3, 4])
    else:
        named = d.choice([[True], [True], [True, False, False, True]])
    if len(named) < 4:
        attributes.pop("qk_matmul_output_mode")
    return Node(inputs, named=named, **attributes)


@op("RotaryEmbedding")
def rotary(d):
    dtype = d.dtype("T")
    batch, heads, seq, size = d.int(1, 2), d.int(1, 3), d.int(1, 4), d.choice([4, 8])
    partial = d.choice([0, 0, 4])
    half = (partial or size) // 2
    flat = d.maybe()
    x = d.array([batch, seq, heads * size] if flat else [batch, heads, seq, size], dtype)
    ids = np.random.randint(0, 6, [batch, seq]).astype(np.int64) if d.maybe(0.6) else None
    table = [6, half] if ids is not None else [batch, seq, half]
    return Node([x, d.array(table, dtype), d.array(table, dtype), ids], interleaved=d.some(0, 1), rotary_embedding_dim=d.some(0) if not partial else partial,
                num_heads=heads if flat or d.maybe(0.3) else None)


@op("SwiGLU")
def swiglu(d):
    shape = d.shape(least=1)
    axis = d.axis(len(shape))
    if len(d.schema.inputs) == 1:
        shape[axis] = 2 * d.int(1, 3)
        x = [d.array(shape, d.dtype("T"))]
    else:
        dtype = d.dtype("T")
        x = [d.array(shape, dtype), d.array(shape, dtype)]
    given = {n: None for n in d.schema.attributes}
    if "alpha" in given:
        given["alpha"] = d.uniform(0.5, 2)
    if "axis" in given:
        given["axis"] = axis
    return Node(x, **given)


@op("LinearAttention")
def linear_attention(d):
    dtype = d.dtype("T")
    batch, kv, width, value, seq = d.int(1, 2), d.choice([1, 2]), d.choice([2, 4]), d.choice([2, 4]), d.int(1, 4)
    heads = kv * d.choice([1, 2])
    rule = d.choice(["linear", "gated", "delta", "gated_delta"])
    q, k, v = d.array([batch, seq, heads * width], dtype), d.array([batch, seq, kv * width], dtype), d.array([batch, seq, kv * value], dtype)
    state = d.array([batch, kv, width, value], dtype) if d.maybe() else None
    decay = -np.abs(d.array([batch, seq, kv * width if d.maybe() else kv], dtype)) if "gated" in rule else None
    beta = np.random.rand(batch, seq, kv if d.maybe() else 1).astype(dtype) if "delta" in rule else None
    return Node([q, k, v, state, decay, beta], 2, q_num_heads=heads, kv_num_heads=kv, update_rule=rule, scale=d.some(0.5), chunk_size=d.some(2))


@op("CausalConvWithState")
def causal_conv(d):
    dtype = d.dtype("T")
    batch, channels, length, k = d.int(1, 2), d.int(1, 3), d.int(1, 5), d.int(1, 4)
    bias = d.array([channels], dtype) if d.maybe() else None
    state = d.array([batch, channels, k - 1], dtype) if d.maybe() else None
    return Node([d.array([batch, channels, length], dtype), weight(d, d.array([channels, 1, k], dtype)), bias, state], 2,
                activation=d.some("none", "silu", "swish"))


GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ACTIVATIONS = ["Relu", "Tanh", "Sigmoid", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Softsign", "Softplus"]
PARAMETERS = {"Affine": (1, 1), "LeakyRelu": (1, 0), "ThresholdedRelu": (1, 0), "ScaledTanh": (1, 1), "HardSigmoid": (1, 1), "Elu": (1, 0)}


@op("RNN", "GRU", "LSTM")
def recurrent(d):
    dtype = d.dtype("T")
    steps, batch, width, hidden = d.int(1, 4), d.int(1, 3), d.int(1, 4), d.choice([1, 3, 5])
    direction = d.some("forward", "reverse", "bidirectional")
    n, gates = 1 + (direction == "bidirectional"), GATES[d.op]
    layout = d.some(0, 1) if d.version >= 14 and d.maybe(0.5) else None
    swap = (lambda s: [s[1], s[0], *s[2:]]) if layout else (lambda s: s)
    small = lambda shape: weight(d, d.array(shape, dtype, scale=0.5), 0.8)
    bias = small([n, 2 * gates * hidden]) if d.maybe(0.6) else None
    lens = np.random.randint(1, steps + 1, batch).astype(np.int32) if d.maybe(0.35) else None
    if lens is not None:
        lens = weight(d, lens, 0.5)
    state = lambda: d.array(swap([n, batch, hidden]), dtype)
    operands = [d.array(swap([steps, batch, width]), dtype), small([n, gates * hidden, width]), small([n, gates * hidden, hidden]), bias, lens,
                state() if d.maybe(0.5) else None]
    attributes = {"hidden_size": hidden if d.maybe(0.9) else None, "direction": direction, "layout": layout}
    if d.op == "LSTM":
        operands += [state() if d.maybe(0.5) else None, small([n, 3 * hidden]) if d.maybe(0.3) else None]
        attributes["input_forget"] = d.some(0, 1) if d.maybe(0.3) else None
    if d.op == "GRU":
        attributes["linear_before_reset"] = d.some(0, 1)
    if d.maybe(0.3):
        attributes["clip"] = d.choice([0.3, 0.8])
    if d.maybe(0.4):
        names = [d.choice(ACTIVATIONS) for _ in range({"RNN": 1, "GRU": 2, "LSTM": 3}[d.op])] * n
        # ONNX names no defaults for some of them.
        if any(a in PARAMETERS for a in names):
            attributes["activation_alpha"] = [d.choice([0.5, 1.5]) for a in names if a in PARAMETERS]
            attributes["activation_beta"] = [d.choice([0.25, 0.75]) for a in names if PARAMETERS.get(a, (0, 0))[1]]
            attributes = {k: v for k, v in attributes.items() if v != []}
        attributes["activations"] = names
    most = 3 if d.op == "LSTM" else 2
    named = d.choice([[True] * most, [True] * most, [True], [False, True], [False, False, True][:most]])
    # onnx.reference forgets the lengths, the clip, coupled gates and most activations.
    alone = lens is None and not {"clip", "activations", "input_forget"} & {k for k, v in attributes.items() if v is not None}
    return Node(operands, named=named, reference=alone, **attributes)


@op("FlexAttention", domain="preview")
def flex(d):
    dtype = d.dtype("T1")
    batch, heads, q, k, width = d.int(1, 2), d.int(1, 2), d.int(1, 4), d.int(1, 4), d.choice([2, 4])
    d.opset = 26
    return Node([d.array([batch, heads, q, width], dtype), d.array([batch, heads, k, width], dtype), d.array([batch, heads, k, width], dtype)], scale=d.some(0.5))
