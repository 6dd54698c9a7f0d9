//! Inverse sine, cosine and tangent.
//! Argument halving at 1/2 (`asin x = π/2 - 2 asin √((1-x)/2)`) and inversion at 1 (`atan x = π/2 - atan 1/x`), as
//! in Cephes, with fits of our own. Largest errors: asin 1.2 ulp, acos 1.2 ulp, atan 1.9 ulp.

use super::horner;
use crate::simd::Simd;
use core::f32::consts::{FRAC_PI_2, FRAC_PI_4, PI};

/// `π/2` less the nearest float; that of `π` is twice, that of `π/4` half as much.
const PIO2_LO: f32 = -4.371_139e-8;

/// `(asin x / x - 1) / x²` in `x²` to 2^-31.7 below 1/2.
const ASIN: [f32; 6] = [0.166_666_6, 0.075_005_22, 0.044_513_352, 0.031_839_523, 0.014_312_17, 0.037_702_136];
/// `(atan x / x - 1) / x²` in `x²` to 2^-28.5 below 1.
const ATAN: [f32; 9] = [
    -0.333_333,
    0.199_985_3,
    -0.142_640_14,
    0.109_508_61,
    -0.083_992_09,
    0.057_878_91,
    -0.031_093_616,
    0.010_866_343,
    -0.001_782_167_5,
];

/// Whether `|x| > 1/2`, and of `y = |x|` or `√((1 - |x|)/2)` the parts `y` and `asin y - y`.
#[inline(always)]
fn asin_parts<S: Simd>(s: S, x: S::F32) -> (S::Mask, S::F32, S::F32) {
    let a = s.abs(x);
    let half = s.splat(0.5);
    let big = s.lt(half, a);
    let z = s.select(big, s.neg_mul_add(half, a, half), s.mul(a, a));
    let y = s.select(big, s.sqrt(z), a);
    (big, y, s.mul(s.mul(y, z), horner(s, z, ASIN)))
}

/// The inverse sine; NaN outside -1 ..= 1.
#[inline(always)]
pub fn asin<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (big, y, rest) = asin_parts(s, x);
    let quarter = s.sub(s.sub(s.splat(FRAC_PI_4), y), s.sub(rest, s.splat(0.5 * PIO2_LO)));
    s.copysign(s.select(big, s.add(quarter, quarter), s.add(y, rest)), x)
}

/// The inverse cosine; NaN outside -1 ..= 1.
#[inline(always)]
pub fn acos<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (big, y, rest) = asin_parts(s, x);
    let twice = s.splat(2.0);
    let near = s.mul(twice, s.add(y, rest));
    // π - 2 asin y, and π/2 - asin x.
    let far = s.sub(s.neg_mul_add(twice, y, s.splat(PI)), s.mul_sub(twice, rest, s.splat(2.0 * PIO2_LO)));
    let (y, rest) = (s.copysign(y, x), s.copysign(rest, x));
    let middle = s.sub(s.splat(FRAC_PI_2), s.add(y, s.sub(rest, s.splat(PIO2_LO))));
    s.select(big, s.select(s.lt(x, s.zero()), far, near), middle)
}

/// The inverse tangent.
#[inline(always)]
pub fn atan<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let a = s.abs(x);
    let one = s.splat(1.0);
    let big = s.lt(one, a);
    let y = s.select(big, s.div(one, a), a);
    let z = s.mul(y, y);
    let rest = s.mul(s.mul(y, z), horner(s, z, ATAN));
    let far = s.sub(s.sub(s.splat(FRAC_PI_2), y), s.sub(rest, s.splat(PIO2_LO)));
    s.copysign(s.select(big, far, s.add(y, rest)), x)
}
