//! Tests of the scalar semantics, against wider arithmetic.

use super::*;
use crate::{DType, bf16, f16};
use proptest::prelude::*;

fn b(op: Binary, x: impl Into<Scalar>, y: impl Into<Scalar>) -> Scalar {
    binary(op, x.into(), y.into())
}

fn u(op: Unary, x: impl Into<Scalar>) -> Scalar {
    unary(op, x.into())
}

#[test]
fn eight_bit_arithmetic_is_wide_arithmetic_truncated() {
    for x in i8::MIN..=i8::MAX {
        for y in i8::MIN..=i8::MAX {
            let (wx, wy) = (x as i64, y as i64);
            assert_eq!(b(Binary::Add, x, y), ((wx + wy) as i8).into());
            assert_eq!(b(Binary::Sub, x, y), ((wx - wy) as i8).into());
            assert_eq!(b(Binary::Mul, x, y), ((wx * wy) as i8).into());
            let div = if y == 0 { 0 } else { (wx / wy) as i8 };
            assert_eq!(b(Binary::Div, x, y), div.into());
            let fmod = if y == 0 { 0 } else { (wx % wy) as i8 };
            assert_eq!(b(Binary::Fmod, x, y), fmod.into());
            let floor =
                if y == 0 { 0 } else { (wx as f64 - wy as f64 * (wx as f64 / wy as f64).floor()) as i8 };
            assert_eq!(b(Binary::Mod, x, y), floor.into(), "{x} mod {y}");
            let (ux, uy) = (x as u8, y as u8);
            assert_eq!(b(Binary::Mod, ux, uy), ux.checked_rem(uy).unwrap_or(0).into());
            assert_eq!(b(Binary::Div, ux, uy), ux.checked_div(uy).unwrap_or(0).into());
            assert_eq!(b(Binary::Shl, ux, uy), ux.checked_shl(uy.into()).unwrap_or(0).into());
            assert_eq!(b(Binary::Shr, ux, uy), ux.checked_shr(uy.into()).unwrap_or(0).into());
            let shr = if (0..8).contains(&y) { x >> y } else { x >> 7 };
            assert_eq!(b(Binary::Shr, x, y), shr.into());
            assert_eq!(b(Binary::Lt, x, y), (wx < wy).into());
            assert_eq!(b(Binary::Ge, ux, uy), (ux >= uy).into());
        }
        assert_eq!(u(Unary::Neg, x), x.wrapping_neg().into());
        assert_eq!(u(Unary::Abs, x), ((x as i64).abs() as i8).into());
        assert_eq!(u(Unary::Sign, x as u8), u8::from(x != 0).into());
    }
}

#[test]
fn integer_powers() {
    for x in -9i64..10 {
        for y in 0..40i64 {
            assert_eq!(b(Binary::Pow, x, y), x.wrapping_pow(y as u32).into());
            assert_eq!(b(Binary::Pow, x as u16, y as u16), (x as u16).wrapping_pow(y as u32).into());
        }
        for y in -4i64..0 {
            let exact = (x as f64).powi(y as i32);
            let want = if exact.is_finite() { exact.trunc() as i64 } else { 0 };
            assert_eq!(b(Binary::Pow, x, y), want.into(), "{x}^{y}");
        }
    }
}

#[test]
fn float_edges() {
    let nan = |s: Scalar| s.to_f64().is_nan();
    for op in [Binary::Min, Binary::Max] {
        assert!(nan(b(op, f32::NAN, 1f32)) && nan(b(op, 1f32, f32::NAN)));
        assert!(nan(b(op, f64::NAN, 1f64)) && nan(b(op, 1f64, f64::NAN)));
        assert!(nan(b(op, f16::NAN, f16::ONE)) && nan(b(op, f16::ONE, f16::NAN)));
    }
    assert!(nan(u(Unary::Relu, f32::NAN)) && nan(u(Unary::Sign, f64::NAN)));
    assert_eq!(u(Unary::Relu, -1f32), 0f32.into());
    assert_eq!(u(Unary::Sign, -0f32), 0f32.into());
    assert_eq!(u(Unary::Sign, -3.5f64), (-1f64).into());
    assert_eq!(u(Unary::Abs, -0f32), 0f32.into());
    assert_eq!(u(Unary::Round, 2.5f32), 2f32.into());
    assert_eq!(u(Unary::Round, -3.5f64), (-4f64).into());
    assert_eq!(u(Unary::IsNan, bf16::NAN), true.into());
    assert_eq!(u(Unary::IsPosInf, f16::NEG_INFINITY), false.into());
    assert_eq!(u(Unary::IsNegInf, f16::NEG_INFINITY), true.into());
    assert_eq!(b(Binary::Fmod, -7.5f32, 2f32), (-1.5f32).into());
    assert_eq!(b(Binary::Mod, -7.5f32, 2f32), 0.5f32.into());
    assert_eq!(b(Binary::Mod, 4f32, -2f32), (-0f32).into());
}

#[test]
fn a_multiply_add_rounds_once() {
    let (a, c) = (1.0 + 2f64.powi(-52), -1.0 - 2f64.powi(-51));
    assert_eq!(mul_add(a.into(), a.into(), c.into()), 2f64.powi(-104).into());
    let (a, c) = (1.0 + 2f32.powi(-23), -1.0 - 2f32.powi(-22));
    assert_eq!(mul_add(a.into(), a.into(), c.into()), 2f32.powi(-46).into());
}

#[test]
fn what_is_not_supported_says_so() {
    assert!(!Unary::Exp.supports(DType::I32) && !Unary::Neg.supports(DType::Bool));
    assert!(!Binary::Add.supports(DType::Bool) && !Binary::Shl.supports(DType::F16));
    assert!(Unary::Not.supports(DType::Bool) && Binary::Xor.supports(DType::Bool));
    assert_eq!(Binary::Lt.result(DType::F64), DType::Bool);
    assert_eq!(Unary::IsNan.result(DType::BF16), DType::Bool);
}

#[test]
fn casts_saturate_wrap_and_test() {
    let c = |x: Scalar, to| cast(x, to);
    assert_eq!(c(300.7f32.into(), DType::U8), 255u8.into());
    assert_eq!(c((-1.5f32).into(), DType::U8), 0u8.into());
    assert_eq!(c((-1.5f64).into(), DType::I32), (-1i32).into());
    assert_eq!(c(f32::NAN.into(), DType::I64), 0i64.into());
    assert_eq!(c(f32::INFINITY.into(), DType::I64), i64::MAX.into());
    assert_eq!(c(300i32.into(), DType::U8), 44u8.into());
    assert_eq!(c((-1i8).into(), DType::U64), u64::MAX.into());
    assert_eq!(c(f32::NAN.into(), DType::Bool), true.into());
    assert_eq!(c((-0f32).into(), DType::Bool), false.into());
    assert_eq!(c(256i32.into(), DType::Bool), true.into());
    assert_eq!(c(true.into(), DType::F16), f16::ONE.into());
    assert_eq!(c(u64::MAX.into(), DType::F32), 18446744073709551616f32.into());
    // The f64 nearest to 2^24 + 1 - 2^-20 is below the tie of two floats.
    assert_eq!(c((16777217.0 - 1e-6f64).into(), DType::F32), 16777216f32.into());
}

/// The value of `x` in a format of `p` significand bits and least exponent `emin`, by exact scaling.
fn rounded(x: f64, p: i32, emin: i32, max: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return x;
    }
    let e = (libm::ilogb(x)).max(emin) - (p - 1);
    let r = libm::scalbn(libm::rint(libm::scalbn(x, -e)), e);
    if r.abs() > max { f64::INFINITY.copysign(x) } else { r }
}

proptest! {
    #[test]
    fn narrowing_rounds_once(bits: u64, n: i64) {
        for x in [f64::from_bits(bits), f32::from_bits(bits as u32) as f64, libm::scalbn(n as f64, -60)] {
            prop_assume!(!x.is_nan());
            prop_assert_eq!(cast(x.into(), DType::F16).to_f64(), rounded(x, 11, -14, 65504.0));
            let max = bf16::MAX.to_f64();
            prop_assert_eq!(cast(x.into(), DType::BF16).to_f64(), rounded(x, 8, -126, max));
        }
    }

    #[test]
    fn narrowing_ties_see_the_last_bit(m in 1024u64..2048, e in -10i32..4, nudge in -1i64..=1) {
        let tie = libm::scalbn(m as f64 + 0.5, e);
        let x = f64::from_bits((tie.to_bits() as i64 + nudge) as u64);
        prop_assert_eq!(cast(x.into(), DType::F16).to_f64(), rounded(x, 11, -14, 65504.0));
    }

    #[test]
    fn integers_round_once(n: i64, shift in 0u32..64) {
        for (n, p, dtype) in [(n >> shift, 8, DType::BF16), (n >> shift, 24, DType::F32)] {
            let e = (64 - n.unsigned_abs().leading_zeros() as i32 - p).max(0);
            let (q, r) = ((n.unsigned_abs() >> e) as f64, n.unsigned_abs() & ((1u64 << e) - 1));
            let half = if e == 0 { 0 } else { 1u64 << (e - 1) };
            let up = r > half || (r == half && e > 0 && q % 2.0 == 1.0);
            let want = libm::scalbn(q + up as u64 as f64, e).copysign(n as f64);
            prop_assert_eq!(cast(n.into(), dtype).to_f64(), want);
        }
    }

    #[test]
    fn half_precision_rounds_each_operation(x: u16, y: u16) {
        let (x, y) = (f16::from_bits(x), f16::from_bits(y));
        for (op, f) in [
            (Binary::Add, (|a, b| a + b) as fn(f64, f64) -> f64),
            (Binary::Mul, |a, b| a * b),
            (Binary::Div, |a, b| a / b),
        ] {
            let got = b(op, x, y).to_f64();
            let want = rounded(f(x.to_f64(), y.to_f64()), 11, -14, 65504.0);
            prop_assert!(got == want || got.is_nan() && want.is_nan(), "{op:?} {x} {y}: {got} {want}");
        }
    }

    #[test]
    fn slices_are_scalars_in_a_row(x: Vec<f32>, y: f32) {
        let bytes = |v: &[f32]| v.iter().flat_map(|x| x.to_ne_bytes()).collect::<Vec<_>>();
        let (xb, yb) = (bytes(&x), y.to_ne_bytes());
        let mut out = vec![0; xb.len()];
        let bits = |out: &[u8]| out.chunks(4).map(|c| f32::from_ne_bytes(c.try_into().unwrap()).to_bits()).collect::<Vec<_>>();
        for op in [Unary::Exp, Unary::Tanh, Unary::Relu, Unary::Floor] {
            unary_slice(op, DType::F32, &xb, &mut out);
            let want: Vec<_> = x.iter().map(|&x| u(op, x).bits as u32).collect();
            prop_assert_eq!(bits(&out), want);
        }
        for op in [Binary::Sub, Binary::Max] {
            binary_slice(op, DType::F32, &xb, &yb, &mut out);
            let want: Vec<_> = x.iter().map(|&x| b(op, x, y).bits as u32).collect();
            prop_assert_eq!(bits(&out), want);
            binary_slice(op, DType::F32, &yb, &xb, &mut out);
            let want: Vec<_> = x.iter().map(|&x| b(op, y, x).bits as u32).collect();
            prop_assert_eq!(bits(&out), want);
        }
        let mut test = vec![0; x.len()];
        unary_slice(Unary::IsNan, DType::F32, &xb, &mut test);
        prop_assert_eq!(test, x.iter().map(|x| x.is_nan() as u8).collect::<Vec<_>>());
        let mut ints = vec![0; x.len() * 2];
        cast_slice(DType::F32, &xb, DType::I16, &mut ints);
        let want: Vec<_> = x.iter().flat_map(|&x| (x as i16).to_ne_bytes()).collect();
        prop_assert_eq!(ints, want);
    }
}
