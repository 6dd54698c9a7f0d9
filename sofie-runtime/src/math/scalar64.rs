//! The float functions of [`Unary`] on one `f64`, by the `libm` crate.
//! Composite functions are composed as their definition says, so that fusing a graph's own
//! `x * sigmoid(x)` keeps its infinities and NaN.

use crate::map::Unary;
use core::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// `op` on `x`; the operations that are a line of plain arithmetic have no entry here.
#[inline(never)]
pub(crate) fn unary(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Sqrt => libm::sqrt(x),
        Unary::Exp => libm::exp(x),
        Unary::Expm1 => libm::expm1(x),
        Unary::Log => libm::log(x),
        Unary::Log1p => libm::log1p(x),
        Unary::Sin => libm::sin(x),
        Unary::Cos => libm::cos(x),
        Unary::Tan => libm::tan(x),
        Unary::Asin => libm::asin(x),
        Unary::Acos => libm::acos(x),
        Unary::Atan => libm::atan(x),
        Unary::Sinh => libm::sinh(x),
        Unary::Cosh => libm::cosh(x),
        Unary::Tanh => libm::tanh(x),
        Unary::Asinh => libm::asinh(x),
        // Between -2^26 and -2 libm gives numbers.
        Unary::Acosh if x < 1.0 => f64::NAN,
        Unary::Acosh => libm::acosh(x),
        Unary::Atanh => libm::atanh(x),
        Unary::Erf => libm::erf(x),
        Unary::Sigmoid => sigmoid(x),
        Unary::Softplus => x.max(0.0) + libm::log1p(libm::exp(-x.abs())),
        Unary::Silu => x * sigmoid(x),
        Unary::GeluErf => 0.5 * x * (1.0 + libm::erf(x * FRAC_1_SQRT_2)),
        Unary::GeluTanh => 0.5 * x * (1.0 + libm::tanh(libm::sqrt(FRAC_2_PI) * (x + 0.044715 * (x * x * x)))),
        Unary::Floor => libm::floor(x),
        Unary::Ceil => libm::ceil(x),
        Unary::Round => libm::rint(x),
        Unary::Trunc => libm::trunc(x),
        _ => unreachable!("{op:?} is not an elementary function"),
    }
}

/// `x^y`, C's `pow`.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    libm::pow(x, y)
}

/// Either branch takes the exponential of a negative number: no overflow, no lost subnormals.
fn sigmoid(x: f64) -> f64 {
    if x < 0.0 {
        let e = libm::exp(x);
        e / (1.0 + e)
    } else {
        1.0 / (1.0 + libm::exp(-x))
    }
}
