"""Products, convolutions and pools."""

import numpy as np

from grow import collect, operator


@operator(times=4)
def matmul(m):
    x = m.pick(least=1, dtypes=(np.float32, np.float32, np.float32, np.float64))
    if not x:
        return
    k = x.shape[-1]
    style = m.rng.choice(["vector", "matrix", "batch", "left"])
    if style == "vector":
        m.node("MatMul", [x, m.fresh([k], x.dtype)])
    elif style == "matrix":
        m.node("MatMul", [x, m.fresh([k, m.rng.choice([1, 3, 8, 17])], x.dtype)])
    elif style == "batch":
        dims = [d if m.maybe() else 1 for d in x.shape[:-2]]
        m.node("MatMul", [x, m.fresh([*dims, k, m.extent()], x.dtype)])
    elif x.rank >= 2:
        m.node("MatMul", [m.fresh([m.extent(), x.shape[-2]], x.dtype), x])


@operator()
def self_product(m):
    x = m.pick(rank=[2, 3])
    if x:
        perm = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
        y = m.node("Transpose", [x], perm=perm)
        if y:
            m.node("MatMul", [x, y[0]] if m.maybe() else [y[0], x])


@operator(times=3)
def gemm(m):
    x = m.pick(rank=2)
    if not x:
        return
    ta, tb = m.rng.randint(0, 1), m.rng.randint(0, 1)
    rows, k = x.shape[::-1] if ta else x.shape
    n = m.rng.choice([1, 4, 9, 16])
    w = m.fresh([n, k] if tb else [k, n])
    c = m.fresh(m.rng.choice([[], [1], [n], [1, n], [rows, 1], [rows, n]])) if m.opset < 11 or m.maybe(0.8) else None
    m.node("Gemm", [x, w, c], transA=ta or None, transB=tb or None, alpha=m.rng.choice([None, 0.5]), beta=m.rng.choice([None, 2.0, 0.0]))


@operator(12, times=2)
def einsum(m):
    n = lambda: m.extent(4)
    a, b, c, d = n(), n(), n(), n()
    equation, shapes = m.rng.choice([
        ("ij,jk->ik", [[a, b], [b, c]]),
        ("bij,bjk->bik", [[a, b, c], [a, c, d]]),
        ("bhid,bhjd->bhij", [[a, b, c, 3], [a, b, d, 3]]),
        ("ij->ji", [[a, b]]),
        ("ii->i", [[a, a]]),
        ("ijk->", [[a, b, c]]),
        ("i,j->ij", [[a], [b]]),
        ("ij,ij->i", [[a, b], [a, b]]),
        ("...ij,...jk->...ik", [[a, b, c], [a, c, d]]),
        ("bij,kj->bik", [[a, b, c], [d, c]]),
        ("ij,jk", [[a, b], [b, c]]),
        ("abc,cd,de->abe", [[a, b, c], [c, d], [d, 2]]),
    ])
    m.node("Einsum", [m.fresh(s) for s in shapes], equation=equation)


def window(m, spatial, extents, transposed=False):
    """Kernel, strides, dilations and pads that fit."""
    kernel = [m.rng.randint(1, min(4, e)) for e in extents]
    strides = [m.rng.choice([1, 1, 2, 3]) for _ in range(spatial)]
    dilations = [m.rng.choice([1, 1, 2]) for _ in range(spatial)]
    dilations = [d if d * (k - 1) + 1 <= e or transposed else 1 for d, k, e in zip(dilations, kernel, extents)]
    attributes = {"strides": strides if m.maybe(0.8) else None, "dilations": dilations if m.maybe(0.6) else None}
    mode = m.rng.choice(["none", "pads", "pads", "SAME_UPPER", "SAME_LOWER", "VALID"])
    if mode == "pads":
        attributes["pads"] = [m.rng.randint(0, k - 1) for k in [*kernel, *kernel]]
    elif mode != "none":
        attributes["auto_pad"] = mode
        if mode.startswith("SAME") and m.maybe(0.9):
            attributes["dilations"] = None
    return kernel, attributes


def image(m, channels, spatial, most=12):
    sizes = [m.rng.randint(3, most if spatial < 3 else 6) for _ in range(spatial)]
    fits = [v for v in m.values if v.rank == spatial + 2 and v.dtype == np.float32 and v.shape[1] == channels
            and min(v.shape[2:]) > 1]
    if fits and m.maybe(0.6):
        return m.rng.choice(fits)
    return m.input(m.random([m.rng.choice([1, 1, 2]), channels, *sizes]))


def open_image(m, spatial):
    """An image of any number of channels that the model has, or a new one."""
    fits = [v for v in m.values if v.rank == spatial + 2 and v.dtype == np.float32 and min(v.shape[2:]) > 1]
    if fits and m.maybe(0.7):
        return m.rng.choice(fits)
    return image(m, m.rng.choice([1, 2, 3, 4, 8, 16]), spatial)


@operator(times=6)
def conv(m):
    spatial = m.rng.choice([1, 2, 2, 2, 3])
    x = open_image(m, spatial)
    channels = x.shape[1]
    group = m.rng.choice([g for g in range(1, channels + 1) if channels % g == 0] + [1, 1])
    filters = group * m.rng.choice([1, 2, 3, 5, 16 if group == 1 else 1])
    kernel, attributes = window(m, spatial, x.shape[2:])
    w = m.constant(m.random([filters, channels // group, *kernel]))
    bias = m.constant(m.random([filters])) if m.maybe(0.7) else None
    y = m.node("Conv", [x, w, bias], group=group if group > 1 or m.maybe(0.2) else None, **attributes)
    if y and m.maybe(0.3):
        m.node(m.rng.choice(["Relu", "Sigmoid", "Tanh"]), y)


@operator(times=3)
def conv_transpose(m):
    spatial = m.rng.choice([1, 2, 2, 3])
    x = open_image(m, spatial)
    channels = x.shape[1]
    group = m.rng.choice([g for g in range(1, channels + 1) if channels % g == 0] + [1, 1])
    kernel, attributes = window(m, spatial, x.shape[2:], transposed=True)
    if attributes.get("auto_pad", "").startswith("SAME"):
        # ONNX Runtime keeps pads from being negative, where the standard wants the extent times the stride.
        attributes["strides"] = [min(s, k) for s, k in zip(attributes.get("strides") or [1] * spatial, kernel)]
        attributes["auto_pad"] = "SAME_UPPER"
    elif attributes.get("strides") and m.maybe(0.4):
        attributes["output_padding"] = [m.rng.randint(0, s - 1) for s in attributes["strides"]]
    w = m.constant(m.random([channels, m.rng.choice([1, 2, 4]), *kernel]))
    bias = m.constant(m.random([w.shape[1] * group])) if m.maybe(0.6) else None
    m.node("ConvTranspose", [x, w, bias], group=group if group > 1 else None, **attributes)


@operator(times=4)
def pool(m):
    spatial = m.rng.choice([1, 2, 2, 3])
    x = open_image(m, spatial)
    kernel, attributes = window(m, spatial, x.shape[2:])
    if attributes.get("auto_pad", "").startswith("SAME"):
        # ONNX Runtime forgets the dilation, and shifts windows that are smaller than their stride.
        attributes["dilations"] = None
        attributes["strides"] = [min(s, k) for s, k in zip(attributes.get("strides") or [1] * spatial, kernel)]
    op = m.rng.choice(["MaxPool", "MaxPool", "AveragePool", "AveragePool", "LpPool"])
    if op == "MaxPool" and m.opset < 10 or op == "AveragePool" and m.opset < 19 or op == "LpPool" and m.opset < 18:
        attributes.pop("dilations")
    if m.opset >= 10 and op != "LpPool" or m.opset >= 18:
        attributes["ceil_mode"] = m.rng.choice([None, 0, 1]) if "auto_pad" not in attributes else None
    if op == "AveragePool":
        attributes["count_include_pad"] = m.rng.choice([None, 0, 1])
    if op == "LpPool":
        attributes["p"] = m.rng.choice([None, 1, 2, 3])
    outputs = 2 if op == "MaxPool" and m.opset >= 8 and m.maybe(0.2) else 1
    m.node(op, [x], outputs, kernel_shape=kernel, **attributes)


@operator()
def global_pool(m):
    x = open_image(m, m.rng.choice([1, 2, 3]))
    m.node(m.rng.choice(["GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"]), [x])


@operator(12)
def det(m):
    n = m.rng.randint(1, 4)
    m.node("Det", [m.input(m.random([*m.shape(most=2), n, n]))])


@operator(23, times=2)
def attention(m):
    batch, heads, width = m.extent(2), m.rng.choice([1, 2, 4]), m.rng.choice([2, 4, 8])
    queries, keys = m.extent(), m.extent()
    groups = m.rng.choice([g for g in (1, 2, 4) if heads % g == 0])
    q = m.input(m.random([batch, heads, queries, width]))
    k, v = (m.input(m.random([batch, groups, keys, width])) for _ in range(2))
    mask = m.fresh([queries, keys]) if m.maybe(0.4) else None
    m.node("Attention", [q, k, v, mask], is_causal=m.rng.randint(0, 1), scale=m.rng.choice([None, 0.3]))


OPERATORS = collect(globals())
