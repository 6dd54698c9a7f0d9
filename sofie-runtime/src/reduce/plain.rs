//! Reductions of the other element types: one result at a time, in the order of the reduced axes.

use super::{Reduce, ReduceKind, Walk};
use crate::copy::RANK;
use crate::{DType, bf16, f16};

/// An element type with the type that it is folded in.
trait Folded: Copy {
    type Acc: Accumulator;
    /// The type that a mean is made in: of integers the sum may leave the elements' own.
    type Mean: Accumulator;
    /// Whether roots and logarithms must leave the type to be meant.
    const INTEGER: bool;
    fn load(self) -> Self::Acc;
    fn store(acc: Self::Acc) -> Self;
    fn load_mean(self) -> Self::Mean;
    fn store_mean(mean: Self::Mean) -> Self;
    fn widen(self) -> f64;
    fn narrow(x: f64) -> Self;
}

/// What folding needs of a number.
trait Accumulator: Copy + PartialOrd {
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    const HIGHEST: Self;
    fn add(self, x: Self) -> Self;
    fn sub(self, x: Self) -> Self;
    fn mul(self, x: Self) -> Self;
    fn div(self, n: usize) -> Self;
    fn abs(self) -> Self;
    fn nan(self) -> bool;
    fn finite(self) -> bool;
    fn sqrt(self) -> Self;
    fn exp(self) -> Self;
    fn log(self) -> Self;
}

macro_rules! floats {
    ($($t:ident)*) => {$(
        impl Accumulator for $t {
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const LOWEST: $t = $t::NEG_INFINITY;
            const HIGHEST: $t = $t::INFINITY;
            fn add(self, x: $t) -> $t { self + x }
            fn sub(self, x: $t) -> $t { self - x }
            fn mul(self, x: $t) -> $t { self * x }
            fn div(self, n: usize) -> $t { self / n as $t }
            fn abs(self) -> $t { $t::from_bits(self.to_bits() << 1 >> 1) }
            fn nan(self) -> bool { self.is_nan() }
            fn finite(self) -> bool { self.is_finite() }
            fn sqrt(self) -> $t { libm::sqrt(self as f64) as $t }
            fn exp(self) -> $t { libm::exp(self as f64) as $t }
            fn log(self) -> $t { libm::log(self as f64) as $t }
        }
    )*};
}
floats!(f32 f64);

macro_rules! ints {
    ($($t:ident $abs:ident)*) => {$(
        impl Accumulator for $t {
            const ZERO: $t = 0;
            const ONE: $t = 1;
            const LOWEST: $t = $t::MIN;
            const HIGHEST: $t = $t::MAX;
            fn add(self, x: $t) -> $t { self.wrapping_add(x) }
            fn sub(self, x: $t) -> $t { self.wrapping_sub(x) }
            fn mul(self, x: $t) -> $t { self.wrapping_mul(x) }
            fn div(self, n: usize) -> $t {
                // No mean is outside of what it is the mean of.
                (self as i128 / n.max(1) as i128) as $t
            }
            fn abs(self) -> $t { $abs!(self) }
            fn nan(self) -> bool { false }
            fn finite(self) -> bool { true }
            fn sqrt(self) -> $t { libm::sqrt(self as f64) as $t }
            fn exp(self) -> $t { libm::exp(self as f64) as $t }
            fn log(self) -> $t { libm::log(self as f64) as $t }
        }
    )*};
}

macro_rules! signed {
    ($x:expr) => {
        $x.wrapping_abs()
    };
}
macro_rules! unsigned {
    ($x:expr) => {
        $x
    };
}
ints!(i8 signed i16 signed i32 signed i64 signed i128 signed u8 unsigned u16 unsigned u32 unsigned u64 unsigned);

macro_rules! folded_ints {
    ($($t:ident)*) => {$(
        impl Folded for $t {
            type Acc = $t;
            type Mean = i128;
            const INTEGER: bool = true;
            fn load(self) -> $t { self }
            fn store(acc: $t) -> $t { acc }
            fn load_mean(self) -> i128 { self as i128 }
            fn store_mean(mean: i128) -> $t { mean as $t }
            fn widen(self) -> f64 { self as f64 }
            fn narrow(x: f64) -> $t { x as $t }
        }
    )*};
}

folded_ints!(i8 i16 i32 i64 u8 u16 u32 u64);

impl Folded for f64 {
    type Acc = f64;
    type Mean = f64;
    const INTEGER: bool = false;
    fn widen(self) -> f64 {
        self
    }
    fn narrow(x: f64) -> f64 {
        x
    }
    fn load(self) -> f64 {
        self
    }
    fn store(acc: f64) -> f64 {
        acc
    }
    fn load_mean(self) -> f64 {
        self
    }
    fn store_mean(mean: f64) -> f64 {
        mean
    }
}

macro_rules! halves {
    ($($t:ident)*) => {$(
        impl Folded for $t {
            type Acc = f32;
            type Mean = f32;
            const INTEGER: bool = false;
            fn widen(self) -> f64 {
                self.to_f64()
            }
            fn narrow(x: f64) -> $t {
                $t::from_f64(x)
            }
            fn load(self) -> f32 { self.to_f32() }
            fn store(acc: f32) -> $t { $t::from_f32(acc) }
            fn load_mean(self) -> f32 { self.to_f32() }
            fn store_mean(mean: f32) -> $t { $t::from_f32(mean) }
        }
    )*};
}
halves!(f16 bf16);

/// # Safety
/// The walks of `r` stay inside the memory of `y` and `x`, elements of `dtype`.
pub(super) unsafe fn reduce(r: &Reduce, dtype: DType, y: *mut u8, x: *const u8) {
    macro_rules! run {
        ($t:ty) => {
            // SAFETY: the caller's promise; `$t` is the element type.
            unsafe { typed::<$t>(r, y.cast(), x.cast()) }
        };
    }
    match dtype {
        DType::F64 => run!(f64),
        DType::F16 => run!(f16),
        DType::BF16 => run!(bf16),
        DType::I8 => run!(i8),
        DType::I16 => run!(i16),
        DType::I32 => run!(i32),
        DType::I64 => run!(i64),
        DType::U8 | DType::Bool => run!(u8),
        DType::U16 => run!(u16),
        DType::U32 => run!(u32),
        DType::U64 => run!(u64),
        DType::F32 => unreachable!("f32 has kernels of its own"),
    }
}

/// # Safety
/// As [`reduce`].
unsafe fn typed<T: Folded>(r: &Reduce, y: *mut T, x: *const T) {
    let start = (r.y_offset as isize, r.x_offset as isize);
    let real = matches!(r.kind, ReduceKind::L2 | ReduceKind::LogSum | ReduceKind::LogSumExp);
    let mut walk = Walk::new(&r.dims[..r.rank], &r.y, &r.x, start);
    while let Some((py, px)) = walk.step() {
        let value = if T::INTEGER && real {
            T::narrow(fold_one(r.kind, r.count(), |from, f| fold(r, px, x, T::widen, from, f)))
        } else if r.kind == ReduceKind::Mean {
            T::store_mean(fold_one(r.kind, r.count(), |from, f| fold(r, px, x, T::load_mean, from, f)))
        } else {
            T::store(fold_one(r.kind, r.count(), |from, f| fold(r, px, x, T::load, from, f)))
        };
        // SAFETY: the walk is inside `y`.
        unsafe { *y.offset(py) = value };
    }
}

/// Folds the elements of one result, which `typed` promises to be inside `x`.
fn fold<T: Copy, A: Copy>(
    r: &Reduce,
    px: isize,
    x: *const T,
    load: impl Fn(T) -> A,
    from: A,
    f: &dyn Fn(A, A) -> A,
) -> A {
    let mut acc = from;
    let mut walk = Walk::new(&r.folded_dims[..r.folded], &[0; RANK], &r.folded_x, (0, px));
    while let Some((_, p)) = walk.step() {
        // SAFETY: the walk is inside `x`.
        acc = f(acc, load(unsafe { *x.offset(p) }));
    }
    acc
}

/// One result; `fold(start, step)` runs over its elements.
fn fold_one<A: Accumulator>(kind: ReduceKind, count: usize, fold: impl Fn(A, &dyn Fn(A, A) -> A) -> A) -> A {
    let larger = |a: A, x: A| if x > a || x.nan() { x } else { a };
    let smaller = |a: A, x: A| if x < a || x.nan() { x } else { a };
    match kind {
        ReduceKind::Sum => fold(A::ZERO, &A::add),
        ReduceKind::Mean => fold(A::ZERO, &A::add).div(count),
        ReduceKind::Prod => fold(A::ONE, &A::mul),
        ReduceKind::Max => fold(A::LOWEST, &larger),
        ReduceKind::Min => fold(A::HIGHEST, &smaller),
        ReduceKind::L1 => fold(A::ZERO, &|a, x| a.add(x.abs())),
        ReduceKind::L2 => fold(A::ZERO, &|a, x| a.add(x.mul(x))).sqrt(),
        ReduceKind::SumSquare => fold(A::ZERO, &|a, x| a.add(x.mul(x))),
        ReduceKind::LogSum => fold(A::ZERO, &A::add).log(),
        ReduceKind::LogSumExp => {
            let largest = fold(A::LOWEST, &larger);
            let shift = if largest.finite() && count > 0 { largest } else { A::ZERO };
            fold(A::ZERO, &|a, x| a.add(x.sub(shift).exp())).log().add(shift)
        }
    }
}
