//! Instruction selection: one function an operation, each picking a kernel and the layouts it works on.

mod attention;
mod concat;
mod conv;
mod custom;
mod map;
mod matmul;
mod movement;
mod plain;
mod recurrent;
mod reduce;
mod region;
mod separable;
mod views;

pub use self::separable::Block;
use super::layout::Layout;
use super::planner::Planner;
use crate::ir::{Invalid, Node, Op};
use sofie_infer_runtime::copy::Strided;
use sofie_infer_runtime::scatter::Scatter;

/// Decides, before any node is planned, what is written where it will be needed and what is not made at all.
pub fn request_places(p: &mut Planner<'_>) {
    concat::request(p);
    matmul::request(p);
    let gathers = map::fused_gathers(p);
    p.fuse(gathers);
    let poolings = conv::pooled(p);
    p.pool(poolings);
    let blocks = separable::blocks(p);
    p.join(blocks);
}

/// Plans one node.
///
/// # Errors
/// Where no kernel serves the operation on its operands.
pub fn node(p: &mut Planner<'_>, node: &Node) -> Result<(), Invalid> {
    if let Some(block) = p.joined() {
        // The others are computed by the same step.
        return if block.first() == p.position() { separable::separable(p, &block) } else { Ok(()) };
    }
    match &node.op {
        Op::Const(_) => Ok(()),
        Op::Reshape(_) | Op::Transpose(_) | Op::Slice { .. } | Op::Broadcast(_) | Op::Windows { .. } => {
            views::view(p, node)
        }
        Op::Cut { axis, .. } => views::cut(p, node, *axis),
        Op::Concat(axis) => concat::concat(p, node, *axis),
        Op::MatMul(e) => matmul::matmul(p, node, e),
        Op::Conv(c, e) => conv::conv(p, node, c, e),
        Op::ConvTranspose(c, e) => conv::conv_transpose(p, node, c, e),
        Op::Pool(pool) => conv::pool(p, node, pool),
        Op::Interpolate(axis) => conv::interpolate(p, node, *axis),
        Op::Reduce(kind, axes) => reduce::reduce(p, node, *kind, axes),
        Op::ArgReduce { max, axis, last } => reduce::arg_reduce(p, node, *max, *axis, *last),
        Op::Rows(kind) => reduce::rows(p, node, kind),
        Op::Pad { before, after, value } => movement::pad(p, node, before, after, *value),
        Op::Map(e) => map::map(p, node, e),
        Op::Attention(a) => attention::attention(p, node, a),
        Op::Recurrent(r) => recurrent::recurrent(p, node, r),
        Op::Gather { .. } if p.fused_gather(node.outputs[0]).is_some() => Ok(()),
        Op::Gather { axis, batch } => movement::gather(p, node, *axis, *batch),
        Op::GatherElements(axis) => movement::gather_elements(p, node, *axis),
        Op::GatherNd { batch } => movement::gather_nd(p, node, *batch),
        Op::ScatterElements(axis, kind) => {
            let combine = movement::combine(*kind);
            movement::scatter(p, node, |y, i, u| Scatter::elements(y, i, u, *axis, combine))
        }
        Op::ScatterNd(kind) => {
            let combine = movement::combine(*kind);
            movement::scatter(p, node, |y, i, u| Scatter::nd(y, i, u, combine))
        }
        Op::TopK { largest, .. } => movement::top_k(p, node, *largest),
        Op::Plain(op) => plain::plain(p, node, op),
        Op::Custom(c) => custom::custom(p, node, c),
        Op::If(b) => region::branch(p, node, b),
        Op::Loop(l) => region::repeat(p, node, l),
        Op::Scan { product, axis, exclusive, reverse } => {
            plain::scan(p, node, *product, *axis, *exclusive, *reverse)
        }
    }
}

/// A layout as the runtime's movement kernels take it.
pub(super) fn strided(l: &Layout) -> Result<Strided, Invalid> {
    usize::try_from(l.offset)
        .ok()
        .and_then(|offset| Strided::new(&l.dims, &l.strides, offset))
        .ok_or_else(|| Invalid::new(format!("a layout of {} axes", l.dims.len())))
}

/// Whether the last axis is contiguous and one non-negative stride leads through all the others: what a
/// matrix kernel reads as rows.
fn is_rows(l: &Layout) -> bool {
    let last = l.dims.len().saturating_sub(1);
    l.is_empty() || (l.dense_from(last) && l.rows(last).is_some_and(|(_, stride)| stride >= 0))
}

/// The number of rows and the stride between them, of a layout that [`is_rows`] takes.
fn rows_of(l: &Layout) -> Result<(usize, usize), Invalid> {
    let last = l.dims.len().saturating_sub(1);
    if l.is_empty() {
        return Ok((l.dims[..last].iter().product(), l.dims.last().copied().unwrap_or(1)));
    }
    let (rows, stride) =
        l.rows(last).ok_or_else(|| Invalid::new("a matrix whose rows have no one stride"))?;
    let stride = usize::try_from(stride).map_err(|_| Invalid::new("a matrix whose rows run backwards"))?;
    Ok((rows, stride))
}

/// Whether rows, each apart from the others: what a matrix kernel can write, and a convolution read.
fn is_own_rows(l: &Layout) -> bool {
    let last = l.dims.len().saturating_sub(1);
    is_rows(l) && l.rows(last).is_none_or(|(m, stride)| m < 2 || stride >= l.dims[last] as isize)
}
