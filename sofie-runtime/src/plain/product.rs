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

impl<T: Arithmetic> Kernel for Typed<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Typed { shape: p, c, a, b } = self;
        let (mut index, mut at) = ([0; 6], 0);
        let matrices: usize = p.batch.iter().product();
        for _ in 0..matrices {
            let offset = |strides: &[usize; 6]| index.iter().zip(strides).map(|(i, s)| i * s).sum::<usize>();
            let (a0, b0) = (offset(&p.a_batch), offset(&p.b_batch));
            for i in 0..p.m {
                let row = &mut c[at + i * p.n..][..p.n];
                for (block, out) in row.chunks_mut(COLUMNS).enumerate() {
                    let mut sums = [T::ZERO; COLUMNS];
                    for l in 0..p.k {
                        let x = a[a0 + i * p.a_row + l * p.a_column].widen();
                        let start = b0 + l * p.b_row + block * COLUMNS * p.b_column;
                        for (j, sum) in sums[..out.len()].iter_mut().enumerate() {
                            *sum = T::mul_add(x, b[start + j * p.b_column].widen(), *sum);
                        }
                    }
                    out.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::narrow(sum));
                }
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
}
