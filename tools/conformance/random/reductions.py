"""Reductions, softmax and normalisations."""

import numpy as np

from grow import collect, operator

NAMES = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
         "ReduceLogSum", "ReduceLogSumExp"]


@operator(times=5)
def reduce(m):
    op = m.rng.choice(NAMES)
    x = m.pick(dtypes=(np.float32, np.float32, np.float64, np.int32, np.int64))
    if not x or (x.dtype.kind == "i" and "Log" in op):
        return
    axes = m.axes(x.rank) if x.rank else None
    if m.opset < 11 and axes:
        axes = [a % x.rank for a in axes]
    keepdims = m.rng.choice([None, 0, 1])
    operand_since = 13 if op == "ReduceSum" else 18
    if m.maybe(0.2):
        noop = m.rng.randint(0, 1) if m.opset >= operand_since else None
        m.node(op, [x], keepdims=keepdims, noop_with_empty_axes=noop)
    elif axes and m.opset < operand_since:
        m.node(op, [x], axes=axes, keepdims=keepdims)
    elif axes:
        m.node(op, [x, m.ints(axes)], keepdims=keepdims)


@operator(times=2)
def arg_reduce(m):
    x = m.pick(dtypes=(np.float32, np.int32), least=1)
    if x:
        axis = m.axis(x.rank) if m.opset >= 11 else m.rng.randrange(x.rank)
        last = m.rng.randint(0, 1) if m.opset >= 12 else None
        m.node(m.rng.choice(["ArgMax", "ArgMin"]), [x], axis=axis, keepdims=m.rng.randint(0, 1), select_last_index=last)


@operator(times=3)
def softmax(m):
    x = m.pick(dtypes=(np.float32, np.float32, np.float64), least=1)
    if x:
        axis = m.axis(x.rank) if m.opset >= 11 else m.rng.randrange(x.rank)
        m.node(m.rng.choice(["Softmax", "Softmax", "LogSoftmax", "Hardmax"]), [x], axis=axis if m.maybe(0.8) else None)


@operator(times=2)
def batch_norm(m):
    x = m.pick(least=2)
    if x:
        c = x.shape[1]
        numbers = [m.constant(m.random([c])) for _ in range(3)] + [m.constant(np.random.rand(c).astype(np.float32) + 0.1)]
        m.node("BatchNormalization", [x, *numbers], epsilon=m.rng.choice([None, 1e-3]))


@operator()
def instance_norm(m):
    x = m.pick(rank=[3, 4], where=lambda v: np.prod(v.shape[2:]) > 1)
    if x:
        m.node("InstanceNormalization", [x, m.fresh([x.shape[1]]), m.fresh([x.shape[1]])], epsilon=1e-2)


@operator(17, times=2)
def layer_norm(m):
    x = m.pick(least=1, where=lambda v: v.shape[-1] > 1)
    if x:
        axis = m.axis(x.rank)
        dims = x.shape[axis:]
        bias = m.fresh(dims) if m.maybe(0.7) else None
        m.node("LayerNormalization", [x, m.fresh(dims), bias], axis=axis, epsilon=1e-2)


@operator(18)
def group_norm(m):
    groups, per = m.rng.randint(1, 3), m.rng.randint(1, 3)
    x = m.input(m.random([m.extent(2), groups * per, *m.shape(m.rng.randint(1, 2)), 2]))
    n = groups if m.opset < 21 else groups * per
    m.node("GroupNormalization", [x, m.constant(m.random([n])), m.constant(m.random([n]))], num_groups=groups, epsilon=1e-2)


@operator(23)
def rms_norm(m):
    x = m.pick(least=1)
    if x:
        axis = m.axis(x.rank)
        m.node("RMSNormalization", [x, m.fresh(x.shape[axis:])], axis=axis, epsilon=1e-2)


@operator()
def lp_normalization(m):
    x = m.pick(least=1, where=lambda v: (np.abs(v.array) > 0.01).all())
    if x:
        m.node("LpNormalization", [x], axis=m.axis(x.rank), p=m.rng.choice([1, 2]))


@operator(9)
def mean_variance(m):
    x = m.pick(rank=4, where=lambda v: v.array.size > 8 and v.array.std(axis=(0, 2, 3)).min() > 0.1)
    if x:
        m.node("MeanVarianceNormalization", [x], axes=None if m.maybe() else [0, 2, 3])


@operator()
def lrn(m):
    x = m.pick(rank=4)
    if x:
        m.node("LRN", [x], size=m.rng.choice([1, 3, 5]), alpha=m.rng.choice([None, 0.5]), beta=m.rng.choice([None, 0.6]), bias=1.5)


OPERATORS = collect(globals())
