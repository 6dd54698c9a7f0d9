//! `x^y` as `2^(y log2 x)`, the logarithm in two floats.
//! `|x| = 2^k z`, `z` near one of 16 reciprocals `c` (the intervals of musl's `powf`, of which one holds 1 with
//! `c = 1`), `log2 x = k - log2 c + log2(1 + r)` with `r = z c - 1` in two floats and `|r| < 0.0315`.
//! Largest error over 2^30 random pairs: 1.6 ulp.

use super::horner;
use crate::simd::Simd;

const C: [f32; 16] = [
    1.398_437_5,
    1.339_843_8,
    1.286_132_8,
    1.236_328_1,
    1.190_429_7,
    1.148_437_5,
    1.108_398_4,
    1.071_289_1,
    1.036_132_8,
    1.0,
    0.948_242_2,
    0.895_507_8,
    0.847_656_25,
    0.804_687_5,
    0.766_601_56,
    0.731_445_3,
];
/// `-log2 c` to 14 bits after the point, so that adding `k` is exact, and the rest.
const LOG_HI: [f32; 16] = [
    -0.483_825_68,
    -0.422_058_1,
    -0.363_037_1,
    -0.306_091_3,
    -0.251_464_84,
    -0.199_646,
    -0.148_498_54,
    -0.099_365_234,
    -0.051_208_496,
    0.0,
    0.076_660_156,
    0.159_240_72,
    0.238_464_36,
    0.313_476_56,
    0.383_422_85,
    0.451_171_88,
];
const LOG_LO: [f32; 16] = [
    9.906_329e-6,
    -6.660_704e-6,
    -2.520_881_5e-6,
    2.961_916_5e-5,
    -1.756_687e-5,
    -2.634_874_2e-5,
    2.195_297_7e-5,
    1.742_397_2e-5,
    -4.448_21e-7,
    0.0,
    1.235_833e-5,
    -1.864_625_1e-5,
    -1.558_791_3e-5,
    2.291_031_7e-5,
    2.830_466e-5,
    6.216_541_4e-6,
];
/// The bits of the least `z`, 0.699.
const OFFSET: i32 = 0x3f33_0000;

const LOG2E_HI: f32 = core::f32::consts::LOG2_E;
/// `log2 e - LOG2E_HI`.
const LOG2E_LO: f32 = 1.925_963e-8;
/// `(log2(1 + r) - r log2 e) / r²` to 2^-34.3 of the logarithm.
const LOG2: [f32; 5] = [-0.721_347_5, 0.480_898_23, -0.360_713_78, 0.288_853_44, -0.208_068_67];
/// `(2^f - 1) / f` to 2^-32.5 of `2^f`, `|f| <= 1/2`.
const EXP2: [f32; 7] = [
    core::f32::consts::LN_2,
    0.240_226_5,
    0.055_504_054,
    0.009_618_084,
    0.001_333_748_8,
    0.000_154_537_93,
    1.446_026_45e-5,
];

/// `log2 a` as an unevaluated sum, for `a` positive and finite.
#[inline(always)]
fn log2_parts<S: Simd>(s: S, a: S::F32) -> (S::F32, S::F32) {
    let small = s.lt(a, s.splat(f32::MIN_POSITIVE));
    let bits = s.to_bits(s.select(small, s.mul(a, s.splat(8_388_608.0)), a));
    let above = s.sub_i32(bits, s.splat_i32(OFFSET));
    let exponent = s.sar(above, 23);
    let z = s.from_bits(s.sub_i32(bits, s.shl(exponent, 23)));
    let k = s.sub_i32(exponent, s.select_i32(small, s.splat_i32(23), s.zero_i32()));

    let index = s.sar(above, 19);
    let c = s.lookup(s.load(&C), index);
    let product = s.mul(z, c);
    let r = s.sub(product, s.splat(1.0));
    // What the product lost, over 1 + r: its share of log(1 + r) in first order.
    let lost = s.mul_sub(z, c, product);
    let r_lo = s.neg_mul_add(lost, r, lost);

    let whole = s.add(s.to_f32(k), s.lookup(s.load(&LOG_HI), index));
    let linear = s.mul(r, s.splat(LOG2E_HI));
    let linear_lo = s.mul_sub(r, s.splat(LOG2E_HI), linear);
    // Knuth's two-sum of whole + linear.
    let sum = s.add(whole, linear);
    let back = s.sub(sum, whole);
    let lost = s.add(s.sub(whole, s.sub(sum, back)), s.sub(linear, back));

    // The square's share in two floats too: in one it would cost 2 ulp of the power where x is near 1.
    let square = s.mul(r, r);
    let square_lo = s.mul_sub(r, r, square);
    let [half, rest @ ..] = LOG2;
    let second = s.mul(square, s.splat(half));
    let second_lo = s.mul_add(square_lo, s.splat(half), s.mul_sub(square, s.splat(half), second));
    let total = s.add(sum, second);
    let lost = s.add(lost, s.sub(second, s.sub(total, sum)));

    let fine = s.mul_add(r, s.splat(LOG2E_LO), s.mul_add(r_lo, s.splat(LOG2E_HI), linear_lo));
    let fine = s.add(s.add(fine, second_lo), s.add(s.lookup(s.load(&LOG_LO), index), lost));
    let lo = s.mul_add(s.mul(square, r), horner(s, r, rest), fine);
    let hi = s.add(total, lo);
    (hi, s.sub(lo, s.sub(hi, total)))
}

/// `x^y` with the special cases of C's `pow` (Annex F).
#[inline(always)]
pub fn pow<S: Simd>(s: S, x: S::F32, y: S::F32) -> S::F32 {
    let (one, zero, inf) = (s.splat(1.0), s.zero(), s.splat(f32::INFINITY));
    let a = s.abs(x);
    let (hi, lo) = log2_parts(s, a);
    // The logarithm of 0, infinity and NaN.
    let hi = s.select(s.eq(a, zero), s.splat(f32::NEG_INFINITY), hi);
    let hi = s.select(s.lt(a, inf), hi, a);

    let p = s.mul(y, hi);
    let p_lo = s.mul_add(y, lo, s.mul_sub(y, hi, p));
    let inside = s.lt(s.abs(p), s.splat(200.0));
    let p_lo = s.select(inside, p_lo, zero);
    let p = s.clamp(p, s.splat(-200.0), s.splat(200.0));
    let n = s.round_ties_even(p);
    let f = s.add(s.sub(p, n), p_lo);
    let power = s.mul_add(f, horner(s, f, EXP2), one);
    let power = s.scale_pow2(power, s.round_i32(s.select(s.is_nan(n), zero, n)));

    let half = s.mul(y, s.splat(0.5));
    let whole = s.eq(s.trunc(y), y);
    let odd = s.mask_and(whole, s.ne(s.trunc(half), half));
    let signed = s.select(odd, s.copysign(power, x), power);
    let below = s.mask_and(s.lt(x, zero), s.lt(a, inf));
    let signed = s.select(s.mask_and(below, s.mask_not(whole)), s.splat(f32::NAN), signed);
    let unit = s.mask_or(s.eq(y, zero), s.eq(x, one));
    let unit = s.mask_or(unit, s.mask_and(s.eq(x, s.splat(-1.0)), s.eq(s.abs(y), inf)));
    s.select(unit, one, signed)
}
