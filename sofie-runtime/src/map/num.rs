//! The meaning of each scalar operation on integers, bools and `f64`, written once: a table picks the closure of
//! an operation and hands it to a visitor, which makes a loop of it. (On `f32` that is the tables of `math`.)

use super::{Binary, Unary};
use crate::math::scalar64;
use crate::{DType, Element, bf16, f16};

/// An element that a register of the block interpreter can hold.
pub(crate) trait Register: Element {
    /// How a register of the block interpreter holds the element: 16-bit floats as the `f32` that they are
    /// computed in, bools as bytes of which any may be read.
    type Raw: Copy + Default;
    /// The element in a register.
    fn of_raw(raw: Self::Raw) -> Self;
    /// The element for a register.
    fn raw(self) -> Self::Raw;
}

macro_rules! bits {
    ($($t:ty as $raw:ty, $r:ident => $of_raw:expr, $x:ident => $raw_of:expr;)*) => {$(
        impl Register for $t {
            type Raw = $raw;
            #[inline(always)]
            fn of_raw($r: $raw) -> $t { $of_raw }
            #[inline(always)]
            fn raw(self) -> $raw { let $x = self; $raw_of }
        }
    )*};
    ($($t:ty)*) => { bits! { $($t as $t, r => r, x => x;)* } };
}

bits! { f32 f64 i8 i16 i32 i64 u8 u16 u32 u64 }
bits! {
    f16 as f32, r => f16::from_f32(r), x => x.to_f32();
    bf16 as f32, r => bf16::from_f32(r), x => x.to_f32();
    bool as u8, r => r != 0, x => x as u8;
}

/// Receives the function that a [`Unary`] is on `T`.
pub(crate) trait VisitUnary<T> {
    /// What the visit gives back.
    type Out;
    /// Called exactly once.
    fn visit<R: Register>(self, f: impl Fn(T) -> R + Copy) -> Self::Out;
}

/// Receives the function that a [`Binary`] is on `T`.
pub(crate) trait VisitBinary<T> {
    /// What the visit gives back.
    type Out;
    /// Called exactly once.
    fn visit<R: Register>(self, f: impl Fn(T, T) -> R + Copy) -> Self::Out;
}

/// A type that plain loops compute with, and its two tables.
pub(crate) trait Arith: Register {
    /// Hands the function of `op` to `v`; panics where [`supports_unary`] says no.
    fn unary<V: VisitUnary<Self>>(op: Unary, v: V) -> V::Out;
    /// Hands the function of `op` to `v`; panics where [`supports_binary`] says no.
    fn binary<V: VisitBinary<Self>>(op: Binary, v: V) -> V::Out;
}

/// Whether `op` is defined on elements of type `dtype`.
pub const fn supports_unary(op: Unary, dtype: DType) -> bool {
    match op {
        Unary::Neg | Unary::Abs | Unary::Sign | Unary::Relu => !matches!(dtype, DType::Bool),
        Unary::Not => matches!(dtype, DType::Bool),
        Unary::BitNot => dtype.is_int(),
        _ => dtype.is_float(),
    }
}

/// Whether `op` is defined on two elements of type `dtype`.
pub const fn supports_binary(op: Binary, dtype: DType) -> bool {
    use Binary::*;
    match op {
        Add | Sub | Mul | Div | Pow | Mod | Fmod => !matches!(dtype, DType::Bool),
        And | Or | Xor => !dtype.is_float(),
        Shl | Shr => dtype.is_int(),
        Min | Max | Eq | Ne | Lt | Le | Gt | Ge => true,
    }
}

#[cold]
fn undefined(op: &dyn core::fmt::Debug, dtype: DType) -> ! {
    panic!("{op:?} is not defined on {dtype}")
}

macro_rules! int_arith {
    ($($t:ident, $signed:literal, $abs:expr, $sign:expr;)*) => {$(
        impl Arith for $t {
            #[inline(always)]
            fn unary<V: VisitUnary<$t>>(op: Unary, v: V) -> V::Out {
                match op {
                    Unary::Neg => v.visit(|x: $t| x.wrapping_neg()),
                    Unary::Abs => v.visit($abs),
                    Unary::Sign => v.visit($sign),
                    Unary::Relu => v.visit(|x: $t| x.max(0)),
                    Unary::BitNot => v.visit(|x: $t| !x),
                    _ => undefined(&op, Self::DTYPE),
                }
            }

            #[inline(always)]
            fn binary<V: VisitBinary<$t>>(op: Binary, v: V) -> V::Out {
                match op {
                    Binary::Add => v.visit(|x: $t, y: $t| x.wrapping_add(y)),
                    Binary::Sub => v.visit(|x: $t, y: $t| x.wrapping_sub(y)),
                    Binary::Mul => v.visit(|x: $t, y: $t| x.wrapping_mul(y)),
                    Binary::Div => v.visit(|x: $t, y: $t| if y == 0 { 0 } else { x.wrapping_div(y) }),
                    Binary::Min => v.visit(|x: $t, y: $t| x.min(y)),
                    Binary::Max => v.visit(|x: $t, y: $t| x.max(y)),
                    Binary::Pow => v.visit(|x: $t, y: $t| {
                        if $signed && y as i64 <= -1 { negative_power(x as i64, y as i64) as $t }
                        else { power(x as u64, y as u64) as $t }
                    }),
                    Binary::Mod => v.visit(|x: $t, y: $t| {
                        let r = if y == 0 { 0 } else { x.wrapping_rem(y) };
                        if $signed && r != 0 && (r as i64 ^ y as i64) < 0 { r.wrapping_add(y) } else { r }
                    }),
                    Binary::Fmod => v.visit(|x: $t, y: $t| if y == 0 { 0 } else { x.wrapping_rem(y) }),
                    Binary::And => v.visit(|x: $t, y: $t| x & y),
                    Binary::Or => v.visit(|x: $t, y: $t| x | y),
                    Binary::Xor => v.visit(|x: $t, y: $t| x ^ y),
                    Binary::Shl => v.visit(|x: $t, y: $t| {
                        if (y as u64) < $t::BITS as u64 { x.wrapping_shl(y as u32) } else { 0 }
                    }),
                    Binary::Shr => v.visit(|x: $t, y: $t| {
                        if (y as u64) < $t::BITS as u64 { x.wrapping_shr(y as u32) }
                        else if $signed { x.wrapping_shr($t::BITS - 1) }
                        else { 0 }
                    }),
                    Binary::Eq => v.visit(|x: $t, y: $t| x == y),
                    Binary::Ne => v.visit(|x: $t, y: $t| x != y),
                    Binary::Lt => v.visit(|x: $t, y: $t| x < y),
                    Binary::Le => v.visit(|x: $t, y: $t| x <= y),
                    Binary::Gt => v.visit(|x: $t, y: $t| x > y),
                    Binary::Ge => v.visit(|x: $t, y: $t| x >= y),
                }
            }
        }
    )*};
}

int_arith! {
    i8, true, |x: i8| x.wrapping_abs(), |x: i8| x.signum();
    i16, true, |x: i16| x.wrapping_abs(), |x: i16| x.signum();
    i32, true, |x: i32| x.wrapping_abs(), |x: i32| x.signum();
    i64, true, |x: i64| x.wrapping_abs(), |x: i64| x.signum();
    u8, false, |x: u8| x, |x: u8| x.min(1);
    u16, false, |x: u16| x, |x: u16| x.min(1);
    u32, false, |x: u32| x, |x: u32| x.min(1);
    u64, false, |x: u64| x, |x: u64| x.min(1);
}

/// `x^y` modulo 2^64, hence modulo any narrower width.
fn power(mut x: u64, mut y: u64) -> u64 {
    let mut r = 1u64;
    while y > 0 {
        if y & 1 == 1 {
            r = r.wrapping_mul(x);
        }
        x = x.wrapping_mul(x);
        y >>= 1;
    }
    r
}

/// `x^y` for `y < 0`, truncated.
fn negative_power(x: i64, y: i64) -> i64 {
    match x {
        1 => 1,
        -1 if y % 2 == 0 => 1,
        -1 => -1,
        _ => 0,
    }
}

impl Arith for bool {
    #[inline(always)]
    fn unary<V: VisitUnary<bool>>(op: Unary, v: V) -> V::Out {
        match op {
            Unary::Not => v.visit(|x: bool| !x),
            _ => undefined(&op, DType::Bool),
        }
    }

    #[inline(always)]
    fn binary<V: VisitBinary<bool>>(op: Binary, v: V) -> V::Out {
        match op {
            Binary::And | Binary::Min => v.visit(|x: bool, y: bool| x & y),
            Binary::Or | Binary::Max => v.visit(|x: bool, y: bool| x | y),
            Binary::Xor | Binary::Ne => v.visit(|x: bool, y: bool| x ^ y),
            Binary::Eq => v.visit(|x: bool, y: bool| x == y),
            Binary::Lt => v.visit(|x: bool, y: bool| !x & y),
            Binary::Le => v.visit(|x: bool, y: bool| !x | y),
            Binary::Gt => v.visit(|x: bool, y: bool| x & !y),
            Binary::Ge => v.visit(|x: bool, y: bool| x | !y),
            _ => undefined(&op, DType::Bool),
        }
    }
}

macro_rules! modulo {
    ($name:ident, $t:ident) => {
        /// The remainder with the divisor's sign, as numpy's `mod`.
        pub(crate) fn $name(x: $t, y: $t) -> $t {
            let r = x % y;
            if r == 0.0 {
                (0.0 as $t).copysign(y)
            } else if (r < 0.0) != (y < 0.0) {
                r + y
            } else {
                r
            }
        }
    };
}

modulo!(modulo32, f32);
modulo!(modulo64, f64);

impl Arith for f64 {
    #[inline(always)]
    fn unary<V: VisitUnary<f64>>(op: Unary, v: V) -> V::Out {
        match op {
            Unary::Neg => v.visit(|x: f64| -x),
            Unary::Abs => v.visit(|x: f64| f64::from_bits(x.to_bits() << 1 >> 1)),
            Unary::Sign => v.visit(|x: f64| {
                if x > 0.0 {
                    1.0
                } else if x < 0.0 {
                    -1.0
                } else {
                    x + 0.0
                }
            }),
            Unary::Reciprocal => v.visit(|x: f64| 1.0 / x),
            Unary::Relu => v.visit(|x: f64| if 0.0 > x { 0.0 } else { x }),
            Unary::IsNan => v.visit(|x: f64| x.is_nan()),
            Unary::IsPosInf => v.visit(|x: f64| x == f64::INFINITY),
            Unary::IsNegInf => v.visit(|x: f64| x == f64::NEG_INFINITY),
            Unary::Not | Unary::BitNot => undefined(&op, Self::DTYPE),
            _ => v.visit(move |x: f64| scalar64::unary(op, x)),
        }
    }

    #[inline(always)]
    fn binary<V: VisitBinary<f64>>(op: Binary, v: V) -> V::Out {
        match op {
            Binary::Add => v.visit(|x: f64, y: f64| x + y),
            Binary::Sub => v.visit(|x: f64, y: f64| x - y),
            Binary::Mul => v.visit(|x: f64, y: f64| x * y),
            Binary::Div => v.visit(|x: f64, y: f64| x / y),
            Binary::Min => v.visit(|x: f64, y: f64| if x < y || x.is_nan() { x } else { y }),
            Binary::Max => v.visit(|x: f64, y: f64| if x > y || x.is_nan() { x } else { y }),
            Binary::Pow => v.visit(|x: f64, y: f64| scalar64::pow(x, y)),
            // A core `%` on floats is C's fmod.
            Binary::Fmod => v.visit(|x: f64, y: f64| x % y),
            Binary::Mod => v.visit(modulo64),
            Binary::Eq => v.visit(|x: f64, y: f64| x == y),
            Binary::Ne => v.visit(|x: f64, y: f64| x != y),
            Binary::Lt => v.visit(|x: f64, y: f64| x < y),
            Binary::Le => v.visit(|x: f64, y: f64| x <= y),
            Binary::Gt => v.visit(|x: f64, y: f64| x > y),
            Binary::Ge => v.visit(|x: f64, y: f64| x >= y),
            Binary::And | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr => undefined(&op, Self::DTYPE),
        }
    }
}
