//! Tensors widened to `f64` or `i128`, in which everything but products is computed: one loop serves all
//! element types, no intermediate result overflows, and a float is rounded once, at the end.

use crate::ir::{Invalid, Tensor};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::cast_slice;
use std::borrow::Cow;
use std::cmp::Ordering;

/// A type that holds every element of a class exactly.
pub(super) trait Wide: Copy + Default {
    /// The neutral element of products.
    const ONE: Self;
    /// Sum; integers wrap.
    fn add(self, other: Self) -> Self;
    /// Product; integers wrap.
    fn mul(self, other: Self) -> Self;
    /// The number of the other sign; integers wrap.
    fn negated(self) -> Self;
    /// Quotient by a count; of integers towards zero, 0 for a count of 0.
    fn over(self, count: usize) -> Self;
    /// Whether it is not a number.
    fn is_nan(self) -> bool;
    /// The order of numbers; NaN stands above all of them and equals itself.
    fn order(self, other: Self) -> Ordering;
    /// Smallest and largest value of an element type.
    fn bounds(dtype: DType) -> (Self, Self);
    /// A tensor's elements.
    fn of(t: &Tensor) -> Vec<Self>;
    /// The tensor of these elements; floats are rounded, integers wrap.
    fn tensor(dtype: DType, dims: &[usize], x: &[Self]) -> Result<Tensor, Invalid>;

    /// The larger; NaN wins.
    fn larger(self, other: Self) -> Self {
        if self.order(other).is_lt() { other } else { self }
    }
    /// The smaller; NaN wins.
    fn smaller(self, other: Self) -> Self {
        if other.is_nan() || !self.is_nan() && self.order(other).is_gt() { other } else { self }
    }
}

impl Wide for f64 {
    const ONE: f64 = 1.0;
    fn add(self, other: f64) -> f64 {
        self + other
    }
    fn mul(self, other: f64) -> f64 {
        self * other
    }
    fn negated(self) -> f64 {
        -self
    }
    fn over(self, count: usize) -> f64 {
        self / count as f64
    }
    fn is_nan(self) -> bool {
        self.is_nan()
    }
    fn order(self, other: f64) -> Ordering {
        self.partial_cmp(&other).unwrap_or_else(|| self.is_nan().cmp(&other.is_nan()))
    }
    fn bounds(_: DType) -> (f64, f64) {
        (f64::NEG_INFINITY, f64::INFINITY)
    }
    fn of(t: &Tensor) -> Vec<f64> {
        converted(t, DType::F64).as_chunks().0.iter().map(|b| f64::from_ne_bytes(*b)).collect()
    }
    fn tensor(dtype: DType, dims: &[usize], x: &[f64]) -> Result<Tensor, Invalid> {
        let bytes: Vec<u8> = x.iter().flat_map(|x| x.to_ne_bytes()).collect();
        narrowed(DType::F64, &bytes, dtype, dims)
    }
}

impl Wide for i128 {
    const ONE: i128 = 1;
    fn add(self, other: i128) -> i128 {
        self.wrapping_add(other)
    }
    fn mul(self, other: i128) -> i128 {
        self.wrapping_mul(other)
    }
    fn negated(self) -> i128 {
        self.wrapping_neg()
    }
    fn over(self, count: usize) -> i128 {
        self.checked_div(count as i128).unwrap_or(0)
    }
    fn is_nan(self) -> bool {
        false
    }
    fn order(self, other: i128) -> Ordering {
        self.cmp(&other)
    }
    fn bounds(dtype: DType) -> (i128, i128) {
        let bits = 8 * dtype.size() as u32;
        match dtype {
            DType::Bool => (0, 1),
            _ if dtype.is_signed_int() => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
            _ => (0, (1 << bits) - 1),
        }
    }
    fn of(t: &Tensor) -> Vec<i128> {
        let bytes = converted(t, DType::I64);
        let x = bytes.as_chunks().0.iter().map(|b| i64::from_ne_bytes(*b));
        if t.dtype() == DType::U64 {
            x.map(|x| x as u64 as i128).collect()
        } else {
            x.map(i128::from).collect()
        }
    }
    fn tensor(dtype: DType, dims: &[usize], x: &[i128]) -> Result<Tensor, Invalid> {
        let bytes: Vec<u8> = x.iter().flat_map(|x| (*x as i64).to_ne_bytes()).collect();
        narrowed(DType::I64, &bytes, dtype, dims)
    }
}

/// Runs an expression over the elements of a tensor, `f64` for floats and `i128` for the others.
macro_rules! widened {
    ($tensor:expr, $x:ident => $body:expr) => {
        if $tensor.dtype().is_float() {
            let $x = <f64 as $crate::ir::eval::wide::Wide>::of($tensor);
            $body
        } else {
            let $x = <i128 as $crate::ir::eval::wide::Wide>::of($tensor);
            $body
        }
    };
}
pub(super) use widened;

/// The elements' bytes in the machine's order, which the runtime's slice functions read and write.
pub(super) fn native(t: &Tensor) -> Cow<'_, [u8]> {
    let mut bytes = Cow::Borrowed(t.bytes());
    if cfg!(target_endian = "big") {
        bytes.to_mut().chunks_exact_mut(t.dtype().size()).for_each(|b| b.reverse());
    }
    bytes
}

/// The tensor of bytes in the machine's order.
pub(super) fn from_native(dtype: DType, dims: &[usize], mut bytes: Vec<u8>) -> Result<Tensor, Invalid> {
    if cfg!(target_endian = "big") {
        bytes.chunks_exact_mut(dtype.size()).for_each(|b| b.reverse());
    }
    tensor(dtype, dims, bytes)
}

/// The tensor of little-endian bytes.
pub(super) fn tensor(dtype: DType, dims: &[usize], bytes: Vec<u8>) -> Result<Tensor, Invalid> {
    let n = bytes.len();
    Tensor::from_bytes(dtype, dims.to_vec(), bytes)
        .ok_or_else(|| Invalid::new(format!("{n} bytes do not make a tensor {dtype}{dims:?}")))
}

/// The elements' bytes in the machine's order, cast to another type.
pub(super) fn converted(t: &Tensor, to: DType) -> Vec<u8> {
    let mut bytes = vec![0; t.len() * to.size()];
    cast_slice(t.dtype(), &native(t), to, &mut bytes);
    bytes
}

fn narrowed(from: DType, bytes: &[u8], to: DType, dims: &[usize]) -> Result<Tensor, Invalid> {
    let mut narrow = vec![0; bytes.len() / from.size() * to.size()];
    cast_slice(from, bytes, to, &mut narrow);
    from_native(to, dims, narrow)
}
