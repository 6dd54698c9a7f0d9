//! The `f32` functions of [`Unary`] and [`Binary`] as types, so that a loop can be compiled for each.
//! Types and not closures: a closure inside a kernel is compiled without the kernel's instruction set.

use crate::map::{Binary, Unary};
use crate::simd::Simd;

/// A function of one `f32`, at every vector width.
pub(crate) trait Fn1: Copy {
    /// The function of each lane.
    fn call<S: Simd>(self, s: S, x: S::F32) -> S::F32;
}

/// A function of two `f32`, at every vector width.
pub(crate) trait Fn2: Copy {
    /// The function of each pair of lanes.
    fn call<S: Simd>(self, s: S, x: S::F32, y: S::F32) -> S::F32;
}

/// Receives the function that a [`Binary`] is.
pub(crate) trait VisitFn2 {
    /// Called exactly once.
    fn visit<F: Fn2>(self, f: F);
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

/// `f` of each pair of lanes, where there is no vector form.
#[inline(always)]
fn each_lane<S: Simd>(s: S, x: S::F32, y: S::F32, f: fn(f32, f32) -> f32) -> S::F32 {
    let (mut x, y) = (s.to_array(x), s.to_array(y));
    for (x, y) in x.iter_mut().zip(y) {
        *x = f(*x, y);
    }
    s.load(&x)
}

macro_rules! functions2 {
    ($($op:ident = |$s:ident, $x:ident, $y:ident| $call:expr;)*) => {
        mod names2 {
            $(#[derive(Clone, Copy)] pub(super) struct $op;)*
        }

        $(impl Fn2 for names2::$op {
            #[inline(always)]
            fn call<S: Simd>(self, $s: S, $x: S::F32, $y: S::F32) -> S::F32 { $call }
        })*

        /// Hands the function of `op`, which must be from two `f32` to `f32`, to `v`.
        #[inline(always)]
        pub(crate) fn visit2(op: Binary, v: impl VisitFn2) {
            match op {
                $(Binary::$op => v.visit(names2::$op),)*
                _ => unreachable!("{op:?} is not a function from f32 to f32"),
            }
        }
    };
}

functions2! {
    Add = |s, x, y| s.add(x, y);
    Sub = |s, x, y| s.sub(x, y);
    Mul = |s, x, y| s.mul(x, y);
    Div = |s, x, y| s.div(x, y);
    Min = |s, x, y| s.min(x, y);
    Max = |s, x, y| s.max(x, y);
    Pow = |s, x, y| super::pow(s, x, y);
    Mod = |s, x, y| each_lane(s, x, y, crate::map::num::modulo32);
    Fmod = |s, x, y| each_lane(s, x, y, |x, y| x % y);
}
