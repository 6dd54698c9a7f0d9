//! Resampling of any float type as plain loops.

use super::Interpolate;
use crate::conv::number::{Arithmetic, Kernel};

/// Checked operands of an [`Interpolate`].
pub(crate) struct Taps<'a, T> {
    pub interpolate: &'a Interpolate,
    pub y: &'a mut [T],
    pub x: &'a [T],
    pub index: &'a [u32],
    pub weight: &'a [f32],
}

impl<T: Arithmetic> Kernel for Taps<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Taps { interpolate: shape, y, x, index, weight } = self;
        for o in 0..shape.outer {
            for j in 0..shape.y {
                for i in 0..shape.inner {
                    let mut sum = T::ZERO;
                    for t in 0..shape.taps {
                        let at = j * shape.taps + t;
                        let x = x[(o * shape.x + index[at] as usize) * shape.inner + i].widen();
                        let w = T::from_f32(weight[at]);
                        sum = if t == 0 { T::mul(w, x) } else { T::mul_add(w, x, sum) };
                    }
                    y[(o * shape.y + j) * shape.inner + i] = T::narrow(sum);
                }
            }
        }
    }
}
