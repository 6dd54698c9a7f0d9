//! GELU by the distribution function of the normal distribution, `x Φ(x)`, which is `x/2 (1 + erf(x / √2))`.
//! One polynomial for each of sixteen intervals, its coefficients picked out of registers: 20 instructions, where
//! `erf` (two polynomials and an exponential) and what follows it take 60, and no cancellation for negative `x`.

use crate::simd::Simd;

/// The width of an interval; interval `i` is centred at `i * STEP` for `i` in -8 ..= 7.
const STEP: f32 = 0.75;
/// Below, Φ is under 2^-29, and `1 + erf` would be 0.
const LOWEST: f32 = -6.0;
/// From here on Φ is 1 in `f32`.
const HIGHEST: f32 = 5.5;
/// `1.5 * 2^23`: the sum of this and `n` has `n` in its last bits, rounded to nearest even.
const ROUND: f32 = 12_582_912.0;

/// Taylor-like coefficients of Φ about each centre, order by order; intervals in the order of `i` modulo 16. Least
/// squares at Chebyshev nodes in `f64`, each coefficient rounded to `f32` before the next ones were fitted.
#[rustfmt::skip]
const PHI: [[f32; 16]; 7] = [
    [0.5, 0.773_372_65, 0.933_192_8, 0.987_775_5, 0.998_650_1, 0.999_911_6, 0.999_996_6, 0.999_999_94, 9.865_194e-10, 7.604_828e-8, 3.397_663_7e-6, 8.841_728_4e-5, 0.001_349_898_2, 0.012_224_472, 0.066_807_2, 0.226_627_35],
    [0.398_941_93, 0.301_137_54, 0.129_517_76, 0.031_739_574, 0.004_431_822_3, 0.000_352_604_63, 1.598_673e-5, 4.131_286e-7, 6.087_347e-9, 4.131_286e-7, 1.598_673e-5, 0.000_352_604_63, 0.004_431_822_3, 0.031_739_574, 0.129_517_76, 0.301_137_54],
    [0.0, -0.112_926_53, -0.097_137_764, -0.035_705_83, -0.006_646_159_6, -0.000_662_459_1, -3.597_686_4e-5, -2.019_484e-6, 1.824_311_7e-8, 1.084_023_9e-6, 3.596_554_6e-5, 0.000_661_116_8, 0.006_647_742_4, 0.035_707_157, 0.097_138_19, 0.112_926_53],
    [-0.066_470_44, -0.021_963_751, 0.026_973_272, 0.021_494_823, 0.005_910_615, 0.000_767_119_2, 5.111_142_3e-5, 1.811_778_7e-6, 3.479_621_2e-8, 1.811_778_7e-6, 5.111_142_3e-5, 0.000_767_119_2, 0.005_910_615, 0.021_494_823, 0.026_973_272, -0.021_963_751],
    [0.0, 0.022_933_777, 0.006_067_517_7, -0.006_154_836_6, -0.003_347_465, -0.000_590_382_1, -5.146_087_6e-5, 1.109_671e-5, 4.957_973e-8, 2.207_613e-6, 5.162_183_5e-5, 0.000_609_472_86, 0.003_324_954_5, 0.006_135_964_8, -0.006_073_563, -0.022_933_777],
    [0.009_687_085, -6.454_182e-5, -0.005_732_553, -0.000_525_293_7, 0.001_086_927_5, 0.000_349_267_88, 4.124_103_4e-5, 2.279_184_2e-6, 6.386_634_5e-8, 2.279_184_2e-6, 4.124_103_4e-5, 0.000_349_267_88, 0.001_086_927_5, -0.000_525_293_7, -0.005_732_553, -6.454_182e-5],
    [0.0, -0.002_969_578_4, 0.000_641_310_3, 0.001_057_381_2, -7.173_946_4e-6, -0.000_209_977_8, -2.374_723_2e-5, -5.568_448_6e-5, 5.428_234e-8, 1.622_471_9e-6, 2.309_319_3e-5, 0.000_132_402_8, 9.864_519e-5, -0.000_980_672_1, -0.000_616_733_33, 0.002_969_578_4],
];

/// Φ to 2^-23.9, for `x` from [`LOWEST`] to [`HIGHEST`].
#[inline(always)]
fn normal_cdf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let t = s.mul_add(x, s.splat(1.0 / STEP), s.splat(ROUND));
    let r = s.neg_mul_add(s.sub(t, s.splat(ROUND)), s.splat(STEP), x);
    let i = s.to_bits(t);
    let mut y = s.lookup(s.load(&PHI[6]), i);
    let mut order = 6;
    while order > 0 {
        order -= 1;
        y = s.mul_add(y, r, s.lookup(s.load(&PHI[order]), i));
    }
    y
}

/// `x/2 (1 + erf(x / √2))`; NaN at `-inf`, as a graph that spells it out. The error is at most 2^-23.4 |x|.
#[inline(always)]
pub fn gelu_erf<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let low = s.splat(LOWEST);
    let y = normal_cdf(s, s.clamp(x, low, s.splat(HIGHEST)));
    s.mul(x, s.select(s.lt(x, low), s.zero(), y))
}
