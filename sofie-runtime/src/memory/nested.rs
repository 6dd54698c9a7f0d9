//! Nested arrays as flat slices and back: `[[f32; 3]; 2]` is six `f32` in row-major order.

use crate::Element;
use core::fmt;

/// A tensor type of fixed extents: an element, or an array of such.
///
/// # Safety
/// The type is `LEN` consecutive `Scalar`s without padding, aligned as `Scalar` is.
pub unsafe trait Nested {
    /// The innermost type.
    type Scalar: Element;
    /// The number of elements.
    const LEN: usize;
    /// The number of axes.
    const RANK: usize;
    /// The extent of an axis below `RANK`.
    fn extent(axis: usize) -> usize;
}

macro_rules! scalars {
    ($($t:ty)*) => {$(
        // SAFETY: one element.
        unsafe impl Nested for $t {
            type Scalar = $t;
            const LEN: usize = 1;
            const RANK: usize = 0;
            fn extent(_: usize) -> usize {
                1
            }
        }
    )*};
}
scalars!(f32 f64 crate::f16 crate::bf16 i8 i16 i32 i64 u8 u16 u32 u64 bool);

// SAFETY: an array is its elements one behind the other, aligned as they are.
unsafe impl<T: Nested, const N: usize> Nested for [T; N] {
    type Scalar = T::Scalar;
    const LEN: usize = N * T::LEN;
    const RANK: usize = 1 + T::RANK;
    fn extent(axis: usize) -> usize {
        if axis == 0 { N } else { T::extent(axis - 1) }
    }
}

/// The elements of a nested array, row-major.
#[inline]
pub const fn flat<T: Nested>(x: &T) -> &[T::Scalar] {
    // SAFETY: `T` is `LEN` consecutive scalars (contract of `Nested`).
    unsafe { core::slice::from_raw_parts((x as *const T).cast(), T::LEN) }
}

/// The elements of a nested array, row-major, to change.
#[inline]
pub const fn flat_mut<T: Nested>(x: &mut T) -> &mut [T::Scalar] {
    // SAFETY: `T` is `LEN` consecutive scalars (contract of `Nested`), borrowed mutably.
    unsafe { core::slice::from_raw_parts_mut((x as *mut T).cast(), T::LEN) }
}

/// A flat slice seen as a nested array.
///
/// # Panics
/// When the number of elements is another.
#[inline]
pub fn nested<T: Nested>(x: &[T::Scalar]) -> &T {
    assert!(x.len() == T::LEN, "{} elements as an array of {}", x.len(), T::LEN);
    // SAFETY: `LEN` scalars (checked) are a `T` (contract of `Nested`).
    unsafe { &*x.as_ptr().cast() }
}

/// A flat slice seen as a nested array, to change.
///
/// # Panics
/// When the number of elements is another.
#[inline]
pub fn nested_mut<T: Nested>(x: &mut [T::Scalar]) -> &mut T {
    assert!(x.len() == T::LEN, "{} elements as an array of {}", x.len(), T::LEN);
    // SAFETY: `LEN` scalars (checked) are a `T` (contract of `Nested`), borrowed mutably.
    unsafe { &mut *x.as_mut_ptr().cast() }
}

/// The elements of nested arrays one behind the other.
#[inline]
pub const fn flat_rows<T: Nested>(x: &[T]) -> &[T::Scalar] {
    // SAFETY: `T` is `LEN` consecutive scalars (contract of `Nested`), so the slice is `LEN` times as many; they lie in
    // memory, so the product does not overflow.
    unsafe { core::slice::from_raw_parts(x.as_ptr().cast(), x.len() * T::LEN) }
}

/// A flat slice seen as `rows` nested arrays.
///
/// # Panics
/// When the number of elements is another.
#[inline]
pub fn rows<T: Nested>(x: &[T::Scalar], rows: usize) -> &[T] {
    assert!(rows.checked_mul(T::LEN) == Some(x.len()), "{} elements as {rows} arrays of {}", x.len(), T::LEN);
    // SAFETY: `rows` times `LEN` scalars (checked) are so many `T` (contract of `Nested`).
    unsafe { core::slice::from_raw_parts(x.as_ptr().cast(), rows) }
}

/// A flat slice seen as `rows` nested arrays, to change.
///
/// # Panics
/// When the number of elements is another.
#[inline]
pub fn rows_mut<T: Nested>(x: &mut [T::Scalar], rows: usize) -> &mut [T] {
    assert!(rows.checked_mul(T::LEN) == Some(x.len()), "{} elements as {rows} arrays of {}", x.len(), T::LEN);
    // SAFETY: `rows` times `LEN` scalars (checked) are so many `T` (contract of `Nested`), borrowed mutably.
    unsafe { core::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), rows) }
}

/// A slice that holds another number of elements than the tensor it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthError {
    /// Elements of the tensor.
    pub expected: usize,
    /// Elements of the slice.
    pub found: usize,
}

impl fmt::Display for LengthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the slice holds {} elements, the tensor {}", self.found, self.expected)
    }
}

impl core::error::Error for LengthError {}

/// A plain slice as the nested array that `infer` takes; the type comes from where it is used.
///
/// ```
/// use sofie_infer_runtime::from_slice;
/// let jets: Vec<f32> = vec![0.0; 6];
/// let rows: &[[f32; 3]; 2] = from_slice(&jets)?;
/// assert_eq!(rows[1], [0.0; 3]);
/// assert!(from_slice::<[[f32; 4]; 2]>(&jets).is_err());
/// # Ok::<(), sofie_infer_runtime::LengthError>(())
/// ```
///
/// # Errors
/// When the number of elements is another.
#[inline]
pub fn from_slice<T: Nested>(x: &[T::Scalar]) -> Result<&T, LengthError> {
    if x.len() == T::LEN { Ok(nested(x)) } else { Err(LengthError { expected: T::LEN, found: x.len() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_flat_and_back() {
        let mut x = [[1, 2, 3], [4, 5, 6i64]];
        flat_mut(&mut x)[5] = 7;
        assert_eq!(flat(&x), [1, 2, 3, 4, 5, 7]);
        assert_eq!(*nested::<[[i64; 2]; 3]>(flat(&x)), [[1, 2], [3, 4], [5, 7]]);
        nested_mut::<[[i64; 3]; 2]>(flat_mut(&mut x))[0][0] = 9;
        assert_eq!(x[0][0], 9);
        type Tensor = [[[u8; 4]; 3]; 2];
        assert_eq!([0, 1, 2].map(Tensor::extent), [2, 3, 4]);
        assert_eq!((Tensor::LEN, Tensor::RANK), (24, 3));
    }

    #[test]
    fn slices_of_arrays_are_flat_and_back() {
        let mut x = [[1, 2], [3, 4], [5, 6u16]];
        assert_eq!(flat_rows(&x[1..]), [3, 4, 5, 6]);
        assert_eq!(rows::<[u16; 2]>(&[1, 2, 3, 4], 2), [[1, 2], [3, 4]]);
        rows_mut::<[u16; 2]>(x.as_flattened_mut(), 3)[2][0] = 9;
        assert_eq!(x[2], [9, 6]);
        assert!(flat_rows::<[f32; 3]>(&[]).is_empty());
        assert_eq!(rows::<[f32; 0]>(&[], 4).len(), 4);
    }

    #[test]
    #[should_panic(expected = "5 elements as 2 arrays of 2")]
    fn rows_of_another_length_are_refused() {
        rows::<[u8; 2]>(&[0; 5], 2);
    }

    #[test]
    fn scalars_and_empty_axes_are_tensors() {
        assert_eq!(flat(&2.5f32), [2.5]);
        assert_eq!(flat(&[[0u8; 0]; 3]), [0u8; 0]);
        assert_eq!(*nested::<[[f32; 0]; 3]>(&[]), [[0f32; 0]; 3]);
        assert_eq!(from_slice::<[bool; 2]>(&[true]), Err(LengthError { expected: 2, found: 1 }));
    }
}
