//! Reductions over axes, positions of extremes, and running sums.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Op, ReduceKind, ValueId};

/// `ReduceX`. The axes are an attribute until opset 12 (`ReduceSum`) or 17 (all others), an operand
/// afterwards; without axes everything is reduced, or with `noop_with_empty_axes` nothing.
pub(super) fn reduce(c: &mut Ctx<'_, '_>, kind: ReduceKind) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    let last_attribute = if c.node.op_type == "ReduceSum" { 12 } else { 17 };
    if c.version() > last_attribute && c.computed(1)?.is_some() {
        let keep = c.attrs.flag_or("keepdims", true)?;
        // The list has elements: what an empty one means does not matter.
        c.attrs.ignore(&["noop_with_empty_axes"]);
        let shape = c.shape(v);
        let computed = super::runtime::by_axes(c, 1, shape.rank(), |c, axes, to| {
            let reduced_dims = (0..shape.rank())
                .filter(|a| keep || !axes.contains(a))
                .map(|a| if axes.contains(&a) { crate::ir::Dim::ONE } else { shape[a].clone() });
            if crate::ir::Shape::new(reduced_dims.collect()) != crate::ir::Shape::of(to) {
                return Ok(None);
            }
            let y = reduced(c, v, kind, axes)?;
            Ok(Some(if keep { y } else { c.drop_axes(y, axes)? }))
        })?;
        return Ok(computed.into_iter().collect());
    }
    let axes = c.axes_list(last_attribute, 1)?.unwrap_or_default();
    let keep = c.attrs.flag_or("keepdims", true)?;
    let nothing = c.attrs.flag_or("noop_with_empty_axes", false)?;
    let rank = c.rank(v);
    let axes = match axes.as_slice() {
        [] if nothing => Vec::new(),
        [] => (0..rank).collect(),
        axes => c.axes(axes, rank)?,
    };
    let y = reduced(c, v, kind, &axes)?;
    Ok(vec![if keep { y } else { c.drop_axes(y, &axes)? }])
}

/// The reduction over axes that stay with extent 1. Over none each element is a set of its own.
fn reduced(c: &mut Ctx<'_, '_>, v: ValueId, kind: ReduceKind, axes: &[usize]) -> Result<ValueId> {
    use super::expr::x;
    use sofie_infer_runtime::DType;
    use sofie_infer_runtime::map::Unary;
    if kind == ReduceKind::LogSum && !c.dtype(v).is_float() {
        // The sum is exact as an integer.
        let sum = reduced(c, v, ReduceKind::Sum, axes)?;
        return c.in_floats(sum, DType::F64, |c, v| Ok(c.b.unary(Unary::Log, v)?));
    }
    if !axes.is_empty() {
        return Ok(c.b.one(Op::Reduce(kind, axes.to_vec()), &[v])?);
    }
    let e = match kind {
        ReduceKind::Sum | ReduceKind::Mean | ReduceKind::Prod | ReduceKind::Max | ReduceKind::Min => {
            return Ok(v);
        }
        ReduceKind::L1 | ReduceKind::L2 => x().unary(Unary::Abs),
        ReduceKind::SumSquare => x() * x(),
        ReduceKind::LogSum => x().unary(Unary::Log),
        ReduceKind::LogSumExp => return Ok(v),
    };
    c.map(e, &[v])
}

/// `ArgMax` and `ArgMin`.
pub(super) fn arg_reduce(c: &mut Ctx<'_, '_>, max: bool) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    let axis = c.axis("axis", Some(0), c.rank(v))?;
    let keep = c.attrs.flag_or("keepdims", true)?;
    let last = c.attrs.flag_or("select_last_index", false)?;
    let y = c.b.one(Op::ArgReduce { max, axis, last }, &[v])?;
    Ok(vec![if keep { y } else { c.drop_axes(y, &[axis])? }])
}

/// `CumSum` and `CumProd`.
pub(super) fn scan(c: &mut Ctx<'_, '_>, product: bool) -> Result<Vec<ValueId>> {
    let v = c.required(0, "x")?;
    let exclusive = c.attrs.flag_or("exclusive", false)?;
    let reverse = c.attrs.flag_or("reverse", false)?;
    let rank = c.rank(v);
    let computed = super::runtime::by_axis(c, 1, rank, |c, axis| {
        Ok(Some(c.b.one(Op::Scan { product, axis, exclusive, reverse }, &[v])?))
    })?;
    if let Some(y) = computed {
        return Ok(vec![y]);
    }
    let axis = c.const_int(1, "axis")?.ok_or_else(|| Error::new("input 1 (axis) is missing"))?;
    let axis = crate::ir::axis_in(axis, c.rank(v))?;
    Ok(vec![c.b.one(Op::Scan { product, axis, exclusive, reverse }, &[v])?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    fn x() -> Arg {
        f32s(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    }

    #[test]
    fn axes_by_attribute_and_by_operand() {
        let axes = |n: i64| ("axes", Attribute::Ints(vec![n]));
        let flat = ("keepdims", Attribute::Int(0));
        assert_eq!(
            run("ReduceSum", 11, &[axes(-1), flat.clone()], &[x()]),
            Tensor::of(&[2], &[6.0f32, 15.0])
        );
        assert_eq!(run("ReduceSum", 13, &[], &[x(), ints(&[0])]), Tensor::of(&[1, 3], &[5.0f32, 7.0, 9.0]));
        assert_eq!(run("ReduceMean", 13, &[axes(1)], &[x()]), Tensor::of(&[2, 1], &[2.0f32, 5.0]));
        assert_eq!(run("ReduceMax", 18, &[flat], &[x()]), Tensor::of(&[], &[6.0f32]));
        let twice = lowered("ReduceSum", 13, &[], &[x(), ints(&[1, -1])], 1).unwrap_err();
        assert!(twice.contains("name an axis twice"), "{twice}");
    }

    #[test]
    fn no_axes_are_all_or_none() {
        let noop = [("noop_with_empty_axes", Attribute::Int(1))];
        assert_eq!(run("ReduceSum", 13, &[], &[x(), ints(&[])]), Tensor::of(&[1, 1], &[21.0f32]));
        assert_eq!(run("ReduceSumSquare", 18, &noop, &[x()]).to_vec::<f32>().unwrap()[5], 36.0);
        assert_eq!(run("ReduceMin", 18, &noop, &[x()]).dims(), [2, 3]);
    }

    #[test]
    fn logarithms_of_integers_lose_their_fraction() {
        let x = || Arg::In(Tensor::of(&[2, 2], &[1i32, 2, 100, 50]));
        assert_eq!(run("ReduceLogSum", 18, &[], &[x(), ints(&[1])]), Tensor::of(&[2, 1], &[1i32, 5]));
        let noop = [("noop_with_empty_axes", Attribute::Int(1))];
        assert_eq!(run("ReduceLogSum", 18, &noop, &[x()]), Tensor::of(&[2, 2], &[0i32, 0, 4, 3]));
    }

    #[test]
    fn positions_and_running_sums() {
        let x = f32s(&[4], &[1.0, 3.0, 3.0, 2.0]);
        assert_eq!(run("ArgMax", 13, &[], std::slice::from_ref(&x)), Tensor::of(&[1], &[1i64]));
        let last = [("select_last_index", Attribute::Int(1)), ("keepdims", Attribute::Int(0))];
        assert_eq!(run("ArgMax", 13, &last, std::slice::from_ref(&x)), Tensor::of(&[], &[2i64]));
        let axis = Arg::Const(Tensor::of(&[], &[0i32]));
        assert_eq!(
            run("CumSum", 14, &[], &[x.clone(), axis.clone()]),
            Tensor::of(&[4], &[1.0f32, 4.0, 7.0, 9.0])
        );
        let both = [("exclusive", Attribute::Int(1)), ("reverse", Attribute::Int(1))];
        assert_eq!(run("CumSum", 14, &both, &[x, axis]), Tensor::of(&[4], &[8.0f32, 5.0, 2.0, 0.0]));
    }
}
