//! A few columns against many rows: the roles of lanes and rows exchanged.
//!
//! A panel of which one column exists wastes 15 of 16 lanes. Here a lane is a row: blocks of 16 × 8 of A are
//! transposed in registers and each of their columns meets a weight that is the same in all lanes. The chains
//! are the same, in the order of k, so are the bits. Edge and point classifiers (64 → 1 for thousands of
//! edges) end in this shape, and the last columns of widths such as 50 or 20 take it too.

use super::drive::{Problem, Strided};
use super::finish::Finish;
use super::pack::NR;
use super::tile;
use crate::simd::{Level, Op, Simd, halves_are_faster};

/// Steps of k that are transposed at once.
const COLUMNS: usize = 8;

/// How many columns of the last panel of the product should be done here, 0 where none should.
///
/// Eight steps of k cost 48 instructions and 8 a column, in a panel 128 beside what other panels share with it. More than four
/// columns have registers in AVX-512 alone, and there a panel of their own may take [half the
/// time](crate::simd::halves_are_faster).
#[inline(always)]
pub(super) fn columns(level: Level, m: usize, n: usize, k: usize) -> usize {
    let alone = n <= 8 && matches!(level, Level::Avx512) && !halves_are_faster(level);
    let last = n % NR;
    if m >= NR && k >= COLUMNS && (last <= 4 || alone) { last } else { 0 }
}

/// The columns of the last panel, `N` of them, of a checked product.
pub(super) struct Narrow<'a, const N: usize> {
    pub problem: &'a Problem,
    pub a: &'a Strided,
}

impl<const N: usize> Op for Narrow<'_, N> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (p, a) = (self.problem, self.a);
        let first = p.n - N;
        let mut row = 0;
        while row < p.m {
            let rows = (p.m - row).min(NR);
            // SAFETY: `Problem::new` checked B and C, `Gemm::run` checked A; `row + rows` is at most m, and
            // rows past the last one read the last one again.
            unsafe {
                let mut acc = [[s.zero(); N]; 1];
                for (j, acc) in acc[0].iter_mut().enumerate() {
                    if p.from_c {
                        *acc = column(s, p.c.add(row * p.ldc + first + j), p.ldc, rows);
                    } else if !p.bias.is_null() {
                        *acc = s.splat(*p.bias.add(first + j));
                    }
                }
                let mut w = p.w.add(first * p.k);
                let mut rows_at = [a.a.add(row * a.row); NR];
                for (r, at) in rows_at.iter_mut().enumerate() {
                    *at = at.add(r.min(rows - 1) * a.row);
                }
                for _ in 0..p.k / COLUMNS {
                    for x in s.load_columns(&rows_at) {
                        step(s, &mut acc[0], x, w);
                        w = w.add(NR);
                    }
                    for at in &mut rows_at {
                        *at = at.add(COLUMNS);
                    }
                }
                let left = p.k % COLUMNS;
                if left != 0 {
                    for at in &mut rows_at {
                        *at = at.sub(COLUMNS - left);
                    }
                    for (i, x) in s.load_columns(&rows_at).into_iter().enumerate() {
                        if i >= COLUMNS - left {
                            step(s, &mut acc[0], x, w);
                            w = w.add(NR);
                        }
                    }
                }
                if !p.residual.is_null() {
                    let mut from = [p.residual; NR];
                    for (r, from) in from.iter_mut().enumerate().take(rows) {
                        *from = p.residual_of(row + r).0.add(first);
                    }
                    for (j, acc) in acc[0].iter_mut().enumerate() {
                        let mut x = [0.0; NR];
                        for (x, from) in x.iter_mut().zip(&from).take(rows) {
                            *x = *from.add(j);
                        }
                        *acc = s.add(*acc, s.load(&x));
                    }
                }
                tile::activate(s, &mut acc, p.in_tile());
                if let Some((alpha, act)) = p.later() {
                    let mut sums = [[0.0; NR]; N];
                    for (sums, acc) in sums.iter_mut().zip(acc[0]) {
                        s.store(acc, sums);
                    }
                    let c = sums.as_mut_ptr().cast();
                    s.outline(Finish { c, ldc: NR, rows: N, columns: NR, alpha, act });
                    for (acc, sums) in acc[0].iter_mut().zip(&sums) {
                        *acc = s.load(sums);
                    }
                }
                let c = p.c.add(row * p.ldc + first);
                if p.ldc == 1 {
                    s.store_first_ptr(acc[0][0], c, rows);
                } else {
                    for (i, some) in acc[0].chunks(4).enumerate() {
                        store(s, some, c.add(4 * i), p.ldc, rows);
                    }
                }
            }
            row += rows;
        }
    }
}

/// One step of k in `N` columns.
#[inline(always)]
unsafe fn step<S: Simd, const N: usize>(s: S, acc: &mut [S::F32; N], x: S::F32, w: *const f32) {
    for (j, acc) in acc.iter_mut().enumerate() {
        // SAFETY: the caller's promise: the panel has this step.
        *acc = s.mul_add(x, s.splat(unsafe { *w.add(j) }), *acc);
    }
}

/// Up to four columns of `rows` rows of C.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, columns: &[S::F32], c: *mut f32, ldc: usize, rows: usize) {
    let mut quads = [s.zero(); 4];
    for (quad, column) in quads.iter_mut().zip(columns) {
        *quad = *column;
    }
    let mut sums = [[0.0; NR]; 4];
    for (sums, quad) in sums.iter_mut().zip(s.transpose_quads(quads)) {
        s.store(quad, sums);
    }
    for r in 0..rows {
        let from = sums[r % 4][r / 4 * 4..].as_ptr();
        // SAFETY: the caller's promise: so many rows and columns exist.
        unsafe { core::ptr::copy_nonoverlapping(from, c.add(r * ldc), columns.len()) };
    }
}

/// `rows` floats, `stride` apart, in the first lanes.
#[inline(always)]
unsafe fn column<S: Simd>(s: S, from: *const f32, stride: usize, rows: usize) -> S::F32 {
    let mut x = [0.0; NR];
    for (r, x) in x.iter_mut().enumerate().take(rows) {
        // SAFETY: the caller's promise: so many elements exist.
        *x = unsafe { *from.add(r * stride) };
    }
    s.load(&x)
}
