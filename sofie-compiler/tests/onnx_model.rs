//! Models: headers, names and scopes, order, functions, and how each contradiction is refused.

mod common;

use common::build::*;
use sofie_infer_compiler::onnx::proto::attribute_proto::AttributeType;
use sofie_infer_compiler::onnx::proto::tensor_proto::DataType;
use sofie_infer_compiler::onnx::proto::{
    GraphProto, ModelProto, TrainingInfoProto, TypeProto, ValueInfoProto, type_proto,
};
use sofie_infer_compiler::onnx::{Attribute, DimSpec, Graph, Model, NoExternalData, ValueType, parse};
use sofie_infer_runtime::DType;

fn read(proto: &ModelProto) -> Model {
    parse(bytes(proto), &NoExternalData).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(proto: &ModelProto) -> String {
    parse(bytes(proto), &NoExternalData).unwrap_err().to_string()
}

/// Nodes as `op(inputs) -> outputs`, one a line.
fn lines(graph: &Graph) -> Vec<String> {
    let names = |names: &[Option<_>]| {
        names
            .iter()
            .map(|n| n.as_ref().map_or("-".to_owned(), ToString::to_string))
            .collect::<Vec<_>>()
            .join(" ")
    };
    graph
        .nodes
        .iter()
        .map(|n| format!("{}({}) -> {}", n.op_type, names(&n.inputs), names(&n.outputs)))
        .collect()
}

#[test]
fn a_rich_model_is_read_whole() {
    let model = read(&rich());
    assert_eq!((model.ir_version, model.producer.as_str()), (10, "test"));
    assert_eq!(model.opsets.iter().collect::<Vec<_>>(), [("", 21), ("local", 1)]);
    let graph = &model.graph;
    assert_eq!(
        lines(graph),
        [
            "Constant() -> call/k",
            "Mul(x call/k) -> call/t",
            "Add(call/t w) -> h",
            "If(c) -> y",
            "Constant() -> i",
            "Odd(y - s i q) -> z - o",
        ]
    );
    let [constant, mul, .., odd] = graph.nodes.as_slice() else { panic!() };
    assert_eq!(constant.attrs().float("value_float").unwrap(), Some(0.5));
    assert_eq!((mul.version, mul.name.as_str()), (18, "call/mul"));
    assert_eq!(
        mul.place().to_string(),
        "node #0 \"call/mul\" (Mul-18) in function local.Scaled, called by node #0 \"call\" (local.Scaled-1)"
    );
    let attrs = odd.attrs();
    assert_eq!(attrs.ints("axes").unwrap(), Some(&[-1, 0][..]));
    assert_eq!((attrs.int("zero").unwrap(), attrs.string("mode").unwrap()), (Some(0), Some("linear")));
    attrs.finish().unwrap();
    assert_eq!(odd.require_input(0, "data").unwrap().to_string(), "y");
    assert!(odd.require_input(1, "bias").unwrap_err().to_string().contains("input 1 (bias) is missing"));

    let [x, c, d] = graph.inputs.as_slice() else { panic!() };
    assert_eq!(x.tensor().unwrap(), (DType::F32, Some(&[DimSpec::Const(3)][..])));
    assert_eq!(c.tensor().unwrap(), (DType::Bool, Some(&[][..])));
    let shape = [DimSpec::Symbol("batch".into()), DimSpec::Unknown, DimSpec::Const(0)];
    assert_eq!(d.tensor().unwrap(), (DType::F16, Some(&shape[..])));
    assert_eq!(d.ty.to_string(), "f16[batch, ?, 0]");
    assert_eq!(graph.value_info["o"].to_string(), "sequence of i64[n]");
    assert_eq!(graph.initializers.iter().map(|i| i.name.to_string()).collect::<Vec<_>>(), ["w", "q", "s"]);
    assert_eq!(graph.initializer("s").unwrap().to_f32().unwrap(), [0.0, 5.0, 0.0, 6.0, 0.0, 0.0]);
}

#[test]
fn subgraphs_see_outer_names_and_get_names_of_their_own() {
    let model = read(&rich());
    let node = model.graph.nodes.iter().find(|n| n.op_type == "If").unwrap();
    let attrs = node.attrs();
    let (then, other) =
        (attrs.graph("then_branch").unwrap().unwrap(), attrs.graph("else_branch").unwrap().unwrap());
    // Attributes are read in the order of the file, so the then branch has the name first.
    assert_eq!(lines(then), ["Add(h w) -> r"]);
    assert_eq!(lines(other), ["Sub(h w) -> r.1"]);
    assert_eq!(&*other.outputs[0].name, "r.1");
    let place = other.nodes[0].place().to_string();
    assert_eq!(place, "node #0 \"inner\" (Sub-21) in else_branch of node #1 \"if\" (If-21)");
}

#[test]
fn initializers_that_are_inputs_are_constants() {
    let mut g = graph_of(&["x", "w"], &[node("Add", &["x", "w"], &["y"])], &["y"]);
    g.initializer.push(f32s("w", &[3], &[1.0, 2.0, 3.0]));
    let model = read(&model(g));
    assert_eq!(model.graph.inputs.iter().map(|i| i.name.to_string()).collect::<Vec<_>>(), ["x"]);
    assert_eq!(model.graph.initializers.len(), 1);
}

#[test]
fn inputs_and_constants_can_be_outputs() {
    let mut g = graph_of(&["x"], &[], &["x", "w"]);
    g.initializer.push(f32s("w", &[3], &[1.0, 2.0, 3.0]));
    assert_eq!(read(&model(g)).graph.outputs.len(), 2);
    assert!(refused(&model(graph_of(&["x"], &[], &["x", "x"]))).contains("lists the output twice"));
}

#[test]
fn nodes_are_sorted_where_they_are_not() {
    let sorted =
        [node("Relu", &["x"], &["a"]), node("Exp", &["x"], &["b"]), node("Add", &["a", "b"], &["y"])];
    let expected = lines(&read(&model(graph_of(&["x"], &sorted, &["y"]))).graph);
    assert_eq!(expected, ["Relu(x) -> a", "Exp(x) -> b", "Add(a b) -> y"]);
    let mut turned = sorted.to_vec();
    turned.reverse();
    let read_turned = read(&model(graph_of(&["x"], &turned, &["y"]))).graph;
    assert_eq!(lines(&read_turned), ["Exp(x) -> b", "Relu(x) -> a", "Add(a b) -> y"]);
    assert_eq!(read_turned.nodes.iter().map(|n| n.index).collect::<Vec<_>>(), [1, 2, 0]);

    // What a branch takes from outside counts as read by the node.
    let branch = |name| graph(name, graph_of(&[], &[node("Neg", &["a"], &["r"])], &["r"]));
    let early = node("If", &["x"], &["y"]).with(branch("then_branch")).with(branch("else_branch"));
    let model = read(&model(graph_of(&["x"], &[early, node("Relu", &["x"], &["a"])], &["y"])));
    assert_eq!(lines(&model.graph), ["Relu(x) -> a", "If(x) -> y"]);
}

#[test]
fn circles_are_named() {
    let nodes = [
        node("Relu", &["x"], &["a"]),
        node("Add", &["a", "d"], &["b"]).named("first"),
        node("Exp", &["b"], &["c"]),
        node("Neg", &["c"], &["d"]),
        node("Abs", &["d"], &["y"]),
    ];
    let error = refused(&model(graph_of(&["x"], &nodes, &["y"])));
    assert!(error.contains("in a circle: node #"), "{error}");
    for part in ["node #1 \"first\" (Add-21)", "node #2 (Exp-21)", "node #3 (Neg-21)"] {
        assert!(error.contains(part), "{error}");
    }
    assert!(!error.contains("Abs") && !error.contains("Relu"), "{error}");
    let own = refused(&model(graph_of(&["x"], &[node("Add", &["x", "y"], &["y"])], &["y"])));
    assert!(own.contains("in a circle: node #0 (Add-21)"), "{own}");
}

#[test]
fn all_problems_come_at_once() {
    let nodes = [
        node("Add", &["x", "gone"], &["a"]).named("add"),
        node("Relu", &["x"], &["a"]),
        node("Foo", &["x"], &["b"]).domain("acme"),
        node("Mul", &["a", "b"], &["y"]).with(int("axis", 1)).with(int("axis", 2)),
    ];
    let mut g = graph_of(&["x"], &nodes, &["y", "z"]);
    g.initializer = vec![f32s("w", &[2], &[1.0]), f32s("w", &[1], &[1.0])];
    let error = refused(&model(g));
    assert!(error.starts_with("7 errors:"), "{error}");
    for part in [
        "node #0 \"add\" (Add-21), tensor \"gone\": no input, initializer or node of this name",
        "node #1 (Relu-21), tensor \"a\": the tensor is defined twice",
        "node #2 (acme.Foo): the model imports no opset of the operator's domain acme",
        "node #3 (Mul-21): attribute \"axis\" is there twice",
        "tensor \"w\": f32[2] takes 8 bytes, but there are 4",
        "tensor \"w\": the initializer is there twice",
        "tensor \"z\": no node computes the output",
    ] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
}

#[test]
fn names_must_be_there_and_single() {
    let twice = graph_of(&["x", "x"], &[node("Relu", &["x"], &["y"])], &["y"]);
    assert!(refused(&model(twice)).contains("tensor \"x\": the input is there twice"));
    let nameless = graph_of(&[""], &[node("Relu", &["x"], &["y"])], &["y"]);
    assert!(refused(&model(nameless)).contains("an input has no name"));
    let input = graph_of(&["x"], &[node("Relu", &["x"], &["x"])], &["x"]);
    assert!(refused(&model(input)).contains("defined twice"));
}

#[test]
fn a_subgraph_hides_outer_names() {
    // The branch computes an `a` of its own; the output of the graph is still the outer one.
    let branch = |name, op: &str| {
        graph(name, graph_of(&[], &[node(op, &["x"], &["a"]), node("Abs", &["a"], &["r"])], &["r"]))
    };
    let nodes = [
        node("Relu", &["x"], &["a"]),
        node("If", &["x"], &["y"]).with(branch("then_branch", "Exp")).with(branch("else_branch", "Neg")),
    ];
    let model = read(&model(graph_of(&["x"], &nodes, &["a", "y"])));
    let attrs = model.graph.nodes[1].attrs();
    let (then, other) =
        (attrs.graph("then_branch").unwrap().unwrap(), attrs.graph("else_branch").unwrap().unwrap());
    assert_eq!(lines(then), ["Exp(x) -> a.1", "Abs(a.1) -> r"]);
    assert_eq!(lines(other), ["Neg(x) -> a.2", "Abs(a.2) -> r.1"]);
    assert_eq!(&*model.graph.outputs[0].name, "a");
}

#[test]
fn versions_are_checked() {
    let with = |ir, opsets: &[(&str, i64)]| ModelProto {
        ir_version: Some(ir),
        opset_import: opsets.iter().map(|(d, v)| opset(d, *v)).collect(),
        ..model(graph_of(&["x"], &[node("Relu", &["x"], &["y"])], &["y"]))
    };
    for (ir, opsets) in
        [(3, &[("", 1)][..]), (14, &[("ai.onnx", 28), ("", 28)]), (8, &[("", 17), ("acme", 900)])]
    {
        read(&with(ir, opsets));
    }
    assert!(refused(&with(2, &[("", 6)])).contains("IR version 2 is too old"));
    assert!(refused(&with(15, &[("", 21)])).contains("IR version 15 is not known"));
    assert!(refused(&with(8, &[("", 29)])).contains("opset 29 of ai.onnx is not known"));
    assert!(refused(&with(8, &[("", 17), ("ai.onnx", 18)])).contains("as opset 17 and as opset 18"));
    assert!(refused(&with(8, &[("ai.onnx.ml", 3)])).contains("no opset of the operator's domain ai.onnx"));
}

#[test]
fn attributes_without_a_type_are_told_by_their_value() {
    let untyped = |a: sofie_infer_compiler::onnx::proto::AttributeProto| {
        let a = sofie_infer_compiler::onnx::proto::AttributeProto { r#type: None, ..a };
        model(graph_of(&["x"], &[node("Foo", &["x"], &["y"]).with(a)], &["y"]))
    };
    let value = |proto| read(&proto).graph.nodes[0].attributes["a"].clone();
    assert_eq!(value(untyped(int("a", 0))), Attribute::Int(0));
    assert_eq!(value(untyped(ints("a", &[1, 2]))), Attribute::Ints(vec![1, 2]));
    assert!(
        refused(&untyped(ints("a", &[]))).contains("attribute \"a\": the attribute's type cannot be told")
    );

    let typed = |a| model(graph_of(&["x"], &[node("Foo", &["x"], &["y"]).with(a)], &["y"]));
    assert_eq!(value(typed(attribute("a", AttributeType::Int))), Attribute::Int(0));
    assert_eq!(value(typed(attribute("a", AttributeType::Floats))), Attribute::Floats(vec![]));
    let contradiction =
        typed(sofie_infer_compiler::onnx::proto::AttributeProto { f: Some(1.0), ..int("a", 1) });
    assert!(refused(&contradiction).contains("says that it is INT but holds FLOAT"));
    assert!(refused(&typed(attribute("a", AttributeType::Tensor))).contains("its tensor is not there"));
    assert!(refused(&typed(reference("a", "b", AttributeType::Int))).contains("outside one"));
}

#[test]
fn types_beyond_tensors_are_represented() {
    let element =
        || TypeProto { value: value("", DataType::Float, &["n"]).r#type.unwrap().value, denotation: None };
    let sequence = type_proto::Value::SequenceType(Box::new(type_proto::Sequence {
        elem_type: Some(Box::new(element())),
    }));
    let map = type_proto::Value::MapType(Box::new(type_proto::Map {
        key_type: Some(DataType::String as i32),
        value_type: Some(Box::new(element())),
    }));
    let mut g = graph_of(&["x"], &[node("Relu", &["x"], &["y"])], &["y"]);
    g.input.extend([typed("s", sequence), typed("m", map), value("t", DataType::String, &["2"])]);
    g.input.push(ValueInfoProto { name: Some("u".into()), ..ValueInfoProto::default() });
    let problems: Vec<String> =
        read(&model(g)).graph.inputs[1..].iter().map(|i| i.tensor().unwrap_err().to_string()).collect();
    assert!(problems[0].contains("tensor \"s\": a sequence of f32[n] is not supported"), "{problems:?}");
    assert!(
        problems[1].contains("tensor \"m\": a map from string to f32[n] is not supported"),
        "{problems:?}"
    );
    assert!(problems[2].contains("tensor \"t\": element type string is not supported"), "{problems:?}");
    assert!(problems[3].contains("tensor \"u\": the element type is not declared"), "{problems:?}");
    let mut g = graph_of(&["x"], &[node("Relu", &["x"], &["y"])], &["y"]);
    g.input[0] = value("x", DataType::Float, &["?", "-1", "None", "N"]);
    assert_eq!(read(&model(g)).graph.inputs[0].ty.to_string(), "f32[?, ?, ?, N]");
}

#[test]
fn what_changes_nothing_is_left_out() {
    let mut proto = model(graph_of(&["x"], &[node("Relu", &["x"], &["y"])], &["y"]));
    proto.doc_string = Some(b"caf\xe9".to_vec().into());
    proto.training_info = vec![TrainingInfoProto {
        algorithm: Some(GraphProto {
            node: vec![node("Nonsense", &["gone"], &["z"])],
            ..GraphProto::default()
        }),
        ..TrainingInfoProto::default()
    }];
    let model = read(&proto);
    assert_eq!(model.doc, "caf\u{fffd}");
    assert_eq!(model.graph.nodes.len(), 1);
    assert_eq!(model.graph.value_info.len(), 0);
    assert!(matches!(model.graph.outputs[0].ty, ValueType::Tensor(_)));
}
