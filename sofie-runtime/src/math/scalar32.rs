//! The `f32` functions on one value and on slices: the loops of the map kernels, so the same bits.

use crate::map::vector::{binary_of, unary_in_place};
use crate::map::{Binary, Unary};

/// `op` on each element, in place.
pub(crate) fn unary_slice(op: Unary, x: &mut [f32]) {
    unary_in_place(op, x);
}

/// `op` on `x`.
#[inline(never)]
pub(crate) fn unary(op: Unary, x: f32) -> f32 {
    let mut y = [x];
    unary_in_place(op, &mut y);
    y[0]
}

/// `x^y`.
pub(crate) fn pow(x: f32, y: f32) -> f32 {
    binary_of(Binary::Pow, x, y)
}
