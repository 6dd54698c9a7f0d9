//! Tensors of types that numbers are only stored in, float8, int4 and the like: a value of bytes, one an element, that no
//! operator takes for numbers. What moves elements moves the bytes; casts and quantisation read and write them; every
//! other operator refuses them.

use super::Ctx;
use super::expr::{Expr, x};
use super::operand::Operand;
use super::{Lowering, Operator};
use crate::error::{Error, Result};
use crate::ir::{self, Builder, ValueId};
use crate::onnx;
use sofie_infer_runtime::map::{Binary, Scalar};
use sofie_infer_runtime::storage::{Round, Storage};
use sofie_infer_runtime::{DType, plain};

/// Operators that move elements of their first operand (`Concat`: of all) and look at none.
const MOVING: &[&str] = &[
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// The constant in the graph's own form.
pub(super) fn constant(b: &mut Builder, tensor: &onnx::Tensor) -> Result<Operand> {
    Ok(match tensor.element().storage() {
        None => Operand::Value(b.tensor(super::driver::dense(tensor)?)),
        Some(storage) => Operand::Stored(b.tensor(bytes(tensor, storage)?), storage),
    })
}

/// The elements of a constant, one a byte.
pub fn bytes(tensor: &onnx::Tensor, storage: Storage) -> Result<ir::Tensor> {
    let dims: Option<Vec<usize>> = tensor.dims().iter().map(|&d| usize::try_from(d).ok()).collect();
    dims.and_then(|dims| ir::Tensor::from_bytes(storage.holder(), dims, tensor.unpacked()))
        .ok_or_else(|| Error::new(format!("dimensions {:?} do not fit the data", tensor.dims())))
}

/// An integer of the holder's type.
fn int(storage: Storage, n: i64) -> Expr {
    Expr::Typed(Scalar::from_f64(storage.holder(), n as f64))
}

/// The lowest bits of an integer in its holder, with the sign that they have.
fn low_bits(e: Expr, storage: Storage) -> Expr {
    match storage {
        Storage::I4 | Storage::I2 => {
            let n = if storage == Storage::I4 { 4 } else { 6 };
            e.binary(Binary::Shl, int(storage, n)).binary(Binary::Shr, int(storage, n))
        }
        _ => e.binary(Binary::And, int(storage, if storage == Storage::U4 { 15 } else { 3 })),
    }
}

/// An input of the model: of its bytes, bits beyond those of the type do not count.
pub(super) fn input(b: &mut Builder, v: ValueId, storage: Storage) -> Result<Operand> {
    let v = match storage.range() {
        Some(_) => b.map(low_bits(x(), storage).compile(&[storage.holder()])?, &[v])?,
        None => v,
    };
    Ok(Operand::Stored(v, storage))
}

/// The results, where the node moves elements that are only stored.
pub(super) fn lower(c: &mut Ctx<'_, '_>, operator: &Operator) -> Result<Option<Vec<Operand>>> {
    let Some(Some(Operand::Stored(_, storage))) = c.operands.first() else { return Ok(None) };
    let (storage, op) = (*storage, c.node.op_type.as_str());
    let Lowering::Values(lower) = operator.lower else { return Ok(None) };
    if !c.node.domain.is_empty() || !MOVING.contains(&op) {
        return Ok(None);
    }
    let moved = if op == "Concat" { c.operands.len() } else { 1 };
    for operand in &mut c.operands[..moved] {
        match operand {
            Some(Operand::Stored(v, s)) if *s == storage => *operand = Some(Operand::Value(*v)),
            _ => return Err(Error::new(format!("a {storage} is joined with another type"))),
        }
    }
    Ok(Some(lower(c)?.into_iter().map(|v| Operand::Stored(v, storage)).collect()))
}

impl Ctx<'_, '_> {
    /// How operand `i` is stored, where that is not how it is computed with.
    pub fn storage(&self, i: usize) -> Option<Storage> {
        match self.operands.get(i) {
            Some(Some(Operand::Stored(_, storage))) => Some(*storage),
            _ => None,
        }
    }

    /// Operand `i` as numbers that can be computed with, where there is one: floats that are only stored as f32,
    /// integers as the type of their bytes.
    ///
    /// # Errors
    /// Its extents are not fixed.
    pub fn numbers(&mut self, i: usize) -> Result<Option<ValueId>> {
        let Some(Some(Operand::Stored(v, storage))) = self.operands.get(i) else { return self.optional(i) };
        let (v, storage) = (*v, *storage);
        if storage.range().is_some() {
            return Ok(Some(v));
        }
        let dims = self.fixed(v, "a float of 8 bits or less")?;
        let kernel = plain::Decode { len: dims.iter().product(), storage };
        Ok(self.plain(kernel, &[v], vec![(DType::F32, dims)])?.first().copied())
    }

    /// Numbers as a type that they are stored in.
    ///
    /// # Errors
    /// Extents that are not fixed.
    pub fn encoded(&mut self, v: ValueId, storage: Storage, saturate: bool, round: Round) -> Result<Operand> {
        if storage.range().is_some() {
            let wide = if self.dtype(v).is_int() { x() } else { x().cast(DType::I32) };
            let v = self.map(low_bits(wide.cast(storage.holder()), storage), &[v])?;
            return Ok(Operand::Stored(v, storage));
        }
        let dims = self.fixed(v, "a float of 8 bits or less")?;
        let kernel = plain::Encode { len: dims.iter().product(), storage, saturate, round };
        let codes = self.plain(kernel, &[v], vec![(DType::U8, dims)])?;
        Ok(Operand::Stored(codes[0], storage))
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::{Attribute, DimSpec, ElementType, TensorType, ValueType};
    use crate::ops::driver::lower_graph;
    use crate::ops::testing::*;

    /// The lowered node whose first input is of a type that is only stored.
    fn reading(op: &str, element: ElementType, x: &Tensor, rest: &[Arg]) -> Result<Vec<Tensor>, String> {
        let args: Vec<Arg> = [Arg::In(x.clone())].into_iter().chain(rest.iter().cloned()).collect();
        let mut graph = model(op, 21, &[], &args, 1);
        let shape = Some(x.dims().iter().map(|&n| DimSpec::Const(n as u64)).collect());
        graph.inputs[0].ty = ValueType::Tensor(TensorType { element: Some(element), shape });
        let lowered = lower_graph(&graph, &Default::default()).map_err(|e| e.to_string())?;
        crate::ir::eval::run(&lowered, std::slice::from_ref(x)).map_err(|e| e.to_string())
    }

    #[test]
    fn casts_there_and_back() {
        let to = |code: i64| [("to", Attribute::Int(code))];
        let y = run("Cast", 19, &to(17), &[f32s(&[4], &[1.0, -448.0, 1e6, f32::NAN])]);
        assert_eq!(y, Tensor::of(&[4], &[0x38u8, 0xfe, 0x7e, 0x7f]));
        let y = run("Cast", 21, &to(22), &[f32s(&[3], &[-9.0, 7.9, 8.0])]);
        assert_eq!(y, Tensor::of(&[3], &[7i8, 7, -8]));
        let y = run(
            "Cast",
            24,
            &[("to", Attribute::Int(24)), ("round_mode", text("down"))],
            &[f32s(&[1], &[3.0])],
        );
        assert_eq!(y, Tensor::of(&[1], &[128u8]));
    }

    #[test]
    fn bytes_move_and_are_not_numbers() {
        let x = Tensor::of(&[2, 1], &[0x38u8, 0x40]);
        assert_eq!(
            reading("Transpose", ElementType::Float8E4M3Fn, &x, &[]),
            Ok(vec![Tensor::of(&[1, 2], &[0x38u8, 0x40])])
        );
        let refused = reading("Relu", ElementType::Float8E4M3Fn, &x, &[]).unwrap_err();
        assert!(refused.contains("float8e4m3fn"), "{refused}");
        let refused = reading("Add", ElementType::Uint4, &x, &[Arg::Const(x.clone())]).unwrap_err();
        assert!(refused.contains("uint4"), "{refused}");
    }

    #[test]
    fn scales_of_stored_weights() {
        // Bits beyond those of the type do not count.
        let x = Tensor::of(&[3], &[-8i8, 0x17, 3]);
        let y = reading("DequantizeLinear", ElementType::Int4, &x, &[Arg::Const(Tensor::of(&[], &[0.5f32]))]);
        assert_eq!(y, Ok(vec![Tensor::of(&[3], &[-4.0f32, 3.5, 1.5])]));
        let attrs = [("output_dtype", Attribute::Int(21))];
        let y = run("QuantizeLinear", 21, &attrs, &[f32s(&[3], &[-1.0, 4.4, 99.0]), f32s(&[], &[0.5])]);
        assert_eq!(y, Tensor::of(&[3], &[0u8, 9, 15]));
        let attrs = [("output_dtype", Attribute::Int(19)), ("saturate", Attribute::Int(0))];
        let y = run("QuantizeLinear", 21, &attrs, &[f32s(&[2], &[2.0, 1e9]), f32s(&[], &[2.0])]);
        assert_eq!(y, Tensor::of(&[2], &[0x3cu8, 0x7c]));
    }
}
