//! GELU by the distribution function of the normal distribution, `x Φ(x)`, which is `x/2 (1 + erf(x / √2))`.
//! One polynomial for each of sixteen intervals, its coefficients picked out of registers: 19 instructions, where
//! `erf` (two polynomials and an exponential) and what follows it take 60, and no cancellation for negative `x`.

use crate::simd::Simd;

/// The width of an interval; interval `i` is centred at `i * STEP`.
const STEP: f32 = 0.367;
/// The centre of the last interval, all of which is 0: Q is under 2^-24 there.
const HIGHEST: f32 = 15.0 * STEP;
/// `1.5 * 2^23`: the sum of this and `n` has `n` in its last bits, rounded to nearest even.
const ROUND: f32 = 12_582_912.0;

/// Taylor-like coefficients of `Q = 1 - Φ` about each centre, order by order. Minimax fits in `f64`, each coefficient
/// rounded to `f32` before the next ones were fitted.
#[rustfmt::skip]
const Q: [[f32; 16]; 6] = [
    [0.5, 0.356_809_5, 0.231_474_37, 0.135_448_32, 0.071_052_104, 0.033_252_84, 0.013_832_65, 0.005_099_621, 0.001_662_371_1, 0.000_478_281_96, 0.000_121_275_35, 2.706_960_7e-5, 5.313_678_7e-6, 9.16578e-7, 1.388_416_6e-7, 0.0],
    [-0.398_942_26, -0.372_960_4, -0.304_733_84, -0.217_612_55, -0.135_816_5, -0.074_084_334, -0.035_318_77, -0.014_716_008, -0.005_358_951, -0.001_705_591_2, -0.000_474_433_73, -0.000_115_340_48, -2.450_719_9e-5, -4.551_049_6e-6, -7.38645e-7, 0.0],
    [-1.076_705e-6, 0.068_438_2, 0.111_833_78, 0.119_794_786, 0.099_689_53, 0.067_973_13, 0.038_886_644, 0.018_902_948, 0.007_866_901, 0.002_816_660_8, 0.000_870_490_33, 0.000_232_765_87, 5.394_568_5e-5, 1.085_051_7e-5, 1.896_028_8e-6, 0.0],
    [0.066_510_245, 0.053_786_628, 0.023_427_036, -0.007_695_929, -0.026_144_331, -0.029_229_132, -0.022_656_104, -0.013_734_706, -0.006_806_104_4, -0.002_817_022_6, -0.000_985_905_3, -0.000_294_034_2, -7.511_908e-5, -1.650_071e-5, -3.124_955_8e-6, 0.0],
    [-0.000_150_196_36, -0.016_253_399, -0.022_729_998, -0.017_774_701, -0.007_043_029, 0.002_013_713_8, 0.005_936_942, 0.005_651_068_4, 0.003_687_715_6, 0.001_866_482_9, 0.000_767_043_1, 0.000_261_832_58, 7.523_046e-5, 1.834_792_2e-5, 3.820_515e-6, 0.0],
    [-0.009_546_716, -0.006_819_060_5, -0.000_178_318_46, 0.005_043_62, 0.005_940_947_7, 0.003_619_256_2, 0.000_775_122_7, -0.000_836_524_94, -0.001_135_234_7, -0.000_803_643_7, -0.000_411_547_52, -0.000_165_830_19, -5.449_601_7e-5, -1.489_188_9e-5, -3.423_839_4e-6, 0.0],
];

/// `1 - Φ(x)` to 2^-23.6, for `x >= 0`; 0 from 5.33 on.
#[inline(always)]
fn upper_tail<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.min_raw(s.splat(HIGHEST), x);
    let t = s.mul_add(x, s.splat(1.0 / STEP), s.splat(ROUND));
    let r = s.neg_mul_add(s.sub(t, s.splat(ROUND)), s.splat(STEP), x);
    let i = s.to_bits(t);
    let mut y = s.lookup(s.load(&Q[5]), i);
    let mut order = 5;
    while order > 0 {
        order -= 1;
        y = s.mul_add(y, r, s.lookup(s.load(&Q[order]), i));
    }
    y
}

/// `x/2 (1 + erf(x / √2))`; NaN at `-inf`, as a graph that spells it out. The error is at most 2^-23.4 |x|.
#[inline(always)]
pub fn gelu_erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let q = upper_tail(s, s.abs(x));
    s.mul(x, s.select(s.ge(x, s.zero()), s.sub(s.splat(1.0), q), q))
}
