//! Offsets in the arena: each buffer lives over a range of steps, and those that live together must not
//! overlap. Several orders are tried, each buffer at the lowest gap that holds it best, and the smallest arena wins. The
//! compiler lays out memory by this, and so do sessions whose capacity is known at run time alone.

use crate::Element;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

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
    by_size.sort_by_key(|&i| (Reverse(buffers[i].bytes), buffers[i].first, i));
    let mut by_time: Vec<usize> = (0..buffers.len()).collect();
    by_time.sort_by_key(|&i| (buffers[i].first, Reverse(buffers[i].last), i));
    let mut by_area: Vec<usize> = (0..buffers.len()).collect();
    by_area.sort_by_key(|&i| (Reverse(buffers[i].bytes * (1 + buffers[i].last - buffers[i].first)), i));
    let mut by_life: Vec<usize> = (0..buffers.len()).collect();
    by_life.sort_by_key(|&i| (Reverse(buffers[i].last - buffers[i].first), Reverse(buffers[i].bytes), i));
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

/// What a buffer needs: the largest of some numbers of bytes, in whole cache lines.
///
/// # Panics
/// When that is more than memory can be.
pub fn room<const N: usize>(bytes: [usize; N]) -> usize {
    let most = bytes.into_iter().max().unwrap_or(0);
    assert!(most < isize::MAX as usize, "extents that are larger than memory");
    most.next_multiple_of(ALIGN)
}

/// The bytes of so many elements.
pub const fn bytes<T: Element>(elements: usize) -> usize {
    elements.saturating_mul(size_of::<T>())
}

/// Offsets of buffers of these sizes that live from the first step of each pair to the last, and the size of the arena.
pub fn arrange<const N: usize>(rooms: [usize; N], lives: [[usize; 2]; N]) -> ([usize; N], usize) {
    let live = |(bytes, [first, last]): (usize, [usize; 2])| Live { bytes, first, last };
    let buffers: Vec<Live> = rooms.into_iter().zip(lives).map(live).collect();
    let total = rooms.iter().fold(0usize, |sum, n| sum.saturating_add(*n));
    assert!(total < isize::MAX as usize, "extents that are larger than memory");
    let (offsets, size) = place(&buffers);
    let mut at = [0; N];
    at.iter_mut().zip(offsets).for_each(|(at, offset)| *at = offset);
    (at, size)
}

/// Offsets of blocks one behind the other, each from a new cache line on, and the size of all.
pub fn stack<const N: usize>(bytes: [usize; N]) -> ([usize; N], usize) {
    let mut end = 0usize;
    let at = bytes.map(|n| {
        let at = end;
        end = end.saturating_add(room([n]));
        at
    });
    assert!(end < isize::MAX as usize, "extents that are larger than memory");
    (at, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lives_together_lies_apart() {
        let (at, size) = arrange([room([100, 30]), room([64]), room([1])], [[0, 1], [1, 2], [2, 3]]);
        assert_eq!((at[0], size), (0, 192));
        assert!(at[1] == 128 && at[2] + 64 <= 128, "{at:?}");
    }

    #[test]
    fn scratch_suffices_for_all_smaller_extents() {
        use crate::Act;
        use crate::gemm::BatchedGemm;
        use crate::recurrent::{Cell, Recurrent};
        let gemm = |[m, k, n]: [usize; 3], b_column| BatchedGemm {
            batch: [1; 6],
            batch_rank: 1,
            a_batch: [0; 6],
            b_batch: [0; 6],
            c_batch: [0; 6],
            m,
            k,
            n,
            a_row: k,
            a_column: 1,
            b_row: 1,
            b_column,
            c_row: n,
            alpha: 1.0,
            act: Act::None,
        };
        for b_column in [1, 5] {
            let enough = gemm([20, 700, 90], b_column).scratch_within(&gemm([0, 0, 0], b_column));
            let all = (0..=20).flat_map(|m| (0..=700).step_by(7).map(move |k| [m, k]));
            for [m, k] in all {
                assert!((0..=90).all(|n| gemm([m, k, n], b_column).scratch() <= enough), "{m} {k}");
            }
        }
        let layer = |batch| Recurrent {
            cell: Cell::Rnn { f: Act::Tanh },
            steps: 30,
            batch,
            input: 6,
            hidden: 17,
            reverse: false,
            clip: None,
            x_step: 6,
            x_row: 6 * 30,
            y_step: 17,
            y_row: 17 * 30,
        };
        let enough = layer(90).scratch_within(&layer(0));
        assert!((0..=90).all(|batch| layer(batch).scratch() <= enough));
    }

    #[test]
    fn blocks_are_stacked() {
        assert_eq!(stack([bytes::<f32>(5), 0, 65]), ([0, 64, 64], 192));
        assert_eq!(stack([]), ([], 0));
    }

    #[test]
    #[should_panic(expected = "larger than memory")]
    fn more_than_memory_is_refused() {
        room([bytes::<f64>(usize::MAX / 2)]);
    }
}
