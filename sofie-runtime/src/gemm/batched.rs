//! Products of which neither side is known ahead of time, at any strides.
use crate::Act;
/// `C = act(alpha * A B)` for every index of a batch.
///
/// Element `(i, p)` of A is at `i * a_row + p * a_column` from the batch item's start, element `(p, j)` of B at
/// `p * b_row + j * b_column`, element `(i, j)` of C at `i * c_row + j`. The batch item's start is the sum of
/// its indices times `a_batch`, `b_batch`, `c_batch`; a stride of 0 broadcasts. All strides count floats.
/// Only the first `batch_rank` entries of the batch arrays count.
///
/// Each output is one chain of fused multiply-adds in the order of k, from 0, then times `alpha` (if it is not
/// 1), then through the activation.
///
/// ```
/// use sofie_infer_runtime::{Act, gemm::BatchedGemm};
/// // Scores of 2 queries against 3 keys of 2 dimensions: Q Kᵀ / 2, both row-major.
/// let scores = BatchedGemm {
///     batch: [1, 0, 0, 0, 0, 0], batch_rank: 1, a_batch: [4, 0, 0, 0, 0, 0], b_batch: [6, 0, 0, 0, 0, 0],
///     c_batch: [6, 0, 0, 0, 0, 0], m: 2, k: 2, n: 3, a_row: 2, a_column: 1, b_row: 1, b_column: 2, c_row: 3,
///     alpha: 0.5, act: Act::None,
/// };
/// let (mut c, mut scratch) = ([0.0; 6], vec![0.0; scores.scratch()]);
/// scores.run(&mut c, &[1.0, 0.0, 0.0, 1.0], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut scratch);
/// assert_eq!(c, [0.5, 1.5, 2.5, 1.0, 2.0, 3.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BatchedGemm {
    /// Extents of the batch.
    pub batch: [usize; 6],
    /// How many of them count.
    pub batch_rank: usize,
    /// Strides of A along the batch.
    pub a_batch: [usize; 6],
    /// Strides of B along the batch.
    pub b_batch: [usize; 6],
    /// Strides of C along the batch.
    pub c_batch: [usize; 6],
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
    /// From a row of A to the next.
    pub a_row: usize,
    /// From a column of A to the next.
    pub a_column: usize,
    /// From a row of B to the next.
    pub b_row: usize,
    /// From a column of B to the next.
    pub b_column: usize,
    /// From a row of C to the next; its columns are contiguous.
    pub c_row: usize,
    /// Multiplies the sums.
    pub alpha: f32,
    /// Applied before the sums are stored.
    pub act: Act,
}

impl BatchedGemm {
    /// As documented on the type.
    pub const fn scratch(&self) -> usize {
        0
    }
    /// As documented on the type.
    pub fn run(&self, c: &mut [f32], a: &[f32], b: &[f32], _scratch: &mut [f32]) {
        let mut idx = [0usize; 6];
        loop {
            let o = |s: &[usize; 6]| (0..self.batch_rank).map(|i| idx[i] * s[i]).sum::<usize>();
            let (ao, bo, co) = (o(&self.a_batch), o(&self.b_batch), o(&self.c_batch));
            if self.batch[..self.batch_rank].contains(&0) {
                return;
            }
            for i in 0..self.m {
                for j in 0..self.n {
                    let mut s = 0f32;
                    for p in 0..self.k {
                        s = a[ao + i * self.a_row + p * self.a_column]
                            .mul_add(b[bo + p * self.b_row + j * self.b_column], s);
                    }
                    c[co + i * self.c_row + j] = self.act.apply(s * self.alpha);
                }
            }
            let mut d = self.batch_rank;
            loop {
                if d == 0 {
                    return;
                }
                d -= 1;
                idx[d] += 1;
                if idx[d] < self.batch[d] {
                    break;
                }
                idx[d] = 0;
            }
        }
    }
}
