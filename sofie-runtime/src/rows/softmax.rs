//! Softmax and its logarithm over one row. NaN needs no care: `x - max` carries it into every element through
//! the sum, and a row of minus infinities gives `-inf - -inf`.

use super::{Tail, load, store, vectors};
use crate::math;
use crate::simd::{LANES, Simd};

/// # Safety
/// `y` and `x` hold `n` floats; they may be the same.
#[inline(always)]
pub(super) unsafe fn softmax<S: Simd>(s: S, n: usize, y: *mut f32, x: *const f32) {
    let lowest = s.splat(f32::NEG_INFINITY);
    // SAFETY: positions are below `n`, tails are masked.
    unsafe {
        if n <= LANES {
            let mask = s.mask_first(n);
            let v = s.load_masked_ptr(x, mask, lowest);
            let e = math::exp_of_negative(s, s.sub(v, s.splat(s.reduce_max_raw(v))));
            let e = s.select(mask, e, s.zero());
            let scale = s.splat(1.0 / s.reduce_add(e));
            s.store_first_ptr(s.mul(e, scale), y, n);
            return;
        }
        let max = s.splat(row_max(s, n, x));
        let mut sum = s.zero();
        vectors!(s, n, |i, tail| {
            let e = math::exp_of_negative(s, s.sub(load(s, x.add(i), tail, lowest), max));
            sum = match tail {
                None => s.add(sum, e),
                Some(tail) => s.select(tail.mask, s.add(sum, e), sum),
            };
            store(s, e, y.add(i), tail);
        });
        let scale = s.splat(1.0 / s.reduce_add(sum));
        vectors!(s, n, |i, tail| {
            store(s, s.mul(load(s, y.add(i), tail, s.zero()), scale), y.add(i), tail);
        });
    }
}

/// 16 rows of at most 16 elements at once: a lane is a row. Row by row, each load would wait for the masked store of the
/// row before it, which covers the same memory (measured: 1,920 rows of 8 took 75 µs, so 10). The sums are those of the
/// same tree, so are the bits.
///
/// # Safety
/// 16 rows of `n <= 16` floats stand at `y` and `x`, which may be the same.
#[inline(always)]
pub(super) unsafe fn softmax_short<S: Simd>(
    s: S,
    n: usize,
    y: *mut f32,
    ldy: usize,
    x: *const f32,
    ldx: usize,
) {
    let (mask, lowest) = (s.mask_first(n), s.splat(f32::NEG_INFINITY));
    let mut v = [lowest; LANES];
    // SAFETY: the caller's promise.
    unsafe {
        for (r, v) in v.iter_mut().enumerate() {
            *v = s.load_masked_ptr(x.add(r * ldx), mask, lowest);
        }
        s.transpose(&mut v);
        let mut max = v[0];
        for v in &v[1..n] {
            max = s.max_raw(max, *v);
        }
        let mut sums = [s.zero(); LANES];
        for (v, sum) in v.iter_mut().zip(&mut sums).take(n) {
            *v = math::exp_of_negative(s, s.sub(*v, max));
            *sum = *v;
        }
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                sums[i] = s.add(sums[i], sums[i + half]);
            }
        }
        let scale = s.div(s.splat(1.0), sums[0]);
        for v in v.iter_mut().take(n) {
            *v = s.mul(*v, scale);
        }
        s.transpose(&mut v);
        for (r, v) in v.iter().enumerate() {
            s.store_first_ptr(*v, y.add(r * ldy), n);
        }
    }
}

/// # Safety
/// `y` and `x` hold `n` floats; they may be the same.
#[inline(always)]
pub(super) unsafe fn log_softmax<S: Simd>(s: S, n: usize, y: *mut f32, x: *const f32) {
    // SAFETY: positions are below `n`, tails are masked.
    unsafe {
        let max = s.splat(row_max(s, n, x));
        let mut sum = s.zero();
        vectors!(s, n, |i, tail| {
            let e = math::exp_of_negative(s, s.sub(load(s, x.add(i), tail, s.zero()), max));
            sum = match tail {
                None => s.add(sum, e),
                Some(tail) => s.select(tail.mask, s.add(sum, e), sum),
            };
        });
        let shift = math::log(s, s.splat(s.reduce_add(sum)));
        vectors!(s, n, |i, tail| {
            let v = s.sub(s.sub(load(s, x.add(i), tail, s.zero()), max), shift);
            store(s, v, y.add(i), tail);
        });
    }
}

/// The largest element; NaN may be dropped.
///
/// # Safety
/// `x` holds `n` floats.
#[inline(always)]
unsafe fn row_max<S: Simd>(s: S, n: usize, x: *const f32) -> f32 {
    let lowest = s.splat(f32::NEG_INFINITY);
    let mut max = lowest;
    // SAFETY: positions are below `n`, tails are masked.
    vectors!(s, n, |i, tail| max = s.max_raw(max, unsafe { load(s, x.add(i), tail, lowest) }));
    s.reduce_max_raw(max)
}
