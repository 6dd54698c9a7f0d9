//! Concatenation and padding: whole rows of bytes are copied.

use super::index::{split_inner, strides, walk};
use super::wide::tensor;
use crate::ir::{Dim, Invalid, Tensor};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Scalar;

pub(super) fn concat(x: &[&Tensor], axis: usize, dtype: DType, dims: &[usize]) -> Result<Tensor, Invalid> {
    let outer: usize = dims[..axis].iter().product();
    let mut y = Vec::with_capacity(dims.iter().product::<usize>() * dtype.size());
    for i in 0..outer {
        for t in x {
            let run = t.dims()[axis..].iter().product::<usize>() * dtype.size();
            y.extend_from_slice(&t.bytes()[i * run..][..run]);
        }
    }
    tensor(dtype, dims, y)
}

/// Negative pads cut elements away.
pub(super) fn pad(x: &Tensor, before: &[Dim], value: Scalar, dims: &[usize]) -> Result<Tensor, Invalid> {
    let y = Tensor::filled(value, dims);
    // Per axis, the part of x that stays: its place in x and in y, and its extent.
    let (mut from, mut to, mut extents) = (0, 0, Vec::new());
    let (x_strides, y_strides) = (strides(x.dims()), strides(dims));
    for (i, &n) in dims.iter().enumerate() {
        let before = before[i].fixed().ok_or_else(|| Invalid::new("a pad of unknown extent"))?;
        let (shift, n, m) = (i128::from(before), n as i128, x.dims()[i] as i128);
        let (first, end) = ((-shift).max(0), m.min(n - shift));
        if end <= first {
            return Ok(y);
        }
        from += first as isize * x_strides[i];
        to += (first + shift) as isize * y_strides[i];
        extents.push((end - first) as usize);
    }
    let size = x.dtype().size();
    let (outer, run) = split_inner(&extents);
    let mut bytes = y.bytes().to_vec();
    walk(outer, [&x_strides, &y_strides], |[i, o]| {
        let row = &x.bytes()[(from + i) as usize * size..][..run * size];
        bytes[(to + o) as usize * size..][..run * size].copy_from_slice(row);
        Ok(())
    })?;
    tensor(x.dtype(), dims, bytes)
}
