//! Operators that pick elements by their values: `NonZero`, `Compress`, `Unique`, `NonMaxSuppression`. How many there are is
//! known when the network runs: it is what the file declares, or the run fails; or the result has as many as there are.

use super::Ctx;
use super::expr::{Expr, x, y};
use super::operand::Extents;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};
use sofie_infer_runtime::plain;

/// The product of some extents.
fn product(dims: &[Dim]) -> Result<Dim> {
    Ok(dims.iter().try_fold(Dim::ONE, |n, d| n.mul(d))?)
}

/// A result of integers.
fn list(n: &Dim) -> (DType, Shape) {
    (DType::I64, Shape::new(vec![n.clone()]))
}

/// Positions of what is not zero in `v` (flat), room for `capacity`, and how many they are.
fn positions(c: &mut Ctx<'_, '_>, v: ValueId, capacity: &Dim) -> Result<(ValueId, ValueId)> {
    let kernel = plain::Positions { len: 0, capacity: 0 };
    let free = vec![c.shape(v).numel()?, capacity.clone()];
    let results = vec![list(capacity), list(&Dim::ONE)];
    // Of one mask there are as many however often it is asked.
    let nodes = c.b.graph().nodes().iter();
    let asked =
        nodes.filter(|n| n.inputs == [v] && c.shape(n.outputs[0]).dims() == std::slice::from_ref(capacity));
    let mut same =
        asked.filter(|n| matches!(&n.op, Op::Plain(p) if matches!(p.kernel, plain::Plain::Positions(_))));
    let found = match same.next().map(|n| n.outputs.clone()) {
        Some(found) => found,
        None => c.plain_free(kernel, &[v], results, free)?,
    };
    Ok((found[0], found[1]))
}

/// An extent as an operand of arithmetic on integers, beside `x`.
fn number(c: &mut Ctx<'_, '_>, d: &Dim) -> Result<(Expr, Option<ValueId>)> {
    if let Some(n) = d.fixed() {
        return Ok((Expr::Typed(n.max(1).into()), None));
    }
    Ok((y(), Some(c.extent_value(d)?)))
}

/// `NonZero`: `[rank, n]`, the axes' indices one below the other.
pub(super) fn non_zero(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let dims = c.shape(v).dims().to_vec();
    let rank = dims.len();
    let capacity = c.capacity(0, 1, &product(&dims)?);
    let (flat, count) = positions(c, v, &capacity)?;
    let mut rows = Vec::new();
    for axis in 0..rank {
        let mut row = flat;
        let inner = product(&dims[axis + 1..])?;
        if axis + 1 < rank {
            let (inner, value) = number(c, &inner)?;
            row = c.map(x() / inner, &[&[row][..], value.as_slice()].concat())?;
        }
        if axis > 0 {
            let (extent, value) = number(c, &dims[axis])?;
            row = c.map(x().binary(Binary::Mod, extent), &[&[row][..], value.as_slice()].concat())?;
        }
        rows.push(c.reshape(row, &[Dim::ONE, capacity.clone()])?);
    }
    let y = match rows.is_empty() {
        true => super::constant::filled(c, 0i64.into(), vec![Dim::Fixed(0), capacity])?,
        false => c.b.one(Op::Concat(0), &rows)?,
    };
    Ok(vec![c.counted(y, 0, 1, count)?])
}

/// `Compress`: the slices along an axis (or the elements) for which a condition holds.
pub(super) fn compress(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (mut v, condition) = (c.required(0, "input")?, c.required(1, "condition")?);
    let axis = match c.attrs.int("axis")? {
        Some(axis) => crate::ir::axis_in(axis, c.rank(v))?,
        None => {
            let n = c.b.shape(v).numel()?;
            v = c.reshape(v, &[n])?;
            0
        }
    };
    let (n, held) = (c.shape(v)[axis].clone(), c.shape(condition));
    let [held] = held.dims() else { return Err(Error::new(format!("the condition has shape {held}"))) };
    if held.le(&n) != Some(true) {
        return Err(Error::new(format!("a condition of {held} elements for an extent of {n}")));
    }
    if let Some(known) = c.b.constant(condition).and_then(|t| t.to_ints()) {
        let chosen: Vec<i64> = (0..).zip(&known).filter(|(_, known)| **known != 0).map(|(i, _)| i).collect();
        let index = c.integers(&chosen);
        return Ok(vec![c.b.one(Op::Gather { axis, batch: 0 }, &[v, index])?]);
    }
    let capacity = c.capacity(0, axis, held);
    let (index, count) = positions(c, condition, &capacity)?;
    let y = c.b.one(Op::Gather { axis, batch: 0 }, &[v, index])?;
    Ok(vec![c.counted(y, 0, axis, count)?])
}

/// `Unique`.
pub(super) fn unique(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let mut v = c.required(0, "X")?;
    let sorted = c.attrs.flag_or("sorted", true)?;
    let axis = match c.attrs.int("axis")? {
        Some(axis) => crate::ir::axis_in(axis, c.rank(v))?,
        None => {
            let n = c.b.shape(v).numel()?;
            v = c.reshape(v, &[n])?;
            0
        }
    };
    let dims = c.shape(v).dims().to_vec();
    let n = &dims[axis];
    if n.is(0) {
        let none = c.integers(&[]);
        return Ok(vec![v, none, none, none]);
    }
    let mut capacity = c.capacity(0, axis, n);
    for i in [1, 3] {
        capacity = c.capacity(i, 0, &capacity);
    }
    let kernel = plain::Unique { outer: 0, n: 0, inner: 0, sorted, capacity: 0 };
    let free = vec![product(&dims[..axis])?, n.clone(), product(&dims[axis + 1..])?, capacity.clone()];
    let results = vec![list(&capacity), list(n), list(&capacity), list(&Dim::ONE)];
    let found = c.plain_free(kernel, &[v], results, free)?;
    let [mut indices, inverse, mut counts, count] = found[..] else { return Err(Error::new("four results")) };
    let mut y = c.b.one(Op::Gather { axis, batch: 0 }, &[v, indices])?;
    for (v, output, axis) in [(&mut y, 0, axis), (&mut indices, 1, 0), (&mut counts, 3, 0)] {
        if c.wants(output) {
            *v = c.counted(*v, output, axis, count)?;
        }
    }
    Ok(vec![y, indices, inverse, counts])
}

/// `NonMaxSuppression`.
pub(super) fn suppression(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (boxes, scores) = (c.required(0, "boxes")?, c.required(1, "scores")?);
    let (of_boxes, of_scores) = (c.shape(boxes), c.shape(scores));
    let ([batch, n, four], [events, classes, m]) = (of_boxes.dims(), of_scores.dims()) else {
        return Err(Error::new(format!("boxes {of_boxes} and scores {of_scores}")));
    };
    if batch != events || n != m || !four.is(4) {
        return Err(Error::new(format!("boxes {of_boxes} and scores {of_scores} do not fit")));
    }
    let known = Shape::new(vec![batch.clone(), classes.clone()]).fixed();
    let Some(&[batch, classes]) = known.as_deref() else {
        let of = Extents { scalar: false, dims: vec![batch.clone(), classes.clone()] };
        return Err(Error::new(format!("how many events and classes {of_scores} has is not fixed"))
            .help(format!("fix them: dims({})", super::declared::paste(&of.symbols()))));
    };
    let centres = match c.attrs.int_or("center_point_box", 0)? {
        0 => false,
        1 => true,
        other => return Err(Error::new(format!("center_point_box is {other}"))),
    };
    let most = c.optional(2)?;
    let per_class = match most.and_then(|v| c.b.constant(v)).and_then(|t| t.to_ints()).as_deref() {
        Some([k]) => n.min(&Dim::Fixed((*k).max(0))),
        _ if most.is_none() => Dim::Fixed(0),
        _ => n.clone(),
    };
    let mut parameter = |i: usize, default: Scalar| -> Result<ValueId> {
        let v = match c.optional(i)? {
            Some(v) => c.b.cast(v, default.dtype)?,
            None => c.b.scalar(default),
        };
        c.reshape(v, &[Dim::ONE])
    };
    let (most, overlap) = (parameter(2, 0i64.into())?, parameter(3, 0f32.into())?);
    let least = parameter(4, 0f32.into())?;
    let threshold = c.optional(4)?.is_some();
    let capacity = c.capacity(0, 0, &per_class.mul(&Dim::from(batch * classes))?);
    let (boxes, scores) = (c.b.cast(boxes, DType::F32)?, c.b.cast(scores, DType::F32)?);
    let kernel = plain::Suppression { batch, classes, boxes: 0, capacity: 0, centres, threshold };
    let selected = (DType::I64, Shape::new(vec![capacity.clone(), Dim::Fixed(3)]));
    let operands = [boxes, scores, most, overlap, least];
    let found =
        c.plain_free(kernel, &operands, vec![selected, list(&Dim::ONE)], vec![n.clone(), capacity])?;
    Ok(vec![c.counted(found[0], 0, 0, found[1])?])
}
