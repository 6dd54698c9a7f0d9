//! The block of memory that a session computes in: allocated once, 64-byte aligned, zeroed at birth.

use super::spans::{Span, Spans};
use crate::Element;
use alloc::boxed::Box;
use alloc::vec;
use core::fmt;

/// One cache line; the unit of alignment.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Line([u8; 64]);

/// A block of memory, 64-byte aligned, that typed spans are cut from.
///
/// The block is asked for as bytes and aligned here: an allocator asked for aligned zeros writes them, and a page that is
/// written for the first time costs a microsecond. Zeroed bytes without alignment come from the system as they are.
pub struct Arena {
    block: Box<[u8]>,
    /// Bytes of the block before the first line.
    before: usize,
    lines: usize,
}

impl Arena {
    /// Of at least `bytes` bytes, all zero.
    ///
    /// # Panics
    /// When there is not as much memory.
    pub fn new(bytes: usize) -> Arena {
        let lines = bytes.div_ceil(64);
        let block = match lines {
            0 => Box::default(),
            n => vec![0; n.checked_add(1).and_then(|n| n.checked_mul(64)).expect("too many bytes")]
                .into_boxed_slice(),
        };
        let before = (block.as_ptr() as usize).wrapping_neg() % 64;
        Arena { before: if lines == 0 { 0 } else { before }, block, lines }
    }

    /// The size in bytes, a multiple of 64.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.lines * 64
    }

    #[inline]
    fn base(&self) -> *const u8 {
        match self.lines {
            0 => core::ptr::without_provenance(64),
            _ => self.block.as_ptr().wrapping_add(self.before),
        }
    }

    #[inline]
    fn base_mut(&mut self) -> *mut u8 {
        match self.lines {
            0 => core::ptr::without_provenance_mut(64),
            _ => self.block.as_mut_ptr().wrapping_add(self.before),
        }
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
        let (base, lines) = (self.base_mut(), self.lines);
        // SAFETY: so many lines follow the base, which is 64-byte aligned; the result borrows `self` mutably.
        Cutter { rest: unsafe { core::slice::from_raw_parts_mut(base.cast(), lines) } }
    }

    /// Spans to write beside spans to read.
    ///
    /// # Panics
    /// When a span reaches outside the arena, or one that is written overlaps any other.
    #[inline]
    pub fn split<W: Spans, R: Spans>(&mut self, write: W, read: R) -> (W::Mut<'_>, R::Ref<'_>) {
        let size = self.bytes();
        let inside = |a: (usize, usize)| {
            assert!(a.1 <= size, "a span ends at {} in an arena of {size} bytes", a.1);
        };
        let apart = |a: (usize, usize), b: (usize, usize)| {
            assert!(a.1 <= b.0 || b.1 <= a.0, "bytes {a:?} are written beside {b:?}");
        };
        write.each(|i, a| {
            inside(a);
            write.each(|j, b| {
                if j > i {
                    apart(a, b);
                }
            });
            read.each(|_, b| apart(a, b));
        });
        read.each(|_, a| inside(a));
        let base = self.base_mut();
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

impl Clone for Arena {
    fn clone(&self) -> Arena {
        let mut arena = Arena::new(self.bytes());
        let all = Span::<u8>::new(0, self.bytes());
        arena.get_mut(all).copy_from_slice(self.get(all));
        arena
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
        let (([b], [c]), [a]) = arena.split(([B], [C]), [A]);
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
    fn a_clone_has_the_same_bytes_and_an_empty_arena_none() {
        let mut arena = Arena::new(100);
        arena.get_mut(A).fill(3.0);
        arena.get_mut(B)[3] = 4.0;
        let clone = arena.clone();
        assert_eq!((clone.get(A), clone.get(B)), (arena.get(A), arena.get(B)));
        assert_eq!(clone.get(B).as_ptr() as usize % 64, 0);
        let mut none = Arena::new(0).clone();
        assert_eq!(none.bytes(), 0);
        assert!(none.get(Span::<u64>::new(0, 0)).is_empty() && none.cutter().cut::<f64>(0).is_empty());
    }

    #[test]
    fn reads_may_overlap_and_empty_spans_lie_anywhere() {
        let mut arena = Arena::new(64);
        let ([empty], [a, b]) = arena.split([Span::<f32>::new(8, 0)], [A, A]);
        assert!(empty.is_empty() && a == b);
    }
}
