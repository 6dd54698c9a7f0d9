//! Convolutions against their definition, bit for bit at every level, over odd shapes, strides and values.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::simd::for_each_level;

/// Values that round, now and then one that does not behave.
pub(in crate::conv) fn value() -> impl Strategy<Value = f32> {
    prop_oneof![
        80 => -2.0f32..2.0,
        1 => prop::sample::select(vec![0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30, 1e-40]),
    ]
}

/// So many values, repeating a short run of a length that no stride divides.
pub(in crate::conv) fn values(seed: &[f32], len: usize) -> Vec<f32> {
    (0..len).map(|i| seed[(i + i / 7) % seed.len()]).collect()
}

/// Equal bits, any NaN being any other.
#[track_caller]
pub(in crate::conv) fn assert_bits(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len());
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let same = got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan();
        assert!(same, "{what}: element {i} is {got:e}, expected {expected:e}");
    }
}

pub(in crate::conv) fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::None),
        Just(Act::Relu),
        (-0.5f32..1.5).prop_map(|alpha| Act::LeakyRelu { alpha }),
        Just(Act::Clip { lo: -1.0, hi: 0.25 }),
        Just(Act::Elu { alpha: 1.5 }),
        prop::sample::select(vec![Act::Sigmoid, Act::Tanh, Act::Silu, Act::GeluErf, Act::GeluTanh]),
    ]
}

fn activate(act: Act, x: f32) -> f32 {
    match act {
        Act::Relu if x < 0.0 => 0.0,
        Act::LeakyRelu { alpha } if x < 0.0 || x.is_nan() => alpha * x,
        Act::Clip { lo, hi } if !x.is_nan() => x.max(lo).min(hi),
        Act::None | Act::Relu | Act::LeakyRelu { .. } | Act::Clip { .. } => x,
        // As a map has it, which has tests of its own.
        _ => act.apply(x),
    }
}

/// The padded image as a function of signed coordinates.
fn padded(x: &[f32], w: &Window, ldx: usize, image: usize, at: [isize; 3], ch: usize) -> f32 {
    let mut row = image;
    for (at, extent) in at.into_iter().zip(w.x) {
        if !(0..extent as isize).contains(&at) {
            return 0.0;
        }
        row = row * extent + at as usize;
    }
    x[row * ldx + ch]
}

fn each(extents: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..extents[0])
        .flat_map(move |a| (0..extents[1]).flat_map(move |b| (0..extents[2]).map(move |c| [a, b, c])))
}

/// The definition: one chain of fused multiply-adds an output over kernel positions, then channels; of a product of
/// one row and few columns four.
pub(in crate::conv) fn oracle(
    conv: &Conv,
    y: &mut [f32],
    x: &[f32],
    w: &[f32],
    bias: &[f32],
    residual: &[f32],
) {
    let (win, c, m) = (&conv.window, conv.c / conv.group, conv.m / conv.group);
    let one_row = conv.algo == Algo::Pointwise && conv.batch * win.y_pixels() == 1;
    let chains = if one_row && m <= 32 && c >= 32 { 4 } else { 1 };
    for image in 0..conv.batch {
        for (pixel, o) in each(win.y).enumerate() {
            let row = image * win.y_pixels() + pixel;
            for filter in 0..conv.m {
                let mut sums = [bias.get(filter).copied().unwrap_or(0.0), 0.0, 0.0, 0.0];
                for (tap, k) in each(win.kernel).enumerate() {
                    let at = [0, 1, 2].map(|i| {
                        (o[i] * win.strides[i] + k[i] * win.dilations[i]) as isize
                            - win.pads_begin[i] as isize
                    });
                    for ch in 0..c {
                        let x = padded(x, win, conv.ldx, image, at, filter / m * c + ch);
                        let sum = &mut sums[ch % chains];
                        *sum = x.mul_add(w[(tap * c + ch) * conv.m + filter], *sum);
                    }
                }
                let mut sum = if chains == 1 { sums[0] } else { (sums[0] + sums[1]) + (sums[2] + sums[3]) };
                if !residual.is_empty() {
                    sum += residual[row * conv.ldr + filter];
                }
                y[row * conv.ldy + filter] = activate(conv.act, sum);
            }
        }
    }
}

/// What a test may vary.
#[derive(Clone, Debug)]
struct Case {
    conv: Conv,
    bias: bool,
    residual: bool,
}

/// A window for which y is what the other numbers make of x, at least 1.
pub(in crate::conv) fn window(axes: [[usize; 6]; 3]) -> Window {
    let get = |j: usize| [axes[0][j], axes[1][j], axes[2][j]];
    let (x, kernel, strides, dilations, begin, end) = (get(0), get(1), get(2), get(3), get(4), get(5));
    let mut y = [0; 3];
    for i in 0..3 {
        let reach = (kernel[i] - 1) * dilations[i] + 1;
        y[i] = ((x[i] + begin[i] + end[i]).saturating_sub(reach)) / strides[i] + 1;
    }
    Window { x, y, kernel, strides, dilations, pads_begin: begin }
}

fn axis(largest: usize) -> impl Strategy<Value = [usize; 6]> {
    let plain = (1..=largest, 1usize..=3, 1usize..=2, Just(1usize), 0usize..=1, 0usize..=1);
    let odd = (1..=largest, 1usize..=5, 1usize..=4, 1usize..=3, 0usize..=4, 0usize..=4);
    prop_oneof![plain, odd].prop_map(|(x, k, s, d, b, e)| [x, k, s, d, b, e])
}

fn any_window() -> impl Strategy<Value = Window> {
    const ONE: [usize; 6] = [1, 1, 1, 1, 0, 0];
    prop_oneof![
        axis(30).prop_map(|c| window([ONE, ONE, c])),
        (axis(9), axis(9)).prop_map(|(b, c)| window([ONE, b, c])),
        (axis(4), axis(5), axis(5)).prop_map(|(a, b, c)| window([a, b, c])),
        (1usize..40).prop_map(|x| window([ONE, ONE, [x, 1, 1, 1, 0, 0]])),
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let channels = prop_oneof![
        (1usize..=9, 1usize..=40, Just(1usize)),
        (1usize..=40, 1usize..=20, Just(1usize)),
        (1usize..=9, 1usize..=9, 2usize..=5).prop_map(|(c, m, g)| (c * g, m * g, g)),
        (1usize..=3, 2usize..=40).prop_map(|(m, g)| (g, m * g, g)),
        (1usize..=50).prop_map(|g| (g, g, g)),
        (1usize..=4, 1usize..=2).prop_map(|(m, g)| (0, m * g, g)),
    ];
    let strides = prop::sample::select(vec![0usize, 0, 1, 5]);
    (any_window(), 0usize..=3, channels, strides, act(), any::<[bool; 2]>()).prop_map(
        |(window, batch, (c, m, group), apart, act, [bias, residual])| {
            let conv = Conv::new(batch, window, c, m, group);
            // One residual row for all pixels now and then.
            let ldr = if apart == 1 { 0 } else { m + apart };
            let conv = Conv { ldx: c + apart, ldy: m + 2 * apart, ldr, act, ..conv };
            Case { conv, bias, residual }
        },
    )
}

fn check(case: &Case, seed: &[f32]) {
    let Case { conv, bias, residual } = case;
    // Tiles have other roundings and tests of their own. All others are one in the result, so each shape runs
    // through those that can compute it, whichever it would choose.
    let chosen = if let Algo::Winograd(_) = conv.algo { Algo::Implicit } else { conv.algo };
    let narrow = narrow::fits(conv).then_some(Algo::Narrow);
    for algo in [chosen, Algo::Planar, Algo::Implicit].into_iter().chain(narrow) {
        check_algo(&Conv { algo, ..conv.clone() }, *bias, *residual, seed);
    }
}

fn check_algo(conv: &Conv, bias: bool, residual: bool, seed: &[f32]) {
    let (x_rows, y_rows) = (conv.batch * conv.window.x_pixels(), conv.batch * conv.window.y_pixels());
    let x = values(seed, extent(x_rows, conv.ldx, conv.c));
    let w = values(&seed[1..], conv.window.taps() * (conv.c / conv.group) * conv.m);
    let bias = if bias { values(&seed[2..], conv.m) } else { Vec::new() };
    let residual = if residual { values(&seed[3..], extent(y_rows, conv.ldr, conv.m)) } else { Vec::new() };
    let untouched = vec![7.5; extent(y_rows, conv.ldy, conv.m)];
    let mut expected = untouched.clone();
    oracle(conv, &mut expected, &x, &w, &bias, &residual);
    let packed = conv.pack(&w);
    for_each_level(|level| {
        let mut y = untouched.clone();
        let mut scratch = vec![f32::NAN; conv.scratch()];
        conv.run(&mut y, &x, &packed, &[], &bias, &residual, &mut scratch);
        assert_bits(&y, &expected, &std::format!("{} {conv:?}", level.name()));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_definition(case in case(), seed in prop::collection::vec(value(), 101)) {
        check(&case, &seed);
    }
}

fn seed() -> Vec<f32> {
    (0..101).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect()
}

#[test]
fn layers_that_fill_blocks() {
    let image = |x: usize, k: usize, s: usize, pad: usize| {
        window([[1, 1, 1, 1, 0, 0], [x, k, s, 1, pad, pad], [x, k, s, 1, pad, pad]])
    };
    for (window, c, m, group) in [
        (image(14, 3, 1, 1), 200, 33, 1),
        (image(5, 1, 1, 0), 1100, 40, 1),
        (image(3, 2, 1, 0), 1100, 20, 1),
        (image(20, 7, 2, 3), 3, 64, 1),
        (image(12, 5, 1, 0), 1, 6, 1),
        (image(8, 3, 1, 1), 48, 48, 3),
        (image(14, 3, 1, 1), 40, 40, 40),
        (image(17, 3, 2, 1), 32, 32, 32),
        (image(10, 5, 1, 2), 16, 16, 16),
        (image(19, 5, 2, 2), 23, 23, 23),
        (image(16, 7, 1, 3), 33, 33, 33),
        (image(2, 7, 1, 3), 33, 33, 33),
        (image(1, 1, 1, 0), 37, 5, 1),
        (image(1, 1, 1, 0), 80, 24, 2),
    ] {
        let conv = Conv { act: Act::Relu, ..Conv::new(1, window, c, m, group) };
        check(&Case { conv, bias: true, residual: true }, &seed());
    }
}

/// Pixels of so few channels that they are taken apart and put together by shuffles.
#[test]
fn few_channels_and_filters() {
    let (channels, filters): (&[usize], &[usize]) =
        if cfg!(miri) { (&[2], &[4]) } else { (&[1, 2, 4, 8], &[1, 2, 3, 4, 5, 8]) };
    for (&c, &m) in channels.iter().flat_map(|c| filters.iter().map(move |m| (c, m))) {
        for (k, s, pad) in [(3, 1, 1), (3, 1, 0), (2, 2, 0), (3, 2, 1), (1, 2, 0), (4, 2, 2)] {
            let window = window([[1, 1, 1, 1, 0, 0], [7, k, s, 1, pad, pad], [37, k, s, 1, pad, pad]]);
            let conv = Conv { act: Act::Relu, ..Conv::new(2, window, c, m, 1) };
            let apart = Conv { ldx: c + 1, ldy: m + 1, ..conv.clone() };
            check(&Case { conv, bias: true, residual: s == 2 && k == 3 }, &seed());
            check(&Case { conv: apart, bias: false, residual: false }, &seed());
        }
    }
}

/// Outputs side by side in a vector: every number of filters, reaches of half a vector to more than two, borders on all
/// sides, lines shorter than a vector and tiles that move back.
#[test]
fn pixels_share_a_vector_with_their_filters() {
    let filters = if cfg!(miri) { 3..=4 } else { 1..=8 };
    for (m, c) in filters.flat_map(|m| [(m, 1), (m, 2), (m, 3)]) {
        for (y, x, k, s, d, pad) in [
            (18, 14, 2, 2, 1, 0),
            (7, 9, 3, 1, 1, 1),
            (11, 13, 3, 2, 1, 1),
            (10, 6, 5, 1, 1, 2),
            (21, 33, 3, 2, 2, 3),
            (1, 40, 5, 1, 1, 2),
            (3, 2, 2, 1, 1, 1),
            (5, 23, 4, 3, 1, 0),
        ] {
            let axes = [[1, 1, 1, 1, 0, 0], [y, k.min(y), s, d, pad, pad], [x, k.min(x), s, d, pad, pad]];
            for batch in 0..=3 {
                let conv = Conv { act: Act::Relu, ..Conv::new(batch, window(axes), c, m, 1) };
                let apart = Conv { ldx: c + batch, ldy: m + 1, ldr: m + 3, act: Act::Tanh, ..conv.clone() };
                let conv = Conv { algo: Algo::Narrow, ..conv };
                check_algo(&conv, batch != 2, false, &seed());
                check_algo(&Conv { algo: Algo::Narrow, ..apart }, batch == 2, batch != 0, &seed());
                if cfg!(miri) {
                    break;
                }
            }
        }
    }
}

/// Lines of several tiles, with and without a residual, dense and apart.
#[test]
fn every_activation_after_every_algorithm() {
    let image = |x: usize, k: usize, s: usize| {
        window([[1, 1, 1, 1, 0, 0], [5, k, s, 1, k / 2, k / 2], [x, k, s, 1, k / 2, k / 2]])
    };
    let rich =
        [Act::Elu { alpha: 0.5 }, Act::Sigmoid, Act::Tanh, Act::Silu, Act::GeluErf, Act::GeluTanh, Act::Relu];
    for (window, c, m, group) in [
        (image(30, 1, 1), 20, 40, 1),
        (image(30, 3, 1), 3, 33, 1),
        (image(13, 3, 2), 40, 20, 2),
        (image(61, 3, 1), 40, 40, 40),
        (image(61, 5, 1), 7, 7, 7),
        (image(20, 3, 1), 4, 2, 1),
    ] {
        for act in rich {
            for (apart, residual) in [(0, false), (0, true), (3, false), (3, true)] {
                let conv = Conv::new(2, window, c, m, group);
                let conv = Conv { ldy: m + apart, ldr: m + apart, act, ..conv };
                check(&Case { conv, bias: true, residual }, &seed());
            }
        }
    }
}

#[test]
fn each_shape_has_its_algorithm() {
    let image = |x: usize, k: usize, s: usize| {
        window([[1, 1, 1, 1, 0, 0], [x, k, s, 1, k / 2, k / 2], [x, k, s, 1, k / 2, k / 2]])
    };
    let algo = |window, c, m, group| Conv::new(1, window, c, m, group).algo;
    assert_eq!(algo(image(14, 3, 1), 96, 96, 96), Algo::Depthwise);
    assert_eq!(algo(image(14, 7, 1), 20, 20, 20), Algo::Depthwise);
    assert_eq!(algo(image(28, 3, 1), 32, 64, 32), Algo::Planar, "a channel multiplier");
    assert_eq!(algo(image(56, 3, 1), 128, 128, 32), Algo::Planar, "four filters a group");
    assert_eq!(algo(image(28, 5, 1), 1, 6, 1), Algo::Planar);
    assert_eq!(algo(image(32, 3, 1), 16, 1, 1), Algo::Planar);
    assert_eq!(algo(image(56, 3, 2), 64, 128, 1), Algo::Implicit);
    assert_eq!(algo(image(224, 7, 2), 3, 64, 1), Algo::Implicit);
    assert_eq!(algo(image(56, 1, 1), 64, 64, 1), Algo::Pointwise);
    let halved = Window::new(&[18, 14], &[9, 7], &[2, 2], &[2, 2], &[1, 1], &[0, 0]);
    assert_eq!(algo(halved, 1, 4, 1), Algo::Narrow);
    assert_eq!(algo(image(12, 3, 1), 1, 4, 1), Algo::Narrow);
    assert_eq!(algo(image(12, 3, 2), 3, 16, 1), Algo::Implicit);
    let up = |c, m, group| {
        let window = Window::new(&[8, 8, 12], &[16, 16, 24], &[2; 3], &[2; 3], &[1; 3], &[0; 3]);
        ConvTranspose::new(1, window, c, m, group).algo
    };
    assert_eq!(up(12, 6, 2), Algo::Planar);
    assert_eq!(up(64, 32, 1), Algo::Implicit);
}

/// Bands, phases of strides and dilations, windows that slide along lines of slices.
#[test]
fn images_of_several_bands() {
    for (axes, c, m, group) in [
        ([[9, 3, 1, 1, 1, 1], [40, 3, 1, 1, 1, 1], [44, 3, 1, 1, 1, 1]], 3, 1, 1),
        ([[1, 1, 1, 1, 0, 0], [130, 5, 2, 1, 2, 2], [130, 5, 3, 2, 2, 2]], 12, 12, 4),
        ([[1, 1, 1, 1, 0, 0], [120, 3, 2, 2, 2, 2], [100, 3, 2, 1, 1, 1]], 4, 20, 1),
        ([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0], [9000, 9, 2, 1, 4, 4]], 2, 18, 1),
        ([[3, 2, 1, 1, 0, 0], [30, 3, 1, 1, 0, 0], [31, 3, 1, 1, 0, 0]], 2, 17, 1),
    ] {
        let conv = Conv { act: Act::Relu, ..Conv::new(2, window(axes), c, m, group) };
        check(&Case { conv: Conv { ldx: c + 1, ..conv.clone() }, bias: true, residual: true }, &seed());
        check(&Case { conv, bias: true, residual: false }, &seed());
    }
}

/// Multiples of 1/32 make sums that are exact in `f32`, so all types agree but for the last rounding.
#[test]
fn other_types_round_once() {
    let window = Window::new(&[6, 5], &[3, 5], &[3, 3], &[2, 1], &[1, 1], &[1, 1]);
    let conv = Conv { act: Act::Silu, ..Conv::new(2, window, 4, 6, 2) };
    let x = values(&seed(), 2 * 30 * 4);
    let w = values(&seed()[1..], 9 * 2 * 6);
    let bias = values(&seed()[2..], 6);
    let mut wide = vec![0.0f64; 2 * 15 * 6];
    let mut single = vec![0.0f32; wide.len()];
    oracle(&Conv { act: Act::None, ..conv.clone() }, &mut single, &x, &w, &bias, &[]);
    let double = |v: &[f32]| v.iter().map(|&x| x as f64).collect::<Vec<_>>();
    conv.run_plain(&mut wide, &double(&x), &double(&w), &double(&bias), &[]);
    let half = |v: &[f32]| v.iter().map(|&x| crate::f16::from_f32(x)).collect::<Vec<_>>();
    let mut narrow = vec![crate::f16::ZERO; wide.len()];
    conv.run_plain(&mut narrow, &half(&x), &half(&w), &half(&bias), &[]);
    for ((&n, &d), &s) in narrow.iter().zip(&wide).zip(&single) {
        let exact = f64::from(s) / (1.0 + (-f64::from(s)).exp());
        assert!((d - exact).abs() <= exact.abs() * 1e-14, "{d} for {exact}");
        let error = (n.to_f64() - d).abs();
        assert!(error <= d.abs() * 2f64.powi(-11) + 1e-7, "{n} for {d}");
    }
    let mut sums = vec![0i32; 3];
    let conv = Conv::new(1, Window::new(&[3], &[3], &[3], &[1], &[1], &[1]), 1, 1, 1);
    conv.run_plain(&mut sums, &[i32::MAX, 1, 50], &[1, 1, 1], &[], &[]);
    assert_eq!(sums, [i32::MIN, i32::MIN + 50, 51], "integers wrap");
}

#[test]
fn other_types_scatter_alike() {
    let window =
        transposed_window(window([[2, 3, 2, 1, 1, 0], [3, 4, 3, 2, 0, 0], [4, 3, 1, 2, 2, 0]]), 1, 2);
    let conv = ConvTranspose::new(2, window, 4, 6, 2);
    let (x, w) = (values(&seed(), 2 * 24 * 4), values(&seed()[1..], 36 * 4 * 3));
    let residual = values(&seed()[3..], 2 * window.y_pixels() * 6);
    let mut expected = vec![0.0; residual.len()];
    scatter(&conv, &mut expected, &x, &w, &seed()[..6], &residual);
    let integer = |v: &[f32]| v.iter().map(|&x| (x * 32.0) as i64).collect::<Vec<_>>();
    let mut y = vec![0i64; residual.len()];
    let (bias, residual) = (seed()[..6].iter().map(|b| b * 32.0).collect::<Vec<_>>(), residual);
    let residual: Vec<f32> = residual.iter().map(|r| r * 32.0).collect();
    conv.run_plain(&mut y, &integer(&x), &integer(&w), &integer(&bias), &integer(&residual));
    assert_eq!(y, expected.iter().map(|y| (y * 1024.0) as i64).collect::<Vec<_>>());
}

/// Scatters every product to where it goes, in the order of taps, then channels.
fn scatter(conv: &ConvTranspose, y: &mut [f32], x: &[f32], w: &[f32], bias: &[f32], residual: &[f32]) {
    let (win, c, m) = (&conv.window, conv.c / conv.group, conv.m / conv.group);
    for row in 0..conv.batch * win.y_pixels() {
        for filter in 0..conv.m {
            y[row * conv.ldy + filter] = bias.get(filter).copied().unwrap_or(0.0);
        }
    }
    for (tap, k) in each(win.kernel).enumerate() {
        for ch in 0..conv.c {
            for image in 0..conv.batch {
                for (pixel, i) in each(win.x).enumerate() {
                    let o = [0, 1, 2].map(|a| {
                        (i[a] * win.strides[a] + k[a] * win.dilations[a]).wrapping_sub(win.pads_begin[a])
                    });
                    if (0..3).any(|a| o[a] >= win.y[a]) {
                        continue;
                    }
                    let row = ((image * win.y[0] + o[0]) * win.y[1] + o[1]) * win.y[2] + o[2];
                    let x = x[(image * win.x_pixels() + pixel) * conv.ldx + ch];
                    for filter in 0..m {
                        let y = &mut y[row * conv.ldy + ch / c * m + filter];
                        *y = x.mul_add(w[(tap * conv.c + ch) * m + filter], *y);
                    }
                }
            }
        }
    }
    for row in 0..conv.batch * win.y_pixels() {
        for filter in 0..conv.m {
            let y = &mut y[row * conv.ldy + filter];
            if !residual.is_empty() {
                *y += residual[row * conv.ldr + filter];
            }
            *y = activate(conv.act, *y);
        }
    }
}

/// A transposed convolution: `axes` as for [`window`], pads cut from the result and output padding added.
fn transposed_window(mut window: Window, cut: usize, more: usize) -> Window {
    for i in 0..3 {
        let full = (window.x[i] - 1) * window.strides[i] + (window.kernel[i] - 1) * window.dilations[i] + 1;
        window.y[i] = (full + more.min(window.strides[i] - 1)).saturating_sub(window.pads_begin[i] + cut);
    }
    window
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn transposed_equals_scattering(
        case in case(), cut in 0usize..3, more in 0usize..3, seed in prop::collection::vec(-2.0f32..2.0, 101),
        odd in value(), planar in any::<bool>(),
    ) {
        let Case { conv, bias, residual } = case;
        let Conv { batch, c, m, group, ldx, ldy, ldr, act, .. } = conv;
        let window = transposed_window(conv.window, cut, more);
        let algo = if planar { Algo::Planar } else { Algo::Implicit };
        let conv = ConvTranspose { batch, window, c, m, group, ldx, ldy, ldr, act, algo };
        let (x_rows, y_rows) = (batch * window.x_pixels(), batch * window.y_pixels());
        let mut x = values(&seed, extent(x_rows, ldx, c));
        if let Some(x) = x.last_mut() {
            *x = odd;
        }
        let w = values(&seed[1..], window.taps() * c * (m / group));
        let bias = if bias { values(&seed[2..], m) } else { Vec::new() };
        let residual = if residual { values(&seed[3..], extent(y_rows, ldr, m)) } else { Vec::new() };
        let untouched = vec![7.5; extent(y_rows, ldy, m)];
        let mut expected = untouched.clone();
        scatter(&conv, &mut expected, &x, &w, &bias, &residual);
        let packed = conv.pack(&w);
        let mut first: Option<Vec<f32>> = None;
        for_each_level(|level| {
            let mut y = untouched.clone();
            conv.run(&mut y, &x, &packed, &bias, &residual, &mut vec![f32::NAN; conv.scratch()]);
            // Where taps fall outside x zeros are added here, which makes a zero of the other's -0.
            for (i, (&y, &e)) in y.iter().zip(&expected).enumerate() {
                let same = y == e || y.is_nan() && e.is_nan();
                assert!(same, "{} {conv:?}: element {i} is {y:e}, expected {e:e}", level.name());
            }
            assert_bits(&y, first.get_or_insert(y.clone()), level.name());
        });
    }
}
