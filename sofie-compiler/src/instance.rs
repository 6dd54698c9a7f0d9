//! The optimised graph of a model. Where extents are fixed that could be free, it is the graph of free ones with numbers
//! in it: what rounds (which products are taken apart, which convolutions are transformed) is decided before any number
//! is known, so a session gives the same bits whether its extents are fixed or free.

use crate::compile::Options;
use crate::error::Errors;
use crate::ir::{self, Extents, Graph, Invalid};
use crate::{onnx, ops, passes};

/// Why there is no graph.
#[derive(Clone, Debug)]
pub enum Refused {
    /// The model cannot be lowered.
    Model(Errors),
    /// A rewrite failed.
    Pass(Invalid),
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refused::Model(errors) => errors.fmt(f),
            Refused::Pass(e) => e.fmt(f),
        }
    }
}

/// The optimised graph of a model.
///
/// # Errors
/// Everything that is wrong with the model, or the pass that failed.
pub fn optimised(model: &onnx::Model, options: &Options) -> Result<Graph, Refused> {
    if let Some(graph) = instance(model, options) {
        return Ok(graph);
    }
    let given = ops::Given { dims: &options.dims, bounds: &options.bounds, operators: &options.operators };
    let graph = ops::lower_given(model, given).map_err(Refused::Model)?;
    ops::open_symbols(&graph, &options.bounds).map_err(|e| Refused::Model(e.into()))?;
    passes::optimize(graph, options.stop_after).map_err(Refused::Pass)
}

/// The graph of free extents with the fixed ones in it, where there is such: some models mean nothing unless an extent is
/// known, or compute with it, or do otherwise than the same at each.
fn instance(model: &onnx::Model, options: &Options) -> Option<Graph> {
    // How many tensors an input has is no extent.
    let counts = |name: &str| {
        let mut inputs = model.graph.inputs.iter();
        inputs.any(|i| &*i.name == name && !matches!(i.ty, onnx::ValueType::Tensor(_)))
    };
    let (counts, extents): (ops::DimValues, ops::DimValues) =
        options.dims.iter().map(|(name, n)| (name.clone(), *n)).partition(|(name, _)| counts(name));
    if extents.is_empty() || options.stop_after.is_some() {
        return None;
    }
    let mut bounds = options.bounds.clone();
    bounds.extend(extents.iter().map(|(name, n)| (name.clone(), (*n, None))));
    let given = ops::Given { dims: &counts, bounds: &bounds, operators: &options.operators };
    let graph = ops::lower_given(model, given).ok()?;
    ops::open_symbols(&graph, &bounds).ok()?;
    if !is_uniform(&graph) {
        return None;
    }
    let graph = passes::optimize(graph, None).ok()?;
    let number = |n: u64| i64::try_from(n).ok();
    let extents: Option<Extents> =
        extents.iter().map(|(name, n)| Some((name.as_str().into(), number(*n)?))).collect();
    at(&graph, &extents?).ok().filter(|graph| is_declared(model, options, graph))
}

/// Whether the inputs have the extents that they were given: symbols that had to be the same may have other numbers, where
/// one is broadcast.
fn is_declared(model: &onnx::Model, options: &Options, graph: &Graph) -> bool {
    let Ok(declared) = ops::input_shapes(model, &options.dims) else { return false };
    graph.inputs().iter().all(|input| {
        let shape = declared.iter().find(|(name, ..)| **name == *input.name).map(|(_, _, shape)| shape);
        let pairs = shape.map(|shape| shape.dims().iter().zip(graph.shape(input.value).dims()));
        pairs.is_some_and(|mut pairs| pairs.all(|(a, b)| a.fixed().is_none() || a == b))
    })
}

/// An optimised graph with numbers for some of its symbols.
///
/// # Errors
/// An extent that would be negative.
pub fn at(graph: &Graph, extents: &Extents) -> Result<Graph, Invalid> {
    passes::specialise(&graph.with(extents)?)
}

/// Whether a graph does the same at all extents, and returns the same types.
fn is_uniform(graph: &Graph) -> bool {
    let checked = graph.outputs().iter().any(|o| o.name == ir::CHECK);
    !checked && graph.found().is_empty() && graph.nodes().iter().all(|n| n.op.bodies().is_empty())
}
