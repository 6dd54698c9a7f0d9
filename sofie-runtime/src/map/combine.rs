//! Quantisation in one instruction: what a quantised model does between two products (divide, round, shift, saturate,
//! and back) is seven instructions of a map, each with its pass over a block; in registers they take the time of the
//! division. The combined instructions give the same bits.

use super::compile::Value;
use super::{Binary, Scalar, Unary};
use crate::DType;
use alloc::vec::Vec;

/// `values` with quantisation combined; what is no longer read stays, without a use.
pub(super) fn combine(values: &[Value], inputs: &[DType]) -> Vec<Value> {
    let mut new: Vec<Value> = Vec::with_capacity(values.len());
    let mut types: Vec<Option<DType>> = Vec::with_capacity(values.len());
    // Where each of `values` is in `new`.
    let mut at: Vec<usize> = Vec::with_capacity(values.len());
    for value in values {
        // An index that is not there yet is an error that whoever compiles the values reports.
        let value = value.renumbered(|v| at.get(v).copied().unwrap_or(usize::MAX));
        let value = match saturate(value, &new, &types) {
            Some((to, x, Some(zero))) => Value::Saturate(to, x, zero),
            Some((to, x, None)) => {
                new.push(Value::Const(Scalar::f32(0.0)));
                types.push(Some(DType::F32));
                Value::Saturate(to, x, new.len() - 1)
            }
            None => fake_quantize(value, &new).unwrap_or(value),
        };
        types.push(type_of(value, &types, inputs));
        new.push(value);
        at.push(new.len() - 1);
    }
    new
}

fn type_of(value: Value, types: &[Option<DType>], inputs: &[DType]) -> Option<DType> {
    let of = |v: usize| types.get(v).copied().flatten();
    match value {
        Value::Input(i) => inputs.get(i).copied(),
        Value::Const(x) => Some(x.dtype),
        Value::Unary(op, a) => of(a).map(|t| op.result(t)),
        Value::Binary(op, a, _) => of(a).map(|t| op.result(t)),
        Value::MulAdd(a, ..) | Value::Select(_, a, _) => of(a),
        Value::Cast(to, _) => Some(to),
        Value::Saturate(..) | Value::FakeQuantize(..) => Some(DType::F32),
    }
}

/// The type, `x` and, unless it is 0, `z` of `f32(type(round(x) + z))`.
fn saturate(
    value: Value,
    values: &[Value],
    types: &[Option<DType>],
) -> Option<(DType, usize, Option<usize>)> {
    let get = |v: usize| values.get(v).copied();
    let Value::Cast(DType::F32, stored) = value else { return None };
    let Value::Cast(to @ (DType::I8 | DType::U8 | DType::I16 | DType::U16), sum) = get(stored)? else {
        return None;
    };
    let rounded = |v: usize| match get(v) {
        Some(Value::Unary(Unary::Round, x)) if types.get(x) == Some(&Some(DType::F32)) => Some(x),
        _ => None,
    };
    match get(sum)? {
        Value::Binary(Binary::Add, a, z) if rounded(a).is_some() => Some((to, rounded(a)?, Some(z))),
        Value::Binary(Binary::Add, z, a) => Some((to, rounded(a)?, Some(z))),
        _ => Some((to, rounded(sum)?, None)),
    }
}

/// `(saturate(x / s, z) - z) * s`, the difference left out where `z` is 0.
fn fake_quantize(value: Value, values: &[Value]) -> Option<Value> {
    let get = |v: usize| values.get(v).copied();
    let same = |a: usize, b: usize| {
        a == b || matches!((get(a), get(b)), (Some(Value::Const(x)), Some(Value::Const(y))) if x == y)
    };
    let is_zero = |v: usize| matches!(get(v), Some(Value::Const(x)) if x.dtype == DType::F32 && x.bits == 0);
    let Value::Binary(Binary::Mul, a, b) = value else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(steps, scale)| {
        let (steps, zero) = match get(steps)? {
            Value::Binary(Binary::Sub, steps, zero) => (get(steps)?, Some(zero)),
            steps => (steps, None),
        };
        let Value::Saturate(to, quotient, z) = steps else { return None };
        let Value::Binary(Binary::Div, x, s) = get(quotient)? else { return None };
        let shifted = zero.map_or_else(|| is_zero(z), |zero| same(zero, z));
        (shifted && same(s, scale)).then_some(Value::FakeQuantize(to, x, scale, z))
    })
}

#[cfg(test)]
mod tests {
    use super::super::{MapProgram, Scalar};
    use super::*;

    fn quantised(zero: Option<f32>) -> Vec<Value> {
        let mut v = alloc::vec![
            Value::Input(0),
            Value::Const(Scalar::f32(0.03)),
            Value::Binary(Binary::Div, 0, 1),
            Value::Unary(Unary::Round, 2),
        ];
        if let Some(zero) = zero {
            v.push(Value::Const(Scalar::f32(zero)));
            v.push(Value::Binary(Binary::Add, 3, 4));
        }
        v.push(Value::Cast(DType::U8, v.len() - 1));
        v.push(Value::Cast(DType::F32, v.len() - 1));
        if zero.is_some() {
            v.push(Value::Binary(Binary::Sub, v.len() - 1, 4));
        }
        v.push(Value::Binary(Binary::Mul, v.len() - 1, 1));
        v
    }

    #[test]
    fn there_and_back_is_one_instruction() {
        for zero in [None, Some(7.0)] {
            let program = MapProgram::compile(&quantised(zero), &[DType::F32]).unwrap();
            assert_eq!(program.insts().len(), 1, "{program}");
        }
    }

    #[test]
    fn another_scale_on_the_way_back_is_another_instruction() {
        let mut values = quantised(Some(7.0));
        values.pop();
        let steps = values.len() - 1;
        values.push(Value::Const(Scalar::f32(0.5)));
        values.push(Value::Binary(Binary::Mul, steps, steps + 1));
        let program = MapProgram::compile(&values, &[DType::F32]).unwrap();
        assert_eq!(program.insts().len(), 4, "divide, saturate, subtract, multiply: {program}");
    }

    #[test]
    fn doubles_stay_as_they_are() {
        let values = [
            Value::Input(0),
            Value::Unary(Unary::Round, 0),
            Value::Cast(DType::I8, 1),
            Value::Cast(DType::F32, 2),
        ];
        assert_eq!(MapProgram::compile(&values, &[DType::F64]).unwrap().insts().len(), 3);
    }
}
