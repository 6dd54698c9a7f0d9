//! The arithmetic of each element type for kernels that are plain loops: what a sum is held in, how products are
//! added to it and how it is rounded back. `f32` has kernels of its own.

use crate::map::Unary;
use crate::math::scalar64;
use crate::simd::{Op, Simd, dispatch, float};
use crate::{Act, bf16, f16};

/// The arithmetic of a type. Sums of `f16` and `bf16` are held in `f32`; integers wrap.
pub trait Arithmetic: Copy {
    /// What sums are held in.
    type Sum: Copy;
    const ZERO: Self::Sum;
    /// Not above anything: what the maximum of nothing is.
    const LOWEST: Self;
    fn widen(self) -> Self::Sum;
    fn narrow(sum: Self::Sum) -> Self;
    /// `a * b + c`; of floats rounded once.
    fn mul_add(a: Self::Sum, b: Self::Sum, c: Self::Sum) -> Self::Sum;
    fn add(a: Self::Sum, b: Self::Sum) -> Self::Sum;
    /// `a / n`, `n` not 0; of integers towards zero.
    fn divide(a: Self::Sum, n: usize) -> Self::Sum;
    /// The larger; NaN when either is.
    fn max(self, other: Self) -> Self;
    fn activate(act: Act, x: Self::Sum) -> Self::Sum;
}

/// `act` of one `f64`.
pub(crate) fn activate64(act: Act, x: f64) -> f64 {
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
        Act::HardSigmoid { alpha, beta } => {
            activate64(Act::Clip { lo: 0.0, hi: 1.0 }, activate64(Act::Affine { alpha, beta }, x))
        }
        Act::HardSwish { alpha, beta } => x * activate64(Act::HardSigmoid { alpha, beta }, x),
        Act::Softplus => scalar64::unary(Unary::Softplus, x),
        Act::Softsign => x / (1.0 + x.abs()),
        Act::ThresholdedRelu { alpha } if x > f64::from(alpha) => x,
        Act::ThresholdedRelu { .. } => 0.0,
        Act::ScaledTanh { alpha, beta } => {
            f64::from(alpha) * scalar64::unary(Unary::Tanh, f64::from(beta) * x)
        }
        Act::Affine { alpha, beta } => fma64(f64::from(alpha), x, f64::from(beta)),
        // No pass gives it to sums that are not of `f32`.
        Act::FakeQuantize { .. } => f64::from(act.apply(x as f32)),
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
            fn mul_add(a: $sum, b: $sum, c: $sum) -> $sum { $fma(a, b, c) }
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
            fn mul_add(a: $sum, b: $sum, c: $sum) -> $sum { a.wrapping_mul(b).wrapping_add(c) }
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

/// Loops that are written without vectors.
pub(crate) trait Kernel {
    /// Must be inlined always.
    fn run(self);
}

/// Runs a kernel of floats, compiled for the CPU's instruction set: without it each fused multiply-add is a call
/// into the C library.
pub(crate) fn run_float(kernel: impl Kernel) {
    dispatch(Plain(kernel));
}

struct Plain<K>(K);

impl<K: Kernel> Op for Plain<K> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        self.0.run();
    }
}
