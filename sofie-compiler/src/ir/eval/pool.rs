//! Pooling. A window that covers no element gives the type's lowest value as a maximum, and NaN (of integers
//! 0) as a mean.

use super::wide::{Wide, widened};
use super::window::{coordinates, covered, number, spatial, with_row};
use crate::ir::{Invalid, Pool, PoolKind, Tensor};
use sofie_infer_runtime::DType;

pub(super) fn pool(p: &Pool, x: &Tensor, dims: &[usize]) -> Result<Tensor, Invalid> {
    if x.dtype() == DType::Bool && p.kind != PoolKind::Max {
        return Err(Invalid::new("the mean of bools"));
    }
    widened!(x, v => Wide::tensor(x.dtype(), dims, &typed(p, &v, x, dims)))
}

fn typed<W: Wide>(p: &Pool, x: &[W], t: &Tensor, dims: &[usize]) -> Vec<W> {
    let w = with_row(&p.window);
    let (from, to) = (spatial(t.dims()), spatial(dims));
    let channels = dims.last().copied().unwrap_or(1);
    let pixels = |dims: &[usize]| dims.iter().product::<usize>();
    let init = if p.kind == PoolKind::Max { W::bounds(t.dtype()).0 } else { W::default() };
    let mut y = vec![init; pixels(dims)];
    for (i, y) in y.chunks_exact_mut(channels.max(1)).enumerate() {
        let x = &x[i / pixels(&to) * pixels(&from) * channels..];
        let at = coordinates(i % pixels(&to), &to);
        let (mut inside, mut padded) = (0, 0);
        for tap in 0..pixels(&w.kernel) {
            let tap = coordinates(tap, &w.kernel);
            let covers = |axis: usize| covered(&w, axis, at[axis], tap[axis]);
            let in_pads = |axis: usize| covers(axis) < (from[axis] + w.pads_end[axis]) as isize;
            padded += usize::from((0..from.len()).all(in_pads));
            let position = |axis: usize| usize::try_from(covers(axis)).ok().filter(|&i| i < from[axis]);
            let Some(pixel) = (0..from.len()).map(position).collect::<Option<Vec<_>>>() else { continue };
            inside += 1;
            for (y, v) in y.iter_mut().zip(&x[number(&pixel, &from) * channels..][..channels]) {
                *y = if p.kind == PoolKind::Max { y.larger(*v) } else { y.add(*v) };
            }
        }
        match p.kind {
            PoolKind::Max => {}
            // A window with nothing in it has a sum of 0, which stays.
            PoolKind::Average => y.iter_mut().for_each(|y| *y = y.over(inside.max(1))),
            PoolKind::AverageWithPads => y.iter_mut().for_each(|y| *y = y.over(padded.max(1))),
        }
    }
    y
}
