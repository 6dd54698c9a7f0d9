//! Tiles against the definition: close to it where all is finite, equal to it where something is not, and the
//! same bits at every level.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::conv::tests::{act, assert_bits, oracle, values, window};
use crate::conv::{Algo, extent};
use crate::simd::for_each_level;

const PLAIN: [usize; 6] = [1, 1, 1, 1, 0, 0];

/// An axis of three taps with stride 1.
fn axis() -> impl Strategy<Value = [usize; 6]> {
    (1usize..=13, prop_oneof![3 => Just(1usize), 1 => 2usize..=4], 0usize..=3, 0usize..=3)
        .prop_map(|(x, dilation, begin, end)| [x.max(1), 3, 1, dilation, begin, end])
}

fn case() -> impl Strategy<Value = (Conv, Tile)> {
    let depth = prop_oneof![
        2 => Just(PLAIN),
        1 => (1usize..=4, 1usize..=3, 1usize..=2, 1usize..=2, 0usize..=2).prop_map(|(x, k, s, d, p)| [x, k, s, d, p, p]),
    ];
    let square = (depth, axis(), axis(), prop::sample::select(vec![Tile::Four, Tile::Two]))
        .prop_map(|(a, b, c, tile)| (window([a, b, c]), tile));
    let line = (1usize..=3, 1usize..=5, axis())
        .prop_map(|(a, b, c)| (window([[a, 1, 1, 1, 0, 0], [b, 1, 1, 1, 0, 0], c]), Tile::Line));
    let shapes =
        (prop_oneof![2 => square, 1 => line], 1usize..=2, 1usize..=40, 1usize..=40, 0usize..=3, act());
    shapes.prop_map(|((window, tile), batch, c, m, apart, act)| {
        let conv = Conv::new(batch, window, c, m, 1);
        (
            Conv {
                ldx: c + apart,
                ldy: m + 2 * apart,
                ldr: if apart == 1 { 0 } else { m + apart },
                act,
                algo: Algo::Winograd(tile),
                ..conv
            },
            tile,
        )
    })
}

/// Runs the convolution at every level and gives the result, which all of them must share.
fn run(conv: &Conv, x: &[f32], w: &[f32], bias: &[f32], residual: &[f32], untouched: &[f32]) -> Vec<f32> {
    let packed = conv.pack(w);
    let mut first: Option<Vec<f32>> = None;
    for_each_level(|level| {
        let mut prepared = vec![f32::NAN; conv.prepared_len()];
        conv.prepare(&packed, &mut prepared);
        let mut scratch = vec![f32::NAN; conv.scratch()];
        let mut y = untouched.to_vec();
        conv.run(&mut y, x, &packed, &prepared, bias, residual, &mut scratch);
        let first = first.get_or_insert(y.clone());
        assert_bits(&y, first, level.name());
    });
    first.unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn close_to_the_definition(
        (conv, tile) in case(), seed in prop::collection::vec(-1.0f32..1.0, 101), extra in any::<[bool; 2]>(),
        odd in prop::option::of((
            prop::sample::select(vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e38, -2e38]), any::<prop::sample::Index>(),
        )),
    ) {
        prop_assert!(fits(&conv, tile));
        let (x_rows, y_rows) = (conv.batch * conv.window.x_pixels(), conv.batch * conv.window.y_pixels());
        let mut x = values(&seed, extent(x_rows, conv.ldx, conv.c));
        if let Some((odd, index)) = odd {
            *index.get_mut(&mut x) = odd;
        }
        let w = values(&seed[1..], conv.window.taps() * conv.c * conv.m);
        let bias = if extra[0] { values(&seed[2..], conv.m) } else { Vec::new() };
        let residual = if extra[1] { values(&seed[3..], extent(y_rows, conv.ldr, conv.m)) } else { Vec::new() };
        let untouched = vec![7.5; extent(y_rows, conv.ldy, conv.m)];
        let mut expected = untouched.clone();
        oracle(&conv, &mut expected, &x, &w, &bias, &residual);
        let y = run(&conv, &x, &w, &bias, &residual, &untouched);
        let size = (conv.window.taps() * conv.c) as f32;
        for (i, (&y, &e)) in y.iter().zip(&expected).enumerate() {
            // Next to 3e38 the other outputs of a tile may lose all that they have.
            let error = if odd.is_some_and(|(odd, _)| odd.abs() > 1e38) { f32::MAX } else { 3e-6 * size.max(8.0) };
            let same = y == e || y.is_nan() && e.is_nan() || y.is_finite() && e.is_finite() && (y - e).abs() <= error;
            prop_assert!(same, "{conv:?}: element {i} is {y:e}, expected {e:e}");
        }
    }
}

/// The errors of one layer of ResNet, which the choice of points keeps small.
#[test]
fn errors_stay_near_those_of_direct_sums() {
    let window = window([PLAIN, [12, 3, 1, 1, 1, 1], [12, 3, 1, 1, 1, 1]]);
    let mut state = 1u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let (c, m) = (128, 16);
    let x: Vec<f32> = (0..144 * c).map(|_| random()).collect();
    let w: Vec<f32> = (0..9 * c * m).map(|_| random()).collect();
    let mut exact = vec![0.0f64; 144 * m];
    let double = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    Conv::new(1, window, c, m, 1).run_plain(&mut exact, &double(&x), &double(&w), &[], &[]);
    let largest = exact.iter().fold(0.0, |a: f64, y| a.max(y.abs()));
    for (tile, bound) in [(Tile::Four, 4e-6), (Tile::Two, 1.5e-6)] {
        let conv = Conv { algo: Algo::Winograd(tile), ..Conv::new(1, window, c, m, 1) };
        let y = run(&conv, &x, &w, &[], &[], &vec![0.0; 144 * m]);
        let error = y.iter().zip(&exact).fold(0.0, |a: f64, (&y, &e)| a.max((f64::from(y) - e).abs()));
        assert!(error / largest < bound, "{tile:?}: {:e}", error / largest);
    }
}

/// One infinity: the outputs that see it are as the definition says, all others finite.
#[test]
fn infinities_stay_where_they_belong() {
    let window = window([PLAIN, [8, 3, 1, 1, 1, 1], [8, 3, 1, 1, 1, 1]]);
    let conv = Conv { algo: Algo::Winograd(Tile::Four), ..Conv::new(1, window, 1, 1, 1) };
    let mut x = vec![1.0; 64];
    x[3 * 8 + 3] = f32::INFINITY;
    let y = run(&conv, &x, &[1.0; 9], &[], &[], &[0.0; 64]);
    for (i, y) in y.iter().enumerate() {
        let near = (i / 8).abs_diff(3) <= 1 && (i % 8).abs_diff(3) <= 1;
        assert_eq!(*y == f32::INFINITY, near, "{i}: {y}");
        assert!(near || y.is_finite());
    }
}

#[test]
fn chosen_where_it_pays() {
    let square = |x: usize, c: usize, m: usize, stride: usize| {
        let conv = Conv::new(1, window([PLAIN, [x, 3, stride, 1, 1, 1], [x, 3, stride, 1, 1, 1]]), c, m, 1);
        conv.algo
    };
    assert_eq!(square(56, 64, 64, 1), Algo::Winograd(Tile::Four));
    assert_eq!(square(7, 512, 512, 1), Algo::Winograd(Tile::Two));
    assert_eq!(square(56, 64, 64, 2), Algo::Implicit);
    assert_eq!(square(56, 3, 64, 1), Algo::Implicit);
    let line = Conv::new(1, window([PLAIN, PLAIN, [500, 3, 1, 4, 8, 0]]), 64, 64, 1);
    assert_eq!(line.algo, Algo::Winograd(Tile::Line));
}
