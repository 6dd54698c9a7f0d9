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

/// Rows whose sums are known at once, for weights that are shifted.
const CHUNK: usize = 64;

/// Where a row of the left operand is: some runs of bytes, one after the other in the sum.
pub trait Rows: Copy + Sync {
    /// The first byte of a row.
    fn start(&self, row: usize) -> usize;
    /// Runs of a row.
    fn runs(&self) -> usize;
    /// From run to run.
    fn stride(&self) -> usize;
    /// Bytes of a run. Each begins a group of the weights.
    fn run_len(&self) -> usize;
}

/// Rows one after the other.
#[derive(Clone, Copy)]
struct Dense(usize);

impl Rows for Dense {
    #[inline(always)]
    fn start(&self, row: usize) -> usize {
        row * self.0
    }
    #[inline(always)]
    fn runs(&self) -> usize {
        1
    }
    #[inline(always)]
    fn stride(&self) -> usize {
        0
    }
    #[inline(always)]
    fn run_len(&self) -> usize {
        self.0
    }
}

/// A product's operands, checked.
pub struct Operands<'a, L> {
    /// The left operand, and where its rows are.
    pub a: &'a [u8],
    /// See there.
    pub rows: L,
    /// The zero point of the left operand.
    pub zero: i32,
    /// The packed weights.
    pub w: &'a [[u32; LANES]],
    /// The sums of their columns.
    pub sums: &'a [[i32; LANES]],
    /// Columns.
    pub n: usize,
    /// Added to each weight.
    pub shift: i32,
}

impl<L: Rows> Operands<'_, L> {
    /// The product's rows into `c [rows, n]`.
    pub fn run(&self, c: &mut [i32], rows: usize) {
        let groups = self.rows.runs() * self.rows.run_len().div_ceil(GROUP);
        let weights = self.n.div_ceil(LANES) * groups;
        assert!(self.w.len() >= weights, "a product of bytes: {} weights, not {weights}", self.w.len());
        // A part has whole blocks of rows.
        let blocks = rows.div_ceil(ROWS);
        let parts = parallel::parts(rows.saturating_mul(groups * GROUP).saturating_mul(self.n), blocks);
        let at = |block: usize| rows.min(block * ROWS) * self.n;
        parallel::for_each_slice(&mut c[..rows * self.n], at, blocks, parts, |blocks, c| {
            let first = rows.min(blocks.start * ROWS);
            let rows = rows.min(blocks.end * ROWS) - first;
            dispatch_bytes(Part { of: self, c, first, rows });
        });
    }
}

/// Some rows of a product.
struct Part<'a, L> {
    of: &'a Operands<'a, L>,
    c: &'a mut [i32],
    first: usize,
    rows: usize,
}

impl<L: Rows> BytesOp for Part<'_, L> {
    #[inline(always)]
    fn run<B: Bytes>(mut self, b: B) {
        if self.of.shift == 0 {
            return self.panels(b, 0, self.rows, &[0; CHUNK]);
        }
        let mut row = 0;
        while row < self.rows {
            let rows = (self.rows - row).min(CHUNK);
            let mut shifted = [0; CHUNK];
            for (i, shifted) in shifted[..rows].iter_mut().enumerate() {
                *shifted = self.shifted(row + i);
            }
            self.panels(b, row, rows, &shifted);
            row += rows;
        }
    }
}

impl<L: Rows> Part<'_, L> {
    /// What the shift of the weights adds to a row's sums.
    #[inline(always)]
    fn shifted(&self, row: usize) -> i32 {
        let Operands { a, rows, zero, shift, .. } = *self.of;
        let mut sum = 0i32;
        for run in 0..rows.runs() {
            let run = &a[rows.start(self.first + row) + run * rows.stride()..][..rows.run_len()];
            for &a in run {
                sum += i32::from(a);
            }
            sum -= zero * run.len() as i32;
        }
        shift.wrapping_mul(sum)
    }

    /// Some rows by all panels.
    #[inline(always)]
    fn panels<B: Bytes>(&mut self, b: B, first: usize, rows: usize, shifted: &[i32; CHUNK]) {
        let panels = self.of.n.div_ceil(LANES);
        let mut panel = 0;
        // The weights of some panels stay in the cache while all rows meet them. One row has more of them at once, so
        // that there are enough sums for the latency of the additions.
        let most = if rows < ROWS { 8 } else { 4 };
        while panel < panels {
            let some = if panels - panel >= most { most } else { 1 };
            let mut row = 0;
            while row < rows {
                let left = rows - row;
                let shifted = &shifted[row % CHUNK..];
                let row_at = first + row;
                match (some, left) {
                    (8, _) => self.block::<B, 1, 8>(b, row_at, panel, shifted),
                    (4, ROWS..) => self.block::<B, ROWS, 4>(b, row_at, panel, shifted),
                    (4, _) => self.block::<B, 1, 4>(b, row_at, panel, shifted),
                    (_, ROWS..) => self.block::<B, ROWS, 1>(b, row_at, panel, shifted),
                    _ => self.block::<B, 1, 1>(b, row_at, panel, shifted),
                }
                row += if some != 8 && left >= ROWS { ROWS } else { 1 };
            }
            panel += some;
        }
    }

    /// `R` rows by `P` panels.
    #[inline(always)]
    fn block<B: Bytes, const R: usize, const P: usize>(&mut self, b: B, row: usize, panel: usize, shifted: &[i32]) {
        let Operands { a, rows: at, zero, w, sums, n, .. } = *self.of;
        let (runs, stride, len) = (at.runs(), at.stride(), at.run_len());
        let of_run = len.div_ceil(GROUP);
        let starts: [usize; R] = core::array::from_fn(|r| at.start(self.first + row + r));
        let mut acc = [[b.none(); P]; R];
        for run in 0..runs {
            let rows: [_; R] = core::array::from_fn(|r| {
                let (whole, rest) = a[starts[r] + run * stride..][..len].as_chunks::<GROUP>();
                (&whole[..len / GROUP], rest)
            });
            let panels: [_; P] = core::array::from_fn(|i| &w[((panel + i) * runs + run) * of_run..][..of_run]);
            // Of one length, so that no step asks whether they end.
            let whole: [_; R] = core::array::from_fn(|r| rows[r].0);
            let begun: [_; P] = core::array::from_fn(|i| &panels[i][..len / GROUP]);
            for g in 0..len / GROUP {
                for (acc, whole) in acc.iter_mut().zip(&whole) {
                    let a = u32::from_le_bytes(whole[g]);
                    for (acc, w) in acc.iter_mut().zip(&begun) {
                        *acc = b.add(*acc, a, &w[g]);
                    }
                }
            }
            if len / GROUP < of_run {
                for (acc, (_, rest)) in acc.iter_mut().zip(&rows) {
                    let mut last = [0; GROUP];
                    last[..rest.len()].copy_from_slice(rest);
                    for (acc, w) in acc.iter_mut().zip(&panels) {
                        *acc = b.add(*acc, u32::from_le_bytes(last), &w[of_run - 1]);
                    }
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            for (i, acc) in acc.into_iter().enumerate() {
                let from = (panel + i) * LANES;
                let all = b.finish(acc, zero, &sums[panel + i], shifted[r]);
                let c = &mut self.c[(row + r) * n + from..];
                match c.first_chunk_mut::<LANES>() {
                    Some(c) if from + LANES <= n => *c = all,
                    _ => c[..n - from].copy_from_slice(&all[..n - from]),
                }
            }
        }
    }
}

impl Algorithm for ByteProduct {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let ByteProduct { rows, k, n, shift } = *self;
        let (w, _) = xs[2].slice::<u32>().as_chunks();
        let (sums, _) = xs[3].slice::<i32>().as_chunks();
        let (a, zero) = (xs[0].slice(), i32::from(xs[1].slice::<u8>()[0]));
        Operands { a, rows: Dense(k), zero, w, sums, n, shift: shift as i32 }.run(ys[0].slice::<i32>(), rows);
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
            let of = Operands { a: &a, rows: Dense(k), zero: i32::from(zero), w, sums, n, shift: shift as i32 };
            dispatch_generic(level, Part { of: &of, c: &mut c, first: 0, rows });
            assert_eq!(c, expected, "{rows} x {k} x {n}, {} without more", level.name());
        });
    }

    #[test]
    fn the_sums_are_exact() {
        for (rows, k, n) in [(1, 1, 1), (1, 9, 20), (2, 16, 64), (3, 7, 130), (4, 8, 65), (9, 13, 17), (6, 5, 200), (1, 40, 150), (150, 6, 70)] {
            check(rows, k, n, 0);
            check(rows, k, n, -100);
        }
        check(0, 4, 4, 0);
        check(3, 0, 4, 1);
    }
}
