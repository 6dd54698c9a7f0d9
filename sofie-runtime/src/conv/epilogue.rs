//! What is applied to sums before they are stored, where they are not a product's.

use crate::Act;
use crate::gemm::{Finish, in_registers};
use crate::simd::Simd;

/// The activations that need nothing but a register or two; the others are left to [`finish`].
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

/// Floats of y that may wait for [`finish`]: 8 kB, a quarter of L1.
pub(super) const TOGETHER: usize = 2048;

/// What [`activate`] has left undone, over `rows` rows of `columns` floats, `ld` apart, that have been stored.
///
/// # Safety
/// The rows exist and are nobody else's.
#[inline(always)]
pub(super) unsafe fn finish<S: Simd>(s: S, act: Act, y: *mut f32, ld: usize, rows: usize, columns: usize) {
    if !in_registers(act) {
        s.outline(Finish { c: y, ldc: ld, rows, columns, alpha: 1.0, act });
    }
}
