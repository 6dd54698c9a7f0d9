//! The block of memory that a session computes in: allocated once, 64-byte aligned, zeroed at birth.

use super::spans::{Span, Spans};
use crate::Element;
use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

/// One cache line; the unit of alignment and of allocation.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

/// A block of memory, 64-byte aligned, that typed spans are cut from.
#[derive(Clone)]
pub struct Arena {
    lines: Box<[Line]>,
}

impl Arena {
    /// Of at least `bytes` bytes, all zero.
    pub fn new(bytes: usize) -> Arena {
        Arena { lines: vec![Line([0; 64]); bytes.div_ceil(64)].into_boxed_slice() }
    }

    /// The size in bytes, a multiple of 64.
    pub fn bytes(&self) -> usize {
        self.lines.len() * 64
    }

    fn base(&self) -> *const u8 {
        self.lines.as_ptr().cast()
    }

    /// The elements of one span.
    ///
    /// # Panics
    /// When the span reaches outside the arena.
    #[inline]
    pub fn get<T: Element>(&self, span: Span<T>) -> &[T] {
        assert!(
            span.end() <= self.bytes(),
            "a span ends at {} in an arena of {} bytes",
            span.end(),
            self.bytes()
        );
        // SAFETY: the span lies inside the block (checked), its offset is a multiple of the element's alignment
        // (an invariant of `Span`) and so is the block's address; every byte is initialised and every bit
        // pattern is a value of `T`, which `Span` does not make for `bool`.
        unsafe { core::slice::from_raw_parts(self.base().add(span.offset()).cast(), span.len()) }
    }

    /// The elements of one span, to change.
    ///
    /// # Panics
    /// When the span reaches outside the arena.
    #[inline]
    pub fn get_mut<T: Element>(&mut self, span: Span<T>) -> &mut [T] {
        self.split([span], super::NOTHING).0.into_iter().next().unwrap_or_default()
    }

    /// Cuts the arena into slices one behind the other, each from a new cache line on.
    pub fn cutter(&mut self) -> Cutter<'_> {
        Cutter { rest: &mut self.lines }
    }

    /// Spans to write beside spans to read.
    ///
    /// # Panics
    /// When a span reaches outside the arena, or one that is written overlaps any other.
    #[inline]
    pub fn split<W: Spans, R: Spans>(&mut self, write: W, read: R) -> (W::Mut<'_>, R::Ref<'_>) {
        let size = self.bytes();
        let (w, r) = (write.ranges(), read.ranges());
        let (w, r) = (w.as_ref(), r.as_ref());
        for (i, a) in w.iter().enumerate() {
            assert!(a.1 <= size, "a span ends at {} in an arena of {size} bytes", a.1);
            for b in w[i + 1..].iter().chain(r) {
                assert!(a.1 <= b.0 || b.1 <= a.0, "bytes {a:?} are written beside {b:?}");
            }
        }
        for a in r {
            assert!(a.1 <= size, "a span ends at {} in an arena of {size} bytes", a.1);
        }
        let base = self.lines.as_mut_ptr().cast::<u8>();
        // SAFETY: all spans lie inside the block, those that are written overlap none of the others
        // (both checked above), and the results borrow `self` mutably.
        unsafe { (write.borrow_mut(base), read.borrow(base)) }
    }
}

/// Disjoint slices of an arena, cut in order.
#[derive(Debug)]
pub struct Cutter<'a> {
    rest: &'a mut [Line],
}

impl<'a> Cutter<'a> {
    /// The next `len` elements.
    ///
    /// # Panics
    /// When they are not there.
    pub fn cut<T: Element>(&mut self, len: usize) -> &'a mut [T] {
        let span = Span::<T>::new(0, len);
        let (lines, rest) = core::mem::take(&mut self.rest).split_at_mut(span.end().div_ceil(64));
        self.rest = rest;
        // SAFETY: the lines hold `len` elements, are 64-byte aligned and initialised, and leave the cutter here;
        // every bit pattern is a value of `T` (`Span` refuses bool).
        unsafe { core::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), len) }
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Span<f32> = Span::new(0, 4);
    const B: Span<f32> = Span::new(64, 4);
    const C: Span<i64> = Span::new(128, 2);

    #[test]
    fn disjoint_spans_are_borrowed_together() {
        let mut arena = Arena::new(129 + 15);
        assert_eq!(arena.bytes(), 192);
        let ((b, c), [a]) = arena.split((B, C), [A]);
        b.copy_from_slice(a);
        b[3] = 7.0;
        c[1] = -1;
        assert_eq!(arena.get(B), [0.0, 0.0, 0.0, 7.0]);
        assert_eq!(arena.get(C), [0, -1]);
        assert_eq!(arena.get(B).as_ptr() as usize % 64, 0);
    }

    #[test]
    #[should_panic(expected = "written beside")]
    fn overlap_with_a_read_span_is_refused() {
        Arena::new(64).split([A], [Span::<f32>::new(12, 4)]);
    }

    #[test]
    #[should_panic(expected = "written beside")]
    fn overlap_of_written_spans_is_refused() {
        Arena::new(64).split([A, A], [A; 0]);
    }

    #[test]
    #[should_panic(expected = "in an arena of 64 bytes")]
    fn a_span_outside_is_refused() {
        Arena::new(64).split([A], [B]);
    }

    #[test]
    fn a_cutter_gives_disjoint_aligned_slices() {
        let mut arena = Arena::new(192);
        let mut cutter = arena.cutter();
        let (a, b) = (cutter.cut::<u8>(3), cutter.cut::<f32>(17));
        a.fill(1);
        b.fill(2.0);
        assert_eq!(arena.get(Span::<u8>::new(0, 3)), [1, 1, 1]);
        assert_eq!(arena.get(Span::<f32>::new(64, 17)), [2.0; 17]);
    }

    #[test]
    fn reads_may_overlap_and_empty_spans_lie_anywhere() {
        let mut arena = Arena::new(64);
        let ([empty], [a, b]) = arena.split([Span::<f32>::new(8, 0)], [A, A]);
        assert!(empty.is_empty() && a == b);
    }
}
