//! The float functions of [`Unary`] on one `f32`.

use super::scalar64;
use crate::map::Unary;

/// `op` on `x`; the operations that are a line of plain arithmetic have no entry here.
pub(crate) fn unary(op: Unary, x: f32) -> f32 {
    match op {
        Unary::Sqrt => libm::sqrtf(x),
        Unary::Floor => libm::floorf(x),
        Unary::Ceil => libm::ceilf(x),
        Unary::Round => libm::rintf(x),
        Unary::Trunc => libm::truncf(x),
        _ => scalar64::unary(op, x as f64) as f32,
    }
}

/// `x^y`, C's `pow`.
pub(crate) fn pow(x: f32, y: f32) -> f32 {
    scalar64::pow(x as f64, y as f64) as f32
}
