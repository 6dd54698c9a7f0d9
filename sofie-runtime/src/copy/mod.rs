//! Strided copies: what turns a view (a transpose, a slice, a broadcast, a place inside a larger tensor) into
//! memory. Axes are merged and put in the destination's order while compiling; here only the inner two axes
//! matter: rows that are runs, rows of one value, transposes, and anything else.

mod pad;
mod rows;
mod space;
#[cfg(test)]
pub(crate) mod tests;
mod transpose;

pub use pad::Pad;
pub(crate) use rows::copy_row;
pub(crate) use space::{Axes, Space, reach, reach_over};
pub use space::{MAX_AXES, RANK, Strided};

use crate::Element;
use crate::simd::{self, Op, Simd};

/// `y[dst_offset + Σ i·dst] = x[src_offset + Σ i·src]` for all `i` below `dims`; strides and offsets count
/// elements. Elements of any type.
///
/// [`Copy::new`] makes the form that runs fast: few axes, sorted by the destination's strides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Axes in use; 0 copies one element.
    pub rank: usize,
    /// Extents, outermost first.
    pub dims: [usize; RANK],
    /// Strides of the source; negative and 0 are fine.
    pub src: [isize; RANK],
    /// Where the source's first element stands.
    pub src_offset: usize,
    /// Strides of the destination; no two elements of it may coincide.
    pub dst: [isize; RANK],
    /// Where the destination's first element stands.
    pub dst_offset: usize,
}

impl Copy {
    /// The copy of view `src` into view `dst`, both of one shape.
    ///
    /// `None` when the shapes differ, or when more than [`RANK`] axes are left after merging.
    #[must_use]
    pub fn new(dst: &Strided, src: &Strided) -> Option<Copy> {
        if dst.dims() != src.dims() {
            return None;
        }
        let mut space = Space::new([dst.offset(), src.offset()]);
        for ((&dim, &d), &s) in dst.dims().iter().zip(dst.strides()).zip(src.strides()) {
            space.push(dim, [d, s])?;
        }
        space.merge();
        space.forwards(0);
        space.sort(0);
        space.merge();
        let Axes { rank, dims, strides: [dst, src], offsets: [dst_offset, src_offset] } = space.finish()?;
        Some(Copy { rank, dims, src, src_offset, dst, dst_offset })
    }

    /// `n` elements that stand together on both sides.
    #[must_use]
    pub const fn dense(n: usize) -> Copy {
        let (mut dims, mut strides) = ([1; RANK], [0; RANK]);
        (dims[0], strides[0]) = (n, 1);
        Copy { rank: 1, dims, src: strides, src_offset: 0, dst: strides, dst_offset: 0 }
    }

    /// Elements copied.
    #[must_use]
    pub fn len(&self) -> usize {
        self.dims[..self.rank].iter().product()
    }

    /// Whether nothing is copied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this is one run of memory on both sides, in order.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.rank == 0 || (self.rank == 1 && self.src[0] == 1 && self.dst[0] == 1)
    }

    /// Copies `x` to `y`.
    ///
    /// # Panics
    /// When the descriptor reaches outside `x` or `y`.
    #[inline]
    pub fn run<T: Element>(&self, y: &mut [T], x: &[T]) {
        assert!(
            reach(&self.dims[..self.rank], &self.src, self.src_offset).fits(x.len()),
            "copy: outside the source"
        );
        assert!(
            reach(&self.dims[..self.rank], &self.dst, self.dst_offset).fits(y.len()),
            "copy: outside the destination"
        );
        // SAFETY: both walks stay inside their slices, and elements are plain memory of their size.
        unsafe { self.run_raw(size_of::<T>(), y.as_mut_ptr().cast(), x.as_ptr().cast()) }
    }

    /// # Safety
    /// Elements of `size` bytes (1, 2, 4 or 8): the walks must stay inside the memory of `y` and `x`.
    unsafe fn run_raw(&self, size: usize, y: *mut u8, x: *const u8) {
        if self.is_empty() {
            return;
        }
        // SAFETY: the caller's promise.
        unsafe {
            match size {
                1 => self.run_as::<u8>(y.cast(), x.cast()),
                2 => self.run_as::<u16>(y.cast(), x.cast()),
                4 => self.run_as::<u32>(y.cast(), x.cast()),
                _ => self.run_as::<u64>(y.cast(), x.cast()),
            }
        }
    }

    /// # Safety
    /// As [`Copy::run_raw`], `E` being of the elements' size.
    unsafe fn run_as<E: core::marker::Copy>(&self, y: *mut E, x: *const E) {
        // SAFETY: offsets are part of the checked walk.
        let (y, x) = unsafe { (y.add(self.dst_offset), x.add(self.src_offset)) };
        simd::dispatch(Walk { copy: self, y, x });
    }
}

/// The inner two axes of a copy: `cols` elements a row, strides in elements.
#[derive(Clone, Copy)]
struct Plane {
    rows: usize,
    cols: usize,
    src_row: isize,
    src_col: isize,
    dst_row: isize,
    dst_col: isize,
}

struct Walk<'a, E> {
    copy: &'a Copy,
    y: *mut E,
    x: *const E,
}

impl<E: core::marker::Copy> Op for Walk<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Copy { rank, dims, src, dst, .. } = self.copy;
        let inner = rank.saturating_sub(1);
        // Where the source is contiguous along another axis than the destination, both make the plane.
        let row =
            (0..inner).rev().find(|&a| src[inner] != 1 && src[a] == 1).unwrap_or(inner.saturating_sub(1));
        let plane = match *rank {
            0 => Plane { rows: 1, cols: 1, src_row: 0, src_col: 1, dst_row: 0, dst_col: 1 },
            1 => Plane { rows: 1, cols: dims[0], src_row: 0, src_col: src[0], dst_row: 0, dst_col: dst[0] },
            _ => Plane {
                rows: dims[row],
                cols: dims[inner],
                src_row: src[row],
                src_col: src[inner],
                dst_row: dst[row],
                dst_col: dst[inner],
            },
        };
        // The other axes, an odometer over pointers.
        let mut outer = [(0usize, 0isize, 0isize); RANK];
        let mut n = 0;
        for a in (0..inner).filter(|&a| a != row) {
            outer[n] = (dims[a], dst[a], src[a]);
            n += 1;
        }
        let mut at = [0usize; RANK];
        let (mut y, mut x) = (self.y, self.x);
        loop {
            // SAFETY: the walk stays inside the memory of both sides, as the constructor of `Walk` promises.
            unsafe { plane.run(s, y, x) }
            let mut a = n;
            loop {
                if a == 0 {
                    return;
                }
                a -= 1;
                let (dim, dst, src) = outer[a];
                at[a] += 1;
                if at[a] < dim {
                    (y, x) = (y.wrapping_offset(dst), x.wrapping_offset(src));
                    break;
                }
                at[a] = 0;
                let back = 1 - dim as isize;
                (y, x) = (y.wrapping_offset(back * dst), x.wrapping_offset(back * src));
            }
        }
    }
}

impl Plane {
    /// # Safety
    /// `y` and `x` must be valid for all elements of the plane.
    #[inline(always)]
    unsafe fn run<S: Simd, E: core::marker::Copy>(self, s: S, y: *mut E, x: *const E) {
        // SAFETY: the caller's promise, for each kernel.
        unsafe {
            match (self.src_col, self.dst_col) {
                (1, 1) => rows::runs(s, self, y, x),
                (0, 1) => rows::splats(s, self, y, x),
                (_, 1) if self.src_row == 1 => transpose::blocks(s, self, y, x),
                _ => rows::elements(self, y, x),
            }
        }
    }
}
