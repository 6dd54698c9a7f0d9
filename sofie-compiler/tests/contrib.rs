//! Small models, `fixtures/contrib` of the operators that ONNX Runtime writes into files (`com.microsoft`) and
//! `fixtures/operators` of settings of ONNX's own ones that are easily got wrong, `fixtures/control` of bodies: lowered, evaluated, optimised, planned,
//! the plan proved and run, against what ONNX Runtime gave. A folder with `error.txt` in the place of outputs holds a
//! setting that is refused, with what the error says. All names that disagree are listed.

mod common;

use common::npz;
use sofie_infer_compiler::ir::{Tensor, eval};
use sofie_infer_compiler::plan::{check, execute, plan_within};
use sofie_infer_compiler::{ir, onnx, ops, passes};
use std::path::{Path, PathBuf};

/// What a float may differ by, as a part of the largest.
const TOLERANCE: f64 = 1e-5;
/// Of so many integers one may differ by a step, as a number between two may be rounded either way.
const STEPS: usize = 20;

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let roots = ["contrib", "control", "operators"].map(|name| root.join(name));
    let entries = roots.iter().flat_map(|root| std::fs::read_dir(root).unwrap());
    let mut folders: Vec<_> = entries.map(|e| e.unwrap().path()).collect();
    folders.retain(|p| p.is_dir());
    folders.sort();
    folders
}

#[test]
fn agrees_with_onnx_runtime() {
    let mut wrong = Vec::new();
    let folders = folders();
    for folder in &folders {
        let name = folder.file_name().unwrap().to_string_lossy();
        let says = std::fs::read_to_string(folder.join("error.txt")).ok();
        match (run(folder), says) {
            (Ok(()), None) => {}
            (Err(why), None) => wrong.push(format!("{name}: {why}")),
            (Err(why), Some(says)) if why.contains(says.trim()) => {}
            (Err(why), Some(says)) => wrong.push(format!("{name}: the error does not say {says:?}: {why}")),
            (Ok(()), Some(_)) => wrong.push(format!("{name}: is not refused")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} disagree:\n{}", wrong.len(), folders.len(), wrong.join("\n"));
}

fn run(folder: &Path) -> Result<(), String> {
    let model = onnx::load(&folder.join("model.onnx")).map_err(|e| e.to_string())?;
    let given = match folder.join("inputs.npz") {
        file if file.exists() => npz::read(&file),
        _ => Vec::new(),
    };
    let of = |name: &str| given.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
    // Symbols of the file have the extents that the arrays have.
    let mut dims = ops::DimValues::new();
    for (name, _, shape) in ops::input_shapes(&model, &dims).map_err(|e| e.to_string())? {
        let array = of(&name);
        for (dim, n) in shape.dims().iter().zip(array.iter().flat_map(|a| a.dims())) {
            dims.extend(dim.symbols().iter().map(|s| (s.to_string(), *n as u64)));
        }
    }
    let graph = ops::lower(&model, &dims).map_err(|e| e.to_string())?;
    let want = match folder.join("outputs.npz") {
        file if file.exists() => npz::read(&file),
        _ => Vec::new(),
    };
    let inputs: Option<Vec<_>> = graph.inputs().iter().map(|p| of(&p.name)).collect();
    let inputs = inputs.ok_or("an input has no array")?;
    let evaluated = eval::run_model(&graph, &inputs).map_err(|e| format!("evaluator: {e}"));
    // A run that fails has to fail as planned, too.
    let refused = evaluated.as_ref().err().cloned();
    let graph = passes::optimize(graph, None).map_err(|e| e.to_string())?;
    ir::verify(&graph).map_err(|e| e.to_string())?;
    let (plan, family) = plan_within(&graph).map_err(|e| format!("plan: {e}"))?;
    if family.is_none() {
        check::check(&graph, &plan).map_err(|e| format!("checker: {e}"))?;
    }
    let names: Vec<_> = plan.outputs.iter().map(|(port, _)| port.name.clone()).collect();
    let results = match (execute::execute_within(&plan, family.as_ref(), &inputs), refused) {
        (Err(_), Some(why)) => return Err(why),
        (Ok(_), Some(why)) => return Err(format!("a plan runs where the graph does not: {}", why.len())),
        (results, None) => results.map_err(|e| e.to_string())?,
    };
    agree(&names, &evaluated?, &want).map_err(|e| format!("evaluated: {e}"))?;
    agree(&names, &results, &want).map_err(|e| format!("planned: {e}"))
}

/// A padded cache is not supported; the numbers say so only when the network runs.
#[test]
fn a_cache_that_is_not_full_is_noticed() {
    let folder = folders().into_iter().find(|f| f.ends_with("gqa_step")).unwrap();
    let graph = ops::lower(&onnx::load(&folder.join("model.onnx")).unwrap(), &Default::default()).unwrap();
    let given = npz::read(&folder.join("inputs.npz"));
    let of = |name: &str| given.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let mut inputs: Vec<_> = graph.inputs().iter().map(|p| of(&p.name)).collect();
    let check = graph.outputs().iter().position(|p| p.name == ir::CHECK).unwrap();
    assert_eq!(eval::run(&graph, &inputs).unwrap()[check].get(0).bits, 1);
    let lengths = graph.inputs().iter().position(|p| p.name == "x5").unwrap();
    inputs[lengths] = Tensor::of(&[2], &[4i32, 3]);
    assert_eq!(eval::run(&graph, &inputs).unwrap()[check].get(0).bits, 0);
}

fn agree(names: &[String], got: &[Tensor], want: &[(String, Tensor)]) -> Result<(), String> {
    for (name, got) in names.iter().zip(got) {
        let (_, want) = want.iter().find(|(n, _)| n == name).ok_or(format!("no array {name}"))?;
        if (got.dtype(), got.dims()) != (want.dtype(), want.dims()) {
            let (a, b) = ((got.dtype(), got.dims()), (want.dtype(), want.dims()));
            return Err(format!("{name}: {a:?}, expected {b:?}"));
        }
        let (a, b) = (got.to_f64s(), want.to_f64s());
        let size = b.iter().fold(f64::MIN_POSITIVE, |m, b| m.max(b.abs()));
        let allowed = if got.dtype().is_int() { 1.0 } else { TOLERANCE * size };
        // Written so that NaN is a difference.
        let differ = |(a, b): (&f64, &f64)| !(a == b || (a - b).abs() <= allowed);
        let steps = a.iter().zip(&b).filter(|(a, b)| a != b).count();
        if got.dtype().is_int() && steps > a.len().div_ceil(STEPS) {
            return Err(format!("{name}: {steps} of {} differ by a step", a.len()));
        }
        if let Some(i) = a.iter().zip(&b).position(differ) {
            let n = a.iter().zip(&b).filter(|p| differ(*p)).count();
            return Err(format!("{name}: {n} of {} differ, at {i} {} for {}", a.len(), a[i], b[i]));
        }
    }
    Ok(())
}
