"""Classical learning: ai.onnx.ml."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from draw import Fixed, Graph, Node, Unfit, op

NUMBERS = (np.float32, np.float64, np.int64, np.int32)
POST = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]


def rows(d, width, dtype):
    return d.array([d.int(1, 5), width], dtype)


@op("ArrayFeatureExtractor", domain="ml")
def extractor(d):
    x = d.array(d.shape(least=1, most=3, empty=0), d.dtype("T"))
    y = np.random.randint(0, x.shape[-1], d.choice([[1], [3], [1, 2]])).astype(np.int64)
    return Node([x, y], exact=True)


@op("Binarizer", domain="ml")
def binarizer(d):
    return Node([d.array(d.shape(), d.dtype("T"))], exact=True, threshold=d.uniform(-1, 1))


@op("FeatureVectorizer", domain="ml")
def vectorizer(d):
    n, dtype = d.int(1, 3), d.dtype("T1")
    batch = d.int(1, 3)
    widths = [d.int(1, 4) for _ in range(n)]
    return Node([d.array([batch, w], dtype) for w in widths], exact=True, inputdimensions=widths)


@op("Imputer", domain="ml")
def imputer(d):
    dtype = d.dtype("T")
    x = rows(d, d.int(1, 4), dtype)
    n = d.choice([1, x.shape[1]])
    if dtype.kind == "i":
        return Node([x], exact=True, imputed_value_int64s=[d.int(-5, 50) for _ in range(n)], replaced_value_int64=d.some(0, 2))
    if d.maybe():
        x = np.where(np.random.rand(*x.shape) < 0.3, np.full_like(x, np.nan), x)
        return Node([x], exact=True, imputed_value_floats=[d.uniform(0, 9) or 1.5 for _ in range(n)], replaced_value_float=float("nan"))
    return Node([x], exact=True, imputed_value_floats=[d.uniform(0, 9) or 1.5 for _ in range(n)], replaced_value_float=d.some(0.0, 0.5))


@op("LabelEncoder", domain="ml")
def labels(d):
    if d.version == 1:
        raise Unfit
    kinds = ["int64", "float"]
    if d.version >= 4 and d.maybe(0.4):
        key, val = d.choice([np.int64, np.float32, np.int32, np.int16, np.float64]), d.choice([np.int64, np.float32, np.int32, np.int16, np.float64])
        keys = np.arange(5).astype(key)
        x = np.random.randint(-1, 7, d.shape(empty=0)).astype(key)
        default = numpy_helper.from_array(np.array([42], val), "d")
        return Node([np.asarray(x)], exact=True, keys_tensor=numpy_helper.from_array(keys, "k"), values_tensor=numpy_helper.from_array(d.array([5], val), "v"),
                    default_tensor=default if d.maybe(0.8) else None)
    key, val = d.choice(kinds), d.choice(kinds)
    if d.version == 2 and key == val:
        raise Unfit
    many = lambda k, v: {"int64": [int(i) for i in v], "float": [float(i) for i in v]}[k]
    keys = [float("nan"), 1, 2, 3, 5] if key == "float" and d.maybe(0.3) else [0, 1, 2, 3, 5]
    x = np.asarray(np.random.randint(-1, 7, d.shape(empty=0))).astype({"int64": np.int64, "float": np.float32}[key])
    if keys[0] != keys[0]:
        x = np.where(x == 0, np.full_like(x, np.nan), x)
    defaults = {}
    if d.maybe():
        defaults = {"default_int64": 7} if val == "int64" else {"default_float": 7.5}
    return Node([x], exact=True, **{f"keys_{key}s": many(key, keys), f"values_{val}s": many(val, [9, 8, 7, 6, 5])}, **defaults)


@op("LinearClassifier", domain="ml")
def linear_classifier(d):
    width, classes = d.int(1, 4), d.choice([1, 2, 2, 3, 4])
    scores = 1 if classes <= 2 and d.maybe(0.6) else classes
    x = rows(d, width, d.dtype("T1"))
    return Node([x], 2, reference=False, coefficients=[float(v) for v in np.random.randn(scores * width)], intercepts=[float(v) for v in np.random.randn(scores)] if d.maybe(0.8) else None,
                classlabels_ints=[int(v) for v in np.random.permutation(9)[:max(classes, 2) if scores == 1 and d.maybe() else classes]], multi_class=d.some(0, 1), post_transform=d.some(*POST[:4]))


@op("LinearRegressor", domain="ml")
def linear_regressor(d):
    width, targets = d.int(1, 4), d.int(1, 3)
    return Node([rows(d, width, d.dtype("T"))], coefficients=[float(v) for v in np.random.randn(targets * width)], intercepts=[float(v) for v in np.random.randn(targets)] if d.maybe(0.7) else None,
                targets=targets if targets > 1 else d.some(1), post_transform=d.some(*POST[:4]) if targets > 1 else None)


@op("Normalizer", domain="ml")
def normalizer(d):
    return Node([d.array([d.int(1, 4), d.int(1, 4)] if d.maybe(0.8) else [4], d.dtype("T"))], norm=d.some("MAX", "L1", "L2"))


@op("OneHotEncoder", domain="ml")
def one_hot(d):
    dtype = d.dtype("T")
    cats = [1, 3, 5]
    x = np.random.choice(cats + [2] if d.maybe() else cats, d.shape(least=1, most=2, empty=0)).astype(dtype)
    zeros = d.some(0, 1)
    if zeros == 0 and (x == 2).any():
        raise Unfit
    return Node([x], exact=True, cats_int64s=cats, zeros=zeros)


@op("Scaler", domain="ml")
def scaler(d):
    x = rows(d, d.int(1, 4), d.dtype("T"))
    n = d.choice([1, x.shape[1]])
    return Node([x], offset=[float(v) for v in np.random.randn(n)], scale=[float(v) for v in np.random.randn(n)])


def kernel(d):
    kind = d.choice(["LINEAR", "POLY", "RBF", "SIGMOID"])
    return {"kernel_type": kind, "kernel_params": [0.5, 0.25, float(d.int(1, 3))]}


@op("SVMRegressor", domain="ml")
def svm_regressor(d):
    width, n = d.int(1, 3), d.int(1, 4)
    x = rows(d, width, d.dtype("T", (np.float32,)))
    linear = d.maybe(0.2)
    return Node([x], coefficients=[float(v) for v in np.random.randn(width if linear else n)], support_vectors=None if linear else [float(v) for v in np.random.randn(n * width)],
                n_supports=0 if linear else n, rho=[0.3], one_class=d.some(0, 1), post_transform=d.some("NONE"),
                **(kernel(d) if not linear else {"kernel_type": "LINEAR", "kernel_params": [0.5, 0.0, 3.0]}))


@op("SVMClassifier", domain="ml")
def svm_classifier(d):
    width, classes = d.int(1, 3), d.choice([2, 2, 3])
    per = [d.int(1, 2) for _ in range(classes)]
    n = sum(per)
    pairs = classes * (classes - 1) // 2
    x = rows(d, width, d.dtype("T1"))
    prob = {"prob_a": [float(-abs(v) - 0.2) for v in np.random.randn(pairs)], "prob_b": [float(v) for v in np.random.randn(pairs)]} if d.maybe(0.4) else {}
    return Node([x], 2, vectors_per_class=per, support_vectors=[float(v) for v in np.random.randn(n * width)], coefficients=[float(v) for v in np.random.randn(n * (classes - 1))],
                rho=[float(v) for v in np.random.randn(pairs)], classlabels_ints=list(range(3, 3 + classes)), post_transform=d.some(*POST[:4]), **kernel(d), **prob)


# Where a feature is missing, BRANCH_NEQ is a question to itself: the peers hold it, ONNX's text does not.
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def forest(d, width, trees, deepest=3):
    """Rows of nodes: tree, node, feature, value, mode, true, false, missing; and the leaves."""
    mode = d.choice(MODES) if d.maybe(0.7) else None
    rows_, leaves = [], []

    def grow(tree, depth):
        me = sum(1 for r in rows_ if r[0] == tree)
        row = [tree, me, 0, 0.0, "LEAF", 0, 0, 0]
        rows_.append(row)
        if depth < deepest and d.maybe(0.75 if depth else 0.95):
            row[2], row[3], row[4] = d.int(0, width - 1), round(d.rng.uniform(-1, 1) * 2) / 2, mode or d.choice(MODES)
            row[7] = d.int(0, 1)
            row[5] = grow(tree, depth + 1)
            row[6] = grow(tree, depth + 1)
        else:
            leaves.append((tree, me))
        return me

    for tree in range(trees):
        grow(tree, 0)
    return rows_, leaves


def shared(d, rows_, wide=False):
    out = {
        "nodes_treeids": [r[0] for r in rows_], "nodes_nodeids": [r[1] for r in rows_], "nodes_featureids": [r[2] for r in rows_],
        "nodes_modes": [r[4] for r in rows_], "nodes_truenodeids": [r[5] for r in rows_], "nodes_falsenodeids": [r[6] for r in rows_],
        "nodes_missing_value_tracks_true": [r[7] for r in rows_] if d.maybe() else None,
        "nodes_hitrates": [1.0] * len(rows_) if d.maybe(0.3) and not wide else None,
    }
    values = [r[3] for r in rows_]
    if wide:
        out["nodes_values_as_tensor"] = numpy_helper.from_array(np.array(values, np.float64), "v")
    else:
        out["nodes_values"] = [float(v) for v in values]
    return out


def missing(d, x, unequal):
    if x.dtype.kind == "f" and not unequal and d.maybe(0.4):
        x = np.where(np.random.rand(*x.shape) < 0.3, np.full_like(x, np.nan), np.round(x * 2) / 2).astype(x.dtype)
    return x


@op("TreeEnsembleRegressor", domain="ml")
def tree_regressor(d):
    width, targets = d.int(1, 3), d.int(1, 3)
    rows_, leaves = forest(d, width, d.int(1, 4))
    dtype = d.dtype("T")
    x = missing(d, rows(d, width, dtype), any(r[4] == "BRANCH_NEQ" for r in rows_))
    wide = dtype == np.float64 and d.version >= 3
    pairs = [(t, n, k) for t, n in leaves for k in ([d.int(0, targets - 1)] if d.maybe(0.7) else range(targets))]
    weights = [float(v) for v in np.random.randn(len(pairs))]
    base = [float(v) for v in np.random.randn(targets)] if d.maybe(0.4) else None
    given = {"target_weights_as_tensor": numpy_helper.from_array(np.array(weights), "w")} if wide else {"target_weights": weights}
    if base:
        given |= {"base_values_as_tensor": numpy_helper.from_array(np.array(base), "b")} if wide else {"base_values": base}
    return Node([x], n_targets=targets, target_treeids=[p[0] for p in pairs], target_nodeids=[p[1] for p in pairs], target_ids=[p[2] for p in pairs],
                aggregate_function=d.some("SUM", "AVERAGE", *(["MIN", "MAX"] if targets == 1 else [])),
                post_transform=d.some("NONE", "LOGISTIC", "SOFTMAX") if d.maybe(0.3) and targets > 1 else None,
                **given, **shared(d, rows_, wide))


@op("TreeEnsembleClassifier", domain="ml")
def tree_classifier(d):
    width, classes = d.int(1, 3), d.choice([2, 2, 3])
    rows_, leaves = forest(d, width, d.int(1, 4))
    dtype = d.dtype("T1")
    x = missing(d, rows(d, width, dtype), any(r[4] == "BRANCH_NEQ" for r in rows_))
    wide = dtype == np.float64 and d.version >= 3
    # Of two classes with votes each ONNX Runtime has labels of its own.
    binary = classes == 2
    # What classes without a vote score among negative votes, ONNX does not say.
    signed = d.maybe(0.4)
    pairs = [(t, n, k) for t, n in leaves for k in ([0 if binary else d.int(0, classes - 1)] if binary or not signed and d.maybe(0.6) else range(classes))]
    weights = [float(v) for v in (np.random.randn(len(pairs)) if signed else np.random.rand(len(pairs)))]
    given = {"class_weights_as_tensor": numpy_helper.from_array(np.array(weights), "w")} if wide else {"class_weights": weights}
    if d.maybe(0.3) and (binary or classes > 2):
        base = [float(v) for v in np.random.randn(1 if binary else classes)]
        given |= {"base_values_as_tensor": numpy_helper.from_array(np.array(base), "b")} if wide else {"base_values": base}
    return Node([x], 2, classlabels_int64s=[int(v) for v in np.random.permutation(9)[: classes]], class_treeids=[p[0] for p in pairs], class_nodeids=[p[1] for p in pairs],
                class_ids=[p[2] for p in pairs], post_transform=d.some(*POST[:4]), **given, **shared(d, rows_, wide))


@op("TreeEnsemble", domain="ml")
def tree_ensemble(d):
    dtype = d.dtype("T", (np.float32, np.float64))
    width, targets, trees = d.int(1, 3), d.int(1, 3), d.int(1, 3)
    inner, leaves, roots = [], [], []

    def grow(depth):
        """A position, and whether it is a leaf."""
        if depth and (depth >= 3 or d.maybe(0.3)):
            leaves.append(d.int(0, targets - 1))
            return len(leaves) - 1, 1
        row = [0] * 8
        inner.append(row)
        me = len(inner) - 1
        row[0], row[1], row[2], row[3] = d.int(0, width - 1), round(d.rng.uniform(-1, 1) * 2) / 2, d.int(0, 6), d.int(0, 1)
        row[4], row[5] = grow(depth + 1)
        row[6], row[7] = grow(depth + 1)
        return me, 0

    for _ in range(trees):
        roots.append(grow(0)[0])
    members = []
    for row in inner:
        if row[2] == 6:
            members += [-1.0, 0.5, 1.0, float("nan")]
    column = lambda k: [int(r[k]) for r in inner]
    # What a target without a leaf has as its least or greatest, ONNX does not say.
    aggregate, transform = d.some(0, 1, 2, 3) if targets == 1 else d.some(0, 1), d.some(0, 1) if d.maybe(0.3) and targets > 1 else None
    x = missing(d, rows(d, width, dtype), 5 in column(2))
    # onnx.reference forgets the transform.
    return Node([x], reference=transform in (None, 0), n_targets=targets, aggregate_function=aggregate, post_transform=transform, tree_roots=roots,
                nodes_featureids=column(0), nodes_splits=numpy_helper.from_array(np.array([r[1] for r in inner], dtype), "s"),
                nodes_modes=numpy_helper.from_array(np.array(column(2), np.uint8), "m"), nodes_missing_value_tracks_true=column(3) if d.maybe() else None,
                nodes_truenodeids=column(4), nodes_trueleafs=column(5), nodes_falsenodeids=column(6), nodes_falseleafs=column(7), leaf_targetids=leaves,
                leaf_weights=numpy_helper.from_array(d.array([len(leaves)], dtype), "w"),
                membership_values=numpy_helper.from_array(np.array(members, dtype), "b") if members else None)
