//! Walks a model node by node. A node that cannot be lowered poisons its outputs, and the walk goes on:
//! every problem of a file is found at once, and none twice.

use super::declared::{DimBounds, DimValues, Symbols, check_output, open_symbols};
use super::operand::Operand;
use super::{Ctx, Lowering, Operator, symbolic};
use crate::error::{Error, Errors, Result};
use crate::ir::{self, Builder, Shape, ValueId};
use crate::onnx::{self, Model, Node, TensorName};
use sofie_infer_runtime::DType;
use std::collections::HashMap;
use std::sync::Arc;

/// The graph of core operations that a model is, with the extents in `dims` fixed and the others left
/// as symbols (see [`free_symbols`]).
///
/// # Errors
/// Every operator, attribute and shape that is not supported, each with its node.
///
/// ```no_run
/// # use sofie_infer_compiler::{error::Errors, onnx, ops};
/// let model = onnx::load("models/tagger.onnx".as_ref())?;
/// let graph = ops::lower(&model, &[("batch".to_owned(), 1)].into())?;
/// ops::free_symbols(&graph)?;
/// # Ok::<(), Errors>(())
/// ```
pub fn lower(model: &Model, dims: &DimValues) -> Result<ir::Graph, Errors> {
    lower_graph(&model.graph, dims)
}

/// [`lower`] with some extents free within bounds.
///
/// # Errors
/// As [`lower`], and what cannot be done at some of the extents.
pub fn lower_within(model: &Model, dims: &DimValues, bounds: &DimBounds) -> Result<ir::Graph, Errors> {
    lower_graph_within(&model.graph, dims, bounds)
}

/// Names, element types and shapes of a model's inputs, with the symbols that `dims(..)` may fix.
///
/// # Errors
/// An input that is no tensor of a known rank and a type that is computed in, or an entry of `dims`
/// that names no symbol.
pub fn input_shapes(model: &Model, dims: &DimValues) -> Result<Vec<(String, DType, Shape)>, Errors> {
    let bounds = DimBounds::new();
    let mut symbols = Symbols::new(&model.graph, dims, &bounds);
    let mut errors = Errors::new();
    let mut shapes = Vec::new();
    for info in &model.graph.inputs {
        if let Some((dtype, shape)) = errors.keep(symbols.input(info)) {
            shapes.push((info.name.to_string(), dtype, shape));
        }
    }
    errors.extend(symbols.unknown_entries());
    errors.into_result(shapes)
}

/// [`lower`] for a graph alone.
pub(super) fn lower_graph(graph: &onnx::Graph, dims: &DimValues) -> Result<ir::Graph, Errors> {
    lower_graph_within(graph, dims, &DimBounds::new())
}

fn lower_graph_within(
    graph: &onnx::Graph,
    dims: &DimValues,
    bounds: &DimBounds,
) -> Result<ir::Graph, Errors> {
    let mut driver = Driver {
        graph,
        hints: super::hints::hints(graph, dims),
        constants: graph.initializers.iter().map(|i| (&*i.name, &i.tensor)).collect(),
        b: Builder::new(),
        values: HashMap::new(),
        errors: Errors::new(),
        checks: Vec::new(),
        open: Vec::new(),
    };
    driver.inputs(dims, bounds);
    for node in &graph.nodes {
        driver.node(node);
    }
    driver.outputs();
    let Driver { b, mut errors, .. } = driver;
    let lowered = b.finish();
    if !errors.is_empty() {
        // An open extent is often what the other problems come from.
        let _ = errors.keep(open_symbols(&lowered, bounds));
    }
    errors.into_result(lowered)
}

pub(super) struct Driver<'m> {
    graph: &'m onnx::Graph,
    hints: HashMap<TensorName, Shape>,
    constants: HashMap<&'m str, &'m onnx::Tensor>,
    pub(super) b: Builder,
    values: HashMap<TensorName, Operand>,
    errors: Errors,
    checks: Vec<ValueId>,
    open: Vec<(ValueId, usize, ValueId)>,
}

impl<'m> Driver<'m> {
    fn inputs(&mut self, dims: &DimValues, bounds: &DimBounds) {
        let mut symbols = Symbols::new(self.graph, dims, bounds);
        for info in &self.graph.inputs {
            let operand = match self.errors.keep(symbols.input(info)) {
                Some((dtype, shape)) => Operand::Value(self.b.input(&info.name, dtype, shape)),
                None => Operand::Poisoned,
            };
            self.values.insert(info.name.clone(), operand);
        }
        self.errors.extend(symbols.unknown_entries());
    }

    /// What a name stands for. Constants enter the graph when they are first read, so that one nobody
    /// reads may be of any type.
    fn operand(&mut self, name: &TensorName) -> Result<Operand> {
        if let Some(known) = self.values.get(name) {
            return Ok(known.clone());
        }
        let Some(tensor) = self.constants.get(&**name) else {
            return Err(Error::new("no node gives this tensor").at_tensor(&**name));
        };
        let tensor = dense(tensor).map_err(|e| e.at_tensor(&**name));
        let operand = match &tensor {
            Ok(t) => Operand::Value(self.b.tensor(t.clone())),
            Err(_) => Operand::Poisoned,
        };
        self.values.insert(name.clone(), operand.clone());
        tensor.map(|_| operand)
    }

    fn node(&mut self, node: &'m Node) {
        let results = match self.lowered(node) {
            Ok(results) => results,
            Err(error) => {
                self.errors.push(error.at_node(node));
                Vec::new()
            }
        };
        let mut results = results.into_iter();
        for name in &node.outputs {
            let result = results.next().unwrap_or(Operand::Poisoned);
            if let Some(name) = name {
                self.values.insert(name.clone(), result);
            }
        }
    }

    /// The node's results; fewer where an operand was refused before.
    fn lowered(&mut self, node: &'m Node) -> Result<Vec<Operand>> {
        let operator = find(node)?;
        let operands = node.inputs.iter().map(|n| n.as_ref().map(|n| self.operand(n)).transpose());
        let operands = operands.collect::<Result<Vec<_>>>()?;
        if operands.contains(&Some(Operand::Poisoned)) {
            return Ok(Vec::new());
        }
        for (name, operand) in node.inputs.iter().zip(&operands) {
            if let (Some(name), Some(Operand::Value(v))) = (name, operand)
                && self.open.iter().any(|(open, ..)| open == v)
            {
                return Err(Error::new("how many elements this tensor has is only known at run time")
                    .help("declare its shape in the file, or make it an output of the model and go on from there")
                    .at_tensor(&**name));
            }
        }
        self.b.set_origin(&[origin(node)]);
        if let Lowering::Control(control) = operator.lower {
            return super::control::lower(self, control, node, operands);
        }
        let declared = node.outputs.iter().map(|n| n.as_ref().and_then(|n| self.declared(n))).collect();
        let (b, checks, open) = (&mut self.b, &mut self.checks, &mut self.open);
        let mut ctx = Ctx { b, node, attrs: node.attrs(), operands, checks, open, declared };
        if ctx.version() < 6 {
            // A hint to the memory planners of 2017.
            ctx.attrs.ignore(&["consumed_inputs"]);
        }
        let results = match symbolic::lower(&mut ctx)? {
            Some(extents) => extents,
            None => match operator.lower {
                Lowering::Values(lower) => lower(&mut ctx)?.into_iter().map(Operand::Value).collect(),
                Lowering::Extents(lower) => lower(&mut ctx)?,
                Lowering::Control(_) => Vec::new(),
            },
        };
        ctx.attrs.finish()?;
        if let Some(i) = (results.len()..node.outputs.len()).find(|i| node.output(*i).is_some()) {
            return Err(Error::new(format!("output {i} of {} is not supported", node.op_type))
                .help("remove what reads it before exporting"));
        }
        Ok(results)
    }

    /// Makes the run fail where `holds`, a bool of rank 0, is false.
    pub(super) fn check(&mut self, holds: ValueId) {
        self.checks.push(holds);
    }

    /// The rows that the file declares of a loop's scan outputs.
    pub(super) fn declared_rows(&self, node: &Node, states: usize) -> Option<i64> {
        let rows = |name: &TensorName| self.declared(name)?.dims().first()?.fixed();
        node.outputs.iter().skip(states).flatten().find_map(rows)
    }

    /// Lowers a graph of a node in place; `None` where it was refused, which is recorded.
    pub(super) fn body(
        &mut self,
        graph: &'m onnx::Graph,
        inputs: Vec<Operand>,
    ) -> Result<Option<Vec<Operand>>> {
        if graph.inputs.len() != inputs.len() {
            let (n, m) = (graph.inputs.len(), inputs.len());
            return Err(Error::new(format!("a body of {n} inputs is given {m}")));
        }
        for constant in &graph.initializers {
            self.constants.insert(&constant.name, &constant.tensor);
        }
        for (info, operand) in graph.inputs.iter().zip(inputs) {
            self.values.insert(info.name.clone(), operand);
        }
        let before = self.errors.len();
        for node in &graph.nodes {
            self.node(node);
            if self.errors.len() > before {
                return Ok(None);
            }
        }
        let outputs = graph.outputs.iter().map(|o| self.operand(&o.name)).collect::<Result<Vec<_>>>()?;
        Ok((!outputs.contains(&Operand::Poisoned)).then_some(outputs))
    }

    /// The extents that the file declares of a tensor, where all are known.
    fn declared(&self, name: &str) -> Option<Shape> {
        self.hints.get(name).cloned()
    }

    /// What the checks come to: an output of its own, which is no output of the model.
    fn checks(&mut self) -> Result<()> {
        let mut all: Option<ValueId> = None;
        for holds in std::mem::take(&mut self.checks) {
            match self.b.constant(holds).map(|t| t.get(0).bits != 0) {
                Some(true) => continue,
                Some(false) => {
                    return Err(Error::new("an operand disagrees with the shapes that the file declares"));
                }
                None => {}
            }
            all = Some(match all {
                None => holds,
                Some(so_far) => self.b.binary(sofie_infer_runtime::map::Binary::And, so_far, holds)?,
            });
        }
        if let Some(all) = all {
            self.b.output(ir::CHECK, all);
        }
        Ok(())
    }

    fn outputs(&mut self) {
        for info in &self.graph.outputs {
            let operand = self.operand(&info.name);
            match self.errors.keep(operand) {
                Some(Operand::Value(v)) => {
                    self.errors.keep(check_output(&self.b, info, v));
                    self.b.output(&info.name, v);
                }
                Some(Operand::Extents(e)) => self.errors.push(e.refused().at_tensor(&*info.name)),
                Some(Operand::Poisoned) | None => {}
            }
        }
        let open: Vec<_> = self.b.graph().outputs().iter().map(|o| o.value).enumerate().collect();
        for (i, v) in open {
            for (_, axis, count) in self.open.iter().filter(|(open, ..)| *open == v) {
                self.b.output(&ir::extent_port(i, *axis), *count);
            }
        }
        let checks = self.checks();
        self.errors.keep(checks);
        if self.graph.outputs.is_empty() {
            self.errors.push(Error::new("the graph has no outputs"));
        }
    }
}

/// The constant in the graph's own form.
pub(super) fn dense(tensor: &onnx::Tensor) -> Result<ir::Tensor> {
    let dtype = tensor.dtype()?;
    let dims: Option<Vec<usize>> = tensor.dims().iter().map(|&d| usize::try_from(d).ok()).collect();
    dims.and_then(|dims| ir::Tensor::from_bytes(dtype, dims, tensor.bytes()))
        .ok_or_else(|| Error::new(format!("dimensions {:?} do not fit the data", tensor.dims())))
}

/// How the nodes of the graph name the ONNX node that they came from.
fn origin(node: &Node) -> Arc<str> {
    match node.name.as_str() {
        "" => format!("{}_{}", node.op_type, node.index).into(),
        name => format!("{}_{name}", node.op_type).into(),
    }
}

fn find(node: &Node) -> Result<&'static Operator> {
    if let Some(operator) = Operator::find(&node.domain, &node.op_type, node.version) {
        return Ok(operator);
    }
    let versions = super::OPERATORS.iter().filter(|o| o.domain == node.domain && o.name == node.op_type);
    let (since, until) = versions.fold((i64::MAX, 0), |(s, u), o| (s.min(o.since), u.max(o.until)));
    let error = match until {
        0 => Error::new("the operator is not supported"),
        i64::MAX => Error::new(format!(
            "the operator exists since opset {since}, but the model imports {}",
            node.version
        )),
        _ => Error::new(format!(
            "the operator exists in opsets {since} to {until}, but the model imports {}",
            node.version
        )),
    };
    Err(match (until, node.domain.as_str()) {
        (0, "com.microsoft" | "com.microsoft.nchwc") => {
            error.help("ONNX Runtime wrote this operator while optimising; use the model from before")
        }
        (0, "") => {
            error.help("export the model with simpler operators, or fold it with onnxsim if it is constant")
        }
        (0, _) => error.help("only ONNX's own operators can be compiled"),
        _ => error.help("export the model with another opset version"),
    })
}
