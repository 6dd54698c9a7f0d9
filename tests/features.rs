//! What the features `profile` and `safetensors` add to a session. `cargo test` leaves this out, since every other test's
//! sessions would be profiled too: `cargo test -p sofie-infer --features profile,safetensors --test features`.
#![forbid(unsafe_code)]

use sofie_infer::rt::weights_file::Error;
use sofie_infer_compiler::ir::Tensor;
use sofie_infer_compiler::plan::execute::execute;
use std::path::{Path, PathBuf};

sofie_infer::sofie_model!(mod inside = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = 2));
sofie_infer::sofie_model!(
    mod apart = "assets/models/hls4ml_mlp_trained.onnx",
    dims(batch = 2),
    weights = external
);
sofie_infer::sofie_model!(mod free = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = ..=8));
sofie_infer::sofie_model!(
    mod free_apart = "assets/models/hls4ml_mlp_trained.onnx",
    dims(batch = ..=8),
    weights = external
);
sofie_infer::sofie_model!(mod open = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = ..));
sofie_infer::sofie_model!(mod spectrum = "ui-tests/models/winograd.onnx", weights = external);

const INPUT: [[f32; 16]; 2] = [[0.25; 16], [-0.5; 16]];

fn scratch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The file of weights of a model.
fn weights(model: impl AsRef<Path>, name: &str) -> PathBuf {
    let path = scratch(name);
    sofie_infer_build::Model::new(model).dim("batch", 2).write_weights(&path).unwrap();
    path
}

/// A model of the same layers with other numbers in some of them.
fn retrained() -> PathBuf {
    let mut bytes = std::fs::read("assets/models/hls4ml_mlp_trained.onnx").unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 256].iter_mut().for_each(|b| *b ^= 1);
    let path = scratch("retrained.onnx");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn every_step_is_counted() {
    let mut session = inside::Session::new();
    for _ in 0..3 {
        session.infer(&INPUT);
    }
    session.inputs().run();
    let rows: Vec<_> = session.profile().rows().collect();
    assert!(rows.len() >= 4 && rows.iter().all(|r| r.calls == 4 && r.step.bytes > 0), "{rows:?}");
    assert_eq!(rows[0].step.flop, 2 * 2 * 16 * 64);
    let table = session.profile().to_string();
    assert!(
        table.contains("Gemm_/0/0.0/Gemm + Relu_/0/0.1/Relu") && table.contains("mean of 4 runs"),
        "{table}"
    );
    session.clear_profile();
    assert!(session.profile().rows().all(|r| r.calls == 0));
}

#[test]
fn steps_of_free_extents_count_what_each_run_computes() {
    let check = |rows: Vec<sofie_infer::rt::profile::Row>| {
        assert!(rows.len() >= 4 && rows.iter().all(|r| r.calls == 2), "{rows:?}");
        assert_eq!(rows[0].flop, (2 + 5) * 2 * 16 * 64);
        assert!(rows[0].gflops() > 0.0);
    };
    let mut session = free::Session::new();
    session.infer(&INPUT).unwrap();
    let inputs = session.inputs(free::Dims { batch: 5 }).unwrap();
    inputs.run().unwrap();
    check(session.profile().rows().collect());
    session.clear_profile();
    assert_eq!(session.profile().time(), std::time::Duration::ZERO);
    let mut session = open::Session::with_capacity(open::Dims { batch: 5 }).unwrap();
    session.infer(&INPUT).unwrap();
    session.inputs(open::Dims { batch: 5 }).unwrap().run().unwrap();
    check(session.profile().rows().collect());
}

#[test]
fn weights_of_free_extents_are_loaded() {
    let model = || sofie_infer_build::Model::new("assets/models/hls4ml_mlp_trained.onnx");
    let path = scratch("free.safetensors");
    model().free("batch", 0..=8).write_weights(&path).unwrap();
    let mut apart = free_apart::Session::load(&path).unwrap();
    let mut inside = free::Session::new();
    for batch in [2, 1, 0] {
        let x = &INPUT[..batch];
        assert_eq!(apart.infer(x).unwrap().y, inside.infer(x).unwrap().y);
    }
    apart.reload(&path).unwrap();
    // Other bounds may be another program.
    model().free("batch", 0..=9).write_weights(&path).unwrap();
    assert_eq!(apart.reload(&path), Err(Error::OtherProgram));
    assert_eq!(apart.infer(&INPUT).unwrap().y, inside.infer(&INPUT).unwrap().y);
}

#[test]
fn loaded_weights_are_those_of_the_program() {
    let mut inside = inside::Session::new();
    let path = weights("assets/models/hls4ml_mlp_trained.onnx", "tagger.safetensors");
    let mut apart = apart::Session::load(&path).unwrap();
    assert_eq!(apart.infer(&INPUT).y, inside.infer(&INPUT).y);
    let bytes = std::fs::read(&path).unwrap();
    let mut apart = apart::Session::load(bytes).unwrap();
    assert_eq!(apart.infer(&INPUT).y, inside.infer(&INPUT).y);
}

#[test]
fn a_retrained_model_needs_no_recompile() {
    let mut session =
        apart::Session::load(weights("assets/models/hls4ml_mlp_trained.onnx", "old.safetensors")).unwrap();
    let before = *session.infer(&INPUT).y;
    let retrained = retrained();
    session.reload(weights(&retrained, "new.safetensors")).unwrap();
    let options = sofie_infer_compiler::Options { dims: [("batch".into(), 2)].into(), ..Default::default() };
    let compiled = sofie_infer_compiler::compile(&retrained, &retrained, &options).unwrap();
    let want = execute(&compiled.plan, &[Tensor::of(&[2, 16], INPUT.as_flattened())]).unwrap();
    let after = *session.infer(&INPUT).y;
    assert_ne!(after, before);
    assert_eq!(want[0].to_vec::<f32>().unwrap(), after.as_flattened());
}

#[test]
fn many_events_use_the_weights_that_were_loaded_last() {
    let mut session =
        apart::Session::load(weights("assets/models/hls4ml_mlp_trained.onnx", "many.safetensors")).unwrap();
    let events = [INPUT; 100];
    for path in [
        weights("assets/models/hls4ml_mlp_trained.onnx", "many.safetensors"),
        weights(retrained(), "more.safetensors"),
    ] {
        session.reload(path).unwrap();
        session.clear_profile();
        let mut scores = [[[0.0; 3]; 2]; 100];
        session.infer_many(&events, &mut scores);
        assert!(session.profile().rows().all(|r| r.calls == 100));
        let want = *session.infer(&INPUT).y;
        assert!(scores.iter().all(|y| *y == want));
    }
}

#[test]
fn a_wrong_file_leaves_the_session_as_it_was() {
    let mut session =
        apart::Session::load(weights("assets/models/hls4ml_mlp_trained.onnx", "kept.safetensors")).unwrap();
    let before = *session.infer(&INPUT).y;
    let other = weights("assets/models/hls4ml_mlp_bn.onnx", "other.safetensors");
    assert_eq!(session.reload(&other), Err(Error::OtherProgram));
    let mut damaged = std::fs::read(scratch("kept.safetensors")).unwrap();
    damaged.truncate(damaged.len() - 1);
    assert!(matches!(session.reload(damaged), Err(Error::Damaged(_))));
    assert!(matches!(session.reload("nowhere.safetensors"), Err(Error::Read(_))));
    assert_eq!(*session.infer(&INPUT).y, before);
    assert!(apart::Session::load("Cargo.toml").is_err());
}

#[test]
fn weights_that_are_transformed_once_are_transformed_again() {
    let path = scratch("winograd.safetensors");
    sofie_infer_build::Model::new("ui-tests/models/winograd.onnx").write_weights(&path).unwrap();
    let mut session = spectrum::Session::load(&path).unwrap();
    let x: Vec<f32> = (0..spectrum::INPUTS[0].bytes() / 4).map(|i| (i % 7) as f32 - 3.0).collect();
    let model = Path::new("ui-tests/models/winograd.onnx");
    let compiled = sofie_infer_compiler::compile(model, model, &Default::default()).unwrap();
    assert!(!compiled.plan.preparations.is_empty());
    let want = execute(&compiled.plan, &[Tensor::of(spectrum::INPUTS[0].shape, &x)]).unwrap();
    let got = sofie_infer::rt::flat(session.infer(sofie_infer::from_slice(&x).unwrap()).y).to_vec();
    assert_eq!(want[0].to_vec::<f32>().unwrap(), got);
    session.reload(&path).unwrap();
    assert_eq!(sofie_infer::rt::flat(session.infer(sofie_infer::from_slice(&x).unwrap()).y), got);
}
