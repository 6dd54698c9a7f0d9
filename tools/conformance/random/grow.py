"""Grows a model node by node. Each node is run by ONNX Runtime alone as soon as it is there, so that the next one
knows the values that it is given; what ONNX Runtime refuses is dropped, and so is what overflows."""

import json

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

ort.set_default_logger_severity(4)

# The IR version that goes with the oldest opset in it.
IR = 10
LARGEST = 3e3


def session(model, optimise=False):
    """ONNX Runtime's session of a model, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def info(name, array):
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


class Value:
    """A tensor of the model and what it holds when the model is given its inputs."""

    def __init__(self, name, array, constant=False):
        self.name, self.array, self.constant = name, array, constant

    @property
    def shape(self):
        return self.array.shape

    @property
    def rank(self):
        return self.array.ndim

    @property
    def dtype(self):
        return self.array.dtype


class Model:
    """A model that grows."""

    def __init__(self, rng, opset):
        self.rng, self.opset = rng, opset
        self.inputs, self.constants, self.nodes, self.values = [], [], [], []
        self.read = set()

    # Choices.

    def extent(self, most=7):
        return self.rng.choice([1, 1, 2, 3, 4, 5, 7]) if most >= 7 else self.rng.randint(1, most)

    def shape(self, rank=None, least=0, most=4):
        rank = self.rng.randint(least, most) if rank is None else rank
        return [self.extent() for _ in range(rank)]

    def maybe(self, probability=0.5):
        return self.rng.random() < probability

    def axis(self, rank):
        """An axis, counted from the end as often as not."""
        return self.rng.randrange(-rank, rank)

    def axes(self, rank, least=1):
        chosen = self.rng.sample(range(rank), self.rng.randint(min(least, rank), rank))
        return [a - rank if self.maybe() else a for a in chosen]

    # Tensors.

    def random(self, shape, dtype=np.float32):
        """Numbers of moderate size; a few are equal, and some are 0."""
        dtype = np.dtype(dtype)
        if dtype == bool:
            return np.asarray(np.random.rand(*shape) < 0.5)
        if dtype.kind in "iu":
            low, high = (0, 12) if dtype.kind == "u" else (-9, 10)
            return np.asarray(np.random.randint(low, high, shape)).astype(dtype)
        x = np.random.randn(*shape)
        if self.maybe(0.2):
            x = np.round(x * 2) / 2
        return np.asarray(x).astype(dtype)

    def input(self, array):
        value = Value(f"in{len(self.inputs)}", np.asarray(array))
        self.inputs.append(value)
        self.values.append(value)
        return value

    def constant(self, array):
        value = Value(f"c{len(self.constants)}", np.asarray(array), constant=True)
        self.constants.append(value)
        return value

    def ints(self, numbers):
        return self.constant(np.array(numbers, np.int64))

    def fresh(self, shape, dtype=np.float32):
        """A tensor that is an input or a constant."""
        array = self.random(shape, dtype)
        return self.constant(array) if self.maybe(0.6) else self.input(array)

    def pick(self, rank=None, dtypes=(np.float32,), least=0, where=lambda v: True):
        """A value of the model that fits, or a new one."""
        ranks = [rank] if isinstance(rank, int) else rank
        fits = [
            v for v in self.values
            if v.dtype in [np.dtype(d) for d in dtypes] and (ranks is None or v.rank in ranks) and v.rank >= least and where(v)
        ]
        if fits and self.maybe(0.85):
            return self.rng.choice(fits[-6:])
        rank = self.rng.choice(ranks) if ranks else self.rng.randint(least, 4)
        for _ in range(20):
            value = Value("", self.random(self.shape(rank), self.rng.choice(dtypes)))
            if where(value):
                return self.input(value.array)
        return None

    # Nodes.

    def node(self, op, operands, outputs=1, domain="", **attributes):
        """Appends a node if ONNX Runtime runs it and its results are of moderate size; they are returned."""
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        operand_names = [o.name if o else "" for o in operands]
        while operand_names and not operand_names[-1]:
            operand_names.pop()
        attributes = {k: v for k, v in attributes.items() if v is not None and v != []}
        node = helper.make_node(op, operand_names, names, name=f"n{len(self.nodes)}", domain=domain, **attributes)
        given = {o.name: o for o in operands if o}
        graph = helper.make_graph(
            [node], "g",
            [info(o.name, o.array) for o in given.values() if not o.constant],
            [helper.make_empty_tensor_value_info(n) for n in names],
            [numpy_helper.from_array(o.array, o.name) for o in given.values() if o.constant],
        )
        try:
            feeds = {o.name: o.array for o in given.values() if not o.constant}
            results = session(self.proto(graph)).run(None, feeds)
        except Exception:  # whatever ONNX Runtime refuses is no model
            return None
        for r in results:
            if r.size > 20000 or (r.dtype.kind in "fi" and not (np.abs(r.astype(np.float64)) < LARGEST).all()):
                return None
        made = [Value(n, np.asarray(r)) for n, r in zip(names, results)]
        self.nodes.append(node)
        self.read.update(given)
        self.values += made
        return made

    def proto(self, graph):
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR, producer_name="random"
        )

    def save(self, folder):
        """Writes the case; False where the whole model does not run or says nothing."""
        made = {n for node in self.nodes for n in node.output}
        leaves = [v for v in self.values if v.name in made and v.name not in self.read]
        inner = [v for v in self.values if v.name in made and v.name in self.read and self.maybe(0.15)]
        outputs = (leaves + inner)[:6]
        if not outputs or not any(v.array.size for v in outputs):
            return False
        inputs = [v for v in self.inputs if v.name in self.read]
        constants = [v for v in self.constants if v.name in self.read]
        graph = helper.make_graph(
            self.nodes, "random",
            [info(v.name, v.array) for v in inputs],
            [info(v.name, v.array) for v in outputs],
            [numpy_helper.from_array(v.array, v.name) for v in constants],
        )
        model = self.proto(graph)
        try:
            onnx.checker.check_model(model)
            whole = session(model)
            results = whole.run(None, {v.name: v.array for v in inputs})
            if len(self.nodes) > 2 and self.jumps(model, inputs, results):
                return False
        except Exception:  # ONNX Runtime's own gaps
            return False
        data = folder / "test_data_set_0"
        data.mkdir(parents=True)
        onnx.save(model, folder / "model.onnx")
        largest = 1.0
        for kind, values in (("input", [(v.name, v.array) for v in inputs]), ("output", zip([v.name for v in outputs], results))):
            for i, (name, array) in enumerate(values):
                array = np.asarray(array)
                if kind == "output" and array.dtype.kind == "f" and array.size:
                    largest = max(largest, float(np.abs(array.astype(np.float64)).max()))
                (data / f"{kind}_{i}.pb").write_bytes(numpy_helper.from_array(np.asarray(array), name).SerializeToString())
        half = any(v.dtype == np.float16 for v in self.values)
        tolerance = {"rtol": 2e-2 if half else 1e-3, "atol": largest * (1e-2 if half else 2e-5)}
        (folder / "data.json").write_text(json.dumps(tolerance))
        return True


    def jumps(self, model, inputs, results):
        """Whether the results change much when the inputs do in their last digits, or when ONNX Runtime optimises:
        ties that rounding decides."""
        for scale, optimise in ((1 + 1e-6, False), (1 - 1e-5, False), (1, True)):
            moved = {v.name: (v.array * scale).astype(v.dtype) if v.dtype.kind == "f" else v.array for v in inputs}
            for a, b in zip(results, session(model, optimise).run(None, moved)):
                a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
                if a.shape != b.shape or (np.abs(a - b) > 1e-3 * (1 + np.abs(a))).any():
                    return True
        return False


def grow(rng, operators):
    """A model of a few nodes, or None."""
    model = Model(rng, rng.randint(7, 23))
    usable = [op for op in operators if op.since <= model.opset <= op.until]
    target = rng.choice([1, 1, 2, 3, 4, 5, 6, 8])
    if not usable:
        return None
    for _ in range(4 * target):
        before = len(model.nodes)
        try:
            rng.choice(usable)(model)
        except (ValueError, IndexError, ZeroDivisionError):  # no choice fits, as along an axis without elements
            continue
        if len(model.nodes) - before and len(model.nodes) >= target:
            break
    return model if model.nodes else None


def operator(since=7, until=10**6, times=1):
    """Marks a function that appends one node or gives up; `times` is how often it is drawn."""

    def mark(function):
        function.since, function.until, function.times = since, until, times
        return function

    return mark


def collect(namespace):
    """The marked functions of a module."""
    return [f for f in namespace.values() if hasattr(f, "since") for _ in range(f.times)]
