//! ONNX `Cast` on one element.
//! Float to integer truncates towards zero and saturates (as Rust's `as`; NaN gives 0), integer to
//! integer wraps, anything to bool is `!= 0`, and every narrowing to a float rounds once, to nearest even.

use super::num::Register;
use crate::{bf16, f16};

/// The cast from one element type to another.
pub(crate) trait CastTo<R>: Register {
    /// The nearest element of the other type, by the rules above.
    fn cast_to(self) -> R;
}

/// A step on the way to a 16-bit float.
pub(crate) trait Odd: Register {
    /// The number rounded so that rounding it again does no harm.
    fn odd(self) -> f32;
}

macro_rules! numeric_casts {
    ($($from:ident: $($to:ident)*;)*) => {$(
        $(impl CastTo<$to> for $from {
            #[inline(always)]
            fn cast_to(self) -> $to { self as $to }
        })*
        impl CastTo<bool> for $from {
            #[inline(always)]
            fn cast_to(self) -> bool { self != 0 as $from }
        }
        impl CastTo<$from> for bool {
            #[inline(always)]
            fn cast_to(self) -> $from { self as u8 as $from }
        }
    )*};
}

numeric_casts! {
    f32: f32 f64 i32 i64 u32 u64;
    f64: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    i8: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    i16: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    i32: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    i64: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    u8: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    u16: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    u32: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
    u64: f32 f64 i8 i16 i32 i64 u8 u16 u32 u64;
}

/// To integers that `f32` has the bounds of: the same as `as`, in steps that loops of vectors have.
macro_rules! narrow_casts {
    ($($to:ident)*) => {$(
        impl CastTo<$to> for f32 {
            #[inline(always)]
            fn cast_to(self) -> $to {
                let x = if self.is_nan() { 0.0 } else { self };
                let x = if x > $to::MIN as f32 { x } else { $to::MIN as f32 };
                let x = if x < $to::MAX as f32 { x } else { $to::MAX as f32 };
                // SAFETY: a number within the bounds of the type, and so of `i32`.
                unsafe { x.to_int_unchecked::<i32>() as $to }
            }
        }
    )*};
}

narrow_casts! { i8 i16 u8 u16 }

impl CastTo<bool> for bool {
    #[inline(always)]
    fn cast_to(self) -> bool {
        self
    }
}

macro_rules! odd {
    ($($wide:ident: $x:ident => $odd:expr;)*) => {$(
        impl Odd for $wide {
            #[inline(always)]
            fn odd(self) -> f32 { let $x = self; $odd }
        }
        odd! { $wide f16 bf16 }
    )*};
    ($wide:ident $($half:ident)*) => {$(
        impl CastTo<$half> for $wide {
            #[inline(always)]
            fn cast_to(self) -> $half { $half::from_f32(self.odd()) }
        }
        impl CastTo<$wide> for $half {
            #[inline(always)]
            fn cast_to(self) -> $wide { self.to_f32().cast_to() }
        }
    )*};
}

odd! {
    f32: x => x;
    f64: x => to_odd(x);
    i8: x => x as f32;
    i16: x => x as f32;
    i32: x => to_odd(x as f64);
    i64: x => { let y = unsigned_to_odd(x.unsigned_abs()); if x < 0 { -y } else { y } };
    u8: x => x as f32;
    u16: x => x as f32;
    u32: x => to_odd(x as f64);
    u64: x => unsigned_to_odd(x);
    bool: x => x as u8 as f32;
}

macro_rules! half_casts {
    ($($from:ident $to:ident;)*) => {$(
        impl CastTo<$to> for $from {
            #[inline(always)]
            fn cast_to(self) -> $to { $to::from_f32(self.to_f32()) }
        }
    )*};
}

half_casts! { f16 f16; f16 bf16; bf16 f16; bf16 bf16; }

/// Rounds to odd: the neighbour whose last bit is set, unless exact. A second rounding, to a type at
/// least two bits narrower, is then as if from the original (Boldo & Melquiond, "Emulation of FMA and
/// correctly rounded sums", 2008). The `half` crate's own conversion from `f64` drops 32 bits instead.
fn to_odd(x: f64) -> f32 {
    let y = x as f32;
    if y as f64 == x || y.is_nan() {
        return y;
    }
    // Towards zero, then the last bit: an overflow to infinity comes back to the largest finite.
    let magnitude = y.to_bits() - ((y as f64).abs() > x.abs()) as u32;
    f32::from_bits(magnitude | 1)
}

fn unsigned_to_odd(x: u64) -> f32 {
    // 24 bits and a sticky one below them fit an f64 exactly.
    let shift = 40u32.saturating_sub(x.leading_zeros());
    let top = (x >> shift) | (x & ((1 << shift) - 1) != 0) as u64;
    to_odd(top as f64 * (1u64 << shift) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrow_casts_are_those_of_the_language() {
        let ends =
            [0.0, 0.5, 127.0, 127.5, 128.0, 255.0, 255.9, 256.0, 32767.5, 32768.0, 65535.9, 65536.0, 1e9];
        let odd = [f32::INFINITY, f32::NAN, f32::MAX, 1e-40];
        for x in ends.into_iter().chain(odd).flat_map(|x| [x, -x]) {
            assert_eq!(CastTo::<i8>::cast_to(x), x as i8, "{x}");
            assert_eq!(CastTo::<u8>::cast_to(x), x as u8, "{x}");
            assert_eq!(CastTo::<i16>::cast_to(x), x as i16, "{x}");
            assert_eq!(CastTo::<u16>::cast_to(x), x as u16, "{x}");
        }
    }
}
