//! Layer normalisations with the sum before them (`Skip…`), without a mean (`Simplified…`), and behind embeddings.

use super::refused;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Shape, ValueId};
use crate::ops::Ctx;
use crate::ops::constant::filled;
use crate::ops::expr::{num, x, y, z};
use crate::ops::norm::{layer_normal, rms_normal};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;

/// `SimplifiedLayerNormalization`, which ONNX Runtime puts into `ai.onnx`.
pub(in crate::ops) fn simplified(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, scale) = (c.required(0, "X")?, c.required(1, "scale")?);
    let epsilon = c.attrs.float_or("epsilon", 1e-5)?;
    c.attrs.ignore(&["stash_type"]);
    let axis = c.axis("axis", Some(-1), c.rank(v))?;
    let mut outputs = vec![rms_normal(c, v, axis, epsilon, scale)?];
    if c.wants(1) {
        let wide = if c.dtype(v) == DType::F64 { DType::F64 } else { DType::F32 };
        let v = c.b.cast(v, wide)?;
        let square = c.map(x() * x(), &[v])?;
        let mean = c.b.one(Op::Reduce(ReduceKind::Mean, (axis..c.rank(v)).collect()), &[square])?;
        outputs.push(c.map(num(1.0) / (x() + num(epsilon)).unary(Unary::Sqrt), &[mean])?);
    }
    Ok(outputs)
}

/// `input + skip + bias`, whose shape is that of the input.
fn sum(c: &mut Ctx<'_, '_>, bias: usize) -> Result<ValueId> {
    let (v, skip) = (c.required(0, "input")?, c.required(1, "skip")?);
    let shape = c.shape(v);
    let sum = match c.optional(bias)? {
        Some(bias) => c.map(x() + z() + y(), &[v, skip, bias])?,
        None => c.map(x() + y(), &[v, skip])?,
    };
    if c.shape(sum) != shape {
        return Err(Error::new(format!("skip {} does not broadcast to {shape}", c.shape(skip))));
    }
    if c.wants(1) || c.wants(2) {
        return Err(refused(
            "the outputs mean and inv_std_var, which training alone needs, are not supported",
        ));
    }
    Ok(sum)
}

/// `SkipLayerNormalization`: of `input + skip + bias`, which is output 3.
pub(in crate::ops) fn skip(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (gamma, beta) = (c.required(2, "gamma")?, c.optional(3)?);
    let epsilon = c.attrs.float_or("epsilon", 1e-12)?;
    let sum = sum(c, 4)?;
    let result = layer_normal(c, sum, c.rank(sum) - 1, epsilon, (gamma, beta))?;
    Ok(vec![result, sum, sum, sum])
}

/// `SkipSimplifiedLayerNormalization`.
pub(in crate::ops) fn skip_simplified(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let gamma = c.required(2, "gamma")?;
    let epsilon = c.attrs.float_or("epsilon", 1e-12)?;
    let sum = sum(c, 3)?;
    let result = rms_normal(c, sum, c.rank(sum) - 1, epsilon, gamma)?;
    Ok(vec![result, sum, sum, sum])
}

/// `EmbedLayerNormalization`: of the sum of the embeddings of words, positions and segments. Output 1 counts the ones of
/// each row of the mask (0 without a mask), output 2 is the sum.
pub(in crate::ops) fn embed(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (ids, words, positions) =
        (c.required(0, "input_ids")?, c.required(2, "word_embedding")?, c.required(3, "position_embedding")?);
    let (gamma, beta) = (c.required(5, "gamma")?, c.optional(6)?);
    let epsilon = c.attrs.float_or("epsilon", 1e-12)?;
    let shape = c.shape(ids);
    let [batch, len] = shape.dims() else {
        return Err(Error::new(format!("input_ids has shape {shape}; [batch, sequence] is needed")));
    };
    let rows = Op::Gather { axis: 0, batch: 0 };
    let word = c.b.one(rows.clone(), &[words, ids])?;
    let position = match c.optional(8)? {
        Some(at) => c.b.one(rows.clone(), &[positions, at])?,
        None => {
            let first = c.b.slice_axis(positions, 0, Dim::Fixed(0), len.clone())?;
            c.b.to_rank(first, 3)?
        }
    };
    let mut sum = c.map(x() + y(), &[word, position])?;
    match (c.optional(1)?, c.optional(4)?) {
        (Some(segments), Some(table)) => {
            let segment = c.b.one(rows, &[table, segments])?;
            sum = c.map(x() + y(), &[sum, segment])?;
        }
        (None, None) => {}
        _ => return Err(Error::new("segment_ids and segment_embedding are used together or not at all")),
    }
    let result = layer_normal(c, sum, 2, epsilon, (gamma, beta))?;
    if c.attrs.int_or("mask_index_type", 1)? > 1 {
        return Err(refused("mask_index_type 2 is not supported"));
    }
    let count = match c.optional(7)? {
        Some(mask) => {
            let ones = c.map(x().eq(num(1.0)).cast(DType::I32), &[mask])?;
            let count = c.b.one(Op::Reduce(ReduceKind::Sum, vec![1]), &[ones])?;
            c.b.reshape(count, Shape::new(vec![batch.clone()]))?
        }
        None => filled(c, 0i32.into(), vec![batch.clone()])?,
    };
    Ok(vec![result, count, sum])
}
