//! Walks from roots to leaves, several in turns, so that none waits for another's memory, and no step branches.

use super::masks::Masks;

/// Steps between two questions whether all walks have ended.
const STEPS: usize = 2;

/// A node: its threshold's bits as one word or two, the element of a row's copies that it reads, and the node for what is
/// at most the threshold; the next record is the node for the rest. A leaf has its number in the place of the threshold,
/// reads the smallest number and is its own child, so walks that are done go on in place.
#[derive(Clone, Copy)]
pub struct Node<X> {
    pub threshold: X,
    pub feature: u32,
    pub child: u32,
}

/// The numbers of the leaves in which `N` walks end. Element `i` of `x` has that of the copies' elements for all rows, of
/// which each walk has a lane.
#[inline(always)]
pub fn walk<X: Masks<W>, const W: usize, const S: usize, const N: usize>(
    nodes: &[[u32; W]],
    mut at: [u32; N],
    x: &[[X; S]],
    lane: impl Fn(usize) -> usize,
) -> [u32; N] {
    loop {
        let mut moved = 0;
        for step in 0..STEPS {
            for (i, at) in at.iter_mut().enumerate() {
                let node = X::node(&nodes[*at as usize]);
                let holds = x[node.feature as usize][lane(i)] <= node.threshold;
                // Not a branch, which would be foretold wrongly half of the time.
                let next = node.child + u32::from(!holds);
                if step + 1 == STEPS {
                    moved |= next ^ *at;
                }
                *at = next;
            }
        }
        if moved == 0 {
            for at in &mut at {
                *at = nodes[*at as usize][0];
            }
            return at;
        }
    }
}
