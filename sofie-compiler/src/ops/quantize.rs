//! Numbers as small integers with a scale and a zero point: quantisation, and products and convolutions of what was
//! quantised, which are exact in `i32`.

use super::Ctx;
use super::expr::{Expr, num, x, y, z};
use super::operand::Operand;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;
use sofie_infer_runtime::storage::Round;

/// A scale or zero point shaped to broadcast to `shape`: one for all, one an index of `axis`, or one a block along it.
fn spread(c: &mut Ctx<'_, '_>, p: ValueId, shape: &Shape, axis: usize, block: i64) -> Result<ValueId> {
    let of_p = c.shape(p);
    let rank = shape.rank();
    if of_p.numel()?.is(1) && of_p.rank() <= 1 {
        return c.reshape(p, &vec![Dim::ONE; rank]);
    }
    if of_p.rank() == 1 && block == 0 {
        let mut dims = vec![Dim::ONE; rank];
        dims[axis] = of_p[0].clone();
        if of_p[0] != shape[axis] {
            return Err(Error::new(format!("{of_p} scales or zero points for axis {axis} of {shape}")));
        }
        return c.reshape(p, &dims);
    }
    if of_p.rank() != rank || block <= 0 {
        return Err(Error::new(format!("scales or zero points {of_p} do not fit {shape}")));
    }
    let mut apart = of_p.dims().to_vec();
    apart.insert(axis + 1, Dim::ONE);
    let v = c.reshape(p, &apart)?;
    apart[axis + 1] = Dim::Fixed(block);
    let v = c.b.broadcast(v, &Shape::new(apart))?;
    let mut together = of_p.dims().to_vec();
    together[axis] = of_p[axis].mul(&Dim::Fixed(block))?;
    let v = c.reshape(v, &together)?;
    if shape[axis].le(&together[axis]) != Some(true) {
        return Err(Error::new(format!("blocks of {block} at {of_p} do not cover {shape}")));
    }
    Ok(c.b.slice_axis(v, axis, Dim::Fixed(0), shape[axis].clone())?)
}

/// The attributes `axis` and `block_size`.
fn granularity(c: &Ctx<'_, '_>, v: ValueId) -> Result<(usize, i64)> {
    let rank = c.rank(v);
    let axis = c.attrs.int_or("axis", 1)?;
    // A vector or scalar has one scale, whatever the axis says.
    let axis = if rank < 2 { 0 } else { crate::ir::axis_in(axis, rank)? };
    Ok((axis, c.attrs.int_or("block_size", 0)?))
}

/// `saturate(round(value) + zero)` as an integer type: the cast saturates.
pub(super) fn saturated(value: Expr, zero: Option<Expr>, to: DType) -> Expr {
    let rounded = value.unary(Unary::Round);
    match zero {
        Some(zero) => (rounded + zero.cast(DType::F32)).cast(to),
        None => rounded.cast(to),
    }
}

/// `QuantizeLinear`.
pub(super) fn quantize(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let (v, scale) = (c.required(0, "x")?, c.required(1, "y_scale")?);
    let stored = c.storage(2);
    let zero = c.numbers(2)?;
    let (axis, block) = granularity(c, v)?;
    // The division is in f32 at least.
    c.attrs.ignore(&["precision"]);
    let saturate = c.attrs.flag_or("saturate", true)?;
    let asked = c.element_attr("output_dtype")?;
    let of_zero = match (stored, zero) {
        (Some(storage), _) => Some(Err(storage)),
        (None, Some(zero)) => Some(Ok(c.dtype(zero))),
        (None, None) => None,
    };
    let asked_for =
        asked.map(|e| e.storage().map_or_else(|| e.dtype().map(Ok), |s| Ok(Err(s)))).transpose()?;
    let to = of_zero.or(asked_for).unwrap_or(Ok(DType::U8));
    if to.is_ok_and(|t| !t.is_int()) || asked_for.is_some_and(|t| t != to) {
        let to = to.map_or_else(|s| s.name(), DType::name);
        return Err(Error::new(format!("quantisation to {to}, the attribute says {asked:?}")));
    }
    let shape = c.shape(v);
    let scale = spread(c, scale, &shape, axis, block)?;
    // Numbers of the formula are of its first operand's type.
    let v = if c.dtype(v).is_float() { v } else { c.b.cast(v, DType::F32)? };
    let value = x().cast(DType::F32) / y().cast(DType::F32);
    let constant = zero.and_then(|zero| c.b.constant(zero));
    // The zero point of a float type is 0, which would take the sign from a zero.
    let to_float = to.is_err_and(|storage| storage.range().is_none());
    let nothing = to_float && constant.is_some_and(|t| t.to_f64s().iter().all(|&n| n == 0.0));
    let zero = zero.filter(|_| !nothing);
    let zero = zero.map(|zero| spread(c, zero, &shape, axis, block)).transpose()?;
    let operands: Vec<ValueId> = [Some(v), Some(scale), zero].into_iter().flatten().collect();
    let zero = zero.map(|_| z());
    let to = match to {
        Ok(to) => return Ok(vec![Operand::Value(c.map(saturated(value, zero, to), &operands)?)]),
        Err(storage) => storage,
    };
    let moved = |value: Expr| match zero {
        Some(zero) => value + zero.cast(DType::F32),
        None => value,
    };
    let Some((low, high)) = to.range() else {
        let v = c.map(moved(value), &operands)?;
        return Ok(vec![c.encoded(v, to, saturate, Round::Nearest)?]);
    };
    let whole = moved(value.unary(Unary::Round)).max(num(low)).min(num(high));
    Ok(vec![Operand::Stored(c.map(whole.cast(to.holder()), &operands)?, to)])
}

/// `DequantizeLinear`.
pub(super) fn dequantize(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let v = c.numbers(0)?.ok_or_else(|| Error::new("input 0 (x) is missing"))?;
    let scale = c.required(1, "x_scale")?;
    let zero = c.numbers(2)?;
    let (axis, block) = granularity(c, v)?;
    let to = c.dtype_attr("output_dtype")?.unwrap_or(c.dtype(scale));
    let shape = c.shape(v);
    let scale = spread(c, scale, &shape, axis, block)?;
    let wide = if to == DType::F64 { DType::F64 } else { DType::F32 };
    // What is only stored as a float is exact in f32, and so is what is left of it without a zero point.
    let exact = if c.dtype(v).is_float() { DType::F32 } else { DType::I32 };
    let y = match zero {
        Some(zero) => {
            let zero = spread(c, zero, &shape, axis, block)?;
            let e = (x().cast(exact) - z().cast(exact)).cast(wide) * y().cast(wide);
            c.map(e.cast(to), &[v, scale, zero])?
        }
        None => c.map((x().cast(wide) * y().cast(wide)).cast(to), &[v, scale])?,
    };
    Ok(vec![Operand::Value(y)])
}

/// `DynamicQuantizeLinear`: to u8 over the whole range of the tensor.
pub(super) fn dynamic_quantize(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "x")?;
    dynamically(c, v).map(Vec::from)
}

/// Elements from which on a step that spares each of them something is worth it.
const MANY: i64 = 4096;

/// `v` over its whole range as u8, its scale and its zero point.
pub(super) fn dynamically(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<[ValueId; 3]> {
    let axes: Vec<usize> = (0..c.rank(v)).collect();
    let mut extreme = |kind: ReduceKind| -> Result<ValueId> {
        let m = c.b.one(Op::Reduce(kind, axes.clone()), &[v])?;
        Ok(c.b.reshape(m, Shape::default())?)
    };
    let (low, high) = (extreme(ReduceKind::Min)?, extreme(ReduceKind::Max)?);
    let range = y().max(num(0.0)) - x().min(num(0.0));
    // Zeros alone have the scale 1, as ONNX Runtime has it: no step is 0 wide.
    let range = c.map(range, &[low, high])?;
    let scale = c.map(x().eq(num(0.0)).select(num(1.0), x() / num(255.0)), &[range])?;
    // Not below 0, nor the negative zero.
    let step = (-(x().min(num(0.0))) / y()).unary(Unary::Round).unary(Unary::Abs);
    let step = c.map(step, &[low, scale])?;
    let zero = c.b.cast(step, DType::U8)?;
    // As a float it is one number to the kernels, for one step more; the same bits.
    let elements = c.shape(v).dims().iter().map(Dim::likely).fold(1i64, i64::saturating_mul);
    let of_elements = if elements > MANY { step } else { zero };
    let e = saturated(x() / y(), Some(z()), DType::U8);
    Ok([c.map(e, &[v, scale, of_elements])?, scale, zero])
}

/// A quantised operand as `i32` without its zero point, which broadcasts to it.
pub(super) fn centred(c: &mut Ctx<'_, '_>, v: ValueId, zero: Option<ValueId>) -> Result<ValueId> {
    match zero {
        Some(zero) => c.map(x().cast(DType::I32) - y().cast(DType::I32), &[v, zero]),
        None => Ok(c.b.cast(v, DType::I32)?),
    }
}

/// A zero point or scale of a left operand: one a row.
pub(super) fn by_row(c: &mut Ctx<'_, '_>, p: ValueId) -> Result<ValueId> {
    match c.shape(p).dims() {
        [n] => {
            let n = n.clone();
            c.reshape(p, &[n, Dim::ONE])
        }
        _ => Ok(p),
    }
}

/// `MatMulInteger`: an exact product.
pub(super) fn matmul_integer(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, b) = (c.required(0, "A")?, c.required(1, "B")?);
    let za = match c.optional(2)? {
        Some(z) if c.rank(a) > 1 => Some(by_row(c, z)?),
        z => z,
    };
    let zb = c.optional(3)?;
    let (a, b) = (centred(c, a, za)?, centred(c, b, zb)?);
    Ok(vec![super::matmul::product(c, a, b)?])
}

/// The exact result `v`, scaled by `a·b/y` and quantised.
pub(super) fn requantised(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    scales: [ValueId; 3],
    zero: ValueId,
) -> Result<ValueId> {
    let [a, b, to] = scales;
    let (f, t) = (DType::F32, c.dtype(zero));
    let factor = c.map(x().cast(f) * y().cast(f) / z().cast(f), &[a, b, to])?;
    let e = saturated(x().cast(f) * y().cast(f), Some(z()), t);
    c.map(e, &[v, factor, zero])
}

/// `QLinearMatMul`.
pub(super) fn qlinear_matmul(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let names = ["a", "a_scale", "a_zero_point", "b", "b_scale", "b_zero_point", "y_scale", "y_zero_point"];
    let operands = names.iter().enumerate().map(|(i, n)| c.required(i, n)).collect::<Result<Vec<_>>>()?;
    let [a, sa, za, b, sb, zb, sy, zy] = operands[..] else { return Err(Error::new("eight operands")) };
    let (sa, za) = if c.rank(a) > 1 { (by_row(c, sa)?, by_row(c, za)?) } else { (sa, za) };
    let (a, b) = (centred(c, a, Some(za))?, centred(c, b, Some(zb))?);
    let product = super::matmul::product(c, a, b)?;
    Ok(vec![requantised(c, product, [sa, sb, sy], zy)?])
}

/// A zero point or scale of weights `[M, …]`: one a filter.
fn by_filter(c: &mut Ctx<'_, '_>, p: ValueId, rank: usize) -> Result<ValueId> {
    match c.shape(p).dims() {
        [n] if !n.is(1) => {
            let mut dims = vec![Dim::ONE; rank];
            dims[0] = n.clone();
            c.reshape(p, &dims)
        }
        _ => c.reshape(p, &vec![Dim::ONE; rank]),
    }
}

/// `ConvInteger`: an exact convolution.
pub(super) fn conv_integer(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w) = (c.required(0, "x")?, c.required(1, "w")?);
    let (zx, zw) = (c.optional(2)?, c.optional(3)?);
    let zx = match zx {
        Some(z) => Some(c.reshape(z, &[])?),
        None => None,
    };
    let rank = c.rank(w);
    let zw = match zw {
        Some(z) => Some(by_filter(c, z, rank)?),
        None => None,
    };
    let (v, w) = (centred(c, v, zx)?, centred(c, w, zw)?);
    Ok(vec![super::conv::convolution(c, v, w, None)?])
}

/// `QLinearConv`.
pub(super) fn qlinear_conv(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    quantised_conv(c, false)
}

/// `QLinearConv`, its image channels-first or (in `com.microsoft`) channels-last.
pub(super) fn quantised_conv(c: &mut Ctx<'_, '_>, channels_last: bool) -> Result<Vec<ValueId>> {
    let names = ["x", "x_scale", "x_zero_point", "w", "w_scale", "w_zero_point", "y_scale", "y_zero_point"];
    let operands = names.iter().enumerate().map(|(i, n)| c.required(i, n)).collect::<Result<Vec<_>>>()?;
    let [v, sx, zx, w, sw, zw, sy, zy] = operands[..] else { return Err(Error::new("eight operands")) };
    let bias = c.optional(8)?;
    let rank = c.rank(w);
    let zw = by_filter(c, zw, rank)?;
    let [sx, zx, sy, zy] = [sx, zx, sy, zy].map(|p| c.reshape(p, &[]));
    let v = if channels_last { super::window::channels_first(c, v)? } else { v };
    let (v, w) = (centred(c, v, Some(zx?))?, centred(c, w, Some(zw))?);
    let sum = super::conv::convolution(c, v, w, bias)?;
    // One scale a filter stands along the channels.
    let sw = match c.shape(sw).dims() {
        [n] if !n.is(1) => super::norm::per_channel(c, sw, rank)?,
        _ => c.reshape(sw, &[])?,
    };
    let y = requantised(c, sum, [sx?, sw, sy?], zy?)?;
    Ok(vec![if channels_last { super::window::channels_last(c, y)? } else { y }])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn rounding_is_to_even_and_saturates() {
        let x = f32s(&[5], &[0.0, 2.0, 3.0, 1000.0, -254.0]);
        let (scale, zero) = (f32s(&[], &[2.0]), Arg::In(Tensor::of(&[], &[128u8])));
        let y = run("QuantizeLinear", 13, &[], &[x, scale.clone(), zero.clone()]);
        assert_eq!(y, Tensor::of(&[5], &[128u8, 129, 130, 255, 1]));
        let back = run("DequantizeLinear", 13, &[], &[Arg::In(y), scale, zero]);
        assert_eq!(back, Tensor::of(&[5], &[0.0f32, 2.0, 4.0, 254.0, -254.0]));
    }

    #[test]
    fn integers_are_quantised_as_numbers() {
        let x = Arg::In(Tensor::of(&[3], &[-4i32, 2, 700]));
        let y = run("QuantizeLinear", 21, &[("output_dtype", Attribute::Int(3))], &[x, f32s(&[], &[0.5])]);
        assert_eq!(y, Tensor::of(&[3], &[-8i8, 4, 127]));
    }

    #[test]
    fn blocks_along_an_axis() {
        let x = Arg::In(Tensor::of(&[1, 3], &[1i8, 2, 3]));
        let attrs = [("block_size", Attribute::Int(2)), ("axis", Attribute::Int(1))];
        let y = run("DequantizeLinear", 21, &attrs, &[x, f32s(&[1, 2], &[10.0, 100.0])]);
        assert_eq!(y, Tensor::of(&[1, 3], &[10.0f32, 20.0, 300.0]));
    }

    #[test]
    fn many_are_quantised_as_few_are() {
        for first in [0.3f32, -2.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut all = vec![0.0f32; 5000];
            all[..4].copy_from_slice(&[first, 1.5, -0.4, -0.0]);
            let [few, many] = [4, 5000]
                .map(|n| run_all("DynamicQuantizeLinear", 11, &[], &[f32s(&[n], &all[..n])], 3).unwrap());
            assert_eq!(
                few[1].to_vec::<f32>().map(|x| x[0].to_bits()),
                many[1].to_vec::<f32>().map(|x| x[0].to_bits())
            );
            assert_eq!(
                (&few[2], few[0].to_vec::<u8>().unwrap()),
                (&many[2], many[0].to_vec::<u8>().unwrap()[..4].to_vec())
            );
        }
    }

    #[test]
    fn zeros_alone_have_the_scale_1() {
        let y = run_all("DynamicQuantizeLinear", 11, &[], &[f32s(&[3], &[0.0, -0.0, 0.0])], 3).unwrap();
        assert_eq!(y, [Tensor::of(&[3], &[0u8; 3]), Tensor::of(&[], &[1.0f32]), Tensor::of(&[], &[0u8])]);
    }

    #[test]
    fn products_are_exact() {
        let a = Arg::In(Tensor::of(&[1, 2], &[200u8, 3]));
        let b = Arg::In(Tensor::of(&[2, 1], &[250u8, 1]));
        let zero = Arg::In(Tensor::of(&[], &[1u8]));
        let y = run("MatMulInteger", 10, &[], &[a, b, zero.clone(), zero]);
        assert_eq!(y, Tensor::of(&[1, 1], &[199 * 249i32]));
    }
}
