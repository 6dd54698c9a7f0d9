//! Every model of the zoo, lowered and run by the reference evaluator on the stored inputs: nothing may
//! differ from what ONNX Runtime gave. What is not supported is counted and listed.
//! Skipped where `SOFIE_ZOO` names no folder; `SOFIE_ZOO_MODEL` picks the models whose name contains it.

mod npz;

use sofie_infer_compiler::{ir, onnx, ops};
use std::path::Path;

#[test]
fn zoo_models_evaluate_to_their_outputs() {
    let Some(zoo) = std::env::var_os("SOFIE_ZOO") else { return println!("SOFIE_ZOO is not set: skipped") };
    let zoo = Path::new(&zoo);
    let only = std::env::var("SOFIE_ZOO_MODEL").unwrap_or_default();
    let mut models: Vec<_> =
        std::fs::read_dir(zoo.join("io")).unwrap().flatten().map(|e| e.file_name()).collect();
    models.sort();
    let (mut agree, mut unsupported, mut wrong) = (0, 0, Vec::new());
    for model in models.iter().map(|m| m.to_string_lossy()).filter(|m| m.contains(&only)) {
        match check(zoo, &model) {
            Ok(Outcome::Agrees(error)) => {
                agree += 1;
                println!("{model}: max-normalised error {error:.1e}");
            }
            Ok(Outcome::Unsupported(why)) => {
                unsupported += 1;
                println!("{model}: not supported: {why}");
            }
            Err(why) => {
                println!("{model}: WRONG: {why}");
                wrong.push(format!("{model}: {why}"));
            }
        }
    }
    println!("{agree} agree, {unsupported} are not supported, {} are wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(agree > 0, "no model agrees");
}

enum Outcome {
    Agrees(f64),
    Unsupported(String),
}

/// All cases of a model whose extents change between them, the first case of any other.
fn check(zoo: &Path, name: &str) -> Result<Outcome, String> {
    let model = onnx::load(&zoo.join(format!("models/{name}.onnx"))).map_err(|e| e.to_string())?;
    let open = match ops::input_shapes(&model, &Default::default()) {
        Ok(shapes) => shapes,
        Err(why) => return Ok(Outcome::Unsupported(why.to_string())),
    };
    let fixed = open.iter().all(|(_, _, shape)| shape.fixed().is_some());
    let mut worst = 0f64;
    for case in 0..if fixed { 1 } else { 3 } {
        let folder = zoo.join(format!("io/{name}/case{case}"));
        let inputs = npz::read(&folder.join("inputs.npz"))?;
        let outputs = npz::read(&folder.join("outputs.npz"))?;
        let mut dims = ops::DimValues::new();
        let mut tensors = Vec::new();
        for (input, _, shape) in &open {
            let array = inputs.get(input).ok_or_else(|| format!("no array {input}"))?;
            for (dim, n) in shape.dims().iter().zip(array.dims()) {
                dims.extend(dim.symbols().iter().map(|s| (s.to_string(), *n as u64)));
            }
            tensors.push(array.clone());
        }
        let graph = match ops::lower(&model, &dims) {
            Ok(graph) => graph,
            Err(why) => return Ok(Outcome::Unsupported(why.to_string())),
        };
        ir::verify(&graph).map_err(|e| e.to_string())?;
        let results = ir::eval::run(&graph, &tensors).map_err(|e| format!("case {case}: {e}"))?;
        for (port, got) in graph.outputs().iter().zip(results) {
            let want = outputs.get(&port.name).ok_or_else(|| format!("no array {}", port.name))?;
            let error = max_normalised(&got, want).map_err(|e| format!("case {case}: {}: {e}", port.name))?;
            worst = worst.max(error);
            if error > limit(name) {
                return Err(format!("case {case}: {}: max-normalised error {error:.1e}", port.name));
            }
        }
    }
    Ok(Outcome::Agrees(worst))
}

/// `max |a - b| / max |b|`; where elements are not finite on one side alone, or are no floats and differ,
/// infinity.
fn max_normalised(got: &ir::Tensor, want: &ir::Tensor) -> Result<f64, String> {
    if (got.dtype(), got.dims()) != (want.dtype(), want.dims()) {
        return Err(format!("{}{:?}, expected {}{:?}", got.dtype(), got.dims(), want.dtype(), want.dims()));
    }
    if !got.dtype().is_float() {
        return Ok(if got == want { 0.0 } else { f64::INFINITY });
    }
    let (mut error, mut size) = (0f64, f64::MIN_POSITIVE);
    for (a, b) in got.to_f64s().into_iter().zip(want.to_f64s()) {
        if a == b || (a.is_nan() && b.is_nan()) {
            continue;
        }
        error = error.max(if a.is_finite() && b.is_finite() { (a - b).abs() } else { f64::INFINITY });
        size = size.max(if b.is_finite() { b.abs() } else { 0.0 });
    }
    Ok(error / want.to_f64s().iter().filter(|b| b.is_finite()).fold(size, |m, b| m.max(b.abs())))
}

/// 1e-4 of the largest output but where the stored numbers are themselves less exact.
fn limit(model: &str) -> f64 {
    match model {
        // Sixteen-bit floats; quantised networks, where one step of a scale may go either way.
        "mlp_f16" => 1e-2,
        m if m.ends_with("_int8") => 5e-2,
        _ => 1e-4,
    }
}
