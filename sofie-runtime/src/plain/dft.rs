//! Discrete Fourier transforms of any length, in `f64`: the result of a real network's STFT is compared with 1e-7.
//! Powers of two by the recursion of Cooley and Tukey, in place; other lengths term by term, with the twiddle
//! factors in a table.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src, Unary};
use crate::math::scalar64;

/// `y ← x [outer, extent, inner, 1 or 2]`: `n` points along the axis, cut or padded with zeros to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dft {
    /// Extents before the axis, multiplied.
    pub outer: usize,
    /// Elements along the axis in `x`.
    pub extent: usize,
    /// The length of the transform.
    pub n: usize,
    /// Elements along the axis in `y`, at most `n`.
    pub kept: usize,
    /// Extents behind the axis, but for the last, multiplied.
    pub inner: usize,
    /// `x` has imaginary parts.
    pub complex_in: bool,
    /// `y` has imaginary parts.
    pub complex_out: bool,
    /// `x` holds the first `n / 2 + 1` points of `n` that are conjugate to one another.
    pub half: bool,
    /// The inverse, divided by `n`.
    pub inverse: bool,
}

/// The twiddle factor `e^(sign·2πi·k/n)`; multiples of an eighth of a turn are exact where they can be.
fn twiddle(k: usize, n: usize, sign: f64) -> (f64, f64) {
    let (k, n) = (k % n, n as f64);
    let turn = 8.0 * k as f64;
    if turn % n == 0.0 {
        let h = core::f64::consts::FRAC_1_SQRT_2;
        let (c, s) = [(1.0, 0.0), (h, h), (0.0, 1.0), (-h, h), (-1.0, 0.0), (-h, -h), (0.0, -1.0), (h, -h)]
            [(turn / n) as usize % 8];
        return (c, sign * s);
    }
    let angle = 2.0 * core::f64::consts::PI * k as f64 / n;
    (scalar64::unary(Unary::Cos, angle), sign * scalar64::unary(Unary::Sin, angle))
}

impl Dft {
    fn typed<T: Real>(&self, y: &mut [T], x: &[T], scratch: &mut [f64]) {
        let n = self.n;
        let sign = if self.inverse { 1.0 } else { -1.0 };
        let (table, rest) = scratch.split_at_mut(2 * n);
        let (points, rest) = rest.split_at_mut(2 * n);
        let sums = &mut rest[..2 * n];
        for k in 0..n {
            (table[2 * k], table[2 * k + 1]) = twiddle(k, n, sign);
        }
        let (wide_in, wide_out) = (1 + usize::from(self.complex_in), 1 + usize::from(self.complex_out));
        let scale = if self.inverse { 1.0 / n as f64 } else { 1.0 };
        for o in 0..self.outer {
            for i in 0..self.inner {
                points.fill(0.0);
                for j in 0..self.extent.min(n) {
                    let at = ((o * self.extent + j) * self.inner + i) * wide_in;
                    points[2 * j] = x[at].get();
                    points[2 * j + 1] = if self.complex_in { x[at + 1].get() } else { 0.0 };
                }
                if self.half {
                    for j in n / 2 + 1..n {
                        points[2 * j] = points[2 * (n - j)];
                        points[2 * j + 1] = -points[2 * (n - j) + 1];
                    }
                }
                transform(points, sums, table, n);
                for j in 0..self.kept {
                    let at = ((o * self.kept + j) * self.inner + i) * wide_out;
                    y[at] = T::put(sums[2 * j] * scale);
                    if self.complex_out {
                        y[at + 1] = T::put(sums[2 * j + 1] * scale);
                    }
                }
            }
        }
    }
}

/// `sums[k] = Σ points[j]·table[j·k mod n]`.
fn transform(points: &[f64], sums: &mut [f64], table: &[f64], n: usize) {
    if n.is_power_of_two() {
        let bits = n.trailing_zeros();
        for j in 0..n {
            let from = if bits == 0 { 0 } else { j.reverse_bits() >> (usize::BITS - bits) };
            sums[2 * j] = points[2 * from];
            sums[2 * j + 1] = points[2 * from + 1];
        }
        let mut half = 1;
        while half < n {
            for start in (0..n).step_by(2 * half) {
                for j in 0..half {
                    let w = j * (n / (2 * half));
                    let (c, s) = (table[2 * w], table[2 * w + 1]);
                    let (a, b) = (2 * (start + j), 2 * (start + j + half));
                    let (re, im) = (sums[b] * c - sums[b + 1] * s, sums[b] * s + sums[b + 1] * c);
                    (sums[b], sums[b + 1]) = (sums[a] - re, sums[a + 1] - im);
                    (sums[a], sums[a + 1]) = (sums[a] + re, sums[a + 1] + im);
                }
            }
            half *= 2;
        }
        return;
    }
    for k in 0..n {
        let (mut re, mut im, mut w) = (0.0, 0.0, 0);
        for j in 0..n {
            let (c, s) = (table[2 * w], table[2 * w + 1]);
            re += points[2 * j] * c - points[2 * j + 1] * s;
            im += points[2 * j] * s + points[2 * j + 1] * c;
            w += k;
            if w >= n {
                w -= n;
            }
        }
        (sums[2 * k], sums[2 * k + 1]) = (re, im);
    }
}

impl Algorithm for Dft {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("dft: a result and scratch") };
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs[0].slice(), scratch.slice()));
    }

    fn scratch(&self) -> usize {
        6 * self.n.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for n in [1usize, 2, 3, 6, 8, 12] {
            let x: Vec<f64> = (0..2 * n).map(|i| ((i * 7 + 3) % 5) as f64 - 1.5).collect();
            let there = Dft {
                outer: 1,
                extent: n,
                n,
                kept: n,
                inner: 1,
                complex_in: true,
                complex_out: true,
                half: false,
                inverse: false,
            };
            let (mut y, mut z, mut scratch) = (vec![0f64; 2 * n], vec![0f64; 2 * n], vec![0f64; 6 * n]);
            there.run(&mut [y[..].as_mut().into(), scratch[..].as_mut().into()], &[(&x[..]).into()]);
            let sum: f64 = x.iter().step_by(2).sum();
            assert!((y[0] - sum).abs() < 1e-12);
            let back = Dft { inverse: true, ..there };
            back.run(&mut [z[..].as_mut().into(), scratch[..].as_mut().into()], &[(&y[..]).into()]);
            assert!(x.iter().zip(&z).all(|(a, b)| (a - b).abs() < 1e-12), "{n}: {x:?} {z:?}");
        }
    }
}
