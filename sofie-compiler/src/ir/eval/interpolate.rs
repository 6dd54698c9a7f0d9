//! Resampling along one axis: a chain of fused multiply-adds in the order of the taps, in `f32` (`f64` for
//! `f64`); integers are computed in `f64` and truncated. One tap without a weight copies.

use super::index::around;
use super::product::{Layout, Product};
use super::wide::tensor;
use crate::ir::{Invalid, Tensor};
use sofie_infer_runtime::DType;

pub(super) fn interpolate(axis: usize, operands: &[&Tensor], dims: &[usize]) -> Result<Tensor, Invalid> {
    let (x, taps) = (operands[0], operands[1].dims()[1]);
    let index: Vec<usize> = operands[1].to_f64s().iter().map(|&i| i as usize).collect();
    if !dims.contains(&0) && index.iter().any(|&i| i >= x.dims()[axis]) {
        return Err(Invalid::new("an interpolation reads outside"));
    }
    let Some(weight) = operands.get(2) else { return copied(axis, x, &index, dims) };
    let table = Table { axis, taps, index, weight: weight.to_f64s() };
    match x.dtype() {
        DType::F32 | DType::F16 | DType::BF16 => table.typed::<f32>(x, dims, |w| w as f32),
        _ => table.typed::<f64>(x, dims, |w| w),
    }
}

fn copied(axis: usize, x: &Tensor, index: &[usize], dims: &[usize]) -> Result<Tensor, Invalid> {
    let (outer, n, inner) = around(x.dims(), axis);
    let run = inner * x.dtype().size();
    let size = dims.iter().product::<usize>() * x.dtype().size();
    let mut y = Vec::with_capacity(size);
    for o in (0..outer).take_while(|_| size > 0) {
        for i in index {
            y.extend_from_slice(&x.bytes()[(o * n + i) * run..][..run]);
        }
    }
    tensor(x.dtype(), dims, y)
}

struct Table {
    axis: usize,
    taps: usize,
    index: Vec<usize>,
    weight: Vec<f64>,
}

impl Table {
    fn typed<T: Product>(
        &self,
        x: &Tensor,
        dims: &[usize],
        weight: impl Fn(f64) -> T,
    ) -> Result<Tensor, Invalid> {
        let (outer, n, inner) = around(x.dims(), self.axis);
        let v = T::of(x);
        let mut y = vec![T::default(); dims.iter().product()];
        let layout = Layout { m: 1, k: 1, n: inner, lda: 1, ldb: inner, ldc: inner };
        for (row, y) in y.chunks_exact_mut(inner.max(1)).enumerate() {
            let (o, j) = (row / dims[self.axis], row % dims[self.axis]);
            debug_assert!(o < outer);
            for tap in j * self.taps..(j + 1) * self.taps {
                let at = (o * n + self.index[tap]) * inner;
                T::multiply(layout, &[weight(self.weight[tap])], &v[at..], y);
            }
        }
        T::tensor(x.dtype(), dims, &y)
    }
}
