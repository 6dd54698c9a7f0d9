//! Products of a matrix of bytes with weights of bytes, as quantised models have them: exact in `i32`, with a quarter of
//! the memory that the weights take as floats, and where the CPU has instructions for it a quarter of the time.
//!
//! `(a - zero) · w` is `a · w - zero · sums of w's columns`, so a zero point that is known at run time alone costs one
//! multiplication an element of the result.

use alloc::vec;
use alloc::vec::Vec;

use super::Algorithm;
use crate::map::{Dst, Src};
use crate::parallel;
use crate::simd::LANES;
use crate::simd::bytes::{Bytes, BytesOp, dispatch_bytes};

/// Bytes of a group: one instruction takes as many terms of a sum.
const GROUP: usize = 4;

/// Rows that are computed at once: they share what is loaded of the weights.
const ROWS: usize = 4;

/// `c [rows, n] (i32) ← a [rows, k] (u8), zero [1] (u8), w [⌈n/16⌉, ⌈k/4⌉, 16] (u32: four signed bytes each, see
/// [`byte_tables`]), sums [⌈n/16⌉, 16] (i32: of each column of the weights)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteProduct {
    /// Rows.
    pub rows: usize,
    /// Terms of a sum.
    pub k: usize,
    /// Columns.
    pub n: usize,
    /// Added to each weight: bytes that begin elsewhere than at -128.
    pub shift: isize,
}

/// A product's operands, checked.
struct Operands<'a> {
    p: &'a ByteProduct,
    a: &'a [u8],
    zero: i32,
    w: &'a [[u32; LANES]],
    sums: &'a [[i32; LANES]],
}

/// Some rows of a product.
struct Part<'a> {
    of: &'a Operands<'a>,
    c: &'a mut [i32],
    first: usize,
    rows: usize,
}

impl BytesOp for Part<'_> {
    #[inline(always)]
    fn run<B: Bytes>(mut self, b: B) {
        let panels = self.of.p.n.div_ceil(LANES);
        let mut panel = 0;
        // The weights of some panels stay in the cache while all rows meet them. One row has more of them at once, so
        // that there are enough sums for the latency of the additions.
        let most = if self.rows < ROWS { 8 } else { 4 };
        while panel < panels {
            let some = if panels - panel >= most { most } else { 1 };
            let mut row = 0;
            while row < self.rows {
                let left = self.rows - row;
                match (some, left) {
                    (8, _) => self.block::<B, 1, 8>(b, row, panel),
                    (4, ROWS..) => self.block::<B, ROWS, 4>(b, row, panel),
                    (4, _) => self.block::<B, 1, 4>(b, row, panel),
                    (_, ROWS..) => self.block::<B, ROWS, 1>(b, row, panel),
                    _ => self.block::<B, 1, 1>(b, row, panel),
                }
                row += if some != 8 && left >= ROWS { ROWS } else { 1 };
            }
            panel += some;
        }
    }
}

impl Part<'_> {
    /// `R` rows by `P` panels.
    #[inline(always)]
    fn block<B: Bytes, const R: usize, const P: usize>(&mut self, b: B, row: usize, panel: usize) {
        let Operands { p, a, zero, w, sums } = *self.of;
        let groups = p.k.div_ceil(GROUP);
        let rows: [_; R] = core::array::from_fn(|r| {
            let (whole, rest) = a[(self.first + row + r) * p.k..][..p.k].as_chunks::<GROUP>();
            (&whole[..p.k / GROUP], rest)
        });
        let panels: [_; P] = core::array::from_fn(|i| &w[(panel + i) * groups..][..groups]);
        let mut acc = [[b.none(); P]; R];
        // Of one length, so that no step asks whether they end.
        let whole: [_; R] = rows.map(|(whole, _)| whole);
        let begun: [_; P] = panels.map(|w| &w[..p.k / GROUP]);
        for g in 0..p.k / GROUP {
            for (acc, whole) in acc.iter_mut().zip(&whole) {
                let a = u32::from_le_bytes(whole[g]);
                for (acc, w) in acc.iter_mut().zip(&begun) {
                    *acc = b.add(*acc, a, &w[g]);
                }
            }
        }
        if p.k / GROUP < groups {
            for (acc, (_, rest)) in acc.iter_mut().zip(&rows) {
                let mut last = [0; GROUP];
                last[..rest.len()].copy_from_slice(rest);
                for (acc, w) in acc.iter_mut().zip(&panels) {
                    *acc = b.add(*acc, u32::from_le_bytes(last), &w[groups - 1]);
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            let mut shifted = 0;
            if p.shift != 0 {
                let sum: i32 = a[(self.first + row + r) * p.k..][..p.k].iter().map(|a| i32::from(*a) - zero).sum();
                shifted = (p.shift as i32).wrapping_mul(sum);
            }
            for (i, acc) in acc.into_iter().enumerate() {
                let from = (panel + i) * LANES;
                let all = b.finish(acc, zero, &sums[panel + i], shifted);
                let c = &mut self.c[(row + r) * p.n + from..];
                match c.first_chunk_mut::<LANES>() {
                    Some(c) if from + LANES <= p.n => *c = all,
                    _ => c[..p.n - from].copy_from_slice(&all[..p.n - from]),
                }
            }
        }
    }
}

impl Algorithm for ByteProduct {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let ByteProduct { rows, k, n, .. } = *self;
        let (w, _) = xs[2].slice::<u32>().as_chunks();
        let (sums, _) = xs[3].slice::<i32>().as_chunks();
        let (a, zero) = (xs[0].slice(), xs[1].slice::<u8>());
        assert!(w.len() >= n.div_ceil(LANES) * k.div_ceil(GROUP), "a product of bytes: {} weights for {self:?}", w.len());
        let of = Operands { p: self, a, zero: i32::from(zero[0]), w, sums };
        // A part has whole blocks of rows.
        let blocks = rows.div_ceil(ROWS);
        let parts = parallel::parts(rows.saturating_mul(k).saturating_mul(n), blocks);
        let at = |block: usize| rows.min(block * ROWS) * n;
        parallel::for_each_slice(&mut ys[0].slice::<i32>()[..rows * n], at, blocks, parts, |blocks, c| {
            let first = rows.min(blocks.start * ROWS);
            let rows = rows.min(blocks.end * ROWS) - first;
            dispatch_bytes(Part { of: &of, c, first, rows });
        });
    }
}

/// The weights of [`ByteProduct`] and the sums of their columns, of `w [k, n]`.
#[must_use]
pub fn byte_tables(w: &[i8], k: usize, n: usize) -> (Vec<u32>, Vec<i32>) {
    let groups = k.div_ceil(GROUP);
    let panels = n.div_ceil(LANES);
    let (mut packed, mut sums) = (vec![0u32; panels * groups * LANES], vec![0; panels * LANES]);
    for (i, &x) in w.iter().enumerate().take(k * n) {
        let (row, column) = (i / n, i % n);
        let at = (column / LANES * groups + row / GROUP) * LANES + column % LANES;
        packed[at] |= u32::from(x as u8) << (8 * (row % GROUP));
        sums[column] += i32::from(x);
    }
    (packed, sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::bytes::tests::dispatch_generic;
    use crate::simd::for_each_level;

    fn check(rows: usize, k: usize, n: usize, shift: isize) {
        let mut state = (rows * 31 + k * 7 + n) as u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let a: Vec<u8> = (0..rows * k).map(|_| random()).collect();
        let w: Vec<i8> = (0..k * n).map(|_| random() as i8).collect();
        let zero = random();
        let mut expected = vec![0; rows * n];
        for (i, y) in expected.iter_mut().enumerate() {
            let term =
                |l: usize| (i32::from(a[i / n * k + l]) - i32::from(zero)) * (i32::from(w[l * n + i % n]) + shift as i32);
            *y = (0..k).map(term).sum::<i32>();
        }
        let (packed, sums) = byte_tables(&w, k, n);
        let product = ByteProduct { rows, k, n, shift };
        for_each_level(|level| {
            let mut c = vec![7i32; rows * n];
            let of_zero = [zero];
            let operands = [(&a[..]).into(), (&of_zero[..]).into(), (&packed[..]).into(), (&sums[..]).into()];
            product.run(&mut [c[..].as_mut().into()], &operands);
            assert_eq!(c, expected, "{rows} x {k} x {n}, {}", level.name());
            c.fill(7);
            let (w, sums) = (packed.as_chunks().0, sums.as_chunks().0);
            let of = Operands { p: &product, a: &a, zero: i32::from(zero), w, sums };
            dispatch_generic(level, Part { of: &of, c: &mut c, first: 0, rows });
            assert_eq!(c, expected, "{rows} x {k} x {n}, {} without more", level.name());
        });
    }

    #[test]
    fn the_sums_are_exact() {
        for (rows, k, n) in [(1, 1, 1), (1, 9, 20), (2, 16, 64), (3, 7, 130), (4, 8, 65), (9, 13, 17), (6, 5, 200), (1, 40, 150)] {
            check(rows, k, n, 0);
            check(rows, k, n, -100);
        }
        check(0, 4, 4, 0);
        check(3, 0, 4, 1);
    }
}
