//! The logistic function, `x sigmoid(x)`, and the tanh form of GELU, which is `x sigmoid(2u)`.
//! The exponential is taken of `-|x|`, so nothing overflows and small results keep their precision.
//! Largest errors: sigmoid 1.86 ulp, silu 2.34 ulp.

use super::exp;
use crate::simd::Simd;

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let e = exp(s, s.neg(s.abs(x)));
    s.div(s.select(s.lt(x, s.zero()), e, one), s.add(e, one))
}

/// `x sigmoid(x)`; NaN at `-inf`, as a graph that says `x * sigmoid(x)`. Below -87 the factor is subnormal and the
/// product has its absolute precision only.
#[inline(always)]
pub fn silu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.mul(x, sigmoid(s, x))
}

/// `x/2 (1 + tanh u)` with `u = √(2/π) (x + 0.044715 x³)`; NaN at `-inf`. As `x sigmoid(2u)` it does not
/// cancel for negative `x`, unlike the form it is defined by.
#[inline(always)]
pub fn gelu_tanh<S: Simd>(s: S, x: S::F32) -> S::F32 {
    const A: f32 = 1.595_769_2; // 2 √(2/π)
    const B: f32 = 0.071_354_814; // 0.044715 A
    let u = s.mul(x, s.mul_add(s.mul(x, x), s.splat(B), s.splat(A)));
    s.mul(x, sigmoid(s, u))
}
