//! The `f32` functions of [`Unary`] as types, so that a loop can be compiled for each.
//! Types and not closures: a closure inside a kernel is compiled without the kernel's instruction set.

use crate::map::Unary;
use crate::simd::Simd;

/// A function of one `f32`, at every vector width.
pub(crate) trait Fn1: Copy {
    /// The function of each lane.
    fn call<S: Simd>(self, s: S, x: S::F32) -> S::F32;
}

/// Receives the function that a [`Unary`] is.
pub(crate) trait VisitFn1 {
    /// Called exactly once.
    fn visit<F: Fn1>(self, f: F);
}

/// The lanes of `yes` where `x` is above 0, `-yes` below, 0 at both zeros, NaN kept.
#[inline(always)]
fn sign<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let one = s.copysign(s.splat(1.0), x);
    let zero = s.add(x, s.zero());
    s.select(s.mask_or(s.lt(x, s.zero()), s.lt(s.zero(), x)), one, zero)
}

#[inline(always)]
fn reciprocal<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.div(s.splat(1.0), x)
}

#[inline(always)]
fn relu<S: Simd>(s: S, x: S::F32) -> S::F32 {
    s.max_raw(s.zero(), x)
}

macro_rules! functions {
    ($($op:ident = |$s:ident, $x:ident| $call:expr;)*) => {
        mod names {
            $(#[derive(Clone, Copy)] pub(super) struct $op;)*
        }

        $(impl Fn1 for names::$op {
            #[inline(always)]
            fn call<S: Simd>(self, $s: S, $x: S::F32) -> S::F32 { $call }
        })*

        /// Hands the function of `op`, which must be from `f32` to `f32`, to `v`.
        #[inline(always)]
        pub(crate) fn visit(op: Unary, v: impl VisitFn1) {
            match op {
                $(Unary::$op => v.visit(names::$op),)*
                Unary::Not | Unary::BitNot | Unary::IsNan | Unary::IsPosInf | Unary::IsNegInf => {
                    unreachable!("{op:?} is not a function from f32 to f32")
                }
            }
        }
    };
}

functions! {
    Neg = |s, x| s.neg(x);
    Abs = |s, x| s.abs(x);
    Sign = |s, x| sign(s, x);
    Reciprocal = |s, x| reciprocal(s, x);
    Sqrt = |s, x| s.sqrt(x);
    Exp = |s, x| super::exp(s, x);
    Expm1 = |s, x| super::expm1(s, x);
    Log = |s, x| super::log(s, x);
    Log1p = |s, x| super::log1p(s, x);
    Sin = |s, x| super::sin(s, x);
    Cos = |s, x| super::cos(s, x);
    Tan = |s, x| super::tan(s, x);
    Asin = |s, x| super::asin(s, x);
    Acos = |s, x| super::acos(s, x);
    Atan = |s, x| super::atan(s, x);
    Sinh = |s, x| super::sinh(s, x);
    Cosh = |s, x| super::cosh(s, x);
    Tanh = |s, x| super::tanh(s, x);
    Asinh = |s, x| super::asinh(s, x);
    Acosh = |s, x| super::acosh(s, x);
    Atanh = |s, x| super::atanh(s, x);
    Erf = |s, x| super::erf(s, x);
    Sigmoid = |s, x| super::sigmoid(s, x);
    Softplus = |s, x| super::softplus(s, x);
    Silu = |s, x| super::silu(s, x);
    GeluErf = |s, x| super::gelu_erf(s, x);
    GeluTanh = |s, x| super::gelu_tanh(s, x);
    Relu = |s, x| relu(s, x);
    Floor = |s, x| s.floor(x);
    Ceil = |s, x| s.ceil(x);
    Round = |s, x| s.round_ties_even(x);
    Trunc = |s, x| s.trunc(x);
}
