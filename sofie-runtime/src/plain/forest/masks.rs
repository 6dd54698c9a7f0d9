//! The leaves of many rows without a walk (QuickScorer, Lucchese et al., SIGIR 2015; over rows as RapidScorer, Ye et al.,
//! KDD 2018): a node whose test does not hold rules out the leaves where it does, and the first leaf left is the row's.
//!
//! Leaves are bits of words of 32. An entry is a node and a word in which it rules out leaves: the node's feature and
//! threshold as in a walk's, then the bits that stay.

use super::super::number::Real;
use super::walk::Node;
use crate::simd::{LANES, Simd};

/// Leaves of a word.
pub const WORD: usize = 32;

/// `u32`s of an entry, and of a node.
pub const fn entry(wide: bool) -> usize {
    if wide { 4 } else { 3 }
}

/// What is asked for: floats whose bits are `W - 2` words of a record of `W`.
pub trait Masks<const W: usize>: Real + PartialOrd {
    /// A record as a node.
    fn node(record: &[u32; W]) -> Node<Self>;

    /// Scratch as such floats.
    fn floats(scratch: &mut [f64]) -> &mut [Self];

    /// Of each lane what is left of a word.
    fn word<S: Simd>(s: S, entries: &[[u32; W]], x: &[[Self; LANES]]) -> S::I32;

    /// The number, in its tree, of each lane's leaf. The tree's words are those between two of `words`.
    #[inline(always)]
    fn leaves<S: Simd>(s: S, words: &[u32], entries: &[[u32; W]], x: &[[Self; LANES]], leaves: &mut [u32; LANES]) {
        let mut found = s.zero_i32();
        // From behind: what is left of an earlier word counts.
        for (i, of_word) in words.windows(2).enumerate().rev() {
            let left = Self::word(s, &entries[of_word[0] as usize..of_word[1] as usize], x);
            // The lowest bit as a float has its number as the exponent; the highest is negative.
            let lowest = s.and(left, s.sub_i32(s.zero_i32(), left));
            let exponent = s.and(s.shr(s.to_bits(s.to_f32(lowest)), 23), s.splat_i32(0xff));
            let number = s.add_i32(exponent, s.splat_i32((i * WORD) as i32 - 127));
            found = s.select_i32(s.eq_i32(left, s.zero_i32()), found, number);
        }
        *leaves = s.to_array_i32(found).map(|n| n as u32);
    }
}

/// What an entry leaves of a word.
#[inline(always)]
fn ruled<S: Simd>(s: S, x: &[[f32; LANES]], left: S::I32, &[threshold, feature, stay]: &[u32; 3]) -> S::I32 {
    let holds = s.le(s.load(&x[feature as usize]), s.splat(f32::from_bits(threshold)));
    s.select_i32(holds, left, s.and(left, s.splat_i32(stay as i32)))
}

impl Masks<3> for f32 {
    #[inline(always)]
    fn node(&[threshold, feature, child]: &[u32; 3]) -> Node<f32> {
        Node { threshold: f32::from_bits(threshold), feature, child }
    }

    #[inline(always)]
    fn floats(scratch: &mut [f64]) -> &mut [f32] {
        // SAFETY: all bits are floats.
        unsafe { scratch.align_to_mut::<f32>() }.1
    }

    #[inline(always)]
    fn word<S: Simd>(s: S, entries: &[[u32; 3]], x: &[[f32; LANES]]) -> S::I32 {
        // Two chains, so that none waits for the other's latency.
        let (pairs, rest) = entries.as_chunks::<2>();
        let (mut even, mut odd) = (s.splat_i32(-1), s.splat_i32(-1));
        for [a, b] in pairs {
            (even, odd) = (ruled(s, x, even, a), ruled(s, x, odd, b));
        }
        for last in rest {
            even = ruled(s, x, even, last);
        }
        s.and(even, odd)
    }
}

impl Masks<4> for f64 {
    #[inline(always)]
    fn node(&[low, high, feature, child]: &[u32; 4]) -> Node<f64> {
        Node { threshold: f64::from_bits(u64::from(low) | u64::from(high) << 32), feature, child }
    }

    #[inline(always)]
    fn floats(scratch: &mut [f64]) -> &mut [f64] {
        scratch
    }

    #[inline(always)]
    fn word<S: Simd>(s: S, entries: &[[u32; 4]], x: &[[f64; LANES]]) -> S::I32 {
        // The compiler makes vectors of this.
        let mut left = [u32::MAX; LANES];
        for entry in entries {
            let Node { threshold, feature, child: stay } = Self::node(entry);
            for (left, x) in left.iter_mut().zip(&x[feature as usize]) {
                *left &= if *x <= threshold { u32::MAX } else { stay };
            }
        }
        s.load_i32(&left.map(|x| x as i32))
    }
}
