//! Every model of the zoo, optimised and planned: the plan is proved by the checker and run in this process with
//! the very kernels that the emitted code calls, against what ONNX Runtime gave, and with every instruction set
//! that the CPU has, which must give the same bits (the scalar form for models that it does not take too long for).
//! Skipped where `SOFIE_ZOO` names no folder; `SOFIE_ZOO_MODEL` picks the models whose name contains it.

#[path = "../zoo_eval/npz.rs"]
mod npz;

use sofie_infer_compiler::instance::{self, Refused};
use sofie_infer_compiler::plan::{check, execute, plan_within};
use sofie_infer_compiler::{Options, ir, onnx, ops};
use sofie_infer_runtime::simd::{Level, with_level};
use std::path::Path;
use std::time::Duration;

/// What a model may take for the scalar form, a hundred times as slow, to be run too.
const SCALAR_TOO: Duration = Duration::from_micros(300);
/// Bytes of arena beyond which the checker, which keeps a tag for each byte, is left out.
const CHECKED_BYTES: usize = 1 << 22;

#[test]
fn zoo_models_run_as_planned() {
    let Some(zoo) = std::env::var_os("SOFIE_ZOO") else { return println!("SOFIE_ZOO is not set: skipped") };
    let zoo = Path::new(&zoo);
    let only = std::env::var("SOFIE_ZOO_MODEL").unwrap_or_default();
    let mut models: Vec<_> =
        std::fs::read_dir(zoo.join("io")).unwrap().flatten().map(|e| e.file_name()).collect();
    models.sort();
    let (mut agree, mut unsupported, mut wrong) = (0, 0, Vec::new());
    for model in models.iter().map(|m| m.to_string_lossy()).filter(|m| m.contains(&only)) {
        match run(zoo, &model) {
            Ok(Outcome::Agrees(text)) => {
                agree += 1;
                println!("{model}: {text}");
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
    Agrees(String),
    Unsupported(String),
}

fn run(zoo: &Path, name: &str) -> Result<Outcome, String> {
    let model = onnx::load(&zoo.join(format!("models/{name}.onnx"))).map_err(|e| e.to_string())?;
    let open = match ops::input_shapes(&model, &Default::default()) {
        Ok(shapes) => shapes,
        Err(why) => return Ok(Outcome::Unsupported(why.to_string())),
    };
    let folder = zoo.join(format!("io/{name}/case0"));
    let (inputs, outputs) = (npz::read(&folder.join("inputs.npz"))?, npz::read(&folder.join("outputs.npz"))?);
    let mut dims = ops::DimValues::new();
    let mut tensors = Vec::new();
    for (input, _, shape) in &open {
        let array = inputs.get(input).ok_or_else(|| format!("no array {input}"))?;
        for (dim, n) in shape.dims().iter().zip(array.dims()) {
            dims.extend(dim.symbols().iter().map(|s| (s.to_string(), *n as u64)));
        }
        tensors.push(array.clone());
    }
    let graph = match instance::optimised(&model, &Options { dims, ..Options::default() }) {
        Ok(graph) => graph,
        Err(Refused::Model(why)) => return Ok(Outcome::Unsupported(why.to_string())),
        Err(Refused::Pass(why)) => return Err(why.to_string()),
    };
    ir::verify(&graph).map_err(|e| e.to_string())?;
    let (plan, family) = match plan_within(&graph) {
        Ok(plan) => plan,
        Err(why) => return Ok(Outcome::Unsupported(format!("plan: {why}"))),
    };
    if plan.arena_bytes <= CHECKED_BYTES && family.is_none() {
        check::check(&graph, &plan).map_err(|e| format!("plan: {e}"))?;
    }
    let timed = match &family {
        Some(family) => execute::profile_family(family, &tensors),
        None => execute::profile(&plan, &tensors),
    };
    let (results, times) = timed.map_err(|e| e.to_string())?;
    let short = times.iter().sum::<Duration>() < SCALAR_TOO;
    for level in Level::available().filter(|l| *l != Level::Scalar || short) {
        let others = with_level(level, || execute::execute_within(&plan, family.as_ref(), &tensors));
        let others = others.map_err(|e| e.to_string())?;
        for ((port, _), (one, other)) in plan.outputs.iter().zip(results.iter().zip(&others)) {
            if !same_bits(one, other) {
                return Err(format!("{}: other bits at {}", port.name, level.name()));
            }
        }
    }
    let (mut worst, tolerance) = (0f64, tolerance(zoo, name));
    for ((port, _), got) in plan.outputs.iter().zip(results) {
        let want = outputs.get(&port.name).ok_or_else(|| format!("no array {}", port.name))?;
        let error = max_normalised(&got, want).map_err(|e| format!("{}: {e}", port.name))?;
        worst = worst.max(error);
        if error > 1e-4 && !within(tolerance, &got, want) {
            return Err(format!("{}: max-normalised error {error:.1e}", port.name));
        }
    }
    let (arena, bound, steps) = (plan.arena_bytes, plan.bound_bytes, plan.steps.len());
    let scratch = plan.scratch_bytes;
    Ok(Outcome::Agrees(format!(
        "error {worst:.1e}, {} nodes, {steps} steps, arena {arena} (bound {bound}, scratch {scratch})",
        graph.nodes().len()
    )))
}

/// Equal bits, but for what a NaN carries: Rust does not say which of two NaNs an addition gives.
fn same_bits(one: &ir::Tensor, other: &ir::Tensor) -> bool {
    let nans = |t: &ir::Tensor| t.to_f64s().into_iter().map(f64::is_nan).collect::<Vec<_>>();
    one.bytes() == other.bytes()
        || one.dtype().is_float() && nans(one) == nans(other) && {
            let size = one.dtype().size();
            let parts = one.bytes().chunks(size).zip(other.bytes().chunks(size));
            parts.zip(nans(one)).all(|((a, b), nan)| nan || a == b)
        }
}

/// The model's `rtol` and `atol`, where `zoo.json` has them: half precision is coarser than the rest.
fn tolerance(zoo: &Path, name: &str) -> Option<(f64, f64)> {
    let text = std::fs::read_to_string(zoo.join("zoo.json")).ok()?;
    let entries: serde_json::Value = serde_json::from_str(&text).ok()?;
    let of = |key| entries[name]["tolerance"][key].as_f64();
    Some((of("rtol")?, of("atol")?))
}

/// `|a - b| <= atol + rtol * |b|` everywhere.
fn within(tolerance: Option<(f64, f64)>, got: &ir::Tensor, want: &ir::Tensor) -> bool {
    let Some((rtol, atol)) = tolerance else { return false };
    got.to_f64s().iter().zip(want.to_f64s()).all(|(a, b)| (a - b).abs() <= atol + rtol * b.abs())
}

/// `max |a - b| / max |b|`.
fn max_normalised(got: &ir::Tensor, want: &ir::Tensor) -> Result<f64, String> {
    if (got.dtype(), got.dims()) != (want.dtype(), want.dims()) {
        return Err(format!("{}{:?}, expected {}{:?}", got.dtype(), got.dims(), want.dtype(), want.dims()));
    }
    let (got, want) = (got.to_f64s(), want.to_f64s());
    let size = want.iter().fold(f64::MIN_POSITIVE, |m, b| m.max(b.abs()));
    let error = |(a, b): (&f64, &f64)| if a == b || a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() };
    Ok(got.iter().zip(&want).map(error).fold(0f64, |m, e| if e.is_nan() { f64::INFINITY } else { m.max(e) })
        / size)
}
