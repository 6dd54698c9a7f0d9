//! Operators of two or more operands that broadcast: arithmetic, comparison, logic, bits, choice.
//!
//! Before opset 7 operands had equal shapes, or the attribute `broadcast` let the second one take part
//! with its axes from `axis` on; since 7 shapes broadcast as numpy's do.

use super::Ctx;
use super::expr::{num, x, y};
use crate::error::{Error, Result};
use crate::ir::{Dim, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

/// `C = op(A, B)`.
pub(super) fn binary(c: &mut Ctx<'_, '_>, op: Binary) -> Result<Vec<ValueId>> {
    let (a, b) = operands(c)?;
    Ok(vec![c.b.binary(op, a, b)?])
}

/// Both operands, the second one aligned as versions before 7 say.
fn operands(c: &mut Ctx<'_, '_>) -> Result<(ValueId, ValueId)> {
    let (a, b) = (c.required(0, "A")?, c.required(1, "B")?);
    if c.version() >= 7 {
        return Ok((a, b));
    }
    let axis = c.attrs.int("axis")?;
    let broadcast = c.attrs.flag_or("broadcast", false)?;
    let (ra, rb) = (c.rank(a), c.rank(b));
    let Some(axis) = axis.filter(|_| broadcast && rb > 0) else { return Ok((a, b)) };
    let axis = crate::ir::axis_in(axis, ra)?;
    let behind = ra.checked_sub(axis + rb).ok_or_else(|| {
        Error::misfit(format!("{} does not fit {} from axis {axis} on", c.shape(b), c.shape(a)))
    })?;
    let shape = c.shape(b).dims().iter().cloned().chain(vec![Dim::ONE; behind]).collect();
    Ok((a, c.b.reshape(b, shape)?))
}

/// `Pow`: the result has the base's type; the exponent may have another since 12.
pub(super) fn pow(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, b) = operands(c)?;
    let (base, exponent) = (c.dtype(a), c.dtype(b));
    // Most exponents are small constants, and the same number in the base's type.
    let same = |t: &Tensor| t.to_f64s().iter().all(|&n| Scalar::from_f64(base, n).to_f64() == n);
    if base == exponent || c.b.constant(b).is_some_and(same) {
        let b = c.b.cast(b, base)?;
        return Ok(vec![c.b.binary(Binary::Pow, a, b)?]);
    }
    // Elsewhere an exponent that is rounded may lose what makes it no whole number, or its parity.
    let wide = if base.is_int() && exponent.is_int() { DType::I64 } else { DType::F64 };
    let power = x().cast(wide).binary(Binary::Pow, y().cast(wide)).cast(base);
    Ok(vec![c.map(power, &[a, b])?])
}

/// `Mod`: the sign of the divisor, or with `fmod` that of the dividend.
pub(super) fn modulo(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let op = if c.attrs.flag_or("fmod", false)? { Binary::Fmod } else { Binary::Mod };
    binary(c, op)
}

/// `BitShift` of unsigned integers.
pub(super) fn bit_shift(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let direction = c.attrs.string("direction")?;
    match c.attrs.require("direction", direction)? {
        "LEFT" => binary(c, Binary::Shl),
        "RIGHT" => binary(c, Binary::Shr),
        other => Err(Error::new(format!("direction {other:?} is neither \"LEFT\" nor \"RIGHT\""))),
    }
}

/// `Max`, `Min`, `Sum` of any number of operands.
pub(super) fn variadic(c: &mut Ctx<'_, '_>, op: Binary) -> Result<Vec<ValueId>> {
    Ok(vec![fold(c, op)?])
}

fn fold(c: &mut Ctx<'_, '_>, op: Binary) -> Result<ValueId> {
    let operands = c.variadic()?;
    let mut so_far = operands[0];
    for &next in &operands[1..] {
        so_far = c.b.binary(op, so_far, next)?;
    }
    Ok(so_far)
}

/// `Mean` of any number of operands.
pub(super) fn mean(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let sum = fold(c, Binary::Add)?;
    let n = c.operands.len() as f64;
    Ok(vec![if n == 1.0 { sum } else { c.map(x() / num(n), &[sum])? }])
}

/// `Where`: `condition ? X : Y`.
pub(super) fn choose(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (condition, a, b) = (c.required(0, "condition")?, c.required(1, "X")?, c.required(2, "Y")?);
    Ok(vec![c.b.select(condition, a, b)?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn shapes_broadcast() {
        let sum = run("Add", 14, &[], &[f32s(&[2, 1], &[1.0, 2.0]), f32s(&[3], &[10.0, 20.0, 30.0])]);
        assert_eq!(sum, Tensor::of(&[2, 3], &[11.0f32, 21.0, 31.0, 12.0, 22.0, 32.0]));
        let error = lowered("Add", 14, &[], &[f32s(&[2], &[0.0; 2]), f32s(&[3], &[0.0; 3])], 1).unwrap_err();
        assert!(error.contains("node #0 (Add-14): shapes [2] and [3] do not broadcast"), "{error}");
    }

    #[test]
    fn old_versions_align_at_an_axis() {
        let args = [f32s(&[2, 3], &[0.0; 6]), f32s(&[2], &[1.0, 2.0])];
        let attrs = [("broadcast", Attribute::Int(1)), ("axis", Attribute::Int(0))];
        assert_eq!(
            run("Sub", 6, &attrs, &args),
            Tensor::of(&[2, 3], &[-1.0f32, -1.0, -1.0, -2.0, -2.0, -2.0])
        );
        let same = [args[0].clone(), args[0].clone()];
        assert!(lowered("Sub", 7, &attrs, &same, 1).unwrap_err().contains("not known for Sub-7"));
    }

    #[test]
    fn powers_keep_the_type_of_the_base() {
        let base = Arg::In(Tensor::of(&[3], &[1i32, 2, 3]));
        assert_eq!(run("Pow", 15, &[], &[base, f32s(&[], &[2.5])]), Tensor::of(&[3], &[1i32, 5, 15]));
        let exponent = Arg::In(Tensor::of(&[], &[3i64]));
        assert_eq!(
            run("Pow", 15, &[], &[f32s(&[2], &[2.0, -3.0]), exponent]),
            Tensor::of(&[2], &[8.0f32, -27.0])
        );
        use sofie_infer_runtime::f16;
        let base = Arg::In(Tensor::of(&[2], &[-1.5, 2.0].map(f16::from_f32)));
        let y = run("Pow", 15, &[], &[base, f32s(&[], &[0.999_95])]);
        assert!(y.get(0).to_f64().is_nan() && (y.get(1).to_f64() - 2.0).abs() < 1e-2, "{y:?}");
        let bytes = Arg::In(Tensor::of(&[2], &[2i8, -1]));
        let exponent = Arg::In(Tensor::of(&[], &[256i64]));
        assert_eq!(run("Pow", 15, &[], &[bytes, exponent]), Tensor::of(&[2], &[0i8, 1]));
    }

    #[test]
    fn any_number_of_operands() {
        let args = [f32s(&[2], &[1.0, 5.0]), f32s(&[2], &[4.0, 2.0]), f32s(&[1], &[1.0])];
        assert_eq!(run("Mean", 13, &[], &args), Tensor::of(&[2], &[2.0f32, 8.0 / 3.0]));
        assert_eq!(run("Max", 13, &[], &args), Tensor::of(&[2], &[4.0f32, 5.0]));
        assert_eq!(run("Sum", 8, &[], &args[..1]), Tensor::of(&[2], &[1.0f32, 5.0]));
    }

    #[test]
    fn remainders_have_either_sign() {
        let args = [Arg::In(Tensor::of(&[3], &[-4i64, 7, 5])), Arg::In(Tensor::of(&[3], &[3i64, -3, 3]))];
        assert_eq!(run("Mod", 13, &[], &args), Tensor::of(&[3], &[2i64, -2, 2]));
        assert_eq!(run("Mod", 13, &[("fmod", Attribute::Int(1))], &args), Tensor::of(&[3], &[-1i64, 1, 2]));
    }
}
