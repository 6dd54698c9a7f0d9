//! Indexed reads and writes: `Gather`, `GatherElements`, `GatherND`, `ScatterElements`, `ScatterND`.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ScatterKind, ValueId, axis_in};
use sofie_infer_runtime::DType;

/// Indices in a type that the graph indexes with; narrower integers exist in files of old exporters.
fn indices(c: &mut Ctx<'_, '_>, i: usize) -> Result<ValueId> {
    let index = c.required(i, "indices")?;
    match c.dtype(index) {
        DType::I32 | DType::I64 => Ok(index),
        other => Err(Error::new(format!("indices of type {other}; i32 or i64 is needed"))),
    }
}

/// `Gather`. One constant index is a slice, which moves nothing.
pub(super) fn gather(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, index) = (c.required(0, "data")?, indices(c, 1)?);
    let axis = c.axis("axis", Some(0), c.rank(v))?;
    let one = c.b.constant(index).filter(|t| t.len() == 1 && t.dims().len() <= 1);
    if let Some(i) = one.and_then(|t| t.to_ints()) {
        let n = c.shape(v)[axis].clone();
        let needed = if i[0] < 0 { i[0].saturating_neg() } else { i[0].saturating_add(1) };
        let found = c.b.graph().found();
        if n.range().0 < needed && found.iter().any(|f| n.symbols().contains(&f.symbol.name)) {
            return Err(Error::new(format!(
                "element {} of an axis that may have none ({n}, by values)",
                i[0]
            ))
            .help(super::found::HELP));
        }
        let i = match n.fixed() {
            Some(n) => Some(Dim::from(axis_in(i[0], n.max(0) as usize).map_err(|_| {
                Error::new(format!("index {} is outside the extent {n} of axis {axis}", i[0]))
            })?)),
            None if i[0] >= 0 => None,
            None => Some(n.add(&Dim::Fixed(i[0]))?),
        };
        if let Some(i) = i {
            let drop = c.rank(index) == 0;
            let part = c.b.slice_axis(v, axis, i, Dim::ONE)?;
            return Ok(vec![if drop { c.drop_axes(part, &[axis])? } else { part }]);
        }
    }
    Ok(vec![c.b.one(Op::Gather { axis, batch: 0 }, &[v, index])?])
}

/// `GatherElements`.
pub(super) fn gather_elements(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, index) = (c.required(0, "data")?, indices(c, 1)?);
    let axis = c.axis("axis", Some(0), c.rank(v))?;
    Ok(vec![c.b.one(Op::GatherElements(axis), &[v, index])?])
}

/// `GatherND`. Tuples of one index are the indices of a `Gather`, which more passes know.
pub(super) fn gather_nd(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, index) = (c.required(0, "data")?, indices(c, 1)?);
    let batch = c.attrs.int_or("batch_dims", 0)?;
    let batch = usize::try_from(batch).map_err(|_| Error::new(format!("batch_dims is {batch}")))?;
    let tuples = c.rank(index).checked_sub(1).filter(|last| *last >= batch && c.rank(v) > batch);
    if let Some(last) = tuples.filter(|last| c.shape(index)[*last].is(1)) {
        let index = c.drop_axes(index, &[last])?;
        return Ok(vec![c.b.one(Op::Gather { axis: batch, batch }, &[v, index])?]);
    }
    Ok(vec![c.b.one(Op::GatherNd { batch }, &[v, index])?])
}

/// How updates meet the data: the attribute `reduction`. The sum of two bools is true where one of them is, their product
/// where both are.
fn reduction(c: &Ctx<'_, '_>, data: ValueId) -> Result<ScatterKind> {
    Ok(match (c.attrs.string_or("reduction", "none")?, c.dtype(data)) {
        ("none", _) => ScatterKind::Set,
        ("max", _) | ("add", DType::Bool) => ScatterKind::Max,
        ("min", _) | ("mul", DType::Bool) => ScatterKind::Min,
        ("add", _) => ScatterKind::Add,
        ("mul", _) => ScatterKind::Mul,
        (other, _) => return Err(Error::new(format!("reduction {other:?} is not known"))),
    })
}

/// `ScatterElements`, and `Scatter`, its name in opsets 9 and 10.
pub(super) fn scatter_elements(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, index, updates) = (c.required(0, "data")?, indices(c, 1)?, c.required(2, "updates")?);
    let axis = c.axis("axis", Some(0), c.rank(v))?;
    let kind = reduction(c, v)?;
    Ok(vec![c.b.one(Op::ScatterElements(axis, kind), &[v, index, updates])?])
}

/// `ScatterND`.
pub(super) fn scatter_nd(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, index, updates) = (c.required(0, "data")?, indices(c, 1)?, c.required(2, "updates")?);
    let kind = reduction(c, v)?;
    Ok(vec![c.b.one(Op::ScatterNd(kind), &[v, index, updates])?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    fn matrix() -> Arg {
        f32s(&[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    }

    #[test]
    fn one_constant_index_is_a_slice() {
        let last = Arg::Const(Tensor::of(&[], &[-1i64]));
        let graph = lowered("Gather", 13, &[], &[matrix(), last.clone()], 1).unwrap();
        assert!(!graph.to_string().contains("gather"), "{graph}");
        assert_eq!(run("Gather", 13, &[], &[matrix(), last]), Tensor::of(&[2], &[4.0f32, 5.0]));
        assert_eq!(run("Gather", 13, &[], &[matrix(), ints(&[1])]), Tensor::of(&[1, 2], &[2.0f32, 3.0]));
        let outside = lowered("Gather", 13, &[], &[matrix(), ints(&[3])], 1).unwrap_err();
        assert!(outside.contains("index 3 is outside the extent 3 of axis 0"), "{outside}");
    }

    #[test]
    fn tuples_of_one_index_are_a_gather() {
        let index = Arg::Const(Tensor::of(&[3, 1], &[2i64, -3, 1]));
        let graph = lowered("GatherND", 13, &[], &[matrix(), index.clone()], 1).unwrap();
        assert!(graph.to_string().contains("gather axis=0 batch=0"), "{graph}");
        let want = Tensor::of(&[3, 2], &[4.0f32, 5.0, 0.0, 1.0, 2.0, 3.0]);
        assert_eq!(run("GatherND", 13, &[], &[matrix(), index]), want);
        let (rows, index) = (f32s(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]), Tensor::of(&[2, 1], &[2i64, 0]));
        let batched = [("batch_dims", Attribute::Int(1))];
        assert_eq!(
            run("GatherND", 13, &batched, &[rows, Arg::Const(index)]),
            Tensor::of(&[2], &[2.0f32, 3.0])
        );
    }

    #[test]
    fn sums_and_products_of_bools_are_bools() {
        let bools = |x: &[bool]| Arg::In(Tensor::of(&[x.len()], x));
        let (data, index, updates) =
            ([true, true, false, false], [0i64, 1, 2, 3], [true, false, true, false]);
        for (kind, want) in [("add", [true, true, true, false]), ("mul", [true, false, false, false])] {
            let kind = [("reduction", Attribute::String(kind.into()))];
            let args = [bools(&data), Arg::In(Tensor::of(&[4], &index)), bools(&updates)];
            assert_eq!(run("ScatterElements", 18, &kind, &args), Tensor::of(&[4], &want));
            let args = [bools(&data), Arg::In(Tensor::of(&[4, 1], &index)), bools(&updates)];
            assert_eq!(run("ScatterND", 18, &kind, &args), Tensor::of(&[4], &want));
        }
    }

    #[test]
    fn run_time_indices() {
        let index = Arg::In(Tensor::of(&[2, 1], &[2i32, -3]));
        assert_eq!(
            run("Gather", 13, &[], &[matrix(), index]),
            Tensor::of(&[2, 1, 2], &[4.0f32, 5.0, 0.0, 1.0])
        );
        let index = Arg::In(Tensor::of(&[1, 2], &[2i64, 0]));
        assert_eq!(run("GatherElements", 13, &[], &[matrix(), index]), Tensor::of(&[1, 2], &[4.0f32, 1.0]));
        let index = Arg::In(Tensor::of(&[2, 2], &[2i64, 0, 0, 1]));
        assert_eq!(run("GatherND", 13, &[], &[matrix(), index]), Tensor::of(&[2], &[4.0f32, 1.0]));
    }

    #[test]
    fn writes_with_and_without_a_reduction() {
        let index = Arg::In(Tensor::of(&[2, 1], &[1i64, 1]));
        let updates = f32s(&[2, 1], &[10.0, 20.0]);
        let add = [("reduction", text("add"))];
        let y = run("ScatterElements", 18, &add, &[matrix(), index.clone(), updates]);
        assert_eq!(y, Tensor::of(&[3, 2], &[0.0f32, 1.0, 32.0, 3.0, 4.0, 5.0]));
        let rows = f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let y = run("ScatterND", 18, &[("reduction", text("max"))], &[matrix(), index.clone(), rows.clone()]);
        assert_eq!(y, Tensor::of(&[3, 2], &[0.0f32, 1.0, 3.0, 4.0, 4.0, 5.0]));
        let (flags, index_of) = (|x: &[bool]| Arg::In(Tensor::of(&[x.len()], x)), index.clone());
        let meet = |how: &str| {
            let attrs = [("reduction", text(how))];
            run("ScatterND", 16, &attrs, &[flags(&[true, true]), index_of.clone(), flags(&[false, true])])
        };
        assert_eq!(meet("add"), Tensor::of(&[2], &[true, true]));
        assert_eq!(meet("mul"), Tensor::of(&[2], &[true, false]));
        let axis = [("axis", Attribute::Int(-1)), ("reduction", text("median"))];
        assert!(lowered("ScatterElements", 18, &axis, &[matrix(), index, rows], 1).is_err());
    }
}
