//! Every function at every level: error in ulp against `f64`, special values, equal bits.
//! The exhaustive tests are the source of the bounds that the files state.

use super::scalar64;
use crate::map::vector::{unary_in_place, unary_of};
use crate::map::{Binary, Unary, binary};
use crate::simd::for_each_level;
use proptest::prelude::*;

/// Error of `got` in units of the last place of the nearest float.
fn ulp(got: f32, want: f64) -> f64 {
    let nearest = want as f32;
    if got == nearest || (got.is_nan() && want.is_nan()) {
        return if nearest.is_infinite() || want.is_nan() {
            0.0
        } else {
            (got as f64 - want).abs() / spacing(nearest)
        };
    }
    if got.is_infinite() && nearest.is_finite() {
        // One step past the largest finite is 2^128.
        return (2f64.powi(128).copysign(got as f64) - want).abs() / spacing(nearest);
    }
    if nearest.is_infinite() && got.is_finite() {
        return (want.abs().min(2f64.powi(128)) - (got as f64).abs()) / spacing(f32::MAX);
    }
    if got.is_nan() || want.is_nan() { f64::INFINITY } else { (got as f64 - want).abs() / spacing(nearest) }
}

/// The distance between floats at `x`.
fn spacing(x: f32) -> f64 {
    let a = x.abs().max(f32::MIN_POSITIVE);
    2f64.powi((a.to_bits() >> 23) as i32 - 127 - 23)
}

fn pow(x: f32, y: f32) -> f32 {
    f32::from_bits(binary(Binary::Pow, x.into(), y.into()).bits as u32)
}

/// Functions with a bound in ulp, a little above what the exhaustive test found.
const BOUNDS: &[(Unary, f64)] = &[
    (Unary::Exp, 1.5),
    (Unary::Expm1, 2.0),
    (Unary::Log, 1.5),
    (Unary::Log1p, 1.5),
    (Unary::Sin, 2.0),
    (Unary::Cos, 2.0),
    (Unary::Tan, 3.0),
    (Unary::Asin, 2.0),
    (Unary::Acos, 2.0),
    (Unary::Atan, 2.0),
    (Unary::Sinh, 3.0),
    (Unary::Cosh, 3.0),
    (Unary::Tanh, 3.0),
    (Unary::Asinh, 3.0),
    (Unary::Acosh, 3.0),
    (Unary::Atanh, 3.0),
    (Unary::Erf, 1.5),
    (Unary::Sigmoid, 2.5),
    (Unary::Softplus, 2.0),
    (Unary::Silu, 3.0),
];

/// The largest error of `op` over `bits`, and where.
fn worst(op: Unary, mut bits: impl Iterator<Item = u32>) -> (f64, f32) {
    let mut worst = (0.0, 0.0);
    loop {
        let x: Vec<f32> = bits.by_ref().take(4096).map(f32::from_bits).collect();
        if x.is_empty() {
            return worst;
        }
        let mut y = x.clone();
        unary_in_place(op, &mut y);
        for (&x, &y) in x.iter().zip(&y) {
            let e = ulp(y, scalar64::unary(op, x as f64));
            // Below, silu multiplies a subnormal.
            if e > worst.0 && !(op == Unary::Silu && x < -87.0) {
                worst = (e, x);
            }
        }
    }
}

#[test]
fn sampled_errors_are_within_bounds() {
    for &(op, bound) in BOUNDS {
        // Every exponent and sign, and an odd stride through the significands.
        let (error, x) = worst(op, (0..80_000u32).map(|i| i.wrapping_mul(2_654_435_761)));
        assert!(error <= bound, "{op:?}({x:e}) is off by {error} ulp");
        let (error, x) = worst(op, (0..40_000u32).map(|i| (i as f32 * 2.5e-4 - 5.0).to_bits()));
        assert!(error <= bound, "{op:?}({x:e}) is off by {error} ulp");
    }
}

#[test]
#[ignore = "exhaustive: minutes a function"]
fn exhaustive_errors_are_within_bounds() {
    let only = std::env::var("SOFIE_MATH_FUNCTION").ok();
    for &(op, bound) in BOUNDS.iter().filter(|(op, _)| only.as_ref().is_none_or(|f| *f == format!("{op:?}")))
    {
        let (error, x) = worst(op, 0..=u32::MAX);
        println!("{op:?}: {error:.4} ulp at {x:e}");
        assert!(error <= bound, "{op:?}({x:e}) is off by {error} ulp");
    }
}

#[test]
fn gelu_is_as_exact_as_its_terms() {
    for (op, bound) in [(Unary::GeluErf, -23.7f64), (Unary::GeluTanh, -22.0)] {
        for i in 0..200_000 {
            let x = i as f32 * 2e-4 - 20.0;
            let (got, want) = (unary_of(op, x), scalar64::unary(op, x as f64));
            let error = (got as f64 - want).abs();
            assert!(error <= bound.exp2() * x.abs() as f64, "{op:?}({x}) {got} {want}");
            assert!(x > 0.0 || got <= 0.0, "{op:?}({x}) {got}");
        }
    }
}

#[test]
fn special_values() {
    const INF: f32 = f32::INFINITY;
    let cases: &[(Unary, &[(f32, f32)])] = &[
        (
            Unary::Exp,
            &[(-INF, 0.0), (INF, INF), (0.0, 1.0), (-0.0, 1.0), (89.0, INF), (-104.0, 0.0), (1e30, INF)],
        ),
        (Unary::Expm1, &[(-INF, -1.0), (INF, INF), (-0.0, -0.0), (1e-45, 1e-45), (89.0, INF)]),
        (
            Unary::Log,
            &[(0.0, -INF), (-0.0, -INF), (INF, INF), (1.0, 0.0), (-1.0, f32::NAN), (-INF, f32::NAN)],
        ),
        (Unary::Log1p, &[(-1.0, -INF), (INF, INF), (-0.0, -0.0), (-1.5, f32::NAN), (-1e-45, -1e-45)]),
        (Unary::Sin, &[(-0.0, -0.0), (INF, f32::NAN), (1e-45, 1e-45)]),
        (Unary::Cos, &[(-0.0, 1.0), (-INF, f32::NAN)]),
        (Unary::Tan, &[(-0.0, -0.0), (INF, f32::NAN)]),
        (Unary::Asin, &[(-0.0, -0.0), (1.0, 1.570_796_4), (1.1, f32::NAN), (INF, f32::NAN)]),
        (Unary::Acos, &[(1.0, 0.0), (-1.0, core::f32::consts::PI), (-1.1, f32::NAN)]),
        (Unary::Atan, &[(-0.0, -0.0), (INF, 1.570_796_4), (-INF, -1.570_796_4)]),
        (Unary::Sinh, &[(-0.0, -0.0), (INF, INF), (-INF, -INF), (90.0, INF)]),
        (Unary::Cosh, &[(-INF, INF), (0.0, 1.0)]),
        (Unary::Tanh, &[(-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (1e-45, 1e-45), (-3e-39, -3e-39)]),
        (Unary::Asinh, &[(-0.0, -0.0), (INF, INF), (-INF, -INF)]),
        (Unary::Acosh, &[(1.0, 0.0), (INF, INF), (0.5, f32::NAN), (-INF, f32::NAN)]),
        (Unary::Atanh, &[(-0.0, -0.0), (1.0, INF), (-1.0, -INF), (2.0, f32::NAN), (INF, f32::NAN)]),
        (Unary::Erf, &[(-0.0, -0.0), (INF, 1.0), (-INF, -1.0), (1e-45, 1e-45)]),
        (Unary::Sigmoid, &[(INF, 1.0), (-INF, 0.0), (0.0, 0.5)]),
        (Unary::Softplus, &[(INF, INF), (-INF, 0.0), (200.0, 200.0)]),
        (Unary::Silu, &[(INF, INF), (-0.0, -0.0)]),
        (Unary::GeluErf, &[(INF, INF), (0.0, 0.0), (100.0, 100.0)]),
        (Unary::GeluTanh, &[(INF, INF), (0.0, 0.0), (1e30, 1e30), (-1e30, -0.0)]),
        (Unary::Sign, &[(-0.0, 0.0), (-1e-45, -1.0), (INF, 1.0)]),
        (Unary::Relu, &[(-INF, 0.0), (-1.0, 0.0), (INF, INF)]),
    ];
    for &(op, cases) in cases {
        for &(x, want) in cases.iter().chain(&[(f32::NAN, f32::NAN)]) {
            for_each_level(|level| {
                let got = unary_of(op, x);
                let same = got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan();
                assert!(same, "{op:?}({x:e}) is {got:e} at {}, not {want:e}", level.name());
            });
        }
    }
}

#[test]
fn pow_special_values_are_those_of_libm() {
    let v = [
        0.0,
        0.3,
        0.5,
        1.0,
        1.5,
        2.0,
        3.0,
        16777215.0,
        16777216.0,
        1e30,
        1e-40,
        1e-45,
        f32::MAX,
        f32::INFINITY,
    ];
    let v: Vec<f32> = v.iter().flat_map(|&x| [x, -x]).chain([f32::NAN]).collect();
    for &x in &v {
        for &y in &v {
            let (got, want) = (pow(x, y), scalar64::pow(x as f64, y as f64));
            assert!(ulp(got, want) <= 2.0, "{x:e}^{y:e}: {got:e} {want:e}");
            assert!(
                got.is_nan() || got.is_sign_negative() == want.is_sign_negative(),
                "{x}^{y}: {got} {want}"
            );
        }
    }
}

/// A stream of arguments of `pow` whose results are mostly finite.
fn pow_pairs(n: u32, seed: u64) -> impl Iterator<Item = (f32, f32)> {
    let mut state = seed;
    (0..n).map(move |i| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut x = f32::from_bits((state >> 33) as u32 % 0x7f80_0000);
        if i % 2 == 0 {
            // Near 1, where large exponents magnify the logarithm's error most.
            x = 1.0 + (x.to_bits() as f32 / 2_139_095_040.0 - 0.5) * 0.5;
        }
        let reach = 128.0 / libm::log2(x as f64).abs().max(1e-6);
        let y = ((state >> 8) as u16 as f64 / 32768.0 - 1.0) * reach;
        (x, y as f32)
    })
}

#[test]
fn pow_errors_are_within_bounds() {
    for (x, y) in pow_pairs(100_000, 1) {
        let (got, want) = (pow(x, y), scalar64::pow(x as f64, y as f64));
        assert!(ulp(got, want) <= 2.0, "{x:e}^{y:e}: {got:e} {want:e} {}", ulp(got, want));
    }
}

#[test]
#[ignore = "exhaustive: minutes"]
fn pow_errors_are_within_bounds_everywhere() {
    let mut worst = (0.0, 0.0, 0.0);
    for (x, y) in pow_pairs(1 << 30, 2) {
        let e = ulp(pow(x, y), scalar64::pow(x as f64, y as f64));
        if e > worst.0 {
            worst = (e, x, y);
        }
    }
    println!("pow: {:.4} ulp at {:e}^{:e}", worst.0, worst.1, worst.2);
    assert!(worst.0 <= 2.0);
}

proptest! {
    #[test]
    fn all_levels_give_the_same_bits(bits: [u32; 37], small: [f32; 16]) {
        for op in (BOUNDS.iter().map(|b| b.0)).chain([Unary::GeluErf, Unary::GeluTanh, Unary::Sign, Unary::Round]) {
            let x: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).chain(small.map(|x| x % 100.0)).collect();
            let mut first: Option<Vec<u32>> = None;
            for_each_level(|level| {
                let mut y = x.clone();
                unary_in_place(op, &mut y);
                let y: Vec<u32> = y.iter().map(|y| if y.is_nan() { 0x7fc0_0000 } else { y.to_bits() }).collect();
                let first = first.get_or_insert_with(|| y.clone());
                for i in 0..y.len() {
                    assert_eq!(first[i], y[i], "{op:?}({:e}) at {}", x[i], level.name());
                }
            });
        }
    }

    #[test]
    fn pow_has_the_same_bits_at_all_levels(x: f32, y in -50f32..50.0) {
        let mut first = None;
        for_each_level(|level| {
            let bits = pow(x.abs(), y).to_bits();
            assert_eq!(*first.get_or_insert(bits), bits, "{}", level.name());
        });
    }
}
