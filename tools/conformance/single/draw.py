"""What a drawing function of an operator chooses from, and how its case is run and written."""

import json
import os

import ml_dtypes
import numpy as np
import onnx
import onnx.defs
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

ort.set_default_logger_severity(4)
DRAWERS = "drawers"
NEWEST = onnx.defs.onnx_opset_version()
DOMAINS = {"": "", "ml": "ai.onnx.ml", "ms": "com.microsoft", "preview": "ai.onnx.preview", "training": "ai.onnx.preview.training"}
TYPES = {
    "float": np.float32, "double": np.float64, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "bool": np.bool_,
    "int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64,
    "uint8": np.uint8, "uint16": np.uint16, "uint32": np.uint32, "uint64": np.uint64,
}
FLOATS = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)
HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
INTS = (np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64)


class Unfit(Exception):
    """No case comes of this draw."""


class Fixed:
    """An operand that is a constant of the file."""

    def __init__(self, array):
        self.array = np.asarray(array)


class Node:
    """What a drawing function gives: arrays (None for one that is left out), attributes, and how many results it names.
    Exact operators are compared within a hair; others add up, and small results may be what is left of large numbers.
    `named` says which results are asked for, where some in the middle are not; `reference`, whether onnx.reference does
    what the attributes say; `within`, what integers may differ by, where rounding decides."""

    def __init__(self, inputs, outputs=1, exact=False, named=None, reference=True, within=0, **attributes):
        self.inputs, self.exact, self.reference, self.within = inputs, exact, reference, within
        self.attributes = {k: v for k, v in attributes.items() if v is not None}
        self.named = named or [True] * outputs


class Graph:
    """Several nodes, for operators whose results are no tensors."""

    def __init__(self, inputs, nodes, outputs, exact=True):
        self.inputs, self.nodes, self.outputs, self.exact = inputs, nodes, outputs, exact
        self.reference, self.within = True, 0


class Draw:
    """The choices of one case."""

    def __init__(self, rng, domain, op, version):
        self.rng, self.domain, self.op, self.version = rng, domain, op, version
        if domain in ("", None):
            later = [v for v in versions("", op, 1) if v > version]
            self.opset = rng.randint(max(version, 7), max(min(later) - 1 if later else NEWEST, max(version, 7)))
        else:
            self.opset = rng.randint(17, 23)
        self.schema = None
        if domain != "ms":
            self.schema = onnx.defs.get_schema(op, version, DOMAINS[domain])

    # Choices.

    def choice(self, options):
        options = list(options)
        if not options:
            raise Unfit
        return self.rng.choice(options)

    def maybe(self, probability=0.5):
        return self.rng.random() < probability

    def int(self, low, high):
        return self.rng.randint(low, high)

    def some(self, *options):
        """One of them, or nothing, so that the default holds."""
        return self.rng.choice([None, *options])

    def uniform(self, low, high):
        return None if self.maybe(0.3) else self.rng.uniform(low, high)

    def extent(self):
        return self.rng.choice([1, 1, 2, 3, 4, 5, 7])

    def shape(self, rank=None, least=0, most=5, empty=0.04):
        rank = self.rng.randint(least, most) if rank is None else rank
        shape = [self.extent() if rank < 4 else self.rng.choice([1, 2, 2, 3, 4]) for _ in range(rank)]
        if rank and self.maybe(empty):
            shape[self.rng.randrange(rank)] = 0
        return shape

    def axis(self, rank, since=11):
        """An axis, counted from the end as often as not where the version knows that."""
        if not rank:
            raise Unfit
        return self.rng.randrange(-rank if self.opset >= since else 0, rank)

    def axes(self, rank, least=1, since=11):
        chosen = self.rng.sample(range(rank), self.rng.randint(min(least, rank), rank))
        return [a - rank if self.opset >= since and self.maybe() else a for a in chosen]

    # Types.

    def types(self, name, within=None):
        """The element types that the version permits for a type parameter or a formal operand."""
        for constraint in self.schema.type_constraints:
            if constraint.type_param_str == name:
                allowed = constraint.allowed_type_strs
                break
        else:
            formal = [f for f in [*self.schema.inputs, *self.schema.outputs] if f.name == name or f.type_str == name]
            allowed = formal[0].types
        plain = {a.removeprefix("tensor(").removesuffix(")") for a in allowed}
        found = [np.dtype(t) for n, t in TYPES.items() if n in plain]
        if within is not None:
            found = [t for t in found if t in [np.dtype(w) for w in within]]
        return found

    def dtype(self, name="T", within=None):
        found = self.types(name, within)
        if not found:
            raise Unfit
        if np.dtype(np.float32) in found and self.maybe(0.4):
            return np.dtype(np.float32)
        return self.rng.choice(found)

    # Tensors.

    def array(self, shape, dtype=np.float32, edges=0.0, scale=1.0):
        """Numbers of moderate size; some equal, some 0; with `edges`, now and then what no average number is."""
        dtype, shape = np.dtype(dtype), list(shape)
        if dtype == bool:
            return np.asarray(np.random.rand(*shape) < 0.5)
        if dtype.kind in "iu":
            low, high = (0, 12) if dtype.kind == "u" else (-9, 10)
            x = np.asarray(np.random.randint(low, high, shape)).astype(dtype)
            if self.maybe(edges):
                info = np.iinfo(dtype)
                odd = np.array([info.min, info.max, 0, info.max // 2 + 1], dtype)
                x = np.where(np.random.rand(*shape) < 0.3, odd[np.random.randint(0, len(odd), shape)], x)
            return np.asarray(x).astype(dtype)
        x = np.random.randn(*shape) * scale
        if self.maybe(0.3):
            x = np.round(x * 2) / 2
        if self.maybe(edges):
            odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1e-30, -1e-5, 80.0, -80.0, 1e30, 3e4])
            x = np.where(np.random.rand(*shape) < 0.4, odd[np.random.randint(0, len(odd), shape)], x)
        with np.errstate(over="ignore"):
            return np.asarray(x).astype(dtype)

    def fixed(self, array, dtype=np.int64, probability=0.75):
        """An operand that decides shapes: mostly a constant."""
        array = np.asarray(array, dtype)
        return Fixed(array) if self.maybe(probability) else array

    def partner(self, shape):
        """A shape that broadcasts with another."""
        dims = [1 if self.maybe(0.3) else d for d in shape]
        style = self.choice(["same", "same", "cut", "long", "scalar"])
        if style == "cut" and dims:
            dims = dims[self.rng.randint(0, len(dims)):]
        elif style == "long" and len(dims) < 5:
            dims = [self.extent()] + dims
        elif style == "scalar":
            dims = []
        return dims if style != "same" or self.maybe(0.3) else list(shape)


def versions(domain, op, least=7):
    """The versions of an operator that opset `least` and later ones see."""
    if domain == "ms":
        return [1]
    all_ = sorted({s.since_version for s in HISTORY if s.name == op and s.domain == DOMAINS[domain]})
    if domain:
        return all_
    seen = [v for v in all_ if v <= least]
    return sorted(([max(seen)] if seen else []) + [v for v in all_ if v > least])


HISTORY = onnx.defs.get_all_schemas_with_history()


def op(*names, domain=""):
    """Marks a function that draws a case of each of these operators."""

    def mark(function):
        function.draws = [(domain, n) for n in names]
        return function

    return mark


def collect(namespace):
    return {key: f for f in namespace.values() for key in getattr(f, "draws", [])}


# Running and writing.


def element(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype)


def info(name, array):
    if isinstance(array, list):
        first = array[0] if array else np.zeros([0], np.float32)
        return helper.make_tensor_sequence_value_info(name, element(first), None)
    return helper.make_tensor_value_info(name, element(array), array.shape)


def model(case, made):
    """The model without the types of its results, and what it is fed."""
    feeds, constants, names, known = [], [], [], {}
    for i, x in enumerate(made.inputs):
        if x is None:
            names.append("")
            continue
        if id(x) in known:
            names.append(known[id(x)])
            continue
        name = known[id(x)] = f"x{i}"
        fixed = isinstance(x, Fixed)
        array = x.array if fixed else x if isinstance(x, list) else np.asarray(x)
        if not fixed and not isinstance(x, list) and case.maybe(0.15):
            fixed = True
        names.append(name)
        (constants if fixed else feeds).append((name, array))
    domain = DOMAINS[case.domain]
    if isinstance(made, Graph):
        nodes, outputs = made.nodes, made.outputs
    else:
        while names and not names[-1]:
            names.pop()
        outputs = [f"y{i}" if n else "" for i, n in enumerate(made.named)]
        nodes = [helper.make_node(case.op, names, outputs, name="n0", domain=domain, **made.attributes)]
        outputs = [o for o in outputs if o]
    graph = helper.make_graph(
        nodes, case.op,
        [info(n, a) for n, a in feeds],
        [onnx.ValueInfoProto(name=o) for o in outputs],
        [numpy_helper.from_array(a, n) for n, a in constants],
    )
    imports = [helper.make_opsetid("", case.opset)]
    if domain:
        imports.append(helper.make_opsetid(domain, case.version))
    ir = helper.find_min_ir_version_for(imports) if case.domain in ("", "ml") else 10
    return helper.make_model(graph, opset_imports=imports, ir_version=max(ir, 4), producer_name="single"), feeds, outputs


def by_ort(proto, feeds):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    given = {}
    for name, array in feeds:
        if not isinstance(array, list) and array.dtype.kind == "V":
            plain = np.uint16 if array.dtype.itemsize == 2 else np.uint8
            array = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array.view(plain), element(array))
        given[name] = array
    if any(o.type == "tensor(bfloat16)" or "float8" in o.type or "int4" in o.type for o in session.get_outputs()):
        raise Unfit  # numpy has no such types
    return session.run(None, given)


def by_reference(proto, feeds):
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(proto).run(None, dict(feeds))


def attempt(run, *args):
    try:
        results = run(*args)
    except Exception as why:
        if os.environ.get("VERBOSE"):
            print(run.__name__, type(why).__name__, str(why)[:300])
        return None
    return [r if isinstance(r, list) else np.asarray(r) for r in results]


def tolerance(made, arrays):
    flat = [a for x in arrays for a in (x if isinstance(x, list) else [x])]
    half = any(a.dtype in HALVES for a in flat)
    largest = 1.0
    for a in flat:
        if a.dtype.kind in "fV" and a.size:
            finite = a.astype(np.float64)
            finite = finite[np.isfinite(finite)]
            largest = max(largest, np.abs(finite).max(initial=0))
    if half:
        return {"rtol": 2e-2, "atol": 1e-3 if made.exact else largest * 1e-2}
    return {"rtol": 1e-3, "atol": made.within or (1e-7 if made.exact else largest * 1e-5)}


def agree(a, b, rtol, atol):
    for x, y in zip(a, b):
        if isinstance(x, list) or isinstance(y, list):
            if not (isinstance(x, list) and isinstance(y, list)) or len(x) != len(y) or not agree(x, y, rtol, atol):
                return False
            continue
        if x.shape != y.shape or x.dtype != y.dtype:
            return False
        if not np.allclose(x.astype(np.float64), y.astype(np.float64), rtol, atol, equal_nan=True):
            return False
    return True


def typed(case, proto, outputs, results):
    """The model whose results have types and shapes; one in eight declares no extents of them."""
    del proto.graph.output[:]
    loose = case.maybe(0.12)
    for name, array in zip(outputs, results):
        value = info(name, array)
        if loose and not isinstance(array, list):
            value = helper.make_tensor_value_info(name, element(array), [None] * array.ndim)
        proto.graph.output.append(value)
    return proto


def write(case, made, out, name):
    """Runs a case and writes it. False where neither runs it."""
    if made is None:
        return False
    proto, feeds, outputs = model(case, made)
    reference = attempt(by_reference, proto, feeds) if made.reference else None
    first = attempt(by_ort, proto, feeds)
    results = first or reference
    if not results or any(not isinstance(r, list) and r.dtype.kind in "OUS" for r in results):
        return False
    proto = typed(case, proto, outputs, results)
    bounds = tolerance(made, [a for _, a in feeds] + results)
    try:
        # Strictly, so that results of a type or shape that the operator does not have are no case.
        onnx.checker.check_model(proto, full_check=first is None)
    except Exception as why:
        if case.domain != "ms":
            if os.environ.get("VERBOSE"):
                print("checker", why)
            return False
    if first and reference:
        kind = "both" if agree(first, reference, **bounds) else "differ"
    else:
        kind = "ort" if first else "ref"
    folder = out / kind / name
    for kind_, given in ([("", results)] if kind != "differ" else [("", first), ("_ref", reference)]):
        data = folder.parent.parent / (kind + kind_) / name / "test_data_set_0"
        data.mkdir(parents=True, exist_ok=True)
        onnx.save(proto, data.parent / "model.onnx")
        for which, arrays in (("input", [a for _, a in feeds]), ("output", given)):
            for i, array in enumerate(arrays):
                make = numpy_helper.from_list if isinstance(array, list) else numpy_helper.from_array
                (data / f"{which}_{i}.pb").write_bytes(make(array, (feeds[i][0] if which == "input" else outputs[i])).SerializeToString())
        (data.parent / "data.json").write_text(json.dumps(bounds))
    return True
