//! No bytes make the compiler panic or hang: mutants of whole models go through everything but rustc, and end as
//! plans or as errors that say something (`fuzz/entries/compile.rs`, which the fuzz target runs too).

mod common;
#[path = "../../fuzz/entries/compile.rs"]
mod entry;

use common::mutate::each_mutant;
use std::path::Path;
use std::time::{Duration, Instant};

/// Small models with different operators; larger ones would spend the time on their weights.
const MODELS: &[&str] = &[
    "models/hls4ml_mlp.onnx",
    "models/adc_vae57.onnx",
    "models/cicada_student.onnx",
    "models/deepsets_eq_dyn.onnx",
    "models/rnnip_rnn.onnx",
    "models/trackin_scatter_add.onnx",
    "models/particlenet_trained.onnx",
];
/// Far above what a mutant takes (milliseconds), so that only one that hangs is found slow.
const HANGS: Duration = Duration::from_secs(20);

#[test]
fn mutants_compile_or_say_why_not() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets");
    let files: Vec<_> = MODELS.iter().map(|m| std::fs::read(assets.join(m)).unwrap()).collect();
    let (mut compiled, mut refused) = (0, 0);
    each_mutant(&files, 10_000, |i, mutant| {
        let start = Instant::now();
        let outcome = std::panic::catch_unwind(|| entry::compile(mutant));
        assert!(start.elapsed() < HANGS, "mutant {i} takes {:?}", start.elapsed());
        match outcome {
            Ok(Ok(())) => compiled += 1,
            Ok(Err(_)) => refused += 1,
            Err(_) => panic!("mutant {i} panicked"),
        }
    });
    println!("{compiled} compiled, {refused} refused");
    assert!(compiled > 500 && refused > 2000, "too tame or too wild: {compiled} compiled, {refused} refused");
}
