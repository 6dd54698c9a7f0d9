//! Gathering by index. ONNX's `Gather`, `GatherElements` and `GatherND` differ only in strides, so they share
//! one descriptor; an index that is broadcast over the last axis (whole rows) shows by its stride of 0, and
//! its rows are copied as runs.

mod indexed;
mod short;
#[cfg(test)]
mod tests;

pub use indexed::{Index, Indexed, TUPLE};
pub(crate) use indexed::{RawIndex, Row, Visit, Walk, along};
pub(crate) use short::by_words;

use crate::Element;
use crate::copy::{Strided, copy_row};
use crate::simd::{self, Op, Simd};

/// `y` at the walk = `x` at the data positions of [`Indexed`]. Elements of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Which element goes where: the walk is `y`, the data `x`.
    pub at: Indexed,
}

impl Gather {
    /// Whole slices of `x` at `axis`, ONNX `Gather`: `x [B…, P…, n, Q…]`, `index [B…, I…]` → `y [B…, P…, I…,
    /// Q…]`, the first `batch` axes going together.
    ///
    /// `None` when the shapes do not fit or more than [`RANK`](crate::copy::RANK) axes are left after merging.
    #[must_use]
    pub fn slices(y: &Strided, x: &Strided, index: &Strided, axis: usize, batch: usize) -> Option<Gather> {
        let (xd, xs, id, is) = (x.dims(), x.strides(), index.dims(), index.strides());
        if axis >= xd.len() || batch > axis || batch > id.len() || xd[..batch] != id[..batch] {
            return None;
        }
        let mut walk = Walk::new(y, x, index);
        for a in 0..axis {
            walk.push(xd[a], xs[a], if a < batch { is[a] } else { 0 })?;
        }
        for a in batch..id.len() {
            walk.push(id[a], 0, is[a])?;
        }
        for a in axis + 1..xd.len() {
            walk.push(xd[a], xs[a], 0)?;
        }
        Some(Gather { at: walk.finish(&[(xd[axis], xs[axis])], 0)? })
    }

    /// One element an index along `axis`, ONNX `GatherElements`; `y` has the shape of `index`.
    ///
    /// `None` when the shapes do not fit or more than [`RANK`](crate::copy::RANK) axes are left after merging.
    #[must_use]
    pub fn elements(y: &Strided, x: &Strided, index: &Strided, axis: usize) -> Option<Gather> {
        let (xd, xs, id, is) = (x.dims(), x.strides(), index.dims(), index.strides());
        if xd.len() != id.len() || axis >= xd.len() || (0..xd.len()).any(|a| a != axis && id[a] > xd[a]) {
            return None;
        }
        let mut walk = Walk::new(y, x, index);
        for a in 0..xd.len() {
            walk.push(id[a], if a == axis { 0 } else { xs[a] }, is[a])?;
        }
        Some(Gather { at: walk.finish(&[(xd[axis], xs[axis])], 0)? })
    }

    /// ONNX `GatherND`: `x [B…, D…, Q…]`, `index [B…, I…, d]` → `y [B…, I…, Q…]`, each tuple of d indices
    /// choosing along the axes D.
    ///
    /// `None` when the shapes do not fit or more than [`RANK`](crate::copy::RANK) axes are left after merging.
    #[must_use]
    pub fn nd(y: &Strided, x: &Strided, index: &Strided, batch: usize) -> Option<Gather> {
        let (xd, xs) = (x.dims(), x.strides());
        let (&d, id) = index.dims().split_last()?;
        let (&tuple_step, is) = index.strides().split_last()?;
        let end = batch.checked_add(d).filter(|&end| d <= TUPLE && end <= xd.len())?;
        if batch > id.len() || xd[..batch] != id[..batch] {
            return None;
        }
        let mut walk = Walk::new(y, x, index);
        for a in 0..id.len() {
            walk.push(id[a], if a < batch { xs[a] } else { 0 }, is[a])?;
        }
        for a in end..xd.len() {
            walk.push(xd[a], xs[a], 0)?;
        }
        let mut indexed = [(0, 0); TUPLE];
        for (pair, a) in indexed.iter_mut().zip(batch..end) {
            *pair = (xd[a], xs[a]);
        }
        Some(Gather { at: walk.finish(&indexed[..d], tuple_step)? })
    }

    /// Gathers from `x` into `y`.
    ///
    /// # Panics
    /// When an index is outside its axis (the message says which), or the descriptor reaches outside `x`, `y`
    /// or `index`.
    #[inline]
    pub fn run<T: Element, I: Index>(&self, y: &mut [T], x: &[T], index: &[I]) {
        self.at.check("gather", x.len(), y.len(), index.len());
        let (y, x) = (y.as_mut_ptr().cast(), x.as_ptr().cast());
        let index = RawIndex::new(index);
        // SAFETY: all three walks were checked, and elements are plain memory of their size.
        unsafe { run_raw(&self.at, size_of::<T>(), y, x, index) }
    }
}

/// # Safety
/// `at` must have been checked against the memory of `y` and `x` (elements of `size` bytes) and `index`.
unsafe fn run_raw(at: &Indexed, size: usize, y: *mut u8, x: *const u8, index: RawIndex) {
    // SAFETY: the caller's promise.
    unsafe {
        if short::run(at, size, y, x, index) {
            return;
        }
        match size {
            1 => run_as::<u8>(at, y.cast(), x.cast(), index),
            2 => run_as::<u16>(at, y.cast(), x.cast(), index),
            4 => run_as::<u32>(at, y.cast(), x.cast(), index),
            _ => run_as::<u64>(at, y.cast(), x.cast(), index),
        }
    }
}

/// # Safety
/// As [`run_raw`], `E` being of the elements' size.
unsafe fn run_as<E: Copy>(at: &Indexed, y: *mut E, x: *const E, index: RawIndex) {
    match index {
        RawIndex::I32(index) => simd::dispatch(Run { at, y, x, index }),
        RawIndex::I64(index) => simd::dispatch(Run { at, y, x, index }),
    }
}

struct Run<'a, E, I> {
    at: &'a Indexed,
    y: *mut E,
    x: *const E,
    index: *const I,
}

impl<E: Copy, I: Index> Op for Run<'_, E, I> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let read = Read { s, y: self.y, x: self.x };
        // SAFETY: whoever made `Run` checked the walks against the memory of all three.
        unsafe { self.at.walk("gather", self.index, read) }
    }
}

struct Read<S, E> {
    s: S,
    y: *mut E,
    x: *const E,
}

impl<S: Simd, E: Copy> Visit for Read<S, E> {
    #[inline(always)]
    unsafe fn row(&mut self, row: Row) {
        let (y, x) = (self.y.wrapping_offset(row.walk), self.x.wrapping_offset(row.data));
        // SAFETY: every position of the row is inside its slice.
        unsafe {
            if row.walk_step == 1 && row.data_step == 1 {
                copy_row(self.s, y.cast(), x.cast(), row.len * size_of::<E>());
            } else {
                for i in 0..row.len as isize {
                    y.wrapping_offset(i * row.walk_step).write(*x.wrapping_offset(i * row.data_step));
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn element(&mut self, walk: isize, data: isize) {
        // SAFETY: both positions are inside their slices.
        unsafe { self.y.wrapping_offset(walk).write(*self.x.wrapping_offset(data)) }
    }
}
