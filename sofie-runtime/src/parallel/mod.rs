//! Where kernels and events meet the other cores (feature `threads`): work is cut into parts that write apart from each
//! other, and the parts run on rayon's pool. Without the feature there is one part, and nothing of this is left.
//!
//! What a part computes never depends on how many there are: outputs are shared out, the sums of one output never. So
//! results are the same bits on any number of cores. Whether a kernel is cut is decided by its arithmetic, from its
//! descriptor: handing work over costs some microseconds, and up to fifty where the other cores sleep.

mod events;
#[cfg(feature = "threads")]
mod pool;
#[cfg(all(test, feature = "threads"))]
mod tests;

pub use events::{Arenas, Columns, EventError, events, in_turn, spread};

use core::ops::Range;

/// Operations of a kernel below which it is not cut: some 20 µs of a core.
pub const LEAST: u64 = 2_000_000;

/// Operations of all kernels of [`LEAST`] and more from which on a network's steps run where they can be shared: some
/// 200 µs of a core. The step from a thread of the program to the pool and back costs a tenth of that.
pub const ENTER: u64 = 20_000_000;

/// Runs the steps of a large network on a thread of the pool, from which parts are handed on cheaply.
pub fn enter<R: Send>(steps: impl FnOnce() -> R + Send) -> R {
    #[cfg(feature = "threads")]
    return pool::enter(steps);
    #[cfg(not(feature = "threads"))]
    steps()
}

/// Runs `f` on this thread alone, as without the feature.
pub fn alone<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(feature = "threads")]
    return pool::inside(f);
    #[cfg(not(feature = "threads"))]
    f()
}

/// In how many parts a kernel of so many operations runs, `most` at most.
#[inline]
pub(crate) fn parts(operations: usize, most: usize) -> usize {
    #[cfg(feature = "threads")]
    if operations as u64 >= LEAST && most > 1 {
        return pool::parts(operations, most);
    }
    let _ = (operations, most);
    1
}

/// How many threads there are for the parts of a kernel.
pub(crate) fn threads() -> usize {
    #[cfg(feature = "threads")]
    return pool::threads();
    #[cfg(not(feature = "threads"))]
    1
}

/// Runs `f` for each part.
pub(crate) fn for_each(parts: usize, f: impl Fn(usize) + Sync) {
    #[cfg(feature = "threads")]
    if parts > 1 {
        return pool::for_each(0..parts, &f);
    }
    (0..parts).for_each(f);
}

/// The part `i` of `0..n` in `parts`, which begin at multiples of `grain`.
pub(crate) fn share(n: usize, grain: usize, parts: usize, i: usize) -> Range<usize> {
    // In two steps, as the product could overflow.
    let bound = |i: usize| match i {
        i if i == parts => n,
        i => (n / parts * i + n % parts * i / parts) / grain * grain,
    };
    bound(i)..bound(i + 1)
}

/// Runs `f` for each of the parts of `units` and the slice of `y` where it writes: unit `i` begins at element `at(i)`,
/// and what lies from there to the next one's is its own.
pub(crate) fn for_each_slice<T: Send>(
    y: &mut [T],
    at: impl Fn(usize) -> usize + Sync,
    units: usize,
    parts: usize,
    f: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    #[cfg(feature = "threads")]
    if parts > 1 {
        return pool::for_each_slice(y, &at, &|i| share(units, 1, parts, i), 0..parts, &f);
    }
    let _ = (at, parts);
    f(0..units, y);
}

/// Lends so many floats to a part: memory of its thread, which is kept.
#[cfg(feature = "threads")]
pub(crate) use pool::with_scratch;

/// Lends so many floats to a part; without other threads there is one part, and it has the caller's.
#[cfg(not(feature = "threads"))]
pub(crate) fn with_scratch(_: usize, _: impl FnOnce(&mut [f32])) {
    unreachable!("one part runs in the scratch that its kernel was given")
}
