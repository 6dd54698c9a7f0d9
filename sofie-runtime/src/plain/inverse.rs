//! Inverses of matrices, by Gauss-Jordan elimination with partial pivots in `f64`.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src};

/// `y [matrices, n, n] ← x [matrices, n, n]`; what a singular matrix gives is not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inverse {
    /// How many.
    pub matrices: usize,
    /// Rows of each.
    pub n: usize,
}

impl Inverse {
    fn typed<T: Real>(&self, y: &mut [T], x: &[T], rows: &mut [f64]) {
        let (n, width) = (self.n, 2 * self.n);
        for matrix in 0..self.matrices {
            // The matrix, and beside it what becomes its inverse as it becomes the identity.
            let from = &x[matrix * n * n..][..n * n];
            for i in 0..n {
                for j in 0..n {
                    rows[i * width + j] = from[i * n + j].get();
                    rows[i * width + n + j] = if i == j { 1.0 } else { 0.0 };
                }
            }
            for k in 0..n {
                let size = |i: usize| rows[i * width + k].abs();
                let pivot = (k + 1..n).fold(k, |best, i| if size(i) > size(best) { i } else { best });
                if pivot != k {
                    (k..width).for_each(|j| rows.swap(k * width + j, pivot * width + j));
                }
                let p = rows[k * width + k];
                (k..width).for_each(|j| rows[k * width + j] /= p);
                for i in (0..n).filter(|&i| i != k) {
                    let factor = rows[i * width + k];
                    for j in k..width {
                        rows[i * width + j] -= factor * rows[k * width + j];
                    }
                }
            }
            let to = &mut y[matrix * n * n..][..n * n];
            for i in 0..n {
                (0..n).for_each(|j| to[i * n + j] = T::put(rows[i * width + n + j]));
            }
        }
    }
}

impl Algorithm for Inverse {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("inverse: a result and scratch") };
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs[0].slice(), scratch.slice()));
    }

    fn scratch(&self) -> usize {
        (2 * self.n * self.n).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inverse(n: usize, x: &[f64]) -> Vec<f64> {
        let (mut y, mut scratch) = (vec![0f64; x.len()], vec![0f64; 2 * n * n]);
        let inverse = Inverse { matrices: x.len() / (n * n), n };
        inverse.run(&mut [y[..].as_mut().into(), scratch[..].as_mut().into()], &[x.into()]);
        y
    }

    #[test]
    fn of_small_matrices() {
        let x = [0.0, 2.0, 4.0, 0.0, 2.0, 1.0, 1.0, 1.0];
        assert_eq!(inverse(2, &x), [0.0, 0.25, 0.5, 0.0, 1.0, -1.0, -1.0, 2.0]);
        assert!(inverse(2, &[1.0, 2.0, 2.0, 4.0]).iter().any(|y| !y.is_finite()));
        assert_eq!(inverse(1, &[4.0, 0.5]), [0.25, 2.0]);
    }
}
