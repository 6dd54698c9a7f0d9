//! Extents that a run decides: what an input may have, and what a session says that is given another.

use crate::ShapeError;

/// An extent that a session cannot take, or that disagrees with another. Nothing was computed; the session can be run
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentError {
    /// An extent that must be the same as another is not.
    Differs {
        /// The input.
        tensor: &'static str,
        /// The axis.
        axis: usize,
        /// What the other inputs, or the model, say.
        expected: usize,
        /// What it is.
        found: usize,
    },
    /// An extent is outside its bounds.
    OutOfBounds {
        /// The input.
        tensor: &'static str,
        /// The axis.
        axis: usize,
        /// The least that it may be.
        least: usize,
        /// The largest that it may be.
        most: usize,
        /// What it is.
        found: usize,
    },
    /// An input's values decide a shape, otherwise than the model declares.
    Shape(ShapeError),
    /// Values decide an extent that the network cannot go on with: another than one that it must agree with, or none.
    Values {
        /// The node of the model.
        node: &'static str,
        /// What is needed.
        expected: usize,
        /// What it is.
        found: usize,
    },
}

impl From<ShapeError> for ExtentError {
    fn from(e: ShapeError) -> Self {
        ExtentError::Shape(e)
    }
}

impl core::fmt::Display for ExtentError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ExtentError::Differs { tensor, axis, expected, found } => {
                write!(f, "axis {axis} of input `{tensor}` has extent {found}, {expected} expected")
            }
            ExtentError::OutOfBounds { tensor, axis, least, most, found } => {
                write!(
                    f,
                    "axis {axis} of input `{tensor}` has extent {found}, which is not from {least} to {most}"
                )
            }
            ExtentError::Shape(e) => e.fmt(f),
            ExtentError::Values { node, expected, found } => {
                write!(f, "the values at `{node}` decide an extent of {found}, but {expected} is needed")
            }
        }
    }
}

impl core::error::Error for ExtentError {}

/// An extent within its bounds.
///
/// # Errors
/// When it is outside.
#[inline]
pub const fn extent(
    tensor: &'static str,
    axis: usize,
    found: usize,
    least: usize,
    most: usize,
) -> Result<usize, ExtentError> {
    if found < least || found > most {
        return Err(ExtentError::OutOfBounds { tensor, axis, least, most, found });
    }
    Ok(found)
}

/// Checks an extent that is known from elsewhere.
///
/// # Errors
/// When it differs.
#[inline]
pub const fn agree(
    tensor: &'static str,
    axis: usize,
    found: usize,
    expected: usize,
) -> Result<(), ExtentError> {
    if found == expected { Ok(()) } else { Err(ExtentError::Differs { tensor, axis, expected, found }) }
}

/// Elements `start..start + len` of an input, nothing of nothing.
///
/// # Panics
/// When they are not there.
#[inline]
pub fn part<T>(x: &[T], start: usize, len: usize) -> &[T] {
    if len == 0 { &[] } else { &x[start..start + len] }
}

/// An extent that values decided: what a step counted, at most as much as there is room for.
#[inline]
pub fn counted(count: &[i64], room: usize) -> usize {
    let n = count.first().copied().unwrap_or(0);
    usize::try_from(n).unwrap_or(0).min(room)
}

/// Checks an extent that values decided against one that it must agree with.
///
/// # Errors
/// When it differs.
#[inline]
pub fn found(node: &'static str, count: &[i64], room: usize, expected: usize) -> Result<(), ExtentError> {
    let found = counted(count, room);
    if found == expected { Ok(()) } else { Err(ExtentError::Values { node, expected, found }) }
}

/// Checks that values left as much as the network reads.
///
/// # Errors
/// When there is less.
#[inline]
pub const fn at_least(node: &'static str, found: usize, least: usize) -> Result<(), ExtentError> {
    if found < least { Err(ExtentError::Values { node, expected: least, found }) } else { Ok(()) }
}

/// Moves together what stands in rows with room for `room` blocks of `block` elements and fills `n` of them.
pub fn compact<T: Copy>(y: &mut [T], room: usize, block: usize, n: usize) {
    let (row, filled) = (room * block, n.min(room) * block);
    if row == filled || row == 0 {
        return;
    }
    for i in 1..y.len() / row {
        y.copy_within(i * row..i * row + filled, i * filled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_moved_together() {
        let mut y = [1, 2, 3, 0, 0, 0, 4, 5, 6, 0, 0, 0, 7, 8, 9, 0, 0, 0];
        compact(&mut y, 2, 3, 1);
        assert_eq!(y[..9], [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        let before = y;
        compact(&mut y, 2, 3, 2);
        compact(&mut y, 6, 3, 6);
        compact(&mut y, 0, 3, 0);
        compact(&mut y, 2, 3, 0);
        assert_eq!(y, before);
        assert_eq!([counted(&[3], 5), counted(&[7], 5), counted(&[-1], 5), counted(&[], 5)], [3, 5, 0, 0]);
    }

    #[test]
    fn errors_name_tensor_axis_and_both_numbers() {
        let text = |e: ExtentError| e.to_string();
        assert_eq!(extent("x", 0, 64, 0, 64), Ok(64));
        let e = extent("x", 0, 65, 1, 64).unwrap_err();
        assert_eq!(text(e), "axis 0 of input `x` has extent 65, which is not from 1 to 64");
        assert_eq!(agree("mask", 1, 5, 5), Ok(()));
        let e = agree("mask", 1, 4, 5).unwrap_err();
        assert_eq!(text(e), "axis 1 of input `mask` has extent 4, 5 expected");
        assert_eq!(text(ShapeError.into()), text(ExtentError::Shape(ShapeError)));
    }

    #[test]
    fn a_part_of_nothing_is_nothing() {
        assert!(part::<f32>(&[], 3, 0).is_empty());
        assert_eq!(part(&[1, 2, 3], 1, 2), [2, 3]);
    }
}
