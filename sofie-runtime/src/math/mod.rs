//! Elementary functions: `f32` by one set of polynomials at every vector width, `f64` by `libm`.
//!
//! Each `f32` function is written once over [`Simd`], with explicit fused multiply-adds, so that every
//! instruction set gives the same bits, and no result depends on the host's C library. Polynomials are
//! minimax fits (Remez exchange in 50 digits, weighted for relative error, coefficients rounded to `f32` from
//! the lowest order up with the rest fitted again); each file states the error of its fit and the largest
//! error of the function over all 2^32 arguments.

mod erf;
mod exp;
mod gelu;
mod hyperbolic;
mod inverse;
mod log;
mod pow;
pub(crate) mod scalar64;
mod sigmoid;
mod table;
#[cfg(test)]
mod tests;
mod trig;

pub use erf::erf;
pub use exp::{exp, expm1};
pub use gelu::gelu_erf;
pub use hyperbolic::{acosh, asinh, atanh, cosh, sinh, tanh};
pub use inverse::{acos, asin, atan};
pub use log::{log, log1p, softplus};
pub use pow::pow;
pub use sigmoid::{gelu_tanh, sigmoid, silu};
pub use trig::{cos, sin, tan};

pub(crate) use exp::{exp_bounded, exp_of_negative, expm1_bounded, expm1_of_negative};
pub(crate) use table::{Fn1, Fn2, VisitFn1, VisitFn2, visit, visit2};

use crate::simd::Simd;

/// `c[0] + c[1] x + c[2] x^2 + …`, one chain of fused multiply-adds from the highest order.
#[inline(always)]
pub(crate) fn horner<S: Simd, const N: usize>(s: S, x: S::F32, c: [f32; N]) -> S::F32 {
    let mut y = s.splat(c[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        y = s.mul_add(y, x, s.splat(c[i]));
    }
    y
}
