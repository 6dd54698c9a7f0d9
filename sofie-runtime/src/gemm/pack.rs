//! The packed form of the right-hand matrix: panels of 16 columns, each `[k][16]`, zero-padded.
//!
//! One form for every instruction set (a panel row is one virtual vector), so weights are packed once, when
//! the model is compiled, and lie in read-only memory ready to use.

use alloc::vec;
use alloc::vec::Vec;

use crate::simd::{Op, Simd};

/// Columns of a panel: the lanes of one virtual vector.
pub const NR: usize = 16;

/// Floats in the packed form of a `[k, n]` matrix: `ceil(n / 16) * k * 16`.
#[must_use]
pub const fn packed_len(k: usize, n: usize) -> usize {
    n.div_ceil(NR).saturating_mul(NR).saturating_mul(k)
}

/// How the elements of an unpacked `[k, n]` matrix lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[k, n]`, row-major: the right-hand side of `MatMul`.
    KN,
    /// `[n, k]`, row-major: the transposed weights of `Gemm` with `transB = 1`.
    NK,
}

/// Packs a `[k, n]` matrix into panels `[ceil(n / 16)][k][16]`; columns past `n` are 0.
///
/// ```
/// use sofie_infer_runtime::gemm::{Layout, pack};
/// let panel = pack(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3, Layout::KN);
/// assert_eq!(panel[..4], [1.0, 2.0, 3.0, 0.0]);
/// assert_eq!(panel[16..20], [4.0, 5.0, 6.0, 0.0]);
/// ```
///
/// # Panics
/// When `b` does not have `k * n` elements.
#[must_use]
pub fn pack(b: &[f32], k: usize, n: usize, layout: Layout) -> Vec<f32> {
    assert_eq!(b.len(), k * n, "a [{k}, {n}] matrix");
    let (row, column) = match layout {
        Layout::KN => (n, 1),
        Layout::NK => (1, k),
    };
    let mut packed = vec![0.0; packed_len(k, n)];
    pack_into(&mut packed, b, k, n, row, column);
    packed
}

/// Packs the `[k, n]` matrix whose element `(p, j)` is `b[p * row_stride + j * column_stride]`.
///
/// # Panics
/// When `packed` is not [`packed_len`] long or an element lies outside `b`.
pub fn pack_into(packed: &mut [f32], b: &[f32], k: usize, n: usize, row_stride: usize, column_stride: usize) {
    assert_eq!(packed.len(), packed_len(k, n), "the packed form of a [{k}, {n}] matrix");
    for (panel, to) in packed.chunks_exact_mut((k * NR).max(1)).enumerate() {
        let first = panel * NR;
        let width = (n - first).min(NR);
        for (p, to) in to.chunks_exact_mut(NR).enumerate() {
            let from = p * row_stride + first * column_stride;
            for (j, to) in to.iter_mut().enumerate() {
                *to = if j < width { b[from + j * column_stride] } else { 0.0 };
            }
        }
    }
}

/// Elements of a panel that are moved one by one sooner than a block of 16 × 16 is transposed.
const FEW: usize = 48;

/// Packs a `[k, n]` matrix at strides, inside another kernel's dispatch (run it by [`Simd::outline`]).
pub(crate) struct PackPanels {
    pub(crate) to: *mut f32,
    pub(crate) from: *const f32,
    pub(crate) k: usize,
    pub(crate) n: usize,
    /// Floats from a row (a step of k) to the next.
    pub(crate) row: usize,
    /// Floats from a column to the next.
    pub(crate) column: usize,
}

impl Op for PackPanels {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let PackPanels { k, row, column, .. } = self;
        for first in (0..self.n).step_by(NR) {
            let n = NR.min(self.n - first);
            let (from, to) = (self.from.wrapping_add(first * column), self.to.wrapping_add(first * k));
            let columns = s.mask_first(n);
            // SAFETY: whoever made this promised that the matrix exists and `to` has room for its panels.
            unsafe {
                if column == 1 && n == NR {
                    for p in 0..k {
                        s.store_ptr(s.load_ptr(from.add(p * row)), to.add(p * NR));
                    }
                } else if column == 1 {
                    for p in 0..k {
                        let x = s.load_masked_ptr(from.add(p * row), columns, s.zero());
                        s.store_ptr(x, to.add(p * NR));
                    }
                } else if row == 1 && n * k > FEW {
                    let mut p = 0;
                    while p + NR <= k {
                        let mut block = [s.zero(); NR];
                        if n == NR {
                            for (j, x) in block.iter_mut().enumerate() {
                                *x = s.load_ptr(from.add(j * column + p));
                            }
                        } else {
                            for (j, x) in block.iter_mut().enumerate().take(n) {
                                *x = s.load_ptr(from.add(j * column + p));
                            }
                        }
                        s.transpose(&mut block);
                        for (i, &x) in block.iter().enumerate() {
                            s.store_ptr(x, to.add((p + i) * NR));
                        }
                        p += NR;
                    }
                    if p < k {
                        let steps = s.mask_first(k - p);
                        let mut block = [s.zero(); NR];
                        for (j, x) in block.iter_mut().enumerate().take(n) {
                            *x = s.load_masked_ptr(from.add(j * column + p), steps, s.zero());
                        }
                        s.transpose(&mut block);
                        for (i, &x) in block.iter().enumerate().take(k - p) {
                            s.store_ptr(x, to.add((p + i) * NR));
                        }
                    }
                } else {
                    for p in 0..k {
                        s.store_ptr(s.zero(), to.add(p * NR));
                        for j in 0..n {
                            *to.add(p * NR + j) = *from.add(p * row + j * column);
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_hold_columns() {
        for (k, n) in [(0, 5), (3, 0), (1, 1), (5, 15), (4, 16), (3, 17), (2, 40)] {
            let b: Vec<f32> = (0..k * n).map(|i| i as f32 + 1.0).collect();
            let transposed: Vec<f32> = (0..k * n).map(|i| b[i % k.max(1) * n + i / k.max(1)]).collect();
            let packed = pack(&b, k, n, Layout::KN);
            assert_eq!(packed, pack(&transposed, k, n, Layout::NK));
            assert_eq!(packed.len(), packed_len(k, n));
            for (i, &x) in packed.iter().enumerate() {
                let (panel, p, j) = (i / (k * NR), i / NR % k, i % NR);
                let column = panel * NR + j;
                assert_eq!(x, if column < n { b[p * n + column] } else { 0.0 }, "[{k}, {n}] at {i}");
            }
        }
    }
}
