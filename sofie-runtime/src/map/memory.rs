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

    /// The elements. Bools are read as `u8`.
    ///
    /// # Panics
    /// When they are of another type.
    pub fn slice<T: Element>(&self) -> &'a [T] {
        assert!(T::DTYPE as u8 == stored(self.dtype) as u8, "{} read as {}", self.dtype, T::DTYPE);
        // SAFETY: made of a slice of `T` (of bytes, for bools) that is borrowed for `'a`.
        unsafe { core::slice::from_raw_parts(self.ptr.cast(), self.len) }
    }

    /// The elements' bytes.
    pub fn bytes(&self) -> &'a [u8] {
        // SAFETY: elements have no padding, and the slice is borrowed for `'a`.
        unsafe { core::slice::from_raw_parts(self.ptr, self.len * self.dtype.size()) }
    }
}

/// The type as which an element lies in memory.
const fn stored(dtype: DType) -> DType {
    if matches!(dtype, DType::Bool) { DType::U8 } else { dtype }
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

    /// The elements.
    ///
    /// # Panics
    /// When they are of another type, or bools.
    pub fn slice<T: Element>(&mut self) -> &mut [T] {
        assert!(T::DTYPE as u8 == self.dtype as u8, "{} written as {}", self.dtype, T::DTYPE);
        assert!(!matches!(self.dtype, DType::Bool), "bools are written as what they are");
        // SAFETY: made of a unique slice of `T`, which this borrows.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.cast(), self.len) }
    }

    /// The bytes of elements that are no bools: every bit pattern is one.
    ///
    /// # Panics
    /// When they are bools.
    pub fn bytes(&mut self) -> &mut [u8] {
        assert!(!matches!(self.dtype, DType::Bool), "bools are written as what they are");
        // SAFETY: elements have no padding, and the slice is unique.
        unsafe { core::slice::from_raw_parts_mut(self.ptr, self.len * self.dtype.size()) }
    }

    /// Writes bools.
    ///
    /// # Panics
    /// When the elements are no bools, or there is no element `i`.
    pub fn set_bool(&mut self, i: usize, x: bool) {
        assert!(matches!(self.dtype, DType::Bool) && i < self.len, "a bool that is not there");
        // SAFETY: inside the slice, and 0 or 1, which is a `bool` and a `u8`.
        unsafe { *self.ptr.add(i) = x.into() }
    }
}
