//! Determinants, by elimination with partial pivots in `f64`.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src};

/// `y [matrices] ← x [matrices, n, n]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Det {
    /// How many.
    pub matrices: usize,
    /// Rows of each.
    pub n: usize,
}

impl Det {
    fn typed<T: Real>(&self, y: &mut [T], x: &[T], a: &mut [f64]) {
        let n = self.n;
        for (matrix, y) in y[..self.matrices].iter_mut().enumerate() {
            let from = &x[matrix * n * n..][..n * n];
            a.iter_mut().zip(from).for_each(|(a, x)| *a = x.get());
            let mut det = 1.0;
            for k in 0..n {
                let size = |i: usize| a[i * n + k].abs();
                let pivot = (k + 1..n).fold(k, |best, i| if size(i) > size(best) { i } else { best });
                if pivot != k {
                    (0..n).for_each(|j| a.swap(k * n + j, pivot * n + j));
                    det = -det;
                }
                let p = a[k * n + k];
                det *= p;
                if p == 0.0 {
                    break;
                }
                for i in k + 1..n {
                    let factor = a[i * n + k] / p;
                    for j in k + 1..n {
                        a[i * n + j] -= factor * a[k * n + j];
                    }
                }
            }
            *y = T::put(det);
        }
    }
}

impl Algorithm for Det {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("det: a result and scratch") };
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs[0].slice(), scratch.slice()));
    }

    fn scratch(&self) -> usize {
        (self.n * self.n).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_small_matrices() {
        let (mut y, mut scratch) = ([0f32; 2], [0f64; 4]);
        let x = [0f32, 2.0, 3.0, 4.0, 1.0, 2.0, 2.0, 4.0];
        let det = Det { matrices: 2, n: 2 };
        det.run(&mut [y[..].as_mut().into(), scratch[..].as_mut().into()], &[(&x[..]).into()]);
        assert_eq!(y, [-6.0, 0.0]);
    }
}
