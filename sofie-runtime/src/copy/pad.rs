//! A border of one value around a copy: the gaps between the copied rows are filled on the way, so that no
//! element is written twice.

use super::{Copy, RANK, Strided, reach, rows};
use crate::Element;
use crate::map::Scalar;
use crate::simd::{self, Op, Simd};

/// `y` is `x` (any view of it) inside a border of `value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// Where the operand goes in `y`; its `dst` strides must not grow from axis to axis.
    pub copy: Copy,
    /// Elements of `y`.
    pub len: usize,
    /// What the border holds.
    pub value: Scalar,
}

impl Pad {
    /// Pads view `x` by `before` and `after` elements an axis into a row-major `y`.
    ///
    /// `None` when the lists differ in length, sizes overflow, or too many axes are left.
    #[must_use]
    pub fn new(x: &Strided, before: &[usize], after: &[usize], value: Scalar) -> Option<Pad> {
        let dims = x.dims();
        if before.len() != dims.len() || after.len() != dims.len() {
            return None;
        }
        let mut strides = [0isize; super::MAX_AXES];
        let (mut len, mut offset) = (1usize, 0usize);
        for a in (0..dims.len()).rev() {
            strides[a] = isize::try_from(len).ok()?;
            offset = offset.checked_add(before[a].checked_mul(len)?)?;
            len = len.checked_mul(dims[a].checked_add(before[a])?.checked_add(after[a])?)?;
        }
        let y = Strided::new(dims, &strides[..dims.len()], offset)?;
        Some(Pad { copy: Copy::new(&y, x)?, len, value })
    }

    /// Writes `y[..len]`.
    ///
    /// # Panics
    /// When `y` is shorter than `len`, the copy reaches outside `x` or `y`, or `value` is not a `T`.
    #[inline]
    pub fn run<T: Element>(&self, y: &mut [T], x: &[T]) {
        assert!(self.value.dtype == T::DTYPE, "pad: the value is not of the tensor's type");
        let y = &mut y[..self.len];
        assert!(
            reach(&self.copy.dims[..self.copy.rank], &self.copy.dst, self.copy.dst_offset).fits(self.len),
            "pad: the copy reaches outside the result"
        );
        let sorted = self.copy.dst[..self.copy.rank].windows(2).all(|w| w[0] >= w[1] && w[1] >= 0);
        assert!(sorted, "pad: the copy does not walk the result forwards");
        // SAFETY: the border lies inside `y`, and the value's bytes are an element.
        unsafe { self.border(size_of::<T>(), y.as_mut_ptr().cast()) }
        self.copy.run(y, x);
    }

    /// # Safety
    /// `y` must hold `len` elements of `size` bytes, and the copy's walk must stay inside.
    unsafe fn border(&self, size: usize, y: *mut u8) {
        let bits = self.value.bits;
        // SAFETY: the caller's promise.
        unsafe {
            match size {
                1 => fill_around(self, y, bits as u8),
                2 => fill_around(self, y.cast(), bits as u16),
                4 => fill_around(self, y.cast(), bits as u32),
                _ => fill_around(self, y.cast(), bits),
            }
        }
    }
}

/// # Safety
/// As [`Pad::border`].
unsafe fn fill_around<E: core::marker::Copy>(pad: &Pad, y: *mut E, value: E) {
    simd::dispatch(Border { pad, y, value });
}

struct Border<'a, E> {
    pad: &'a Pad,
    y: *mut E,
    value: E,
}

impl<E: core::marker::Copy> Op for Border<'_, E> {
    type Output = ();

    /// The rows of the copy in the order of memory; what lies between two of them is border.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Copy { rank, dims, dst, dst_offset, .. } = self.pad.copy;
        let mut done = 0;
        if !self.pad.copy.is_empty() {
            // A row is the innermost axis where that is a run, else a single element.
            let (outer, run) =
                if rank > 0 && dst[rank - 1] == 1 { (rank - 1, dims[rank - 1]) } else { (rank, 1) };
            let mut at = [0usize; RANK];
            'rows: loop {
                let start = (0..outer).fold(dst_offset, |p, a| p + at[a] * dst[a] as usize);
                // SAFETY: both lie inside the result, where the walk of the copy stays.
                unsafe { rows::splat_row(s, self.y.add(done), self.value, start.saturating_sub(done)) }
                done = start + run;
                let mut a = outer;
                loop {
                    if a == 0 {
                        break 'rows;
                    }
                    a -= 1;
                    at[a] += 1;
                    if at[a] < dims[a] {
                        break;
                    }
                    at[a] = 0;
                }
            }
        }
        // SAFETY: what is left of the result.
        unsafe { rows::splat_row(s, self.y.add(done), self.value, self.pad.len - done) }
    }
}
