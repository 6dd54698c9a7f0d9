//! The k largest or smallest of each row, sorted. Rows of `f32` with small k are filtered against a bound on
//! the k-th value that sixteen rows find together (`filter`); everything else goes through a heap of indices
//! that lives in the result itself (`heap`).

mod filter;
mod heap;
#[cfg(test)]
mod tests;

use crate::{DType, Element, bf16, f16};

/// `x [rows, n] → values [rows, k], indices [rows, k]`, along the last axis, best first.
///
/// Of equal elements the lower index comes first (−0 equals +0). NaN counts as larger than every number, and
/// as equal to NaN, as in NumPy, PyTorch and ONNX Runtime (1.32, observed; ONNX does not say).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopK {
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub n: usize,
    /// How many are wanted, at most `n`.
    pub k: usize,
    /// From one row of `x` to the next, at least `n`.
    pub ldx: usize,
    /// Largest first rather than smallest first.
    pub largest: bool,
}

impl TopK {
    /// Writes `indices[..rows · k]`, and `values[..rows · k]` unless `values` is empty.
    ///
    /// # Panics
    /// When a slice is too short for the descriptor, or `k > n`.
    #[inline]
    pub fn run<T: Element>(&self, values: &mut [T], indices: &mut [i64], x: &[T]) {
        self.check(values.len(), indices.len(), x.len());
        let values = if values.is_empty() { core::ptr::null_mut() } else { values.as_mut_ptr().cast() };
        // SAFETY: the slices hold what the descriptor reaches, and the element type is `T`'s own.
        unsafe { self.run_raw(T::DTYPE, values, indices, x.as_ptr().cast()) }
    }

    fn check(&self, values: usize, indices: usize, x: usize) {
        assert!(self.k <= self.n && self.n <= self.ldx, "top_k: more elements wanted than a row has");
        let wanted = self.rows.checked_mul(self.k);
        assert!(wanted.is_some_and(|w| indices >= w), "top_k: too few indices");
        assert!(values == 0 || wanted.is_some_and(|w| values >= w), "top_k: too few values");
        let reached = self.rows.saturating_sub(1).checked_mul(self.ldx).and_then(|r| r.checked_add(self.n));
        assert!(self.rows == 0 || reached.is_some_and(|r| x >= r), "top_k: too few elements");
    }

    /// # Safety
    /// [`TopK::check`] must have passed for memory of elements of `dtype`; `values` may be null.
    unsafe fn run_raw(&self, dtype: DType, values: *mut u8, indices: &mut [i64], x: *const u8) {
        if self.rows == 0 || self.k == 0 {
            return;
        }
        macro_rules! heap {
            ($t:ty) => {
                heap::rows::<$t>(self, values.cast(), indices, x.cast())
            };
        }
        // SAFETY: the caller's promise. Bytes of a `bool` tensor are 0 or 1, and order like `u8`.
        unsafe {
            match dtype {
                DType::F32 if filter::suits(self) => filter::rows(self, values.cast(), indices, x.cast()),
                DType::F32 => heap!(f32),
                DType::F64 => heap!(f64),
                DType::F16 => heap!(f16),
                DType::BF16 => heap!(bf16),
                DType::I8 => heap!(i8),
                DType::I16 => heap!(i16),
                DType::I32 => heap!(i32),
                DType::I64 => heap!(i64),
                DType::U8 | DType::Bool => heap!(u8),
                DType::U16 => heap!(u16),
                DType::U32 => heap!(u32),
                DType::U64 => heap!(u64),
            }
        }
    }
}
