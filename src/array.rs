//! `ndarray` views as the nested arrays that `infer` takes.

use core::fmt;
use ndarray::{ArrayView, Dimension};
use sofie_infer_runtime::{Nested, from_slice};

/// Why an array is not the tensor that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArrayError {
    /// The elements do not lie in row-major order without gaps; `as_standard_layout` copies them so.
    NotContiguous,
    /// The number of axes differs.
    Rank {
        /// Axes of the tensor.
        expected: usize,
        /// Axes of the array.
        found: usize,
    },
    /// An extent differs.
    Extent {
        /// The first axis whose extent differs.
        axis: usize,
        /// The tensor's extent.
        expected: usize,
        /// The array's extent.
        found: usize,
    },
}

impl fmt::Display for ArrayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArrayError::NotContiguous => {
                f.write_str("the array is not in standard (row-major, contiguous) layout")
            }
            ArrayError::Rank { expected, found } => {
                write!(f, "the array has {found} axes, the tensor {expected}")
            }
            ArrayError::Extent { axis, expected, found } => {
                write!(f, "the array has extent {found} at axis {axis}, the tensor {expected}")
            }
        }
    }
}

impl core::error::Error for ArrayError {}

/// An `ndarray` view as the nested array that `infer` takes, without a copy.
///
/// ```
/// let jets = ndarray::Array2::<f32>::zeros((2, 3));
/// let rows: &[[f32; 3]; 2] = sofie_infer::from_array(jets.view())?;
/// # assert_eq!(rows, &[[0.0; 3]; 2]);
/// assert!(sofie_infer::from_array::<[[f32; 2]; 3], _>(jets.view()).is_err());
/// # Ok::<(), sofie_infer::ArrayError>(())
/// ```
///
/// # Errors
/// When the extents differ from the tensor's, or the elements are not contiguous in row-major order.
pub fn from_array<T: Nested, D: Dimension>(array: ArrayView<'_, T::Scalar, D>) -> Result<&T, ArrayError> {
    let found = array.shape();
    if found.len() != T::RANK {
        return Err(ArrayError::Rank { expected: T::RANK, found: found.len() });
    }
    if let Some(axis) = (0..T::RANK).find(|&a| found[a] != T::extent(a)) {
        return Err(ArrayError::Extent { axis, expected: T::extent(axis), found: found[axis] });
    }
    let flat = array.to_slice().ok_or(ArrayError::NotContiguous)?;
    from_slice(flat).map_err(|_| ArrayError::NotContiguous)
}
