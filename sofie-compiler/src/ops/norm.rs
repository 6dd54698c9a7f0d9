//! Normalisations: over a batch's stored statistics, over rows, over channels and groups.

use super::Ctx;
use super::expr::{num, x, y, z};
use super::reshape::matrix;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, RowKind, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;

/// A value with one element a channel, shaped to broadcast along axis 1 of a tensor of rank `rank`.
pub(super) fn per_channel(c: &mut Ctx<'_, '_>, v: ValueId, rank: usize) -> Result<ValueId> {
    let n = c.b.shape(v).numel()?;
    let dims = [n].into_iter().chain(vec![Dim::ONE; rank.saturating_sub(2)]).collect();
    Ok(c.b.reshape(v, dims)?)
}

/// `BatchNormalization` with stored statistics: one multiply-add a channel, its factors constants.
pub(super) fn batch_norm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let names = ["scale", "B", "input_mean", "input_var"];
    let epsilon = num(c.attrs.float_or("epsilon", 1e-5)?);
    let momentum = c.attrs.float_or("momentum", 0.9)?;
    let training = c.attrs.flag_or("training_mode", false)?;
    if training && c.version() >= 14 {
        return batch_statistics(c, v, momentum);
    }
    if c.version() < 7 {
        c.attrs.ignore(&["is_test"]);
    }
    // Before opset 14 the running statistics among the results are what says that the node is one of training.
    let trains = (1..5).any(|i| c.wants(i));
    if trains && (9..14).contains(&c.version()) {
        return batch_statistics(c, v, momentum);
    }
    if training || trains {
        return Err(Error::new("the node uses the statistics of the batch, as in training")
            .help("export the model for inference (in PyTorch: model.eval())"));
    }
    let rank = c.rank(v);
    if rank < 2 {
        return Err(Error::new(format!("X has shape {}; [N, C, ..] is needed", c.shape(v))));
    }
    let spatial = c.version() >= 9 || c.attrs.flag_or("spatial", true)?;
    let channels = c.shape(v)[1].clone();
    let mut parameters = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let p = c.required(i + 1, name)?;
        let p = if spatial {
            if c.b.shape(p).numel()? != channels {
                return Err(Error::new(format!("{name} has shape {} for {channels} channels", c.shape(p))));
            }
            per_channel(c, p, rank)?
        } else {
            p
        };
        parameters.push(p);
    }
    // Statistics may be f32 beside an f16 input, or beside scales of f64.
    let any_wide = parameters.iter().any(|p| c.dtype(*p) == DType::F64);
    let wide = if any_wide { DType::F64 } else { DType::F32 };
    let parameters = parameters.into_iter().map(|p| Ok(c.b.cast(p, wide)?)).collect::<Result<Vec<_>>>()?;
    let [scale, offset, mean, variance] = parameters[..] else { return Err(Error::new("four parameters")) };
    let factor = c.map(x() / (y() + epsilon).unary(Unary::Sqrt), &[scale, variance])?;
    let offset = c.map((-x()).mul_add(y(), z()), &[mean, factor, offset])?;
    let dtype = c.dtype(v);
    let e = x().cast(wide).mul_add(y(), z()).cast(dtype);
    Ok(vec![c.map(e, &[v, factor, offset])?])
}

/// `BatchNormalization` in training mode: by the batch's own statistics, and the running ones moved towards them.
fn batch_statistics(c: &mut Ctx<'_, '_>, v: ValueId, momentum: f32) -> Result<Vec<ValueId>> {
    let rank = c.rank(v);
    if rank < 2 {
        return Err(Error::new(format!("X has shape {}; [N, C, ..] is needed", c.shape(v))));
    }
    let epsilon = c.attrs.float_or("epsilon", 1e-5)?;
    let dtype = c.dtype(v);
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let full = c.b.cast(v, wide)?;
    let axes: Vec<usize> = (0..rank).filter(|&a| a != 1).collect();
    let mean = c.b.one(Op::Reduce(ReduceKind::Mean, axes.clone()), &[full])?;
    let centred = c.map(x() - y(), &[full, mean])?;
    let square = c.map(x() * x(), &[centred])?;
    let variance = c.b.one(Op::Reduce(ReduceKind::Mean, axes), &[square])?;
    let (scale, bias) = (c.required(1, "scale")?, c.required(2, "B")?);
    let (scale, bias) = (per_channel(c, scale, rank)?, per_channel(c, bias, rank)?);
    let factor = c.map(y().cast(wide) / (x() + num(epsilon)).unary(Unary::Sqrt), &[variance, scale])?;
    let result = c.map(x().mul_add(y(), z().cast(wide)), &[centred, factor, bias])?;
    let mut outputs = vec![c.b.cast(result, dtype)?];
    let mut saved = Vec::new();
    for (i, now) in [(3, mean), (4, variance)] {
        let before = c.required(i, if i == 3 { "input_mean" } else { "input_var" })?;
        let shape = c.shape(before);
        let now = c.b.reshape(now, shape)?;
        let e = x() * num(momentum) + y() * num(1.0 - momentum);
        let now = c.b.cast(now, c.dtype(before))?;
        outputs.push(c.map(e, &[before, now])?);
        saved.push(now);
    }
    if c.version() < 14 {
        outputs.extend(saved);
    }
    Ok(outputs)
}

/// `v` as rows, the axes before `axis` the rows' number.
fn rows(c: &mut Ctx<'_, '_>, v: ValueId, axis: usize) -> Result<ValueId> {
    let shape = c.shape(v);
    if axis + 1 == shape.rank() {
        return Ok(v);
    }
    let to = matrix(&shape, axis)?;
    Ok(c.b.reshape(v, to)?)
}

/// A parameter of a row program that has the shape of the axes from `axis` on, as a list; `None` where
/// it needs more than that, or broadcasts over the rows.
fn as_row(c: &mut Ctx<'_, '_>, p: ValueId, shape: &Shape, axis: usize) -> Result<Option<ValueId>> {
    let row = Shape::new(shape.dims()[axis..].to_vec());
    let lead = c.rank(p).saturating_sub(row.rank());
    if c.shape(p).dims()[..lead].iter().any(|d| !d.is(1)) {
        return Ok(None);
    }
    let p = c.drop_axes(p, &(0..lead).collect::<Vec<_>>())?;
    let p = c.b.broadcast(p, &row)?;
    let n = row.numel()?;
    Ok(Some(c.b.reshape(p, Shape::new(vec![n]))?))
}

/// `LayerNormalization`: rows are the axes from `axis` on.
pub(super) fn layer_norm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, scale) = (c.required(0, "X")?, c.required(1, "Scale")?);
    let bias = c.optional(2)?;
    let epsilon = c.attrs.float_or("epsilon", 1e-5)?;
    // Rows are computed in f32 at least, as its default 1 asks; their statistics are given out in this type.
    let stash = c.dtype_attr("stash_type")?.unwrap_or(DType::F32);
    let axis = c.axis("axis", Some(-1), c.rank(v))?;
    let mut outputs = vec![layer_normal(c, v, axis, epsilon, (scale, bias))?];
    if c.wants(1) || c.wants(2) {
        let axes: Vec<_> = (axis..c.rank(v)).collect();
        let wide = if c.dtype(v) == DType::F64 { DType::F64 } else { DType::F32 };
        let v = c.b.cast(v, wide)?;
        let mean = c.b.one(Op::Reduce(ReduceKind::Mean, axes.clone()), &[v])?;
        let square = c.map((x() - y()) * (x() - y()), &[v, mean])?;
        let variance = c.b.one(Op::Reduce(ReduceKind::Mean, axes), &[square])?;
        let inverse = c.map(num(1.0) / (x() + num(epsilon)).unary(Unary::Sqrt), &[variance])?;
        outputs.extend([c.b.cast(mean, stash)?, c.b.cast(inverse, stash)?]);
    }
    Ok(outputs)
}

/// The rows that the axes of `v` from `axis` on are, normalised, scaled and moved.
pub(super) fn layer_normal(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    axis: usize,
    epsilon: f32,
    (scale, bias): (ValueId, Option<ValueId>),
) -> Result<ValueId> {
    let shape = c.shape(v);
    let flat = rows(c, v, axis)?;
    let scale_row = as_row(c, scale, &shape, axis)?;
    let bias_row = match bias {
        Some(b) => as_row(c, b, &shape, axis)?,
        None => None,
    };
    let fused = scale_row.is_some() && bias_row.is_some() == bias.is_some();
    let kind = RowKind::LayerNorm { epsilon, scale: fused, bias: fused && bias.is_some() };
    let mut operands = vec![flat];
    if fused {
        operands.extend(scale_row);
        operands.extend(bias_row);
    }
    let normal = c.b.one(Op::Rows(kind), &operands)?;
    let mut result = c.b.reshape(normal, shape)?;
    if !fused {
        result = match bias {
            Some(b) => c.map(x().mul_add(y(), z()), &[result, scale, b])?,
            None => c.map(x() * y(), &[result, scale])?,
        };
    }
    Ok(result)
}

/// `RMSNormalization`: rows are the axes from `axis` on.
pub(super) fn rms_norm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, scale) = (c.required(0, "X")?, c.required(1, "scale")?);
    let epsilon = c.attrs.float_or("epsilon", 1e-5)?;
    c.attrs.ignore(&["stash_type"]);
    let axis = c.axis("axis", Some(-1), c.rank(v))?;
    Ok(vec![rms_normal(c, v, axis, epsilon, scale)?])
}

/// The rows that the axes of `v` from `axis` on are, divided by their root mean square and scaled.
pub(super) fn rms_normal(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    axis: usize,
    epsilon: f32,
    scale: ValueId,
) -> Result<ValueId> {
    let shape = c.shape(v);
    let flat = rows(c, v, axis)?;
    let row = as_row(c, scale, &shape, axis)?.filter(|s| c.dtype(*s) == c.dtype(v));
    let kind = RowKind::RmsNorm { epsilon, scale: row.is_some() };
    let operands: Vec<_> = [flat].into_iter().chain(row).collect();
    let normal = c.b.one(Op::Rows(kind), &operands)?;
    let result = c.b.reshape(normal, shape)?;
    if row.is_some() { Ok(result) } else { c.map(x() * y(), &[result, scale]) }
}

/// Each of `groups` of channels of every event normalised by itself, without scale and bias.
fn by_group(c: &mut Ctx<'_, '_>, v: ValueId, groups: Dim, epsilon: f32) -> Result<ValueId> {
    let shape = c.shape(v);
    if shape.rank() < 2 {
        return Err(Error::new(format!("X has shape {shape}; [N, C, ..] is needed")));
    }
    if shape.numel()?.is(0) {
        return Ok(v);
    }
    let channels = shape[1].exact_div(&groups);
    let channels = channels.ok_or_else(|| Error::new(format!("{} channels in {groups} groups", shape[1])))?;
    let inner = Shape::new([&[channels], &shape.dims()[2..]].concat()).numel()?;
    let flat = c.b.reshape(v, Shape::new(vec![shape[0].clone(), groups, inner]))?;
    let kind = RowKind::LayerNorm { epsilon, scale: false, bias: false };
    let normal = c.b.one(Op::Rows(kind), &[flat])?;
    Ok(c.b.reshape(normal, shape)?)
}

/// `InstanceNormalization`: every channel of every event by itself.
pub(super) fn instance_norm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let epsilon = c.attrs.float_or("epsilon", 1e-5)?;
    let rank = c.rank(v);
    if rank < 3 {
        return Err(Error::new(format!("input has shape {}; [N, C, D1, ..] is needed", c.shape(v))));
    }
    let channels = c.shape(v)[1].clone();
    let normal = by_group(c, v, channels, epsilon)?;
    let (scale, bias) = (c.required(1, "scale")?, c.required(2, "B")?);
    let (scale, bias) = (per_channel(c, scale, rank)?, per_channel(c, bias, rank)?);
    Ok(vec![c.map(x().mul_add(y(), z()), &[normal, scale, bias])?])
}

/// `GroupNormalization`: scale and bias are one a group in opset 18, one a channel since 21.
pub(super) fn group_norm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let epsilon = c.attrs.float_or("epsilon", 1e-5)?;
    c.attrs.ignore(&["stash_type"]);
    let groups = c.attrs.int("num_groups")?;
    let groups = Dim::Fixed(c.attrs.require("num_groups", groups)?);
    if Dim::ONE.le(&groups) != Some(true) {
        return Err(Error::new(format!("num_groups is {groups}")));
    }
    let normal = by_group(c, v, groups.clone(), epsilon)?;
    let rank = c.rank(v);
    let channels = c.shape(v)[1].clone();
    let mut parameters = Vec::new();
    for (i, name) in [(1, "scale"), (2, "bias")] {
        let mut p = c.required(i, name)?;
        if c.version() < 21 {
            let each = channels.exact_div(&groups).unwrap_or(Dim::ONE);
            let column = c.b.reshape(p, Shape::new(vec![groups.clone(), Dim::ONE]))?;
            let spread = c.b.broadcast(column, &Shape::new(vec![groups.clone(), each]))?;
            p = c.b.reshape(spread, Shape::new(vec![channels.clone()]))?;
        }
        parameters.push(per_channel(c, p, rank)?);
    }
    Ok(vec![c.map(x().mul_add(y(), z()), &[normal, parameters[0], parameters[1]])?])
}

/// `LpNormalization`: by the norm of the elements along an axis; where that is 0, so is the result.
pub(super) fn lp_norm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let kind = match c.attrs.int_or("p", 2)? {
        1 => ReduceKind::L1,
        2 => ReduceKind::L2,
        p => return Err(Error::new(format!("p is {p}; 1 and 2 are defined"))),
    };
    let axis = c.axis("axis", Some(-1), c.rank(v))?;
    let norm = c.b.one(Op::Reduce(kind, vec![axis]), &[v])?;
    Ok(vec![c.map(y().eq(num(0.0)).select(num(0.0), x() / y()), &[v, norm])?])
}

/// `MeanVarianceNormalization`: `(x - mean) / (standard deviation + 1e-9)`, as ONNX's function body.
pub(super) fn mean_variance_norm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let axes = c.attrs.ints("axes")?.unwrap_or(&[0, 2, 3]).to_vec();
    let axes = c.axes(&axes, c.rank(v))?;
    let mean = c.b.one(Op::Reduce(ReduceKind::Mean, axes.clone()), &[v])?;
    let centred = c.map(x() - y(), &[v, mean])?;
    let square = c.map(x() * x(), &[centred])?;
    let variance = c.b.one(Op::Reduce(ReduceKind::Mean, axes), &[square])?;
    let e = x() / (y().unary(Unary::Sqrt) + num(1e-9));
    Ok(vec![c.map(e, &[centred, variance])?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    fn list(values: &[f32]) -> Arg {
        Arg::Const(Tensor::of(&[values.len()], values))
    }

    #[test]
    fn batch_norm_is_one_multiply_add() {
        let x = f32s(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let args = [x, list(&[2.0, 1.0]), list(&[0.5, 0.0]), list(&[1.0, 3.0]), list(&[4.0, 0.25])];
        let attrs = [("epsilon", Attribute::Float(0.0))];
        let graph = lowered("BatchNormalization", 15, &attrs, &args, 1).unwrap();
        assert_eq!(graph.to_string().matches(" map").count(), 1, "{graph}");
        let y = run("BatchNormalization", 15, &attrs, &args);
        assert_eq!(y, Tensor::of(&[1, 2, 2], &[0.5f32, 1.5, 0.0, 2.0]));
        // Before opset 9 a node of training may have statistics by position.
        let training = lowered("BatchNormalization", 7, &[], &args, 5).unwrap_err();
        assert!(training.contains("model.eval()"), "{training}");
    }

    #[test]
    fn results_beside_the_first_are_training_before_opset_14() {
        let x = f32s(&[1, 2, 2], &[1.0, 3.0, 4.0, 8.0]);
        let args = [x, list(&[2.0, 1.0]), list(&[0.5, 0.0]), list(&[1.0, 3.0]), list(&[4.0, 0.25])];
        let attrs = [("epsilon", Attribute::Float(0.0)), ("momentum", Attribute::Float(0.5))];
        let all = run_all("BatchNormalization", 9, &attrs, &args, 5).unwrap();
        assert_eq!(all[0], Tensor::of(&[1, 2, 2], &[-1.5f32, 2.5, -1.0, 1.0]));
        assert_eq!(all[1], Tensor::of(&[2], &[1.5f32, 4.5]));
        assert_eq!(all[2], Tensor::of(&[2], &[2.5f32, 2.125]));
        assert_eq!(all[3], Tensor::of(&[2], &[2f32, 6.0]));
        assert_eq!(all[4], Tensor::of(&[2], &[1f32, 4.0]));
    }

    #[test]
    fn rows_over_one_or_more_axes() {
        let x = f32s(&[1, 2, 2], &[1.0, 3.0, 5.0, 7.0]);
        let attrs = [("epsilon", Attribute::Float(0.0)), ("axis", Attribute::Int(1))];
        let scale = Arg::Const(Tensor::of(&[2, 2], &[1.0f32, 1.0, 1.0, 2.0]));
        let all = run_all("LayerNormalization", 17, &attrs, &[x.clone(), scale], 3).unwrap();
        let s = 5f32.sqrt();
        assert_close(&all[0], &Tensor::of(&[1, 2, 2], &[-3.0 / s, -1.0 / s, 1.0 / s, 6.0 / s]), 1e-6);
        assert_close(&all[1], &Tensor::of(&[1, 1, 1], &[4.0f32]), 0.0);
        assert_close(&all[2], &Tensor::of(&[1, 1, 1], &[1.0 / s]), 1e-7);
        let rms = run("RMSNormalization", 23, &[("epsilon", Attribute::Float(0.0))], &[x, list(&[1.0, 2.0])]);
        let (a, b) = (5f32.sqrt(), 37f32.sqrt());
        assert_close(&rms, &Tensor::of(&[1, 2, 2], &[1.0 / a, 6.0 / a, 5.0 / b, 14.0 / b]), 1e-6);
    }

    #[test]
    fn parameters_and_statistics_of_other_types() {
        let x = Arg::In(Tensor::of(&[1, 2], &[1.0f64, 3.0]));
        let wide = |v: [f64; 2]| Arg::Const(Tensor::of(&[2], &v));
        let args = [x.clone(), wide([2.0, 1.0]), wide([0.5, 0.0]), list(&[1.0, 1.0]), list(&[4.0, 1.0])];
        let exact = [("epsilon", Attribute::Float(0.0))];
        let y = run("BatchNormalization", 15, &exact, &args);
        assert_eq!(y, Tensor::of(&[1, 2], &[0.5f64, 2.0]));
        let all = run_all("LayerNormalization", 17, &exact, &[x, wide([1.0, 1.0])], 3).unwrap();
        assert_eq!(all[0], Tensor::of(&[1, 2], &[-1.0f64, 1.0]));
        assert_eq!(all[1..], [Tensor::of(&[1, 1], &[2.0f32]), Tensor::of(&[1, 1], &[1.0f32])]);
    }

    #[test]
    fn channels_and_groups() {
        let x = f32s(&[1, 2, 2], &[1.0, 3.0, 10.0, 20.0]);
        let exact = ("epsilon", Attribute::Float(0.0));
        let args = [x, list(&[1.0, 2.0]), list(&[0.0, 1.0])];
        let each = Tensor::of(&[1, 2, 2], &[-1.0f32, 1.0, -1.0, 3.0]);
        assert_close(&run("InstanceNormalization", 6, std::slice::from_ref(&exact), &args), &each, 1e-6);
        let two = ("num_groups", Attribute::Int(2));
        assert_close(&run("GroupNormalization", 21, &[exact.clone(), two.clone()], &args), &each, 1e-6);
        assert_close(&run("GroupNormalization", 18, &[exact, two], &args), &each, 1e-6);
        let three = [("num_groups", Attribute::Int(3))];
        assert!(
            lowered("GroupNormalization", 21, &three, &args, 1)
                .unwrap_err()
                .contains("2 channels in 3 groups")
        );
    }

    #[test]
    fn norms_of_zeros_are_zero() {
        let x = f32s(&[2, 2], &[3.0, -4.0, 0.0, 0.0]);
        assert_eq!(
            run("LpNormalization", 22, &[], std::slice::from_ref(&x)),
            Tensor::of(&[2, 2], &[0.6f32, -0.8, 0.0, 0.0])
        );
        let one = [("p", Attribute::Int(1)), ("axis", Attribute::Int(0))];
        assert_eq!(run("LpNormalization", 22, &one, &[x]), Tensor::of(&[2, 2], &[1.0f32, -1.0, 0.0, 0.0]));
    }
}
