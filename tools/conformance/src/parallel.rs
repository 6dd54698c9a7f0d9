//! Spreads work over the cores: what is judged does not depend on what runs beside it.

use std::sync::Mutex;
use std::thread;

/// As the main thread has it: deep models recurse.
const STACK: usize = 8 << 20;

/// `work` on every item, in the order of the items; items start in turn, one after the other.
pub fn map<T: Sync, R: Send>(items: &[T], work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = Mutex::new(items.iter().enumerate());
    let take = || next.lock().ok()?.next();
    let worker = || std::iter::from_fn(take).map(|(i, item)| (i, work(i, item))).collect::<Vec<_>>();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let spawn = || thread::Builder::new().stack_size(STACK).spawn_scoped(scope, worker);
        let others: Vec<_> = (1..cores.min(items.len())).filter_map(|_| spawn().ok()).collect();
        let mut results = worker();
        for other in others {
            results.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        results
    });
    results.sort_by_key(|&(i, _)| i);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::map;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..1000).rev().collect();
        let found = map(&items, |i, &item| (i, item));
        assert_eq!(found, items.iter().copied().enumerate().collect::<Vec<_>>());
        assert!(map(&[] as &[u8], |_, _| ()).is_empty());
    }
}
