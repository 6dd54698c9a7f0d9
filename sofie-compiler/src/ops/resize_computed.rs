//! `Resize` whose scales, sizes or region are computed at run time: the same taps as `resample` works out while
//! compiling, as maps over the places of an axis, and a sum of gathered elements.

use super::Ctx;
use super::expr::{Expr, num, x, y, z};
use super::resample::{Filter, Nearest, Transform};
use super::resize::{Coordinates, Settings};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};

/// What decides the extents.
enum By {
    /// Operand of that number.
    Scales(usize),
    /// Operand 3, with the policy.
    Sizes,
}

/// An axis on its way: extents, and the scale as a list of one `f32`.
struct Axis {
    axis: usize,
    from: usize,
    to: usize,
    scale: ValueId,
}

/// Element `i` of a list.
fn element(c: &mut Ctx<'_, '_>, v: ValueId, i: usize) -> Result<ValueId> {
    Ok(c.b.slice_axis(v, 0, i.into(), Dim::ONE)?)
}

/// Whether a value is there, not constant, and not empty.
fn is_computed(c: &Ctx<'_, '_>, i: usize) -> Result<bool> {
    let Some(v) = c.optional(i)? else { return Ok(false) };
    Ok(c.b.constant(v).is_none() && !c.b.shape(v).numel()?.is(0))
}

/// The result, if an operand is computed that needs this.
pub(super) fn resize(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    axes: &[usize],
    settings: &Settings,
    policy: &str,
    scales_at: usize,
) -> Result<Option<ValueId>> {
    let crop = matches!(settings.transform, Coordinates::Crop);
    let by = match (is_computed(c, scales_at)?, scales_at == 2 && is_computed(c, 3)?) {
        (true, _) => By::Scales(scales_at),
        (_, true) if policy != "stretch" || crop && is_computed(c, 1)? => By::Sizes,
        _ if crop && is_computed(c, 1)? => By::Sizes,
        _ => return Ok(None),
    };
    let to = c.declares(0, if matches!(by, By::Sizes) { 3 } else { scales_at }, "the scales or sizes")?;
    let from = c.fixed(v, "a resize")?;
    let untouched = (0..from.len()).filter(|a| !axes.contains(a)).all(|a| to.get(a) == Some(&from[a]));
    if to.len() != from.len() || !untouched || from.contains(&0) && !to.contains(&0) {
        return Err(Error::new(format!("{from:?} is resized to {to:?} along {axes:?}")));
    }
    let targets = targets(c, axes, &from, &to, &by, policy)?;
    let dtype = c.dtype(v);
    if to.contains(&0) {
        let zero = c.b.scalar(sofie_infer_runtime::map::Scalar::from_f64(dtype, 0.0));
        return Ok(Some(c.b.broadcast(zero, &crate::ir::Shape::of(&to))?));
    }
    let between = !matches!(settings.filter, Filter::Nearest(_));
    let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
    let mut result = if between { c.b.cast(v, wide)? } else { v };
    let mut outside = Vec::new();
    for (k, t) in targets.iter().enumerate() {
        let place = place(c, t, k, axes.len(), settings.transform)?;
        if let (true, Some(value)) = (crop, settings.extrapolation) {
            let last = num((t.from - 1) as f64);
            let or = x().lt(num(0.0)).binary(Binary::Or, x().gt(last));
            let mut dims = vec![Dim::ONE; from.len()];
            dims[t.axis] = t.to.into();
            let mask = c.map(or, &[place])?;
            outside.push((c.reshape(mask, &dims)?, value));
        }
        result = along(c, result, t, place, settings)?;
    }
    for (mask, value) in outside {
        result = c.map(y().select(num(value), x()), &[result, mask])?;
    }
    Ok(Some(match between && !dtype.is_float() {
        true => super::resize::whole(c, result, dtype, settings)?,
        false => c.b.cast(result, dtype)?,
    }))
}

/// The axes with their scales; the run fails where these do not make the declared extents.
fn targets(
    c: &mut Ctx<'_, '_>,
    axes: &[usize],
    from: &[usize],
    to: &[usize],
    by: &By,
    policy: &str,
) -> Result<Vec<Axis>> {
    let n = axes.len();
    let floats = |values: Vec<f32>| Tensor::of(&[values.len()], &values);
    let extents = c.b.tensor(floats(axes.iter().map(|&a| from[a] as f32).collect()));
    let wanted = c.b.tensor(floats(axes.iter().map(|&a| to[a] as f32).collect()));
    let operand = match by {
        By::Scales(i) => *i,
        By::Sizes => 3,
    };
    let given = c.required(operand, "scales or sizes")?;
    let given = c.b.cast(given, DType::F32)?;
    if c.b.shape(given).numel()? != Dim::from(n) {
        return Err(Error::new(format!("{} numbers for {n} axes", c.shape(given))));
    }
    let given = c.reshape(given, &[n.into()])?;
    let floor = |e: Expr| e.unary(Unary::Floor);
    let (scales, made) = match (by, policy) {
        (By::Scales(_), _) => (given, c.map(floor(y() * x()), &[given, extents])?),
        (By::Sizes, "not_larger" | "not_smaller") => {
            let ratios = c.map(x() / y(), &[given, extents])?;
            let kind = if policy == "not_larger" { ReduceKind::Min } else { ReduceKind::Max };
            let common = c.b.one(Op::Reduce(kind, vec![0]), &[ratios])?;
            let made = c.map(floor(x() * y() + num(0.5)), &[common, extents])?;
            (c.b.broadcast(common, &crate::ir::Shape::of(&[n]))?, made)
        }
        (By::Sizes, _) => (c.map(x() / y(), &[wanted, extents])?, given),
    };
    let fits = x().eq(y()).binary(Binary::And, z().gt(num(0.0)));
    let fits = c.map(fits, &[made, wanted, scales])?;
    let fits = c.all(fits)?;
    c.check(fits);
    let mut targets = Vec::new();
    for (k, &axis) in axes.iter().enumerate() {
        targets.push(Axis { axis, from: from[axis], to: to[axis], scale: element(c, scales, k)? });
    }
    Ok(targets)
}

/// The places in the operand of all elements of the result along an axis, as `resample` has them.
fn place(c: &mut Ctx<'_, '_>, t: &Axis, k: usize, axes: usize, transform: Coordinates) -> Result<ValueId> {
    let index: Vec<f32> = (0..t.to).map(|i| i as f32).collect();
    let index = c.b.tensor(Tensor::of(&[t.to], &index));
    let (n, m) = (t.from as f64, t.to as f64);
    let half = || (x() + num(0.5)) / y() - num(0.5);
    let plain = match transform {
        Coordinates::Plain(transform) => transform,
        Coordinates::Crop => {
            let roi = c.required(1, "roi")?;
            let roi = c.b.cast(roi, DType::F32)?;
            if c.shape(roi).dims() != [Dim::from(2 * axes)] {
                return Err(Error::new(format!("roi has shape {} for {axes} axes", c.shape(roi))));
            }
            let (start, end) = (element(c, roi, k)?, element(c, roi, axes + k)?);
            let e = if t.to > 1 {
                y() * num(n - 1.0) + x() * (z() - y()) * num(n - 1.0) / num(m - 1.0)
            } else {
                num(0.5) * (y() + z()) * num(n - 1.0)
            };
            return c.map(e, &[index, start, end]);
        }
    };
    let e = match plain {
        Transform::HalfPixel => half(),
        Transform::HalfPixelSymmetric => {
            let adjustment = num(m) / (y() * num(n));
            num((n as f32 / 2.0) as f64) * (num(1.0) - adjustment) + (x() + num(0.5)) / y() - num(0.5)
        }
        Transform::PytorchHalfPixel if t.to > 1 => half(),
        Transform::AlignCorners if t.to > 1 => x() * num(n - 1.0) / num(m - 1.0),
        Transform::PytorchHalfPixel | Transform::AlignCorners => x() * num(0.0),
        Transform::Asymmetric => x() / y(),
        Transform::TfHalfPixelForNn => (x() + num(0.5)) / y(),
        Transform::TfCropAndResize { .. } => return Err(Error::new("a region without its coordinates")),
    };
    c.map(e, &[index, t.scale])
}

/// The sum of gathered elements.
fn along(c: &mut Ctx<'_, '_>, v: ValueId, t: &Axis, place: ValueId, settings: &Settings) -> Result<ValueId> {
    let last = num((t.from - 1) as f64);
    let inside = |e: Expr| e.max(num(0.0)).min(last.clone());
    let gather = |c: &mut Ctx<'_, '_>, at: Expr, inputs: &[ValueId]| -> Result<ValueId> {
        let index = c.map(inside(at).cast(DType::I64), inputs)?;
        Ok(c.b.one(Op::Gather { axis: t.axis, batch: 0 }, &[v, index])?)
    };
    let floor = || x().unary(Unary::Floor);
    if let Filter::Nearest(mode) = settings.filter {
        let rest = || x() - floor();
        let up = || floor() + num(1.0);
        let at = match mode {
            Nearest::RoundPreferFloor => rest().gt(num(0.5)).select(up(), floor()),
            Nearest::RoundPreferCeil => rest().ge(num(0.5)).select(up(), floor()),
            Nearest::Floor => floor(),
            Nearest::Ceil => x().unary(Unary::Ceil),
            Nearest::Simple => y().lt(num(1.0)).select(x().unary(Unary::Ceil), x().unary(Unary::Trunc)),
        };
        return gather(c, at, &[place, t.scale]);
    }
    let reach = if matches!(settings.filter, Filter::Cubic(_)) { 2.0 } else { 1.0 };
    // The scale is at least that of the extents: no more taps than these have a weight.
    let least = if settings.antialias { (t.to as f64 / t.from as f64).min(1.0) } else { 1.0 };
    let first = (-reach / least).floor() as i64 + 1;
    let stretch = if settings.antialias { y().min(num(1.0)) } else { num(1.0) };
    let free = settings.antialias || reach == 2.0;
    let place = if free { place } else { c.map(inside(x()), &[place])? };
    let mut sum = None;
    let mut parts = Vec::new();
    for offset in first..2 - first {
        let at = floor() + num(offset as f64);
        let distance = ((num(offset as f64) - (x() - floor())) * stretch.clone()).unary(Unary::Abs);
        let mut weight = kernel(settings.filter, distance);
        if settings.exclude_outside {
            let here =
                at.clone().ge(num(0.0)).binary(Binary::And, at.clone().binary(Binary::Le, last.clone()));
            weight = here.select(weight, num(0.0));
        }
        let weight = c.map(weight, &[place, t.scale])?;
        sum = Some(match sum {
            None => weight,
            Some(so_far) => c.b.binary(Binary::Add, so_far, weight)?,
        });
        parts.push((gather(c, at, &[place, t.scale])?, weight));
    }
    let mut total: Option<ValueId> = None;
    let mut dims = vec![Dim::ONE; c.rank(v)];
    dims[t.axis] = t.to.into();
    for (part, mut weight) in parts {
        if let Some(sum) = sum.filter(|_| settings.antialias || settings.exclude_outside) {
            weight = c.map(y().eq(num(0.0)).select(x(), x() / y()), &[weight, sum])?;
        }
        let weight = c.b.cast(weight, c.dtype(part))?;
        let weight = c.reshape(weight, &dims)?;
        total = Some(match total {
            None => c.map(x() * y(), &[part, weight])?,
            Some(so_far) => c.map(x().mul_add(y(), z()), &[part, weight, so_far])?,
        });
    }
    total.ok_or_else(|| Error::new("a filter without taps"))
}

/// The weight of an element at a distance: see `resample`.
fn kernel(filter: Filter, d: Expr) -> Expr {
    let d = || d.clone();
    match filter {
        Filter::Cubic(a) => {
            let a = || num(a);
            let near = ((a() + num(2.0)) * d() - (a() + num(3.0))) * d() * d() + num(1.0);
            let far = ((a() * d() - num(5.0) * a()) * d() + num(8.0) * a()) * d() - num(4.0) * a();
            let far = d().lt(num(2.0)).select(far, num(0.0));
            d().binary(Binary::Le, num(1.0)).select(near, far)
        }
        _ => (num(1.0) - d()).max(num(0.0)),
    }
}
