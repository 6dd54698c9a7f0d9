//! Layer and root-mean-square normalisation of one row: the mean first, then the squares of what is left, as the
//! one-pass formula loses digits where the mean is large.

use super::{load, store, vectors};
use crate::simd::Simd;

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
        let mut sum = zero;
        vectors(s, n, |i, mask| sum = s.add(sum, load(s, x.add(i), mask, zero)));
        let mean = s.splat(s.reduce_add(sum) / n as f32);
        let mut squares = zero;
        vectors(s, n, |i, mask| {
            let d = s.sub(load(s, x.add(i), mask, mean), mean);
            squares = match mask {
                None => s.mul_add(d, d, squares),
                Some(m) => s.select(m, s.mul_add(d, d, squares), squares),
            };
        });
        let variance = s.splat(s.reduce_add(squares) / n as f32 + epsilon);
        let factor = s.div(s.splat(1.0), s.sqrt(variance));
        vectors(s, n, |i, mask| {
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
        let mut squares = zero;
        vectors(s, n, |i, mask| {
            let v = load(s, x.add(i), mask, zero);
            squares = s.mul_add(v, v, squares);
        });
        let mean = s.splat(s.reduce_add(squares) / n as f32 + epsilon);
        let factor = s.div(s.splat(1.0), s.sqrt(mean));
        vectors(s, n, |i, mask| {
            let v = s.mul(load(s, x.add(i), mask, zero), factor);
            store(s, affine(s, v, i, mask, scale, bias), y.add(i), mask);
        });
    }
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
