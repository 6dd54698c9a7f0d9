//! Layer and root-mean-square normalisation of one row: the mean first, then the squares of what is left, as the
//! one-pass formula loses digits where the mean is large.

use super::{load, store, vectors};
use crate::simd::{LANES, Simd};

/// Sums of a row that run side by side, so that one addition need not wait for the other: vector `i` goes to sum
/// `i % SUMS`, what is left over at the end to the first.
const SUMS: usize = 4;

/// Runs `$body` for each vector of a row of `$n` with its position, its mask and the sum that it goes to.
macro_rules! summed {
    ($s:expr, $n:expr, |$i:ident, $mask:ident, $sum:ident of $sums:ident| $body:expr) => {{
        let mut at = 0;
        while at + SUMS * LANES <= $n {
            for (j, $sum) in $sums.iter_mut().enumerate() {
                let ($i, $mask) = (at + j * LANES, None::<S::Mask>);
                $body;
            }
            at += SUMS * LANES;
        }
        let $sum = &mut $sums[0];
        let left = $n - at;
        vectors!($s, left, |j, $mask| {
            let $i = at + j;
            $body
        });
    }};
}

/// # Safety
/// `y` and `x` hold `n` floats and may be the same; `scale` and `bias` hold `n` or are null.
#[inline(always)]
pub(super) unsafe fn layer_norm<S: Simd>(
    s: S,
    n: usize,
    epsilon: f32,
    y: *mut f32,
    x: *const f32,
    scale: *const f32,
    bias: *const f32,
) {
    let zero = s.zero();
    // SAFETY: positions are below `n`, tails are masked.
    unsafe {
        let mut sums = [zero; SUMS];
        summed!(s, n, |i, mask, sum of sums| *sum = s.add(*sum, load(s, x.add(i), mask, zero)));
        let mean = s.splat(total(s, sums) / n as f32);
        let mut sums = [zero; SUMS];
        summed!(s, n, |i, mask, sum of sums| {
            // Lanes behind the row read the mean, and add nothing (NaN where it is NaN anyway).
            let d = s.sub(load(s, x.add(i), mask, mean), mean);
            *sum = s.mul_add(d, d, *sum);
        });
        let variance = s.splat(total(s, sums) / n as f32 + epsilon);
        let factor = s.div(s.splat(1.0), s.sqrt(variance));
        vectors!(s, n, |i, mask| {
            let d = s.mul(s.sub(load(s, x.add(i), mask, zero), mean), factor);
            store(s, affine(s, d, i, mask, scale, bias), y.add(i), mask);
        });
    }
}

/// # Safety
/// As [`layer_norm`].
#[inline(always)]
pub(super) unsafe fn rms_norm<S: Simd>(
    s: S,
    n: usize,
    epsilon: f32,
    y: *mut f32,
    x: *const f32,
    scale: *const f32,
    bias: *const f32,
) {
    let zero = s.zero();
    // SAFETY: positions are below `n`, tails are masked.
    unsafe {
        let mut sums = [zero; SUMS];
        summed!(s, n, |i, mask, sum of sums| {
            let v = load(s, x.add(i), mask, zero);
            *sum = s.mul_add(v, v, *sum);
        });
        let mean = s.splat(total(s, sums) / n as f32 + epsilon);
        let factor = s.div(s.splat(1.0), s.sqrt(mean));
        vectors!(s, n, |i, mask| {
            let v = s.mul(load(s, x.add(i), mask, zero), factor);
            store(s, affine(s, v, i, mask, scale, bias), y.add(i), mask);
        });
    }
}

/// All lanes of all sums.
#[inline(always)]
fn total<S: Simd>(s: S, [a, b, c, d]: [S::F32; SUMS]) -> f32 {
    s.reduce_add(s.add(s.add(a, b), s.add(c, d)))
}

/// `v · scale + bias` with what is there of both.
///
/// # Safety
/// `scale` and `bias` hold the row's floats or are null.
#[inline(always)]
unsafe fn affine<S: Simd>(
    s: S,
    v: S::F32,
    i: usize,
    mask: Option<S::Mask>,
    scale: *const f32,
    bias: *const f32,
) -> S::F32 {
    // SAFETY: the caller's promise.
    unsafe {
        match (scale.is_null(), bias.is_null()) {
            (true, true) => v,
            (false, true) => s.mul(v, load(s, scale.add(i), mask, s.zero())),
            (true, false) => s.add(v, load(s, bias.add(i), mask, s.zero())),
            (false, false) => {
                s.mul_add(v, load(s, scale.add(i), mask, s.zero()), load(s, bias.add(i), mask, s.zero()))
            }
        }
    }
}
