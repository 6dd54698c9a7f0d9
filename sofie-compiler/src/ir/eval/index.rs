//! Positions in dense and strided tensors: row-major strides, an odometer over the outer axes, and the
//! rule by which ONNX's indices count from either end.

use crate::ir::{Invalid, Tensor};

/// Row-major strides, in elements.
pub(super) fn strides(dims: &[usize]) -> Vec<isize> {
    let mut strides = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        strides[i - 1] = strides[i] * dims[i] as isize;
    }
    strides
}

/// Row-major strides of an operand of extents `from`, each that of the result or 1: 0 along broadcast axes.
pub(super) fn broadcast_strides(from: &[usize]) -> Vec<isize> {
    let mut strides = strides(from);
    strides.iter_mut().zip(from).filter(|(_, d)| **d == 1).for_each(|(s, _)| *s = 0);
    strides
}

/// Calls `f` for each index of a box of extents `dims` in row-major order, with the N offsets that the
/// strides give it. No call where an extent is 0, one where there are no axes.
pub(super) fn walk<const N: usize>(
    dims: &[usize],
    strides: [&[isize]; N],
    mut f: impl FnMut([isize; N]) -> Result<(), Invalid>,
) -> Result<(), Invalid> {
    if dims.contains(&0) {
        return Ok(());
    }
    let mut index = vec![0; dims.len()];
    let mut offset = [0; N];
    loop {
        f(offset)?;
        let mut axis = dims.len();
        loop {
            let Some(previous) = axis.checked_sub(1) else { return Ok(()) };
            axis = previous;
            index[axis] += 1;
            (0..N).for_each(|i| offset[i] += strides[i][axis]);
            if index[axis] < dims[axis] {
                break;
            }
            (0..N).for_each(|i| offset[i] -= strides[i][axis] * dims[axis] as isize);
            index[axis] = 0;
        }
    }
}

/// The outer extents and the innermost one (1 where there are no axes).
pub(super) fn split_inner(dims: &[usize]) -> (&[usize], usize) {
    dims.split_last().map_or((dims, 1), |(n, outer)| (outer, *n))
}

/// The extents before an axis multiplied, its own, and those behind it multiplied.
pub(super) fn around(dims: &[usize], axis: usize) -> (usize, usize, usize) {
    (dims[..axis].iter().product(), dims[axis], dims[axis + 1..].iter().product())
}

/// The elements of an index tensor.
pub(super) fn indices(t: &Tensor) -> Result<Vec<i64>, Invalid> {
    t.to_ints().ok_or_else(|| Invalid::new(format!("indices of type {}", t.dtype())))
}

/// An index that may count from the end, as a position below `n`.
pub(super) fn resolve(index: i64, n: usize) -> Result<usize, Invalid> {
    let from_start = if index < 0 { index.checked_add(n as i64) } else { Some(index) };
    from_start
        .and_then(|i| usize::try_from(i).ok())
        .filter(|&i| i < n)
        .ok_or_else(|| Invalid::new(format!("index {index} is outside {n} elements")))
}
