//! Instructions over a block of any type, in plain loops that the compiler vectorises for the base target.
//! What is not computed in `f32` runs here: integers, bools, `f64`, and casts from and to anything.

use super::cast::{CastTo, Odd};
use super::exec::{Io, Loc};
use super::num::{Arith, Register, VisitBinary, VisitUnary};
use super::program::{Code, width};
use super::{Binary, Unary, half};
use crate::DType;
use crate::simd::{Op, Simd, dispatch};

/// Runs `$body` with `$T` standing for the Rust type of a register of `$dtype` that this file computes with.
macro_rules! with_register {
    ($dtype:expr, $T:ident => $body:expr, floats => $floats:expr) => {
        match $dtype {
            DType::F32 | DType::F16 | DType::BF16 => $floats,
            DType::F64 => {
                type $T = f64;
                $body
            }
            DType::I8 => {
                type $T = i8;
                $body
            }
            DType::I16 => {
                type $T = i16;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::U16 => {
                type $T = u16;
                $body
            }
            DType::U32 => {
                type $T = u32;
                $body
            }
            DType::U64 => {
                type $T = u64;
                $body
            }
            DType::Bool => {
                type $T = bool;
                $body
            }
        }
    };
}

/// A block's arguments side by side, as whoever made the [`Io`] promised.
macro_rules! each {
    ($io:expr, |$($x:ident: $t:ty),+| -> $r:ty { $body:expr }) => {{
        let dst = $io.dst.cast::<$r>();
        for j in 0..$io.n {
            let mut k = 0;
            // SAFETY: `n` elements of the instruction's types are behind each pointer.
            unsafe {
                $(let $x: $t = $io.args[k].ptr.cast::<$t>().add(j).read(); k += 1;)+
                dst.add(j).write($body);
            }
            let _ = k;
        }
    }};
}

impl<T: Register> VisitUnary<T> for Io {
    type Out = ();
    #[inline(always)]
    fn visit<R: Register>(self, f: impl Fn(T) -> R + Copy) {
        each!(self, |a: T::Raw| -> R::Raw { f(T::of_raw(a)).raw() });
    }
}

impl<T: Register> VisitBinary<T> for Io {
    type Out = ();
    #[inline(always)]
    fn visit<R: Register>(self, f: impl Fn(T, T) -> R + Copy) {
        each!(self, |a: T::Raw, b: T::Raw| -> R::Raw { f(T::of_raw(a), T::of_raw(b)).raw() });
    }
}

fn unary<T: Arith>(op: Unary, io: Io) {
    T::unary(op, io);
}

fn binary<T: Arith>(op: Binary, io: Io) {
    T::binary(op, io);
}

#[inline(always)]
fn cast<T: CastTo<R>, R: Register>(io: Io) {
    each!(io, |a: T::Raw| -> R::Raw { T::of_raw(a).cast_to().raw() });
}

/// Between `f32`, `i32` and small integers, as quantised models have it in every layer: the loop of [`cast`], compiled
/// for each instruction set.
struct Narrow {
    from: DType,
    to: DType,
    io: Io,
}

impl Narrow {
    fn fits(from: DType, to: DType) -> bool {
        let small = |t: DType| matches!(t, DType::I8 | DType::U8 | DType::I16 | DType::U16);
        let wide = |t: DType| matches!(t, DType::F32 | DType::I32);
        from == DType::F32 && (small(to) || to == DType::I32)
            || small(from) && wide(to)
            || from == DType::I32 && to == DType::F32
    }
}

impl Op for Narrow {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        match (self.from, self.to) {
            (DType::F32, DType::I32) => cast::<f32, i32>(self.io),
            (DType::I32, _) => cast::<i32, f32>(self.io),
            (DType::I8, DType::I32) => cast::<i8, i32>(self.io),
            (DType::U8, DType::I32) => cast::<u8, i32>(self.io),
            (DType::I16, DType::I32) => cast::<i16, i32>(self.io),
            (DType::U16, DType::I32) => cast::<u16, i32>(self.io),
            (_, DType::I8) => cast::<f32, i8>(self.io),
            (_, DType::U8) => cast::<f32, u8>(self.io),
            (_, DType::I16) => cast::<f32, i16>(self.io),
            (_, DType::U16) => cast::<f32, u16>(self.io),
            (DType::I8, _) => cast::<i8, f32>(self.io),
            (DType::U8, _) => cast::<u8, f32>(self.io),
            (DType::I16, _) => cast::<i16, f32>(self.io),
            _ => cast::<u16, f32>(self.io),
        }
    }
}

/// Towards a 16-bit float: all but the last rounding.
fn cast_odd<T: Odd>(io: Io) {
    each!(io, |a: T::Raw| -> f32 { T::of_raw(a).odd() });
}

fn cast_from<T>(to: DType, io: Io)
where
    T: Odd + CastTo<f32> + CastTo<f64> + CastTo<bool>,
    T: CastTo<i8>
        + CastTo<i16>
        + CastTo<i32>
        + CastTo<i64>
        + CastTo<u8>
        + CastTo<u16>
        + CastTo<u32>
        + CastTo<u64>,
{
    with_register!(to, R => cast::<T, R>(io), floats => match to {
        DType::F32 => cast::<T, f32>(io),
        _ => cast_odd::<T>(io),
    });
    // SAFETY: the results that the loop has written.
    unsafe { half::round(to, io.n, io.dst.cast()) }
}

/// One rounding in `f64`.
fn mul_add(io: Io) {
    #[cfg(feature = "std")]
    let f = f64::mul_add;
    #[cfg(not(feature = "std"))]
    let f = libm::fma;
    each!(io, |a: f64, b: f64, c: f64| -> f64 { f(a, b, c) });
}

/// Elements only move: `E` has their size.
fn select<E: Copy>(io: Io) {
    each!(io, |mask: u8, yes: E, no: E| -> E { if mask != 0 { yes } else { no } });
}

/// Any byte but 0 is true, 1 is written.
fn select_bool(io: Io) {
    each!(io, |mask: u8, yes: u8, no: u8| -> u8 { (if mask != 0 { yes } else { no } != 0) as u8 });
}

fn copy<E: Copy>(io: Io) {
    each!(io, |a: E| -> E { a });
}

/// Runs an instruction over a block. Only casts may take arguments that repeat one element.
/// # Safety
/// `io` must describe memory for `n` elements of the instruction's types.
#[inline(never)]
pub(super) unsafe fn run(code: Code, dtype: DType, io: Io) {
    match code {
        Code::Unary(op) => with_register!(dtype, T => unary::<T>(op, io), floats => unreachable!("{op:?}")),
        Code::Binary(op) => with_register!(dtype, T => binary::<T>(op, io), floats => unreachable!("{op:?}")),
        Code::Cast(to) if io.args[0].step == 0 => {
            let bytes = width(to);
            let mut at = 0;
            while at < io.n {
                let dst = io.dst.wrapping_add(at * bytes);
                let group = Io { n: 16.min(io.n - at), args: [Loc { step: bytes, ..io.args[0] }; 3], dst };
                // SAFETY: a group of the block; the 16 repetitions are its argument.
                unsafe { run(code, dtype, group) }
                at += 16;
            }
        }
        Code::Cast(to) if Narrow::fits(dtype, to) => dispatch(Narrow { from: dtype, to, io }),
        Code::Cast(to) => {
            with_register!(dtype, T => cast_from::<T>(to, io), floats => cast_from::<f32>(to, io))
        }
        Code::MulAdd => mul_add(io),
        Code::Saturate(_)
        | Code::Steps(_)
        | Code::Quantize(_)
        | Code::FakeQuantize(_)
        | Code::LeakyRelu
        | Code::Elu
        | Code::Clip => {
            unreachable!("{code:?} of {dtype:?}")
        }
        Code::Select if dtype == DType::Bool => select_bool(io),
        Code::Select => match width(dtype) {
            1 => select::<u8>(io),
            2 => select::<u16>(io),
            4 => select::<u32>(io),
            _ => select::<u64>(io),
        },
        Code::Copy if dtype == DType::Bool => cast::<bool, bool>(io),
        Code::Copy => match width(dtype) {
            1 => copy::<u8>(io),
            2 => copy::<u16>(io),
            4 => copy::<u32>(io),
            _ => copy::<u64>(io),
        },
    }
}
