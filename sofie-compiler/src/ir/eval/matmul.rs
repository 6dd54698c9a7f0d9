//! `MatMul`: one product of matrices for each batch.

use super::index::{broadcast_strides, walk};
use super::product::{Layout, Product, begin, extras, finish, multiplied};
use crate::ir::{Epilogue, Invalid, Tensor};

pub(super) fn matmul(e: &Epilogue, x: &[&Tensor], dims: &[usize]) -> Result<Tensor, Invalid> {
    multiplied!("matmul", x[0].dtype(), T => typed::<T>(e, x, dims))
}

fn typed<T: Product>(e: &Epilogue, x: &[&Tensor], dims: &[usize]) -> Result<Tensor, Invalid> {
    let (bias, residual) = extras(e, x);
    let (lead, (m, k, n)) =
        (dims.len() - 2, (dims[dims.len() - 2], x[1].dims()[dims.len() - 2], dims[dims.len() - 1]));
    let mut y: Vec<T> = begin(bias, dims[..lead + 1].iter().product(), n);
    let (a, b) = (T::of(x[0]), T::of(x[1]));
    let batches = |t: &Tensor| broadcast_strides(&t.dims()[..lead]);
    let mut c = y.chunks_exact_mut((m * n).max(1));
    walk(&dims[..lead], [&batches(x[0]), &batches(x[1])], |[i, j]| {
        if let Some(c) = c.next() {
            let layout = Layout { m, k, n, lda: k, ldb: n, ldc: n };
            T::multiply(layout, &a[i as usize * m * k..], &b[j as usize * k * n..], c);
        }
        Ok(())
    })?;
    finish(y, residual, e.act, x[0].dtype(), dims)
}
