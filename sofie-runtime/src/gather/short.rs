//! Gathering single elements and rows of a few words, as edges gather the coordinates of their two ends: the row's length is
//! a constant of its loop, which copies it in two or three moves. Of variable length such a row took three times as long.

use super::indexed::{RawIndex, along};
use super::{Index, Indexed};

/// An expression with the constant `N` set to the length of a row in words; `None` for rows that are not short.
macro_rules! by_words {
    ($words:expr, $N:ident => $body:expr) => {
        by_words!(@ $words, $N => $body, 1 2 3 4 5 6 7 8)
    };
    (@ $words:expr, $N:ident => $body:expr, $($n:literal)*) => {
        match $words {
            $($n => {
                const $N: usize = $n;
                Some($body)
            })*
            _ => None,
        }
    };
}
pub(crate) use by_words;

/// Gathers where the walk is over such rows, or one row of elements; `false` leaves it to whoever gathers others.
///
/// # Safety
/// As for [`run_raw`](super::run_raw).
pub(super) unsafe fn run(at: &Indexed, size: usize, y: *mut u8, x: *const u8, index: RawIndex) -> bool {
    let dense = at.walk[1] == 1 && at.data[1] == 1 && at.index[1] == 0;
    let bytes = match at.rank {
        1 => size,
        2 if dense => at.dims[1].saturating_mul(size),
        _ => return false,
    };
    if at.tuple != 1 || !bytes.is_multiple_of(4) {
        return false;
    }
    // SAFETY: the caller's promise.
    unsafe {
        match index {
            RawIndex::I32(index) => run_by(at, bytes / 4, size, y, x, index),
            RawIndex::I64(index) => run_by(at, bytes / 4, size, y, x, index),
        }
    }
}

/// # Safety
/// As [`run`], of a walk over rows of so many words.
unsafe fn run_by<I: Index>(
    at: &Indexed,
    words: usize,
    size: usize,
    y: *mut u8,
    x: *const u8,
    index: *const I,
) -> bool {
    // SAFETY: the caller's promise.
    by_words!(words, WORDS => unsafe { rows::<I, WORDS>(at, size, y, x, index) }).is_some()
}

/// # Safety
/// As [`run`], of a walk over rows of `WORDS` words.
unsafe fn rows<I: Index, const WORDS: usize>(
    at: &Indexed,
    size: usize,
    y: *mut u8,
    x: *const u8,
    index: *const I,
) {
    let bytes = size as isize;
    let (extent, step) = (at.extents[0], at.steps[0] * bytes);
    let (walk, data, next) = (at.walk[0] * bytes, at.data[0] * bytes, at.index[0]);
    let mut y = y.wrapping_add(at.walk_offset * size);
    let mut x = x.wrapping_add(at.data_offset * size);
    let mut index = index.wrapping_add(at.index_offset);
    for _ in 0..at.dims[0] {
        // SAFETY: a position of the checked walks and of an index that was just checked; rows of `y` and `x` do not overlap,
        // which are borrowed apart.
        unsafe {
            let from = x.wrapping_offset(along("gather", *index, extent, step)).cast::<[u32; WORDS]>();
            y.cast::<[u32; WORDS]>().write_unaligned(from.read_unaligned());
        }
        (y, x) = (y.wrapping_offset(walk), x.wrapping_offset(data));
        index = index.wrapping_offset(next);
    }
}
