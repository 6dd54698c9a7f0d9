//! Reading by index: `Gather`, `GatherElements`, `GatherNd`.

use super::index::{indices, resolve, split_inner, strides, walk};
use super::views::by_size;
use super::wide::tensor;
use crate::ir::{Invalid, Tensor};

pub(super) fn gather(
    x: &Tensor,
    index: &Tensor,
    axis: usize,
    batch: usize,
    dims: &[usize],
) -> Result<Tensor, Invalid> {
    let at = indices(index)?;
    let (lead, d) = (x.dims()[..batch].iter().product::<usize>(), x.dims());
    let between: usize = d[batch..axis].iter().product();
    let run = d[axis + 1..].iter().product::<usize>() * x.dtype().size();
    let per_batch: usize = index.dims()[batch..].iter().product();
    let mut y = Vec::with_capacity(dims.iter().product::<usize>() * x.dtype().size());
    for b in 0..lead {
        for p in 0..between {
            for &i in &at[b * per_batch..][..per_batch] {
                let row = (b * between + p) * d[axis] + resolve(i, d[axis])?;
                y.extend_from_slice(&x.bytes()[row * run..][..run]);
            }
        }
    }
    tensor(x.dtype(), dims, y)
}

pub(super) fn gather_elements(x: &Tensor, index: &Tensor, axis: usize) -> Result<Tensor, Invalid> {
    let at = indices(index)?;
    let y = by_size!(x.dtype().size(), N => {
        let from: &[[u8; N]] = x.bytes().as_chunks().0;
        let mut y = Vec::with_capacity(at.len());
        elements(x.dims(), index.dims(), axis, &at, |_, i| y.push(from[i]))?;
        y.into_flattened()
    });
    tensor(x.dtype(), index.dims(), y)
}

/// Calls `f` with each position in the index tensor and the position that its index names in a tensor of
/// extents `dims`.
pub(super) fn elements(
    dims: &[usize],
    index_dims: &[usize],
    axis: usize,
    index: &[i64],
    mut f: impl FnMut(usize, usize),
) -> Result<(), Invalid> {
    if let Some(i) = (0..dims.len()).find(|&i| i != axis && index_dims[i] > dims[i]) {
        return Err(Invalid::new(format!("indices {index_dims:?} reach outside data {dims:?} at axis {i}")));
    }
    let by = strides(dims);
    let mut beside = by.clone();
    beside[axis] = 0;
    let (outer, n) = split_inner(index_dims);
    let inner = beside.last().copied().unwrap_or(0);
    let mut position = 0;
    walk(outer, [&beside], |[row]| {
        for j in 0..n {
            let along = resolve(index[position], dims[axis])? as isize;
            f(position, (row + j as isize * inner + along * by[axis]) as usize);
            position += 1;
        }
        Ok(())
    })
}

pub(super) fn gather_nd(x: &Tensor, index: &Tensor, batch: usize, dims: &[usize]) -> Result<Tensor, Invalid> {
    let lead: usize = index.dims()[..batch].iter().product();
    let mut y = Vec::with_capacity(dims.iter().product::<usize>() * x.dtype().size());
    let tuples = tuples(&x.dims()[batch..], &index.dims()[batch..], lead, &indices(index)?)?;
    let depth = split_inner(index.dims()).1;
    let run = x.dims()[batch + depth..].iter().product::<usize>() * x.dtype().size();
    let per_batch = x.dims()[batch..batch + depth].iter().product::<usize>();
    let in_batch = tuples.len().checked_div(lead).unwrap_or(0);
    for (i, slice) in tuples.into_iter().enumerate() {
        let row = i.checked_div(in_batch).unwrap_or(0) * per_batch + slice;
        y.extend_from_slice(&x.bytes()[row * run..][..run]);
    }
    tensor(x.dtype(), dims, y)
}

/// The row-major number of the slice that each index tuple names in a tensor of extents `dims`, for `lead`
/// tensors of tuples of extents `index_dims`, whose last is the tuples' length.
pub(super) fn tuples(
    dims: &[usize],
    index_dims: &[usize],
    lead: usize,
    index: &[i64],
) -> Result<Vec<usize>, Invalid> {
    let (outer, depth) = split_inner(index_dims);
    let count = lead * outer.iter().product::<usize>();
    let slice =
        |tuple: &[i64]| tuple.iter().zip(dims).try_fold(0, |at, (&i, &n)| Ok(at * n + resolve(i, n)?));
    (0..count).map(|i| slice(&index[i * depth..][..depth])).collect()
}
