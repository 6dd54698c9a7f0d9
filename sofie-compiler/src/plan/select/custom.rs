//! A user's own operator: every operand and every result dense.

use super::super::kernel::{Custom, Kernel};
use super::super::layout::Layout;
use super::super::planner::Planner;
use crate::ir::{self, Invalid, Node};

/// Plans a call of the user's function.
pub fn custom(p: &mut Planner<'_>, node: &Node, op: &ir::Custom) -> Result<(), Invalid> {
    let reads = node.inputs.iter().map(|v| p.dense(*v).map(Some)).collect::<Result<Vec<_>, _>>()?;
    let homes: Vec<_> = node.outputs.iter().map(|v| p.target(*v, Layout::is_dense)).collect();
    let writes = homes.iter().map(|h| Ok(h.operand()?.0)).collect::<Result<Vec<_>, Invalid>>()?;
    let dims = |values: &[ir::ValueId]| values.iter().map(|v| p.dims(*v).to_vec()).collect();
    let call = Custom {
        operator: op.operator.clone(),
        attributes: op.attributes.clone(),
        reads: dims(&node.inputs),
        writes: dims(&node.outputs),
    };
    p.push(Kernel::Custom(call), writes, reads);
    node.outputs.iter().zip(homes).try_for_each(|(v, home)| p.written(*v, home))
}
