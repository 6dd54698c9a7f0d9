//! `QLinear…`: elementwise operators, pools and softmax from quantised numbers to quantised numbers, by way of f32.

use super::refused;
use crate::error::{Error, Result};
use crate::ir::{Op, PoolKind, ReduceKind, ValueId};
use crate::ops::Ctx;
use crate::ops::expr::{Expr, num, x, y, z};
use crate::ops::quantize::{centred, quantised_conv, saturated};
use crate::ops::{pool, softmax, window};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};

/// The scale or zero point at `i`, which is one for all.
fn single(c: &mut Ctx<'_, '_>, i: usize, what: &str) -> Result<Option<ValueId>> {
    let Some(p) = c.optional(i)? else { return Ok(None) };
    if !c.b.shape(p).numel()?.is(1) {
        return Err(refused(format!("{what} of shape {} is not supported; one for all is", c.shape(p))));
    }
    c.reshape(p, &[]).map(Some)
}

/// Operand `i`, its scale and its zero point (behind it) as f32.
fn dequantised(c: &mut Ctx<'_, '_>, i: usize) -> Result<ValueId> {
    let v = c.required(i, "a quantised tensor")?;
    let scale =
        single(c, i + 1, "a scale")?.ok_or_else(|| Error::new(format!("input {} is missing", i + 1)))?;
    let zero = single(c, i + 2, "a zero point")?;
    let v = centred(c, v, zero)?;
    c.map(x().cast(DType::F32) * y(), &[v, scale])
}

/// `v` quantised with the scale and the zero point at `i`; without a zero point, as `like`.
fn quantised(c: &mut Ctx<'_, '_>, v: ValueId, i: usize, like: ValueId) -> Result<ValueId> {
    let scale = single(c, i, "a scale")?.ok_or_else(|| Error::new(format!("input {i} is missing")))?;
    match single(c, i + 1, "a zero point")? {
        Some(zero) => {
            let to = c.dtype(zero);
            c.map(saturated(x() / y(), Some(z()), to), &[v, scale, zero])
        }
        None => {
            let to = c.dtype(like);
            c.map(saturated(x() / y(), None, to), &[v, scale])
        }
    }
}

/// `QLinearAdd` and `QLinearMul`: A, B and the result each with a scale and a zero point.
pub(in crate::ops) fn binary(c: &mut Ctx<'_, '_>, op: Binary) -> Result<Vec<ValueId>> {
    let (a, b) = (dequantised(c, 0)?, dequantised(c, 3)?);
    let result = c.b.binary(op, a, b)?;
    let like = c.required(0, "A")?;
    Ok(vec![quantised(c, result, 6, like)?])
}

/// An operator of one operand, between operands 0 to 2 and the scale and zero point at 3 and 4.
fn unary(
    c: &mut Ctx<'_, '_>,
    f: impl FnOnce(&mut Ctx<'_, '_>, ValueId) -> Result<ValueId>,
) -> Result<Vec<ValueId>> {
    let v = dequantised(c, 0)?;
    let result = f(c, v)?;
    let like = c.required(0, "X")?;
    Ok(vec![quantised(c, result, 3, like)?])
}

/// `QLinearSigmoid`.
pub(in crate::ops) fn sigmoid(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    unary(c, |c, v| c.map(x().unary(Unary::Sigmoid), &[v]))
}

/// `QLinearLeakyRelu`.
pub(in crate::ops) fn leaky_relu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let alpha = c.attrs.float_or("alpha", 0.01)?;
    let e: Expr = x().ge(num(0.0)).select(x(), num(alpha) * x());
    unary(c, |c, v| c.map(e, &[v]))
}

/// `QLinearSoftmax`, as the opset in its attribute has it.
pub(in crate::ops) fn quantised_softmax(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let opset = c.attrs.int("opset")?;
    let opset = c.attrs.require("opset", opset)?;
    unary(c, |c, v| softmax::of_opset(c, v, opset))
}

/// A pool over operand 0 where its channels are.
fn pooled(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    channels_last: bool,
    f: impl FnOnce(&mut Ctx<'_, '_>, ValueId) -> Result<ValueId>,
) -> Result<ValueId> {
    if !channels_last {
        return f(c, v);
    }
    let v = window::channels_first(c, v)?;
    let v = f(c, v)?;
    window::channels_last(c, v)
}

/// `QLinearAveragePool`.
pub(in crate::ops) fn average_pool(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let with_pads = c.attrs.flag_or("count_include_pad", false)?;
    let last = c.attrs.flag_or("channels_last", false)?;
    let kind = if with_pads { PoolKind::AverageWithPads } else { PoolKind::Average };
    unary(c, |c, v| pooled(c, v, last, |c, v| pool::pooled(c, v, kind)))
}

/// `QLinearGlobalAveragePool`.
pub(in crate::ops) fn global_average_pool(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let last = c.attrs.flag_or("channels_last", false)?;
    unary(c, |c, v| {
        pooled(c, v, last, |c, v| {
            let axes = (2..c.rank(v)).collect();
            window::spatial(c, v)?;
            Ok(c.b.one(Op::Reduce(ReduceKind::Mean, axes), &[v])?)
        })
    })
}

/// `QLinearConv`, which the optimiser turns to channels last.
pub(in crate::ops) fn conv(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let last = c.attrs.flag_or("channels_last", false)?;
    quantised_conv(c, last)
}

/// `NhwcMaxPool`: of quantised numbers, channels last.
pub(in crate::ops) fn nhwc_max_pool(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "x")?;
    Ok(vec![pooled(c, v, true, |c, v| pool::pooled(c, v, PoolKind::Max))?])
}

/// `QLinearConcat`: the result's scale and zero point, then three operands a part.
pub(in crate::ops) fn concat(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let n = c.operands.len();
    if n < 5 || !(n - 2).is_multiple_of(3) {
        return Err(Error::new(format!("{n} inputs; two and three a part are needed")));
    }
    let parts = (2..n).step_by(3).map(|i| dequantised(c, i)).collect::<Result<Vec<_>>>()?;
    let axis = c.axis("axis", None, c.rank(parts[0]))?;
    let whole = c.b.one(Op::Concat(axis), &parts)?;
    let like = c.required(2, "the first part")?;
    Ok(vec![quantised(c, whole, 0, like)?])
}

/// `QLinearWhere`: a condition, then X, Y and the result, each with a scale and a zero point.
pub(in crate::ops) fn choose(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let condition = c.required(0, "condition")?;
    let (a, b) = (dequantised(c, 1)?, dequantised(c, 4)?);
    let shape = c.shape(condition).broadcast(&c.shape(a))?.broadcast(&c.shape(b))?;
    let rank = shape.rank();
    let a = c.b.to_rank(a, rank)?;
    let a = c.b.broadcast(a, &shape)?;
    let result = c.map(z().select(x(), y()), &[a, b, condition])?;
    let like = c.required(1, "X")?;
    Ok(vec![quantised(c, result, 7, like)?])
}
