//! Ensembles of decision trees, in `f32` or `f64`, without a branch that depends on what is asked: many rows at once meet
//! every node of a small tree, a few rows walk. [`Trees`](super::Trees) is the form for all others; the results are the same.
//!
//! Every node asks `x ≤ threshold` ([`forest_tables`] brings the other questions into this form), which NaN is not. A row is
//! copied twice, NaN once as the smallest number, and a node reads the copy that sends a missing value where it belongs, so
//! that costs nothing per node.

mod masks;
mod tables;
#[cfg(test)]
mod tests;
mod walk;

use super::number::Real;
use super::trees::Aggregate;
use super::Algorithm;
use crate::map::{Dst, Src};
use crate::simd::{LANES, Op, Simd, dispatch};
use crate::{DType, Element};

use masks::{Masks, entry};
pub use tables::{Asked, ForestTables, forest_tables};
use walk::walk;

/// Walks that take turns: of one tree for as many rows, or of as many trees for one.
const WALKS: usize = 8;

/// Rows from which on all of a block of [`LANES`] are computed together: with 10 rows, trees of 31 leaves take a third of the
/// time of walks, and even 4 gain where a tree is one word.
const BLOCK_FROM: usize = 4;

/// `y [rows, targets] (f32 or f64) ← x [rows, features] (f32 or f64), trees [trees, 5] (u32: see [`Tree`]), nodes (u32: see
/// [`Node`]), words [words + 1] (u32: where the entries of each start), entries (u32: see [`masks`]), leaves [leaves + 1]
/// (u32: where the votes of each start), vote targets (u32), vote weights (of y's type)`.
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
    /// Whether some node sends a missing value where its test holds.
    pub missing: bool,
    /// Whether `x` is of `f64`.
    pub wide: bool,
}

/// A tree: five `u32`s of its table.
#[derive(Clone, Copy)]
struct Tree {
    /// Its node.
    root: u32,
    /// Its first word of leaves, and how many; none where a walk is faster.
    word: u32,
    words: u32,
    /// The number of its first leaf.
    leaf: u32,
    /// The target of its leaves, which have one vote each, with the leaf's number; else [`Tree::MANY`].
    target: u32,
}

impl Tree {
    const MANY: u32 = u32::MAX;

    fn of(&[root, word, words, leaf, target]: &[u32; 5]) -> Tree {
        Tree { root, word, words, leaf, target }
    }
}

/// The tables.
#[derive(Clone, Copy)]
struct Tables<'a, Y, const W: usize> {
    trees: &'a [[u32; 5]],
    nodes: &'a [[u32; W]],
    words: &'a [u32],
    entries: &'a [[u32; W]],
    leaves: &'a [u32],
    targets: &'a [u32],
    weights: &'a [Y],
}

impl<'a, Y: Real, const W: usize> Tables<'a, Y, W> {
    fn of(xs: &[Src<'a>]) -> Self {
        Tables {
            trees: xs[1].slice::<u32>().as_chunks().0,
            nodes: xs[2].slice::<u32>().as_chunks().0,
            words: xs[3].slice(),
            entries: xs[4].slice::<u32>().as_chunks().0,
            leaves: xs[5].slice(),
            targets: xs[6].slice(),
            weights: xs[7].slice(),
        }
    }

    /// Adds the votes of a leaf to a row's sums, which are `stride` apart.
    #[inline(always)]
    fn add(&self, leaf: u32, aggregate: Aggregate, sums: &mut [f64], stride: usize) {
        let leaf = leaf as usize;
        for vote in self.leaves[leaf] as usize..self.leaves[leaf + 1] as usize {
            let sum = &mut sums[self.targets[vote] as usize * stride];
            *sum = aggregate.join(*sum, self.weights[vote].get());
        }
    }
}

/// One run of a forest.
struct Run<'a, X, Y, const W: usize> {
    of: &'a Forest,
    y: &'a mut [Y],
    x: &'a [X],
    t: Tables<'a, Y, W>,
    scratch: &'a mut [f64],
}

impl<X: Masks<W>, Y: Real, const W: usize> Op for Run<'_, X, Y, W> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut first = 0;
        while first < self.of.rows {
            let rows = (self.of.rows - first).min(LANES);
            if rows < BLOCK_FROM {
                self.row(first);
                first += 1;
            } else {
                self.block(s, first, rows);
                first += rows;
            }
        }
    }
}

impl<X: Masks<W>, Y: Real, const W: usize> Run<'_, X, Y, W> {
    /// Some rows at once, each in a lane.
    #[inline(always)]
    fn block<S: Simd>(&mut self, s: S, first: usize, rows: usize) {
        let Forest { features, targets, aggregate, .. } = *self.of;
        let (sums, x) = self.scratch.split_at_mut(targets * LANES);
        let (sums, x) = (sums.as_chunks_mut::<LANES>().0, X::floats(x).as_chunks_mut::<LANES>().0);
        let x = &mut x[..self.of.width()];
        // Lanes without a row repeat the last one.
        let rows_of_lanes = (0..LANES).map(|lane| first + lane.min(rows - 1));
        for (lane, row) in rows_of_lanes.enumerate() {
            let row = &self.x[row * features..][..features];
            copies(row, self.of.missing, |i, v| x[i][lane] = v);
        }
        sums.fill([aggregate.start(); LANES]);
        for tree in self.t.trees.iter().map(Tree::of) {
            let mut leaves = [0u32; LANES];
            if tree.words > 0 {
                let words = &self.t.words[tree.word as usize..][..tree.words as usize + 1];
                X::leaves(s, words, self.t.entries, x, &mut leaves);
            } else {
                for (half, leaves) in leaves.as_chunks_mut::<WALKS>().0.iter_mut().enumerate() {
                    *leaves = walk(self.t.nodes, [tree.root; WALKS], x, |i| half * WALKS + i);
                }
                leaves.iter_mut().for_each(|l| *l -= tree.leaf);
            }
            if tree.target == Tree::MANY {
                let sums = sums.as_flattened_mut();
                for (lane, leaf) in leaves.iter().enumerate().take(rows) {
                    self.t.add(tree.leaf + leaf, aggregate, &mut sums[lane..], LANES);
                }
            } else {
                let (sums, weights) = (&mut sums[tree.target as usize], &self.t.weights[tree.leaf as usize..]);
                let votes: [f64; LANES] = core::array::from_fn(|lane| weights[leaves[lane] as usize].get());
                for (sum, w) in sums.iter_mut().zip(votes) {
                    *sum = aggregate.join(*sum, w);
                }
            }
        }
        let y = &mut self.y[first * targets..][..rows * targets];
        for (lane, y) in y.chunks_exact_mut(targets).enumerate() {
            for (y, sums) in y.iter_mut().zip(&*sums) {
                *y = Y::put(aggregate.result(sums[lane], self.t.trees.len()));
            }
        }
    }

    /// One row, down several trees at once.
    #[inline(always)]
    fn row(&mut self, r: usize) {
        let Forest { features, targets, aggregate, .. } = *self.of;
        let (sums, x) = self.scratch.split_at_mut(targets * LANES);
        let (sums, x) = (&mut sums[..targets], X::floats(x).as_chunks_mut::<1>().0);
        let x = &mut x[..self.of.width()];
        copies(&self.x[r * features..][..features], self.of.missing, |i, v| x[i] = [v]);
        sums.fill(aggregate.start());
        for trees in self.t.trees.chunks(WALKS) {
            // The walks that are too many repeat the first one.
            let mut roots = [trees[0][0]; WALKS];
            roots.iter_mut().zip(trees).for_each(|(root, tree)| *root = tree[0]);
            let leaves = walk(self.t.nodes, roots, x, |_| 0);
            for (tree, leaf) in trees.iter().map(Tree::of).zip(leaves) {
                if tree.target == Tree::MANY {
                    self.t.add(leaf, aggregate, sums, 1);
                } else {
                    let sum = &mut sums[tree.target as usize];
                    *sum = aggregate.join(*sum, self.t.weights[leaf as usize].get());
                }
            }
        }
        for (y, &sum) in self.y[r * targets..][..targets].iter_mut().zip(&*sums) {
            *y = Y::put(aggregate.result(sum, self.t.trees.len()));
        }
    }
}

/// A row as nodes read it: as it is, with the smallest number for NaN where that is asked for, and the smallest number.
#[inline(always)]
fn copies<X: Real + PartialOrd>(row: &[X], missing: bool, mut put: impl FnMut(usize, X)) {
    let low = X::put(f64::NEG_INFINITY);
    row.iter().enumerate().for_each(|(i, &v)| put(i, v));
    let mut len = row.len();
    if missing {
        for (i, &v) in row.iter().enumerate() {
            put(len + i, if v.partial_cmp(&v).is_none() { low } else { v });
        }
        len *= 2;
    }
    put(len, low);
}

impl Forest {
    /// Elements of a row's copies.
    fn width(&self) -> usize {
        self.features * if self.missing { 2 } else { 1 } + 1
    }

    fn typed<X: Masks<W> + Element, Y: Real, const W: usize>(&self, y: &mut [Y], xs: &[Src<'_>], scratch: &mut [f64]) {
        dispatch(Run { of: self, y, x: xs[0].slice::<X>(), t: Tables::<Y, W>::of(xs), scratch });
    }
}

impl Algorithm for Forest {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("a forest: a result and scratch") };
        let scratch = scratch.slice();
        match (xs[0].dtype(), y.dtype()) {
            (DType::F32, DType::F32) => self.typed::<f32, f32, { entry(false) }>(y.slice(), xs, scratch),
            (DType::F64, DType::F32) => self.typed::<f64, f32, { entry(true) }>(y.slice(), xs, scratch),
            (DType::F64, DType::F64) => self.typed::<f64, f64, { entry(true) }>(y.slice(), xs, scratch),
            (x, y) => panic!("a forest from {x} to {y}"),
        }
    }

    fn scratch(&self) -> usize {
        let width = if self.wide { self.width() } else { self.width().div_ceil(2) };
        (width + self.targets) * LANES
    }
}
