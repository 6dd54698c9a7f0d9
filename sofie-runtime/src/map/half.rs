//! Blocks of 16-bit floats in and out of `f32`, without branches, so that plain loops vectorise.

use crate::DType;
use crate::simd::{Op, Simd, dispatch};

#[inline(always)]
fn widen_f16(h: u16) -> f32 {
    let magnitude = (h & 0x7fff) as u32;
    // Exponents are off by 112; the product also makes subnormals normal.
    let finite = (f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000)).to_bits();
    let special = if magnitude >= 0x7c00 { 0x7f80_0000 } else { 0 };
    f32::from_bits(finite | special | ((h & 0x8000) as u32) << 16)
}

#[inline(always)]
fn narrow_f16(x: f32) -> u16 {
    let (a, sign) = (x.to_bits() & 0x7fff_ffff, (x.to_bits() >> 16) as u16 & 0x8000);
    // Adding 1/2 leaves multiples of 2^-24, f16's least subnormal, in the last bits.
    let small = (f32::from_bits(a) + 0.5).to_bits().wrapping_sub(0x3f00_0000);
    let rounded = a.wrapping_add(0xfff + ((a >> 13) & 1));
    let normal = rounded.wrapping_sub(0x3800_0000) >> 13;
    let magnitude = if a < 0x3880_0000 { small } else { normal };
    let magnitude = if rounded >= 0x4780_0000 { 0x7c00 } else { magnitude };
    let magnitude = if a > 0x7f80_0000 { 0x7e00 } else { magnitude };
    magnitude as u16 | sign
}

#[inline(always)]
fn widen_bf16(h: u16) -> f32 {
    f32::from_bits((h as u32) << 16)
}

#[inline(always)]
fn narrow_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + ((bits >> 16) & 1));
    let quiet = bits | 0x40_0000;
    ((if bits & 0x7fff_ffff > 0x7f80_0000 { quiet } else { rounded }) >> 16) as u16
}

/// A loop of conversions, compiled for each instruction set.
enum Convert<'a> {
    Widen(&'a [u16], &'a mut [f32]),
    Narrow(&'a [f32], &'a mut [u16]),
    Round(&'a mut [f32]),
}

struct Loop<'a> {
    dtype: DType,
    convert: Convert<'a>,
}

impl Op for Loop<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match (self.dtype, self.convert) {
            (DType::F16, Convert::Widen(x, y)) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = widen_f16(x)),
            (_, Convert::Widen(x, y)) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = widen_bf16(x)),
            (DType::F16, Convert::Narrow(x, y)) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = narrow_f16(x)),
            (_, Convert::Narrow(x, y)) => y.iter_mut().zip(x).for_each(|(y, &x)| *y = narrow_bf16(x)),
            (DType::F16, Convert::Round(x)) => x.iter_mut().for_each(|x| *x = widen_f16(narrow_f16(*x))),
            (_, Convert::Round(x)) => x.iter_mut().for_each(|x| *x = widen_bf16(narrow_bf16(*x))),
        }
    }
}

/// Widens `n` elements of `dtype`, which is `f16` or `bf16`.
/// # Safety
/// `x` must be valid for reading and `y` for writing `n` elements, without overlap.
pub(super) unsafe fn widen(dtype: DType, n: usize, x: *const u16, y: *mut f32) {
    // SAFETY: the caller's promise.
    let (x, y) = unsafe { (core::slice::from_raw_parts(x, n), core::slice::from_raw_parts_mut(y, n)) };
    dispatch(Loop { dtype, convert: Convert::Widen(x, y) });
}

/// Rounds `n` elements to `dtype`, which is `f16` or `bf16`.
/// # Safety
/// `x` must be valid for reading and `y` for writing `n` elements, without overlap.
pub(super) unsafe fn narrow(dtype: DType, n: usize, x: *const f32, y: *mut u16) {
    // SAFETY: the caller's promise.
    let (x, y) = unsafe { (core::slice::from_raw_parts(x, n), core::slice::from_raw_parts_mut(y, n)) };
    dispatch(Loop { dtype, convert: Convert::Narrow(x, y) });
}

/// If `dtype` is `f16` or `bf16`, rounds each of `n` floats to its nearest value, in place.
/// # Safety
/// Then `x` must be valid for reading and writing `n` floats.
#[inline(always)]
pub(super) unsafe fn round(dtype: DType, n: usize, x: *mut f32) {
    if dtype.is_half() {
        // SAFETY: the caller's promise.
        let x = unsafe { core::slice::from_raw_parts_mut(x, n) };
        dispatch(Loop { dtype, convert: Convert::Round(x) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bf16, f16};

    #[test]
    fn conversions_are_those_of_the_half_crate() {
        for h in 0..=u16::MAX {
            let (a, b) = (f16::from_bits(h), bf16::from_bits(h));
            let (x, y) = (widen_f16(h), widen_bf16(h));
            assert!(x.to_bits() == a.to_f32().to_bits() || a.is_nan() && x.is_nan(), "f16 {h:#x}");
            assert!(y.to_bits() == b.to_f32().to_bits() || b.is_nan() && y.is_nan(), "bf16 {h:#x}");
            if !a.is_nan() {
                assert_eq!(narrow_f16(x), h);
            }
        }
        // Every upper half of an f32 with lower halves around the ties.
        for hi in 0..=u16::MAX {
            for lo in [0, 1, 0x0fff, 0x1000, 0x1001, 0x3000, 0x7fff, 0x8000, 0x8001, 0xf000, 0xffff] {
                let x = f32::from_bits((hi as u32) << 16 | lo);
                if x.is_nan() {
                    assert!(
                        f16::from_bits(narrow_f16(x)).is_nan() && bf16::from_bits(narrow_bf16(x)).is_nan()
                    );
                } else {
                    assert_eq!(narrow_f16(x), f16::from_f32(x).to_bits(), "{x:e}");
                    assert_eq!(narrow_bf16(x), bf16::from_f32(x).to_bits(), "{x:e}");
                }
            }
        }
    }
}
