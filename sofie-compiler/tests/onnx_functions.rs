//! Model-local functions: what a call becomes, and which calls are refused.

mod common;

use common::build::*;
use sofie_infer_compiler::onnx::proto::attribute_proto::AttributeType;
use sofie_infer_compiler::onnx::proto::{FunctionProto, GraphProto, ModelProto, NodeProto};
use sofie_infer_compiler::onnx::{Attribute, Graph, Model, NoExternalData, parse};

fn with(functions: &[FunctionProto], graph: GraphProto) -> ModelProto {
    ModelProto { functions: functions.to_vec(), ..model(graph) }
}

fn read(proto: &ModelProto) -> Model {
    parse(bytes(proto), &NoExternalData).unwrap_or_else(|errors| panic!("{errors}"))
}

fn refused(proto: &ModelProto) -> String {
    parse(bytes(proto), &NoExternalData).unwrap_err().to_string()
}

fn call(name: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    node(name, inputs, outputs).domain("local")
}

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
fn each_call_has_names_of_its_own() {
    let f = function("F", &["a"], &[node("Exp", &["a"], &["t"]), node("Neg", &["t"], &["b"])], &["b"]);
    // A name of the model that looks like one of a call stays what it is.
    let nodes = [node("Abs", &["x"], &["F/t"]), call("F", &["F/t"], &["h"]), call("F", &["h"], &["y"])];
    let model = read(&with(&[f], graph_of(&["x"], &nodes, &["y"])));
    assert_eq!(
        lines(&model.graph),
        ["Abs(x) -> F/t", "Exp(F/t) -> F/t.1", "Neg(F/t.1) -> h", "Exp(h) -> F/t.2", "Neg(F/t.2) -> y",]
    );
    let versions: Vec<i64> = model.graph.nodes.iter().map(|n| n.version).collect();
    assert_eq!(versions, [21, 18, 18, 18, 18]);
}

#[test]
fn functions_call_functions_also_from_branches() {
    let inner = function("G", &["a"], &[node("Exp", &["a"], &["b"])], &["b"]);
    let branch = |name| graph(name, graph_of(&[], &[call("G", &["t"], &["r"]).named("g")], &["r"]));
    let body = [
        call("G", &["c"], &["t"]).named("first"),
        node("If", &["t"], &["d"]).named("if").with(branch("then_branch")).with(branch("else_branch")),
    ];
    let outer = function("F", &["c"], &body, &["d"]);
    let model =
        read(&with(&[outer, inner], graph_of(&["x"], &[call("F", &["x"], &["y"]).named("f")], &["y"])));
    assert_eq!(lines(&model.graph), ["Exp(x) -> f/t", "If(f/t) -> y"]);
    let then = model.graph.nodes[1].attrs().graph("then_branch").unwrap().unwrap();
    assert_eq!(lines(then), ["Exp(f/t) -> f/r"]);
    assert_eq!(
        then.nodes[0].place().to_string(),
        "node #0 \"f/g/Exp\" (Exp-18) in function local.G, called by node #0 \"g\" (local.G-1) in then_branch of \
         node #1 \"f/if\" (If-18) in function local.F, called by node #0 \"f\" (local.F-1)"
    );
}

#[test]
fn attributes_are_passed_defaulted_or_absent() {
    let inner = FunctionProto {
        attribute: vec!["axis".into()],
        ..function(
            "G",
            &["a"],
            &[node("Foo", &["a"], &["b"]).with(reference("k", "axis", AttributeType::Int))],
            &["b"],
        )
    };
    let body =
        [
            call("G", &["a"], &["t"]).with(reference("axis", "dim", AttributeType::Int)),
            node("Bar", &["t"], &["b"])
                .with(reference("alpha", "alpha", AttributeType::Float))
                .with(reference("beta", "beta", AttributeType::Float)),
        ];
    let outer = FunctionProto {
        attribute: vec!["dim".into(), "beta".into()],
        attribute_proto: vec![float("alpha", 0.5)],
        ..function("F", &["a"], &body, &["b"])
    };
    let functions = [outer, inner];
    let read = |call: NodeProto| {
        let model = read(&with(&functions, graph_of(&["x"], &[call], &["y"])));
        model.graph.nodes.iter().map(|n| n.attributes.clone().into_iter().collect()).collect::<Vec<Vec<_>>>()
    };
    let (alpha, k) = (|v| ("alpha".to_owned(), Attribute::Float(v)), |v| ("k".to_owned(), Attribute::Int(v)));
    assert_eq!(read(call("F", &["x"], &["y"])), [vec![], vec![alpha(0.5)]]);
    let given =
        call("F", &["x"], &["y"]).with(int("dim", 3)).with(float("alpha", 2.0)).with(float("beta", 4.0));
    let beta = ("beta".to_owned(), Attribute::Float(4.0));
    assert_eq!(read(given), [vec![k(3)], vec![alpha(2.0), beta]]);

    let wrong =
        |a| refused(&with(&functions, graph_of(&["x"], &[call("F", &["x"], &["y"]).with(a)], &["y"])));
    assert!(wrong(int("other", 1)).contains("the function has no attribute \"other\""));
    assert!(wrong(int("alpha", 1)).contains("attribute \"alpha\": the call passes \"alpha\" as INT"));
}

#[test]
fn a_graph_can_be_passed() {
    // The passed branch reads `x`, a name of the caller; the function has an `x` of its own.
    let body = [
        node("Abs", &["c"], &["x"]),
        node("If", &["x"], &["d"])
            .with(reference("then_branch", "body", AttributeType::Graph))
            .with(reference("else_branch", "body", AttributeType::Graph)),
    ];
    let f = FunctionProto { attribute: vec!["body".into()], ..function("F", &["c"], &body, &["d"]) };
    let passed = graph("body", graph_of(&[], &[node("Neg", &["x"], &["r"])], &["r"]));
    let model = read(&with(&[f], graph_of(&["x", "c"], &[call("F", &["c"], &["y"]).with(passed)], &["y"])));
    let attrs = model.graph.nodes[1].attrs();
    assert_eq!(lines(&model.graph), ["Abs(c) -> F/x", "If(F/x) -> y"]);
    assert_eq!(lines(attrs.graph("then_branch").unwrap().unwrap()), ["Neg(x) -> r"]);
    assert_eq!(lines(attrs.graph("else_branch").unwrap().unwrap()), ["Neg(x) -> r.1"]);
}

#[test]
fn operands_and_results_can_be_left_out() {
    let body = [node("Foo", &["a", "b"], &["c", "d"])];
    let f = function("F", &["a", "b"], &body, &["c", "d"]);
    let read_call = |inputs: &[&str], outputs: &[&str]| {
        lines(
            &read(&with(std::slice::from_ref(&f), graph_of(&["x"], &[call("F", inputs, outputs)], &["y"])))
                .graph,
        )
    };
    assert_eq!(read_call(&["x", "x"], &["y", "z"]), ["Foo(x x) -> y z"]);
    assert_eq!(read_call(&["x"], &["y"]), ["Foo(x) -> y F/d"]);
    assert_eq!(read_call(&["", "x"], &["", "y"]), ["Foo(- x) -> F/c y"]);
    let many = with(&[f], graph_of(&["x"], &[call("F", &["x", "x", "x"], &["y"])], &["y"]));
    assert!(refused(&many).contains("3 inputs are given to a function that has 2"));
}

#[test]
fn an_input_can_be_handed_on() {
    let f = function("F", &["a", "b"], &[node("Exp", &["a"], &["c"])], &["b", "c"]);
    let functions = [f];
    let model =
        read(&with(&functions, graph_of(&["x"], &[call("F", &["x", "x"], &["y", "z"])], &["y", "z"])));
    assert_eq!(lines(&model.graph), ["Exp(x) -> z", "Identity(x) -> y"]);
    let left_out = with(&functions, graph_of(&["x"], &[call("F", &["x"], &["y", "z"])], &["y", "z"]));
    assert!(refused(&left_out).contains("hands on its input \"b\", which is left out"));
}

#[test]
fn a_function_takes_the_place_of_an_operator() {
    let f = FunctionProto {
        domain: Some("ai.onnx".into()),
        ..function("Relu", &["a"], &[node("Abs", &["a"], &["b"])], &["b"])
    };
    let model = read(&with(&[f], graph_of(&["x"], &[node("Relu", &["x"], &["y"])], &["y"])));
    assert_eq!(lines(&model.graph), ["Abs(x) -> y"]);
}

#[test]
fn overloads_are_told_apart() {
    let overload = |name: &str, op: &str| FunctionProto {
        overload: Some(name.into()),
        ..function("F", &["a"], &[node(op, &["a"], &["b"])], &["b"])
    };
    let functions = [overload("", "Exp"), overload("second", "Neg")];
    let second = NodeProto { overload: Some("second".into()), ..call("F", &["h"], &["y"]) };
    let model = read(&with(&functions, graph_of(&["x"], &[call("F", &["x"], &["h"]), second], &["y"])));
    assert_eq!(lines(&model.graph), ["Exp(x) -> h", "Neg(h) -> y"]);
    let twice = [overload("", "Exp"), overload("", "Neg")];
    assert!(
        refused(&with(&twice, graph_of(&["x"], &[], &["x"]))).contains("function local.F: it is there twice")
    );
}

#[test]
fn broken_functions_are_refused() {
    let refused_call = |functions: &[FunctionProto]| {
        refused(&with(functions, graph_of(&["x"], &[call("F", &["x"], &["y"]).named("f")], &["y"])))
    };
    let itself = function("F", &["a"], &[call("G", &["a"], &["b"])], &["b"]);
    let other = function("G", &["a"], &[call("F", &["a"], &["b"])], &["b"]);
    let error = refused_call(&[itself, other]);
    assert!(error.contains("the function local.F calls itself"), "{error}");
    assert!(error.contains("in function local.G, called by"), "{error}");

    let undefined = function("F", &["a"], &[node("Add", &["a", "x"], &["b"])], &["b"]);
    let error = refused_call(&[undefined]);
    assert!(
        error.contains(
            "(Add-18) in function local.F, called by node #0 \"f\" (local.F-1), tensor \"x\": no input"
        ),
        "{error}"
    );

    let no_output = function("F", &["a"], &[node("Exp", &["a"], &["c"])], &["b"]);
    assert!(refused_call(&[no_output]).contains("no node of the function computes its output \"b\""));
    let twice = function("F", &["a"], &[node("Exp", &["a"], &["b"]), node("Exp", &["a"], &["b"])], &["b"]);
    assert!(refused_call(&[twice]).contains("tensor \"b\": the function defines the tensor twice"));
    let inputs = function("F", &["a", "a"], &[node("Exp", &["a"], &["b"])], &["b"]);
    assert!(refused_call(&[inputs]).contains("tensor \"a\": the function defines the tensor twice"));
    let outputs = function("F", &["a"], &[node("Exp", &["a"], &["b"])], &["b", "b"]);
    assert!(refused_call(&[outputs]).contains("tensor \"b\": the function defines the tensor twice"));
    // What nobody calls is not looked at beyond its header.
    let unused = function("Unused", &["a"], &[node("Add", &["gone", "x"], &["b"])], &["c"]);
    read(&with(&[unused], graph_of(&["x"], &[], &["x"])));
}
