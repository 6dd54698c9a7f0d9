//! Many events: the same steps over one set of inputs after the other, on as many cores as there are, one arena a thread.

use core::fmt;

use crate::{Arena, ShapeError};

/// Operations of all events below which they stay on one core: some 100 µs.
#[cfg(feature = "threads")]
const TOGETHER: u64 = 5_000_000;
/// Operations of the events that are handed over at once: some 50 µs.
#[cfg(feature = "threads")]
const HANDED: u64 = 2_500_000;
/// Such parts for each thread at most.
#[cfg(feature = "threads")]
const PARTS: usize = 64;

/// An event of which an input decides a shape otherwise than the model declares. All others have been computed; of those
/// that failed, `event` is the first, and their outputs hold what they held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventError {
    /// The number of the first event that failed.
    pub event: usize,
    /// Why.
    pub error: ShapeError,
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}: {}", self.event, self.error)
    }
}

impl core::error::Error for EventError {}

/// How many events there are: as many as each of the slices, given by name, has elements.
///
/// # Panics
/// When the slices have different lengths.
#[track_caller]
pub fn events(lengths: &[(&str, usize)]) -> usize {
    let Some(&(first, events)) = lengths.first() else { return 0 };
    for &(name, length) in lengths {
        assert!(length == events, "`{name}` has {length} events, `{first}` has {events}");
    }
    events
}

/// Slices of results, an element an event: one slice, or pairs of them, the last with nothing.
pub trait Columns: Sized + Send {
    /// Where one event's results go.
    type Row;
    /// What is before event `at`, and the rest.
    #[doc(hidden)]
    fn cut(self, at: usize) -> (Self, Self);
    /// Takes the first event off.
    #[doc(hidden)]
    fn take(&mut self) -> Self::Row;
}

impl Columns for () {
    type Row = ();
    fn cut(self, _: usize) -> ((), ()) {
        ((), ())
    }
    fn take(&mut self) {}
}

impl<'a, T: Send> Columns for &'a mut [T] {
    type Row = &'a mut T;
    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
    fn take(&mut self) -> &'a mut T {
        self.split_off_first_mut().expect("as many results as events")
    }
}

impl<A: Columns, B: Columns> Columns for (A, B) {
    type Row = (A::Row, B::Row);
    fn cut(self, at: usize) -> (Self, Self) {
        let ((a, c), (b, d)) = (self.0.cut(at), self.1.cut(at));
        ((a, b), (c, d))
    }
    fn take(&mut self) -> (A::Row, B::Row) {
        (self.0.take(), self.1.take())
    }
}

/// The arenas of a session's other threads, made when they are needed first. A clone has none.
#[derive(Default)]
pub struct Arenas {
    #[cfg(feature = "threads")]
    all: Vec<std::sync::Mutex<Arena>>,
}

impl Arenas {
    /// None yet.
    pub fn new() -> Arenas {
        Arenas::default()
    }
}

impl Clone for Arenas {
    fn clone(&self) -> Arenas {
        Arenas::new()
    }
}

impl fmt::Debug for Arenas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arenas")
    }
}

/// Runs `f` for each event with an arena and the place of its results; the first event for which it says no. With the
/// feature `threads`, threads share the events out; an event takes about `operations`.
pub fn spread<O: Columns>(
    arena: &mut Arena,
    arenas: &mut Arenas,
    operations: u64,
    events: usize,
    results: O,
    f: impl Fn(&mut Arena, usize, O::Row) -> bool + Sync,
) -> Option<usize> {
    #[cfg(feature = "threads")]
    {
        let parts = threads::parts(operations, events);
        if parts > 1 {
            return arenas.spread(arena.bytes(), events, parts, results, &f);
        }
    }
    let _ = (arenas, operations);
    in_turn(events, results, |event, row| f(arena, event, row))
}

/// Runs `f` for each event with the place of its results; the first event for which it says no.
pub fn in_turn<O: Columns>(events: usize, results: O, f: impl FnMut(usize, O::Row) -> bool) -> Option<usize> {
    over(0..events, results, f)
}

fn over<O: Columns>(
    events: core::ops::Range<usize>,
    mut results: O,
    mut f: impl FnMut(usize, O::Row) -> bool,
) -> Option<usize> {
    let mut failed = None;
    for event in events {
        if !f(event, results.take()) && failed.is_none() {
            failed = Some(event);
        }
    }
    failed
}

#[cfg(feature = "threads")]
mod threads {
    use super::super::pool;
    use super::super::{ENTER, share};
    use super::{Arena, Arenas, Columns, HANDED, PARTS, TOGETHER, over};
    use core::ops::Range;
    use std::sync::{Mutex, TryLockError};

    /// In how many parts the events run.
    pub(super) fn parts(operations: u64, events: usize) -> usize {
        let all = operations.saturating_mul(events as u64);
        if all < TOGETHER || events < 2 {
            return 1;
        }
        let threads = pool::threads();
        // Few events that are worth sharing out each: their kernels are.
        if threads == 1 || events < threads && operations >= ENTER {
            return 1;
        }
        let parts = (PARTS * threads).min(events).min(usize::try_from(all / HANDED).unwrap_or(usize::MAX));
        if parts > threads { parts - parts % threads } else { parts }
    }

    impl Arenas {
        pub(super) fn spread<O: Columns>(
            &mut self,
            bytes: usize,
            events: usize,
            parts: usize,
            results: O,
            f: &(impl Fn(&mut Arena, usize, O::Row) -> bool + Sync),
        ) -> Option<usize> {
            let threads = pool::threads();
            if self.all.len() < threads {
                self.all.resize_with(threads, || Mutex::new(Arena::new(bytes)));
            }
            let part = |i: usize| share(events, 1, parts, i);
            halves(&self.all, bytes, &part, 0..parts, results, f)
        }
    }

    fn halves<O: Columns>(
        arenas: &[Mutex<Arena>],
        bytes: usize,
        part: &(impl Fn(usize) -> Range<usize> + Sync),
        parts: Range<usize>,
        results: O,
        f: &(impl Fn(&mut Arena, usize, O::Row) -> bool + Sync),
    ) -> Option<usize> {
        if parts.len() == 1 {
            let run = |arena: &mut Arena| {
                pool::inside(|| over(part(parts.start), results, |event, row| f(arena, event, row)))
            };
            let index = rayon::current_thread_index().unwrap_or_default();
            return match arenas[index % arenas.len()].try_lock() {
                Ok(mut arena) => run(&mut arena),
                // An operator of the program's own panicked: a run reads nothing that was there before.
                Err(TryLockError::Poisoned(arena)) => run(&mut arena.into_inner()),
                // Such an operator waits for the pool, which gave this thread another part meanwhile.
                Err(TryLockError::WouldBlock) => run(&mut Arena::new(bytes)),
            };
        }
        let middle = parts.start + parts.len() / 2;
        let (before, behind) = results.cut(part(middle).start - part(parts.start).start);
        let (a, b) = rayon::join(
            || halves(arenas, bytes, part, parts.start..middle, before, f),
            || halves(arenas, bytes, part, middle..parts.end, behind, f),
        );
        a.or(b)
    }
}
