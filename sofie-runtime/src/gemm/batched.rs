//! Products of which neither side is known ahead of time: attention scores and values, batched `MatMul`.
//!
//! A is read where it lies, at any strides. A block of B is packed into panels in scratch and meets the tiles of the
//! packed product; where few rows would share the packing, B's rows are read where they lie, if they are contiguous,
//! else a panel at a time is packed.

use core::ops::Range;

use super::drive::{Events, Lines, Problem, Strided};
use super::finish::Finish;
use super::pack::{NR, PackPanels, packed_len};
use super::{StridedProduct, drive};
use crate::Act;
use crate::parallel::{self, share, with_scratch};
use crate::simd::{Level, Op, Simd, dispatch};

/// `C = act(alpha * A B)` for every index of a batch.
///
/// Element `(i, p)` of A is at `i * a_row + p * a_column` from the batch item's start, element `(p, j)` of B at
/// `p * b_row + j * b_column`, element `(i, j)` of C at `i * c_row + j`. The batch item's start is the sum of
/// its indices times `a_batch`, `b_batch`, `c_batch`; a stride of 0 broadcasts. All strides count floats.
/// Only the first `batch_rank` entries of the batch arrays count.
///
/// Each output is one chain of fused multiply-adds in the order of k, from 0, then times `alpha` (if it is not
/// 1), then through the activation.
///
/// ```
/// use sofie_infer_runtime::{Act, gemm::BatchedGemm};
/// // Scores of 2 queries against 3 keys of 2 dimensions: Q Kᵀ / 2, both row-major.
/// let scores = BatchedGemm {
///     batch: [1, 0, 0, 0, 0, 0], batch_rank: 1, a_batch: [4, 0, 0, 0, 0, 0], b_batch: [6, 0, 0, 0, 0, 0],
///     c_batch: [6, 0, 0, 0, 0, 0], m: 2, k: 2, n: 3, a_row: 2, a_column: 1, b_row: 1, b_column: 2, c_row: 3,
///     alpha: 0.5, act: Act::None,
/// };
/// let (mut c, mut scratch) = ([0.0; 6], vec![0.0; scores.scratch()]);
/// scores.run(&mut c, &[1.0, 0.0, 0.0, 1.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut scratch);
/// assert_eq!(c, [0.5, 1.5, 2.5, 1.0, 2.0, 3.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchedGemm {
    /// Extents of the batch.
    pub batch: [usize; 6],
    /// How many of them count.
    pub batch_rank: usize,
    /// Strides of A along the batch.
    pub a_batch: [usize; 6],
    /// Strides of B along the batch.
    pub b_batch: [usize; 6],
    /// Strides of C along the batch.
    pub c_batch: [usize; 6],
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
    /// From a row of A to the next.
    pub a_row: usize,
    /// From a column of A to the next.
    pub a_column: usize,
    /// From a row of B to the next.
    pub b_row: usize,
    /// From a column of B to the next.
    pub b_column: usize,
    /// From a row of C to the next; its columns are contiguous.
    pub c_row: usize,
    /// Multiplies the sums.
    pub alpha: f32,
    /// Applied before the sums are stored.
    pub act: Act,
}

impl BatchedGemm {
    /// Floats of scratch that [`BatchedGemm::run`] needs.
    #[must_use]
    pub const fn scratch(&self) -> usize {
        if !self.has_few_rows() {
            packed_len(self.k, self.block())
        } else if self.b_column == 1 {
            0
        } else {
            self.k * NR
        }
    }

    /// Floats of scratch that suffice for all extents from those of `least` to these: blocks are chosen by the extents, so
    /// that smaller ones may need more.
    #[must_use]
    pub fn scratch_within(&self, least: &BatchedGemm) -> usize {
        let at = |k: usize| {
            let many = BatchedGemm { k, m: self.m.max(FEW_ROWS + 1), ..self.clone() };
            let few = BatchedGemm { m: least.m, b_column: 2, ..many.clone() };
            many.scratch().max(few.scratch())
        };
        (least.k..=self.k).map(at).max().unwrap_or(0)
    }

    /// Whether B is multiplied where it lies: one tile's rows are too few to pay for packing it.
    const fn has_few_rows(&self) -> bool {
        self.m <= FEW_ROWS
    }

    /// Columns of B that are packed at a time.
    const fn block(&self) -> usize {
        let block = drive::columns_of_block(self.k);
        if self.n < block { self.n } else { block }
    }

    /// Runs the products.
    ///
    /// # Panics
    /// When a slice is too short for the extents and strides, or the scratch for [`BatchedGemm::scratch`].
    pub fn run(&self, c: &mut [f32], a: &[f32], b: &[f32], scratch: &mut [f32]) {
        assert!(self.batch_rank <= self.batch.len(), "the batch has at most 6 axes: {self:?}");
        let fits = |len: usize, batch: &[usize; 6], matrix: [(usize, usize); 2]| {
            let mut last = 0usize;
            for (n, stride) in self.batch.iter().copied().zip(*batch).take(self.batch_rank).chain(matrix) {
                if n == 0 {
                    return true;
                }
                last = last.saturating_add((n - 1).saturating_mul(stride));
            }
            last < len
        };
        let (m, k, n) = (self.m, self.k, self.n);
        assert!(fits(c.len(), &self.c_batch, [(m, self.c_row), (n, 1)]), "C is too short for {self:?}");
        assert!(
            fits(a.len(), &self.a_batch, [(m, self.a_row), (k, self.a_column)]),
            "A is too short: {self:?}"
        );
        assert!(
            fits(b.len(), &self.b_batch, [(k, self.b_row), (n, self.b_column)]),
            "B is too short: {self:?}"
        );
        assert!(scratch.len() >= self.scratch(), "the scratch is too short for {self:?}");
        if m == 0 || n == 0 || self.batch[..self.batch_rank].contains(&0) {
            return;
        }
        let items: usize = self.batch[..self.batch_rank].iter().product();
        let operations = 2usize.saturating_mul(items).saturating_mul(m).saturating_mul(n).saturating_mul(k);
        let batch = Batch { g: self, c: c.as_mut_ptr(), a: a.as_ptr(), b: b.as_ptr() };
        // Items that are many are shared out, else rows of each.
        let most = (m / ROWS).max(1);
        let parts = parallel::parts(operations, items.saturating_mul(most));
        if parts == 1 {
            return dispatch(Part {
                batch: &batch,
                items: 0..items,
                rows: 0..m,
                scratch: scratch.as_mut_ptr(),
            });
        }
        let across = items.min(parts);
        let down = (parts / across).clamp(1, most);
        parallel::for_each(across * down, |i| {
            let (items, rows) = (share(items, 1, across, i / down), share(m, 12, down, i % down));
            with_scratch(self.scratch(), |scratch| {
                let scratch = scratch.as_mut_ptr();
                dispatch(Part { batch: &batch, items: items.clone(), rows: rows.clone(), scratch });
            });
        });
    }
}

/// Rows of A that do without packed blocks of B.
const FEW_ROWS: usize = 8;

/// Rows of a part at least, since each packs B for itself.
const ROWS: usize = 96;

/// Checked operands.
struct Batch<'a> {
    g: &'a BatchedGemm,
    c: *mut f32,
    a: *const f32,
    b: *const f32,
}

// SAFETY: the pointers are those of checked slices that are borrowed while the parts run, and no two parts write the
// same rows of the same item.
unsafe impl Sync for Batch<'_> {}

/// Some rows of some items, with scratch of their own.
struct Part<'a> {
    batch: &'a Batch<'a>,
    items: Range<usize>,
    rows: Range<usize>,
    scratch: *mut f32,
}

impl Op for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let g = self.batch.g;
        let few_rows = g.has_few_rows();
        let mut at = [0usize; 6];
        let mut rest = self.items.start;
        for axis in (0..g.batch_rank).rev() {
            if rest == 0 {
                break;
            }
            (at[axis], rest) = (rest % g.batch[axis], rest / g.batch[axis]);
        }
        let mut left = self.items.len();
        // The columns of B that the scratch holds: their first element, and how many.
        let mut packed = (core::ptr::null(), 0);
        while left != 0 {
            left -= 1;
            let Batch { mut a, mut b, mut c, .. } = *self.batch;
            a = a.wrapping_add(self.rows.start * g.a_row);
            c = c.wrapping_add(self.rows.start * g.c_row);
            for (axis, &i) in at.iter().enumerate().take(g.batch_rank) {
                a = a.wrapping_add(i * g.a_batch[axis]);
                b = b.wrapping_add(i * g.b_batch[axis]);
                c = c.wrapping_add(i * g.c_batch[axis]);
            }
            // SAFETY: `BatchedGemm::run` checked the whole walk; C is borrowed mutably, so nothing overlaps it.
            unsafe {
                if few_rows {
                    few(s, g, c, a, b, self.scratch);
                } else {
                    self.matrix(s, c, a, b, &mut packed);
                }
            }
            let mut axis = g.batch_rank;
            while axis != 0 {
                axis -= 1;
                at[axis] += 1;
                if at[axis] < g.batch[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
    }
}

impl Part<'_> {
    /// One product of the batch, over packed columns.
    ///
    /// # Safety
    /// The pointers lead to the matrices that the descriptor says, `scratch` to [`BatchedGemm::scratch`] floats.
    #[inline(always)]
    unsafe fn matrix<S: Simd>(
        &self,
        s: S,
        c: *mut f32,
        a: *const f32,
        b: *const f32,
        packed: &mut (*const f32, usize),
    ) {
        let g = self.batch.g;
        let block = g.block();
        let mut column = 0;
        while column < g.n {
            let n = block.min(g.n - column);
            let from = b.wrapping_add(column * g.b_column);
            if *packed != (from, n) {
                let (row, column) = (g.b_row, g.b_column);
                s.outline(PackPanels { to: self.scratch, from, k: g.k, n, row, column });
                *packed = (from, n);
            }
            let problem = Problem {
                m: self.rows.len(),
                k: g.k,
                n,
                ldc: g.c_row,
                c_panel: NR,
                ldr: 0,
                events: Events::NONE,
                lines: Lines::ONE,
                alpha: g.alpha,
                act: g.act,
                from_c: false,
                c: c.wrapping_add(column),
                w: self.scratch,
                bias: core::ptr::null(),
                residual: core::ptr::null(),
            };
            let a = Strided { a, row: g.a_row, step: g.a_column };
            s.outline(StridedProduct { problem: &problem, a });
            column += n;
        }
    }
}

/// One product of few rows.
///
/// # Safety
/// The pointers lead to the matrices that the descriptor says, `scratch` to [`BatchedGemm::scratch`] floats.
#[inline(always)]
unsafe fn few<S: Simd>(s: S, g: &BatchedGemm, c: *mut f32, a: *const f32, b: *const f32, scratch: *mut f32) {
    // Eight rows of halves or quarters are more than the registers of other instruction sets.
    let holds_eight = matches!(S::LEVEL, Level::Avx512);
    let mut column = 0;
    while column < g.n {
        let left = g.n - column;
        // Rows that share a vector of B; few of them take several vectors, so that enough chains run at once.
        let wide = if g.m == 1 && left >= 4 * NR && g.b_column == 1 { 4 } else { 1 };
        let mut row = 0;
        // SAFETY: rows and columns are inside the matrices; the panel has `k` rows of 16.
        unsafe {
            let mut b = (b.add(column * g.b_column), g.b_row);
            if g.b_column != 1 {
                let (n, row, column) = (left.min(NR), g.b_row, g.b_column);
                PackPanels { to: scratch, from: b.0, k: g.k, n, row, column }.run(s);
                b = (scratch.cast_const(), NR);
            }
            while row < g.m {
                let (c, a) = (c.add(row * g.c_row + column), a.add(row * g.a_row));
                row += match (g.m - row, wide) {
                    (8.., _) if holds_eight => tile::<S, 8, 1>(s, g, c, a, b, left),
                    (4.., _) => tile::<S, 4, 1>(s, g, c, a, b, left),
                    (2.., _) => tile::<S, 2, 1>(s, g, c, a, b, left),
                    (_, 4) => tile::<S, 1, 4>(s, g, c, a, b, left),
                    _ => tile::<S, 1, 1>(s, g, c, a, b, left),
                };
            }
        }
        column += wide * NR;
    }
    if g.alpha != 1.0 || g.act != Act::None {
        s.outline(Finish { c, ldc: g.c_row, rows: g.m, columns: g.n, alpha: g.alpha, act: g.act });
    }
}

/// `R` rows against `P` vectors of columns, the last of which may go past the `left` columns; gives `R`.
///
/// # Safety
/// `R` rows of A and C and `k` rows of B are there.
#[inline(always)]
unsafe fn tile<S: Simd, const R: usize, const P: usize>(
    s: S,
    g: &BatchedGemm,
    c: *mut f32,
    a: *const f32,
    (b, ldb): (*const f32, usize),
    left: usize,
) -> usize {
    let (zero, whole, edge) = (s.zero(), left >= P * NR, s.mask_first(left.wrapping_sub((P - 1) * NR)));
    let mut acc = [[zero; P]; R];
    // SAFETY: the caller's promise; columns past the last are masked.
    unsafe {
        for p in 0..g.k {
            let row = b.add(p * ldb);
            let mut y = [zero; P];
            for (q, y) in y.iter_mut().enumerate() {
                *y = if whole || q + 1 < P {
                    s.load_ptr(row.add(q * NR))
                } else {
                    s.load_masked_ptr(row.add(q * NR), edge, zero)
                };
            }
            for (r, acc) in acc.iter_mut().enumerate() {
                let x = s.splat(*a.add(r * g.a_row + p * g.a_column));
                for (acc, y) in acc.iter_mut().zip(y) {
                    *acc = s.mul_add(x, y, *acc);
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            for (q, acc) in acc.iter().enumerate() {
                let to = c.add(r * g.c_row + q * NR);
                if whole || q + 1 < P {
                    s.store_ptr(*acc, to)
                } else {
                    s.store_first_ptr(*acc, to, left - q * NR)
                }
            }
        }
    }
    R
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::for_each_level;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn products_agree_with_plain_loops() {
        for (m, k, n) in [(1, 1, 1), (3, 5, 2), (8, 16, 16), (9, 7, 17), (13, 0, 5), (0, 3, 4), (20, 33, 40)]
            .into_iter()
            .chain([(1, 20, 70), (3, 9, 80), (30, 700, 131), (17, 20, 3)])
        {
            for transposed in [false, true] {
                let (b_row, b_column) = if transposed { (1, k) } else { (n, 1) };
                let g = BatchedGemm {
                    batch: [2, 3, 0, 0, 0, 0],
                    batch_rank: 2,
                    a_batch: [3 * m * k, m * k, 0, 0, 0, 0],
                    b_batch: [0, k * n, 0, 0, 0, 0],
                    c_batch: [3 * m * n, m * n, 0, 0, 0, 0],
                    m,
                    k,
                    n,
                    a_row: k,
                    a_column: 1,
                    b_row,
                    b_column,
                    c_row: n,
                    alpha: 0.5,
                    act: Act::Relu,
                };
                let a: Vec<f32> = (0..6 * m * k).map(|i| (i * 37 % 41) as f32 / 9.0 - 2.0).collect();
                let b: Vec<f32> = (0..3 * k * n).map(|i| (i * 29 % 43) as f32 / 7.0 - 3.0).collect();
                let mut want = vec![0.0f32; 6 * m * n];
                for (item, want) in want.chunks_mut((m * n).max(1)).enumerate() {
                    for (i, want) in want.iter_mut().enumerate() {
                        let (row, column) = (i / n, i % n);
                        let chain = |sum: f32, p: usize| {
                            let b = b[item % 3 * k * n + p * b_row + column * b_column];
                            libm::fmaf(a[item * m * k + row * k + p], b, sum)
                        };
                        *want = ((0..k).fold(0.0, chain) * 0.5).max(0.0);
                    }
                }
                for_each_level(|level| {
                    let (mut c, mut scratch) = (vec![f32::NAN; 6 * m * n], vec![0.0; g.scratch()]);
                    g.run(&mut c, &a, &b, &mut scratch);
                    assert_eq!(c, want, "{m}x{k}x{n} transposed {transposed} at {}", level.name());
                });
            }
        }
    }
}
