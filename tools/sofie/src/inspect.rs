//! `sofie inspect`: what is in a file, whether it can be compiled, and what one run of it costs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde_json::{Value, json};
use sofie_infer_compiler::error::Errors;
use sofie_infer_compiler::onnx::{self, DimSpec, ValueInfo, ValueType};
use sofie_infer_compiler::{Compiled, ops};

use crate::answer::{Answer, DIM, Failure, GOOD, NAME, TITLE, coloured, error_json, spoken, styled};
use crate::model::{self, Model};
use crate::units::{bytes, count, plural};

/// Runs the command. A model that cannot be compiled is looked into all the same.
pub fn run(args: &model::Args) -> Result<Answer, Failure> {
    let model = args.read()?;
    let about = About::of(&model);
    Ok(Answer { text: about.text(), json: about.json(), good: about.problems.is_empty() })
}

/// What there is to say of a model.
struct About<'a> {
    model: &'a Model,
    operators: BTreeMap<String, usize>,
    parameters: u64,
    parameter_bytes: u64,
    problems: Errors,
    symbols: Vec<String>,
    compiled: Option<Compiled>,
}

impl<'a> About<'a> {
    fn of(model: &'a Model) -> About<'a> {
        let graph = &model.onnx.graph;
        let (mut problems, mut compiled) = (Errors::new(), None);
        let symbols = symbols(model);
        if let Err(errors) = ops::lower(&model.onnx, &model.dims) {
            problems = Errors(errors.in_file(&model.path).into_iter().map(spoken).collect());
        }
        if problems.is_empty() && symbols.is_empty() {
            match model.compile() {
                Ok(it) => compiled = Some(it),
                Err(Failure::Refused(errors)) => problems = errors,
                Err(Failure::Other(_)) => {}
            }
        }
        About {
            model,
            operators: operators(graph),
            parameters: graph.initializers.iter().map(|i| i.tensor.len() as u64).sum(),
            parameter_bytes: graph.initializers.iter().map(|i| i.tensor.bytes().len() as u64).sum(),
            problems,
            symbols,
            compiled,
        }
    }

    fn text(&self) -> String {
        let onnx = &self.model.onnx;
        let opsets = onnx.opsets.iter().map(|(domain, v)| format!("{} {v}", shown(domain)));
        let mut text = styled(TITLE, self.model.shown());
        let _ =
            write!(text, "\nIR version {}, opset {}", onnx.ir_version, opsets.collect::<Vec<_>>().join(", "));
        if !onnx.producer.is_empty() {
            let _ = write!(text, ", written by {}", onnx.producer);
        }
        for (title, list) in [("Inputs", &onnx.graph.inputs), ("Outputs", &onnx.graph.outputs)] {
            let _ = write!(text, "\n\n{}", styled(TITLE, title));
            for value in list {
                let _ = write!(text, "\n  {NAME}{}{NAME:#} {}", value.name, value.ty);
            }
        }
        if !self.symbols.is_empty() {
            let options = self.symbols.iter().map(|s| format!("{s}=1")).collect::<Vec<_>>().join(",");
            let _ = write!(text, "\n\n{}\n  {}", styled(TITLE, "Symbols"), self.symbols.join(", "));
            let _ = write!(text, "\n  {}", styled(DIM, format!("--dims {options} shows what a run costs")));
        }
        let nodes: usize = self.operators.values().sum();
        let _ = write!(text, "\n\n{} of {}", styled(TITLE, "Operators"), plural(nodes, "node"));
        let mut list: Vec<_> = self.operators.iter().collect();
        list.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), name.as_str()));
        for (name, n) in list {
            let _ = write!(text, "\n  {n:5}  {name}");
        }
        let initialisers = onnx.graph.initializers.len();
        let _ = write!(
            text,
            "\n\n{}\n  {} in {}, {}",
            styled(TITLE, "Parameters"),
            count(self.parameters),
            plural(initialisers, "tensor"),
            bytes(self.parameter_bytes)
        );
        if let Some(compiled) = &self.compiled {
            let (plan, cost) = (&compiled.plan, compiled.plan.cost());
            let _ = write!(
                text,
                "\n\n{}\n  {}FLOP, {}FLOP of them in products, in {}\n  {} of memory (lower bound {}, scratch {})\n  {} of packed weights",
                styled(TITLE, "One run"),
                spaced(cost.flop),
                spaced(cost.product_flop),
                plural(plan.steps.len(), "step"),
                bytes(plan.arena_bytes as u64),
                bytes(plan.bound_bytes as u64),
                bytes(plan.scratch_bytes as u64),
                bytes(plan.weights.bytes().len() as u64),
            );
        }
        if self.problems.is_empty() {
            let _ = write!(text, "\n\n{}", styled(GOOD, "Everything in it is supported."));
        } else {
            let _ = write!(text, "\n\n{}", coloured(&self.problems.to_string()));
        }
        text
    }

    fn json(&self) -> Value {
        let onnx = &self.model.onnx;
        let opsets: BTreeMap<_, _> = onnx.opsets.iter().map(|(d, v)| (shown(d).to_owned(), v)).collect();
        let run = self.compiled.as_ref().map(|compiled| {
            let (plan, cost) = (&compiled.plan, compiled.plan.cost());
            json!({
                "flop": cost.flop,
                "product_flop": cost.product_flop,
                "steps": plan.steps.len(),
                "arena_bytes": plan.arena_bytes,
                "arena_bound_bytes": plan.bound_bytes,
                "scratch_bytes": plan.scratch_bytes,
                "weight_bytes": plan.weights.bytes().len(),
            })
        });
        json!({
            "model": self.model.shown(),
            "ir_version": onnx.ir_version,
            "opsets": opsets,
            "producer": onnx.producer,
            "inputs": onnx.graph.inputs.iter().map(value_json).collect::<Vec<_>>(),
            "outputs": onnx.graph.outputs.iter().map(value_json).collect::<Vec<_>>(),
            "symbols": self.symbols,
            "operators": self.operators,
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
            "run": run,
            "errors": self.problems.0.iter().map(error_json).collect::<Vec<_>>(),
        })
    }
}

/// Symbols of the inputs that are not fixed.
fn symbols(model: &Model) -> Vec<String> {
    let inputs = ops::input_shapes(&model.onnx, &model.dims).unwrap_or_default();
    let dims = inputs.iter().flat_map(|(_, _, shape)| shape.dims());
    let all: BTreeSet<String> = dims.flat_map(|d| d.symbols()).map(|s| s.to_string()).collect();
    all.into_iter().collect()
}

/// `4.10 M` before a unit.
fn spaced(n: u64) -> String {
    let text = count(n);
    if text.contains(' ') { text } else { format!("{text} ") }
}

fn shown(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

fn value_json(value: &ValueInfo) -> Value {
    let (mut dtype, mut shape) = (None, None);
    if let ValueType::Tensor(t) = &value.ty {
        dtype = t.element.map(|e| e.to_string());
        let dim = |d: &DimSpec| match d {
            DimSpec::Const(n) => json!(n),
            DimSpec::Symbol(name) => json!(name),
            DimSpec::Unknown => Value::Null,
        };
        shape = t.shape.as_ref().map(|s| s.iter().map(dim).collect::<Vec<_>>());
    }
    json!({ "name": &*value.name, "type": value.ty.to_string(), "dtype": dtype, "shape": shape })
}

/// How often each operator occurs, subgraphs included.
fn operators(graph: &onnx::Graph) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let mut open = vec![graph];
    while let Some(graph) = open.pop() {
        for node in &graph.nodes {
            let name = match node.domain.as_str() {
                "" => node.op_type.clone(),
                domain => format!("{domain}.{}", node.op_type),
            };
            *all.entry(name).or_insert(0) += 1;
            open.extend(node.attributes.values().flat_map(|a| a.graphs()));
        }
    }
    all
}
