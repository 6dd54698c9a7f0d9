//! Tensors whose extents are known at run time: a slice of elements and the extents, checked against each other once.

use super::LengthError;
use core::ops::{Index, IndexMut};

/// The number of elements; `usize::MAX` where that overflows, which no slice has.
fn len(dims: &[usize]) -> usize {
    dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX)
}

/// The position of an element; panics when an index is outside its axis.
fn position<const RANK: usize>(dims: [usize; RANK], index: [usize; RANK]) -> usize {
    let mut at = 0;
    for (axis, (&n, i)) in dims.iter().zip(index).enumerate() {
        assert!(i < n, "index {i} is outside axis {axis}, which has {n} elements");
        at = at * n + i;
    }
    at
}

macro_rules! views {
    ($(#[$doc:meta])* $name:ident, $slice:ty) => {
        $(#[$doc])*
        #[derive(Debug, PartialEq)]
        pub struct $name<'a, T, const RANK: usize> {
            elements: $slice,
            dims: [usize; RANK],
        }

        impl<'a, T, const RANK: usize> $name<'a, T, RANK> {
            /// The elements, row-major, as a tensor of these extents.
            ///
            /// # Errors
            /// When there are more or fewer elements.
            pub fn new(elements: $slice, dims: [usize; RANK]) -> Result<Self, LengthError> {
                match len(&dims) {
                    n if n == elements.len() => Ok($name { elements, dims }),
                    expected => Err(LengthError { expected, found: elements.len() }),
                }
            }

            /// The extents, outermost first.
            pub fn dims(&self) -> [usize; RANK] {
                self.dims
            }
        }

        impl<T, const RANK: usize> Index<[usize; RANK]> for $name<'_, T, RANK> {
            type Output = T;
            fn index(&self, index: [usize; RANK]) -> &T {
                &self.elements[position(self.dims, index)]
            }
        }
    };
}

views! {
    /// A tensor of `RANK` axes whose extents are known at run time.
    ///
    /// ```
    /// use sofie_infer_runtime::View;
    /// let x = View::new(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], [2, 3])?;
    /// assert_eq!((x[[1, 0]], x.dims()), (4.0, [2, 3]));
    /// assert!(View::new(&[1.0f32], [2, 3]).is_err());
    /// # Ok::<(), sofie_infer_runtime::LengthError>(())
    /// ```
    View, &'a [T]
}

views! {
    /// A tensor of `RANK` axes whose extents are known at run time, to change.
    ViewMut, &'a mut [T]
}

impl<T, const RANK: usize> Clone for View<'_, T, RANK> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, const RANK: usize> Copy for View<'_, T, RANK> {}

impl<'a, T, const RANK: usize> View<'a, T, RANK> {
    /// The elements, row-major.
    pub fn elements(&self) -> &'a [T] {
        self.elements
    }
}

impl<T, const RANK: usize> ViewMut<'_, T, RANK> {
    /// The elements, row-major.
    pub fn elements(&self) -> &[T] {
        self.elements
    }

    /// The elements, row-major, to change.
    pub fn elements_mut(&mut self) -> &mut [T] {
        self.elements
    }
}

impl<T, const RANK: usize> IndexMut<[usize; RANK]> for ViewMut<'_, T, RANK> {
    fn index_mut(&mut self, index: [usize; RANK]) -> &mut T {
        &mut self.elements[position(self.dims, index)]
    }
}

/// [`View::new`] for the expansion, which knows the length.
///
/// # Panics
/// When there are more or fewer elements.
pub fn view<T, const RANK: usize>(elements: &[T], dims: [usize; RANK]) -> View<'_, T, RANK> {
    assert!(elements.len() == len(&dims), "{} elements as a tensor of {dims:?}", elements.len());
    View { elements, dims }
}

/// [`ViewMut::new`] for the expansion, which knows the length.
///
/// # Panics
/// When there are more or fewer elements.
pub fn view_mut<T, const RANK: usize>(elements: &mut [T], dims: [usize; RANK]) -> ViewMut<'_, T, RANK> {
    assert!(elements.len() == len(&dims), "{} elements as a tensor of {dims:?}", elements.len());
    ViewMut { elements, dims }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_row_major_and_checked() {
        let mut x = [0, 1, 2, 3, 4, 5];
        let mut view = ViewMut::new(&mut x, [3, 2]).unwrap();
        view[[2, 1]] = 7;
        assert_eq!((view[[2, 0]], view.elements()[5]), (4, 7));
        assert_eq!(View::new(&x, [7, 1]), Err(LengthError { expected: 7, found: 6 }));
        assert_eq!(View::new(&x, [usize::MAX, 2]), Err(LengthError { expected: usize::MAX, found: 6 }));
        assert!(View::<i32, 2>::new(&[], [0, 4]).is_ok());
        assert_eq!(View::new(&[9], []).unwrap()[[]], 9);
    }

    #[test]
    #[should_panic(expected = "index 2 is outside axis 1, which has 2 elements")]
    fn an_index_outside_is_refused() {
        let _ = View::new(&[0; 6], [3, 2]).unwrap()[[0, 2]];
    }
}
