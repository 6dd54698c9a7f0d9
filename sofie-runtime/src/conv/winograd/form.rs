//! The transforms of one axis: `y = Aᵀ((G g) · (Bᵀ d))` for a filter `g` of three taps.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016), by the construction of Toom and
//! Cook: F(m, 3) evaluates polynomials at m + 1 points and at infinity. The points decide the rounding errors.
//! For F(4, 3) the usual 0, ±1, ±2 lose four times as much as 0, ±√½, ±√2, which are as close to each other
//! in logarithm as they can be (measured against exact sums over 256 channels, largest error by the largest
//! output: 9.4e-6 and 2.2e-6; the direct sum in `f32` 1.2e-6; F(2, 3) 0.6e-6).

use core::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use crate::simd::Simd;

/// Positions of the longest form.
pub(super) const MOST: usize = 6;
/// Outputs of the longest form.
pub(super) const MOST_OUTPUTS: usize = 4;

/// What one axis becomes.
pub(super) trait Form {
    /// Outputs of a tile.
    const OUTPUTS: usize;
    /// Taps of the filter.
    const TAPS: usize;
    /// Products of a tile, and elements that it reads.
    const POSITIONS: usize = Self::OUTPUTS + Self::TAPS - 1;

    /// `Bᵀ d`, in the first [`Form::POSITIONS`] places.
    fn input<S: Simd>(s: S, d: &mut [S::F32; MOST]);
    /// `Aᵀ m`, into the first [`Form::OUTPUTS`] places.
    fn output<S: Simd>(s: S, m: &mut [S::F32; MOST]);
    /// `G g`.
    fn weights<S: Simd>(s: S, g: [S::F32; 3]) -> [S::F32; MOST];
}

/// An axis that the window does not extend over.
pub(super) struct One;

impl Form for One {
    const OUTPUTS: usize = 1;
    const TAPS: usize = 1;

    #[inline(always)]
    fn input<S: Simd>(_: S, _: &mut [S::F32; MOST]) {}
    #[inline(always)]
    fn output<S: Simd>(_: S, _: &mut [S::F32; MOST]) {}
    #[inline(always)]
    fn weights<S: Simd>(_: S, g: [S::F32; 3]) -> [S::F32; MOST] {
        [g[0]; MOST]
    }
}

/// F(2, 3) at 0, ±1 and infinity.
pub(super) struct Two;

impl Form for Two {
    const OUTPUTS: usize = 2;
    const TAPS: usize = 3;

    #[inline(always)]
    fn input<S: Simd>(s: S, d: &mut [S::F32; MOST]) {
        let [d0, d1, d2, d3, ..] = *d;
        d[0] = s.sub(d0, d2);
        d[1] = s.add(d2, d1);
        d[2] = s.sub(d2, d1);
        d[3] = s.sub(d3, d1);
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: &mut [S::F32; MOST]) {
        let [m0, m1, m2, m3, ..] = *m;
        m[0] = s.add(s.add(m0, m1), m2);
        m[1] = s.add(s.sub(m1, m2), m3);
    }

    #[inline(always)]
    fn weights<S: Simd>(s: S, g: [S::F32; 3]) -> [S::F32; MOST] {
        let half = s.splat(0.5);
        let even = s.mul(s.add(g[0], g[2]), half);
        [g[0], s.mul_add(g[1], half, even), s.neg_mul_add(g[1], half, even), g[2], g[2], g[2]]
    }
}

/// F(4, 3) at 0, ±√½, ±√2 and infinity.
pub(super) struct Four;

impl Form for Four {
    const OUTPUTS: usize = 4;
    const TAPS: usize = 3;

    #[inline(always)]
    fn input<S: Simd>(s: S, d: &mut [S::F32; MOST]) {
        let [d0, d1, d2, d3, d4, d5] = *d;
        let (a, b) = (s.splat(FRAC_1_SQRT_2), s.splat(SQRT_2));
        let (two, half, c) = (s.splat(2.0), s.splat(0.5), s.splat(2.5));
        let (even, odd) = (s.neg_mul_add(two, d2, d4), s.neg_mul_add(two, d1, d3));
        d[1] = s.mul_add(a, odd, even);
        d[2] = s.neg_mul_add(a, odd, even);
        let (even, odd) = (s.neg_mul_add(half, d2, d4), s.neg_mul_add(half, d1, d3));
        d[3] = s.mul_add(b, odd, even);
        d[4] = s.neg_mul_add(b, odd, even);
        d[0] = s.neg_mul_add(c, d2, s.add(d0, d4));
        d[5] = s.neg_mul_add(c, d3, s.add(d1, d5));
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: &mut [S::F32; MOST]) {
        let [m0, m1, m2, m3, m4, m5] = *m;
        let (sum_a, difference_a) = (s.add(m1, m2), s.sub(m1, m2));
        let (sum_b, difference_b) = (s.add(m3, m4), s.sub(m3, m4));
        m[0] = s.add(s.add(m0, sum_a), sum_b);
        m[1] = s.mul_add(s.splat(FRAC_1_SQRT_2), difference_a, s.mul(s.splat(SQRT_2), difference_b));
        m[2] = s.mul_add(s.splat(0.5), sum_a, s.add(sum_b, sum_b));
        m[3] = s.mul_add(s.splat(2.0 * SQRT_2), difference_b, m5);
        m[3] = s.mul_add(s.splat(0.5 * FRAC_1_SQRT_2), difference_a, m[3]);
    }

    #[inline(always)]
    fn weights<S: Simd>(s: S, g: [S::F32; 3]) -> [S::F32; MOST] {
        let (near, far) = (s.splat(-2.0 / 3.0), s.splat(1.0 / 6.0));
        let (even_a, even_b) = (
            s.mul(near, s.mul_add(s.splat(0.5), g[2], g[0])),
            s.mul(far, s.mul_add(s.splat(2.0), g[2], g[0])),
        );
        let (a, b) = (s.splat(-2.0 / 3.0 * FRAC_1_SQRT_2), s.splat(SQRT_2 / 6.0));
        [
            g[0],
            s.mul_add(a, g[1], even_a),
            s.neg_mul_add(a, g[1], even_a),
            s.mul_add(b, g[1], even_b),
            s.neg_mul_add(b, g[1], even_b),
            g[2],
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Scalar;

    /// The form's output against the sum that it stands for.
    fn check<F: Form>() {
        let s = Scalar::new();
        let g = [0.75, -1.25, 2.0].map(|x| s.splat(x));
        let mut d = [0.5, -1.0, 3.0, 0.25, -2.0, 1.5].map(|x| s.splat(x));
        let signal = d.map(|x| s.to_array(x)[0]);
        let taps: [f32; 3] = g.map(|x| s.to_array(x)[0]);
        let u = F::weights(s, g);
        F::input(s, &mut d);
        for (d, u) in d.iter_mut().zip(u) {
            *d = s.mul(*d, u);
        }
        F::output(s, &mut d);
        for (i, y) in d.iter().enumerate().take(F::OUTPUTS) {
            let expected: f32 = (0..F::TAPS).map(|k| taps[k] * signal[i + k]).sum();
            let y = s.to_array(*y)[0];
            assert!((y - expected).abs() < 1e-5, "output {i}: {y}, expected {expected}");
        }
    }

    #[test]
    fn forms_are_short_convolutions() {
        check::<One>();
        check::<Two>();
        check::<Four>();
    }
}
