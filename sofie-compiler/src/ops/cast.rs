//! `Cast`, `CastLike`: conversions between element types.

use super::Ctx;
use super::operand::Operand;
use crate::error::{Error, Result};
use crate::ir::ValueId;
use crate::onnx::{Attribute, ElementType};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::storage::{Round, Storage};

/// The attribute `to`: an element type's number, or before opset 6 its name.
pub(super) fn target(c: &Ctx<'_, '_>) -> Result<ElementType> {
    match c.attrs.require("to", c.attrs.get("to"))? {
        Attribute::String(_) => {
            let name = c.attrs.string("to")?.unwrap_or_default();
            let dtype = match name {
                "FLOAT" => DType::F32,
                "DOUBLE" => DType::F64,
                "FLOAT16" => DType::F16,
                "INT8" => DType::I8,
                "INT16" => DType::I16,
                "INT32" => DType::I32,
                "INT64" => DType::I64,
                "UINT8" => DType::U8,
                "UINT16" => DType::U16,
                "UINT32" => DType::U32,
                "UINT64" => DType::U64,
                "BOOL" => DType::Bool,
                other => return Err(Error::new(format!("a cast to {other:?} is not supported"))),
            };
            Ok(dtype.into())
        }
        _ => {
            let code = c.attrs.int_or("to", 0)?;
            ElementType::from_onnx(i32::try_from(code).unwrap_or(0))
        }
    }
}

/// `Cast`.
pub(super) fn cast(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let to = target(c)?;
    Ok(vec![converted(c, to)?])
}

/// `CastLike`: to the type of the second operand.
pub(super) fn cast_like(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let storage = c.storage(1);
    match (storage, c.operands.get(1)) {
        (Some(storage), _) => Ok(vec![stored(c, storage)?]),
        (None, Some(Some(Operand::Extents(_)))) => Ok(vec![converted(c, DType::I64.into())?]),
        (None, _) => {
            let to = c.dtype(c.required(1, "target_type")?);
            Ok(vec![converted(c, to.into())?])
        }
    }
}

fn converted(c: &mut Ctx<'_, '_>, to: ElementType) -> Result<Operand> {
    if let Some(storage) = to.storage() {
        return stored(c, storage);
    }
    // Both speak of types below 16 bits alone.
    c.attrs.ignore(&["saturate", "round_mode"]);
    let to = to.dtype()?;
    let x = c.numbers(0)?.ok_or_else(|| Error::new("input 0 (input) is missing"))?;
    Ok(Operand::Value(c.b.cast(x, to)?))
}

/// The first operand as a type that numbers are only stored in.
fn stored(c: &mut Ctx<'_, '_>, to: Storage) -> Result<Operand> {
    let saturate = c.attrs.flag_or("saturate", true)?;
    let round = match c.attrs.string_or("round_mode", "up")? {
        "up" => Round::Up,
        "down" => Round::Down,
        "nearest" => Round::Nearest,
        other => return Err(Error::new(format!("round_mode {other:?} is not known"))),
    };
    if let Some(Some(same @ Operand::Stored(_, from))) = c.operands.first()
        && *from == to
    {
        return Ok(same.clone());
    }
    let x = c.numbers(0)?.ok_or_else(|| Error::new("input 0 (input) is missing"))?;
    c.encoded(x, to, saturate, round)
}

/// `BitCast`: the same bits as a type of the same size.
pub(super) fn bit_cast(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let x = c.required(0, "input")?;
    let to = target(c)?.dtype()?;
    let from = c.dtype(x);
    if from.size() != to.size() {
        return Err(Error::new(format!("the bits of {from} as {to}, which has another size")));
    }
    if from == to {
        return Ok(vec![x]);
    }
    let dims = c.fixed(x, "a bit cast")?;
    let len = dims.iter().product();
    c.plain(sofie_infer_runtime::plain::BitCast { len }, &[x], vec![(to, dims)])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn by_number_and_by_name() {
        let x = f32s(&[3], &[-1.7, 0.0, 2.5]);
        assert_eq!(
            run("Cast", 13, &[("to", Attribute::Int(7))], std::slice::from_ref(&x)),
            Tensor::of(&[3], &[-1i64, 0, 2])
        );
        assert_eq!(
            run("Cast", 1, &[("to", text("BOOL"))], std::slice::from_ref(&x)),
            Tensor::of(&[3], &[true, false, true])
        );
        assert!(lowered("Cast", 13, &[("to", Attribute::Int(8))], &[x], 1).unwrap_err().contains("string"));
    }
}
