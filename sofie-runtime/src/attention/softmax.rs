//! The softmax of a row of scores, in place and not yet divided by its sum, which is left to the product's
//! result: that has fewer elements.

use super::Attention;
use crate::math;
use crate::simd::{LANES, Simd};

/// Turns the first `n` of `scores` into `e^(scale · score + mask - max)`, sets the others of the row to 0, and
/// gives back the sum.
/// # Safety
/// `scores` must be valid for a row of scores, and `mask`, if the descriptor has one, for a row of it.
#[inline(always)]
pub(super) unsafe fn softmax<S: Simd>(
    s: S,
    at: &Attention,
    scores: *mut f32,
    mask: *const f32,
    n: usize,
) -> f32 {
    let scale = s.splat(at.scale);
    let low = s.splat(f32::NEG_INFINITY);
    let mut max = low;
    // SAFETY: rows of scores are whole vectors; the mask is only read where keys are.
    unsafe {
        for i in (0..n).step_by(LANES) {
            let lanes = s.mask_first(n - i);
            let score = s.load_ptr(scores.add(i));
            let x = match at.mask {
                None => s.mul(score, scale),
                Some([.., step]) => {
                    let m = mask_at(s, mask, step, i, n - i);
                    if at.replace {
                        s.select(s.eq(m, s.zero()), s.mul(score, scale), m)
                    } else {
                        s.mul_add(score, scale, m)
                    }
                }
            };
            let x = s.select(lanes, x, low);
            s.store_ptr(x, scores.add(i));
            // NaN is passed over here and comes back in the sum.
            max = s.max_raw(x, max);
        }
        let max = s.splat(s.reduce_max_raw(max));
        let mut sum = s.zero();
        for i in (0..n).step_by(LANES) {
            let e = math::exp_of_negative(s, s.sub(s.load_ptr(scores.add(i)), max));
            // Where all is -∞, the lanes behind the row are NaN like the rest of it.
            let e = s.select(s.mask_first(n - i), e, s.zero());
            s.store_ptr(e, scores.add(i));
            sum = s.add(sum, e);
        }
        for i in (n.next_multiple_of(LANES)..at.row()).step_by(LANES) {
            s.store_ptr(s.zero(), scores.add(i));
        }
        s.reduce_add(sum)
    }
}

/// The mask of keys `i..i + 16`, of which `left` exist.
/// # Safety
/// `mask` must be valid for reading a row of the mask.
#[inline(always)]
unsafe fn mask_at<S: Simd>(s: S, mask: *const f32, step: usize, i: usize, left: usize) -> S::F32 {
    // SAFETY: the caller's promise.
    unsafe {
        match step {
            0 => s.splat(*mask),
            1 if left >= LANES => s.load_ptr(mask.add(i)),
            1 => s.load_masked_ptr(mask.add(i), s.mask_first(left), s.zero()),
            _ => {
                let mut x = [0.0; LANES];
                for (lane, x) in x.iter_mut().enumerate().take(left) {
                    *x = *mask.add((i + lane) * step);
                }
                s.load(&x)
            }
        }
    }
}
