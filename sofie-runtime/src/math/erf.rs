//! The error function.
//! Odd polynomial below 0.9; above, `1 - e^p(x)` with a polynomial for the logarithm of `erfc` (the split is that
//! of N. Juffa's `erff`, the fits are our own). Largest error: erf 0.98 ulp.

use super::{exp_bounded, horner};
use crate::simd::Simd;

/// `erf(x) / x - 1` in `x²` to 2^-30.0 below 0.95.
const SMALL: [f32; 7] = [
    0.128_379_17,
    -0.376_126_3,
    0.112_836_26,
    -0.026_855_74,
    0.005_192_460_5,
    -0.000_805_080_4,
    8.002_775e-5,
];
/// `log(erfc(x)) / x + 1`, to 2^-30.0 of `erf` on 0.9 ..= 4.
const LARGE: [f32; 7] = [
    -0.128_637_08,
    -0.635_198_06,
    -0.106_158_964,
    0.023_694_443,
    -0.003_610_255_2,
    0.000_314_828_62,
    -1.042_923_2e-5,
];

/// The error function.
#[inline(always)]
pub fn erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    // 1 in f32 from 3.92 on.
    let t = s.min_raw(s.splat(4.0), s.abs(x));
    let small = s.mul_add(t, horner(s, s.mul(t, t), SMALL), t);
    let log_erfc = s.mul_sub(t, horner(s, t, LARGE), t);
    let large = s.sub(s.splat(1.0), exp_bounded(s, log_erfc));
    s.copysign(s.select(s.lt(t, s.splat(0.925)), small, large), x)
}
