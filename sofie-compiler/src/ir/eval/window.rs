//! Windows over spatial axes: which element of the operand a tap of a window meets.

use crate::ir::Window;

/// The coordinates of element `i` of a box of extents `dims`.
pub(super) fn coordinates(mut i: usize, dims: &[usize]) -> Vec<usize> {
    let mut at = vec![0; dims.len()];
    for (at, n) in at.iter_mut().zip(dims).rev() {
        (*at, i) = (i % n, i / n);
    }
    at
}

/// The row-major number of coordinates.
pub(super) fn number(at: &[usize], dims: &[usize]) -> usize {
    at.iter().zip(dims).fold(0, |number, (i, n)| number * n + i)
}

/// The position along an axis that tap `k` of window `o` covers; negative in the pads.
pub(super) fn covered(w: &Window, axis: usize, o: usize, k: usize) -> isize {
    (o * w.strides[axis] + k * w.dilations[axis]) as isize - w.pads_begin[axis] as isize
}

/// The same window with a last axis of one element where it has none, so that there is always a row.
pub(super) fn with_row(w: &Window) -> Window {
    let mut w = w.clone();
    if w.kernel.is_empty() {
        let lists = [(&mut w.kernel, 1), (&mut w.strides, 1), (&mut w.dilations, 1)];
        lists.into_iter().for_each(|(list, n)| list.push(n));
        w.pads_begin.push(0);
        w.pads_end.push(0);
    }
    w
}

/// The spatial extents of `[N, spatial…, C]`, at least one.
pub(super) fn spatial(dims: &[usize]) -> Vec<usize> {
    let inner = dims.get(1..dims.len() - 1).unwrap_or_default();
    if inner.is_empty() { vec![1] } else { inner.to_vec() }
}
