//! Scaled dot-product attention, in `f64`. A query that the mask hides every key from is NaN, as a softmax of
//! nothing but -∞ is, unless that is guarded; with no keys at all the result is 0.

use super::index::{broadcast_strides, walk};
use super::rows::softmax;
use super::wide::Wide;
use crate::ir::{Attention, Invalid, Masking, Tensor};

pub(super) fn attention(op: &Attention, x: &[&Tensor], dims: &[usize]) -> Result<Tensor, Invalid> {
    let (&[batch, heads, queries, depth], &[_, groups, keys, width]) = (x[0].dims(), x[2].dims()) else {
        return Err(Invalid::new("attention over tensors that have not four axes"));
    };
    let (q, k, v) = (f64::of(x[0]), f64::of(x[1]), f64::of(x[2]));
    let mask = x.get(3).filter(|_| op.mask.is_some()).map(|t| (f64::of(t), broadcast_strides(t.dims())));
    let mut y = vec![0.0; dims.iter().product()];
    let mut scores = vec![0.0; keys];
    let strides = [(heads * queries) as isize, queries as isize, 1];
    let steps = mask.as_ref().map_or(vec![0; 4], |(_, strides)| strides.clone());
    walk(&[batch, heads, queries], [&strides, &steps[..3]], |[row, masked]| {
        let row = row as usize;
        let (head, query) = (row / queries, row % queries);
        // Heads in a row share keys and values.
        let shared = head / heads * groups + head % heads / (heads / groups).max(1);
        let q = &q[row * depth..][..depth];
        for (s, score) in scores.iter_mut().enumerate() {
            let k = &k[(shared * keys + s) * depth..][..depth];
            let product: f64 = q.iter().zip(k).map(|(q, k)| q * k).sum();
            let mask = mask.as_ref().map_or(0.0, |(m, steps)| m[masked as usize + s * steps[3] as usize]);
            // Key s is hidden beyond query + S - L.
            let hidden = op.causal && s + queries > query + keys;
            *score = match op.mask {
                _ if hidden => f64::NEG_INFINITY,
                Some(Masking::Replace) if mask != 0.0 => mask,
                _ => f64::from(op.scale) * product + mask,
            };
        }
        softmax(&mut scores);
        if op.guarded && scores.iter().any(|p| p.is_nan()) {
            scores.fill(0.0);
        }
        let y = &mut y[row * width..][..width];
        for (s, p) in scores.iter().enumerate() {
            let v = &v[(shared * keys + s) * width..][..width];
            y.iter_mut().zip(v).for_each(|(y, v)| *y += p * v);
        }
        Ok(())
    })?;
    f64::tensor(x[0].dtype(), dims, &y)
}
