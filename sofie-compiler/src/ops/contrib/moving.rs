//! Operators that move elements and that ONNX has under another name: `ExpandDims`, `UnfoldTensor`.

use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Tensor, ValueId, axis_in};
use crate::ops::Ctx;

/// `ExpandDims`: a new axis, whose position in the result is an operand.
pub(in crate::ops) fn expand_dims(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let axis = c.const_int(1, "axis")?.ok_or_else(|| Error::new("input 1 (axis) is missing"))?;
    let mut dims = c.shape(v).dims().to_vec();
    dims.insert(axis_in(axis, dims.len() + 1)?, Dim::ONE);
    Ok(vec![c.reshape(v, &dims)?])
}

/// `UnfoldTensor`: the slices of `size` elements that start every `step` along an axis, as a last axis (`torch.Tensor.unfold`).
pub(in crate::ops) fn unfold(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let rank = c.rank(v);
    let axis = c.axis("dim", Some(-1), rank)?;
    let size = c.attrs.require("size", c.attrs.int("size")?)?;
    let step = c.attrs.int_or("step", 1)?;
    let unfixed = || Error::new(format!("the extent {} has to be fixed", c.shape(v)[axis]));
    let extent = c.shape(v)[axis].fixed().ok_or_else(unfixed)?;
    if size < 1 || step < 1 || size > extent {
        return Err(Error::new(format!("slices of {size} elements every {step} of {extent}")));
    }
    let count = (extent - size) / step + 1;
    let index: Vec<i64> = (0..count).flat_map(|i| (0..size).map(move |j| i * step + j)).collect();
    let index = c.b.tensor(Tensor::of(&[count as usize, size as usize], &index));
    let slices = c.b.one(Op::Gather { axis, batch: 0 }, &[v, index])?;
    let perm: Vec<usize> = (0..=axis).chain(axis + 2..=rank).chain([axis + 1]).collect();
    Ok(vec![c.b.transpose(slices, &perm)?])
}
