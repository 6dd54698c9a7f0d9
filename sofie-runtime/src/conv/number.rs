//! The element types that convolution, pooling and resampling take, and the arithmetic of each: what a sum is
//! held in and how it is rounded back. `f32` has kernels of its own; the other types run the plain loops,
//! compiled once for each type inside this crate.

use super::{Conv, ConvTranspose, plain};
use crate::interpolate::{self, Interpolate};
use crate::map::Unary;
use crate::math::scalar64;
use crate::pool::{self, Pool};
use crate::simd::{Op, Simd, dispatch, float};
use crate::{Act, Element, bf16, f16};

/// An element type that these kernels take: all but `bool`.
///
/// `f16` and `bf16` are summed in `f32`, integers wrap.
pub trait Number: Element + Arithmetic {
    #[doc(hidden)]
    fn conv(conv: &Conv, y: &mut [Self], x: &[Self], w: &[Self], bias: &[Self], residual: &[Self]);
    #[doc(hidden)]
    fn conv_transpose(
        conv: &ConvTranspose,
        y: &mut [Self],
        x: &[Self],
        w: &[Self],
        bias: &[Self],
        residual: &[Self],
    );
    #[doc(hidden)]
    fn pool(pool: &Pool, y: &mut [Self], x: &[Self]);
    #[doc(hidden)]
    fn interpolate(i: &Interpolate, y: &mut [Self], x: &[Self], index: &[u32], weight: &[f32]);
}

pub(crate) mod sealed {
    use crate::Act;

    /// The arithmetic of a type.
    pub trait Arithmetic: Copy {
        /// What sums are held in.
        type Sum: Copy;
        const ZERO: Self::Sum;
        /// Not above anything: what the maximum of nothing is.
        const LOWEST: Self;
        fn widen(self) -> Self::Sum;
        fn narrow(sum: Self::Sum) -> Self;
        fn from_f32(x: f32) -> Self::Sum;
        /// `a * b + c`; of floats rounded once.
        fn mul_add(a: Self::Sum, b: Self::Sum, c: Self::Sum) -> Self::Sum;
        fn mul(a: Self::Sum, b: Self::Sum) -> Self::Sum;
        fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;
        /// `a / n`, `n` not 0; of integers towards zero.
        fn divide(a: Self::Sum, n: usize) -> Self::Sum;
        /// The larger; NaN when either is.
        fn max(self, other: Self) -> Self;
        fn activate(act: Act, x: Self::Sum) -> Self::Sum;
    }
}

pub(crate) use sealed::Arithmetic;

/// `act` of one `f64`.
fn activate64(act: Act, x: f64) -> f64 {
    match act {
        Act::None => x,
        Act::Relu if x < 0.0 => 0.0,
        Act::Relu => x,
        Act::LeakyRelu { .. } if x >= 0.0 => x,
        Act::LeakyRelu { alpha } => x * f64::from(alpha),
        Act::Clip { lo, hi } => {
            let (lo, hi) = (f64::from(lo), f64::from(hi));
            let x = if lo > x { lo } else { x };
            if hi < x { hi } else { x }
        }
        Act::Elu { .. } if x >= 0.0 => x,
        Act::Elu { alpha } => scalar64::unary(Unary::Expm1, x) * f64::from(alpha),
        Act::Sigmoid => scalar64::unary(Unary::Sigmoid, x),
        Act::Tanh => scalar64::unary(Unary::Tanh, x),
        Act::Silu => scalar64::unary(Unary::Silu, x),
        Act::GeluErf => scalar64::unary(Unary::GeluErf, x),
        Act::GeluTanh => scalar64::unary(Unary::GeluTanh, x),
    }
}

#[inline(always)]
fn fma64(a: f64, b: f64, c: f64) -> f64 {
    #[cfg(feature = "std")]
    {
        a.mul_add(b, c)
    }
    #[cfg(not(feature = "std"))]
    {
        libm::fma(a, b, c)
    }
}

macro_rules! float {
    ($($t:ty, $sum:ty, $x:ident => $widen:expr, $y:ident => $narrow:expr, $fma:path, $activate:path;)*) => {$(
        impl Arithmetic for $t {
            type Sum = $sum;
            const ZERO: $sum = 0.0;
            const LOWEST: $t = <$t>::NEG_INFINITY;
            #[inline(always)]
            fn widen(self) -> $sum { let $x = self; $widen }
            #[inline(always)]
            fn narrow($y: $sum) -> $t { $narrow }
            #[inline(always)]
            fn from_f32(x: f32) -> $sum { x.into() }
            #[inline(always)]
            fn mul_add(a: $sum, b: $sum, c: $sum) -> $sum { $fma(a, b, c) }
            #[inline(always)]
            fn mul(a: $sum, b: $sum) -> $sum { a * b }
            #[inline(always)]
            fn add(a: $sum, b: $sum) -> $sum { a + b }
            #[inline(always)]
            fn divide(a: $sum, n: usize) -> $sum { a / n as $sum }
            #[inline(always)]
            fn max(self, other: $t) -> $t { if self > other || self.is_nan() { self } else { other } }
            fn activate(act: Act, x: $sum) -> $sum { $activate(act, x) }
        }
    )*};
}

float! {
    f32, f32, x => x, y => y, float::mul_add, Act::apply;
    f64, f64, x => x, y => y, fma64, activate64;
    f16, f32, x => x.to_f32(), y => f16::from_f32(y), float::mul_add, Act::apply;
    bf16, f32, x => x.to_f32(), y => bf16::from_f32(y), float::mul_add, Act::apply;
}

macro_rules! integer {
    ($($t:ty, $sum:ty;)*) => {$(
        impl Arithmetic for $t {
            type Sum = $sum;
            const ZERO: $sum = 0;
            const LOWEST: $t = <$t>::MIN;
            #[inline(always)]
            fn widen(self) -> $sum { self as $sum }
            #[inline(always)]
            fn narrow(sum: $sum) -> $t { sum as $t }
            #[inline(always)]
            fn from_f32(x: f32) -> $sum { x as $sum }
            #[inline(always)]
            fn mul_add(a: $sum, b: $sum, c: $sum) -> $sum { a.wrapping_mul(b).wrapping_add(c) }
            #[inline(always)]
            fn mul(a: $sum, b: $sum) -> $sum { a.wrapping_mul(b) }
            #[inline(always)]
            fn add(a: $sum, b: $sum) -> $sum { a.wrapping_add(b) }
            #[inline(always)]
            fn divide(a: $sum, n: usize) -> $sum { a / n as $sum }
            #[inline(always)]
            fn max(self, other: $t) -> $t { Ord::max(self, other) }
            fn activate(act: Act, x: $sum) -> $sum {
                match act {
                    Act::None => x,
                    Act::Relu => Ord::max(x, 0),
                    _ => unreachable!("{act:?} of integers"),
                }
            }
        }
    )*};
}

// Sums modulo 2^64, cut to the type's bits, are sums that wrap in the type.
integer! { i8, i64; i16, i64; i32, i64; i64, i64; u8, u64; u16, u64; u32, u64; u64, u64; }

/// A plain kernel as an [`Op`]: the loops are written without vectors, but compiled for the instruction set
/// that has fused multiply-add, without which each one of `f64` is a call into the C library.
struct Plain<F>(F);

impl<F: Kernel> Op for Plain<F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.0.run();
    }
}

/// What [`Plain`] runs.
pub(crate) trait Kernel {
    /// Must be inlined always.
    fn run(self);
}

/// Runs a plain kernel, compiled for the CPU's instruction set.
pub(crate) fn run_plain(kernel: impl Kernel) {
    dispatch(Plain(kernel));
}

macro_rules! numbers {
    ($($t:ty)*) => {$(
        impl Number for $t {
            fn conv(conv: &Conv, y: &mut [$t], x: &[$t], w: &[$t], bias: &[$t], residual: &[$t]) {
                run_plain(plain::Forward { conv, y, x, w, bias, residual });
            }
            fn conv_transpose(
                conv: &ConvTranspose, y: &mut [$t], x: &[$t], w: &[$t], bias: &[$t], residual: &[$t],
            ) {
                run_plain(plain::Transposed { conv, y, x, w, bias, residual });
            }
            fn pool(pool: &Pool, y: &mut [$t], x: &[$t]) {
                run_plain(pool::plain::Windows { pool, y, x });
            }
            fn interpolate(i: &Interpolate, y: &mut [$t], x: &[$t], index: &[u32], weight: &[f32]) {
                run_plain(interpolate::plain::Taps { interpolate: i, y, x, index, weight });
            }
        }
    )*};
}

numbers! { f32 f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64 }
