//! The closed set of activations that a GEMM or convolution applies before its only store.
//! Anything richer is a map of its own; this set stays small because every tile has it inline.

/// An elementwise function of one `f32`, applied where a product is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
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
}
