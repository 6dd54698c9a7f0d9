//! Parts on rayon's pool: the one that the caller is in, else the global one. Ranges are halved and joined, so that a core
//! that is done takes what another has not begun.

use core::cell::Cell;
use core::ops::Range;

use super::{ENTER, LEAST};
use crate::{Arena, span};

/// Operations of a part: some 5 µs, ten times what handing it over costs.
const PART: usize = 500_000;
/// Parts for each thread: many, since cores are not equally fast, nor at work for us alone; who comes a little too late
/// costs a part (of 4 parts for each of two threads: 1.6 times as fast as one).
const PARTS: usize = 16;

std::thread_local! {
    /// Whether this thread is inside of a part: parts are not cut again.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// The memory that parts on this thread compute in.
    static SCRATCH: Cell<Option<Arena>> = const { Cell::new(None) };
}

/// Runs a part.
pub(super) fn inside<R>(f: impl FnOnce() -> R) -> R {
    struct Leave(bool);
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.set(self.0);
        }
    }
    let _leave = Leave(INSIDE.replace(true));
    f()
}

/// How many threads there are for parts: one inside of a part.
pub(super) fn threads() -> usize {
    if INSIDE.get() { 1 } else { rayon::current_num_threads() }
}

pub(super) fn enter<R: Send>(steps: impl FnOnce() -> R + Send) -> R {
    if threads() == 1 || rayon::current_thread_index().is_some() {
        return steps();
    }
    rayon::scope(|_| steps())
}

pub(super) fn parts(operations: usize, most: usize) -> usize {
    debug_assert!(operations as u64 >= LEAST);
    // On none of the pool's threads it would have to go there and back.
    if (operations as u64) < ENTER && rayon::current_thread_index().is_none() {
        return 1;
    }
    let threads = threads();
    if threads == 1 {
        return 1;
    }
    let parts = (operations / PART).min(PARTS * threads).min(most);
    // As many for each.
    if parts > threads { parts - parts % threads } else { parts.max(1) }
}

pub(super) fn for_each(parts: Range<usize>, f: &(impl Fn(usize) + Sync)) {
    match parts.len() {
        0 => {}
        1 => inside(|| f(parts.start)),
        n => {
            let middle = parts.start + n / 2;
            rayon::join(|| for_each(parts.start..middle, f), || for_each(middle..parts.end, f));
        }
    }
}

/// Of `parts`, which `share` makes units of, `y` holds what begins with the first.
pub(super) fn for_each_slice<T: Send>(
    y: &mut [T],
    at: &(impl Fn(usize) -> usize + Sync),
    share: &(impl Fn(usize) -> Range<usize> + Sync),
    parts: Range<usize>,
    f: &(impl Fn(Range<usize>, &mut [T]) + Sync),
) {
    match parts.len() {
        0 => {}
        1 => inside(|| f(share(parts.start), y)),
        n => {
            let middle = parts.start + n / 2;
            let cut = at(share(middle).start) - at(share(parts.start).start);
            // The last unit may be short, or not there.
            let (before, behind) = y.split_at_mut(cut.min(y.len()));
            rayon::join(
                || for_each_slice(before, at, share, parts.start..middle, f),
                || for_each_slice(behind, at, share, middle..parts.end, f),
            );
        }
    }
}

/// Lends so many floats of the thread's memory, which grows with what is asked for and is kept.
pub(crate) fn with_scratch(floats: usize, f: impl FnOnce(&mut [f32])) {
    let arena = SCRATCH.take().filter(|arena| arena.bytes() >= floats * size_of::<f32>());
    let mut arena = arena.unwrap_or_else(|| Arena::new(floats * size_of::<f32>()));
    f(arena.get_mut(span::<f32>(0, floats)));
    SCRATCH.set(Some(arena));
}
