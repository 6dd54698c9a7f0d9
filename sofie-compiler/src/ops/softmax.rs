//! `Softmax`, `LogSoftmax`, `Hardmax`. Before opset 13 they run over all axes from `axis` on, flattened
//! (default 1); since 13 over one axis (default -1).

use super::Ctx;
use super::expr::{Expr, num, y};
use super::reshape::matrix;
use super::transpose::axis_last;
use crate::error::Result;
use crate::ir::{Op, RowKind, ValueId};

/// `program` over the rows that the version means; `program` sees them along the last axis.
fn over_rows(
    c: &mut Ctx<'_, '_>,
    program: impl FnOnce(&mut Ctx<'_, '_>, ValueId) -> Result<ValueId>,
) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let flat = c.version() < 13;
    Ok(vec![along(c, v, flat, program)?])
}

/// `program` over all axes of `v` from `axis` on, flattened, or over that axis.
fn along(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    flat: bool,
    program: impl FnOnce(&mut Ctx<'_, '_>, ValueId) -> Result<ValueId>,
) -> Result<ValueId> {
    let (shape, rank) = (c.shape(v), c.rank(v));
    let axis = c.axis("axis", Some(if flat { 1.min(rank as i64 - 1) } else { -1 }), rank)?;
    if flat && axis + 1 < rank {
        let rows = matrix(&shape, axis)?;
        let rows = c.b.reshape(v, rows)?;
        let y = program(c, rows)?;
        return Ok(c.b.reshape(y, shape)?);
    }
    let (there, back) = axis_last(rank, axis);
    let last = c.b.transpose(v, &there)?;
    let y = program(c, last)?;
    Ok(c.b.transpose(y, &back)?)
}

/// The softmax of `v`, which another operator holds, as `opset` has it.
pub(super) fn of_opset(c: &mut Ctx<'_, '_>, v: ValueId, opset: i64) -> Result<ValueId> {
    along(c, v, opset < 13, |c, v| Ok(c.b.one(Op::Rows(RowKind::Softmax), &[v])?))
}

/// `Softmax` and `LogSoftmax`.
pub(super) fn softmax(c: &mut Ctx<'_, '_>, kind: RowKind) -> Result<Vec<ValueId>> {
    over_rows(c, |c, v| Ok(c.b.one(Op::Rows(kind), &[v])?))
}

/// `Hardmax`: 1 at the first largest element, else 0.
pub(super) fn hardmax(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    over_rows(c, |c, v| {
        let axis = c.rank(v) - 1;
        if c.shape(v).numel()?.is(0) {
            return Ok(v);
        }
        let first = c.b.one(Op::ArgReduce { max: true, axis, last: false }, &[v])?;
        // The first operand lends its shape and type.
        c.map(y().eq(Expr::Iota(axis)).select(num(1.0), num(0.0)), &[v, first])
    })
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn one_axis_or_all_from_it_on() {
        let x = f32s(&[1, 2, 2], &[0.0, 0.0, 1.0, 1.0]);
        let axis = |n: i64| [("axis", Attribute::Int(n))];
        let (p, q) = (0.268_941_43f32, 0.731_058_6f32);
        assert_close(
            &run("Softmax", 13, &[], std::slice::from_ref(&x)),
            &Tensor::of(&[1, 2, 2], &[0.5f32; 4]),
            0.0,
        );
        assert_close(
            &run("Softmax", 13, &axis(1), std::slice::from_ref(&x)),
            &Tensor::of(&[1, 2, 2], &[p, p, q, q]),
            1e-7,
        );
        let flat = Tensor::of(&[1, 2, 2], &[p / 2.0, p / 2.0, q / 2.0, q / 2.0]);
        assert_close(&run("Softmax", 11, &[], std::slice::from_ref(&x)), &flat, 1e-7);
        let log = Tensor::of(&[1, 2, 2], &[-1.313_261_7f32, -1.313_261_7, -0.313_261_7, -0.313_261_7]);
        assert_close(&run("LogSoftmax", 13, &axis(-2), &[x]), &log, 1e-6);
    }

    #[test]
    fn the_first_of_equals_is_hard() {
        let x = f32s(&[2, 3], &[1.0, 3.0, 3.0, f32::INFINITY, 0.0, 1.0]);
        assert_eq!(run("Hardmax", 13, &[], &[x]), Tensor::of(&[2, 3], &[0.0f32, 1.0, 0.0, 1.0, 0.0, 0.0]));
        assert_eq!(run("Hardmax", 13, &[], &[f32s(&[2, 0], &[])]), Tensor::of::<f32>(&[2, 0], &[]));
    }
}
