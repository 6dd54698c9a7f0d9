//! `TopK`: a stable sort of each row. NaN counts as larger than every number, as in PyTorch and NumPy.

use super::index::split_inner;
use super::wide::{Wide, widened};
use crate::ir::{Invalid, Tensor};

/// Values and indices.
pub(super) fn top_k(x: &Tensor, largest: bool, dims: &[usize]) -> Result<Vec<Tensor>, Invalid> {
    let (n, k) = (split_inner(x.dims()).1, split_inner(dims).1);
    widened!(x, v => {
        let (mut values, mut indices) = (Vec::new(), Vec::new());
        for row in v.chunks_exact(n.max(1)) {
            let mut order: Vec<usize> = (0..n).collect();
            order.sort_by(|&i, &j| if largest { row[j].order(row[i]) } else { row[i].order(row[j]) });
            values.extend(order[..k].iter().map(|&i| row[i]));
            indices.extend(order[..k].iter().map(|&i| i as i64));
        }
        Ok(vec![Wide::tensor(x.dtype(), dims, &values)?, Tensor::of(dims, &indices)])
    })
}
