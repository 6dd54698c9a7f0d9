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

/// A list of spans, borrowed together: an array of one element type, or a tuple of arrays.
pub trait Spans: sealed::Sealed {
    /// The slices to write.
    type Mut<'a>;
    /// The slices to read.
    type Ref<'a>;

    /// Gives `f` the position of each span in the list, its first byte, and the byte behind its last.
    #[doc(hidden)]
    fn each(&self, f: impl FnMut(usize, (usize, usize)));

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

    #[inline]
    fn each(&self, mut f: impl FnMut(usize, (usize, usize))) {
        for (i, span) in self.iter().enumerate() {
            f(i, span.range());
        }
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
    ($(($($t:ident $n:ident $i:tt),*))*) => {$(
        impl<$($t: Element, const $n: usize),*> sealed::Sealed for ($([Span<$t>; $n],)*) {}

        impl<$($t: Element, const $n: usize),*> Spans for ($([Span<$t>; $n],)*) {
            type Mut<'a> = ($([&'a mut [$t]; $n],)*);
            type Ref<'a> = ($([&'a [$t]; $n],)*);

            #[inline]
            fn each(&self, mut f: impl FnMut(usize, (usize, usize))) {
                let mut before = 0;
                $(
                    self.$i.each(|i, range| f(before + i, range));
                    before += $n;
                )*
                let _ = before;
            }

            #[inline]
            unsafe fn borrow_mut<'a>(self, base: *mut u8) -> Self::Mut<'a> {
                // SAFETY: the caller's promise holds for each array.
                unsafe { ($(self.$i.borrow_mut(base),)*) }
            }

            #[inline]
            unsafe fn borrow<'a>(self, base: *mut u8) -> Self::Ref<'a> {
                // SAFETY: the caller's promise holds for each array.
                unsafe { ($(self.$i.borrow(base),)*) }
            }
        }
    )*};
}

// One array an element type that is stored: there are twelve.
tuples! {
    (A NA 0, B NB 1)
    (A NA 0, B NB 1, C NC 2)
    (A NA 0, B NB 1, C NC 2, D ND 3)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4, F NF 5)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4, F NF 5, G NG 6)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4, F NF 5, G NG 6, H NH 7)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4, F NF 5, G NG 6, H NH 7, I NI 8)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4, F NF 5, G NG 6, H NH 7, I NI 8, J NJ 9)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4, F NF 5, G NG 6, H NH 7, I NI 8, J NJ 9, K NK 10)
    (A NA 0, B NB 1, C NC 2, D ND 3, E NE 4, F NF 5, G NG 6, H NH 7, I NI 8, J NJ 9, K NK 10, L NL 11)
}
