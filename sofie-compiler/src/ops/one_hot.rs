//! Positions as vectors, and sequences backwards: `OneHot`, `ReverseSequence`.

use super::Ctx;
use super::expr::{num, x, y};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Shape, Tensor, ValueId};
use sofie_infer_runtime::DType;

/// `OneHot`: `values[1]` where the index (negative ones counted from the end) is, else `values[0]`.
pub(super) fn one_hot(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, values) = (c.required(0, "indices")?, c.required(2, "values")?);
    let rank = c.rank(v) + 1;
    let axis = c.axis("axis", Some(-1), rank)?;
    let depth = match super::runtime::extent(c, 1, 0, "depth", |to| to.get(axis).copied())? {
        Some(depth) => depth,
        None => {
            let depth = c.constant(1, "depth")?.ok_or_else(|| Error::new("input 1 (depth) is missing"))?;
            match depth.to_f64s().as_slice() {
                [n] if *n >= 1.0 && *n <= f64::from(i32::MAX) => *n as i64,
                other => return Err(Error::new(format!("depth is {other:?}"))),
            }
        }
    };
    let mut dims = c.shape(v).dims().to_vec();
    dims.insert(axis, Dim::ONE);
    let index = c.b.cast(v, DType::I64)?;
    let index = c.b.reshape(index, Shape::new(dims))?;
    let index = c.map(x().lt(num(0.0)).select(x() + num(depth as f64), x()), &[index])?;
    let mut along = vec![1; rank];
    along[axis] = depth as usize;
    let places = c.b.tensor(Tensor::of(&along, &(0..depth).collect::<Vec<_>>()));
    let hot = c.map(x().eq(y()), &[index, places])?;
    let mut value = |i: usize| -> Result<ValueId> {
        let part = c.b.slice_axis(values, 0, i.into(), Dim::ONE)?;
        c.drop_axes(part, &[0])
    };
    let (off, on) = (value(0)?, value(1)?);
    Ok(vec![c.b.select(hot, on, off)?])
}

/// `ReverseSequence`: the first `sequence_lens[b]` elements of each sequence in reverse.
pub(super) fn reverse_sequence(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let lens = c.required(1, "sequence_lens")?;
    let rank = c.rank(v);
    let (time, batch) = (c.axis("time_axis", Some(0), rank)?, c.axis("batch_axis", Some(1), rank)?);
    if time + batch != 1 {
        return Err(Error::new(format!(
            "time_axis {time} and batch_axis {batch}; 0 and 1, or 1 and 0, are needed"
        )));
    }
    let n = c.shape(v)[time].clone();
    // [B, T, ..]: index j for i < len is len - 1 - i, else i.
    let sequences = if batch == 0 { v } else { c.b.transpose(v, &swapped(rank))? };
    let lens = c.b.cast(lens, DType::I64)?;
    let events = c.shape(sequences)[0].clone();
    let lens = c.b.reshape(lens, Shape::new(vec![events.clone(), Dim::ONE]))?;
    let lens = c.b.broadcast(lens, &Shape::new(vec![events, n]))?;
    let i = || super::expr::Expr::Iota(1);
    let index = c.map(i().lt(x()).select(x() - num(1.0) - i(), i()), &[lens])?;
    let y = c.b.one(Op::Gather { axis: 1, batch: 1 }, &[sequences, index])?;
    Ok(vec![if batch == 0 { y } else { c.b.transpose(y, &swapped(rank))? }])
}

/// The first two axes change places.
fn swapped(rank: usize) -> Vec<usize> {
    [1, 0].into_iter().chain(2..rank).collect()
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn hot_places() {
        let index = Arg::In(Tensor::of(&[3], &[0i64, -1, 7]));
        let depth = Arg::Const(Tensor::of(&[], &[3.0f32]));
        let values = Arg::Const(Tensor::of(&[2], &[2i32, 5]));
        let y = run("OneHot", 11, &[], &[index.clone(), depth.clone(), values.clone()]);
        assert_eq!(y, Tensor::of(&[3, 3], &[5i32, 2, 2, 2, 2, 5, 2, 2, 2]));
        let y = run("OneHot", 11, &[("axis", Attribute::Int(0))], &[index, depth, values]);
        assert_eq!(y, Tensor::of(&[3, 3], &[5i32, 2, 2, 2, 2, 2, 2, 5, 2]));
    }

    #[test]
    fn sequences_backwards() {
        let x = f32s(&[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let lens = Arg::In(Tensor::of(&[2], &[2i64, 3]));
        let y = run("ReverseSequence", 10, &[], &[x.clone(), lens]);
        assert_eq!(y, Tensor::of(&[3, 2], &[2.0f32, 5.0, 0.0, 3.0, 4.0, 1.0]));
        let lens = Arg::In(Tensor::of(&[3], &[2i64, 1, 0]));
        let attrs = [("time_axis", Attribute::Int(1)), ("batch_axis", Attribute::Int(0))];
        let y = run("ReverseSequence", 10, &attrs, &[x, lens]);
        assert_eq!(y, Tensor::of(&[3, 2], &[1.0f32, 0.0, 2.0, 3.0, 4.0, 5.0]));
    }
}
