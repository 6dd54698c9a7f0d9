//! The position of the largest or smallest element along an axis.

use super::Walk;
use super::arg_columns::{self, Columns};
use crate::copy::{Axes, RANK, Space, Strided, reach, reach_over};
use crate::{DType, Element, bf16, f16};

/// `y[i] = argmax over j of x[i, j]` as `i64`; strides count elements. NaN is larger than everything for the
/// largest and smaller for the smallest, as in NumPy; of equals the first or the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgReduce {
    /// Largest rather than smallest.
    pub largest: bool,
    /// The last of equals rather than the first.
    pub last: bool,
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
    /// Extent of the axis, at least 1.
    pub n: usize,
    /// Stride of `x` along the axis.
    pub step: isize,
}

impl ArgReduce {
    /// Over `axis` of `x`; `y` has the rank of `x` with extent 1 there.
    ///
    /// `None` when the shapes do not fit, the axis is empty, or more than [`RANK`] axes are left after merging.
    #[must_use]
    pub fn new(largest: bool, last: bool, y: &Strided, x: &Strided, axis: usize) -> Option<ArgReduce> {
        if y.dims().len() != x.dims().len() {
            return None;
        }
        let mut kept = Space::new([y.offset(), x.offset()]);
        for (a, (&dim, &step)) in x.dims().iter().zip(x.strides()).enumerate().filter(|(a, _)| *a != axis) {
            if y.dims()[a] != dim {
                return None;
            }
            kept.push(dim, [y.strides()[a], step])?;
        }
        kept.merge();
        let Axes { rank, dims, strides: [ys, xs], offsets: [y_offset, x_offset] } = kept.finish()?;
        let (n, step) = (*x.dims().get(axis)?, *x.strides().get(axis)?);
        let empty = n == 0 && !dims[..rank].contains(&0);
        (!empty).then_some(ArgReduce { largest, last, rank, dims, x: xs, y: ys, x_offset, y_offset, n, step })
    }

    /// Writes the positions.
    ///
    /// # Panics
    /// When the descriptor reaches outside `x` or `y`.
    #[inline]
    pub fn run<T: Element>(&self, y: &mut [i64], x: &[T]) {
        let kept = &self.dims[..self.rank];
        assert!(reach(kept, &self.y, self.y_offset).fits(y.len()), "arg_reduce: outside the result");
        let reached = reach_over([(kept, &self.x), (&[self.n], &[self.step])], self.x_offset);
        assert!(reached.fits(x.len()), "arg_reduce: outside the operand");
        // SAFETY: both walks stay inside their slices, and the element type is `T`'s own.
        unsafe { self.run_raw(T::DTYPE, y.as_mut_ptr(), x.as_ptr().cast()) }
    }

    /// # Safety
    /// The walks stay inside the memory of `y` and `x`, elements of `dtype`.
    unsafe fn run_raw(&self, dtype: DType, y: *mut i64, x: *const u8) {
        macro_rules! run {
            ($t:ty, $key:expr) => {
                // SAFETY: the caller's promise; `$t` is the element type.
                unsafe { self.typed::<$t, _>(y, x.cast(), $key) }
            };
        }
        match dtype {
            // SAFETY: as above.
            DType::F32 if self.side_by_side() => unsafe {
                self.columns(y, x.cast(), |c| arg_columns::floats(c));
            },
            DType::F32 => run!(f32, |x: f32| x),
            DType::F64 => run!(f64, |x: f64| x),
            DType::F16 => run!(f16, |x: f16| x.to_f32()),
            DType::BF16 => run!(bf16, |x: bf16| x.to_f32()),
            DType::I8 => run!(i8, |x: i8| x),
            DType::I16 => run!(i16, |x: i16| x),
            DType::I32 => run!(i32, |x: i32| x),
            DType::I64 => run!(i64, |x: i64| x),
            DType::U8 | DType::Bool => run!(u8, |x: u8| x),
            DType::U16 => run!(u16, |x: u16| x),
            DType::U32 => run!(u32, |x: u32| x),
            DType::U64 => run!(u64, |x: u64| x),
        }
    }

    /// Do several results stand next to each other in `x`, and their elements do not?
    fn side_by_side(&self) -> bool {
        let Some(inner) = self.rank.checked_sub(1) else { return false };
        self.x[inner] == 1 && self.dims[inner] > 1 && self.step != 1 && i32::try_from(self.n).is_ok()
    }

    /// Gives `f` the results that stand next to each other, at each place of the other kept axes.
    ///
    /// # Safety
    /// As [`ArgReduce::run_raw`], and [`ArgReduce::side_by_side`].
    unsafe fn columns<T>(&self, y: *mut i64, x: *const T, f: impl Fn(Columns<T>)) {
        let inner = self.rank - 1;
        let start = (self.y_offset as isize, self.x_offset as isize);
        let mut walk = Walk::new(&self.dims[..inner], &self.y, &self.x, start);
        while let Some((py, px)) = walk.step() {
            // SAFETY: both walks are inside their memory.
            let (y, x) = unsafe { (y.offset(py), x.offset(px)) };
            let (y_step, width) = (self.y[inner], self.dims[inner]);
            let ArgReduce { largest, last, n, step, .. } = *self;
            f(Columns { largest, last, y, y_step, x, step, n, width });
        }
    }

    /// # Safety
    /// As [`ArgReduce::run_raw`].
    #[allow(clippy::eq_op, reason = "NaN alone differs from itself")]
    unsafe fn typed<T: Copy, K: PartialOrd + Copy>(&self, y: *mut i64, x: *const T, key: impl Fn(T) -> K) {
        if self.side_by_side() {
            // SAFETY: the caller's promise.
            return unsafe { self.columns(y, x, |c| arg_columns::plain(c, &key)) };
        }
        let start = (self.y_offset as isize, self.x_offset as isize);
        let mut walk = Walk::new(&self.dims[..self.rank], &self.y, &self.x, start);
        while let Some((py, px)) = walk.step() {
            // SAFETY: both walks are inside their memory.
            unsafe {
                let mut p = x.offset(px);
                let mut best = (0, key(*p));
                for i in 1..self.n {
                    p = p.offset(self.step);
                    let k = key(*p);
                    let better = if self.largest { k > best.1 } else { k < best.1 };
                    let (new_nan, old_nan) = (k != k, best.1 != best.1);
                    let equal = k == best.1 || (new_nan && old_nan);
                    if (!old_nan && (better || new_nan)) || (self.last && equal) {
                        best = (i, k);
                    }
                }
                *y.offset(py) = best.0 as i64;
            }
        }
    }
}
