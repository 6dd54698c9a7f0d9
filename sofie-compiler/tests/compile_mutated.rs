//! No bytes make the compiler panic or hang: mutants of whole models go through everything but rustc, and end as
//! tokens or as errors that say something.

mod common;

use common::mutate::each_mutant;
use sofie_infer_compiler::onnx::{NoExternalData, parse};
use sofie_infer_compiler::{ops, passes, plan};
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
        let outcome = std::panic::catch_unwind(|| whole_road(mutant));
        assert!(start.elapsed() < HANGS, "mutant {i} takes {:?}", start.elapsed());
        match outcome {
            Ok(Ok(())) => compiled += 1,
            Ok(Err(text)) => {
                assert!(text.len() > 10, "mutant {i}: {text:?}");
                refused += 1;
            }
            Err(_) => panic!("mutant {i} panicked"),
        }
    });
    println!("{compiled} compiled, {refused} refused");
    assert!(compiled > 500 && refused > 2000, "too tame or too wild: {compiled} compiled, {refused} refused");
}

/// Bytes → model → graph → passes → plan. Symbols are 1.
fn whole_road(bytes: Vec<u8>) -> Result<(), String> {
    let model = parse(bytes, &NoExternalData).map_err(|e| e.to_string())?;
    let mut dims = ops::DimValues::new();
    for (_, _, shape) in ops::input_shapes(&model, &dims).map_err(|e| e.to_string())? {
        dims.extend(shape.dims().iter().flat_map(|d| d.symbols()).map(|s| (s.to_string(), 1)));
    }
    let graph = ops::lower(&model, &dims).map_err(|e| e.to_string())?;
    ops::free_symbols(&graph).map_err(|e| e.to_string())?;
    let graph = passes::optimize(graph, None).map_err(|e| e.to_string())?;
    plan::plan(&graph).map(drop).map_err(|e| e.to_string())
}
