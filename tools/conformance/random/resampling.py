"""Resizing and sampling images."""

import numpy as np

from grow import collect, operator
from layers import open_image


@operator(11, times=3)
def resize(m):
    x = open_image(m, m.rng.choice([1, 2, 2]))
    mode = m.rng.choice(["nearest", "linear", "cubic"])
    attributes = {"mode": mode}
    choices = ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"]
    attributes["coordinate_transformation_mode"] = m.rng.choice(choices)
    if mode == "nearest":
        attributes["nearest_mode"] = m.rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    if mode == "cubic":
        attributes["cubic_coeff_a"] = m.rng.choice([None, -0.5])
        attributes["exclude_outside"] = m.rng.choice([None, 1])
        if x.rank != 4:
            return
    roi = None if m.opset >= 13 else m.constant(np.zeros([0], np.float32))
    spatial = x.rank - 2
    if m.maybe() or attributes["coordinate_transformation_mode"] == "align_corners":
        sizes = [*x.shape[:2], *[m.rng.randint(1, 10) for _ in range(spatial)]]
        none = None if m.opset >= 13 else m.constant(np.zeros([0], np.float32))
        m.node("Resize", [x, roi, none, m.ints(sizes)], **attributes)
    else:
        scales = np.array([1, 1, *[m.rng.choice([0.5, 0.6, 1.0, 1.5, 2.0, 3.0]) for _ in range(spatial)]], np.float32)
        m.node("Resize", [x, roi, m.constant(scales)], **attributes)


@operator(7, 9)
def upsample(m):
    x = open_image(m, 2)
    scales = [1.0, 1.0, m.rng.choice([1.0, 2.0, 3.0]), m.rng.choice([1.0, 2.0, 3.0])]
    mode = m.rng.choice(["nearest", "linear"])
    if m.opset < 9:
        m.node("Upsample", [x], scales=scales, mode=mode)
    else:
        m.node("Upsample", [x, m.constant(np.array(scales, np.float32))], mode=mode)


@operator(16)
def grid_sample(m):
    x = open_image(m, 2)
    grid = np.random.uniform(-1.2, 1.2, [x.shape[0], m.extent(4), m.extent(4), 2]).astype(np.float32)
    modes = ["bilinear", "nearest", "bicubic"] if m.opset < 20 else ["linear", "nearest", "cubic"]
    mode = m.rng.choice(modes)
    # ONNX Runtime moves the point of a bicubic sample to the border, where the standard moves each pixel.
    outside = ["zeros", "reflection"] + (["border"] if "cubic" not in mode else [])
    m.node("GridSample", [x, m.input(grid)], mode=mode, align_corners=m.rng.randint(0, 1), padding_mode=m.rng.choice(outside))


OPERATORS = collect(globals())
