//! Operators of one operand that are one scalar operation, and predicates on floats.

use super::Ctx;
use super::expr::x;
use crate::error::Result;
use crate::ir::ValueId;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;

/// `Y = op(X)`.
pub(super) fn unary(c: &mut Ctx<'_, '_>, op: Unary) -> Result<Vec<ValueId>> {
    let x = c.required(0, "X")?;
    Ok(vec![c.b.unary(op, x)?])
}

/// `Erf`, of integers too.
pub(super) fn erf(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let x = c.required(0, "input")?;
    Ok(vec![c.in_floats(x, DType::F32, |c, x| Ok(c.b.unary(Unary::Erf, x)?))?])
}

/// `IsInf`: infinities of the signs that the attributes ask for.
pub(super) fn is_inf(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let negative = c.attrs.flag_or("detect_negative", true)?;
    let positive = c.attrs.flag_or("detect_positive", true)?;
    let either = match (negative, positive) {
        (true, true) => x().unary(Unary::Abs).unary(Unary::IsPosInf),
        (true, false) => x().unary(Unary::IsNegInf),
        (false, true) => x().unary(Unary::IsPosInf),
        (false, false) => super::expr::Expr::Typed(false.into()),
    };
    Ok(vec![c.map(either, &[v])?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn one_scalar_operation_each() {
        let x = f32s(&[4], &[-1.5, 0.0, 0.5, f32::INFINITY]);
        assert_eq!(
            run("Abs", 13, &[], std::slice::from_ref(&x)),
            Tensor::of(&[4], &[1.5, 0.0, 0.5, f32::INFINITY])
        );
        assert_eq!(
            run("Floor", 13, &[], std::slice::from_ref(&x)),
            Tensor::of(&[4], &[-2.0, 0.0, 0.0, f32::INFINITY])
        );
        assert_eq!(
            run("Not", 1, &[], &[Arg::In(Tensor::of(&[2], &[true, false]))]),
            Tensor::of(&[2], &[false, true])
        );
    }

    #[test]
    fn the_error_function_of_integers_is_whole() {
        let x = Arg::In(Tensor::of(&[4], &[-9i64, 0, 1, 9]));
        assert_eq!(run("Erf", 13, &[], &[x]), Tensor::of(&[4], &[-1i64, 0, 0, 1]));
    }

    #[test]
    fn infinities_by_sign() {
        let x = f32s(&[4], &[f32::NEG_INFINITY, f32::NAN, 1.0, f32::INFINITY]);
        let only = |n: i64, p: i64| {
            let attrs = [("detect_negative", Attribute::Int(n)), ("detect_positive", Attribute::Int(p))];
            run("IsInf", 10, &attrs, std::slice::from_ref(&x))
        };
        assert_eq!(only(1, 1), Tensor::of(&[4], &[true, false, false, true]));
        assert_eq!(only(1, 0), Tensor::of(&[4], &[true, false, false, false]));
        assert_eq!(only(0, 1), Tensor::of(&[4], &[false, false, false, true]));
        assert_eq!(only(0, 0), Tensor::of(&[4], &[false; 4]));
    }
}
