//! Probabilities of classes from those between each two of them (Wu, Lin and Weng 2004, second method, as LIBSVM and
//! ONNX Runtime have it). In `f32`: where the iteration ends depends on it.

use super::Algorithm;
use crate::map::{Dst, Src};

/// `y [rows, classes] ← x [rows, pairs]`: of classes i < j, in order of (i, j), the probability of i.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coupling {
    /// The number of rows.
    pub rows: usize,
    /// The number of classes.
    pub classes: usize,
}

const ITERATIONS: usize = 100;

impl Coupling {
    fn row(&self, p: &mut [f32], qp: &mut [f64], pairs: &[f32]) {
        let n = self.classes;
        // The probability of `i` against `j`.
        let r = |i: usize, j: usize| {
            let (a, b) = (i.min(j), i.max(j));
            let of_first = pairs[a * n - a * (a + 1) / 2 + b - a - 1];
            if i < j { of_first } else { 1.0 - of_first }
        };
        let q = |i: usize, j: usize| {
            if i == j {
                (0..n).filter(|j| *j != i).fold(0.0, |sum, j| sum + r(j, i) * r(j, i))
            } else {
                -(r(j, i) * r(i, j))
            }
        };
        let enough = 0.005 / n as f32;
        p.fill(1.0 / n as f32);
        for _ in 0..ITERATIONS {
            let mut pqp = 0.0f32;
            for i in 0..n {
                let sum = (0..n).fold(0.0f32, |sum, j| sum + q(i, j) * p[j]);
                qp[i] = sum.into();
                pqp += p[i] * sum;
            }
            let error = qp.iter().fold(0.0f32, |most, x| most.max((*x as f32 - pqp).abs()));
            if error < enough {
                break;
            }
            for i in 0..n {
                let diagonal = q(i, i);
                let step = (pqp - qp[i] as f32) / diagonal;
                p[i] += step;
                pqp = (pqp + step * (step * diagonal + 2.0 * qp[i] as f32)) / (1.0 + step) / (1.0 + step);
                for j in 0..n {
                    qp[j] = ((qp[j] as f32 + step * q(i, j)) / (1.0 + step)).into();
                    p[j] /= 1.0 + step;
                }
            }
        }
    }
}

impl Algorithm for Coupling {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let (n, pairs) = (self.classes, self.classes * (self.classes - 1) / 2);
        let [y, scratch] = ys else { panic!("coupling: a result and scratch") };
        let y = &mut y.slice::<f32>()[..self.rows * n];
        let qp = &mut scratch.slice::<f64>()[..n];
        let x = &xs[0].slice::<f32>()[..self.rows * pairs];
        for (y, x) in y.chunks_exact_mut(n).zip(x.chunks_exact(pairs)) {
            self.row(y, qp, x);
        }
    }

    fn scratch(&self) -> usize {
        self.classes.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coupled(classes: usize, pairs: &[f32]) -> Vec<f32> {
        let (mut y, mut scratch) = (vec![0f32; classes], vec![0f64; classes]);
        let kernel = Coupling { rows: 1, classes };
        kernel.run(&mut [y[..].as_mut().into(), scratch[..].as_mut().into()], &[pairs.into()]);
        y
    }

    #[test]
    fn consistent_pairs_come_back() {
        // Of classes with probabilities 1/2, 1/3 and 1/6.
        let y = coupled(3, &[0.6, 0.75, 2.0 / 3.0]);
        for (y, expected) in y.iter().zip([0.5, 1.0 / 3.0, 1.0 / 6.0]) {
            assert!((y - expected).abs() < 5e-3, "{y} {expected}");
        }
        assert!((coupled(2, &[0.9])[0] - 0.9).abs() < 1e-2);
        assert!((y.iter().sum::<f32>() - 1.0).abs() < 1e-6);
    }
}
