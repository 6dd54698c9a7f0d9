//! Several operations in one instruction: what a quantised model does between two products (divide, round, shift, saturate,
//! and back) is seven instructions of a map, an activation with a bend up to four, each with its pass over a block; in
//! registers they take the time of the longest. The combined instructions give the same bits.

use super::compile::Value;
use super::program::Code;
use super::{Binary, Scalar, Unary, scalar};
use crate::DType;
use alloc::vec::Vec;

/// `values` with operations combined; what is no longer read stays, without a use.
pub(super) fn combine(values: &[Value], inputs: &[DType]) -> Vec<Value> {
    let mut so_far = Values { values: Vec::with_capacity(values.len()), types: Vec::new(), inputs };
    // Where each of `values` is among those.
    let mut at: Vec<usize> = Vec::with_capacity(values.len());
    for value in values {
        // An index that is not there yet is an error that whoever compiles the values reports.
        let value = value.renumbered(|v| at.get(v).copied().unwrap_or(usize::MAX));
        let value = if let Some((to, x, zero)) = so_far.saturate(value) {
            let zero = zero.unwrap_or_else(|| so_far.push(Value::Const(Scalar::f32(0.0))));
            let steps = so_far.push(match so_far.get(x) {
                Some(Value::Binary(Binary::Div, x, scale)) => {
                    Value::Combined(Code::Steps(to), [x, scale, zero])
                }
                _ => Value::Combined(Code::Saturate(to), [x, zero, x]),
            });
            Value::Cast(to, steps)
        } else if let Some(steps) = so_far.steps_above_least(value) {
            let offset = so_far.push(Value::Const(Scalar::f32(128.0)));
            let sum = so_far.push(Value::Binary(Binary::Add, steps, offset));
            Value::Cast(DType::U8, sum)
        } else {
            so_far
                .there_and_back(value)
                .or_else(|| so_far.fake_quantize(value))
                .or_else(|| so_far.two_sided(value))
                .or_else(|| so_far.clip(value))
                .or_else(|| so_far.cast_of_constant(value))
                .unwrap_or(value)
        };
        at.push(so_far.push(value));
    }
    so_far.stored()
}

/// The type whose whole numbers a value is.
fn whole_steps(value: Value) -> Option<DType> {
    match value {
        Value::Combined(Code::Saturate(of) | Code::Steps(of), _) => Some(of),
        _ => None,
    }
}

/// The values so far.
struct Values<'a> {
    values: Vec<Value>,
    types: Vec<Option<DType>>,
    inputs: &'a [DType],
}

impl Values<'_> {
    fn push(&mut self, value: Value) -> usize {
        let dtype = match value {
            Value::Input(i) => self.inputs.get(i).copied(),
            Value::Const(x) => Some(x.dtype),
            Value::Unary(op, a) => self.dtype(a).map(|t| op.result(t)),
            Value::Binary(op, a, _) => self.dtype(a).map(|t| op.result(t)),
            Value::MulAdd(a, ..) | Value::Select(_, a, _) => self.dtype(a),
            Value::Cast(to, _) => Some(to),
            Value::Combined(code, _) => Some(code.result(DType::F32)),
        };
        self.types.push(dtype);
        self.values.push(value);
        self.values.len() - 1
    }

    fn get(&self, v: usize) -> Option<Value> {
        self.values.get(v).copied()
    }

    fn dtype(&self, v: usize) -> Option<DType> {
        self.types.get(v).copied().flatten()
    }

    fn is_f32(&self, v: usize) -> bool {
        self.dtype(v) == Some(DType::F32)
    }

    fn is_zero(&self, v: usize) -> bool {
        matches!(self.get(v), Some(Value::Const(x)) if x == Scalar::f32(0.0))
    }

    /// The type, `x` and, unless it is 0, `z` of `type(round(x) + z)`.
    fn saturate(&self, value: Value) -> Option<(DType, usize, Option<usize>)> {
        let Value::Cast(to @ (DType::I8 | DType::U8 | DType::I16 | DType::U16), sum) = value else {
            return None;
        };
        let rounded = |v: usize| match self.get(v) {
            Some(Value::Unary(Unary::Round, x)) if self.is_f32(x) => Some(x),
            _ => None,
        };
        match self.get(sum)? {
            Value::Binary(Binary::Add, a, z) if rounded(a).is_some() => Some((to, rounded(a)?, Some(z))),
            Value::Binary(Binary::Add, z, a) => Some((to, rounded(a)?, Some(z))),
            _ => Some((to, rounded(sum)?, None)),
        }
    }

    /// A constant of another type.
    fn cast_of_constant(&self, value: Value) -> Option<Value> {
        let Value::Cast(to, x) = value else { return None };
        let Value::Const(x) = self.get(x)? else { return None };
        Some(Value::Const(scalar::cast(x, to)))
    }

    /// The steps of `u8(i32(i8(steps)) + 128)`, signed bytes as what they are above the least: exact in `f32` as well.
    fn steps_above_least(&self, value: Value) -> Option<usize> {
        let Value::Cast(DType::U8, sum) = value else { return None };
        let Value::Binary(Binary::Add, wide, offset) = self.get(sum)? else { return None };
        let Value::Const(offset) = self.get(offset)? else { return None };
        let Value::Cast(DType::I32, stored) = self.get(wide)? else { return None };
        let Value::Cast(DType::I8, steps) = self.get(stored)? else { return None };
        (whole_steps(self.get(steps)?) == Some(DType::I8) && offset == Scalar::from_f64(DType::I32, 128.0))
            .then_some(steps)
    }

    /// The values, steps that are stored as bytes in one.
    fn stored(self) -> Vec<Value> {
        let value = |value: &Value| match *value {
            Value::Cast(to, v) => match self.get(v) {
                Some(Value::Combined(Code::Steps(of), args)) if of == to && to.size() == 1 => {
                    Value::Combined(Code::Quantize(to), args)
                }
                _ => *value,
            },
            value => value,
        };
        self.values.iter().map(value).collect()
    }

    /// `f32(type(steps))`, where the steps are whole numbers of the type.
    fn there_and_back(&self, value: Value) -> Option<Value> {
        let Value::Cast(DType::F32, stored) = value else { return None };
        let Value::Cast(to, steps) = self.get(stored)? else { return None };
        let steps = self.get(steps)?;
        (whole_steps(steps) == Some(to)).then_some(steps)
    }

    /// `(saturate(x / s, z) - z) * s`, the difference left out where `z` is 0.
    fn fake_quantize(&self, value: Value) -> Option<Value> {
        let same = |a: usize, b: usize| {
            a == b
                || matches!((self.get(a), self.get(b)), (Some(Value::Const(x)), Some(Value::Const(y))) if x == y)
        };
        let Value::Binary(Binary::Mul, a, b) = value else { return None };
        [(a, b), (b, a)].into_iter().find_map(|(steps, scale)| {
            let minus = |a: usize, b: usize| match (self.get(a), self.get(b)) {
                (Some(Value::Const(x)), Some(Value::Const(y))) => scalar::unary(Unary::Neg, x) == y,
                _ => false,
            };
            let whole = |v: usize| self.get(v).and_then(whole_steps).is_some();
            let (steps, zero) = match self.get(steps)? {
                Value::Binary(Binary::Sub, steps, zero) => (self.get(steps)?, Some((zero, false))),
                Value::Binary(Binary::Add, steps, zero) if whole(steps) => {
                    (self.get(steps)?, Some((zero, true)))
                }
                steps => (steps, None),
            };
            let Value::Combined(Code::Steps(to), [x, s, z]) = steps else { return None };
            let shifted = match zero {
                Some((zero, false)) => same(zero, z),
                Some((zero, true)) => minus(zero, z),
                None => self.is_zero(z),
            };
            (shifted && same(s, scale)).then_some(Value::Combined(Code::FakeQuantize(to), [x, scale, z]))
        })
    }

    /// `x` where it is not below 0, else `x * a` or `expm1(x) * a`.
    fn two_sided(&self, value: Value) -> Option<Value> {
        let Value::Select(condition, yes, no) = value else { return None };
        let (x, straight, bent) = match self.get(condition)? {
            Value::Binary(Binary::Ge, x, zero) if self.is_zero(zero) => (x, yes, no),
            Value::Binary(Binary::Lt, x, zero) if self.is_zero(zero) => (x, no, yes),
            _ => return None,
        };
        let Value::Binary(Binary::Mul, a, b) = self.get(bent)? else { return None };
        let code = |of: usize| match self.get(of) {
            _ if of == x => Some(Code::LeakyRelu),
            Some(Value::Unary(Unary::Expm1, y)) if y == x => Some(Code::Elu),
            _ => None,
        };
        let (code, slope) = code(a).map(|code| (code, b)).or_else(|| code(b).map(|code| (code, a)))?;
        (straight == x && self.is_f32(x)).then_some(Value::Combined(code, [x, slope, x]))
    }

    /// `min(max(x, lo), hi)`.
    fn clip(&self, value: Value) -> Option<Value> {
        let Value::Binary(Binary::Min, above, hi) = value else { return None };
        let Value::Binary(Binary::Max, x, lo) = self.get(above)? else { return None };
        self.is_f32(x).then_some(Value::Combined(Code::Clip, [x, lo, hi]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MapProgram, Scalar};
    use super::*;
    use alloc::string::ToString;

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
    fn bytes_are_made_from_steps() {
        let mut values = quantised(Some(7.0));
        values.truncate(7);
        let program = MapProgram::compile(&values, &[DType::F32]).unwrap();
        assert_eq!(program.insts().len(), 1, "quantise: {program}");
    }

    #[test]
    fn signed_bytes_above_the_least_are_made_from_steps() {
        let mut values = quantised(None);
        values.truncate(4);
        values.extend([
            Value::Const(Scalar::from_f64(DType::I8, -7.0)),
            Value::Cast(DType::F32, 4),
            Value::Binary(Binary::Add, 3, 5),
            Value::Cast(DType::I8, 6),
            Value::Cast(DType::I32, 7),
            Value::Const(Scalar::from_f64(DType::I32, 128.0)),
            Value::Binary(Binary::Add, 8, 9),
            Value::Cast(DType::U8, 10),
        ]);
        let program = MapProgram::compile(&values, &[DType::F32]).unwrap();
        assert_eq!(program.insts().len(), 3, "steps, shift, store: {program}");
    }

    #[test]
    fn another_scale_on_the_way_back_is_another_instruction() {
        let mut values = quantised(Some(7.0));
        values.pop();
        let steps = values.len() - 1;
        values.push(Value::Const(Scalar::f32(0.5)));
        values.push(Value::Binary(Binary::Mul, steps, steps + 1));
        let program = MapProgram::compile(&values, &[DType::F32]).unwrap();
        assert_eq!(program.insts().len(), 3, "quantise, subtract, multiply: {program}");
    }

    #[test]
    fn activations_with_a_bend_are_one_instruction() {
        let (x, zero, slope) =
            (Value::Input(0), Value::Const(Scalar::f32(0.0)), Value::Const(Scalar::f32(1.5)));
        let below = Value::Binary(Binary::Lt, 0, 1);
        let leaky = [x, zero, slope, below, Value::Binary(Binary::Mul, 2, 0), Value::Select(3, 4, 0)];
        let above = Value::Binary(Binary::Ge, 0, 1);
        let expm1 = Value::Unary(Unary::Expm1, 0);
        let elu = [x, zero, slope, above, expm1, Value::Binary(Binary::Mul, 4, 2), Value::Select(3, 0, 5)];
        let clip = [x, zero, slope, Value::Binary(Binary::Max, 0, 1), Value::Binary(Binary::Min, 3, 2)];
        for (values, shown) in
            [(&leaky[..], "leaky_relu(x0, 1.5)"), (&elu, "elu(x0, 1.5)"), (&clip, "clip(x0, 0.0, 1.5)")]
        {
            let program = MapProgram::compile(values, &[DType::F32]).unwrap();
            assert_eq!(program.to_string(), shown);
            let doubles: Vec<Value> = values.iter().map(|v| in_doubles(*v)).collect();
            assert!(MapProgram::compile(&doubles, &[DType::F64]).unwrap().insts().len() > 1);
        }
    }

    #[test]
    fn another_bend_is_no_activation() {
        let (x, zero, slope) =
            (Value::Input(0), Value::Const(Scalar::f32(-0.5)), Value::Const(Scalar::f32(1.5)));
        let below = Value::Binary(Binary::Lt, 0, 1);
        let values = [x, zero, slope, below, Value::Binary(Binary::Mul, 2, 0), Value::Select(3, 4, 0)];
        assert_eq!(MapProgram::compile(&values, &[DType::F32]).unwrap().insts().len(), 3);
    }

    fn in_doubles(value: Value) -> Value {
        match value {
            Value::Const(x) => Value::Const(x.to_f64().into()),
            value => value,
        }
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
