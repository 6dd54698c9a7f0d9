//! Slices whose element type is data: what a map reads and writes.

use crate::{DType, Element};
use core::marker::PhantomData;

/// A shared slice of elements of any type.
#[derive(Clone, Copy, Debug)]
pub struct Src<'a> {
    pub(super) ptr: *const u8,
    pub(super) len: usize,
    pub(super) dtype: DType,
    slice: PhantomData<&'a [u8]>,
}

/// A unique slice of elements of any type.
#[derive(Debug)]
pub struct Dst<'a> {
    pub(super) ptr: *mut u8,
    pub(super) len: usize,
    pub(super) dtype: DType,
    slice: PhantomData<&'a mut [u8]>,
}

impl<'a, T: Element> From<&'a [T]> for Src<'a> {
    #[inline(always)]
    fn from(x: &'a [T]) -> Src<'a> {
        Src { ptr: x.as_ptr().cast(), len: x.len(), dtype: T::DTYPE, slice: PhantomData }
    }
}

impl<'a, T: Element> From<&'a mut [T]> for Dst<'a> {
    #[inline(always)]
    fn from(x: &'a mut [T]) -> Dst<'a> {
        Dst { ptr: x.as_mut_ptr().cast(), len: x.len(), dtype: T::DTYPE, slice: PhantomData }
    }
}

impl<'a> Src<'a> {
    /// Bools as the bytes that an arena holds them in; any byte but 0 counts as true.
    pub fn bools(x: &'a [u8]) -> Src<'a> {
        Src { dtype: DType::Bool, ..Src::from(x) }
    }

    /// The element type.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of elements.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<'a> Dst<'a> {
    /// Bools as the bytes that an arena holds them in; 0 and 1 are written.
    pub fn bools(x: &'a mut [u8]) -> Dst<'a> {
        Dst { dtype: DType::Bool, ..Dst::from(x) }
    }

    /// The element type.
    pub const fn dtype(&self) -> DType {
        self.dtype
    }

    /// The number of elements.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }
}
