//! Blocks in one against the definitions of their layers in turn, bit for bit at every level.

use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

use super::*;
use crate::Act;
use crate::conv::tests::{act, assert_bits, oracle, value, values, window};
use crate::simd::for_each_level;

const ONE: [usize; 6] = [1, 1, 1, 1, 0, 0];

/// A product of each of the pixels `of`.
fn product(batch: usize, of: [usize; 3], c: usize, m: usize) -> Conv {
    let window = window(of.map(|x| [x, 1, 1, 1, 0, 0]));
    Conv { algo: Algo::Pointwise, ..Conv::direct(batch, window, c, m, 1) }
}

/// Whether the four operands are there: each bias, and the residual.
#[derive(Clone, Copy, Debug)]
struct Given {
    biases: [bool; 3],
    residual: bool,
}

#[track_caller]
fn check(all: &Separable, given: Given, seed: &[f32]) {
    assert!(all.is_supported(), "{all:?}");
    let [first, last] = all.ends();
    let x = values(seed, extent(first.batch * first.window.x_pixels(), first.ldx, first.c));
    let y_pixels = last.batch * last.window.y_pixels();
    let residual =
        if given.residual { values(&seed[3..], extent(y_pixels, last.ldr, last.m)) } else { Vec::new() };
    let untouched = vec![7.5; extent(y_pixels, last.ldy, last.m)];
    let layers = [all.before.as_ref(), Some(&all.depthwise), all.behind.as_ref()];
    let mut parameters = [(); 3].map(|()| (Vec::new(), Vec::new()));
    let mut between = x.clone();
    for (i, layer) in layers.iter().enumerate() {
        let Some(layer) = layer else { continue };
        let w = values(&seed[i + 1..], layer.window.taps() * (layer.c / layer.group) * layer.m);
        let bias = if given.biases[i] { values(&seed[i + 2..], layer.m) } else { Vec::new() };
        let is_last = layers[i + 1..].iter().all(Option::is_none);
        let is_first = layers[..i].iter().all(Option::is_none);
        let dense = Conv {
            ldx: if is_first { layer.ldx } else { layer.c },
            ldy: if is_last { layer.ldy } else { layer.m },
            ..(*layer).clone()
        };
        let mut y = if is_last {
            untouched.clone()
        } else {
            vec![0.0; layer.batch * layer.window.y_pixels() * layer.m]
        };
        oracle(&dense, &mut y, &between, &w, &bias, if is_last { &residual } else { &[] });
        parameters[i] = (layer.pack(&w), bias);
        between = y;
    }
    let [(w0, b0), (w1, b1), (w2, b2)] = &parameters;
    for_each_level(|level| {
        let mut y = untouched.clone();
        let mut scratch = vec![f32::NAN; all.scratch()];
        all.run(&mut y, &x, w0, b0, w1, b1, w2, b2, &residual, &mut scratch);
        assert_bits(&y, &between, &std::format!("{} {all:?}", level.name()));
    });
}

/// Layers of so many channels around a window over lines; `stem` before it, if any.
fn block(
    batch: usize,
    axes: [[usize; 6]; 2],
    stem: Option<[usize; 6]>,
    [c, wide, m]: [usize; 3],
    ends: [bool; 2],
) -> Separable {
    let image = |[a, b]: [[usize; 6]; 2]| window([ONE, a, b]);
    let before = ends[0].then(|| match stem {
        None => product(batch, [1, axes[0][0], axes[1][0]], c, wide),
        Some([_, k, s, d, begin, end]) => {
            // As much of the image as these outputs need.
            let x = axes.map(|[y, ..]| ((y - 1) * s + (k - 1) * d + 1).saturating_sub(begin + end).max(1));
            let window = image(x.map(|x| [x, k, s, d, begin, end]));
            Conv { algo: Algo::Implicit, ..Conv::direct(batch, window, c, wide, 1) }
        }
    });
    // Few pixels with many pads make more outputs than were meant.
    let axes = match &before {
        Some(conv) => {
            [0, 1].map(|i| [conv.window.y[i + 1], axes[i][1], axes[i][2], axes[i][3], axes[i][4], axes[i][5]])
        }
        None => axes,
    };
    let depthwise = Conv { algo: Algo::Depthwise, ..Conv::direct(batch, image(axes), wide, wide, wide) };
    let behind = ends[1].then(|| product(batch, depthwise.window.y, wide, m));
    Separable { before, depthwise, behind }
}

fn axis() -> impl Strategy<Value = [usize; 6]> {
    let plain = (2usize..=20, Just(3usize), 1usize..=2, Just(1usize), 0usize..=1, 0usize..=1);
    let odd = (2usize..=14, 1usize..=5, 1usize..=3, 1usize..=2, 0usize..=4, 0usize..=4);
    prop_oneof![plain, odd].prop_map(|(x, k, s, d, b, e)| [x, k, s, d, b, e])
}

fn case() -> impl Strategy<Value = (Separable, Given)> {
    let stem = prop::option::of((1usize..=3, 1usize..=2, 1usize..=2, 0usize..=1, 0usize..=1));
    let stem = stem.prop_map(|s| s.map(|(k, s, d, b, e)| [0, k, s, d, b, e]));
    let channels = [1usize..=20, 2usize..=50, 1usize..=40];
    let ends = prop::sample::select(vec![[true, true], [true, false], [false, true]]);
    let given = (any::<[bool; 3]>(), any::<bool>()).prop_map(|(biases, residual)| Given { biases, residual });
    (0usize..=2, [axis(), axis()], stem, channels, ends, [act(), act(), act()], 0usize..=2, given).prop_map(
        |(batch, axes, stem, channels, ends, acts, apart, given)| {
            let Separable { mut before, mut depthwise, mut behind } =
                block(batch, axes, stem, channels, ends);
            depthwise.act = acts[1];
            before.iter_mut().for_each(|c| c.act = acts[0]);
            behind.iter_mut().for_each(|c| c.act = acts[2]);
            before.as_mut().unwrap_or(&mut depthwise).ldx += apart;
            let last = behind.as_mut().unwrap_or(&mut depthwise);
            last.ldy += 2 * apart;
            last.ldr += apart;
            (Separable { before, depthwise, behind }, given)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equals_the_layers_in_turn((all, given) in case(), seed in prop::collection::vec(value(), 101)) {
        // An image of one pixel is a product of one row, which adds in another order.
        let pixels = |c: &Option<Conv>| c.as_ref().is_none_or(|c| c.window.y_pixels() != 1);
        prop_assume!(pixels(&all.before) && pixels(&all.behind));
        check(&all, given, &seed);
    }
}

/// Several strips, with windows that share lines or leave some out, from images of every shape.
#[test]
fn strips_of_lines() {
    let seed: Vec<f32> = (0..101).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
    let (lines, wide) = if cfg!(miri) { (5, 16) } else { (61, 130) };
    let given = Given { biases: [true; 3], residual: true };
    let mut several = 0;
    for axis in
        [[3, 1, 1, 1, 1], [3, 2, 1, 1, 1], [3, 2, 1, 0, 1], [2, 3, 1, 0, 0], [3, 1, 2, 2, 2], [5, 2, 1, 2, 2]]
    {
        let [k, s, d, begin, end] = axis;
        let axes = [[lines, k, s, d, begin, end], [37, k, s, d, begin, end]];
        for (stem, ends) in [
            (None, [true, true]),
            (Some([0, 3, 2, 1, 1, 1]), [true, true]),
            (Some([0, 2, 1, 3, 0, 0]), [true, false]),
            (None, [false, true]),
        ] {
            let mut all = block(2, axes, stem, [3, wide, 5], ends);
            all.depthwise.act = Act::Silu;
            several += usize::from(all.scratch() < 37 * lines * wide / 2);
            check(&all, given, &seed);
        }
    }
    assert!(cfg!(miri) || several > 20, "{several} blocks keep less than half of their lines");
}

#[test]
fn lines_of_one_pixel_stay_together() {
    let seed: Vec<f32> = (0..101).map(|i| ((i * 37 % 101) as f32 - 50.0) / 32.0).collect();
    let axes = [[if cfg!(miri) { 9 } else { 3000 }, 3, 1, 1, 1, 1], [1, 3, 1, 1, 1, 1]];
    let all = block(1, axes, None, [40, 48, 20], [true, true]);
    check(&all, Given { biases: [true; 3], residual: false }, &seed);
}

/// The scratch for all extents up to the largest ones.
#[test]
fn scratch_within_suffices() {
    let of = |h: usize, w: usize, stem: Option<[usize; 6]>, pad: usize| {
        block(
            1,
            [[h, 3, 2, pad, pad], [w, 3, 2, pad, pad]].map(|[x, k, s, b, e]| [x, k, s, 1, b, e]),
            stem,
            [8, 96, 24],
            [true, true],
        )
    };
    let mut bounded = 0;
    for pad in 0..=1 {
        let least = if pad == 0 { 3 } else { 1 };
        let bound = of(2000, 120, None, pad).scratch_within(&of(least, least, None, pad)).unwrap();
        for h in (least..2000).step_by(61) {
            for w in least..120 {
                let scratch = of(h, w, None, pad).scratch();
                bounded += usize::from(scratch > 64 * 1024);
                assert!(scratch <= bound, "{h} lines of {w}");
            }
        }
    }
    assert!(bounded > 0, "all are small");
    let of = |h: usize, w: usize, stem: Option<[usize; 6]>| of(h, w, stem, 1);
    let stem = Some([0, 3, 2, 1, 1, 1]);
    assert_eq!(of(50, 60, stem).scratch_within(&of(50, 61, stem)), None);
    assert!(of(50, 60, stem).scratch_within(&of(50, 60, stem)).is_some());
}

#[test]
fn only_layers_that_follow_on_each_other_are_one() {
    let image = window([ONE, [9, 3, 1, 1, 1, 1], [9, 3, 1, 1, 1, 1]]);
    let depthwise = Conv::direct(1, image, 32, 32, 32);
    let make = |before: Option<Conv>, behind: Option<Conv>| {
        Separable::new(before, depthwise.clone(), behind).is_some()
    };
    let (before, behind) = (product(1, [1, 9, 9], 8, 32), product(1, [1, 9, 9], 32, 8));
    assert!(make(Some(before.clone()), Some(behind.clone())) && make(Some(before.clone()), None));
    assert!(!make(None, None), "nothing around it");
    assert!(!make(Some(product(1, [1, 9, 9], 8, 31)), None), "other channels");
    assert!(!make(None, Some(product(1, [1, 9, 8], 32, 8))), "another image");
    assert!(!make(None, Some(product(2, [1, 9, 9], 32, 8))), "more images");
    let tiles = Conv::new(1, image, 64, 32, 1);
    assert!(matches!(tiles.algo, Algo::Winograd(_)) && !make(Some(tiles), None), "sums of tiles");
}
