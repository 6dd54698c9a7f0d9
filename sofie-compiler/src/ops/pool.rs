//! Pools: over windows, over everything, and over neighbouring channels (`LRN`).

use super::Ctx;
use super::expr::{num, x, y};
use super::window;
use crate::error::{Error, Result};
use crate::ir::{self, Dim, Epilogue, Op, PoolKind, ReduceKind, Shape, Tensor, ValueId, Window};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::plain;

fn pool(c: &mut Ctx<'_, '_>, kind: PoolKind) -> Result<ValueId> {
    let v = c.required(0, "X")?;
    pooled(c, v, kind)
}

/// Channels-first `v` over the node's windows.
pub(super) fn pooled(c: &mut Ctx<'_, '_>, v: ValueId, kind: PoolKind) -> Result<ValueId> {
    let n = window::spatial(c, v)?;
    let kernel = window::kernel_shape(c, n)?;
    let w = window::window(c, v, kernel)?;
    let overhang = window::overhang(c, v, &w)?;
    let v = window::channels_last(c, v)?;
    let y = c.b.one(Op::Pool(ir::Pool { kind, window: w, overhang }), &[v])?;
    window::channels_first(c, y)
}

/// `MaxPool`.
pub(super) fn max(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let column_major = c.attrs.flag_or("storage_order", false)?;
    if c.wants(1) {
        return max_with_positions(c, column_major);
    }
    Ok(vec![pool(c, PoolKind::Max)?])
}

/// `MaxPool` and the positions of the largest elements in the whole of `X`.
fn max_with_positions(c: &mut Ctx<'_, '_>, column_major: bool) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let n = window::spatial(c, v)?;
    if n > 3 {
        return Err(Error::new(format!("positions over {n} spatial axes; up to 3 are supported")));
    }
    let kernel = window::kernel_shape(c, n)?;
    let w = window::window(c, v, kernel)?;
    let overhang = window::overhang(c, v, &w)?;
    let dims = c.fixed(v, "the positions of a pool")?;
    let mut windows = Vec::new();
    for i in 0..n {
        let padded = dims[i + 2] + w.pads_begin[i] + w.pads_end[i] + overhang[i];
        let room = padded.checked_sub(window::reach(&w, i));
        let room =
            room.ok_or_else(|| Error::misfit(format!("a window does not fit axis {} of {dims:?}", i + 2)))?;
        windows.push(room / w.strides[i] + 1);
    }
    let kernel = plain::PoolMax {
        outer: dims[0] * dims[1],
        image: window::three(&dims[2..], 1),
        kernel: window::three(&w.kernel, 1),
        windows: window::three(&windows, 1),
        strides: window::three(&w.strides, 1),
        dilations: window::three(&w.dilations, 1),
        pads: window::three(&w.pads_begin, 0),
        column_major,
    };
    let to = [&dims[..2], &windows].concat();
    let dtype = c.dtype(v);
    c.plain(kernel, &[v], vec![(dtype, to.clone()), (DType::I64, to)])
}

/// `MaxUnpool`: elements back where `MaxPool` found them, zeros elsewhere.
pub(super) fn max_unpool(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, index) = (c.required(0, "X")?, c.required(1, "I")?);
    let n = window::spatial(c, v)?;
    let kernel = window::kernel_shape(c, n)?;
    let mut w = window::unpadded(c, kernel)?;
    (w.pads_begin, w.pads_end) = window::pads(c, n)?;
    let dims = c.fixed(v, "an unpooling")?;
    // Positions count in the tensor that the pooling saw, as far as its windows tell.
    let mut seen = dims[..2].to_vec();
    for i in 0..n {
        let full = dims[i + 2].saturating_sub(1) * w.strides[i] + w.kernel[i];
        let cut = full.checked_sub(w.pads_begin[i] + w.pads_end[i]);
        seen.push(cut.ok_or_else(|| Error::new(format!("the pads cut all of axis {}", i + 2)))?);
    }
    let (flat, from): (usize, usize) = (seen.iter().product(), dims.iter().product());
    let zero = sofie_infer_runtime::map::Scalar::from_f64(c.dtype(v), 0.0);
    let zeros = super::constant::filled(c, zero, vec![flat.into()])?;
    let (updates, index) = (c.reshape(v, &[from.into()])?, c.reshape(index, &[from.into(), Dim::ONE])?);
    let set = Op::ScatterNd(ir::ScatterKind::Set);
    let y = c.b.one(set, &[zeros, index, updates])?;
    let y = c.b.reshape(y, Shape::of(&seen))?;
    let signed = |to: &[usize]| Some(to.iter().map(|&n| n as i64).collect());
    let to = match super::runtime::repeated(c, 2, "output_shape", signed)? {
        Some(to) => Some(to),
        None => c.extents(2, "output_shape")?,
    };
    let Some(to) = to else { return Ok(vec![y]) };
    let (before, mut after) = (vec![Dim::Fixed(0); n + 2], Vec::new());
    for (to, seen) in to.iter().zip(&seen) {
        let more = to.sub(&Dim::from(*seen))?;
        if Dim::Fixed(0).le(&more) != Some(true) {
            return Err(Error::new(format!("output_shape {to} is below the {seen} that the windows span")));
        }
        after.push(more);
    }
    if after.len() != n + 2 {
        return Err(Error::new(format!("output_shape has {} extents for {} axes", after.len(), n + 2)));
    }
    Ok(vec![c.b.one(Op::Pad { before, after, value: zero }, &[y])?])
}

/// `AveragePool`.
pub(super) fn average(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let with_pads = c.attrs.flag_or("count_include_pad", false)?;
    Ok(vec![pool(c, if with_pads { PoolKind::AverageWithPads } else { PoolKind::Average })?])
}

/// `GlobalAveragePool`, `GlobalMaxPool`: over all spatial axes.
pub(super) fn global(c: &mut Ctx<'_, '_>, kind: ReduceKind) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    window::spatial(c, v)?;
    Ok(vec![c.b.one(Op::Reduce(kind, (2..c.rank(v)).collect()), &[v])?])
}

/// The attribute `p`: a float in opset 1, an int afterwards.
fn exponent(c: &Ctx<'_, '_>) -> Result<f64> {
    let p = if c.version() < 2 { c.attrs.float_or("p", 2.0)?.into() } else { c.attrs.int_or("p", 2)? as f64 };
    if p > 0.0 { Ok(p) } else { Err(Error::new(format!("p is {p}"))) }
}

/// `|x|^p`.
fn power(c: &mut Ctx<'_, '_>, v: ValueId, p: f64) -> Result<ValueId> {
    if p == 2.0 {
        return c.map(x() * x(), &[v]);
    }
    c.map(x().unary(Unary::Abs).binary(Binary::Pow, num(p)), &[v])
}

/// `x^(1/p)` of a sum of powers.
fn root(c: &mut Ctx<'_, '_>, v: ValueId, p: f64) -> Result<ValueId> {
    if p == 2.0 {
        return c.map(x().unary(Unary::Sqrt), &[v]);
    }
    c.map(x().binary(Binary::Pow, num(1.0 / p)), &[v])
}

/// `GlobalLpPool`: the p-norm over all spatial axes.
pub(super) fn global_lp(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    window::spatial(c, v)?;
    let p = exponent(c)?;
    let powers = power(c, v, p)?;
    let sum = c.b.one(Op::Reduce(ReduceKind::Sum, (2..c.rank(v)).collect()), &[powers])?;
    Ok(vec![root(c, sum, p)?])
}

/// `LpPool`: the p-norm over windows. The sum is a convolution with ones, a channel at a time.
pub(super) fn lp(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let n = window::spatial(c, v)?;
    let kernel = window::kernel_shape(c, n)?;
    let mut w = window::window(c, v, kernel)?;
    for (pad, more) in
        w.pads_end.clone().iter().zip(window::overhang(c, v, &w)?).enumerate().map(|(i, (p, m))| (i, p + m))
    {
        w.pads_end[pad] = more;
    }
    let p = exponent(c)?;
    let shape = c.shape(v);
    let powers = power(c, v, p)?;
    let events = shape[0].mul(&shape[1])?;
    let single = [&[events], &shape.dims()[2..], &[Dim::ONE]].concat();
    let single = c.b.reshape(powers, Shape::new(single))?;
    let one = sofie_infer_runtime::map::Scalar::from_f64(c.dtype(v), 1.0);
    let ones = c.b.tensor(Tensor::filled(one, &[w.kernel.clone(), vec![1, 1]].concat()));
    let sum = c.b.one(Op::Conv(ir::Conv::new(w, 1), Epilogue::NONE), &[single, ones])?;
    let extents = c.shape(sum).dims()[1..=n].to_vec();
    let sum = c.b.reshape(sum, Shape::new([&shape.dims()[..2], &extents].concat()))?;
    Ok(vec![root(c, sum, p)?])
}

/// `LRN`: `x / (bias + alpha / size * Σ x²)^beta`, the sum over `size` neighbouring channels. That is
/// `alpha` times a mean over a window that counts its pads, channels being its one spatial axis.
pub(super) fn local_response(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let (alpha, beta) = (c.attrs.float_or("alpha", 1e-4)?, c.attrs.float_or("beta", 0.75)?);
    let bias = c.attrs.float_or("bias", 1.0)?;
    let size = c.attrs.int("size")?;
    let size = window::counts("size", &[c.attrs.require("size", size)?], 1, 1)?[0];
    let shape = c.shape(v);
    if shape.rank() < 2 {
        return Err(Error::misfit(format!("X has shape {shape}; [N, C, ..] is needed")));
    }
    let inner = Shape::new(shape.dims()[2..].to_vec()).numel()?;
    let square = c.map(x() * x(), &[v])?;
    let flat = c.b.reshape(square, Shape::new(vec![shape[0].clone(), shape[1].clone(), inner]))?;
    let window = Window {
        kernel: vec![size],
        strides: vec![1],
        dilations: vec![1],
        pads_begin: vec![(size - 1) / 2],
        pads_end: vec![size / 2],
    };
    let pool = ir::Pool { kind: PoolKind::AverageWithPads, window, overhang: vec![0] };
    let mean = c.b.one(Op::Pool(pool), &[flat])?;
    let mean = c.b.reshape(mean, shape)?;
    let e = x() / y().mul_add(num(alpha), num(bias)).binary(Binary::Pow, num(beta));
    Ok(vec![c.map(e, &[v, mean])?])
}
