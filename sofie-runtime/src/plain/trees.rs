//! Ensembles of decision trees, row by row: the sum (or another aggregate) of the leaves that a row ends in.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src};

/// How a node's feature is compared with its threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Test {
    /// The node is a leaf: its children are the first of its entries and one past the last.
    Leaf = 0,
    /// Less or equal.
    Le = 1,
    /// Less.
    Lt = 2,
    /// Greater or equal.
    Ge = 3,
    /// Greater.
    Gt = 4,
    /// Equal.
    Eq = 5,
    /// Not equal.
    Ne = 6,
}

/// Added to a [`Test`]: a missing value (NaN) goes where the test holds.
pub const MISSING_HOLDS: u8 = 8;

/// What becomes of the leaves of all trees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// Their sum.
    Sum,
    /// Their sum divided by the number of trees.
    Average,
    /// The smallest; 0 where there is none.
    Min,
    /// The largest; 0 where there is none.
    Max,
}

impl Aggregate {
    /// What the sums start from.
    #[inline(always)]
    pub(super) fn start(self) -> f64 {
        match self {
            Aggregate::Min => f64::INFINITY,
            Aggregate::Max => f64::NEG_INFINITY,
            _ => 0.0,
        }
    }

    /// One more leaf.
    #[inline(always)]
    pub(super) fn join(self, sum: f64, w: f64) -> f64 {
        match self {
            Aggregate::Sum | Aggregate::Average => sum + w,
            Aggregate::Min => sum.min(w),
            Aggregate::Max => sum.max(w),
        }
    }

    /// What becomes of a sum in the end.
    #[inline(always)]
    pub(super) fn result(self, sum: f64, trees: usize) -> f64 {
        match self {
            Aggregate::Average => sum / trees as f64,
            _ if sum.is_infinite() && sum == self.start() => 0.0,
            _ => sum,
        }
    }
}

/// `y [rows, targets] ← x [rows, features], roots [trees] (u32), tests [nodes] (u8), feature [nodes] (u32),
/// threshold [nodes], children [nodes, 2] (u32: where the test holds, where not), entry targets (u32), entry weights`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trees {
    /// Rows.
    pub rows: usize,
    /// Elements of a row of `x`.
    pub features: usize,
    /// Elements of a row of `y`.
    pub targets: usize,
    /// What becomes of the leaves.
    pub aggregate: Aggregate,
}

impl Trees {
    fn typed<X: Real, T: Real>(&self, y: &mut [T], xs: &[Src<'_>], sums: &mut [f64]) {
        let x: &[X] = xs[0].slice();
        let (roots, tests, feature): (&[u32], &[u8], &[u32]) = (xs[1].slice(), xs[2].slice(), xs[3].slice());
        let (threshold, children): (&[T], &[u32]) = (xs[4].slice(), xs[5].slice());
        let (targets, weights): (&[u32], &[T]) = (xs[6].slice(), xs[7].slice());
        let sums = &mut sums[..self.targets];
        for r in 0..self.rows {
            let row = &x[r * self.features..][..self.features];
            sums.fill(self.aggregate.start());
            for &root in roots {
                let mut node = root as usize;
                while tests[node] != Test::Leaf as u8 {
                    let holds = holds(tests[node], row[feature[node] as usize].get(), threshold[node].get());
                    node = children[2 * node + usize::from(!holds)] as usize;
                }
                for entry in children[2 * node] as usize..children[2 * node + 1] as usize {
                    let (sum, w) = (&mut sums[targets[entry] as usize], weights[entry].get());
                    *sum = self.aggregate.join(*sum, w);
                }
            }
            let y = &mut y[r * self.targets..][..self.targets];
            for (y, sum) in y.iter_mut().zip(sums.iter()) {
                *y = T::put(self.aggregate.result(*sum, roots.len()));
            }
        }
    }
}

/// Whether a node's test holds.
fn holds(test: u8, x: f64, threshold: f64) -> bool {
    if x.is_nan() {
        return test & MISSING_HOLDS != 0;
    }
    match test & !MISSING_HOLDS {
        1 => x <= threshold,
        2 => x < threshold,
        3 => x >= threshold,
        4 => x > threshold,
        5 => x == threshold,
        _ => x != threshold,
    }
}

impl Algorithm for Trees {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("trees: a result and scratch") };
        reals!(xs[0].dtype(), X => reals!(y.dtype(), T => self.typed::<X, T>(y.slice(), xs, scratch.slice())));
    }

    fn scratch(&self) -> usize {
        self.targets.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tree_of_two_leaves() {
        let x = [0f32, 1.0, f32::NAN];
        let (roots, tests, feature) = ([0u32], [Test::Le as u8 | MISSING_HOLDS, 0, 0], [0u32; 3]);
        let (threshold, children) = ([0.5f32, 0.0, 0.0], [1u32, 2, 0, 1, 1, 2]);
        let (targets, weights) = ([0u32, 0], [10f32, 20.0]);
        let (mut y, mut scratch) = ([0f32; 3], [0f64; 1]);
        let trees = Trees { rows: 3, features: 1, targets: 1, aggregate: Aggregate::Sum };
        trees.run(
            &mut [y[..].as_mut().into(), scratch[..].as_mut().into()],
            &[
                (&x[..]).into(),
                (&roots[..]).into(),
                (&tests[..]).into(),
                (&feature[..]).into(),
                (&threshold[..]).into(),
                (&children[..]).into(),
                (&targets[..]).into(),
                (&weights[..]).into(),
            ],
        );
        assert_eq!(y, [10.0, 20.0, 10.0]);
    }
}
