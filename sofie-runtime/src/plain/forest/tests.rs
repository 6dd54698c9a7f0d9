//! Forests against the plain walk of [`Trees`](super::super::Trees), to the bit, on every instruction set.

use super::super::trees::{MISSING_HOLDS, Test};
use super::*;
use crate::random::Random;
use crate::simd::for_each_level;
use std::{vec, vec::Vec};

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 32) as usize % n
    }
}

/// The tables of [`Trees`](super::super::Trees).
#[derive(Default)]
struct Plain {
    roots: Vec<u32>,
    tests: Vec<u8>,
    feature: Vec<u32>,
    thresholds: Vec<f64>,
    children: Vec<[u32; 2]>,
    targets: Vec<u32>,
    weights: Vec<f32>,
}

/// What is drawn.
#[derive(Clone, Copy, Debug)]
struct Case<'a> {
    rows: usize,
    trees: usize,
    /// Leaves of a tree at the most.
    leaves: usize,
    /// Votes of each leaf, or any number below three.
    votes: Option<usize>,
    targets: usize,
    features: usize,
    tests: &'a [Test],
    missing: bool,
    aggregate: Aggregate,
}

impl Plain {
    /// A tree with about so many leaves below a new node, divided anyhow.
    fn grow(&mut self, r: &mut Random, case: &Case<'_>, leaves: usize, of_tree: u32) -> u32 {
        let node = self.tests.len();
        self.tests.push(0);
        self.feature.push(r.below(case.features) as u32);
        self.thresholds.push(match r.below(40) {
            0 => f64::INFINITY,
            n => f64::from((n % 9) as f32 - 1.0),
        });
        self.children.push([0; 2]);
        if leaves > 1 {
            let left = 1 + r.below(leaves - 1);
            let missing = if case.missing { (r.next() >> 32) as u8 & MISSING_HOLDS } else { 0 };
            self.tests[node] = case.tests[r.below(case.tests.len())] as u8 | missing;
            let yes = self.grow(r, case, left, of_tree);
            self.children[node] = [yes, self.grow(r, case, leaves - left, of_tree)];
            return node as u32;
        }
        let start = self.targets.len() as u32;
        for _ in 0..case.votes.unwrap_or_else(|| r.below(3)) {
            self.targets.push(if case.votes == Some(1) { of_tree % case.targets as u32 } else { r.below(case.targets) as u32 });
            self.weights.push((r.next() >> 32) as f32 / 1e9 - 2.0);
        }
        self.children[node] = [start, self.targets.len() as u32];
        node as u32
    }

    fn asked(&self, wide: bool, features: usize) -> Asked<'_> {
        Asked {
            wide,
            features,
            roots: &self.roots,
            tests: &self.tests,
            feature: &self.feature,
            thresholds: &self.thresholds,
            children: &self.children,
            targets: &self.targets,
        }
    }
}

/// Random trees, by the plain walk and by this one, in `f32` and in `f64`.
fn check(case: Case<'_>) {
    let Case { rows, trees, leaves, targets, features, aggregate, .. } = case;
    let mut r = Random(0x9e37_79b9_7f4a_7c15 ^ (rows * 77 + trees + leaves * 1000) as u64);
    let mut plain = Plain::default();
    for tree in 0..trees {
        let leaves = 1 + r.below(leaves);
        let root = plain.grow(&mut r, &case, leaves, tree as u32);
        plain.roots.push(root);
    }
    let x: Vec<f32> = (0..rows * features)
        .map(|_| match r.below(13) {
            10 => f32::NAN,
            11 => f32::INFINITY,
            12 => f32::NEG_INFINITY,
            n => n as f32 - 1.0,
        })
        .collect();
    let flat: Vec<u32> = plain.children.iter().flatten().copied().collect();
    let thresholds: Vec<f32> = plain.thresholds.iter().map(|t| *t as f32).collect();
    let oracle = super::super::Trees { rows, features, targets, aggregate };
    let (mut expected, mut sums) = (vec![9f32; rows * targets], vec![0f64; oracle.scratch()]);
    oracle.run(
        &mut [expected[..].as_mut().into(), sums[..].as_mut().into()],
        &[
            (&x[..]).into(),
            (&plain.roots[..]).into(),
            (&plain.tests[..]).into(),
            (&plain.feature[..]).into(),
            (&thresholds[..]).into(),
            (&flat[..]).into(),
            (&plain.targets[..]).into(),
            (&plain.weights[..]).into(),
        ],
    );
    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let wide_x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
    for wide in [false, true] {
        let t = forest_tables(&plain.asked(wide, features)).unwrap();
        assert!(!t.missing || case.missing || case.tests.iter().any(|t| matches!(t, Test::Ge | Test::Gt)));
        let (mut starts, mut of_vote, mut weights) = (vec![0u32], vec![], vec![]);
        for [a, b] in t.leaves.iter().map(|l| l.map(|i| i as usize)) {
            of_vote.extend_from_slice(&plain.targets[a..b]);
            weights.extend_from_slice(&plain.weights[a..b]);
            starts.push(weights.len() as u32);
        }
        let wide_weights: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
        let forest = Forest { rows, features, targets, aggregate, missing: t.missing, wide };
        for_each_level(|level| {
            let (mut y, mut scratch) = (vec![7f32; rows * targets], vec![0f64; forest.scratch()]);
            let operands = [
                if wide { (&wide_x[..]).into() } else { (&x[..]).into() },
                (&t.trees[..]).into(),
                (&t.nodes[..]).into(),
                (&t.words[..]).into(),
                (&t.entries[..]).into(),
                (&starts[..]).into(),
                (&of_vote[..]).into(),
                if wide { (&wide_weights[..]).into() } else { (&weights[..]).into() },
            ];
            if wide {
                let mut of_f64 = vec![7f64; rows * targets];
                forest.run(&mut [of_f64[..].as_mut().into(), scratch[..].as_mut().into()], &operands);
                y = of_f64.iter().map(|y| *y as f32).collect();
            } else {
                forest.run(&mut [y[..].as_mut().into(), scratch[..].as_mut().into()], &operands);
            }
            assert_eq!(bits(&y), bits(&expected), "{case:?}, wide: {wide}, {}", level.name());
        });
    }
}

const CASE: Case<'_> = Case {
    rows: 1,
    trees: 9,
    leaves: 20,
    votes: None,
    targets: 3,
    features: 5,
    tests: &[Test::Le],
    missing: false,
    aggregate: Aggregate::Sum,
};

#[test]
fn the_same_as_tree_by_tree() {
    for (rows, trees) in [(1, 1), (1, 7), (1, 8), (1, 21), (3, 5), (4, 4), (16, 3), (37, 9), (0, 3), (2, 0), (5, 0)] {
        for missing in [false, true] {
            for votes in [None, Some(1), Some(2)] {
                check(Case { rows, trees, missing, votes, ..CASE });
            }
        }
    }
}

#[test]
fn every_question() {
    for rows in [1, 6] {
        for missing in [false, true] {
            for tests in [&[Test::Lt][..], &[Test::Ge], &[Test::Gt], &[Test::Le, Test::Gt, Test::Lt, Test::Ge]] {
                check(Case { rows, missing, tests, ..CASE });
            }
        }
        for aggregate in [Aggregate::Average, Aggregate::Min, Aggregate::Max] {
            check(Case { rows, aggregate, ..CASE });
            check(Case { rows, aggregate, votes: Some(1), targets: 1, ..CASE });
        }
    }
}

#[test]
fn trees_of_several_words_and_trees_that_are_walked() {
    for leaves in [2, 33, 70, 300, 3000] {
        for rows in [1, 20] {
            check(Case { rows, leaves, missing: true, votes: Some(1), ..CASE });
        }
    }
}

#[test]
fn other_questions_are_refused() {
    let tables = |tests: &[u8], threshold: f64| {
        let (feature, thresholds, children) = ([0; 3], [threshold; 3], [[1, 2], [0, 1], [1, 2]]);
        let (wide, features, roots, targets) = (false, 1, &[0][..], &[0, 0][..]);
        let (feature, thresholds, children) = (&feature, &thresholds, &children);
        forest_tables(&Asked { wide, features, roots, tests, feature, thresholds, children, targets })
    };
    assert!(tables(&[1, 0, 0], 0.0).is_some() && tables(&[9, 0, 0], f64::INFINITY).is_some());
    assert!(tables(&[5, 0, 0], 0.0).is_none() && tables(&[1, 6, 0], 0.0).is_none());
    // Nothing is at most NaN, so what stands for a missing value is not either.
    assert!(tables(&[1, 0, 0], f64::NAN).is_some() && tables(&[9, 0, 0], f64::NAN).is_none());
    assert!(tables(&[2, 0, 0], f64::NEG_INFINITY).is_some() && tables(&[3, 0, 0], f64::NEG_INFINITY).is_none());
}

#[test]
fn trees_that_share_too_much_stay_as_they_are() {
    // A chain whose nodes go on to the same node either way has twice as many leaves with each.
    let n = 20u32;
    let tests: Vec<u8> = (0..=n).map(|i| u8::from(i < n)).collect();
    let children: Vec<[u32; 2]> = (0..=n).map(|i| if i < n { [i + 1; 2] } else { [0, 1] }).collect();
    let (feature, thresholds) = (vec![0; tests.len()], vec![0.0; tests.len()]);
    let asked = Asked {
        wide: false,
        features: 1,
        roots: &[0],
        tests: &tests,
        feature: &feature,
        thresholds: &thresholds,
        children: &children,
        targets: &[0],
    };
    assert!(forest_tables(&asked).is_none());
}
