//! Reductions over any set of axes of a strided view. Axes are merged and ordered while compiling; here
//! either a contiguous run is reduced through 16 lanes, or 16 neighbouring results are reduced side by side.

mod arg;
mod arg_columns;
mod fold;
mod plain;
#[cfg(test)]
mod tests;
mod vector;

pub use arg::ArgReduce;
pub use fold::ReduceKind;

use crate::Element;
use crate::copy::{Axes, RANK, Space, Strided, reach, reach_over};

/// `y[i] = fold over j of x[i, j]`; strides count elements.
///
/// `f32` sums run over 16 lanes (lane = position in the innermost run modulo 16) that are combined in a fixed
/// tree, or, where the innermost run is kept, in the order of the reduced axes; either way the order follows
/// from the descriptor alone. `f16` and `bf16` are folded in `f32`, `f64` in `f64`; integers wrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reduce {
    /// How elements combine.
    pub kind: ReduceKind,
    /// Kept axes in use.
    pub rank: usize,
    /// Extents of the kept axes.
    pub dims: [usize; RANK],
    /// Strides of `x` along them.
    pub x: [isize; RANK],
    /// Strides of `y` along them.
    pub y: [isize; RANK],
    /// Where the first element of `x` stands.
    pub x_offset: usize,
    /// Where the first element of `y` stands.
    pub y_offset: usize,
    /// Reduced axes in use.
    pub folded: usize,
    /// Extents of the reduced axes.
    pub folded_dims: [usize; RANK],
    /// Strides of `x` along them.
    pub folded_x: [isize; RANK],
}

impl Reduce {
    /// The reduction of `x` over `axes`; `y` has the rank of `x` with extent 1 at those axes.
    ///
    /// `None` when the shapes do not fit or more than [`RANK`] axes are left after merging.
    #[must_use]
    pub fn new(kind: ReduceKind, y: &Strided, x: &Strided, axes: &[usize]) -> Option<Reduce> {
        if y.dims().len() != x.dims().len() {
            return None;
        }
        let mut kept = Space::new([y.offset(), x.offset()]);
        let mut folded = Space::new([0]);
        for (a, (&dim, &step)) in x.dims().iter().zip(x.strides()).enumerate() {
            if axes.contains(&a) {
                if y.dims()[a] != 1 {
                    return None;
                }
                folded.push(dim, [step])?;
            } else {
                if y.dims()[a] != dim {
                    return None;
                }
                kept.push(dim, [y.strides()[a], step])?;
            }
        }
        Reduce::over(kind, kept, folded)
    }

    /// The reduction over axes that are merged and ordered here.
    fn over(kind: ReduceKind, mut kept: Space<2>, mut folded: Space<1>) -> Option<Reduce> {
        kept.merge();
        kept.forwards(0);
        kept.sort(0);
        kept.merge();
        folded.merge();
        let Axes { rank, dims, strides: [ys, xs], offsets: [y_offset, x_offset] } = kept.finish()?;
        let Axes { rank: folds, dims: folded_dims, strides: [folded_x], .. } = folded.finish()?;
        Some(Reduce {
            kind,
            rank,
            dims,
            x: xs,
            y: ys,
            x_offset,
            y_offset,
            folded: folds,
            folded_dims,
            folded_x,
        })
    }

    /// The same reduction with axes merged that the extents of this run allow, where a descriptor was made for others: the
    /// order of a sum follows from the innermost kept axis and the reduced ones, and must not depend on which extents were
    /// known when they were merged.
    fn merged(&self) -> Option<Reduce> {
        let dims = &self.dims[..self.rank];
        let (folded_dims, steps) = (&self.folded_dims[..self.folded], &self.folded_x);
        let unit = dims.last() == Some(&1) || folded_dims.contains(&1);
        if !unit && !(1..self.folded).any(|a| steps[a - 1] == steps[a] * folded_dims[a] as isize) {
            return None;
        }
        if dims == [1] && self.folded == 1 {
            // One sum of one run, what an event of its own has: nothing but the axis to drop.
            return Some(Reduce { rank: 0, ..self.clone() });
        }
        let mut kept = Space::new([self.y_offset as isize, self.x_offset as isize]);
        let mut folded = Space::new([0]);
        for (a, &dim) in dims.iter().enumerate() {
            kept.push(dim, [self.y[a], self.x[a]])?;
        }
        for (a, &dim) in folded_dims.iter().enumerate() {
            folded.push(dim, [self.folded_x[a]])?;
        }
        Reduce::over(self.kind, kept, folded).filter(|r| r != self)
    }

    /// The number of elements that make one result.
    #[must_use]
    pub fn count(&self) -> usize {
        self.folded_dims[..self.folded].iter().product()
    }

    /// Reduces `x` into `y`. Of bools (as `u8`), the largest is "or" and the smallest "and".
    ///
    /// # Panics
    /// When the descriptor reaches outside `x` or `y`.
    #[inline]
    pub fn run<T: Element>(&self, y: &mut [T], x: &[T]) {
        let kept = &self.dims[..self.rank];
        let folded = (&self.folded_dims[..self.folded], &self.folded_x[..]);
        assert!(reach(kept, &self.y, self.y_offset).fits(y.len()), "reduce: outside the result");
        let reached = reach_over([(kept, &self.x), folded], self.x_offset);
        assert!(reached.fits(x.len()), "reduce: outside the operand");
        let merged = self.merged();
        let this = merged.as_ref().unwrap_or(self);
        // SAFETY: both walks stay inside their slices, and the element type is `T`'s own; merged axes walk the same places.
        unsafe { this.run_raw(T::DTYPE, y.as_mut_ptr().cast(), x.as_ptr().cast()) }
    }

    /// # Safety
    /// The walks of the descriptor stay inside the memory of `y` and `x`, elements of `dtype`.
    unsafe fn run_raw(&self, dtype: crate::DType, y: *mut u8, x: *const u8) {
        // SAFETY: the caller's promise; offsets are part of the checked walks.
        unsafe {
            match dtype {
                crate::DType::F32 => vector::reduce(self, y.cast(), x.cast()),
                other => plain::reduce(self, other, y, x),
            }
        }
    }
}

/// A walk over axes, in row-major order, that gives the position in two tensors at each step.
///
/// An iterator of a kind, and no function that takes a closure: a closure is compiled without the instruction
/// set of the kernel around it unless it is inlined, and one that holds a whole kernel is not (measured: a mean
/// over 7 rows of 32 took 40 times as long).
pub(crate) struct Walk<'a> {
    dims: &'a [usize],
    y: &'a [isize],
    x: &'a [isize],
    at: [usize; RANK],
    next: Option<(isize, isize)>,
}

impl<'a> Walk<'a> {
    /// From `start` over axes `0..dims.len()`.
    #[inline(always)]
    pub(crate) fn new(dims: &'a [usize], y: &'a [isize], x: &'a [isize], start: (isize, isize)) -> Walk<'a> {
        let next = if dims.contains(&0) { None } else { Some(start) };
        Walk { dims, y, x, at: [0; RANK], next }
    }

    /// The positions of the next step.
    #[inline(always)]
    pub(crate) fn step(&mut self) -> Option<(isize, isize)> {
        let here = self.next?;
        let (mut py, mut px) = here;
        let mut a = self.dims.len();
        self.next = loop {
            if a == 0 {
                break None;
            }
            a -= 1;
            self.at[a] += 1;
            py += self.y[a];
            px += self.x[a];
            if self.at[a] < self.dims[a] {
                break Some((py, px));
            }
            py -= self.y[a] * self.dims[a] as isize;
            px -= self.x[a] * self.dims[a] as isize;
            self.at[a] = 0;
        };
        Some(here)
    }
}
