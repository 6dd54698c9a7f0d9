//! Typed places in an arena, and lists of them that are borrowed together.

use crate::Element;
use core::fmt;
use core::marker::PhantomData;

/// `len` elements of type `T` from byte `offset` on.
pub struct Span<T> {
    offset: usize,
    len: usize,
    element: PhantomData<T>,
}

impl<T> Clone for Span<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Span<T> {}

impl<T: Element> fmt::Debug for Span<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}] at {}", T::DTYPE, self.len, self.offset)
    }
}

impl<T: Element> Span<T> {
    /// `len` elements from byte `offset` on.
    ///
    /// # Panics
    /// When the offset is not a multiple of the element's size, the end overflows, or `T` is `bool`
    /// (an arena holds those as `u8`, since any byte may be in it).
    pub const fn new(offset: usize, len: usize) -> Span<T> {
        assert!(offset.is_multiple_of(size_of::<T>()), "a misaligned span");
        assert!(!matches!(T::DTYPE, crate::DType::Bool), "bools are held as u8");
        let bytes = match len.checked_mul(size_of::<T>()) {
            Some(bytes) => offset.checked_add(bytes),
            None => None,
        };
        assert!(bytes.is_some(), "a span's end overflows");
        Span { offset, len, element: PhantomData }
    }

    /// The first byte.
    #[inline]
    pub const fn offset(self) -> usize {
        self.offset
    }

    /// The number of elements.
    #[inline]
    pub const fn len(self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The byte behind the last.
    #[inline]
    pub const fn end(self) -> usize {
        self.offset + self.len * size_of::<T>()
    }

    /// First byte and the byte behind the last; of nothing, nothing.
    #[inline]
    const fn range(self) -> (usize, usize) {
        if self.len == 0 { (0, 0) } else { (self.offset, self.end()) }
    }
}

/// `len` elements from byte `offset` on: [`Span::new`] for the expansion.
///
/// # Panics
/// As [`Span::new`].
#[inline]
pub const fn span<T: Element>(offset: usize, len: usize) -> Span<T> {
    Span::new(offset, len)
}

/// No spans at all.
pub const NOTHING: [Span<u8>; 0] = [];

mod sealed {
    pub trait Sealed {}
}

/// A list of spans, borrowed together: an array of one element type or a tuple of several.
pub trait Spans: sealed::Sealed {
    /// The slices to write.
    type Mut<'a>;
    /// The slices to read.
    type Ref<'a>;

    /// An array of pairs.
    #[doc(hidden)]
    type Ranges: AsRef<[(usize, usize)]>;

    /// First and past-the-end bytes of each.
    #[doc(hidden)]
    fn ranges(&self) -> Self::Ranges;

    /// # Safety
    /// Every span lies inside the initialised, 64-byte aligned block at `base`, which nothing else reads or
    /// writes there during `'a`, and no two of the spans overlap.
    #[doc(hidden)]
    unsafe fn borrow_mut<'a>(self, base: *mut u8) -> Self::Mut<'a>;

    /// # Safety
    /// Every span lies inside the initialised, 64-byte aligned block at `base`, which nothing writes there
    /// during `'a`.
    #[doc(hidden)]
    unsafe fn borrow<'a>(self, base: *mut u8) -> Self::Ref<'a>;
}

impl<T: Element, const N: usize> sealed::Sealed for [Span<T>; N] {}

impl<T: Element, const N: usize> Spans for [Span<T>; N] {
    type Mut<'a> = [&'a mut [T]; N];
    type Ref<'a> = [&'a [T]; N];
    type Ranges = [(usize, usize); N];

    #[inline]
    fn ranges(&self) -> Self::Ranges {
        self.map(Span::range)
    }

    #[inline]
    unsafe fn borrow_mut<'a>(self, base: *mut u8) -> Self::Mut<'a> {
        // SAFETY: inside, aligned, initialised and unshared by the caller's promise.
        self.map(|s| unsafe { core::slice::from_raw_parts_mut(base.add(s.offset).cast(), s.len) })
    }

    #[inline]
    unsafe fn borrow<'a>(self, base: *mut u8) -> Self::Ref<'a> {
        // SAFETY: inside, aligned, initialised and unwritten by the caller's promise.
        self.map(|s| unsafe { core::slice::from_raw_parts(base.add(s.offset).cast_const().cast(), s.len) })
    }
}

macro_rules! tuples {
    ($(($($t:ident $i:tt),*))*) => {$(
        impl<$($t: Element),*> sealed::Sealed for ($(Span<$t>,)*) {}

        impl<$($t: Element),*> Spans for ($(Span<$t>,)*) {
            type Mut<'a> = ($(&'a mut [$t],)*);
            type Ref<'a> = ($(&'a [$t],)*);
            type Ranges = [(usize, usize); [$($i),*].len()];

            #[inline]
            fn ranges(&self) -> Self::Ranges {
                [$(self.$i.range()),*]
            }

            #[inline]
            unsafe fn borrow_mut<'a>(self, base: *mut u8) -> Self::Mut<'a> {
                // SAFETY: inside, aligned, initialised and unshared by the caller's promise.
                ($(unsafe { core::slice::from_raw_parts_mut(base.add(self.$i.offset).cast(), self.$i.len) },)*)
            }

            #[inline]
            unsafe fn borrow<'a>(self, base: *mut u8) -> Self::Ref<'a> {
                // SAFETY: inside, aligned, initialised and unwritten by the caller's promise.
                ($(unsafe { core::slice::from_raw_parts(base.add(self.$i.offset).cast_const().cast(), self.$i.len) },)*)
            }
        }
    )*};
}

tuples! {
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
}
