//! Sine, cosine, tangent.
//! `x = n π/2 + r` with `π/2` in three parts of 24 bits: exact but for one rounding, thanks to FMA, while `n` has at
//! most 16 bits. Lanes beyond go through `libm` in `f64`, whose reduction (Payne & Hanek, 1983) holds everywhere.
//! Largest errors: sin 0.80 ulp, cos 0.80 ulp, tan 1.79 ulp.

use super::horner;
use crate::simd::{LANES, Simd};
use core::f32::consts::FRAC_2_PI;

const PIO2: [f32; 3] = [1.570_796_4, -4.371_139e-8, -1.715_124_5e-15];
/// Arguments up to here are reduced in `f32`.
const BOUND: f32 = 100_000.0;

/// `(sin r / r - 1) / r²` in `r²` to 2^-32.5 of the sine.
const SIN: [f32; 4] = [-0.166_666_67, 0.008_333_379, -0.000_198_530_64, 2.832_51e-6];
/// `(cos r - 1 + r²/2) / r⁴` in `r²` to 2^-33.0 of the cosine.
const COS: [f32; 3] = [0.041_666_646, -0.001_388_731, 2.443_232_7e-5];

/// `n`, and the sine and cosine of `r`.
#[inline(always)]
fn sin_cos<S: Simd>(s: S, x: S::F32) -> (S::I32, S::F32, S::F32) {
    const ROUND: f32 = 12_582_912.0;
    let t = s.mul_add(x, s.splat(FRAC_2_PI), s.splat(ROUND));
    let n = s.sub(t, s.splat(ROUND));
    let mut r = x;
    for part in PIO2 {
        r = s.neg_mul_add(n, s.splat(part), r);
    }
    let z = s.mul(r, r);
    let sin = s.mul_add(s.mul(r, z), horner(s, z, SIN), r);
    let cos = s.mul_add(z, s.mul_add(z, horner(s, z, COS), s.splat(-0.5)), s.splat(1.0));
    (s.to_bits(t), sin, cos)
}

/// `y`, but by `exact` in the lanes where `x` is too large (or not finite).
#[inline(always)]
fn with_large<S: Simd>(s: S, x: S::F32, y: S::F32, exact: fn(f64) -> f64) -> S::F32 {
    let inside = s.mask_bits(s.le(s.abs(x), s.splat(BOUND)));
    if inside == u16::MAX {
        return y;
    }
    let (x, mut y) = (s.to_array(x), s.to_array(y));
    for lane in 0..LANES {
        if inside >> lane & 1 == 0 {
            y[lane] = exact(x[lane] as f64) as f32;
        }
    }
    s.load(&y)
}

/// The sine (`quarter` 0) or cosine (`quarter` 1) from a quarter turn's parts.
#[inline(always)]
fn quadrant<S: Simd>(s: S, n: S::I32, quarter: i32, sin: S::F32, cos: S::F32) -> S::F32 {
    let n = s.add_i32(n, s.splat_i32(quarter));
    let odd = s.eq_i32(s.and(n, s.splat_i32(1)), s.splat_i32(1));
    let y = s.select(odd, cos, sin);
    let sign = s.shl(s.and(n, s.splat_i32(2)), 30);
    s.from_bits(s.xor(s.to_bits(y), sign))
}

/// The sine of `x` radians; NaN at infinities.
#[inline(always)]
pub fn sin<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (n, sin, cos) = sin_cos(s, x);
    // The reduction loses the sign of -0.
    let y = s.select(s.eq(x, s.zero()), x, quadrant(s, n, 0, sin, cos));
    with_large(s, x, y, libm::sin)
}

/// The cosine of `x` radians; NaN at infinities.
#[inline(always)]
pub fn cos<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (n, sin, cos) = sin_cos(s, x);
    with_large(s, x, quadrant(s, n, 1, sin, cos), libm::cos)
}

/// The tangent of `x` radians; NaN at infinities.
#[inline(always)]
pub fn tan<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (n, sin, cos) = sin_cos(s, x);
    let odd = s.eq_i32(s.and(n, s.splat_i32(1)), s.splat_i32(1));
    let y = s.div(s.select(odd, s.neg(cos), sin), s.select(odd, sin, cos));
    let y = s.select(s.eq(x, s.zero()), x, y);
    with_large(s, x, y, libm::tan)
}
