//! The closed set of activations that a product or a convolution applies to its result: those of a register or two
//! before its only store, the others to what it has just stored. Anything richer is a map of its own.

use crate::DType;
use crate::map::Unary;
use crate::map::vector::unary_of;
use crate::math;
use crate::quantise;
use crate::simd::Simd;

/// An elementwise function of one `f32`, applied where a product is stored.
///
/// Aligned so that a copy is one store: two halves that are read in other parts than they were written stalled a small
/// product (16 x 16 in one row: 31.4 ns, now 29.7).
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(align(16))]
pub enum Act {
    /// `x`.
    None,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// `x` where `x >= 0`, else `alpha * x`.
    LeakyRelu {
        /// Slope of the negative side.
        alpha: f32,
    },
    /// `min(max(x, lo), hi)`; NaN stays NaN.
    Clip {
        /// Lower bound.
        lo: f32,
        /// Upper bound.
        hi: f32,
    },
    /// `x` where `x >= 0`, else `alpha * (e^x - 1)`.
    Elu {
        /// Scale of the negative side.
        alpha: f32,
    },
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x/2 * (1 + erf(x / sqrt 2))`.
    GeluErf,
    /// The tanh form of GELU.
    GeluTanh,
    /// `min(max(alpha * x + beta, 0), 1)`; NaN stays NaN.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `x * min(max(alpha * x + beta, 0), 1)`.
    HardSwish {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `ln(1 + e^x)`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x` where `x > alpha`, else 0; NaN becomes 0, as the comparison has it.
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// `alpha * tanh(beta * x)`.
    ScaledTanh {
        /// Scale of the result.
        alpha: f32,
        /// Scale of the argument.
        beta: f32,
    },
    /// `alpha * x + beta`.
    Affine {
        /// Slope.
        alpha: f32,
        /// Value at 0.
        beta: f32,
    },
    /// `(saturate(round(x / scale) + zero) - zero) * scale`: the nearest number that an integer of the type stands for.
    FakeQuantize {
        /// From one such number to the next.
        scale: f32,
        /// The integer of 0.
        zero: f32,
        /// The integer type: `i8`, `u8`, `i16` or `u16`.
        to: DType,
    },
}

impl Act {
    /// The function of one number, with the bits that a kernel gives.
    #[must_use]
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Act::None => x,
            Act::Relu => unary_of(Unary::Relu, x),
            Act::LeakyRelu { .. } if x >= 0.0 => x,
            Act::LeakyRelu { alpha } => x * alpha,
            Act::Clip { lo, .. } if lo > x => self.apply(lo),
            Act::Clip { hi, .. } if hi < x => hi,
            Act::Clip { .. } => x,
            Act::Elu { .. } if x >= 0.0 => x,
            Act::Elu { alpha } => unary_of(Unary::Expm1, x) * alpha,
            Act::Sigmoid => unary_of(Unary::Sigmoid, x),
            Act::Tanh => unary_of(Unary::Tanh, x),
            Act::Silu => unary_of(Unary::Silu, x),
            Act::GeluErf => unary_of(Unary::GeluErf, x),
            Act::GeluTanh => unary_of(Unary::GeluTanh, x),
            Act::HardSigmoid { alpha, beta } => {
                Act::Clip { lo: 0.0, hi: 1.0 }.apply(Act::Affine { alpha, beta }.apply(x))
            }
            Act::HardSwish { alpha, beta } => x * Act::HardSigmoid { alpha, beta }.apply(x),
            Act::Softplus => unary_of(Unary::Softplus, x),
            Act::Softsign => x / (1.0 + x.abs()),
            Act::ThresholdedRelu { alpha } if x > alpha => x,
            Act::ThresholdedRelu { .. } => 0.0,
            Act::ScaledTanh { alpha, beta } => unary_of(Unary::Tanh, x * beta) * alpha,
            Act::Affine { alpha, beta } => libm::fmaf(x, alpha, beta),
            Act::FakeQuantize { scale, zero, to } => quantise::fake_quantize_one(to, x, scale, zero),
        }
    }
}

/// The function of each lane. Not in terms of itself: what is recursive is not inlined.
#[inline(always)]
pub fn apply<S: Simd>(s: S, act: Act, x: S::F32) -> S::F32 {
    match act {
        Act::None => x,
        Act::Relu => s.max_raw(s.zero(), x),
        Act::LeakyRelu { alpha } => s.select(s.ge(x, s.zero()), x, s.mul(x, s.splat(alpha))),
        Act::Clip { lo, hi } => s.min_raw(s.splat(hi), s.max_raw(s.splat(lo), x)),
        Act::Elu { alpha } => {
            let y = math::expm1_of_negative(s, x);
            s.select(s.ge(x, s.zero()), x, s.mul(y, s.splat(alpha)))
        }
        Act::Sigmoid => math::sigmoid(s, x),
        Act::Tanh => math::tanh(s, x),
        Act::Silu => math::silu(s, x),
        Act::GeluErf => math::gelu_erf(s, x),
        Act::GeluTanh => math::gelu_tanh(s, x),
        Act::HardSigmoid { alpha, beta } => hard_sigmoid(s, alpha, beta, x),
        Act::HardSwish { alpha, beta } => s.mul(x, hard_sigmoid(s, alpha, beta, x)),
        Act::Softplus => math::softplus(s, x),
        Act::Softsign => s.div(x, s.add(s.splat(1.0), s.abs(x))),
        Act::ThresholdedRelu { alpha } => s.select(s.gt(x, s.splat(alpha)), x, s.zero()),
        Act::ScaledTanh { alpha, beta } => s.mul(math::tanh(s, s.mul(x, s.splat(beta))), s.splat(alpha)),
        Act::Affine { alpha, beta } => s.mul_add(x, s.splat(alpha), s.splat(beta)),
        Act::FakeQuantize { scale, zero, to } => {
            let by = quantise::quantizer(s, to, Some(scale), Some(zero));
            by.nearest(s, x, s.splat(scale), s.splat(zero))
        }
    }
}

#[inline(always)]
fn hard_sigmoid<S: Simd>(s: S, alpha: f32, beta: f32, x: S::F32) -> S::F32 {
    let y = s.mul_add(x, s.splat(alpha), s.splat(beta));
    s.min_raw(s.splat(1.0), s.max_raw(s.zero(), y))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Op, dispatch, for_each_level};

    struct Lanes(Act, f32);

    impl Op for Lanes {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            s.to_array(apply(s, self.0, s.splat(self.1)))[5]
        }
    }

    const SAMPLES: [f32; 18] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.3,
        -0.3,
        7.5,
        -7.5,
        -17.5,
        -20.5,
        90.0,
        -90.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MIN_POSITIVE,
        -f32::MIN_POSITIVE,
        -1e-45,
        -1e-6,
    ];

    #[test]
    fn vectors_and_single_numbers_agree() {
        let all = [
            Act::None,
            Act::Relu,
            Act::LeakyRelu { alpha: 0.1 },
            Act::Clip { lo: -0.5, hi: 6.0 },
            Act::Clip { lo: 2.0, hi: 1.0 },
            Act::Elu { alpha: 1.5 },
            Act::Sigmoid,
            Act::Tanh,
            Act::Silu,
            Act::GeluErf,
            Act::GeluTanh,
            Act::HardSigmoid { alpha: 0.2, beta: 0.5 },
            Act::HardSwish { alpha: 0.2, beta: 0.5 },
            Act::Softplus,
            Act::Softsign,
            Act::ThresholdedRelu { alpha: 0.3 },
            Act::ScaledTanh { alpha: 1.7, beta: 0.6 },
            Act::Affine { alpha: 0.3, beta: -1.0 },
            Act::FakeQuantize { scale: 0.07, zero: -3.0, to: DType::I8 },
            Act::FakeQuantize { scale: 0.03, zero: 128.0, to: DType::U8 },
            Act::FakeQuantize { scale: 0.001, zero: 0.0, to: DType::U16 },
        ];
        for_each_level(|level| {
            for act in all {
                for x in SAMPLES {
                    let (one, lane) = (act.apply(x), dispatch(Lanes(act, x)));
                    let same = one.to_bits() == lane.to_bits() || one.is_nan() && lane.is_nan();
                    assert!(same, "{act:?}({x}): {one:e}, {lane:e} at {}", level.name());
                }
            }
        });
    }

    #[test]
    fn piecewise_activations() {
        let elu = Act::Elu { alpha: 2.0 };
        assert_eq!(elu.apply(3.0), 3.0);
        assert_eq!(elu.apply(f32::NEG_INFINITY), -2.0);
        assert!((elu.apply(-1.0) - 2.0 * (-1f32).exp_m1()).abs() < 1e-6);
        let leaky = Act::LeakyRelu { alpha: -0.5 };
        assert_eq!((leaky.apply(2.0), leaky.apply(-2.0)), (2.0, 1.0));
        let clip = Act::Clip { lo: -1.0, hi: 6.0 };
        assert_eq!((clip.apply(-3.0), clip.apply(0.5), clip.apply(9.0)), (-1.0, 0.5, 6.0));
        assert_eq!(Act::Clip { lo: 2.0, hi: 1.0 }.apply(5.0), 1.0, "crossed bounds: the upper one wins");
        let hard = Act::HardSigmoid { alpha: 0.2, beta: 0.5 };
        assert_eq!((hard.apply(-3.0), hard.apply(0.0), hard.apply(9.0)), (0.0, 0.5, 1.0));
        let thresholded = Act::ThresholdedRelu { alpha: 1.0 };
        assert_eq!((thresholded.apply(1.0), thresholded.apply(1.5)), (0.0, 1.5));
        assert_eq!(Act::Softsign.apply(-3.0), -0.75);
        let all =
            [elu, leaky, clip, hard, Act::None, Act::Relu, Act::Sigmoid, Act::Tanh, Act::Silu, Act::Softsign];
        for act in all.into_iter().chain([Act::GeluErf, Act::GeluTanh]) {
            assert!(act.apply(f32::NAN).is_nan(), "{act:?} keeps NaN");
        }
    }
}
