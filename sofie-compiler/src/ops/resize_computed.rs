//! `Resize` whose scales, sizes or region are computed at run time: they are checked against the extents that the file
//! declares, and the taps follow them.

use super::expr::{Expr, num, x, y, z};
use super::resize::{Axis, Coordinates, Region, Scale, Settings};
use super::{Ctx, Operand};
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

/// Element `i` of a list.
fn element(c: &mut Ctx<'_, '_>, v: ValueId, i: usize) -> Result<ValueId> {
    Ok(c.b.slice_axis(v, 0, i.into(), Dim::ONE)?)
}

/// Whether a value is there, not constant, and not empty. Extents are known.
fn is_computed(c: &Ctx<'_, '_>, i: usize) -> Result<bool> {
    let Some(Some(Operand::Value(v))) = c.operands.get(i) else { return Ok(false) };
    Ok(c.b.constant(*v).is_none() && !c.b.shape(*v).numel()?.is(0))
}

/// What is asked of the axes, if an operand is computed that says it.
pub(super) fn targets(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    axes: &[usize],
    settings: &Settings,
    policy: &str,
    scales_at: usize,
) -> Result<Option<Vec<Axis>>> {
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
    let mut targets = checked(c, axes, &from, &to, &by, policy)?;
    if crop {
        let roi = c.required(1, "roi")?;
        let roi = c.b.cast(roi, DType::F32)?;
        if c.shape(roi).dims() != [Dim::from(2 * axes.len())] {
            return Err(Error::new(format!("roi has shape {} for {} axes", c.shape(roi), axes.len())));
        }
        for (k, target) in targets.iter_mut().enumerate() {
            target.region = Region::Computed([element(c, roi, k)?, element(c, roi, axes.len() + k)?]);
        }
    }
    Ok(Some(targets))
}

/// The axes with their scales; the run fails where these do not make the declared extents.
fn checked(
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
        let scale = Scale::Computed(element(c, scales, k)?);
        targets.push(Axis { axis, to: to[axis].into(), scale, region: Region::WHOLE });
    }
    Ok(targets)
}
