//! Hyperbolic functions by `expm1`, their inverses by `log1p`: both are exact enough near 0 for the quotients
//! here. Largest errors: tanh 1.99 ulp, sinh 1.9 ulp, cosh 2.0 ulp, asinh 2.2 ulp, acosh 2.4 ulp, atanh 2.4 ulp.

use super::exp::expm1_bounded;
use super::{exp, log, log1p};
use crate::simd::Simd;
use core::f32::consts::LN_2;

/// The hyperbolic tangent, `t / (t + 2)` with `t = e^2x - 1`.
#[inline(always)]
pub fn tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // 1 in f32 from 9.02 on.
    let y = s.min_raw(s.splat(10.0), s.abs(x));
    let t = expm1_bounded(s, s.add(y, y));
    s.copysign(s.div(t, s.add(t, s.splat(2.0))), x)
}

/// `e^a / 2` for `a` beyond 88, where `e^a` itself may overflow.
#[inline(always)]
fn half_exp<S: Simd>(s: S, a: S::F32) -> S::F32 {
    let root = exp(s, s.mul(a, s.splat(0.5)));
    s.mul(s.mul(root, s.splat(0.5)), root)
}

/// The hyperbolic sine.
#[inline(always)]
pub fn sinh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (a, limit) = (s.abs(x), s.splat(87.0));
    let t = expm1_bounded(s, s.min_raw(limit, a));
    let y = s.mul(s.splat(0.5), s.add(t, s.div(t, s.add(t, s.splat(1.0)))));
    let large = s.lt(limit, a);
    let y = if s.any(large) { s.select(large, half_exp(s, a), y) } else { y };
    s.copysign(y, x)
}

/// The hyperbolic cosine.
#[inline(always)]
pub fn cosh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (a, limit, half) = (s.abs(x), s.splat(87.0), s.splat(0.5));
    let e = super::exp_bounded(s, s.min_raw(limit, a));
    let y = s.mul_add(half, e, s.div(half, e));
    let large = s.lt(limit, a);
    if s.any(large) { s.select(large, half_exp(s, a), y) } else { y }
}

/// From here on `√(x² ± 1)` is `x` in `f32`, and the squares are far from overflow.
const LARGE: f32 = 1e9;

/// The inverse hyperbolic sine.
#[inline(always)]
pub fn asinh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (a, one) = (s.abs(x), s.splat(1.0));
    let z = s.mul(a, a);
    let root = s.sqrt(s.add(z, one));
    let y = log1p(s, s.add(a, s.div(z, s.add(root, one))));
    let large = s.lt(s.splat(LARGE), a);
    let y = if s.any(large) { s.select(large, s.add(log(s, a), s.splat(LN_2)), y) } else { y };
    s.copysign(y, x)
}

/// The inverse hyperbolic cosine; NaN below 1.
#[inline(always)]
pub fn acosh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let t = s.sub(x, s.splat(1.0));
    let root = s.sqrt(s.mul_add(t, t, s.add(t, t)));
    let y = log1p(s, s.add(t, root));
    let y = s.select(s.lt(t, s.zero()), s.splat(f32::NAN), y);
    let large = s.lt(s.splat(LARGE), x);
    if s.any(large) { s.select(large, s.add(log(s, x), s.splat(LN_2)), y) } else { y }
}

/// The inverse hyperbolic tangent; infinite at ±1, NaN beyond.
#[inline(always)]
pub fn atanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let a = s.abs(x);
    let y = log1p(s, s.div(s.add(a, a), s.sub(s.splat(1.0), a)));
    s.copysign(s.mul(s.splat(0.5), y), x)
}
