//! Resampling of any float type as plain loops.

use super::Interpolate;
use crate::simd::float;
use crate::{Element, bf16, f16};

/// An element type whose resamplings are plain loops.
pub trait PlainInterpolate: Element {
    #[doc(hidden)]
    fn interpolate(shape: &Interpolate, y: &mut [Self], x: &[Self], index: &[u32], weight: &[f32]);
}

macro_rules! plain_interpolate {
    ($($t:ty, $w:ident => $weight:expr, $x:ident => $widen:expr, $s:ident => $narrow:expr, $fma:path;)*) => {$(
        impl PlainInterpolate for $t {
            fn interpolate(shape: &Interpolate, y: &mut [$t], x: &[$t], index: &[u32], weight: &[f32]) {
                let Interpolate { outer, x: from, y: to, inner, taps } = *shape;
                for row in 0..outer * to {
                    for i in 0..inner {
                        let term = |t: usize| {
                            let at = row % to * taps + t;
                            let ($w, $x) = (weight[at], x[(row / to * from + index[at] as usize) * inner + i]);
                            ($weight, $widen)
                        };
                        let (w, x) = term(0);
                        let mut $s = w * x;
                        for t in 1..taps {
                            let (w, x) = term(t);
                            $s = $fma(w, x, $s);
                        }
                        y[row * inner + i] = $narrow;
                    }
                }
            }
        }
    )*};
}

plain_interpolate! {
    f64, w => f64::from(w), x => x, s => s, libm::fma;
    f16, w => w, x => x.to_f32(), s => f16::from_f32(s), float::mul_add;
    bf16, w => w, x => x.to_f32(), s => bf16::from_f32(s), float::mul_add;
}

impl Interpolate {
    /// Resamples floats of the types that have no kernels of their own; `f16` and `bf16` are summed in `f32`.
    ///
    /// # Panics
    /// As [`Interpolate::run`].
    pub fn run_plain<T: PlainInterpolate>(&self, y: &mut [T], x: &[T], index: &[u32], weight: &[f32]) {
        self.check(y.len(), x.len(), index, Some(weight));
        T::interpolate(self, y, x, index, weight);
    }
}
