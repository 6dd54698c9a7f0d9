"""Spectra, windows, losses, suppression, text features and the optimisers' steps."""

import numpy as np
from onnx import TensorProto

from draw import Fixed, Node, Unfit, op


@op("DFT")
def dft(d):
    dtype = d.dtype("T1")
    rank = d.int(2, 4)
    shape = [d.int(1, 6) for _ in range(rank - 1)]
    onesided, inverse = d.some(0, 1), d.some(0, 1)
    axis = d.int(0, rank - 2)
    if rank == 2:
        shape = [d.int(1, 3), *shape]
        rank, axis = 3, 1
    complex_ = d.maybe() if not onesided else bool(inverse)
    if inverse and onesided and d.version < 20:
        raise Unfit
    x = d.array([*shape, 2 if complex_ else 1], dtype)
    length = d.fixed(np.array(d.int(1, 8))) if d.maybe(0.4) else None
    if d.version < 20:
        return Node([x, length], axis=d.some(axis) if axis == 1 else axis, inverse=inverse, onesided=onesided)
    axis = axis - rank if d.maybe() else axis
    given = None if axis in (-2, rank - 2) and d.maybe() else d.fixed(np.array(axis), d.choice([np.int64]), 0.9)
    return Node([x, length, given], inverse=inverse, onesided=onesided)


@op("STFT")
def stft(d):
    dtype = d.dtype("T1", (np.float32, np.float64))
    n, length = d.int(8, 20), d.choice([4, 5, 8])
    # PyTorch's exporter leaves the last axis out, and ONNX Runtime takes that.
    short = d.maybe(0.25)
    x = d.array([d.int(1, 2), n] if short else [d.int(1, 2), n, 1], dtype)
    window = d.array([length], dtype) if d.maybe(0.6) else None
    frame = d.fixed(np.array(length)) if window is None or d.maybe() else None
    return Node([x, Fixed(np.array(d.int(1, 4), np.int64)), window, frame], reference=not short, onesided=d.some(0, 1))


@op("HannWindow", "HammingWindow", "BlackmanWindow")
def windows(d):
    to = d.dtype("T2", (np.float32, np.float64, np.float16, np.int32))
    from draw import element

    return Node([d.fixed(np.array(d.int(2, 12) if to.kind == "i" else d.int(1, 12)), d.choice([np.int64, np.int32]))], periodic=d.some(0, 1), output_datatype=d.some(element(np.zeros(0, to))))


@op("MelWeightMatrix")
def mel(d):
    number = lambda v, t: d.fixed(np.array(v), t, 0.9)
    integer = d.choice([np.int64, np.int32])
    return Node([number(d.int(2, 8), integer), number(d.choice([16, 33, 64]), integer), number(d.choice([8000, 16000]), integer), number(d.choice([0.0, 20.0]), np.float32),
                 number(d.choice([3000.0, 4000.0]), np.float32)], output_datatype=d.some(1, 11))


@op("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
def loss(d):
    dtype = d.dtype("T")
    n, c = d.int(1, 3), d.int(1, 5)
    extra = [d.int(1, 3) for _ in range(d.int(0, 3))]
    x = d.array([n, c, *extra], dtype)
    target = np.random.randint(0, c, [n, *extra]).astype(d.choice([np.int64, np.int32]))
    weights = np.random.rand(c).astype(dtype) + dtype.type(0.1) if d.maybe() else None
    ignored = d.some(0, -1, 9) if d.maybe() else None
    if ignored is not None and ignored != 0:
        target = np.where(np.random.rand(*target.shape) < 0.3, target.dtype.type(ignored), target).astype(target.dtype)
        target.flat[0] = 0
    outputs = d.int(1, 2) if d.op.startswith("Soft") else 1
    return Node([x, target, weights], outputs, reduction=d.some("none", "mean", "sum"), ignore_index=ignored)


@op("NonMaxSuppression")
def suppression(d):
    batch, boxes, classes = d.int(1, 2), d.int(1, 6), d.int(1, 3)
    corners = np.random.rand(batch, boxes, 4).astype(np.float32)
    centre = d.some(0, 1)
    if not centre and d.maybe(0.6):
        corners = np.concatenate([np.minimum(corners[..., :2], corners[..., 2:]), np.maximum(corners[..., :2], corners[..., 2:])], -1)
    scores = np.random.rand(batch, classes, boxes).astype(np.float32)
    if d.maybe(0.2):
        scores = np.round(scores * 3) / 3
    scores = scores.astype(np.float32)
    shape = d.choice([[], [1]])
    most = d.fixed(np.full(shape, d.choice([0, 1, 2, 10])), probability=0.9) if d.maybe(0.9) else None
    over = d.fixed(np.full(shape, d.choice([0.0, 0.3, 0.5, 1.0])), np.float32) if d.maybe(0.7) else None
    score = d.fixed(np.full(shape, d.choice([0.0, 0.4, 2.0])), np.float32) if d.maybe(0.6) else None
    return Node([corners, scores, most, over, score], exact=True, center_point_box=centre)


@op("TfIdfVectorizer")
def tfidf(d):
    pool = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7]
    counts = [0, 4]
    indexes = [0, 1, 2, 3, 4, 5, 6]
    x = np.random.randint(2, 9, [d.int(1, 2), 8] if d.maybe() else [8]).astype(d.choice([np.int32, np.int64]))
    return Node([x], exact=True, mode=d.choice(["TF", "IDF", "TFIDF"]), min_gram_length=d.choice([1, 2]), max_gram_length=2, max_skip_count=d.int(0, 5), pool_int64s=pool,
                ngram_counts=counts, ngram_indexes=indexes, weights=[0.5 + i for i in range(7)] if d.maybe() else None)


@op("Adagrad", "Adam", "Momentum", domain="training")
def optimiser(d):
    dtype = d.dtype("T3", (np.float32, np.float64)) if d.op != "Momentum" else d.dtype("T3", (np.float32, np.float64))
    n = d.int(1, 2)
    shapes = [d.shape(most=3, empty=0) for _ in range(n)]
    states = {"Adagrad": 1, "Momentum": 1, "Adam": 2}[d.op]
    rate, step = np.array(0.1, d.dtype("T1")), np.array(d.int(0, 3), np.int64)
    tensors = [d.array(s, dtype) for _ in range(2) for s in shapes]
    tensors += [np.abs(d.array(s, dtype)) for _ in range(states) for s in shapes]
    attributes = {"norm_coefficient": 0.001}
    if d.op == "Adagrad":
        attributes |= {"epsilon": 1e-5, "decay_factor": d.some(0.1)}
    elif d.op == "Adam":
        attributes |= {"alpha": d.some(0.8), "beta": d.some(0.9), "epsilon": 1e-2, "norm_coefficient_post": d.some(0.01)}
    else:
        attributes |= {"alpha": 0.9, "beta": 0.8, "mode": d.choice(["standard", "nesterov"])}
    return Node([rate, step, *tensors], n * (1 + states), **attributes)
