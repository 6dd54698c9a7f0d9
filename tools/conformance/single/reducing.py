"""Reductions, softmax, sums along axes and normalisations."""

import numpy as np

from draw import Fixed, Node, Unfit, op

REDUCE = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
          "ReduceLogSumExp"]


@op(*REDUCE)
def reduce(d):
    # ONNX Runtime's sums of exponentials of integers are integers.
    dtype = d.dtype("T", (np.float32, np.float64, np.float16) if d.op == "ReduceLogSumExp" else None)
    x = d.array(d.shape(empty=0.12), dtype, 0.15 if d.op in ("ReduceMax", "ReduceMin", "ReduceLogSumExp") else 0)
    if d.op in ("ReduceProd", "ReduceSumSquare", "ReduceSum", "ReduceL1") and dtype.itemsize == 1:
        x = (x % 2).astype(dtype)
    if dtype.kind in "iu" and ("Log" in d.op or d.op in ("ReduceL2", "ReduceMean")):
        x = np.abs(x).astype(dtype) + (1 if "Log" in d.op else 0)
        x = np.asarray(x).astype(dtype)
    if d.op == "ReduceLogSum" and d.maybe(0.9):
        x = (np.abs(x) + 0.5).astype(dtype) if dtype.kind not in "iu" else x
    if dtype.kind in "iu" and d.op == "ReduceMean" and 0 in x.shape:
        raise Unfit  # there is no mean of no integers
    axes = d.axes(x.ndim) if x.ndim and d.maybe(0.8) else None
    keepdims = d.some(0, 1)
    since = 13 if d.op == "ReduceSum" else 18
    if d.version < since:
        return Node([x], axes=axes, keepdims=keepdims)
    if axes is None and d.maybe(0.4):
        axes = []
    return Node([x, None if axes is None else d.fixed(np.array(axes, np.int64))], keepdims=keepdims, noop_with_empty_axes=d.some(0, 1))


@op("ArgMax", "ArgMin")
def arg(d):
    x = d.array(d.shape(least=1), d.dtype("T"), 0.2)
    x = np.where(x != x, np.zeros_like(x), x)
    axis = d.axis(x.ndim)
    last = d.some(0, 1) if d.version >= 12 else None
    return Node([x], exact=True, axis=d.some(0) if axis == 0 else axis, keepdims=d.some(0, 1), select_last_index=last)


@op("Softmax", "LogSoftmax", "Hardmax")
def softmax(d):
    x = d.array(d.shape(least=1), d.dtype("T"), scale=d.choice([1, 1, 30]))
    if d.maybe(0.1):
        x = np.where(np.random.rand(*x.shape) < 0.3, np.full_like(x, -np.inf), x)
    # onnx.reference has one axis in old versions too.
    return Node([x], exact=x.dtype.itemsize > 2, reference=d.op != "Hardmax" or d.version >= 13, axis=d.some(d.axis(x.ndim)))


@op("CumSum", "CumProd")
def cumulated(d):
    x = d.array(d.shape(least=1), d.dtype("T"))
    if d.op == "CumProd" and x.dtype.kind in "iu":
        x = (x % 3).astype(x.dtype)
    axis = np.array(d.axis(x.ndim), d.choice([np.int64, np.int32]))
    if d.maybe(0.2):
        axis = axis.reshape(1)
    return Node([x, d.fixed(axis, axis.dtype)], exclusive=d.some(0, 1), reverse=d.some(0, 1))


@op("LpNormalization")
def lp(d):
    x = d.array(d.shape(least=1), d.dtype("T"))
    if d.maybe(0.2):
        x = x * 0
    return Node([x], axis=d.some(d.axis(x.ndim)), p=d.some(1, 2))


def positive(d, shape, dtype):
    return np.asarray(np.random.rand(*shape) + 0.1).astype(dtype)


@op("BatchNormalization")
def batch_norm(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(least=2, empty=0.02), dtype)
    c = x.shape[1]
    kinds = [dtype] * 4
    if d.version >= 15:
        kinds = [d.choice([dtype, np.dtype(np.float32)])] * 2 + [d.choice([dtype, np.dtype(np.float32)])] * 2
    numbers = [d.array([c], k) for k in kinds[:3]] + [positive(d, [c], kinds[3])]
    if d.maybe(0.7):
        numbers = [Fixed(n) for n in numbers]
    more = {}
    outputs = 1
    if d.version >= 14 and d.maybe(0.25):
        more["training_mode"] = 1
        outputs = 3
    if d.version < 9 and d.maybe(0.5):
        more["spatial"] = 1
    return Node([x, *numbers], outputs, epsilon=d.some(1e-3, 0.1), momentum=d.some(0.8), **more)


@op("InstanceNormalization")
def instance_norm(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(least=3, empty=0.02), dtype)
    return Node([x, d.array([x.shape[1]], dtype), d.array([x.shape[1]], dtype)], epsilon=d.some(1e-2))


@op("LayerNormalization")
def layer_norm(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(least=1, empty=0.02), dtype)
    axis = d.axis(x.ndim)
    dims = x.shape[axis:]
    named = d.choice([[True], [True], [True] * 3, [True, False, True], [True, True]])
    scale = d.array(d.partner(dims) if d.maybe(0.2) else dims, dtype)
    bias = d.array(dims, dtype) if d.maybe(0.6) else None
    return Node([x, scale, bias], named=named, axis=d.some(axis) if axis == -1 else axis, epsilon=d.some(1e-2), stash_type=d.some(1))


@op("RMSNormalization")
def rms_norm(d):
    dtype = d.dtype("T")
    x = d.array(d.shape(least=1, empty=0.02), dtype)
    axis = d.axis(x.ndim)
    dims = x.shape[axis:]
    scale = d.array(d.partner(dims) if d.maybe(0.2) else dims, d.dtype("V"))
    return Node([x, scale], axis=d.some(axis) if axis == -1 else axis, epsilon=d.some(1e-2), stash_type=d.some(1))


@op("GroupNormalization")
def group_norm(d):
    groups, per = d.int(1, 3), d.int(1, 3)
    dtype = d.dtype("T")
    x = d.array([d.int(1, 2), groups * per, *d.shape(d.int(0, 3), empty=0)], dtype)
    n = groups if d.version < 21 else groups * per
    more = {"stash_type": d.some(1)} if d.version >= 21 else {}
    return Node([x, d.array([n], dtype), d.array([n], dtype)], num_groups=groups, epsilon=d.some(1e-2), **more)


@op("MeanVarianceNormalization")
def mean_variance(d):
    x = d.array(d.shape(4, empty=0), d.dtype("T"))
    return Node([x], axes=d.some([0, 2, 3], [1], [0, 1, 2, 3], [-1, 1], [2]))


@op("LRN")
def lrn(d):
    x = d.array(d.shape(d.choice([3, 4, 4, 5]), empty=0.02), d.dtype("T"))
    return Node([x], reference=False, size=d.choice([1, 3, 5]), alpha=d.uniform(0.01, 0.5), beta=d.uniform(0.3, 1), bias=d.some(1.5, 2.0))
