//! Runs one case in this process: read, lower, and then either evaluate the graph or optimise it, plan it and run the
//! plan with the runtime's kernels, which is what the emitted code does.
//!
//! The suite feeds axes, shapes and the like at run time where real files have constants. A case that is refused for
//! that is tried again with its small integer inputs made constants; that is another verdict than a pass.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sofie_infer_compiler::{ir, onnx, ops, passes, plan};

use crate::Engine;
use crate::case::{self, Case};
use crate::compare::compare;

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every output agrees.
    Pass,
    /// Every output agrees where operands that decide shapes are constants in the file.
    PassWithConstants,
    /// An output differs: the worst element.
    Fail(String),
    /// The compiler refuses the model.
    Unsupported(String),
    /// The compiler took the model and could not make it, or panicked.
    CompileError(String),
}

impl Verdict {
    /// Whether the case passes as it is.
    pub fn passes(&self) -> bool {
        *self == Verdict::Pass
    }

    /// Whether something is wrong rather than missing.
    pub fn is_wrong(&self) -> bool {
        matches!(self, Verdict::Fail(_) | Verdict::CompileError(_))
    }

    /// The name that results have, and what there is to say.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Verdict::Pass => ("PASS", ""),
            Verdict::PassWithConstants => ("PASS-CONSTANTS", ""),
            Verdict::Fail(why) => ("FAIL", why),
            Verdict::Unsupported(why) => ("UNSUPPORTED", why),
            Verdict::CompileError(why) => ("COMPILE-ERROR", why),
        }
    }
}

/// Runs a case.
pub fn run(case: &Case, engine: Engine, strict: bool) -> Verdict {
    let caught = catch_unwind(AssertUnwindSafe(|| judged(case, engine, strict)));
    caught.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        Verdict::CompileError(format!("panic: {}", text.unwrap_or_default()))
    })
}

fn judged(case: &Case, engine: Engine, strict: bool) -> Verdict {
    let model = match onnx::load(&case.folder.join("model.onnx")) {
        Ok(model) => model,
        Err(why) => return Verdict::Unsupported(why.to_string()),
    };
    let all: Vec<usize> = (0..model.graph.inputs.len()).collect();
    match with_inputs(case, &model, &all, engine) {
        Verdict::Unsupported(why) if !strict && why.contains("computed at run time") => {
            match constants(case, &model).map(|(model, left)| with_inputs(case, &model, &left, engine)) {
                Some(Verdict::Pass) => Verdict::PassWithConstants,
                Some(wrong) if wrong.is_wrong() => wrong,
                Some(Verdict::Unsupported(still)) if !still.contains("computed at run time") => {
                    Verdict::Unsupported(still)
                }
                _ => Verdict::Unsupported(why),
            }
        }
        verdict => verdict,
    }
}

/// The model with the inputs that may decide shapes made constants, and which inputs are left.
fn constants(case: &Case, model: &onnx::Model) -> Option<(onnx::Model, Vec<usize>)> {
    let mut model = model.clone();
    let mut left = Vec::new();
    for (i, info) in std::mem::take(&mut model.graph.inputs).into_iter().enumerate() {
        let bytes = std::fs::read(case.folder.join(format!("test_data_set_0/input_{i}.pb"))).ok()?;
        match onnx::parse_tensor(bytes) {
            Ok(tensor) if tensor.rank() <= 1 && tensor.len() <= 64 && decides(&tensor, i) => {
                model.graph.initializers.push(onnx::Initializer { name: info.name, tensor });
            }
            _ => {
                model.graph.inputs.push(info);
                left.push(i);
            }
        }
    }
    Some((model, left))
}

/// Shapes are integers; scales and bounds are floats behind the data.
fn decides(tensor: &onnx::Tensor, position: usize) -> bool {
    position > 0 || tensor.dtype().is_ok_and(|t| t.is_int() || t == sofie_infer_runtime::DType::Bool)
}

/// Runs all data sets; input `i` of the model is file `files[i]`.
fn with_inputs(case: &Case, model: &onnx::Model, files: &[usize], engine: Engine) -> Verdict {
    let sets = case.sets();
    if sets.is_empty() {
        return Verdict::Fail("there is no data set".into());
    }
    for set in sets {
        let (inputs, dims) = match case::inputs(model, &set, files) {
            Ok(found) => found,
            Err(why) => return Verdict::Unsupported(why),
        };
        let graph = match ops::lower(model, &dims) {
            Ok(graph) => graph,
            Err(why) => return Verdict::Unsupported(why.to_string()),
        };
        let own = |p: &&ir::Port| p.name != ir::CHECK && ir::extent_of(&p.name).is_none();
        let count = graph.outputs().iter().filter(own).count();
        let results = match engine {
            Engine::Evaluator => evaluate(&graph, &inputs),
            Engine::Planned | Engine::Compiled | Engine::Macro => planned(graph, &inputs),
        };
        let verdict = match results {
            Ok(results) => outputs(case, model, &set, &results[..count]),
            Err(verdict) => verdict,
        };
        if !verdict.passes() {
            return verdict;
        }
    }
    Verdict::Pass
}

fn evaluate(graph: &ir::Graph, inputs: &[ir::Tensor]) -> Result<Vec<ir::Tensor>, Verdict> {
    ir::verify(graph).map_err(|e| Verdict::CompileError(format!("verifier: {e}")))?;
    ir::eval::run_model(graph, inputs).map_err(|e| match e.to_string() {
        why if why == plan::execute::DISAGREES => refused(),
        why => Verdict::Fail(format!("evaluator: {why}")),
    })
}

/// A run that the network refuses rather than give a wrong answer.
fn refused() -> Verdict {
    Verdict::Unsupported(format!("the run is refused: {}", plan::execute::DISAGREES))
}

fn planned(graph: ir::Graph, inputs: &[ir::Tensor]) -> Result<Vec<ir::Tensor>, Verdict> {
    ops::free_symbols(&graph).map_err(|e| Verdict::Unsupported(e.to_string()))?;
    let graph = passes::optimize(graph, None).map_err(|e| Verdict::CompileError(format!("passes: {e}")))?;
    let (plan, family) = plan::plan_within(&graph).map_err(|e| Verdict::Unsupported(format!("plan: {e}")))?;
    if family.is_none() {
        plan::check::check(&graph, &plan).map_err(|e| Verdict::CompileError(format!("checker: {e}")))?;
    }
    plan::execute::execute_within(&plan, family.as_ref(), inputs).map_err(|e| match e.to_string() {
        why if why == plan::execute::DISAGREES => refused(),
        why => Verdict::CompileError(format!("execute: {why}")),
    })
}

fn outputs(case: &Case, model: &onnx::Model, set: &Path, results: &[ir::Tensor]) -> Verdict {
    let expected = match case::outputs(model, set) {
        Ok(expected) => expected,
        Err(why) => return Verdict::Unsupported(format!("an output: {why}")),
    };
    if expected.len() != results.len() {
        return Verdict::Fail(format!("{} tensors, expected {}", results.len(), expected.len()));
    }
    for (i, (result, want)) in results.iter().zip(&expected).enumerate() {
        if let Err(why) = compare(result, want, case.rtol, case.atol) {
            return Verdict::Fail(format!("output {i}: {why}"));
        }
    }
    Verdict::Pass
}
