"""Writes the small models that the ui tests refuse or accept. Needs the packages onnx and numpy.

    python ui-tests/models/make.py
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
F32 = TensorProto.FLOAT


def save(name, nodes, inputs, outputs, initializers=(), opset=17, **options):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", opset)] + [helper.make_opsetid(d, 1) for d in options.get("domains", [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="make.py")
    onnx.save(model, HERE / f"{name}.onnx")
    return model


def value(name, shape, dtype=F32):
    return helper.make_tensor_value_info(name, dtype, shape)


rng = np.random.default_rng(1)
w = numpy_helper.from_array(rng.normal(size=(4, 3)).astype(np.float32), "w")
b = numpy_helper.from_array(rng.normal(size=3).astype(np.float32), "b")
dense = [helper.make_node("Gemm", ["x", "w", "b"], ["h"], "dense"), helper.make_node("Relu", ["h"], ["y"], "act")]

save("dense", dense, [value("x", [1, 4])], [value("y", [1, 3])], [w, b])
save("free", dense, [value("x", ["batch", 4])], [value("y", ["batch", 3])], [w, b])
save(
    "unsupported",
    [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], "dense"),
        helper.make_node("Smooth", ["h"], ["s"], "smooth", domain="com.acme", width=3),
        helper.make_node("Sharpen", ["s"], ["y"], "sharpen", domain="com.acme"),
    ],
    [value("x", [1, 4])],
    [value("y", [1, 3])],
    [w, b],
    domains=["com.acme"],
)
# Operators of the calling program: one whose results the file declares, one whose results it does not.
save(
    "custom",
    [
        helper.make_node("DeltaR", ["x"], ["r"], "distances", domain="com.acme", period=6.2831853),
        helper.make_node("Neg", ["r"], ["near"], "nearness"),
        helper.make_node("Softmax", ["near"], ["weights"], "weights", axis=1),
        helper.make_node("Closest", ["r"], ["least", "first"], "closest", domain="com.acme", axes=[1], kind="euclid"),
        helper.make_node("Add", ["weights", "least"], ["y"], "sum"),
    ],
    [value("x", [3, 2])],
    [value("y", [3, 3]), value("first", [3], TensorProto.INT64)],
    domains=["com.acme"],
)
# The same shape of network with any number of objects.
save(
    "custom_free",
    [
        helper.make_node("DeltaR", ["x"], ["r"], "distances", domain="com.acme", period=6.2831853),
        helper.make_node("Neg", ["r"], ["near"], "nearness"),
        helper.make_node("Softmax", ["near"], ["y"], "weights", axis=1),
    ],
    [value("x", ["objects", 2])],
    [value("y", ["objects", "objects"])],
    domains=["com.acme"],
)
# Results whose extents the values decide: where x is above 0, and the rows that a mask keeps.
save(
    "chosen",
    [
        helper.make_node("Greater", ["x", "zero"], ["above"], "compare"),
        helper.make_node("NonZero", ["above"], ["where"], "places"),
        helper.make_node("Compress", ["x", "mask"], ["kept"], "keep", axis=0),
        helper.make_node("Relu", ["x"], ["y"], "act"),
    ],
    [value("x", ["rows", 3]), value("mask", ["rows"], TensorProto.BOOL)],
    [value("where", [2, "n"], TensorProto.INT64), value("kept", ["m", 3]), value("y", ["rows", 3])],
    [numpy_helper.from_array(np.zeros((), np.float32), "zero")],
)
save(
    "complex",
    [helper.make_node("Identity", ["x"], ["y"], "same")],
    [value("x", [1, 4], TensorProto.COMPLEX64)],
    [value("y", [1, 4], TensorProto.COMPLEX64)],
)
save(
    "two_inputs",
    [helper.make_node("Add", ["a", "b"], ["y"], "sum")],
    [value("a", [2, 3]), value("b", [2, 3])],
    [value("y", [2, 3])],
)
save(
    "names",
    [
        helper.make_node("Add", ["serving_default_input_2:0", "387"], ["x.1"], "1"),
        helper.make_node("Mul", ["x.1", "type"], ["x_1"], "fn"),
    ],
    [value("serving_default_input_2:0", [2]), value("387", [2]), value("type", [2])],
    [value("x.1", [2]), value("x_1", [2])],
)
save(
    "locals",
    [
        helper.make_node("MatMul", ["x", "y"], ["arena2"], "product"),
        helper.make_node("MatMul", ["arena2", "arena"], ["z"], "again"),
        helper.make_node("Gather", ["z", "weights"], ["out"], "pick", axis=0),
        helper.make_node("Split", ["out"], ["top", "rest"], "cut", axis=0),
    ],
    [value("x", [2, 2]), value("y", [2, 2]), value("arena", [2, 2]), value("weights", [2], TensorProto.INT64)],
    [value("top", [1, 2]), value("rest", [1, 2])],
    opset=13,
)
save(
    "empty_axis",
    [helper.make_node("Concat", ["x", "z"], ["y"], "join", axis=1)],
    [value("x", [2, 0]), value("z", [2, 3])],
    [value("y", [2, 3])],
)
save(
    "bools",
    [helper.make_node("Not", ["mask"], ["y"], "flip")],
    [value("mask", [3], TensorProto.BOOL)],
    [value("y", [3], TensorProto.BOOL)],
)

for name, location in [("external_missing", "gone.bin"), ("external_outside", "../../Cargo.toml")]:
    far = onnx.TensorProto(name="w", data_type=F32, dims=[4, 3], data_location=TensorProto.EXTERNAL)
    for key, entry in [("location", location), ("offset", "0"), ("length", "48")]:
        far.external_data.add(key=key, value=entry)
    graph = helper.make_graph(dense, name, [value("x", [1, 4])], [value("y", [1, 3])], [far, b])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())

whole = (HERE / "dense.onnx").read_bytes()
(HERE / "truncated.onnx").write_bytes(whole[: len(whole) // 2])
(HERE / "not_onnx.onnx").write_bytes(b"these are not the bytes of a network\n" * 3)
# A convolution whose weights are transformed when a session is made.
save(
    "winograd",
    [helper.make_node("Conv", ["x", "w"], ["y"], "conv", pads=[1, 1, 1, 1])],
    [value("x", [1, 16, 12, 12])],
    [value("y", [1, 16, 12, 12])],
    [numpy_helper.from_array(rng.normal(size=(16, 16, 3, 3)).astype(np.float32), "w")],
)
# An input decides a shape, which the file declares: `infer` returns a result.
save(
    "decides",
    [helper.make_node("Reshape", ["x", "shape"], ["y"], "fold")],
    [value("x", [2, 3]), value("shape", [2], TensorProto.INT64)],
    [value("y", [3, 2])],
)
# The values decide how much of a result there is; names that the expansion uses as well.
save(
    "counted",
    [
        helper.make_node("NonZero", ["events"], ["outputs"], "where"),
        helper.make_node("Abs", ["events"], ["computed"], "size"),
        helper.make_node("Add", ["computed", "compute"], ["event"], "sum"),
    ],
    [value("events", [1, 4]), value("compute", [1, 4])],
    [value("outputs", [2, "n"], TensorProto.INT64), value("event", [1, 4])],
)
