//! Products against the plain triple loop, bit for bit, at every level, over odd shapes, strides and values.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::simd::{for_each_level, with_halves};

/// The definition: one chain of fused multiply-adds an output, in the order of k; of one row and few columns four.
fn oracle(
    g: &Gemm,
    c: &mut [f32],
    a: impl Fn(usize, usize) -> f32,
    b: &[f32],
    bias: &[f32],
    residual: &[f32],
) {
    for i in 0..g.m {
        for j in 0..g.n {
            let mut sum = match g.init {
                Init::C => c[i * g.ldc + j],
                Init::Bias => bias.get(j).copied().unwrap_or(0.0),
            };
            if g.m == 1 && g.n <= 32 && g.k >= 32 && g.lda >= g.k {
                let mut chains = [sum, 0.0, 0.0, 0.0];
                for p in 0..g.k {
                    chains[p % 4] = a(i, p).mul_add(b[p * g.n + j], chains[p % 4]);
                }
                sum = (chains[0] + chains[1]) + (chains[2] + chains[3]);
            } else {
                for p in 0..g.k {
                    sum = a(i, p).mul_add(b[p * g.n + j], sum);
                }
            }
            if !residual.is_empty() {
                let rows = if g.event == 0 { g.m } else { g.event };
                let (event, row) = (i / rows, i % rows);
                sum += residual[event * g.lde + row * g.ldr + j];
            }
            c[i * g.ldc + j] = match g.act {
                Act::None => sum,
                Act::Relu if sum < 0.0 => 0.0,
                Act::Relu => sum,
                Act::LeakyRelu { alpha } if sum < 0.0 => alpha * sum,
                Act::LeakyRelu { .. } => sum,
                Act::Clip { lo, hi } if sum.is_nan() => sum.clamp(lo, hi),
                Act::Clip { lo, hi } => sum.max(lo).min(hi),
                act => unreachable!("{act:?} has its own test"),
            };
        }
    }
}

/// Equal bits, any NaN being any other, and zeros' signs compared too.
fn assert_bits(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len());
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
        assert!(same, "{what}: element {i} is {got:e}, expected {expected:e}");
    }
}

/// Values that round, now and then one that does not behave.
fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        60 => -2.0f32..2.0,
        1 => prop::sample::select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 1e-40]),
    ]
}

/// So many values, repeating a short random run of a length that no stride divides.
fn values(seed: &[f32], len: usize) -> Vec<f32> {
    (0..len).map(|i| seed[(i + i / 7) % seed.len()]).collect()
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::None),
        Just(Act::Relu),
        (-0.5f32..1.5).prop_map(|alpha| Act::LeakyRelu { alpha }),
        Just(Act::Clip { lo: 0.0, hi: 6.0 }),
        Just(Act::Clip { lo: -1.0, hi: 0.25 }),
    ]
}

fn residual_len(g: &Gemm) -> usize {
    match g.event {
        0 => extent(g.m, g.ldr, g.n),
        rows => extent(g.m / rows, g.lde, extent(rows, g.ldr, g.n)),
    }
}

fn check(g: &Gemm, with_bias: bool, with_residual: bool, seed: &[f32]) {
    let a = values(seed, extent(g.m, g.lda, g.k));
    let b = values(&seed[1..], g.k * g.n);
    let bias = if with_bias && g.init == Init::Bias { values(&seed[2..], g.n) } else { Vec::new() };
    let residual = if with_residual { values(&seed[3..], residual_len(g)) } else { Vec::new() };
    let before = values(&seed[4..], extent(g.m, g.ldc, g.n) + 3);
    let mut expected = before.clone();
    oracle(g, &mut expected, |i, p| a[i * g.lda + p], &b, &bias, &residual);
    let w = pack(&b, g.k, g.n, Layout::KN);
    for_each_level(|level| {
        for halves in [false, true] {
            let mut c = before.clone();
            with_halves(halves, || g.run(&mut c, &a, &w, &bias, &residual));
            assert_bits(&c, &expected, &std::format!("{}, halves {halves}, {g:?}", level.name()));
        }
    });
}

const SEED: [f32; 13] = [0.31, -0.7, 1.3, 0.001, -1.9, 0.5, -0.25, 1.75, 0.9, -1.1, 0.66, -0.02, 1e-3];

#[test]
fn every_tile_size() {
    // Every number of rows up to two tiles, against one panel, the odd ones, and a wide row of panels.
    let widths: &[usize] = if cfg!(miri) { &[3] } else { &[1, 5, 16, 17, 32, 40, 48, 64, 100, 144] };
    for m in 0..if cfg!(miri) { 4 } else { 27 } {
        for &n in widths {
            let k = (m * 5 + n) % 11;
            let g =
                Gemm { m, k, n, lda: k, ldc: n, ldr: n, event: 0, lde: 0, act: Act::Relu, init: Init::Bias };
            check(&g, true, m % 2 == 0, &SEED);
        }
    }
}

#[test]
fn few_columns_of_many_rows() {
    let shapes: &[(usize, usize)] =
        if cfg!(miri) { &[(17, 9)] } else { &[(16, 8), (33, 11), (50, 24), (64, 47)] };
    for &(m, k) in shapes {
        for n in (1..10).chain([17, 20]) {
            let at = Gemm {
                m,
                k,
                n,
                lda: k + 1,
                ldc: n,
                ldr: n,
                event: 0,
                lde: 0,
                act: Act::Relu,
                init: Init::Bias,
            };
            check(&at, true, n % 2 == 0, &SEED);
            check(&Gemm { ldc: n + 3, init: Init::C, act: Act::None, ..at }, false, n % 2 == 1, &SEED);
        }
    }
}

#[test]
fn blocks_of_k_and_n_keep_the_chain() {
    if cfg!(miri) {
        return; // far too large; the small shapes take the same paths but for the loops over blocks
    }
    let shapes = [
        (3, 1100, 20),
        (30, 600, 300),
        (13, 513, 33),
        (1, 2000, 130),
        (1, 701, 5),
        (1, 34, 17),
        (1, 32, 32),
        // Few last columns: alone, in a block of their own, and with others.
        (14, 520, 8),
        (25, 600, 136),
        (29, 513, 134),
    ];
    for (m, k, n) in shapes {
        let g = Gemm {
            m,
            k,
            n,
            lda: k + 3,
            ldc: n + 1,
            ldr: n,
            event: 0,
            lde: 0,
            act: Act::LeakyRelu { alpha: 0.1 },
            init: Init::C,
        };
        check(&g, false, true, &SEED);
        check(&Gemm { init: Init::Bias, ..g }, true, true, &SEED);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 300 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape(
        (m, k, n) in (0usize..30, 0usize..40, 0usize..70),
        (more_a, more_c, ldr) in (0usize..4, 0usize..4, 0usize..2),
        act in act(),
        from_c: bool,
        with_bias: bool,
        with_residual: bool,
        seed in prop::collection::vec(value(), 40..60),
    ) {
        let (m, k, n) = if cfg!(miri) { (m % 6, k % 5, n % 20) } else { (m, k, n) };
        let init = if from_c { Init::C } else { Init::Bias };
        let g = Gemm { m, k, n, lda: k + more_a, ldc: n + more_c, ldr: ldr * (n + 1), event: 0, lde: 0, act, init };
        check(&g, with_bias, with_residual, &seed);
    }

    #[test]
    fn residuals_of_events(
        (events, event, k, n) in (0usize..12, 1usize..16, 0usize..40, 0usize..70),
        (ldr, lde) in (0usize..3, 0usize..3),
        act in act(),
        seed in prop::collection::vec(value(), 40..60),
    ) {
        let (events, event, k, n) = if cfg!(miri) { (events % 3, event % 4 + 1, k % 9, n % 20) } else { (events, event, k, n) };
        let (ldr, lde) = (ldr * (n + 1), lde * (n + 2));
        let g = Gemm { m: events * event, k, n, lda: k, ldc: n, ldr, event, lde, act, init: Init::Bias };
        check(&g, true, true, &seed);
    }

    #[test]
    fn rows_in_segments(
        (m, segments, segment, n) in (0usize..30, 0usize..12, 0usize..9, 1usize..40),
        holes in 0u64..,
        seed in prop::collection::vec(-2.0f32..2.0, 40..60),
    ) {
        let (m, n) = if cfg!(miri) { (m % 5, n % 18) } else { (m, n) };
        check_rows(m, segments, segment, n, holes, &seed);
    }
}

fn check_rows(m: usize, segments: usize, segment: usize, n: usize, holes: u64, seed: &[f32]) {
    let a = values(seed, 50 + segment);
    let offsets: Vec<u32> = (0..m * segments)
        .map(|i| if holes >> (i % 61) & 3 == 1 { u32::MAX } else { (i * 17 % 50) as u32 })
        .collect();
    let k = segments * segment;
    let b = values(&seed[1..], k * n);
    let bias = values(&seed[2..], n);
    let rows = OffsetTable { offsets: &offsets, segments };
    let g = Gemm { m, k, n, lda: 0, ldc: n, ldr: 0, event: 0, lde: 0, act: Act::Relu, init: Init::Bias };
    let mut expected = vec![0.0; m * n];
    let element = |i: usize, p: usize| match offsets[i * segments + p / segment] {
        u32::MAX => 0.0,
        offset => a[offset as usize + p % segment],
    };
    oracle(&g, &mut expected, element, &b, &bias, &[]);
    let w = pack(&b, k, n, Layout::KN);
    for_each_level(|level| {
        let mut c = vec![7.0; m * n];
        let conv = GemmRows { m, n, segments, segment, ldc: n, ldr: 0, act: Act::Relu, init: Init::Bias };
        conv.run(&mut c, &a, &rows, &w, &bias, &[]);
        assert_bits(&c, &expected, &std::format!("{} {conv:?}", level.name()));
    });
}

#[test]
fn many_and_long_segments() {
    if cfg!(miri) {
        return;
    }
    check_rows(14, 100, 9, 20, 0x1234_5678_9abc_def0, &SEED);
    check_rows(7, 3, 1500, 18, 0x0f0f_1234_9abc_def0, &SEED);
    check_rows(13, 2, 1024, 33, 0x0f0f_1234_9abc_def0, &SEED);
}

#[test]
fn refuses_what_does_not_fit() {
    let fits = |g: Gemm, c: usize, a: usize, w: usize, bias: usize, residual: usize| {
        std::panic::catch_unwind(|| {
            g.run(&mut vec![0.0; c], &vec![0.0; a], &vec![0.0; w], &vec![0.0; bias], &vec![0.0; residual]);
        })
        .is_ok()
    };
    let g =
        Gemm { m: 3, k: 2, n: 4, lda: 3, ldc: 5, ldr: 4, event: 0, lde: 0, act: Act::None, init: Init::Bias };
    assert!(fits(g.clone(), 14, 8, 32, 4, 12));
    assert!(!fits(g.clone(), 13, 8, 32, 4, 12));
    assert!(!fits(g.clone(), 14, 7, 32, 4, 12));
    assert!(!fits(g.clone(), 14, 8, 31, 4, 12));
    assert!(!fits(g.clone(), 14, 8, 32, 3, 12));
    assert!(!fits(g.clone(), 14, 8, 32, 4, 11));
    assert!(!fits(Gemm { ldc: 3, ..g.clone() }, 14, 8, 32, 4, 12));
    assert!(!fits(Gemm { init: Init::C, ..g.clone() }, 14, 8, 32, 4, 12));
    let events = Gemm { m: 4, ldr: 0, event: 2, lde: 4, ..g.clone() };
    assert!(fits(events.clone(), 19, 11, 32, 4, 8));
    assert!(!fits(events.clone(), 19, 11, 32, 4, 7));
    assert!(!fits(Gemm { ldr: 1, ..events.clone() }, 19, 11, 32, 4, 8));
    assert!(!fits(Gemm { event: 3, ..events }, 19, 11, 32, 4, 64));
    assert!(!fits(Gemm { lda: usize::MAX, ..g.clone() }, 14, 8, 32, 4, 12));
    assert!(!fits(Gemm { k: usize::MAX / 2, ..g }, 14, 8, 32, 4, 12));
}
