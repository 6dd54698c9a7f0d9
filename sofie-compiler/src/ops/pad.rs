//! `Pad` with every mode, and `CenterCropPad`. Negative pads cut. Borders that repeat elements are a
//! gather with constant indices, axis by axis.

use super::Ctx;
use super::expr::{x, y, z};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Shape, Tensor, ValueId, axis_in};
use sofie_infer_runtime::map::Scalar;

/// What a border holds.
enum Border {
    /// One value known while compiling.
    Constant(Scalar),
    /// One value that an operand holds.
    RunTime(ValueId),
    /// Elements of the tensor, by index from the start of the axis (negative or beyond the end) and extent.
    Repeat(fn(i64, i64) -> i64),
}

/// The elements mirrored about the first and the last one, as often as needed.
fn reflect(i: i64, n: i64) -> i64 {
    let period = (2 * (n - 1)).max(1);
    let i = i.rem_euclid(period);
    if i < n { i } else { period - i }
}

fn edge(i: i64, n: i64) -> i64 {
    i.clamp(0, n - 1)
}

fn wrap(i: i64, n: i64) -> i64 {
    i.rem_euclid(n)
}

/// The pads of an axis before and behind, per axis of the operand.
fn pads(c: &Ctx<'_, '_>, rank: usize, version: i64) -> Result<Vec<(Dim, Dim)>> {
    let listed = match version {
        ..2 => c.attrs.ints("paddings")?.map(|p| p.iter().map(|&n| Dim::Fixed(n)).collect()),
        2..11 => c.attrs.ints("pads")?.map(|p| p.iter().map(|&n| Dim::Fixed(n)).collect()),
        _ => c.extents(1, "pads")?,
    };
    let listed: Vec<Dim> = listed.ok_or_else(|| Error::new("pads are missing"))?;
    let axes = if version < 18 { None } else { c.const_ints(3, "axes")? };
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    c.axes(&axes, rank)?;
    if listed.len() != 2 * axes.len() {
        return Err(Error::new(format!("{} pads for {} axes", listed.len(), axes.len())));
    }
    let mut pads = vec![(Dim::Fixed(0), Dim::Fixed(0)); rank];
    for (i, &axis) in axes.iter().enumerate() {
        pads[axis_in(axis, rank)?] = (listed[i].clone(), listed[axes.len() + i].clone());
    }
    Ok(pads)
}

fn border(c: &Ctx<'_, '_>, v: ValueId, version: i64) -> Result<Border> {
    let dtype = c.dtype(v);
    let mode = c.attrs.string_or("mode", "constant")?;
    let attribute = if version < 11 { Some(c.attrs.float_or("value", 0.0)?) } else { None };
    Ok(match mode {
        "constant" => match (attribute, c.optional(2)?) {
            (Some(n), _) => Border::Constant(Scalar::from_f64(dtype, n.into())),
            (None, None) => Border::Constant(Scalar::from_f64(dtype, 0.0)),
            (None, Some(value)) => match c.b.constant(value) {
                Some(t) if t.len() == 1 && t.dtype() == dtype => Border::Constant(t.get(0)),
                _ => Border::RunTime(value),
            },
        },
        "reflect" => Border::Repeat(reflect),
        "edge" => Border::Repeat(edge),
        "wrap" => Border::Repeat(wrap),
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    })
}

/// `Pad`.
pub(super) fn pad(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    pad_of(c, c.version())
}

/// `Pad` as that version of ONNX's has it.
pub(super) fn pad_of(c: &mut Ctx<'_, '_>, version: i64) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    if version >= 11 {
        let mode = c.attrs.string_or("mode", "constant")?;
        let value = c.optional(2)?;
        if let Some(y) = super::runtime::pad(c, v, mode, value)? {
            return Ok(vec![y]);
        }
    }
    let pads = pads(c, c.rank(v), version)?;
    let border = border(c, v, version)?;
    let v = cut(c, v, &pads)?;
    let zero = Dim::Fixed(0);
    let before: Vec<_> = pads.iter().map(|(b, _)| Dim::max(b, &zero)).collect();
    let after: Vec<_> = pads.iter().map(|(_, a)| Dim::max(a, &zero)).collect();
    let padded = |c: &mut Ctx<'_, '_>, v: ValueId, value: Scalar| {
        c.b.one(Op::Pad { before: before.clone(), after: after.clone(), value }, &[v])
    };
    Ok(vec![match border {
        Border::Constant(value) => padded(c, v, value)?,
        Border::RunTime(value) => {
            if c.b.shape(value).numel()? != Dim::ONE {
                return Err(Error::new(format!("constant_value has shape {}", c.shape(value))));
            }
            let value = c.b.reshape(value, Shape::default())?;
            let shape = c.shape(v).dims().to_vec();
            let inside = super::constant::filled(c, true.into(), shape)?;
            let inside = padded(c, inside, false.into())?;
            let zero = Scalar::from_f64(c.dtype(v), 0.0);
            let v = padded(c, v, zero)?;
            c.map(z().select(x(), y()), &[v, value, inside])?
        }
        Border::Repeat(index) => repeat(c, v, &before, &after, index)?,
    }])
}

/// What negative pads leave.
fn cut(c: &mut Ctx<'_, '_>, mut v: ValueId, pads: &[(Dim, Dim)]) -> Result<ValueId> {
    let zero = Dim::Fixed(0);
    for (axis, (before, after)) in pads.iter().enumerate() {
        let (b, a) = (Dim::min(before, &zero), Dim::min(after, &zero));
        if !b.is(0) || !a.is(0) {
            let extent = c.shape(v)[axis].add(&b)?.add(&a)?;
            if Dim::Fixed(0).le(&extent) == Some(false) {
                return Err(Error::new(format!(
                    "the pads cut {} elements of {}",
                    b.add(&a)?,
                    c.shape(v)[axis]
                )));
            }
            v = c.b.slice_axis(v, axis, zero.sub(&b)?, extent)?;
        }
    }
    Ok(v)
}

fn repeat(
    c: &mut Ctx<'_, '_>,
    mut v: ValueId,
    before: &[Dim],
    after: &[Dim],
    index: fn(i64, i64) -> i64,
) -> Result<ValueId> {
    for axis in 0..before.len() {
        if before[axis].is(0) && after[axis].is(0) {
            continue;
        }
        let (Some(b), Some(a), Some(n)) =
            (before[axis].fixed(), after[axis].fixed(), c.shape(v)[axis].fixed())
        else {
            c.fixed(v, "a border that repeats elements")?;
            return Err(Error::new("a border that repeats elements needs fixed pads"));
        };
        if n == 0 {
            return Err(Error::new(format!("axis {axis} has no elements to repeat")));
        }
        let total = b.checked_add(n).and_then(|s| s.checked_add(a)).filter(|&t| t <= i64::from(i32::MAX));
        let total = total.ok_or_else(|| Error::new(format!("pads {b} and {a} are too large")))?;
        let indices: Vec<_> = (0..total).map(|i| index(i - b, n)).collect();
        let indices = c.b.tensor(Tensor::of(&[indices.len()], &indices));
        v = c.b.one(Op::Gather { axis, batch: 0 }, &[v, indices])?;
    }
    Ok(v)
}

/// `CenterCropPad`: the middle of an axis that is too long, zeros around one that is too short.
pub(super) fn center_crop_pad(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let mut v = c.required(0, "input_data")?;
    let rank = c.rank(v);
    let axes = c.attrs.ints("axes")?.map_or_else(|| (0..rank as i64).collect(), <[i64]>::to_vec);
    c.axes(&axes, rank)?;
    let picked = |to: &[usize]| -> Option<Vec<i64>> {
        axes.iter().map(|&a| Some(*to.get(axis_in(a, rank).ok()?)? as i64)).collect()
    };
    let target = match super::runtime::repeated(c, 1, "the shape", picked)? {
        Some(target) => target,
        None => c.extents(1, "the shape")?.ok_or_else(|| Error::new("input 1 (shape) is missing"))?,
    };
    if axes.len() != target.len() {
        return Err(Error::new(format!("{} extents for {} axes", target.len(), axes.len())));
    }
    for (axis, to) in axes.iter().zip(&target) {
        let axis = axis_in(*axis, rank)?;
        let from = c.shape(v)[axis].clone();
        let Some(more) = to.sub(&from)?.fixed() else {
            c.fixed(v, "CenterCropPad")?;
            return Err(Error::new("the shape has to be known"));
        };
        let less = (more.abs()) / 2;
        if more < 0 {
            v = c.b.slice_axis(v, axis, Dim::Fixed(less), to.clone())?;
        } else if more > 0 {
            let (mut before, mut after) = (vec![Dim::Fixed(0); rank], vec![Dim::Fixed(0); rank]);
            (before[axis], after[axis]) = (Dim::Fixed(less), Dim::Fixed(more - less));
            let value = Scalar::from_f64(c.dtype(v), 0.0);
            v = c.b.one(Op::Pad { before, after, value }, &[v])?;
        }
    }
    Ok(vec![v])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    fn padded(mode: &str, n: usize, pads: &[i64]) -> Vec<f32> {
        let values: Vec<f32> = (0..n).map(|i| i as f32).collect();
        run("Pad", 19, &[("mode", text(mode))], &[f32s(&[n], &values), ints(pads)]).to_vec().unwrap()
    }

    #[test]
    fn every_mode_as_numpy() {
        assert_eq!(padded("constant", 3, &[1, 2]), [0.0, 0.0, 1.0, 2.0, 0.0, 0.0]);
        assert_eq!(padded("edge", 3, &[1, 2]), [0.0, 0.0, 1.0, 2.0, 2.0, 2.0]);
        assert_eq!(padded("reflect", 3, &[2, 1]), [2.0, 1.0, 0.0, 1.0, 2.0, 1.0]);
        assert_eq!(padded("wrap", 3, &[1, 2]), [2.0, 0.0, 1.0, 2.0, 0.0, 1.0]);
        // More than one period.
        assert_eq!(padded("reflect", 2, &[3, 2]), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]);
        assert_eq!(padded("reflect", 1, &[2, 1]), [0.0; 4]);
    }

    #[test]
    fn negative_pads_cut_first() {
        assert_eq!(padded("constant", 4, &[-1, 1]), [1.0, 2.0, 3.0, 0.0]);
        assert_eq!(padded("edge", 4, &[-1, 1]), [1.0, 2.0, 3.0, 3.0]);
        let all = lowered("Pad", 13, &[], &[f32s(&[2], &[0.0; 2]), ints(&[-2, -1])], 1).unwrap_err();
        assert!(all.contains("the pads cut"), "{all}");
    }

    #[test]
    fn values_axes_and_old_attributes() {
        let x = f32s(&[1, 2], &[1.0, 2.0]);
        let nine = Arg::Const(Tensor::of(&[], &[9.0f32]));
        let y = Tensor::of(&[1, 3], &[9.0f32, 1.0, 2.0]);
        assert_eq!(run("Pad", 18, &[], &[x.clone(), ints(&[1, 0]), nine, ints(&[-1])]), y);
        assert_eq!(run("Pad", 13, &[], &[x.clone(), ints(&[0, 1, 0, 0]), f32s(&[], &[9.0])]), y);
        let old = [("pads", Attribute::Ints(vec![0, 1, 0, 0])), ("value", Attribute::Float(9.0))];
        assert_eq!(run("Pad", 2, &old, &[x]), y);
    }

    #[test]
    fn crops_and_pads_about_the_centre() {
        let x = f32s(&[5, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        let y = run("CenterCropPad", 18, &[], &[x, ints(&[2, 5])]);
        assert_eq!(y, Tensor::of(&[2, 5], &[0.0f32, 2.0, 3.0, 0.0, 0.0, 0.0, 4.0, 5.0, 0.0, 0.0]));
    }
}
