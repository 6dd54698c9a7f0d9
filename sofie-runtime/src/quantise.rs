//! Floats on the steps of an integer type, as a quantised network has them between its layers: ONNX's `QuantizeLinear`
//! and `DequantizeLinear` in floats, with the bits that storing the integers would give.

use crate::DType;
use crate::simd::{Simd, float};

/// The ends of an integer type that `f32` holds.
#[inline(always)]
fn ends(to: DType) -> [f32; 2] {
    match to {
        DType::I8 => [f32::from(i8::MIN), f32::from(i8::MAX)],
        DType::U8 => [0.0, f32::from(u8::MAX)],
        DType::I16 => [f32::from(i16::MIN), f32::from(i16::MAX)],
        _ => [0.0, f32::from(u16::MAX)],
    }
}

/// The same in all lanes, for a loop.
#[inline(always)]
pub(crate) fn range<S: Simd>(s: S, to: DType) -> [S::F32; 2] {
    let [lo, hi] = ends(to);
    [s.splat(lo), s.splat(hi)]
}

/// `round(x) + zero` as by a cast to an integer type and back: truncated, within the range, NaN 0, no negative zero.
#[inline(always)]
pub(crate) fn saturate<S: Simd>(s: S, [lo, hi]: [S::F32; 2], x: S::F32, zero: S::F32) -> S::F32 {
    let y = s.add(s.round_ties_even(x), zero);
    let y = s.select(s.is_nan(y), s.zero(), y);
    let y = s.min_raw(s.max_raw(y, lo), hi);
    s.add(s.trunc(y), s.zero())
}

/// The nearest number that a step stands for.
#[inline(always)]
pub(crate) fn fake_quantize<S: Simd>(
    s: S,
    range: [S::F32; 2],
    x: S::F32,
    scale: S::F32,
    zero: S::F32,
) -> S::F32 {
    let steps = saturate(s, range, s.div(x, scale), zero);
    s.mul(s.sub(steps, zero), scale)
}

/// [`fake_quantize`] of one number.
pub(crate) fn fake_quantize_one(to: DType, x: f32, scale: f32, zero: f32) -> f32 {
    let y = float::round_ties_even(x / scale) + zero;
    let [lo, hi] = ends(to);
    let steps = if y.is_nan() { 0.0 } else { float::trunc(y.max(lo).min(hi)) + 0.0 };
    (steps - zero) * scale
}
