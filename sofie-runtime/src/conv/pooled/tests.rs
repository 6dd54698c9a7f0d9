//! Convolution and pooling in one against the definitions of both in turn, bit for bit at every level.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::Act;
use crate::conv::Window;
use crate::conv::tests::{act, assert_bits, oracle, value, values, window};
use crate::pool::{PoolKind, tests::oracle as pool_oracle};
use crate::simd::for_each_level;

const KINDS: [PoolKind; 3] = [PoolKind::Max, PoolKind::Average, PoolKind::AverageWithPads];
const ONE: [usize; 6] = [1, 1, 1, 1, 0, 0];

/// The windows of a pooling over such outputs, per axis kernel, stride, dilation, pads before and behind, and elements
/// that the last ones reach further.
fn pooling(outputs: [usize; 3], axes: [[usize; 6]; 3]) -> (Window, [usize; 3]) {
    let get = |j: usize| axes.map(|axis| axis[j]);
    let axis = |i: usize| {
        let [kernel, stride, dilation, begin, end, overhang] = axes[i];
        let reach = (kernel - 1) * dilation + 1;
        (outputs[i] + begin + end + overhang).saturating_sub(reach) / stride + 1
    };
    let y = [0, 1, 2].map(axis);
    (Window { x: outputs, y, kernel: get(0), strides: get(1), dilations: get(2), pads_begin: get(3) }, get(4))
}

/// In strips, where the shapes are such.
fn in_strips(both: &ConvPool) -> Option<ConvPool> {
    let algo = if both.conv.window.is_pointwise() { Algo::Pointwise } else { Algo::Implicit };
    let both = ConvPool { conv: Conv { algo, ..both.conv.clone() }, pool: both.pool.clone() };
    both.is_supported().then_some(both)
}

/// Both in one, whether [`ConvPool::new`] would put them together or not.
fn both(conv: Conv, kind: PoolKind, axes: [[usize; 6]; 3]) -> ConvPool {
    let (windows, pads_end) = pooling(conv.window.y, axes);
    let pool = Pool::new(kind, conv.batch, windows, pads_end, conv.m);
    ConvPool { conv: Conv { algo: Algo::Planar, ..conv }, pool }
}

fn check(both: &ConvPool, bias: bool, seed: &[f32]) {
    for both in in_strips(both).iter().chain([both]) {
        check_one(both, bias, seed);
    }
}

fn check_one(both: &ConvPool, bias: bool, seed: &[f32]) {
    let ConvPool { conv, pool } = both;
    let x = values(seed, extent(conv.batch * conv.window.x_pixels(), conv.ldx, conv.c));
    let w = values(&seed[1..], conv.window.taps() * (conv.c / conv.group) * conv.m);
    let bias = if bias { values(&seed[2..], conv.m) } else { Vec::new() };
    let dense = Conv { ldy: conv.m, ..conv.clone() };
    let mut between = vec![0.0; conv.batch * conv.window.y_pixels() * conv.m];
    oracle(&dense, &mut between, &x, &w, &bias, &[]);
    let untouched = vec![7.5; extent(conv.batch * pool.window.y_pixels(), pool.ldy, pool.c)];
    let mut expected = untouched.clone();
    pool_oracle(&Pool { ldx: conv.m, ..pool.clone() }, &mut expected, &between);
    let packed = conv.pack(&w);
    for_each_level(|level| {
        let mut y = untouched.clone();
        both.run(&mut y, &x, &packed, &bias, &mut vec![f32::NAN; both.scratch()]);
        assert_bits(&y, &expected, &std::format!("{} {both:?}", level.name()));
    });
}

fn axis(largest: usize) -> impl Strategy<Value = ([usize; 6], [usize; 6])> {
    let conv = (1..=largest, 1usize..=4, 1usize..=2, 1usize..=2, 0usize..=2, 0usize..=2);
    let halves = Just([2, 2, 1, 0, 0, 0]);
    let plain = (2usize..=3, 0usize..=1, 0usize..=1, 0usize..=1).prop_map(|(k, a, b, o)| [k, 2, 1, a, b, o]);
    let odd = (1usize..=4, 1usize..=4, 1usize..=3, 0usize..=4, 0usize..=4, 0usize..=2);
    let odd = odd.prop_map(|(k, s, d, a, b, o)| [k, s, d, a, b, o]);
    (conv, prop_oneof![halves, plain, odd]).prop_map(|((x, k, s, d, a, b), pool)| ([x, k, s, d, a, b], pool))
}

fn case() -> impl Strategy<Value = ConvPool> {
    let rest = [0, 1].map(|_| (ONE, [1, 1, 1, 0, 0, 0]));
    let axes = prop_oneof![
        axis(70).prop_map(move |c| [rest[0], rest[1], c]),
        (axis(12), axis(40)).prop_map(move |(b, c)| [rest[0], b, c]),
        (axis(5), axis(6), axis(9)).prop_map(|(a, b, c)| [a, b, c]),
    ];
    let channels = prop_oneof![
        (0usize..=4, 1usize..=20, Just(1usize)),
        (1usize..=3, 1usize..=4, 2usize..=6).prop_map(|(c, m, g)| (c * g, m * g, g)),
    ];
    let kind = prop::sample::select(KINDS.to_vec());
    (axes, 0usize..=2, channels, act(), kind, 0usize..=1).prop_map(
        |(axes, batch, (c, m, group), act, kind, apart)| {
            let image = window(axes.map(|(conv, _)| conv));
            let conv = Conv { act, ldx: c + apart, ..Conv::direct(batch, image, c, m, group) };
            let mut both = both(conv, kind, axes.map(|(_, pool)| pool));
            both.pool.ldy += 2 * apart;
            both
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_definitions_in_turn(
        both in case(), bias in any::<bool>(), seed in prop::collection::vec(value(), 101),
        zeros in prop::collection::vec(prop::sample::select(vec![0.0f32, -0.0, 1.0, -1.0, f32::NAN]), 101),
    ) {
        check(&both, bias, &seed);
        // Many windows whose largest elements are zeros of either sign, or nothing but NaN.
        check(&both, bias, &zeros);
    }
}

/// Images of several bands, whose windows share outputs or not, over one to three axes.
#[test]
fn bands_of_windows() {
    let seed: Vec<f32> = (0..101).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
    let (halves, shared) = ([2, 2, 1, 0, 0, 0], [3, 2, 1, 1, 1, 1]);
    let long = if cfg!(miri) { 40 } else { 3000 };
    for kind in KINDS {
        for pool in [halves, shared, [2, 3, 2, 0, 0, 0]] {
            let single = [1, 1, 1, 0, 0, 0];
            for (image, pools) in [
                ([ONE, ONE, [long, 5, 1, 1, 2, 2]], [single, single, pool]),
                ([ONE, [long / 30, 5, 1, 1, 2, 2], [61, 5, 1, 1, 2, 2]], [single, pool, pool]),
                ([[(long / 300).max(2), 3, 1, 1, 1, 1], [30, 3, 2, 1, 1, 1], [31, 3, 1, 1, 1, 1]], [pool; 3]),
            ] {
                let conv = Conv { act: Act::Relu, ..Conv::direct(2, window(image), 2, 5, 1) };
                check(&both(conv, kind, pools), true, &seed);
            }
        }
    }
}

/// Several strips, whose windows share lines or not, at borders of every kind.
#[test]
fn strips_of_lines() {
    let seed: Vec<f32> = (0..101).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
    let (lines, m) = if cfg!(miri) { (7, 3) } else { (70, 130) };
    let mut several = 0;
    for kind in KINDS {
        for pool in [
            [2, 2, 1, 0, 0, 0],
            [3, 2, 1, 1, 1, 1],
            [3, 2, 1, 0, 0, 1],
            [2, 3, 2, 3, 3, 0],
            [1, 2, 1, 0, 0, 0],
        ] {
            for conv in [[1, 1, 1, 0, 0], [3, 1, 1, 1, 1], [7, 2, 1, 3, 3], [2, 1, 3, 9, 12]] {
                let [k, s, d, begin, end] = conv;
                let image = window([ONE, [lines, k, s, d, begin, end], [41, k, s, d, begin, end]]);
                let conv = Conv { act: Act::Relu, ldx: 4, ..Conv::direct(2, image, 3, m, 1) };
                let both = in_strips(&both(conv, kind, [[1, 1, 1, 0, 0, 0], pool, pool])).expect("strips");
                several += usize::from(both.scratch() < 41 * lines * m / 2);
                check_one(&both, true, &seed);
            }
        }
    }
    assert!(cfg!(miri) || several > 20, "{several} layers keep less than half of their lines");
}

#[test]
fn only_windows_that_leave_less_are_put_together() {
    let image = window([ONE, [28, 5, 1, 1, 2, 2], [28, 5, 1, 1, 2, 2]]);
    let fits = |m: usize, axis: [usize; 6]| {
        let both = both(Conv::direct(1, image, 1, m, 1), PoolKind::Max, [[1, 1, 1, 0, 0, 0], axis, axis]);
        ConvPool::new(Conv::direct(1, image, 1, m, 1), both.pool).is_some()
    };
    assert!(fits(6, [2, 2, 1, 0, 0, 0]) && fits(6, [3, 2, 1, 1, 1, 1]) && fits(6, [3, 3, 1, 0, 0, 2]));
    assert!(!fits(6, [2, 1, 1, 0, 0, 0]) && !fits(6, [3, 1, 1, 1, 1, 0]), "windows at every output");
    assert!(!fits(6, [3, 2, 2, 1, 1, 0]) && !fits(6, [5, 2, 1, 0, 0, 0]), "outputs in three windows");
    assert!(fits(64, [2, 2, 1, 0, 0, 0]), "strips of a product");
    let image = window([ONE, [28, 3, 1, 1, 1, 1], [28, 3, 1, 1, 1, 1]]);
    let halves = [[1, 1, 1, 0, 0, 0], [2, 2, 1, 0, 0, 0], [2, 2, 1, 0, 0, 0]];
    let tiles = Conv::new(1, image, 64, 64, 1);
    assert!(ConvPool::new(tiles.clone(), both(tiles, PoolKind::Max, halves).pool).is_none(), "sums of tiles");
}
