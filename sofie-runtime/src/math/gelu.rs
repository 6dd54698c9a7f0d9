//! GELU by the distribution function of the normal distribution, `x Φ(x)`, which is `x/2 (1 + erf(x / √2))`.
//! One polynomial for each of eight intervals, its coefficients picked out of registers: 21 instructions, where `erf` (two
//! polynomials and an exponential) and what follows it take 60, and no cancellation for negative `x`. Eight, since that is
//! what a register of AVX2 holds: sixteen of a lower degree take a tenth less with AVX-512, and twice as long with AVX2.

use crate::simd::{LANES, Simd};

/// Intervals, which are what [`Simd::lookup_low`] picks from.
const COUNT: usize = LANES / 2;
/// The width of an interval; interval `i` is centred at `-i * STEP`.
const STEP: f32 = 0.8;
/// The centre of the last interval, all of which below it is 0: Φ is under 2^-26 there.
const LOWEST: f32 = -((COUNT - 1) as f32) * STEP;
/// `1.5 * 2^23`: the sum of this and `n` has `n` in its last bits, rounded to nearest even.
const ROUND: f32 = 12_582_912.0;

/// Taylor-like coefficients of Φ about each centre, order by order. Minimax fits in `f64`, each coefficient rounded to
/// `f32` before the next ones were fitted.
#[rustfmt::skip]
const PHI: [[f32; COUNT]; 7] = [
    [0.5, 0.211_855_4, 0.054_799_29, 0.008_197_536, 0.000_687_138_3, 3.16712e-5, 7.933086e-7, 0.0],
    [0.398_942_32, 0.289_691_75, 0.110_921_03, 0.022_394_396, 0.002_384_074_5, 0.000_133_842_96, 3.963467e-6, 2.0013874e-7],
    [1.9631002e-6, 0.115_876_384, 0.088_737_03, 0.026_873_434, 0.003_814_487_7, 0.000_267_666_94, 9.510055e-6, 7.253168e-8],
    [-0.066_459_134, -0.017_391_514, 0.028_829_662, 0.017_772_838, 0.003_672_155_3, 0.000_333_962_64, 1.4447317e-5, 0.0],
    [0.000_229_343_8, -0.022_779_906, -0.003_262_313_3, 0.006_181_07, 0.002_302_777_7, 0.000_289_800_87, 1.580363e-5, 0.0],
    [0.010_829_483, -0.000_913_133_55, -0.005_248_502, 0.000_222_858_13, 0.000_914_384_15, 0.000_189_169_48, 1.4298017e-5, 0.0],
    [0.001_589_650_4, 0.002_810_331, -0.000_927_029_5, -0.000_705_433_83, 0.000_173_816_66, 8.3926556e-5, 8.937405e-6, 0.0],
];

/// The coefficients as vectors, whose upper halves are not picked from.
const TABLES: [[f32; LANES]; PHI.len()] = {
    let mut tables = [[0.0; LANES]; PHI.len()];
    let mut at = 0;
    while at < PHI.len() * COUNT {
        tables[at / COUNT][at % COUNT] = PHI[at / COUNT][at % COUNT];
        at += 1;
    }
    tables
};

/// `Φ(x)` to 2^-24.6, for `LOWEST <= x <= 0`.
#[inline(always)]
fn lower_tail<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let t = s.mul_add(x, s.splat(-1.0 / STEP), s.splat(ROUND));
    let r = s.mul_add(s.sub(t, s.splat(ROUND)), s.splat(STEP), x);
    let i = s.to_bits(t);
    let mut order = TABLES.len() - 1;
    let mut y = s.lookup_low(s.load(&TABLES[order]), i);
    while order > 0 {
        order -= 1;
        y = s.mul_add(y, r, s.lookup_low(s.load(&TABLES[order]), i));
    }
    y
}

/// `x/2 (1 + erf(x / √2))`; NaN at `-inf`, as a graph that spells it out. The error is at most 2^-23.7 |x|.
#[inline(always)]
pub fn gelu_erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let negative = s.max_raw(s.splat(LOWEST), s.neg(s.abs(x)));
    // x Φ(x) below 0, and x - x Φ(-x) above, where the factor ends with what is left of it.
    s.mul_add(s.min_raw(negative, x), lower_tail(s, negative), s.max_raw(s.zero(), x))
}
