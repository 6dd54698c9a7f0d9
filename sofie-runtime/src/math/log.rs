//! `log x`, `log(1 + x)` and `log(1 + e^x)`.
//! The argument is `2^k (1 + f)` with `1 + f` in `[1/√2, √2)`; `log(1 + f) = f - f²/2 + f³ P(f)` as in Cephes'
//! `logf`, with `P` fitted anew. Largest errors: log 0.83 ulp, log1p 0.89 ulp, softplus 1.94 ulp.

use super::exp::{LN2_HI, LN2_LO};
use super::{exp, horner};
use crate::simd::Simd;

/// `(log(1 + f) - f + f²/2) / f³` to 2^-27.3 of the logarithm.
const P: [f32; 8] = [
    0.333_333_3,
    -0.250_008_26,
    0.200_012_65,
    -0.166_232_12,
    0.142_006_77,
    -0.131_605_79,
    0.127_701_46,
    -0.076_446_176,
];

/// The bits of `1/√2`: what lies above them is `k` in the exponent field.
const SQRT_HALF: i32 = 0x3f35_04f3;

/// `log(1 + f) + k ln 2`.
#[inline(always)]
fn combine<S: Simd>(s: S, f: S::F32, k: S::F32) -> S::F32 {
    let z = s.mul(f, f);
    let y = s.mul(s.mul(f, z), horner(s, f, P));
    let y = s.mul_add(k, s.splat(LN2_LO), y);
    let y = s.neg_mul_add(s.splat(0.5), z, y);
    s.mul_add(k, s.splat(LN2_HI), s.add(f, y))
}

/// `log x + adjust ln 2` where `x` is positive, normal and finite.
#[inline(always)]
fn log_normal<S: Simd>(s: S, x: S::F32, adjust: S::I32) -> S::F32 {
    let bits = s.to_bits(x);
    let k = s.sar(s.sub_i32(bits, s.splat_i32(SQRT_HALF)), 23);
    let m = s.from_bits(s.sub_i32(bits, s.shl(k, 23)));
    combine(s, s.sub(m, s.splat(1.0)), s.to_f32(s.add_i32(k, adjust)))
}

/// The natural logarithm: `-inf` at 0, NaN below.
#[inline(always)]
pub fn log<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let least = s.splat(f32::MIN_POSITIVE);
    let normal = s.mask_and(s.le(least, x), s.le(x, s.splat(f32::MAX)));
    if s.all(normal) {
        return log_normal(s, x, s.zero_i32());
    }
    let small = s.lt(x, least);
    let scaled = s.select(small, s.mul(x, s.splat(8_388_608.0)), x);
    let y = log_normal(s, scaled, s.select_i32(small, s.splat_i32(-23), s.zero_i32()));
    let y = s.select(s.eq(x, s.zero()), s.splat(f32::NEG_INFINITY), y);
    let y = s.select(s.eq(x, s.splat(f32::INFINITY)), x, y);
    s.select(s.ge(x, s.zero()), y, s.splat(f32::NAN))
}

/// `log(1 + x)` where `-1 < x < 2^100`; the sign of zero is lost. NaN stays NaN.
#[inline(always)]
fn log1p_bounded<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let k = s.sar(s.sub_i32(s.to_bits(s.add(x, one)), s.splat_i32(SQRT_HALF)), 23);
    // f = 2^-k (1 + x) - 1 without ever rounding 1 + x: 2^-k - 1 is exact where the last bits count.
    let scale = s.from_bits(s.sub_i32(s.to_bits(one), s.shl(k, 23)));
    let f = s.mul_add(x, scale, s.sub(scale, one));
    combine(s, f, s.to_f32(k))
}

/// `log(1 + x)`, also where `x` is small: `-inf` at -1, NaN below.
#[inline(always)]
pub fn log1p<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.splat(1.0);
    let y = s.copysign(log1p_bounded(s, x), x);
    let inside = s.mask_and(s.lt(s.splat(-1.0), x), s.lt(x, s.splat(1e30)));
    if s.all(inside) {
        return y;
    }
    // 1 + x is x up there, and -1 gives log 0.
    let far = log(s, s.select(s.lt(x, one), s.add(x, one), x));
    s.select(inside, y, far)
}

/// `log(1 + e^x)`, without overflow.
#[inline(always)]
pub fn softplus<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let e = exp(s, s.neg(s.abs(x)));
    s.add(s.max_raw(s.zero(), x), log1p_bounded(s, e))
}
