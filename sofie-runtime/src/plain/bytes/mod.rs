//! Sums of products of bytes: what the products and the convolutions of bytes share. Blocks of rows and panels of 16 columns
//! whose sums stay in registers, then a correction for the zero point of the left operand, and what
//! [`ByteFinish`] says.

mod block;
mod finish;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod tiled;

use core::array::from_fn;

use crate::parallel;
use crate::simd::bytes::{Bytes, BytesOp, dispatch_bytes};
use crate::simd::{LANES, Simd};

pub(super) use block::{Block, widened};
pub(super) use finish::Tables;
pub use finish::{ByteFinish, ByteStep, Steps};

/// Bytes of a group: one instruction takes as many terms of a sum.
pub(super) const GROUP: usize = 4;

/// Rows of a whole block, which share what is loaded of the weights.
const ROWS: usize = 8;

/// Rows whose sums are known at once, for weights that are shifted.
const CHUNK: usize = 64;

/// Where a row of the left operand is: some runs of bytes, one after the other in the sum.
pub(super) trait Rows: Copy + Sync {
    /// The first byte of a row, not before that of the row before.
    fn start(&self, row: usize) -> usize;
    /// Those of some rows.
    fn starts<const R: usize>(&self, row: usize) -> [usize; R];
    /// How many rows from one whose number divides by it are at one distance; none where all are.
    #[cfg_attr(not(all(target_arch = "x86_64", not(miri))), allow(dead_code, reason = "tiles alone ask"))]
    fn line(&self) -> Option<usize>;
    /// That distance.
    #[cfg_attr(not(all(target_arch = "x86_64", not(miri))), allow(dead_code, reason = "tiles alone ask"))]
    fn step(&self) -> usize;
    /// Runs of a row.
    fn runs(&self) -> usize;
    /// From run to run.
    fn stride(&self) -> usize;
    /// Bytes of a run. Each begins a group of the weights.
    fn run_len(&self) -> usize;
}

/// A product's operands, checked.
pub(super) struct Operands<'a, L> {
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
    /// From row to row of the result.
    pub ldc: usize,
    /// Added to each weight.
    pub shift: i32,
    /// What becomes of the sums, which are stored as they are where nothing does.
    pub finish: Option<Tables<'a>>,
}

impl<L: Rows> Operands<'_, L> {
    /// Bytes of an element of the result.
    fn size(&self) -> usize {
        self.finish.as_ref().map_or(size_of::<i32>(), |f| f.finish.stored().size())
    }

    /// The product's rows into the bytes of `c [rows, n]`; rows of a residual are counted from `first`.
    pub fn run(&self, c: &mut [u8], rows: usize, first: usize) {
        let groups = self.rows.runs() * self.rows.run_len().div_ceil(GROUP);
        let weights = self.n.div_ceil(LANES) * groups;
        assert!(self.w.len() >= weights, "a product of bytes: {} weights, not {weights}", self.w.len());
        // A part has whole blocks of rows.
        let (blocks, line) = (rows.div_ceil(ROWS), self.ldc * self.size());
        let parts = parallel::parts(rows.saturating_mul(groups * GROUP).saturating_mul(self.n), blocks);
        let len = if rows == 0 { 0 } else { (rows - 1) * line + self.n * self.size() };
        let at = |block: usize| len.min(block * ROWS * line);
        parallel::for_each_slice(&mut c[..len], at, blocks, parts, |blocks, c| {
            let start = rows.min(blocks.start * ROWS);
            let rows = rows.min(blocks.end * ROWS) - start;
            dispatch_bytes(Part { of: self, c, start, rows, residual: first + start });
        });
    }
}

/// Some rows of a product.
pub(super) struct Part<'a, L> {
    pub of: &'a Operands<'a, L>,
    /// The rows' bytes of the result.
    pub c: &'a mut [u8],
    /// The first of them.
    pub start: usize,
    pub rows: usize,
    /// The first row of a residual.
    pub residual: usize,
}

impl<L: Rows> BytesOp for Part<'_, L> {
    #[inline(always)]
    fn run<B: Bytes>(mut self, b: B) {
        if self.of.shift == 0 {
            return self.panels(b, 0, self.rows, &[]);
        }
        let mut row = 0;
        while row < self.rows {
            let rows = (self.rows - row).min(CHUNK);
            let mut shifted = [0; CHUNK];
            for (i, shifted) in shifted[..rows].iter_mut().enumerate() {
                *shifted = self.shifted(row + i);
            }
            self.panels(b, row, rows, &shifted[..rows]);
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
            let run = &a[rows.start(self.start + row) + run * rows.stride()..][..rows.run_len()];
            for &a in run {
                sum += i32::from(a);
            }
            sum -= zero * run.len() as i32;
        }
        shift.wrapping_mul(sum)
    }

    /// Some rows by all panels.
    #[inline(always)]
    fn panels<B: Bytes>(&mut self, b: B, first: usize, rows: usize, shifted: &[i32]) {
        let panels = self.of.n.div_ceil(LANES);
        let whole = self.read_whole();
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        let (first, rows, shifted) = match b.tiles() {
            Some(tiles) => {
                let behind = self.by_tiles(b, tiles, (first, rows), whole, shifted);
                (behind, first + rows - behind, shifted.get(behind - first..).unwrap_or_default())
            }
            None => (first, rows, shifted),
        };
        let mut panel = 0;
        // The weights of some panels stay in the cache while all rows meet them. Few rows have more of them at once, so
        // that there are enough sums for the latency of the additions.
        while panel < panels {
            let some = match panels - panel {
                8.. if rows < 4 => 8,
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
            let mut row = 0;
            while row < rows {
                let at = first + row;
                let left = if at < whole { whole.min(first + rows) - at } else { 1 };
                let shifted = shifted.get(row..).unwrap_or_default();
                row += match (some, left) {
                    (8, _) => self.block::<B, 1, 8>(b, at, panel, (whole, shifted)),
                    (4, 4..) => self.block::<B, 4, 4>(b, at, panel, (whole, shifted)),
                    (4, _) => self.block::<B, 1, 4>(b, at, panel, (whole, shifted)),
                    (2, ROWS..) => self.block::<B, ROWS, 2>(b, at, panel, (whole, shifted)),
                    (2, 4..) => self.block::<B, 4, 2>(b, at, panel, (whole, shifted)),
                    (2, _) => self.block::<B, 1, 2>(b, at, panel, (whole, shifted)),
                    (_, ROWS..) => self.block::<B, ROWS, 1>(b, at, panel, (whole, shifted)),
                    (_, 4..) => self.block::<B, 4, 1>(b, at, panel, (whole, shifted)),
                    _ => self.block::<B, 1, 1>(b, at, panel, (whole, shifted)),
                };
            }
            panel += some;
        }
    }

    /// The rows, from the first, of which all groups are inside the operand: what is behind a run meets weights of 0.
    #[inline(always)]
    fn read_whole(&self) -> usize {
        let at = &self.of.rows;
        let end = (at.runs().max(1) - 1) * at.stride() + at.run_len().next_multiple_of(GROUP);
        let inside = |rows: &usize| at.start(self.start + rows - 1) + end <= self.of.a.len();
        (1..=self.rows).rev().find(inside).unwrap_or(0)
    }

    /// `R` rows by `P` panels; the number of the rows, of which one alone may end inside a group.
    #[inline(always)]
    fn block<B: Bytes, const R: usize, const P: usize>(
        &mut self,
        b: B,
        row: usize,
        panel: usize,
        (whole, shifted): (usize, &[i32]),
    ) -> usize {
        let Operands { a, rows: at, w, .. } = *self.of;
        let (runs, stride, len) = (at.runs(), at.stride(), at.run_len());
        let of_run = len.div_ceil(GROUP);
        let starts: [usize; R] = at.starts(self.start + row);
        let mut acc = [[b.none(); P]; R];
        let groups = if R > 1 || row < whole { of_run } else { len / GROUP };
        let end = (runs.max(1) - 1) * stride + groups * GROUP;
        assert!(
            starts.iter().all(|start| start + end <= a.len()),
            "a product of bytes: rows behind their operand"
        );
        assert!((panel + P) * runs * of_run <= w.len(), "a product of bytes: too few weights");
        for run in 0..runs {
            let rows: [*const u8; R] = from_fn(|r| a.as_ptr().wrapping_add(starts[r] + run * stride));
            let panels: [&[[u32; LANES]]; P] =
                from_fn(|i| &w[((panel + i) * runs + run) * of_run..][..of_run]);
            for g in 0..groups {
                for (acc, row) in acc.iter_mut().zip(rows) {
                    // SAFETY: a run's groups end inside the operand, as was asserted for the last run of each row.
                    let a = u32::from_le(unsafe { row.add(g * GROUP).cast::<u32>().read_unaligned() });
                    for (acc, panel) in acc.iter_mut().zip(&panels) {
                        // SAFETY: there are at most as many whole groups as groups of weights.
                        *acc = b.add(*acc, a, unsafe { panel.get_unchecked(g) });
                    }
                }
            }
            if R == 1 && groups < of_run {
                let mut last = 0u32;
                let rest = &a[starts[0] + run * stride..][groups * GROUP..len];
                for (i, byte) in rest.iter().enumerate() {
                    last |= u32::from(*byte) << (8 * i);
                }
                for (acc, w) in acc[0].iter_mut().zip(&panels) {
                    *acc = b.add(*acc, last, &w[groups]);
                }
            }
        }
        let mut sums = [[[0i32; LANES]; P]; R];
        for (sums, acc) in sums.as_flattened_mut().iter_mut().zip(acc.as_flattened()) {
            b.simd().store_i32(b.sums(*acc), sums);
        }
        self.store(b.simd(), sums.as_flattened_mut(), P, row, panel, shifted);
        R
    }

    /// Stores what becomes of a block's sums.
    #[inline(always)]
    fn store<S: Simd>(
        &mut self,
        s: S,
        sums: &mut [[i32; LANES]],
        panels: usize,
        row: usize,
        panel: usize,
        shifted: &[i32],
    ) {
        let Operands { zero, sums: columns, n, ldc, .. } = *self.of;
        let c = &mut self.c[row * ldc * self.of.size()..];
        let (finish, first) = (self.of.finish.as_ref(), self.residual + row);
        s.outline(Block { sums, panels, panel, first, zero, columns, shifted, n, ldc, finish, c });
    }
}
