//! Attention against its definition in `f64`, at every instruction set.

use super::Attention;
use crate::simd::for_each_level;

/// Numbers in -1..1.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut s = seed | 1;
    (0..n)
        .map(|_| {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            (s.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// `[B, H, L]` extents, `[G, S, D, E]` extents.
type Sizes = ([usize; 3], [usize; 4]);

/// How the axes of a tensor of four axes lie.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// `[B, H, L, D]`.
    Heads,
    /// `[B, L, H, D]`: what a projection leaves.
    Tokens,
    /// `[B, H, D, L]`: keys that an exporter has transposed.
    Turned,
}

fn strides([_, h, l, d]: [usize; 4], order: Order) -> [usize; 4] {
    match order {
        Order::Heads => [h * l * d, l * d, d, 1],
        Order::Tokens => [h * l * d, d, h * d, 1],
        Order::Turned => [h * l * d, l * d, 1, l],
    }
}

fn attention(([b, h, l], [g, s, d, e]): Sizes, orders: [Order; 3]) -> Attention {
    let y = strides([b, h, l, e], Order::Tokens);
    Attention {
        batch: b,
        heads: h,
        groups: g,
        queries: l,
        keys: s,
        depth: d,
        width: e,
        scale: 0.7,
        causal: false,
        q: strides([b, h, l, d], orders[0]),
        k: strides([b, g, s, d], orders[1]),
        v: strides([b, g, s, e], orders[2]),
        mask: None,
        replace: false,
        guarded: false,
        y: [y[0], y[1], y[2]],
    }
}

fn at(strides: [usize; 4], i: [usize; 4]) -> usize {
    strides.iter().zip(i).map(|(s, i)| s * i).sum()
}

fn check(a: &Attention, hide: impl Fn(usize) -> bool) {
    let &Attention { batch, heads, groups, queries, keys, depth, width, .. } = a;
    let q = numbers(batch * heads * queries * depth, 1);
    let k = numbers(batch * groups * keys * depth, 2);
    let v = numbers(batch * groups * keys * width, 3);
    let mut mask = a.mask.map_or(vec![], |m| numbers(super::extent([batch, heads, queries, keys], m), 4));
    for (i, m) in mask.iter_mut().enumerate() {
        if hide(i) {
            *m = f32::NEG_INFINITY;
        } else if a.replace {
            *m = 0.0;
        }
    }
    let mut want = vec![0.0f64; batch * heads * queries * width];
    for b in 0..batch {
        for h in 0..heads {
            let g = h / (heads / groups);
            for l in 0..queries {
                let scores: Vec<f64> = (0..keys)
                    .map(|s| {
                        let dot: f64 = (0..depth)
                            .map(|d| {
                                f64::from(q[at(a.q, [b, h, l, d])]) * f64::from(k[at(a.k, [b, g, s, d])])
                            })
                            .sum();
                        let hidden = a.causal && s + queries > l + keys;
                        let mask = a.mask.map_or(0.0, |m| mask[at(m, [b, h, l, s])].into());
                        match mask {
                            _ if hidden => f64::NEG_INFINITY,
                            m if a.replace && m != 0.0 => m,
                            m => f64::from(a.scale) * dot + m,
                        }
                    })
                    .collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|x| (x - max).exp()).sum();
                for e in 0..width {
                    let [yb, yh, yl] = a.y;
                    if a.guarded && (sum.is_nan() || sum == 0.0) {
                        continue;
                    }
                    want[b * yb + h * yh + l * yl + e] = scores
                        .iter()
                        .enumerate()
                        .map(|(s, x)| (x - max).exp() / sum * f64::from(v[at(a.v, [b, g, s, e])]))
                        .sum();
                }
            }
        }
    }
    let mut first: Option<Vec<f32>> = None;
    for_each_level(|level| {
        let (mut y, mut scratch) = (vec![7.0; want.len()], vec![f32::NAN; a.scratch()]);
        a.run(&mut y, &q, &k, &v, &mask, &mut scratch);
        for (i, (&y, &want)) in y.iter().zip(&want).enumerate() {
            let good = (f64::from(y) - want).abs() < 2e-6 || y.is_nan() && want.is_nan();
            assert!(good, "{a:?} at {}: {y} for {want} at {i}", level.name());
        }
        let same = |x: &[f32]| x.iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect::<Vec<_>>();
        assert_eq!(same(first.get_or_insert_with(|| y.clone())), same(&y), "{a:?} at {}", level.name());
    });
}

const SIZES: [Sizes; 9] = [
    ([1, 1, 1], [1, 1, 1, 1]),
    ([2, 4, 5], [4, 7, 8, 6]),
    ([1, 4, 33], [2, 40, 16, 16]),
    ([1, 2, 30], [1, 16, 17, 33]),
    ([2, 6, 1], [2, 37, 24, 20]),
    ([1, 2, 3], [2, 50, 64, 70]),
    ([1, 2, 26], [1, 3, 0, 5]),
    ([1, 2, 3], [2, 0, 4, 5]),
    ([1, 2, 5], [2, 0, 4, 5]),
];

#[test]
fn every_layout() {
    use Order::{Heads, Tokens, Turned};
    for sizes in SIZES {
        for orders in [[Heads; 3], [Tokens; 3], [Heads, Turned, Heads], [Turned, Tokens, Turned]] {
            check(&attention(sizes, orders), |_| false);
        }
    }
    for nothing in [([0, 2, 3], [2, 4, 5, 6]), ([1, 2, 0], [2, 4, 5, 6]), ([1, 2, 3], [2, 4, 5, 0])] {
        check(&attention(nothing, [Heads; 3]), |_| false);
    }
}

#[test]
fn masks_that_hide() {
    for sizes @ ([_, h, l], [_, s, ..]) in SIZES {
        let masks = [
            [h * l * s, l * s, s, 1],
            [l * s, 0, s, 1],
            [0, 0, s, 1],
            [0, 0, 0, 1],
            [s, 0, 0, 1],
            // One number for all keys of a query, and a mask with its axes turned.
            [l, 0, 1, 0],
            [0, 0, 1, l],
        ];
        for mask in masks {
            let mut a = attention(sizes, [Order::Tokens; 3]);
            a.mask = Some(mask);
            check(&a, |i| i % 3 == 1);
            // Queries without a single key.
            check(&a, |i| i < s || i % 7 == 0);
            a.causal = true;
            check(&a, |i| i % 5 == 1);
            a.replace = true;
            check(&a, |i| i % 5 == 1);
            a.guarded = true;
            check(&a, |i| i < 2 * s || i % 5 == 1);
        }
    }
}

#[test]
fn causal_queries_see_what_came_before() {
    for sizes in SIZES {
        let mut a = attention(sizes, [Order::Tokens; 3]);
        a.causal = true;
        check(&a, |_| false);
    }
}

#[test]
fn large_scores_do_not_overflow() {
    let mut a = attention(SIZES[2], [Order::Tokens; 3]);
    for scale in [1e4, -1e4, 30.0] {
        a.scale = scale;
        let (q, k, v) = (numbers(4 * 33 * 16, 1), numbers(2 * 40 * 16, 2), vec![1.0; 2 * 40 * 16]);
        let (mut y, mut scratch) = (vec![0.0; 4 * 33 * 16], vec![0.0; a.scratch()]);
        a.run(&mut y, &q, &k, &v, &[], &mut scratch);
        // Weights that add up to 1.
        assert!(y.iter().all(|y| (y - 1.0).abs() < 1e-5), "{scale}");
    }
}

#[test]
#[should_panic(expected = "attention: k is too short")]
fn reads_stay_inside() {
    let a = attention(SIZES[1], [Order::Heads; 3]);
    a.run(&mut [0.0; 1000], &[0.0; 1000], &[0.0; 100], &[0.0; 1000], &[], &mut vec![0.0; a.scratch()]);
}

#[test]
fn scratch_suffices_for_all_smaller_extents() {
    for order in [Order::Heads, Order::Tokens, Order::Turned] {
        for d in [3, 64, 512] {
            let at = |l: usize, s: usize| {
                attention(([2, 2, l], [2, s, d, d]), [Order::Tokens, order, Order::Heads])
            };
            let enough = at(40, 50).scratch_within(&at(0, 0));
            for (l, s) in (0..=40).flat_map(|l| (0..=50).map(move |s| (l, s))) {
                assert!(at(l, s).scratch() <= enough, "{l} queries of {d}, {s} keys");
            }
        }
    }
}
