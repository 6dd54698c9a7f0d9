//! Operands of a map that an index displaces element by element, or by rows of a few words, as edges and pairs read their
//! ends: the row's length is a constant of the loop, which copies it in a move or two.

use super::load::{Feed, Tile, Visit};
use super::spec::{Run, Source};
use crate::DType;
use crate::gather::{Index, along, by_words};

/// Collects a block at `y`, elements of `size` bytes, where an operand is of such rows; `false` leaves it to whoever collects
/// others.
///
/// # Safety
/// The operand was checked against its memory, `at` are positions of the block's first element, and `y` has room for it.
pub(super) unsafe fn collect(
    tile: Tile<'_>,
    feed: &Feed<'_>,
    at: [isize; 2],
    size: usize,
    y: *mut u8,
) -> bool {
    let Source::Indexed { index_type, .. } = feed.operand.source else { return false };
    let len = tile.run_len(feed.access.run_axis as usize);
    let bytes = len * size;
    if len > 1 && feed.access.run != Run::Dense || !bytes.is_multiple_of(4) {
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe {
        match index_type {
            DType::I32 => collect_by::<i32>(tile, feed, at, size, bytes / 4, y),
            _ => collect_by::<i64>(tile, feed, at, size, bytes / 4, y),
        }
    }
}

/// # Safety
/// As [`collect`], of rows of so many words and an index of that type.
unsafe fn collect_by<I: Index>(
    tile: Tile<'_>,
    feed: &Feed<'_>,
    at: [isize; 2],
    size: usize,
    words: usize,
    y: *mut u8,
) -> bool {
    // SAFETY: the caller's promise.
    by_words!(words, WORDS => unsafe { rows::<I, WORDS>(tile, feed, at, size, y) }).is_some()
}

/// # Safety
/// As [`collect`], of rows of `WORDS` words and an index of that type.
unsafe fn rows<I: Index, const WORDS: usize>(
    tile: Tile<'_>,
    feed: &Feed<'_>,
    at: [isize; 2],
    size: usize,
    y: *mut u8,
) {
    let Source::Indexed { index_strides, extent, step, .. } = &feed.operand.source else { return };
    let (data, index) = (feed.memory.data, feed.memory.index.cast::<I>());
    let visit =
        Rows::<I, WORDS> { data, index, extent: *extent, step: *step, size: size as isize, y: y.cast() };
    tile.runs(feed.access.run_axis as usize, [&feed.operand.strides, index_strides], at, visit);
}

/// Copies rows. Whoever makes it gives the promise of [`collect`]. Everything by value, so that the loop keeps it in
/// registers.
struct Rows<I, const WORDS: usize> {
    data: *const u8,
    index: *const I,
    extent: usize,
    step: isize,
    size: isize,
    y: *mut [u32; WORDS],
}

impl<I: Index, const WORDS: usize> Visit for Rows<I, WORDS> {
    #[inline(always)]
    fn run(&mut self, at: [isize; 2]) {
        // SAFETY: the walk is inside the slices, the index is checked as it is read, and the block at `y` has the row.
        unsafe {
            let moved = along("map", *self.index.offset(at[1]), self.extent, self.step);
            let from = self.data.wrapping_offset((at[0] + moved) * self.size).cast::<[u32; WORDS]>();
            self.y.write_unaligned(from.read_unaligned());
            self.y = self.y.add(1);
        }
    }
}
