//! ONNX `Cast` on one element.
//! Float to integer truncates towards zero and saturates (as Rust's `as`; NaN gives 0), integer to
//! integer wraps, anything to bool is `!= 0`, and every narrowing to a float rounds once, to nearest even.

use super::Scalar;
use super::num::{Bits, with_type};
use crate::{DType, bf16, f16};

/// An element on its way between types: exact in each of its three forms.
#[derive(Clone, Copy)]
pub(crate) enum Wide {
    Float(f64),
    Signed(i64),
    Unsigned(u64),
}

/// The two directions of a cast.
pub(crate) trait Castable: Bits {
    /// The element, exactly.
    fn widen(self) -> Wide;
    /// The nearest element, by the rules above.
    fn narrow(w: Wide) -> Self;
}

macro_rules! castable {
    ($($t:ident $wide:ident as $w:ty;)*) => {$(
        impl Castable for $t {
            #[inline(always)]
            fn widen(self) -> Wide { Wide::$wide(self as $w) }
            #[inline(always)]
            fn narrow(w: Wide) -> $t {
                match w {
                    Wide::Float(x) => x as $t,
                    Wide::Signed(x) => x as $t,
                    Wide::Unsigned(x) => x as $t,
                }
            }
        }
    )*};
}

castable! {
    f32 Float as f64; f64 Float as f64;
    i8 Signed as i64; i16 Signed as i64; i32 Signed as i64; i64 Signed as i64;
    u8 Unsigned as u64; u16 Unsigned as u64; u32 Unsigned as u64; u64 Unsigned as u64;
}

impl Castable for bool {
    #[inline(always)]
    fn widen(self) -> Wide {
        Wide::Unsigned(self as u64)
    }
    #[inline(always)]
    fn narrow(w: Wide) -> bool {
        match w {
            Wide::Float(x) => x != 0.0,
            Wide::Signed(x) => x != 0,
            Wide::Unsigned(x) => x != 0,
        }
    }
}

macro_rules! castable_narrow {
    ($($t:ident),*) => {$(
        impl Castable for $t {
            #[inline(always)]
            fn widen(self) -> Wide { Wide::Float(self.to_f32() as f64) }
            #[inline(always)]
            fn narrow(w: Wide) -> $t {
                $t::from_f32(match w {
                    Wide::Float(x) => to_odd(x),
                    Wide::Signed(x) => signed_to_odd(x),
                    Wide::Unsigned(x) => unsigned_to_odd(x),
                })
            }
        }
    )*};
}

castable_narrow!(f16, bf16);

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

fn signed_to_odd(x: i64) -> f32 {
    let magnitude = unsigned_to_odd(x.unsigned_abs());
    if x < 0 { -magnitude } else { magnitude }
}

/// `x` as an element of type `to`.
pub fn cast(x: Scalar, to: DType) -> Scalar {
    let wide = with_type!(x.dtype, T => T::of(x.bits).widen());
    with_type!(to, T => T::narrow(wide).scalar())
}
