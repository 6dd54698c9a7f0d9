//! What a reduction does with each element: a table of folds, each with its start, step and end.

use crate::math;
use crate::simd::Simd;

/// How a reduction combines elements. Of no elements: 0 for sums, 1 for the product, the type's lowest (or
/// highest) value for the largest (or smallest), minus infinity for the logarithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Sum.
    Sum,
    /// Sum divided by the number of elements.
    Mean,
    /// Product.
    Prod,
    /// Largest; NaN wins.
    Max,
    /// Smallest; NaN wins.
    Min,
    /// Sum of absolute values.
    L1,
    /// Square root of the sum of squares.
    L2,
    /// Sum of squares.
    SumSquare,
    /// Logarithm of the sum.
    LogSum,
    /// Logarithm of the sum of exponentials, without overflow.
    LogSumExp,
}

/// A fold over vectors of 16 lanes.
pub(super) trait Fold: Copy {
    /// What a lane starts from.
    const START: f32;
    /// Takes one element a lane; `shift` is what [`ReduceKind::LogSumExp`] subtracts.
    fn step<S: Simd>(s: S, acc: S::F32, x: S::F32, shift: S::F32) -> S::F32;
    /// The lanes as one.
    fn combine<S: Simd>(s: S, acc: S::F32) -> f32;
    /// Two lanes as one, as in the tree of `combine`.
    fn join<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32;
    /// What is stored; `count` elements were folded.
    fn finish<S: Simd>(s: S, acc: S::F32, shift: S::F32, count: f32) -> S::F32;
}

macro_rules! folds {
    ($($name:ident: $start:expr, |$s:ident, $acc:ident, $x:ident, $shift:ident| $step:expr, $combine:ident $join:ident,
       |$fs:ident, $facc:ident, $fshift:ident, $n:ident| $finish:expr;)*) => {$(
        #[derive(Clone, Copy)]
        pub(super) struct $name;

        impl Fold for $name {
            const START: f32 = $start;
            #[inline(always)]
            fn step<S: Simd>($s: S, $acc: S::F32, $x: S::F32, $shift: S::F32) -> S::F32 {
                $step
            }
            #[inline(always)]
            fn combine<S: Simd>(s: S, acc: S::F32) -> f32 {
                s.$combine(acc)
            }
            #[inline(always)]
            fn join<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
                s.$join(a, b)
            }
            #[inline(always)]
            fn finish<S: Simd>($fs: S, $facc: S::F32, $fshift: S::F32, $n: f32) -> S::F32 {
                $finish
            }
        }
    )*};
}

/// The product of all lanes in the fixed tree.
trait ReduceMul: Simd {
    fn reduce_mul(self, acc: Self::F32) -> f32;
}

impl<S: Simd> ReduceMul for S {
    #[inline(always)]
    fn reduce_mul(self, acc: S::F32) -> f32 {
        let mut x = self.to_array(acc);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] *= x[i + half];
            }
        }
        x[0]
    }
}

folds! {
    Sum: 0.0, |s, acc, x, _h| s.add(acc, x), reduce_add add, |_s, acc, _h, _n| acc;
    Mean: 0.0, |s, acc, x, _h| s.add(acc, x), reduce_add add, |s, acc, _h, n| s.div(acc, s.splat(n));
    Prod: 1.0, |s, acc, x, _h| s.mul(acc, x), reduce_mul mul, |_s, acc, _h, _n| acc;
    Max: f32::NEG_INFINITY, |s, acc, x, _h| s.max(acc, x), reduce_max max, |_s, acc, _h, _n| acc;
    Min: f32::INFINITY, |s, acc, x, _h| s.min(acc, x), reduce_min min, |_s, acc, _h, _n| acc;
    L1: 0.0, |s, acc, x, _h| s.add(acc, s.abs(x)), reduce_add add, |_s, acc, _h, _n| acc;
    L2: 0.0, |s, acc, x, _h| s.mul_add(x, x, acc), reduce_add add, |s, acc, _h, _n| s.sqrt(acc);
    SumSquare: 0.0, |s, acc, x, _h| s.mul_add(x, x, acc), reduce_add add, |_s, acc, _h, _n| acc;
    LogSum: 0.0, |s, acc, x, _h| s.add(acc, x), reduce_add add, |s, acc, _h, _n| math::log(s, acc);
    LogSumExp: 0.0, |s, acc, x, h| s.add(acc, math::exp(s, s.sub(x, h))), reduce_add add,
        |s, acc, h, _n| s.add(math::log(s, acc), h);
}

/// Calls `$f::<Fold>($args…)` for a kind.
macro_rules! with_fold {
    ($kind:expr, $f:ident, $($arg:expr),*) => {
        match $kind {
            $crate::reduce::ReduceKind::Sum => $f::<_, $crate::reduce::fold::Sum>($($arg),*),
            $crate::reduce::ReduceKind::Mean => $f::<_, $crate::reduce::fold::Mean>($($arg),*),
            $crate::reduce::ReduceKind::Prod => $f::<_, $crate::reduce::fold::Prod>($($arg),*),
            $crate::reduce::ReduceKind::Max => $f::<_, $crate::reduce::fold::Max>($($arg),*),
            $crate::reduce::ReduceKind::Min => $f::<_, $crate::reduce::fold::Min>($($arg),*),
            $crate::reduce::ReduceKind::L1 => $f::<_, $crate::reduce::fold::L1>($($arg),*),
            $crate::reduce::ReduceKind::L2 => $f::<_, $crate::reduce::fold::L2>($($arg),*),
            $crate::reduce::ReduceKind::SumSquare => $f::<_, $crate::reduce::fold::SumSquare>($($arg),*),
            $crate::reduce::ReduceKind::LogSum => $f::<_, $crate::reduce::fold::LogSum>($($arg),*),
            $crate::reduce::ReduceKind::LogSumExp => $f::<_, $crate::reduce::fold::LogSumExp>($($arg),*),
        }
    };
}
pub(super) use with_fold;
