//! Offsets in the arena: each buffer lives over a range of steps, and those that live together must not
//! overlap. Largest first, each at the lowest gap that holds it best; a second order is tried and the
//! smaller arena wins.

/// The unit of sizes and offsets, in bytes.
pub const ALIGN: usize = 64;

/// A buffer to place: its size and the steps, first and last, at which it holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Size in bytes, a multiple of [`ALIGN`].
    pub bytes: usize,
    /// The step that writes it first.
    pub first: usize,
    /// The last step that reads or writes it.
    pub last: usize,
}

impl Live {
    fn meets(&self, other: &Live) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The largest sum of sizes that live at one step: no placement is smaller.
pub fn lower_bound(buffers: &[Live]) -> usize {
    let sum = |step| buffers.iter().filter(|b| b.first <= step && step <= b.last).map(|b| b.bytes).sum();
    buffers.iter().map(|b| sum(b.first)).max().unwrap_or(0)
}

/// An offset for each buffer, and the size of the arena.
pub fn place(buffers: &[Live]) -> (Vec<usize>, usize) {
    let mut by_size: Vec<usize> = (0..buffers.len()).collect();
    by_size.sort_by_key(|&i| (std::cmp::Reverse(buffers[i].bytes), buffers[i].first, i));
    let mut by_time: Vec<usize> = (0..buffers.len()).collect();
    by_time.sort_by_key(|&i| (buffers[i].first, std::cmp::Reverse(buffers[i].last), i));
    let mut by_area: Vec<usize> = (0..buffers.len()).collect();
    by_area.sort_by_key(|&i| {
        (std::cmp::Reverse(buffers[i].bytes * (1 + buffers[i].last - buffers[i].first)), i)
    });
    let mut by_life: Vec<usize> = (0..buffers.len()).collect();
    by_life.sort_by_key(|&i| {
        (std::cmp::Reverse(buffers[i].last - buffers[i].first), std::cmp::Reverse(buffers[i].bytes), i)
    });
    let bound = lower_bound(buffers);
    let mut best: Option<(Vec<usize>, usize)> = None;
    for order in [by_size, by_time, by_area, by_life] {
        let placed = place_in_order(buffers, order, bound);
        if best.as_ref().is_none_or(|b| placed.1 < b.1) {
            best = Some(placed);
        }
    }
    best.unwrap_or_default()
}

/// Rounds of repair after the first placement in an order.
const ROUNDS: usize = 200;

/// Places in the given order; while the arena is above the bound, the buffer that sticks out furthest is
/// moved to the front of the order and all are placed again.
fn place_in_order(buffers: &[Live], mut order: Vec<usize>, bound: usize) -> (Vec<usize>, usize) {
    let mut best = place_once(buffers, &order);
    let mut current = best.clone();
    for _ in 0..ROUNDS {
        if best.1 <= bound {
            break;
        }
        let out = order.iter().position(|&i| current.0[i] + buffers[i].bytes == current.1);
        let Some(at) = out.filter(|&at| at > 0) else { break };
        let i = order.remove(at);
        order.insert(at / 2, i);
        current = place_once(buffers, &order);
        if current.1 < best.1 {
            best = current.clone();
        }
    }
    best
}

fn place_once(buffers: &[Live], order: &[usize]) -> (Vec<usize>, usize) {
    let mut offsets = vec![0; buffers.len()];
    let mut placed: Vec<usize> = Vec::new();
    let mut size = 0;
    for &i in order {
        let b = &buffers[i];
        if b.bytes == 0 {
            continue;
        }
        // Neighbours in time, by offset: the gaps between them are where `b` may go.
        let mut near: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&p| buffers[p].meets(b))
            .map(|&p| (offsets[p], offsets[p] + buffers[p].bytes))
            .collect();
        near.sort_unstable();
        let (mut at, mut best): (usize, Option<(usize, usize)>) = (0, None);
        for (start, end) in near {
            if start >= at + b.bytes && best.is_none_or(|(room, _)| start - at < room) {
                best = Some((start - at, at));
            }
            at = at.max(end);
        }
        offsets[i] = best.map_or(at, |(_, offset)| offset);
        size = size.max(offsets[i] + b.bytes);
        placed.push(i);
    }
    (offsets, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(buffers: &[Live], offsets: &[usize]) -> bool {
        let ends = |i: usize| offsets[i] + buffers[i].bytes;
        (0..buffers.len()).any(|i| {
            (0..i).any(|j| buffers[i].meets(&buffers[j]) && offsets[i] < ends(j) && offsets[j] < ends(i))
        })
    }

    #[test]
    fn a_chain_needs_two_neighbours() {
        let chain: Vec<Live> =
            (0..10).map(|i| Live { bytes: 64 * (1 + i % 3), first: i, last: i + 1 }).collect();
        let (offsets, size) = place(&chain);
        assert!(!overlap(&chain, &offsets));
        assert_eq!((size, lower_bound(&chain)), (5 * 64, 5 * 64));
    }

    #[test]
    fn random_lives_never_overlap_and_stay_near_the_bound() {
        arbtest::arbtest(|u| {
            let n = u.int_in_range(0..=40)?;
            let mut buffers = Vec::new();
            for _ in 0..n {
                let first = u.int_in_range(0..=30)?;
                let last = first + u.int_in_range(0..=6)?;
                buffers.push(Live { bytes: 64 * u.int_in_range(0..=50)?, first, last });
            }
            let (offsets, size) = place(&buffers);
            assert!(!overlap(&buffers, &offsets));
            let bound = lower_bound(&buffers);
            assert!(size >= bound && size <= bound + bound / 2, "{size} bytes, bound {bound}: {buffers:?}");
            Ok(())
        });
    }
}
