//! Writing by index. Repeated indices apply in the order of the updates; sums of floats are rounded once, after
//! the last of them.

use super::gather::{elements, tuples};
use super::index::{indices, split_inner};
use super::views::broadcast;
use super::wide::{Wide, widened};
use crate::ir::{Invalid, ScatterKind, Tensor};
use sofie_infer_runtime::DType;

/// A sum of bools is an or, a product an and.
fn of_type(kind: ScatterKind, dtype: DType) -> ScatterKind {
    match kind {
        ScatterKind::Add if dtype == DType::Bool => ScatterKind::Max,
        ScatterKind::Mul if dtype == DType::Bool => ScatterKind::Min,
        kind => kind,
    }
}

fn combine<W: Wide>(kind: ScatterKind, y: &mut W, update: W) {
    *y = match kind {
        ScatterKind::Set => update,
        ScatterKind::Add => y.add(update),
        ScatterKind::Mul => y.mul(update),
        ScatterKind::Max => y.larger(update),
        ScatterKind::Min => y.smaller(update),
    };
}

pub(super) fn scatter_elements(
    x: &Tensor,
    index: &Tensor,
    updates: &Tensor,
    axis: usize,
    kind: ScatterKind,
) -> Result<Tensor, Invalid> {
    let kind = of_type(kind, x.dtype());
    let at = indices(index)?;
    widened!(x, v => {
        let (mut y, u) = (v, Wide::of(updates));
        elements(x.dims(), index.dims(), axis, &at, |from, to| combine(kind, &mut y[to], u[from]))?;
        Wide::tensor(x.dtype(), x.dims(), &y)
    })
}

pub(super) fn scatter_nd(
    x: &Tensor,
    index: &Tensor,
    updates: &Tensor,
    kind: ScatterKind,
) -> Result<Tensor, Invalid> {
    let kind = of_type(kind, x.dtype());
    let (lead, depth) = split_inner(index.dims());
    let slices = tuples(x.dims(), index.dims(), 1, &indices(index)?)?;
    let run: usize = x.dims()[depth..].iter().product();
    let updates = broadcast(updates, &[lead, &x.dims()[depth..]].concat())?;
    widened!(x, v => {
        let (mut y, u) = (v, Wide::of(&updates));
        for (i, slice) in slices.into_iter().enumerate() {
            for (y, u) in y[slice * run..][..run].iter_mut().zip(&u[i * run..][..run]) {
                combine(kind, y, *u);
            }
        }
        Wide::tensor(x.dtype(), x.dims(), &y)
    })
}
