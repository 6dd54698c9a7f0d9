//! Data movement by pads and indices. All three gathers are one kernel that walks strided layouts, so
//! neither data nor indices are copied first.

use super::super::Operand;
use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::{Home, Planner};
use super::{is_own_rows, rows_of, strided};
use crate::ir::{Dim, Invalid, Node, ScatterKind};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::copy::{Pad, Strided};
use sofie_infer_runtime::gather::Gather;
use sofie_infer_runtime::map::Scalar;
use sofie_infer_runtime::scatter::{Combine, Scatter};
use sofie_infer_runtime::topk::TopK;

/// Plans a border of one value.
pub fn pad(
    p: &mut Planner<'_>,
    node: &Node,
    before: &[Dim],
    after: &[Dim],
    value: Scalar,
) -> Result<(), Invalid> {
    let (x, y) = (node.inputs[0], node.outputs[0]);
    let fixed = |dims: &[Dim]| -> Option<Vec<usize>> {
        dims.iter().map(|d| d.fixed().and_then(|n| usize::try_from(n).ok())).collect()
    };
    let (Some(before), Some(after)) = (fixed(before), fixed(after)) else {
        return Err(Invalid::new("pads that are not fixed"));
    };
    let (read, layout) = p.home(x)?.operand()?;
    // In the arena a bool is a byte.
    let value = if value.dtype == DType::Bool { Scalar { dtype: DType::U8, ..value } } else { value };
    let pad = Pad::new(&strided(&layout)?, &before, &after, value)
        .ok_or_else(|| Invalid::new(format!("a pad of {} axes that do not merge to 8", layout.dims.len())))?;
    let home = p.target(y, Layout::is_dense);
    let (write, _) = home.operand()?;
    p.push(Kernel::Pad(pad), vec![write], vec![Some(read)]);
    p.written(y, home)
}

/// Plans a gather of whole slices.
pub fn gather(p: &mut Planner<'_>, node: &Node, axis: usize, batch: usize) -> Result<(), Invalid> {
    indexed(p, node, |y, x, index| Gather::slices(y, x, index, axis, batch))
}

/// Plans a gather of one element an index.
pub fn gather_elements(p: &mut Planner<'_>, node: &Node, axis: usize) -> Result<(), Invalid> {
    indexed(p, node, |y, x, index| Gather::elements(y, x, index, axis))
}

/// Plans a gather by index tuples.
pub fn gather_nd(p: &mut Planner<'_>, node: &Node, batch: usize) -> Result<(), Invalid> {
    indexed(p, node, |y, x, index| Gather::nd(y, x, index, batch))
}

fn indexed(
    p: &mut Planner<'_>,
    node: &Node,
    make: impl Fn(&Strided, &Strided, &Strided) -> Option<Gather>,
) -> Result<(), Invalid> {
    let ([x, index], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a gather of data and indices"));
    };
    let (data, xl) = p.home(*x)?.operand()?;
    let (indices, il) = p.home(*index)?.operand()?;
    let home = p.target(*y, |_| true);
    let (write, yl) = home.operand()?;
    let gather = make(&strided(&yl)?, &strided(&xl)?, &strided(&il)?)
        .ok_or_else(|| Invalid::new("a gather of more axes than merge to 8"))?;
    p.push(Kernel::Gather(gather), vec![write], vec![Some(data), Some(indices)]);
    p.written(*y, home)
}

/// Plans a scatter: over the data where nobody needs it any more, else over a copy.
pub fn scatter(
    p: &mut Planner<'_>,
    node: &Node,
    make: impl Fn(&Strided, &Strided, &Strided) -> Option<Scatter>,
) -> Result<(), Invalid> {
    let ([data, index, updates], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a scatter of data, indices and updates"));
    };
    let from = p.home(*data)?;
    let (indices, il) = p.home(*index)?.operand()?;
    let (news, ul) = p.home(*updates)?.operand()?;
    let own = from.layout.is_dense() && p.wanted(*y).is_none();
    let in_place = own && p.dies_here(*data) && news.root != from.root && indices.root != from.root;
    let home = if in_place {
        Home { value: Some(*y), ..from }
    } else {
        let home = p.target(*y, |_| true);
        p.copy(&from, &Home { value: Some(*data), ..home.clone() })?;
        home
    };
    let (write, yl) = home.operand()?;
    let scatter = make(&strided(&yl)?, &strided(&il)?, &strided(&ul)?)
        .ok_or_else(|| Invalid::new("a scatter of more axes than merge to 8"))?;
    p.push(Kernel::Scatter(scatter), vec![write], vec![Some(indices), Some(news)]);
    p.written(*y, home)
}

/// The runtime's name of a combination.
pub fn combine(kind: ScatterKind) -> Combine {
    match kind {
        ScatterKind::Set => Combine::Set,
        ScatterKind::Add => Combine::Add,
        ScatterKind::Mul => Combine::Mul,
        ScatterKind::Max => Combine::Max,
        ScatterKind::Min => Combine::Min,
    }
}

/// Plans a selection of the k best of each row.
pub fn top_k(p: &mut Planner<'_>, node: &Node, largest: bool) -> Result<(), Invalid> {
    let ([x], [values, indices]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a top-k of one value"));
    };
    let (read, layout) = p.fitting(*x, is_own_rows)?;
    let (rows, ldx) = rows_of(&layout)?;
    let (n, k) = match (layout.dims.last(), p.dims(*indices).last()) {
        (Some(&n), Some(&k)) => (n, k),
        _ => return Err(Invalid::new("a top-k of a scalar")),
    };
    let of_indices = p.target(*indices, Layout::is_dense);
    let kernel = Kernel::TopK(TopK { rows, n, k, ldx: ldx.max(n), largest });
    if p.uses(*values) == 0 {
        p.push(
            kernel,
            vec![Operand::nothing(p.graph.dtype(*values)), of_indices.operand()?.0],
            vec![Some(read)],
        );
    } else {
        let of_values = p.target(*values, Layout::is_dense);
        p.push(kernel, vec![of_values.operand()?.0, of_indices.operand()?.0], vec![Some(read)]);
        p.written(*values, of_values)?;
    }
    p.written(*indices, of_indices)
}
