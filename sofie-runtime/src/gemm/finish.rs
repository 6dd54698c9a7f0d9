//! What takes more than a register or two (sigmoid, GELU, …), applied to what a tile of a product or a convolution
//! has just stored, while it is in the first-level cache. Inside the tiles these functions would be compiled a
//! hundred times.

use crate::Act;
use crate::act;
use crate::quantise;
use crate::simd::{LANES, Op, Simd};

/// `c = act(alpha * c)` over `rows` rows of `columns` floats.
pub(crate) struct Finish {
    pub c: *mut f32,
    pub ldc: usize,
    pub rows: usize,
    pub columns: usize,
    pub alpha: f32,
    pub act: Act,
}

/// Vectors that are divided as they are.
const FEW: usize = 4;

/// Replaces each vector `$x` of the rows.
macro_rules! each {
    ($f:expr, $s:expr, $x:ident => $y:expr) => {{
        let whole = $f.columns / LANES * LANES;
        let edge = $s.mask_first($f.columns - whole);
        for row in 0..$f.rows {
            let c = $f.c.wrapping_add(row * $f.ldc);
            // SAFETY: whoever made this promised that the rows exist and are nobody else's; the tail is masked.
            unsafe {
                let mut i = 0;
                while i < whole {
                    let $x = $s.load_ptr(c.add(i));
                    $s.store_ptr($y, c.add(i));
                    i += LANES;
                }
                if whole < $f.columns {
                    let $x = $s.load_masked_ptr(c.add(whole), edge, $s.zero());
                    $s.store_first_ptr($y, c.add(whole), $f.columns - whole);
                }
            }
        }
    }};
}

impl Op for Finish {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if self.ldc == self.columns {
            // Rows without gaps are one long row.
            (self.rows, self.columns) = (1, self.rows * self.columns);
        }
        if self.alpha != 1.0 {
            let alpha = s.splat(self.alpha);
            each!(self, s, x => s.mul(x, alpha));
        }
        // One loop for each function, so that none asks at every vector which it is.
        match self.act {
            Act::None => {}
            Act::Relu => each!(self, s, x => act::apply(s, Act::Relu, x)),
            Act::LeakyRelu { alpha } => each!(self, s, x => act::apply(s, Act::LeakyRelu { alpha }, x)),
            Act::Clip { lo, hi } => each!(self, s, x => act::apply(s, Act::Clip { lo, hi }, x)),
            Act::Elu { alpha } => each!(self, s, x => act::apply(s, Act::Elu { alpha }, x)),
            Act::Sigmoid => each!(self, s, x => act::apply(s, Act::Sigmoid, x)),
            Act::Tanh => each!(self, s, x => act::apply(s, Act::Tanh, x)),
            Act::Silu => each!(self, s, x => act::apply(s, Act::Silu, x)),
            Act::GeluErf => each!(self, s, x => act::apply(s, Act::GeluErf, x)),
            Act::GeluTanh => each!(self, s, x => act::apply(s, Act::GeluTanh, x)),
            Act::HardSigmoid { alpha, beta } => {
                each!(self, s, x => act::apply(s, Act::HardSigmoid { alpha, beta }, x));
            }
            Act::HardSwish { alpha, beta } => {
                each!(self, s, x => act::apply(s, Act::HardSwish { alpha, beta }, x));
            }
            Act::FakeQuantize { scale, zero, to } => {
                // What takes the place of a division costs two divisions once.
                let many = self.rows * self.columns > FEW * LANES;
                let by = quantise::quantizer(s, to, many.then_some(scale), Some(zero));
                let (scale, zero) = (s.splat(scale), s.splat(zero));
                each!(self, s, x => by.nearest(s, x, scale, zero));
            }
            // None of these is met often enough for a loop of its own.
            rare @ (Act::Softplus
            | Act::Softsign
            | Act::ThresholdedRelu { .. }
            | Act::ScaledTanh { .. }
            | Act::Affine { .. }) => each!(self, s, x => act::apply(s, rare, x)),
        }
    }
}
