//! Tensors as a user's own code sees them: row-major elements with a shape whose rank is a type.

use core::ops::{Index, IndexMut};

/// A tensor of `RANK` axes to read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View<'a, T, const RANK: usize> {
    data: &'a [T],
    shape: [usize; RANK],
}

/// A tensor of `RANK` axes to write. What it holds before is not defined.
#[derive(Debug, PartialEq)]
pub struct ViewMut<'a, T, const RANK: usize> {
    data: &'a mut [T],
    shape: [usize; RANK],
}

/// The position of an element in row-major order.
fn position<const RANK: usize>(shape: &[usize; RANK], index: [usize; RANK]) -> Option<usize> {
    shape.iter().zip(index).try_fold(0, |at, (&n, i)| (i < n).then_some(at * n + i))
}

fn fits<const RANK: usize>(len: usize, shape: &[usize; RANK]) {
    assert_eq!(len, shape.iter().product::<usize>(), "the elements of a tensor of shape {shape:?}");
}

impl<'a, T, const RANK: usize> View<'a, T, RANK> {
    /// The tensor of these elements.
    ///
    /// # Panics
    /// When there are not as many elements as `shape` says.
    #[must_use]
    pub fn new(data: &'a [T], shape: [usize; RANK]) -> Self {
        fits(data.len(), &shape);
        View { data, shape }
    }

    /// The extents, outermost first.
    #[must_use]
    pub fn shape(&self) -> [usize; RANK] {
        self.shape
    }

    /// All elements in row-major order.
    #[must_use]
    pub fn as_slice(&self) -> &'a [T] {
        self.data
    }

    /// The element at `index`, where there is one.
    #[must_use]
    pub fn get(&self, index: [usize; RANK]) -> Option<&'a T> {
        self.data.get(position(&self.shape, index)?)
    }
}

impl<'a, T, const RANK: usize> ViewMut<'a, T, RANK> {
    /// The tensor of these elements.
    ///
    /// # Panics
    /// When there are not as many elements as `shape` says.
    #[must_use]
    pub fn new(data: &'a mut [T], shape: [usize; RANK]) -> Self {
        fits(data.len(), &shape);
        ViewMut { data, shape }
    }

    /// The extents, outermost first.
    #[must_use]
    pub fn shape(&self) -> [usize; RANK] {
        self.shape
    }

    /// All elements in row-major order.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.data
    }
}

impl<T, const RANK: usize> Index<[usize; RANK]> for View<'_, T, RANK> {
    type Output = T;

    /// # Panics
    /// When an index is outside its axis.
    fn index(&self, index: [usize; RANK]) -> &T {
        match position(&self.shape, index) {
            Some(at) => &self.data[at],
            None => panic!("index {index:?} of a tensor of shape {:?}", self.shape),
        }
    }
}

impl<T, const RANK: usize> Index<[usize; RANK]> for ViewMut<'_, T, RANK> {
    type Output = T;

    /// # Panics
    /// When an index is outside its axis.
    fn index(&self, index: [usize; RANK]) -> &T {
        match position(&self.shape, index) {
            Some(at) => &self.data[at],
            None => panic!("index {index:?} of a tensor of shape {:?}", self.shape),
        }
    }
}

impl<T, const RANK: usize> IndexMut<[usize; RANK]> for ViewMut<'_, T, RANK> {
    /// # Panics
    /// When an index is outside its axis.
    fn index_mut(&mut self, index: [usize; RANK]) -> &mut T {
        match position(&self.shape, index) {
            Some(at) => &mut self.data[at],
            None => panic!("index {index:?} of a tensor of shape {:?}", self.shape),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_stand_in_row_major_order() {
        let x = View::new(&[1, 2, 3, 4, 5, 6], [2, 3]);
        assert_eq!((x[[1, 0]], x.get([0, 2]), x.get([0, 3]), x.get([2, 0])), (4, Some(&3), None, None));
        assert_eq!(View::new(&[7], [])[[]], 7);
        let mut data = [0; 6];
        let mut y = ViewMut::new(&mut data, [3, 2]);
        y[[2, 1]] = 5;
        assert_eq!((y[[2, 1]], y.as_mut_slice().len(), y.shape()), (5, 6, [3, 2]));
        assert_eq!(data, [0, 0, 0, 0, 0, 5]);
    }

    #[test]
    #[should_panic(expected = "index [0, 3] of a tensor of shape [2, 3]")]
    fn an_index_outside_its_axis_panics() {
        let _ = View::new(&[0; 6], [2, 3])[[0, 3]];
    }

    #[test]
    #[should_panic(expected = "a tensor of shape [2, 3]")]
    fn the_number_of_elements_is_checked() {
        let _ = View::new(&[0; 5], [2, 3]);
    }
}
