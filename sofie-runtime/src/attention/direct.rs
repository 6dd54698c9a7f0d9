//! Few queries: packing would cost more than the products, so keys are multiplied sixteen rows at a time and
//! values row by row, where they lie.

use super::{Part, softmax::softmax};
use crate::simd::{LANES, Op, Simd};

pub(super) struct Direct<'a>(pub(super) Part<'a>);

impl Op for Direct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part { heads, units, scratch } = self.0;
        let at = heads.at;
        for head in units {
            let place = heads.head(head / at.heads, head % at.heads);
            for i in 0..at.queries {
                let n = at.visible(i);
                let q = place.q.wrapping_add(i * at.q[2]);
                let mask = place.mask.wrapping_add(i * at.mask.unwrap_or([0; 4])[2]);
                let y = place.y.wrapping_add(i * at.y[2]);
                // SAFETY: `Attention::run` checked all strides; the scratch is a row of scores.
                unsafe {
                    for first in (0..n).step_by(LANES) {
                        let rows = LANES.min(n - first);
                        let k = place.k.wrapping_add(first * at.k[2]);
                        let dots = products(s, q, k, at.k[2], rows, at.depth);
                        s.store_ptr(dots, scratch.add(first));
                    }
                    let sum = softmax(s, at, scratch, mask, n);
                    let nothing = at.guarded && (sum.is_nan() || sum == 0.0);
                    let (n, sum) = if at.keys == 0 || nothing { (0, 1.0) } else { (n, sum) };
                    weighted(s, y, scratch, place.v, at.v[2], n, at.width, sum);
                }
            }
        }
    }
}

/// `q` times each of `rows` (16 at most) keys, in the lanes.
/// # Safety
/// `q` must be valid for `depth` floats, `k` for `rows` such rows `stride` apart.
#[inline(always)]
unsafe fn products<S: Simd>(
    s: S,
    q: *const f32,
    k: *const f32,
    stride: usize,
    rows: usize,
    depth: usize,
) -> S::F32 {
    let mut dots = [s.zero(); LANES];
    for d in (0..depth).step_by(LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            if depth - d >= LANES {
                let q = s.load_ptr(q.add(d));
                for (j, dot) in dots.iter_mut().enumerate() {
                    // Rows that are not there are read as the last one; their lanes are never seen.
                    *dot = s.mul_add(q, s.load_ptr(k.add(j.min(rows - 1) * stride + d)), *dot);
                }
            } else {
                let lanes = s.mask_first(depth - d);
                let q = s.load_masked_ptr(q.add(d), lanes, s.zero());
                for (j, dot) in dots.iter_mut().enumerate() {
                    let k = s.load_masked_ptr(k.add(j.min(rows - 1) * stride + d), lanes, s.zero());
                    *dot = s.mul_add(q, k, *dot);
                }
            }
        }
    }
    // The tree of the reductions, for all sixteen at once.
    s.transpose(&mut dots);
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            dots[j] = s.add(dots[j], dots[j + half]);
        }
        half /= 2;
    }
    dots[0]
}

/// `y = Σ p_j · v_j / sum` over `n` rows of v.
/// # Safety
/// `y` must be valid for `width` floats, `p` for `n`, `v` for `n` rows of `width` floats `stride` apart.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a product has these operands")]
unsafe fn weighted<S: Simd>(
    s: S,
    y: *mut f32,
    p: *const f32,
    v: *const f32,
    stride: usize,
    n: usize,
    width: usize,
    sum: f32,
) {
    let sum = s.splat(sum);
    // Four vectors at a time: as many chains as a core needs to be busy.
    let mut first = 0;
    while first < width {
        // SAFETY: the caller's promise.
        unsafe {
            if width - first >= 4 * LANES {
                let mut acc = [s.zero(); 4];
                for j in 0..n {
                    let (p, v) = (s.splat(*p.add(j)), v.add(j * stride + first));
                    for (i, acc) in acc.iter_mut().enumerate() {
                        *acc = s.mul_add(p, s.load_ptr(v.add(i * LANES)), *acc);
                    }
                }
                for (i, &acc) in acc.iter().enumerate() {
                    s.store_ptr(s.div(acc, sum), y.add(first + i * LANES));
                }
                first += 4 * LANES;
            } else {
                let lanes = s.mask_first(width - first);
                let mut acc = s.zero();
                for j in 0..n {
                    let v = s.load_masked_ptr(v.add(j * stride + first), lanes, s.zero());
                    acc = s.mul_add(s.splat(*p.add(j)), v, acc);
                }
                s.store_first_ptr(s.div(acc, sum), y.add(first), width - first);
                first += LANES;
            }
        }
    }
}
