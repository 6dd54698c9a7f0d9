//! Products of matrices of the types that have no kernels of their own: each element is one chain of (fused, for
//! floats) multiply-adds in the order of k; `f16` and `bf16` are summed in `f32`, integers wrap.

use super::Algorithm;
use crate::conv::number::{Arithmetic, Kernel, run_float};
use crate::map::{Dst, Src};
use crate::{DType, bf16, f16};

/// `c [B…, m, n] ← a, b`: the result dense, the operands at any strides that do not run backwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Extents of the batch, the axes that are not in use 1.
    pub batch: [usize; 6],
    /// Strides of `a` along the batch.
    pub a_batch: [usize; 6],
    /// Strides of `b` along the batch.
    pub b_batch: [usize; 6],
    /// Rows of a matrix of the result.
    pub m: usize,
    /// Terms of a sum.
    pub k: usize,
    /// Columns of a matrix of the result.
    pub n: usize,
    /// From row to row of `a`.
    pub a_row: usize,
    /// From column to column of `a`.
    pub a_column: usize,
    /// From row to row of `b`.
    pub b_row: usize,
    /// From column to column of `b`.
    pub b_column: usize,
}

/// Columns that are summed at once.
const COLUMNS: usize = 16;

struct Typed<'a, T> {
    shape: &'a Product,
    c: &'a mut [T],
    a: &'a [T],
    b: &'a [T],
}

/// Columns of a row alone that are summed at once.
const WIDE: usize = 64;

/// Rows that are summed at once: they share what is read of `b`.
const ROWS: usize = 4;

impl<T: Arithmetic> Kernel for Typed<'_, T> {
    #[inline(always)]
    fn run(mut self) {
        let p = self.shape;
        let (mut index, mut at) = ([0; 6], 0);
        let matrices: usize = p.batch.iter().product();
        for _ in 0..matrices {
            let offset = |strides: &[usize; 6]| index.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>();
            let (a, b) = (offset(&p.a_batch), offset(&p.b_batch));
            let mut column = 0;
            while column < p.n {
                let left = if p.b_column == 1 { p.n - column } else { 0 };
                // One row alone has more columns at once, so that there are enough sums for their latency.
                let wide = p.m < ROWS && left >= WIDE;
                let whole = left >= COLUMNS;
                let mut row = 0;
                while row < p.m {
                    let c = at + row * p.n + column;
                    let (a, b) = (a + row * p.a_row, b + column * p.b_column);
                    if whole && p.m - row >= ROWS {
                        self.block::<ROWS, COLUMNS>(c, a, b);
                        row += ROWS;
                        continue;
                    }
                    if wide {
                        self.block::<1, WIDE>(c, a, b);
                    } else if whole {
                        self.block::<1, COLUMNS>(c, a, b);
                    } else {
                        self.strided(c, a, b, COLUMNS.min(p.n - column));
                    }
                    row += 1;
                }
                column += if wide { WIDE } else { COLUMNS };
            }
            at += p.m * p.n;
            for axis in (0..6).rev() {
                index[axis] += 1;
                if index[axis] < p.batch[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
    }
}

impl<T: Arithmetic> Typed<'_, T> {
    /// `R` rows by `C` columns that are next to each other in `b`, from where the three begin.
    #[inline(always)]
    fn block<const R: usize, const C: usize>(&mut self, c: usize, a: usize, b: usize) {
        let p = self.shape;
        let mut sums = [[T::ZERO; C]; R];
        for l in 0..p.k {
            let Some(b) = self.b[b + l * p.b_row..].first_chunk::<C>() else { return };
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = self.a[a + r * p.a_row + l * p.a_column].widen();
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = T::mul_add(x, b.widen(), *sum);
                }
            }
        }
        for (r, sums) in sums.into_iter().enumerate() {
            let c = &mut self.c[c + r * p.n..][..C];
            c.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::narrow(sum));
        }
    }

    /// Some columns of a row, wherever they are.
    #[inline(always)]
    fn strided(&mut self, c: usize, a: usize, b: usize, columns: usize) {
        let p = self.shape;
        let mut sums = [T::ZERO; COLUMNS];
        for l in 0..p.k {
            let x = self.a[a + l * p.a_column].widen();
            let start = b + l * p.b_row;
            for (j, sum) in sums[..columns].iter_mut().enumerate() {
                *sum = T::mul_add(x, self.b[start + j * p.b_column].widen(), *sum);
            }
        }
        let c = &mut self.c[c..][..columns];
        c.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::narrow(sum));
    }
}

impl Algorithm for Product {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let c = &mut ys[0];
        macro_rules! typed {
            ($t:ty, $run:path) => {
                $run(Typed::<$t> { shape: self, c: c.slice(), a: xs[0].slice(), b: xs[1].slice() })
            };
        }
        match xs[0].dtype() {
            DType::F64 => typed!(f64, run_float),
            DType::F16 => typed!(f16, run_float),
            DType::BF16 => typed!(bf16, run_float),
            DType::I8 => typed!(i8, Kernel::run),
            DType::I16 => typed!(i16, Kernel::run),
            DType::I32 => typed!(i32, Kernel::run),
            DType::I64 => typed!(i64, Kernel::run),
            DType::U8 => typed!(u8, Kernel::run),
            DType::U16 => typed!(u16, Kernel::run),
            DType::U32 => typed!(u32, Kernel::run),
            DType::U64 => typed!(u64, Kernel::run),
            other => panic!("a plain product of {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::for_each_level;
    use std::{vec, vec::Vec};

    #[test]
    fn any_type_any_strides() {
        // b is transposed, a is broadcast over the batch.
        let shape = Product {
            batch: [2, 1, 1, 1, 1, 1],
            a_batch: [0; 6],
            b_batch: [6, 0, 0, 0, 0, 0],
            m: 1,
            k: 3,
            n: 2,
            a_row: 3,
            a_column: 1,
            b_row: 1,
            b_column: 3,
        };
        let (a, b) = ([1i64, 2, 3], [1i64, 0, 0, 0, 1, 0, 1, 1, 1, 2, 2, 2]);
        let mut c = [0i64; 4];
        shape.run(&mut [c[..].as_mut().into()], &[(&a[..]).into(), (&b[..]).into()]);
        assert_eq!(c, [1, 2, 6, 12]);
        for_each_level(|_| {
            let mut c = [0f64; 4];
            let (a, b) = (a.map(|x| x as f64), b.map(|x| x as f64));
            shape.run(&mut [c[..].as_mut().into()], &[(&a[..]).into(), (&b[..]).into()]);
            assert_eq!(c, [1.0, 2.0, 6.0, 12.0]);
        });
    }

    #[test]
    fn each_element_is_one_chain() {
        for (m, k, n) in [(1, 5, 16), (4, 3, 16), (6, 9, 37), (9, 1, 50), (5, 0, 17), (2, 6, 150)] {
            let number = |i: usize| (i * 37 % 101) as f64 / 7.0 - 6.0;
            let (a, b): (Vec<f64>, Vec<f64>) = ((0..m * k).map(number).collect(), (9..9 + k * n).map(number).collect());
            let chain = |i: usize| (0..k).fold(0f64, |s, l| a[i / n * k + l].mul_add(b[l * n + i % n], s));
            let expected: Vec<u64> = (0..m * n).map(|i| chain(i).to_bits()).collect();
            let (batch, none) = ([1; 6], [0; 6]);
            let (a_row, b_row) = (k, n);
            let shape =
                Product { batch, a_batch: none, b_batch: none, m, k, n, a_row, a_column: 1, b_row, b_column: 1 };
            for_each_level(|level| {
                let mut c = vec![7f64; m * n];
                shape.run(&mut [c[..].as_mut().into()], &[(&a[..]).into(), (&b[..]).into()]);
                let c: Vec<u64> = c.iter().map(|x| x.to_bits()).collect();
                assert_eq!(c, expected, "{m} x {k} x {n}, {}", level.name());
            });
        }
    }
}
