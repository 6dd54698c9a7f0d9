//! The reference evaluator: runs any graph naively, in plain loops, in the compiler's process.

use super::{Graph, Invalid, Op, Tensor};
use sofie_infer_runtime::DType;

/// The results of one operation over constants; `results` are the inferred types and extents.
///
/// # Errors
/// Where an index is out of range, or the operation has no value for its operands.
pub fn apply(op: &Op, operands: &[&Tensor], results: &[(DType, Vec<usize>)]) -> Result<Vec<Tensor>, Invalid> {
    let _ = (operands, results);
    Err(Invalid::new(format!("{} is not evaluated", op.name())))
}

/// The values of all outputs of a graph of fixed shapes for the given inputs, in order.
///
/// # Errors
/// Where the inputs do not fit the graph, or an operation fails.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, Invalid> {
    let _ = inputs;
    Err(Invalid::new(format!("{} nodes are not evaluated", graph.nodes().len())))
}
