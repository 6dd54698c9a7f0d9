//! The runtime's plain kernels: every operand dense, every result in a buffer of its own.

use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::Planner;
use super::{is_own_rows, rows_of};
use crate::ir::{self, Invalid, Node};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::plain::{ByteConv, ByteDepthwise, Plain, Scan};

/// Plans a plain kernel.
pub fn plain(p: &mut Planner<'_>, node: &Node, op: &ir::Plain) -> Result<(), Invalid> {
    match &op.kernel {
        Plain::ByteConv(k) => image_of_bytes(p, node, |ldc| ByteConv { ldc, ..k.clone() }),
        Plain::ByteDepthwise(k) => image_of_bytes(p, node, |ldc| ByteDepthwise { ldc, ..k.clone() }),
        kernel => run(p, node, kernel.clone()),
    }
}

/// Plans a convolution of bytes, whose channels may be some of a wider image's.
fn image_of_bytes<K: Into<Plain>>(
    p: &mut Planner<'_>,
    node: &Node,
    kernel: impl FnOnce(usize) -> K,
) -> Result<(), Invalid> {
    let [y] = node.outputs[..] else { return Err(Invalid::new("a convolution of one result")) };
    let mut reads = Vec::new();
    for v in &node.inputs {
        reads.push(Some(p.dense(*v)?));
    }
    let home = p.target(y, is_own_rows);
    let (write, layout) = home.operand()?;
    let kernel = kernel(rows_of(&layout)?.1).into();
    let scratch = kernel.algorithm().scratch();
    let scratch = (scratch > 0).then(|| p.scratch(DType::F64, scratch));
    p.push(Kernel::Plain(kernel), [write].into_iter().chain(scratch).collect(), reads);
    p.written(y, home)
}

/// Plans a running sum or product.
pub fn scan(
    p: &mut Planner<'_>,
    node: &Node,
    product: bool,
    axis: usize,
    exclusive: bool,
    reverse: bool,
) -> Result<(), Invalid> {
    let dims = p.dims(node.outputs[0]);
    let (outer, inner) = (dims[..axis].iter().product(), dims[axis + 1..].iter().product());
    let n = dims[axis];
    run(p, node, Scan { product, exclusive, reverse, outer, n, inner }.into())
}

/// Plans a kernel over the node's operands in order.
pub fn run(p: &mut Planner<'_>, node: &Node, kernel: Plain) -> Result<(), Invalid> {
    let mut reads = Vec::new();
    for v in &node.inputs {
        reads.push(Some(p.dense(*v)?));
    }
    push(p, node, kernel, reads)
}

/// Plans a kernel over operands; the node's results are written in order.
pub fn push(
    p: &mut Planner<'_>,
    node: &Node,
    kernel: Plain,
    reads: Vec<Option<super::super::Operand>>,
) -> Result<(), Invalid> {
    let homes: Vec<_> = node.outputs.iter().map(|v| p.target(*v, Layout::is_dense)).collect();
    let mut writes = Vec::new();
    for home in &homes {
        writes.push(home.operand()?.0);
    }
    let scratch = kernel.algorithm().scratch();
    if scratch > 0 {
        writes.push(p.scratch(DType::F64, scratch));
    }
    p.push(Kernel::Plain(kernel), writes, reads);
    node.outputs.iter().zip(homes).try_for_each(|(v, home)| p.written(*v, home))
}
