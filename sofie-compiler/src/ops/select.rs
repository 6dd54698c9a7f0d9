//! Operators that pick elements by their values: `NonZero`, `Compress`, `Unique`, `NonMaxSuppression`. How many there are is
//! known when the network runs: it is what the file declares, or the run fails; or the result is an output of the model
//! with room for all that there can be.

use super::Ctx;
use super::expr::{Expr, x};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};
use sofie_infer_runtime::plain;

/// Positions of what is not zero in `v` (flat), room for `capacity`, and how many they are.
fn positions(c: &mut Ctx<'_, '_>, v: ValueId, capacity: usize) -> Result<(ValueId, ValueId)> {
    let len = c.fixed(v, "a selection")?.iter().product();
    let kernel = plain::Positions { len, capacity };
    let results = vec![(DType::I64, vec![capacity]), (DType::I64, vec![1])];
    let found = c.plain(kernel, &[v], results)?;
    Ok((found[0], found[1]))
}

/// `NonZero`: `[rank, n]`, the axes' indices one below the other.
pub(super) fn non_zero(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let dims = c.fixed(v, "NonZero")?;
    let rank = dims.len();
    let capacity = c.capacity(0, 1, dims.iter().product());
    let (flat, count) = positions(c, v, capacity)?;
    let mut rows = Vec::new();
    for axis in 0..rank {
        let inner: usize = dims[axis + 1..].iter().product();
        let int = |n: usize| Expr::Typed((n.max(1) as i64).into());
        let row = c.map((x() / int(inner)).binary(Binary::Mod, int(dims[axis])), &[flat])?;
        rows.push(c.reshape(row, &[Dim::ONE, capacity.into()])?);
    }
    let y = match rows.is_empty() {
        true => super::constant::filled(c, 0i64.into(), vec![Dim::Fixed(0), capacity.into()])?,
        false => c.b.one(Op::Concat(0), &rows)?,
    };
    c.counted(y, 0, 1, count)?;
    Ok(vec![y])
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
    let (n, held) = (c.fixed(v, "Compress")?[axis], c.fixed(condition, "Compress")?);
    let [held] = held[..] else { return Err(Error::new(format!("the condition has shape {held:?}"))) };
    if held > n {
        return Err(Error::new(format!("a condition of {held} elements for an extent of {n}")));
    }
    if let Some(known) = c.b.constant(condition).and_then(|t| t.to_ints()) {
        let chosen: Vec<i64> = (0..held as i64).filter(|&i| known[i as usize] != 0).collect();
        let index = c.integers(&chosen);
        return Ok(vec![c.b.one(Op::Gather { axis, batch: 0 }, &[v, index])?]);
    }
    let capacity = c.capacity(0, axis, held);
    let (index, count) = positions(c, condition, capacity)?;
    let y = c.b.one(Op::Gather { axis, batch: 0 }, &[v, index])?;
    c.counted(y, 0, axis, count)?;
    Ok(vec![y])
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
    let dims = c.fixed(v, "Unique")?;
    let n = dims[axis];
    if n == 0 {
        let none = c.integers(&[]);
        return Ok(vec![v, none, none, none]);
    }
    let mut capacity = c.capacity(0, axis, n);
    for i in [1, 3] {
        capacity = c.capacity(i, 0, capacity);
    }
    let kernel = plain::Unique {
        outer: dims[..axis].iter().product(),
        n,
        inner: dims[axis + 1..].iter().product(),
        sorted,
        capacity,
    };
    let list = |n: usize| (DType::I64, vec![n]);
    let found = c.plain(kernel, &[v], vec![list(capacity), list(n), list(capacity), list(1)])?;
    let [indices, inverse, counts, count] = found[..] else { return Err(Error::new("four results")) };
    let y = c.b.one(Op::Gather { axis, batch: 0 }, &[v, indices])?;
    for (v, output, axis) in [(y, 0, axis), (indices, 1, 0), (counts, 3, 0)] {
        if c.wants(output) {
            c.counted(v, output, axis, count)?;
        }
    }
    Ok(vec![y, indices, inverse, counts])
}

/// `NonMaxSuppression`.
pub(super) fn suppression(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (boxes, scores) = (c.required(0, "boxes")?, c.required(1, "scores")?);
    let (of_boxes, of_scores) = (c.fixed(boxes, "NonMaxSuppression")?, c.fixed(scores, "NonMaxSuppression")?);
    let (&[batch, n, 4], &[events, classes, m]) = (&of_boxes[..], &of_scores[..]) else {
        return Err(Error::new(format!("boxes {of_boxes:?} and scores {of_scores:?}")));
    };
    if batch != events || n != m {
        return Err(Error::new(format!("boxes {of_boxes:?} and scores {of_scores:?} do not fit")));
    }
    let centres = match c.attrs.int_or("center_point_box", 0)? {
        0 => false,
        1 => true,
        other => return Err(Error::new(format!("center_point_box is {other}"))),
    };
    let most = c.optional(2)?;
    let per_class = match most.and_then(|v| c.b.constant(v)).and_then(|t| t.to_ints()).as_deref() {
        Some([k]) => (*k).clamp(0, n as i64) as usize,
        _ if most.is_none() => 0,
        _ => n,
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
    let capacity = c.capacity(0, 0, batch * classes * per_class);
    let (boxes, scores) = (c.b.cast(boxes, DType::F32)?, c.b.cast(scores, DType::F32)?);
    let kernel = plain::Suppression { batch, classes, boxes: n, capacity, centres, threshold };
    let results = vec![(DType::I64, vec![capacity, 3]), (DType::I64, vec![1])];
    let found = c.plain(kernel, &[boxes, scores, most, overlap, least], results)?;
    c.counted(found[0], 0, 0, found[1])?;
    Ok(vec![found[0]])
}
