//! No bytes make the front end panic, hang or allocate without measure: it gives a model or errors.

mod common;

use common::build::{self, NodeExt, bytes, function, graph, graph_of, model, node};
use common::mutate::{each_mutant, encode, fields};
use sofie_infer_compiler::onnx::proto::ModelProto;
use sofie_infer_compiler::onnx::{NoExternalData, parse};

#[test]
fn mutants_give_a_model_or_errors() {
    let relu = graph_of(&["x"], &[node("Relu", &["x"], &["y"]).named("relu")], &["y"]);
    let files = [bytes(&build::rich()), bytes(&model(relu)), bytes(&build::rich())];
    let (mut models, mut errors) = (0, 0);
    each_mutant(&files, 10_000, |i, mutant| {
        let result = std::panic::catch_unwind(|| parse(mutant, &NoExternalData).map_err(|e| e.to_string()));
        match result {
            Ok(Ok(_)) => models += 1,
            Ok(Err(text)) => {
                assert!(text.len() > 10, "mutant {i}: {text:?}");
                errors += 1;
            }
            Err(_) => panic!("mutant {i} panicked"),
        }
    });
    println!("{models} models, {errors} refused");
    assert!(models > 500 && errors > 3000, "the mutants are too tame or too wild: {models} models");
}

#[test]
fn the_generator_reads_what_it_writes() {
    let whole = bytes(&build::rich());
    assert_eq!(encode(&fields(&whole).unwrap()), whole);
}

/// A chain of functions, each of which calls the next one twice: 2^40 nodes in 3 kB.
#[test]
fn exploding_functions_are_refused() {
    let mut functions = vec![function("f40", &["a"], &[node("Relu", &["a"], &["y"])], &["y"])];
    for i in (0..40).rev() {
        let (name, next) = (format!("f{i}"), format!("f{}", i + 1));
        let call = |a, y| node(&next, &[a], &[y]).domain("local");
        functions.push(function(&name, &["a"], &[call("a", "t"), call("t", "y")], &["y"]));
    }
    let g = graph_of(&["x"], &[node("f0", &["x"], &["y"]).domain("local")], &["y"]);
    let errors = parse(bytes(&ModelProto { functions, ..model(g) }), &NoExternalData).unwrap_err();
    assert!(errors.to_string().contains("expand to more than"), "{errors}");
}

#[test]
fn deep_nesting_is_refused() {
    // Functions that call each other from inside a branch: deeper than protobuf itself would nest.
    let mut functions = vec![function("f200", &["c"], &[node("Not", &["c"], &["y"])], &["y"])];
    for i in 0..200 {
        let call = node(&format!("f{}", i + 1), &["c"], &["r"]).domain("local");
        let branch = graph_of(&[], &[call], &["r"]);
        let body = node("If", &["c"], &["y"])
            .with(graph("then_branch", branch.clone()))
            .with(graph("else_branch", branch));
        functions.push(function(&format!("f{i}"), &["c"], &[node("Not", &["c"], &["d"]), body], &["y"]));
    }
    let g = graph_of(&["x"], &[node("f100", &["x"], &["y"]).domain("local")], &["y"]);
    let errors = parse(bytes(&ModelProto { functions, ..model(g) }), &NoExternalData).unwrap_err();
    assert!(
        errors.to_string().contains("nest more than 64 deep") || errors.to_string().contains("expand"),
        "{errors}"
    );

    let mut inner = graph_of(&[], &[node("Relu", &["x"], &["y"])], &["y"]);
    for _ in 0..200 {
        inner = graph_of(&[], &[node("If", &["x"], &["y"]).with(graph("then_branch", inner))], &["y"]);
    }
    let errors = parse(bytes(&model(inner)), &NoExternalData).unwrap_err();
    assert!(errors.to_string().contains("recursion limit"), "{errors}");
}

#[test]
fn claims_are_checked_before_anything_is_allocated() {
    use sofie_infer_compiler::onnx::proto::SparseTensorProto;
    let mut g = graph_of(&["x"], &[node("Add", &["x", "w"], &["y"])], &["y"]);
    g.initializer.push(build::f32s("w", &[1 << 40], &[1.0]));
    for i in 0..10_000 {
        g.sparse_initializer.push(SparseTensorProto {
            values: Some(build::f32s(&format!("s{i}"), &[1], &[1.0])),
            indices: Some(build::i64s("", &[1], &[0])),
            dims: vec![1 << 20, 1 << (i % 40)],
        });
    }
    let text = parse(bytes(&model(g)), &NoExternalData).unwrap_err().to_string();
    assert!(text.contains("f32[1099511627776] takes 4398046511104 bytes, but there are 4"), "{text}");
    assert!(text.contains("256 MiB"), "{text}");
}
