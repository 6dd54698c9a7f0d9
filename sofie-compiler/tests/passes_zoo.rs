//! The passes on every model of the zoo (`SOFIE_ZOO`): each keeps the outputs, and running all of them
//! again changes nothing. `SOFIE_DUMP` names a folder for the graphs before and after.

use sofie_infer_compiler::ir::{Graph, Node, Tensor, eval, verify};
use sofie_infer_compiler::onnx::{self, DimSpec, ValueType};
use sofie_infer_compiler::ops::{self, DimValues};
use sofie_infer_compiler::passes::{PASSES, optimize};
use std::path::{Path, PathBuf};

mod common;

/// A model with the inputs and outputs of one stored case.
struct Case {
    name: String,
    graph: Graph,
    inputs: Vec<Tensor>,
    outputs: Vec<(String, Tensor)>,
}

fn load(zoo: &Path, name: &str) -> Result<Case, String> {
    let file = zoo.join("models").join(format!("{name}.onnx"));
    let model = onnx::load(&file).map_err(|e| e.to_string())?;
    let case = zoo.join("io").join(name).join("case0");
    let stored = common::npz::read(&case.join("inputs.npz"));
    let mut dims = DimValues::new();
    let mut inputs = Vec::new();
    for port in &model.graph.inputs {
        let (_, array) = stored.iter().find(|(n, _)| **n == *port.name).ok_or("an input is not stored")?;
        if let ValueType::Tensor(t) = &port.ty {
            for (spec, n) in t.shape.iter().flatten().zip(array.dims()) {
                if let DimSpec::Symbol(symbol) = spec {
                    dims.insert(symbol.clone(), *n as u64);
                }
            }
        }
        inputs.push(array.clone());
    }
    let graph = ops::lower(&model, &dims).map_err(|e| e.to_string())?;
    Ok(Case { name: name.into(), graph, inputs, outputs: common::npz::read(&case.join("outputs.npz")) })
}

/// The largest difference between two tensors over the largest element; infinite where they do not compare.
fn error(x: &Tensor, y: &Tensor) -> f64 {
    if x.dims() != y.dims() || x.dtype() != y.dtype() {
        return f64::INFINITY;
    }
    let (x, y) = (x.to_f64s(), y.to_f64s());
    let scale = y.iter().filter(|v| v.is_finite()).fold(1e-6f64, |m, v| m.max(v.abs()));
    let difference = |(a, b): (&f64, &f64)| {
        if a == b || a.is_nan() && b.is_nan() { 0.0 } else { (a - b).abs() / scale }
    };
    x.iter().zip(&y).map(difference).fold(0.0, |m, d| if d.is_nan() { f64::INFINITY } else { m.max(d) })
}

fn worst(x: &[Tensor], y: &[Tensor]) -> f64 {
    x.iter().zip(y).map(|(x, y)| error(x, y)).fold(0.0, f64::max)
}

fn dump(name: &str, stage: &str, graph: &Graph) {
    if let Some(folder) = std::env::var_os("SOFIE_DUMP") {
        let file = PathBuf::from(folder).join(format!("{name}.{stage}.txt"));
        std::fs::write(&file, graph.to_string()).unwrap();
    }
}

fn computing(graph: &Graph) -> usize {
    use sofie_infer_compiler::ir::Op;
    graph.nodes().iter().filter(|n| !matches!(n.op, Op::Const(_))).count()
}

/// Runs the passes on one model; what is wrong, if anything.
fn check(case: &Case) -> Result<String, String> {
    let name = &case.name;
    dump(name, "0-lowered", &case.graph);
    let before = eval::run(&case.graph, &case.inputs).map_err(|e| e.to_string())?;
    let mut graph = case.graph.clone();
    for pass in PASSES {
        let next = (pass.run)(&graph).map_err(|e| format!("{}: {e}", pass.name))?;
        verify(&next).map_err(|e| format!("{}: {e}", pass.name))?;
        if next != graph && std::env::var_os("SOFIE_EACH").is_some() {
            let after = eval::run(&next, &case.inputs).map_err(|e| format!("{}: {e}", pass.name))?;
            let e = worst(&after, &before);
            if e > 1e-4 {
                dump(name, &format!("bad-{}-before", pass.name), &graph);
                dump(name, &format!("bad-{}-after", pass.name), &next);
                return Err(format!("{} changes the outputs by {e}", pass.name));
            }
        }
        graph = next;
    }
    dump(name, "1-passed", &graph);
    let after = eval::run(&graph, &case.inputs).map_err(|e| e.to_string())?;
    let e = worst(&after, &before);
    let stored: Vec<_> = graph
        .outputs()
        .iter()
        .map(|o| {
            case.outputs
                .iter()
                .find(|(n, _)| *n == o.name)
                .map(|(_, t)| t.clone())
                .ok_or("an output is not stored")
        })
        .collect::<Result<_, _>>()?;
    let against = worst(&after, &stored);
    let report = format!(
        "{name:35} {:4} -> {:4} nodes, error {e:.1e}, stored {against:.1e}",
        computing(&case.graph),
        computing(&graph)
    );
    // The evaluator rounds at every node to what the graph says, the passes do so where the model converts.
    let is_half = |n: &Node| n.outputs.iter().any(|v| case.graph.dtype(*v).is_half());
    let limit = if case.graph.nodes().iter().any(is_half) { 2f64.powi(-10) } else { 1e-4 };
    if e > limit {
        return Err(report);
    }
    let graph = optimize(graph, None).map_err(|e| e.to_string())?;
    let again = optimize(graph.clone(), None).map_err(|e| e.to_string())?;
    if again != graph {
        dump(name, "2-again", &again);
        return Err(format!("{report}; the passes change their own result"));
    }
    Ok(report)
}

#[test]
fn passes_keep_the_outputs_of_every_model() {
    let Some(zoo) = std::env::var_os("SOFIE_ZOO").map(PathBuf::from) else {
        println!("SOFIE_ZOO is not set");
        return;
    };
    let only = std::env::var("SOFIE_MODEL").unwrap_or_default();
    let mut failed = Vec::new();
    for file in common::model_files() {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) || file.parent() != Some(&zoo.join("models")) {
            continue;
        }
        match load(&zoo, &name) {
            // The passes are not to blame where a model is not lowered yet.
            Err(e) => println!("{name:35} not lowered: {}", e.lines().next().unwrap_or("")),
            Ok(case) => match check(&case) {
                Ok(report) => println!("{report}"),
                Err(e) => {
                    println!("{name}: FAILED {e}");
                    failed.push(name);
                }
            },
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}
