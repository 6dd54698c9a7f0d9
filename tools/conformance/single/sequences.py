"""Sequences, optionals and control flow: several nodes, since no tensor comes of one alone."""

import numpy as np
from onnx import TensorProto, helper

from draw import Fixed, Graph, Node, Unfit, element, op

node = helper.make_node


def tensors(d, count, dtype, same=True):
    shape = d.shape(least=1, most=3, empty=0)
    out = []
    for _ in range(count):
        dims = list(shape)
        if not same:
            dims[0] = d.int(1, 4)
        out.append(d.array(dims, dtype))
    return out


@op("SequenceConstruct", "SequenceAt", "SequenceInsert", "SequenceErase", "SequenceLength", "ConcatFromSequence", "SequenceEmpty")
def sequence(d):
    dtype = d.choice([np.float32, np.float32, np.int64, np.float64, np.bool_, np.uint8])
    count = d.int(1, 4)
    parts = tensors(d, count, dtype, same=d.op == "ConcatFromSequence")
    names = [f"x{i}" for i in range(count)]
    nodes = [node("SequenceConstruct", names, ["s"])]
    position = lambda last: Fixed(np.array(d.int(-count, last), d.choice([np.int64, np.int32])))
    inputs = list(parts)
    extra = f"x{count}"
    if d.op == "SequenceEmpty":
        nodes = [node("SequenceEmpty", [], ["e"], dtype=element(parts[0])), node("SequenceInsert", ["e", "x0"], ["s"])]
        inputs, count = parts[:1], 1
        nodes.append(node("SequenceAt", ["s", "x1"], ["y"]))
        inputs.append(Fixed(np.array(0, np.int64)))
    elif d.op in ("SequenceConstruct", "SequenceAt"):
        nodes.append(node("SequenceAt", ["s", extra], ["y"]))
        inputs.append(position(count - 1))
    elif d.op == "SequenceLength":
        nodes.append(node("SequenceLength", ["s"], ["y"]))
    elif d.op == "SequenceInsert":
        given = d.maybe(0.7)
        inputs.append(d.array(parts[0].shape, dtype))
        if given:
            inputs.append(position(count))
        nodes.append(node("SequenceInsert", ["s", extra] + [f"x{count + 1}"] * given, ["t"]))
        at = f"x{len(inputs)}"
        inputs.append(Fixed(np.array(d.int(-count - 1, count), np.int64)))
        nodes.append(node("SequenceAt", ["t", at], ["y"]))
    elif d.op == "SequenceErase":
        if count < 2:
            raise Unfit
        given = d.maybe(0.7)
        if given:
            inputs.append(position(count - 1))
        nodes.append(node("SequenceErase", ["s"] + [extra] * given, ["t"]))
        at = f"x{len(inputs)}"
        inputs.append(Fixed(np.array(d.int(-count + 1, count - 2), np.int64)))
        nodes.append(node("SequenceAt", ["t", at], ["y"]))
    else:
        stack = d.some(0, 1)
        rank = parts[0].ndim + (stack == 1)
        nodes.append(node("ConcatFromSequence", ["s"], ["y"], axis=d.int(-rank, rank - 1), **({} if stack is None else {"new_axis": stack})))
    return Graph(inputs, nodes, ["y"])


@op("SplitToSequence")
def split_to_sequence(d):
    x = d.array(d.shape(least=1, empty=0), d.choice([np.float32, np.float64, np.int64, np.bool_, np.int32]))
    axis = d.axis(x.ndim)
    n = x.shape[axis]
    attributes = {} if axis == 0 and d.maybe() else {"axis": axis}
    inputs = [x]
    style = d.choice(["none", "one", "list"])
    if style == "none":
        attributes |= {k: v for k, v in {"keepdims": d.some(0, 1)}.items() if v is not None}
        count = n
    elif style == "one":
        size = d.int(1, n)
        inputs.append(Fixed(np.array(size, d.choice([np.int64, np.int32]))))
        count = -(-n // size)
    else:
        cuts = sorted(d.int(0, n) for _ in range(2))
        inputs.append(Fixed(np.array([cuts[0], cuts[1] - cuts[0], n - cuts[1]], np.int64)))
        count = 3
    split = node("SplitToSequence", ["x0", "x1"][: len(inputs)], ["s"], **attributes)
    at = f"x{len(inputs)}"
    inputs.append(Fixed(np.array(d.int(-count, count - 1), np.int64)))
    return Graph(inputs, [split, node("SequenceAt", ["s", at], ["y"]), node("SequenceLength", ["s"], ["n"])], ["y", "n"])


@op("SequenceMap")
def sequence_map(d):
    count = d.int(1, 3)
    parts = tensors(d, count, np.float32, same=False)
    body = helper.make_graph(
        [node("Add", ["a", "c"], ["b"])], "body",
        [helper.make_tensor_value_info("a", TensorProto.FLOAT, None), helper.make_tensor_value_info("c", TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)])
    names = [f"x{i}" for i in range(count)]
    return Graph([*parts, d.array([], np.float32), Fixed(np.array(d.int(-count, count - 1), np.int64))],
                 [node("SequenceConstruct", names, ["s"]), node("SequenceMap", ["s", f"x{count}"], ["t"], body=body), node("SequenceAt", ["t", f"x{count + 1}"], ["y"])], ["y"])


@op("Optional", "OptionalHasElement", "OptionalGetElement")
def optional(d):
    x = d.array(d.shape(), d.choice([np.float32, np.int64, np.float64, np.bool_]))
    nodes = [node("Optional", ["x0"], ["o"])]
    if d.op != "OptionalGetElement":
        nodes.append(node("OptionalHasElement", ["o"], ["h"]))
    if d.op != "OptionalHasElement":
        nodes.append(node("OptionalGetElement", ["o"], ["y"]))
    return Graph([x], nodes, [n.output[0] for n in nodes[1:]])


def value(name, array):
    return helper.make_tensor_value_info(name, element(np.asarray(array)), np.asarray(array).shape)


@op("If")
def if_(d):
    dtype = d.choice([np.float32, np.float32, np.int64, np.float64, np.uint8, np.bool_])
    x = d.array(d.shape(), dtype)
    y = d.array(x.shape, dtype)
    out = helper.make_tensor_value_info("y", element(x), None)
    branch = lambda o: helper.make_graph([node(*o)], o[0], [], [helper.make_tensor_value_info(o[2][0], element(x), None)])
    numbers = dtype not in (np.bool_,)
    one = ("Add" if numbers else "And", ["x1", "x2"], ["a"])
    two = d.choice([("Identity", ["x2"], ["b"]), ("Mul" if numbers else "Or", ["x1", "x2"], ["b"])])
    condition = np.array(d.maybe()).reshape(d.choice([[], [1]]))
    if dtype == np.uint8 and d.version < 14 or d.opset < 14 and dtype in (np.uint8,):
        raise Unfit
    return Graph([d.fixed(condition, bool, 0.4), x, y], [node("If", ["x0"], ["y"], then_branch=branch(one), else_branch=branch(two))], ["y"])


@op("Loop")
def loop(d):
    """Sums, with the states after each iteration as rows; it ends by count, by condition, or by both."""
    dtype = d.choice([np.float32, np.float32, np.int64, np.float64])
    x = d.array(d.shape(most=3, empty=0), dtype)
    trips = d.int(0 if d.maybe(0.2) else 1, 5)
    cast = node("Cast", ["i"], ["j"], to=element(x))
    nodes = [cast, node("Add", ["v", "j"], ["w"]), node("Identity", ["w"], ["row"])]
    if d.maybe(0.4):
        nodes.append(node("Less", ["i", "most"], ["go"]))
    else:
        nodes.append(node("Identity", ["c"], ["go"]))
    scalar = lambda name, kind: helper.make_tensor_value_info(name, kind, [])
    rows = d.maybe()
    body = helper.make_graph(
        nodes, "body", [scalar("i", TensorProto.INT64), scalar("c", TensorProto.BOOL), value("v", x)],
        [scalar("go", TensorProto.BOOL), value("w", x)] + ([value("row", x)] if rows else []),
        [helper.make_tensor("most", TensorProto.INT64, [], [2])])
    inputs = [d.fixed(np.array(trips), probability=0.8), d.fixed(np.array(d.maybe(0.9)), bool, 0.8), x]
    names = ["x0", "x1" if d.maybe(0.8) else "", "x2"]
    if not names[1]:
        inputs[1] = None
        inputs = [inputs[0], x]
        names = ["x0", "", "x1"]
    return Graph(inputs, [node("Loop", names, ["y"] + ["z"] * rows, body=body)], ["y"] + ["z"] * rows, exact=False)


@op("Scan")
def scan(d):
    if d.version < 9:
        raise Unfit
    shape = d.shape(most=2, empty=0)
    steps = d.int(1, 4)
    rank = len(shape) + 1
    axis = d.int(-rank if d.version >= 11 else 0, rank - 1)
    x = d.array([*shape[: axis % rank], steps, *shape[axis % rank:]], np.float32)
    state = d.array(shape, np.float32)
    body = helper.make_graph([node("Add", ["s", "a"], ["t"]), node("Mul", ["s", "a"], ["b"])], "body", [value("s", state), value("a", state)], [value("t", state), value("b", state)])
    out_axis = d.int(-rank if d.version >= 11 else 0, rank - 1)
    more = {"scan_input_axes": [axis]} if axis or d.maybe() else {}
    more |= {"scan_output_axes": [out_axis]} if d.maybe() else {}
    more |= {"scan_input_directions": [d.int(0, 1)]} if d.maybe() else {}
    more |= {"scan_output_directions": [d.int(0, 1)]} if d.maybe() else {}
    return Graph([state, x], [node("Scan", ["x0", "x1"], ["y", "z"], body=body, num_scan_inputs=1, **more)], ["y", "z"], exact=False)
