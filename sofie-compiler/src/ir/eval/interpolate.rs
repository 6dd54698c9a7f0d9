//! Resampling along one axis: a chain of fused multiply-adds in the order of the taps, in `f32` (`f64` for
//! `f64`); integers are computed in `f64` and truncated. One tap of weight 1 copies.

use super::index::around;
use super::product::{Layout, Product};
use super::wide::tensor;
use crate::ir::{Interpolate, Invalid, Tensor};
use sofie_infer_runtime::DType;

pub(super) fn interpolate(op: &Interpolate, x: &Tensor, dims: &[usize]) -> Result<Tensor, Invalid> {
    if op.taps == 1 && op.weight.iter().all(|w| *w == 1.0) {
        return copied(op, x, dims);
    }
    match x.dtype() {
        DType::F32 | DType::F16 | DType::BF16 => typed::<f32>(op, x, dims, |w| w),
        _ => typed::<f64>(op, x, dims, f64::from),
    }
}

fn copied(op: &Interpolate, x: &Tensor, dims: &[usize]) -> Result<Tensor, Invalid> {
    let (outer, n, inner) = around(x.dims(), op.axis);
    let run = inner * x.dtype().size();
    let mut y = Vec::with_capacity(dims.iter().product::<usize>() * x.dtype().size());
    for o in 0..outer {
        for &i in &op.index {
            y.extend_from_slice(&x.bytes()[(o * n + i as usize) * run..][..run]);
        }
    }
    tensor(x.dtype(), dims, y)
}

fn typed<T: Product>(
    op: &Interpolate,
    x: &Tensor,
    dims: &[usize],
    weight: impl Fn(f32) -> T,
) -> Result<Tensor, Invalid> {
    let (outer, n, inner) = around(x.dims(), op.axis);
    let v = T::of(x);
    let mut y = vec![T::default(); dims.iter().product()];
    let layout = Layout { m: 1, k: 1, n: inner, lda: 1, ldb: inner, ldc: inner };
    for (row, y) in y.chunks_exact_mut(inner.max(1)).enumerate() {
        let (o, j) = (row / dims[op.axis], row % dims[op.axis]);
        debug_assert!(o < outer);
        for tap in j * op.taps..(j + 1) * op.taps {
            let at = (o * n + op.index[tap] as usize) * inner;
            T::multiply(layout, &[weight(op.weight[tap])], &v[at..], y);
        }
    }
    T::tensor(x.dtype(), dims, &y)
}
