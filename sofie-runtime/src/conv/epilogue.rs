//! What is applied to sums before they are stored, where they are not a product's.

use crate::Act;
use crate::simd::Simd;

/// The activations that need nothing but a register or two; the others have been refused.
#[inline(always)]
pub(super) fn activate<S: Simd>(s: S, act: Act, x: S::F32) -> S::F32 {
    match act {
        Act::Relu => s.max_raw(s.zero(), x),
        Act::LeakyRelu { alpha } => s.select(s.ge(x, s.zero()), x, s.mul(x, s.splat(alpha))),
        Act::Clip { lo, hi } => s.clamp(x, s.splat(lo), s.splat(hi)),
        _ => x,
    }
}

/// [`activate`] of many, the kind of activation looked at once.
#[inline(always)]
pub(super) fn activate_all<S: Simd, const N: usize>(s: S, act: Act, x: &mut [S::F32; N]) {
    match act {
        Act::None => {}
        Act::Relu => {
            for x in x {
                *x = activate(s, Act::Relu, *x);
            }
        }
        _ => {
            for x in x {
                *x = activate(s, act, *x);
            }
        }
    }
}

/// Whether [`activate`] applies `act`.
pub(super) const fn is_cheap(act: Act) -> bool {
    matches!(act, Act::None | Act::Relu | Act::LeakyRelu { .. } | Act::Clip { .. })
}
