//! Many queries: keys and values are packed into the panels of a GEMM once a head, then blocks of queries take
//! two products with a softmax between them.

use super::{Heads, ROWS, softmax::softmax};
use crate::gemm::{NR, Product, packed_len};
use crate::simd::{LANES, Op, Simd};

pub(super) struct Blocks<'a>(pub(super) Heads<'a>);

impl Op for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let heads = self.0;
        let at = heads.at;
        let keys = heads.scratch;
        let values = keys.wrapping_add(packed_len(at.depth, at.keys));
        let scores = values.wrapping_add(packed_len(at.keys, at.width));
        let shared = at.heads / at.groups;
        for head in 0..at.batch * at.heads {
            let (b, h) = (head / at.heads, head % at.heads);
            let place = heads.head(b, h);
            // SAFETY: `Attention::run` checked all strides; the scratch has these three parts.
            unsafe {
                if h % shared == 0 {
                    let (from, to) = (place.k, keys);
                    s.outline(Pack { to, from, k: at.depth, n: at.keys, row: at.k[3], column: at.k[2] });
                    let (from, to) = (place.v, values);
                    s.outline(Pack { to, from, k: at.keys, n: at.width, row: at.v[2], column: at.v[3] });
                }
                for first in (0..at.queries).step_by(ROWS) {
                    let m = ROWS.min(at.queries - first);
                    let products = Product {
                        m,
                        k: at.depth,
                        // The last query sees most.
                        n: at.visible(first + m - 1),
                        a: place.q.wrapping_add(first * at.q[2]),
                        a_row: at.q[2],
                        a_step: at.q[3],
                        w: keys,
                        bias: core::ptr::null(),
                        c: scores,
                        ldc: at.row(),
                        from_c: false,
                    };
                    s.outline(products);
                    let mut sums = [0.0; ROWS];
                    for (i, sum) in sums.iter_mut().enumerate().take(m) {
                        let mask = place.mask.wrapping_add((first + i) * at.mask.unwrap_or([0; 4])[2]);
                        *sum = softmax(s, at, scores.add(i * at.row()), mask, at.visible(first + i));
                    }
                    let y = place.y.wrapping_add(first * at.y[2]);
                    s.outline(Product {
                        k: at.keys,
                        n: at.width,
                        a: scores,
                        a_row: at.row(),
                        a_step: 1,
                        w: values,
                        c: y,
                        ldc: at.y[2],
                        ..products
                    });
                    for (i, &sum) in sums.iter().enumerate().take(m) {
                        divide(s, y.wrapping_add(i * at.y[2]), at.width, sum, at.keys == 0);
                    }
                }
            }
        }
    }
}

/// Divides a row of sums by that of the softmax; no keys leave zeros.
/// # Safety
/// `y` must be valid for `n` floats.
#[inline(always)]
unsafe fn divide<S: Simd>(s: S, y: *mut f32, n: usize, sum: f32, no_keys: bool) {
    if no_keys {
        return;
    }
    let sum = s.splat(sum);
    for i in (0..n).step_by(LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            if n - i >= LANES {
                s.store_ptr(s.div(s.load_ptr(y.add(i)), sum), y.add(i));
            } else {
                let lanes = s.mask_first(n - i);
                let x = s.load_masked_ptr(y.add(i), lanes, s.zero());
                s.store_masked_ptr(s.div(x, sum), y.add(i), lanes);
            }
        }
    }
}

/// Packs a `[k, n]` matrix at strides into panels of 16 columns.
struct Pack {
    to: *mut f32,
    from: *const f32,
    k: usize,
    n: usize,
    /// Floats from a row (a step of k) to the next.
    row: usize,
    /// Floats from a column to the next.
    column: usize,
}

impl Op for Pack {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pack { k, row, column, .. } = self;
        for first in (0..self.n).step_by(NR) {
            let n = NR.min(self.n - first);
            let (from, to) = (self.from.wrapping_add(first * column), self.to.wrapping_add(first * k));
            let columns = s.mask_first(n);
            // SAFETY: whoever made this promised that the matrix exists and `to` has room for its panels.
            unsafe {
                if column == 1 {
                    for p in 0..k {
                        let x = s.load_masked_ptr(from.add(p * row), columns, s.zero());
                        s.store_ptr(x, to.add(p * NR));
                    }
                } else if row == 1 {
                    for p in (0..k).step_by(NR) {
                        let steps = s.mask_first(k - p);
                        let mut block = [s.zero(); NR];
                        for (j, x) in block.iter_mut().enumerate().take(n) {
                            *x = s.load_masked_ptr(from.add(j * column + p), steps, s.zero());
                        }
                        s.transpose(&mut block);
                        for (i, x) in block.into_iter().enumerate().take(k - p) {
                            s.store_ptr(x, to.add((p + i) * NR));
                        }
                    }
                } else {
                    for p in 0..k {
                        for j in 0..NR {
                            *to.add(p * NR + j) = if j < n { *from.add(p * row + j * column) } else { 0.0 };
                        }
                    }
                }
            }
        }
    }
}
