//! Running sums and products along an axis: floats in `f64`, integers wrapping.

use super::Algorithm;
use super::number::Real;
use crate::DType;
use crate::conv::number::Arithmetic;
use crate::map::{Dst, Src};

/// `y ← x`, both `[outer, n, inner]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Product rather than sum.
    pub product: bool,
    /// Element i holds what stands before i.
    pub exclusive: bool,
    /// From the end.
    pub reverse: bool,
    /// Extents before the axis, multiplied.
    pub outer: usize,
    /// The extent of the axis.
    pub n: usize,
    /// Extents behind the axis, multiplied.
    pub inner: usize,
}

/// Sums that are kept at once.
const TOGETHER: usize = 32;

impl Scan {
    fn walk<T: Copy, W: Copy>(
        &self,
        (y, x): (&mut [T], &[T]),
        start: W,
        step: impl Fn(W, T) -> W,
        narrow: impl Fn(W) -> T,
    ) {
        let len = self.outer * self.n * self.inner;
        let (y, x) = (&mut y[..len], &x[..len]);
        for o in 0..self.outer {
            // Neighbours side by side, so that what is read and written lies together.
            for first in (0..self.inner).step_by(TOGETHER) {
                let together = TOGETHER.min(self.inner - first);
                let mut so_far = [start; TOGETHER];
                for j in 0..self.n {
                    let j = if self.reverse { self.n - 1 - j } else { j };
                    let at = (o * self.n + j) * self.inner + first;
                    let (y, x) = (&mut y[at..][..together], &x[at..][..together]);
                    for ((y, &x), so_far) in y.iter_mut().zip(x).zip(&mut so_far) {
                        let next = step(*so_far, x);
                        *y = narrow(if self.exclusive { *so_far } else { next });
                        *so_far = next;
                    }
                }
            }
        }
    }

    fn reals<T: Real>(&self, y: &mut [T], x: &[T]) {
        let product = self.product;
        let step = |a: f64, x: T| if product { a * x.get() } else { a + x.get() };
        self.walk((y, x), if product { 1.0 } else { 0.0 }, step, T::put);
    }

    fn integers<T: Arithmetic>(&self, y: &mut [T], x: &[T], one: T) {
        let (product, one) = (self.product, one.widen());
        let step =
            |a: T::Sum, x: T| if product { T::mul_add(a, x.widen(), T::ZERO) } else { T::add(a, x.widen()) };
        self.walk((y, x), if product { one } else { T::ZERO }, step, T::narrow);
    }
}

impl Algorithm for Scan {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let (y, x) = (&mut ys[0], xs[0]);
        macro_rules! integer {
            ($t:ty) => {
                self.integers::<$t>(y.slice(), x.slice(), 1)
            };
        }
        match x.dtype() {
            DType::I8 => integer!(i8),
            DType::I16 => integer!(i16),
            DType::I32 => integer!(i32),
            DType::I64 => integer!(i64),
            DType::U8 => integer!(u8),
            DType::U16 => integer!(u16),
            DType::U32 => integer!(u32),
            DType::U64 => integer!(u64),
            float => reals!(float, T => self.reals::<T>(y.slice(), x.slice())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_from_either_end() {
        let x = [1f32, 2.0, 3.0, 4.0];
        let run = |product, exclusive, reverse| {
            let mut y = [0f32; 4];
            let scan = Scan { product, exclusive, reverse, outer: 1, n: 2, inner: 2 };
            scan.run(&mut [y[..].as_mut().into()], &[(&x[..]).into()]);
            y
        };
        assert_eq!(run(false, false, false), [1.0, 2.0, 4.0, 6.0]);
        assert_eq!(run(false, true, true), [3.0, 4.0, 0.0, 0.0]);
        assert_eq!(run(true, false, true), [3.0, 8.0, 3.0, 4.0]);
        let (mut y, x) = ([0i8; 3], [100i8, 100, 1]);
        let scan = Scan { product: false, exclusive: false, reverse: false, outer: 1, n: 3, inner: 1 };
        scan.run(&mut [y[..].as_mut().into()], &[(&x[..]).into()]);
        assert_eq!(y, [100, -56, -55]);
    }

    #[test]
    fn neighbours_do_not_mix() {
        let (outer, n, inner) = (2, 3, 70);
        let x: [i32; 420] = core::array::from_fn(|i| (i * i % 101) as i32);
        for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut y = [0i32; 420];
            let scan = Scan { product: false, exclusive, reverse, outer, n, inner };
            scan.run(&mut [y[..].as_mut().into()], &[(&x[..]).into()]);
            for (at, y) in y.into_iter().enumerate() {
                let (o, j, i) = (at / (n * inner), at / inner % n, at % inner);
                let before = |l: usize| if reverse { l > j } else { l < j } || !exclusive && l == j;
                let sum: i32 = (0..n).filter(|l| before(*l)).map(|l| x[(o * n + l) * inner + i]).sum();
                assert_eq!(y, sum, "{at} {exclusive} {reverse}");
            }
        }
    }
}
