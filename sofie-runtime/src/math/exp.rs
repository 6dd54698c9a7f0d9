//! `e^x` and `e^x - 1`.
//! `x = n ln 2 + r` with `|r| <= ln 2 / 2`, `ln 2` in two parts (Cody & Waite, 1980), then a polynomial in `r`
//! and `2^n` by its exponent. Largest errors: exp 1.02 ulp, expm1 1.19 ulp.

use super::horner;
use crate::simd::Simd;
use core::f32::consts::LOG2_E;

pub(super) const LN2_HI: f32 = core::f32::consts::LN_2;
/// `ln 2 - LN2_HI`.
pub(super) const LN2_LO: f32 = -1.904_654_2e-9;

/// `1.5 * 2^23 + 127`: the sum of this and `n` has `n + 127` in its last bits, rounded to nearest even, which is the
/// exponent of `2^n` as a float has it.
const ROUND: f32 = 12_583_039.0;

/// `(e^r - 1 - r) / r^2` to 2^-28.2 of `e^r`.
const EXP: [f32; 5] = [0.499_999_94, 0.166_665_17, 0.041_668_102, 0.008_369_192_5, 0.001_383_890_3];
/// The same to 2^-28.1 of `e^r - 1`, which is small where `r` is.
const EXPM1: [f32; 6] = [0.5, 0.166_666_36, 0.041_666_51, 0.008_341_51, 0.001_393_054_3, 0.000_150_461_04];

/// `n + 127` as the low bits of a float, and `r`.
#[inline(always)]
fn reduce<S: Simd>(s: S, x: S::F32) -> (S::I32, S::F32) {
    let t = s.mul_add(x, s.splat(LOG2_E), s.splat(ROUND));
    let n = s.sub(t, s.splat(ROUND));
    let r = s.neg_mul_add(n, s.splat(LN2_HI), x);
    (s.to_bits(t), s.neg_mul_add(n, s.splat(LN2_LO), r))
}

#[inline(always)]
fn exp_poly<S: Simd>(s: S, r: S::F32) -> S::F32 {
    let q = horner(s, r, EXP);
    s.add(s.mul_add(s.mul(r, r), q, r), s.splat(1.0))
}

/// `2^n` of the low bits that [`reduce`] gives, for `n` in -126 ..= 127; 0 where `n` is -127.
#[inline(always)]
fn power<S: Simd>(s: S, n: S::I32) -> S::F32 {
    s.from_bits(s.shl(n, 23))
}

/// `e^x` where `|x| <= 87`, NaN where `x` is; unspecified elsewhere.
#[inline(always)]
pub(crate) fn exp_bounded<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (n, r) = reduce(s, x);
    s.mul(exp_poly(s, r), power(s, n))
}

/// `2^f` for `|f| <= 1/2` to 2^-23.2.
const EXP2: [f32; 6] = [1.0, 0.693_146_9, 0.240_222_38, 0.055_508_57, 0.009_671_7, 0.001_322_890_7];

/// `e^x` for the terms of a softmax, where `x <= 0`: 0 below -87.7, where nothing is left of a term beside the largest,
/// which is 1; NaN where `x` is. The error is at most 2^-22.5 + |x| 2^-25, shorter than [`exp`]'s by what a term so
/// small adds to the sum anyway.
#[inline(always)]
pub(crate) fn exp_of_negative<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // -88 / ln 2 is rounded to -127, whose power is 0.
    let y = s.max_raw(s.splat(-88.0), x);
    let t = s.mul_add(y, s.splat(LOG2_E), s.splat(ROUND));
    let f = s.mul_sub(y, s.splat(LOG2_E), s.sub(t, s.splat(ROUND)));
    // Multiplied and not added to the exponent, which would lose NaN.
    s.mul(horner(s, f, EXP2), power(s, s.to_bits(t)))
}

/// `e^x` for any `x`: the scaling in two steps rounds subnormal results once.
#[inline(always)]
fn exp_any<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (n, r) = reduce(s, s.clamp(x, s.splat(-104.0), s.splat(89.0)));
    s.scale_pow2(exp_poly(s, r), s.sub_i32(n, s.to_bits(s.splat(ROUND))))
}

/// `e^x`; 0 and infinity where it under- and overflows.
#[inline(always)]
pub fn exp<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // Nearly always the short way: a branch costs less than two-step scaling (measured 20 %).
    if s.all(s.le(s.abs(x), s.splat(87.0))) { exp_bounded(s, x) } else { exp_any(s, x) }
}

/// `e^x - 1` where `-87 <= x <= 88`; the sign of zero is lost.
#[inline(always)]
pub(crate) fn expm1_bounded<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (n, r) = reduce(s, x);
    let y = s.mul_add(s.mul(r, r), horner(s, r, EXPM1), r);
    // 2^n (y + 1) - 1, of which 2^n - 1 is exact wherever it matters.
    let scale = power(s, n);
    s.mul_add(scale, y, s.sub(scale, s.splat(1.0)))
}

/// The bits of [`expm1`] where `x < 0`, NaN where `x` is; unspecified elsewhere. A quarter shorter.
#[inline(always)]
pub(crate) fn expm1_of_negative<S: Simd>(s: S, x: S::F32) -> S::F32 {
    expm1_bounded(s, s.max_raw(s.splat(-20.0), x))
}

/// `e^x - 1`, also where `x` is small.
#[inline(always)]
pub fn expm1<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // -1 from -18 down. Above 88 the one does not count any more.
    let y = expm1_bounded(s, s.clamp(x, s.splat(-20.0), s.splat(88.0)));
    let y =
        if s.any(s.gt(x, s.splat(88.0))) { s.select(s.gt(x, s.splat(88.0)), exp_any(s, x), y) } else { y };
    s.copysign(y, x)
}
