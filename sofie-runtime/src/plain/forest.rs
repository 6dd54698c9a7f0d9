//! Ensembles of decision trees that all ask the same way, in `f32` or `f64`: several walks take turns, so that none waits for
//! another's memory, and no step branches. [`Trees`](super::Trees) is the form for all others; the results are the same.
//!
//! A node is one record, of 16 bytes or of 20. A leaf is its own child, so walks that are done go on in place.

use alloc::vec::Vec;

use super::number::Real;
use super::trees::{Aggregate, Test};
use super::{Algorithm, trees};
use crate::{DType, Element};
use crate::map::{Dst, Src};

/// Added to a node's feature: a missing value (NaN) goes where the test holds.
pub const MISSING: u32 = 1 << 31;

/// Walks that take turns: of one tree for as many rows, or of as many trees for one.
const WALKS: usize = 8;

/// `y [rows, targets] (f32 or f64) ← x [rows, features] (f32 or f64), roots [trees] (u32), nodes [nodes, 4 or 5] (u32:
/// feature, bits of the threshold, which has x's type, as one or two, where the test holds, where not; of a leaf 0, its
/// number, itself, itself), leaves [leaves + 1] (u32: where the entries of each start), entry targets (u32), entry weights
/// (of y's type)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forest {
    /// Rows.
    pub rows: usize,
    /// Elements of a row of `x`, at least 1.
    pub features: usize,
    /// Elements of a row of `y`.
    pub targets: usize,
    /// What becomes of the leaves.
    pub aggregate: Aggregate,
    /// What every node asks: [`Test::Le`], `Lt`, `Ge` or `Gt`.
    pub test: Test,
}

/// What is asked for: floats whose bits are `W - 3` words of a record of `W`.
trait Asked<const W: usize>: Copy + PartialOrd {
    /// The threshold of a node.
    fn threshold(node: &[u32; W]) -> Self;
}

impl Asked<4> for f32 {
    #[inline(always)]
    fn threshold(node: &[u32; 4]) -> f32 {
        f32::from_bits(node[1])
    }
}

impl Asked<5> for f64 {
    #[inline(always)]
    fn threshold(node: &[u32; 5]) -> f64 {
        f64::from_bits(u64::from(node[1]) | u64::from(node[2]) << 32)
    }
}

/// The tables.
#[derive(Clone, Copy)]
struct Tables<'a, Y, const W: usize> {
    roots: &'a [u32],
    nodes: &'a [[u32; W]],
    leaves: &'a [u32],
    targets: &'a [u32],
    weights: &'a [Y],
}

impl<'a, Y: Real, const W: usize> Tables<'a, Y, W> {
    fn of(xs: &[Src<'a>]) -> Self {
        let (nodes, _) = xs[2].slice::<u32>().as_chunks();
        Tables { roots: xs[1].slice(), nodes, leaves: xs[3].slice(), targets: xs[4].slice(), weights: xs[5].slice() }
    }

    /// Adds what a leaf has to say.
    #[inline(always)]
    fn add(&self, node: u32, aggregate: Aggregate, sums: &mut [f64]) {
        let leaf = self.nodes[node as usize][1] as usize;
        for entry in self.leaves[leaf] as usize..self.leaves[leaf + 1] as usize {
            let sum = &mut sums[self.targets[entry] as usize];
            *sum = aggregate.join(*sum, self.weights[entry].get());
        }
    }
}

/// Walks from `at` to leaves, one walk a row.
#[inline(always)]
fn walk<X: Asked<W>, const W: usize, const N: usize>(
    nodes: &[[u32; W]],
    mut at: [u32; N],
    rows: [&[X]; N],
    holds: impl Fn(X, X) -> bool,
) -> [u32; N] {
    loop {
        let mut moved = 0;
        for (at, row) in at.iter_mut().zip(rows) {
            let node = &nodes[*at as usize];
            let (feature, yes, no) = (node[0], node[W - 2], node[W - 1]);
            let x = row[(feature & !MISSING) as usize];
            let is_nan = x.partial_cmp(&x).is_none();
            let goes = holds(x, X::threshold(node)) | (is_nan & (feature >= MISSING));
            // Not a branch, which would be foretold wrongly half of the time.
            let next = no ^ ((yes ^ no) & u32::from(goes).wrapping_neg());
            moved |= next ^ *at;
            *at = next;
        }
        if moved == 0 {
            return at;
        }
    }
}

impl Forest {
    #[inline(always)]
    fn asking<X: Asked<W>, Y: Real, const W: usize>(
        &self,
        y: &mut [Y],
        x: &[X],
        t: Tables<'_, Y, W>,
        sums: &mut [f64],
        holds: impl Fn(X, X) -> bool + Copy,
    ) {
        let (features, targets, aggregate) = (self.features, self.targets, self.aggregate);
        let row = |r: usize| &x[r * features..][..features];
        let mut first = 0;
        while first < self.rows {
            let rows = if self.rows - first < WALKS { 1 } else { WALKS };
            let sums = &mut sums[..rows * targets];
            sums.fill(aggregate.start());
            if rows == WALKS {
                let rows = core::array::from_fn(|i| row(first + i));
                for &root in t.roots {
                    let ends = walk::<X, W, WALKS>(t.nodes, [root; WALKS], rows, holds);
                    for (i, end) in ends.into_iter().enumerate() {
                        t.add(end, aggregate, &mut sums[i * targets..][..targets]);
                    }
                }
            } else {
                let (some, rest) = t.roots.as_chunks::<WALKS>();
                let row = row(first);
                for &roots in some {
                    let ends = walk::<X, W, WALKS>(t.nodes, roots, [row; WALKS], holds);
                    ends.into_iter().for_each(|end| t.add(end, aggregate, sums));
                }
                if let Some(&last) = rest.last() {
                    // The walks that are too many repeat the last one.
                    let roots = core::array::from_fn(|i| rest.get(i).copied().unwrap_or(last));
                    let ends = walk::<X, W, WALKS>(t.nodes, roots, [row; WALKS], holds);
                    ends.into_iter().take(rest.len()).for_each(|end| t.add(end, aggregate, sums));
                }
            }
            let y = &mut y[first * targets..][..rows * targets];
            for (y, &sum) in y.iter_mut().zip(sums.iter()) {
                *y = Y::put(aggregate.result(sum, t.roots.len()));
            }
            first += rows;
        }
    }

    fn typed<X: Asked<W> + Element, Y: Real, const W: usize>(&self, y: &mut [Y], xs: &[Src<'_>], sums: &mut [f64]) {
        let (x, t) = (xs[0].slice::<X>(), Tables::<Y, W>::of(xs));
        match self.test {
            Test::Le => self.asking(y, x, t, sums, |x, t| x <= t),
            Test::Lt => self.asking(y, x, t, sums, |x, t| x < t),
            Test::Ge => self.asking(y, x, t, sums, |x, t| x >= t),
            Test::Gt => self.asking(y, x, t, sums, |x, t| x > t),
            other => panic!("a forest that asks for {other:?}"),
        }
    }
}

impl Algorithm for Forest {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("a forest: a result and scratch") };
        let sums = scratch.slice();
        match (xs[0].dtype(), y.dtype()) {
            (DType::F32, DType::F32) => self.typed::<f32, f32, 4>(y.slice(), xs, sums),
            (DType::F64, DType::F32) => self.typed::<f64, f32, 5>(y.slice(), xs, sums),
            (DType::F64, DType::F64) => self.typed::<f64, f64, 5>(y.slice(), xs, sums),
            (x, y) => panic!("a forest from {x} to {y}"),
        }
    }

    fn scratch(&self) -> usize {
        self.targets * WALKS
    }
}

/// The nodes and leaves of [`Forest`] from the tables of [`Trees`](super::Trees), where every node asks the same way;
/// for operands of `f64`, or of `f32`, to which the thresholds are rounded.
#[must_use]
pub fn forest_tables(
    wide: bool,
    tests: &[u8],
    features: &[u32],
    thresholds: &[f64],
    children: &[[u32; 2]],
) -> Option<(Test, Vec<u32>, Vec<[u32; 2]>)> {
    let mut asked = tests.iter().filter(|&&t| t != Test::Leaf as u8).map(|t| t & !trees::MISSING_HOLDS);
    let code = asked.next().unwrap_or(Test::Le as u8);
    let test = [Test::Le, Test::Lt, Test::Ge, Test::Gt].into_iter().find(|t| *t as u8 == code)?;
    if asked.any(|t| t != code) || features.iter().any(|f| *f >= MISSING) {
        return None;
    }
    let (mut nodes, mut leaves) = (Vec::with_capacity(5 * tests.len()), Vec::new());
    for (i, &asks) in tests.iter().enumerate() {
        let (feature, bits, next) = if asks == Test::Leaf as u8 {
            leaves.push(children[i]);
            (0, leaves.len() as u64 - 1, [i as u32; 2])
        } else {
            let missing = if asks & trees::MISSING_HOLDS != 0 { MISSING } else { 0 };
            let threshold = thresholds[i];
            let bits = if wide { threshold.to_bits() } else { u64::from((threshold as f32).to_bits()) };
            (features[i] | missing, bits, children[i])
        };
        nodes.extend([feature, bits as u32]);
        nodes.extend(wide.then_some((bits >> 32) as u32));
        nodes.extend(next);
    }
    Some((test, nodes, leaves))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Numbers without a pattern.
    fn random(state: &mut u32) -> u32 {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        *state
    }

    /// Random trees, by the plain walk and by this one.
    fn check(rows: usize, trees: usize, targets: usize, test: Test, aggregate: Aggregate) {
        let (mut state, features) = (rows as u32 * 77 + trees as u32 + 1, 5);
        let (mut roots, mut tests, mut feature, mut threshold) = (vec![], vec![], vec![], vec![]);
        let (mut children, mut of_entry, mut weights) = (vec![], vec![], vec![]);
        for _ in 0..trees {
            roots.push(tests.len() as u32);
            let (first, depth) = (tests.len(), random(&mut state) as usize % 5);
            let inner = (1 << depth) - 1;
            for i in 0..2 * inner + 1 {
                let start = of_entry.len() as u32;
                let leaf = i >= inner || random(&mut state).is_multiple_of(9);
                if leaf {
                    for _ in 0..random(&mut state) % 3 {
                        of_entry.push(random(&mut state) % targets as u32);
                        weights.push(random(&mut state) as f32 / 1e9 - 2.0);
                    }
                    children.push([start, of_entry.len() as u32]);
                } else {
                    children.push([(first + 2 * i + 1) as u32, (first + 2 * i + 2) as u32]);
                }
                let missing = random(&mut state) as u8 & trees::MISSING_HOLDS;
                tests.push(if leaf { 0 } else { test as u8 | missing });
                feature.push(random(&mut state) % features as u32);
                threshold.push((random(&mut state) % 7) as f32);
            }
        }
        let x: Vec<f32> = (0..rows * features)
            .map(|_| match random(&mut state) % 11 {
                10 => f32::NAN,
                n => n as f32,
            })
            .collect();
        let flat: Vec<u32> = children.iter().flatten().copied().collect();
        let plain = super::super::Trees { rows, features, targets, aggregate };
        let (mut expected, mut sums) = (vec![9f32; rows * targets], vec![0f64; plain.scratch()]);
        plain.run(
            &mut [expected[..].as_mut().into(), sums[..].as_mut().into()],
            &[
                (&x[..]).into(),
                (&roots[..]).into(),
                (&tests[..]).into(),
                (&feature[..]).into(),
                (&threshold[..]).into(),
                (&flat[..]).into(),
                (&of_entry[..]).into(),
                (&weights[..]).into(),
            ],
        );
        let thresholds: Vec<f64> = threshold.iter().map(|t| f64::from(*t)).collect();
        let (asks, nodes, ranges) = forest_tables(false, &tests, &feature, &thresholds, &children).unwrap();
        let mut leaves: Vec<u32> = ranges.iter().map(|r| r[0]).collect();
        leaves.push(of_entry.len() as u32);
        let forest = Forest { rows, features, targets, aggregate, test: asks };
        let (mut y, mut sums) = (vec![7f32; rows * targets], vec![0f64; forest.scratch()]);
        forest.run(
            &mut [y[..].as_mut().into(), sums[..].as_mut().into()],
            &[
                (&x[..]).into(),
                (&roots[..]).into(),
                (&nodes[..]).into(),
                (&leaves[..]).into(),
                (&of_entry[..]).into(),
                (&weights[..]).into(),
            ],
        );
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&y), bits(&expected), "{rows} rows, {trees} trees, {test:?} {aggregate:?}");
        let (_, nodes, _) = forest_tables(true, &tests, &feature, &thresholds, &children).unwrap();
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let weights: Vec<f64> = weights.iter().map(|w| f64::from(*w)).collect();
        let mut y = vec![7f64; rows * targets];
        forest.run(
            &mut [y[..].as_mut().into(), sums[..].as_mut().into()],
            &[
                (&x[..]).into(),
                (&roots[..]).into(),
                (&nodes[..]).into(),
                (&leaves[..]).into(),
                (&of_entry[..]).into(),
                (&weights[..]).into(),
            ],
        );
        let y: Vec<f32> = y.iter().map(|y| *y as f32).collect();
        assert_eq!(bits(&y), bits(&expected), "{rows} rows, {trees} trees, {test:?} {aggregate:?}, in f64");
    }

    #[test]
    fn the_same_as_tree_by_tree() {
        for (rows, trees) in [(1, 1), (1, 7), (1, 8), (1, 21), (3, 5), (8, 4), (19, 9), (0, 3), (2, 0)] {
            for test in [Test::Le, Test::Lt, Test::Ge, Test::Gt] {
                check(rows, trees, 3, test, Aggregate::Sum);
            }
            for aggregate in [Aggregate::Average, Aggregate::Min, Aggregate::Max] {
                check(rows, trees, 2, Test::Le, aggregate);
            }
        }
    }

    #[test]
    fn other_questions_are_refused() {
        let tables = |tests: &[u8]| forest_tables(false, tests, &[0; 3], &[0.0; 3], &[[1, 2], [0, 1], [1, 2]]);
        assert!(tables(&[1, 0, 0]).is_some_and(|t| t.0 == Test::Le));
        assert!(tables(&[5, 0, 0]).is_none() && tables(&[1, 2, 0]).is_none());
    }
}
