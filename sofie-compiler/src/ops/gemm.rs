//! `Gemm`: `alpha * A' * B' + beta * C`. The factors go into whichever operand is constant, so that
//! nothing is left of them at run time; `C` becomes the bias or the residual of the product.

use super::Ctx;
use super::expr::{num, x, y};
use crate::error::{Error, Result};
use crate::ir::{Dim, Epilogue, Op, Shape, ValueId};
use sofie_infer_runtime::DType;

/// `Gemm`.
pub(super) fn gemm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    Ok(vec![general(c)?])
}

/// The product that the node's operands and attributes say.
pub(super) fn general(c: &mut Ctx<'_, '_>) -> Result<ValueId> {
    let (mut a, mut b) = (c.required(0, "A")?, c.required(1, "B")?);
    let addend = c.optional(2)?;
    let (alpha, beta) = (c.attrs.float_or("alpha", 1.0)?, c.attrs.float_or("beta", 1.0)?);
    if c.version() < 7 {
        // Opset 7 made every C that broadcasts one that does.
        c.attrs.ignore(&["broadcast"]);
    }
    if c.rank(a) != 2 || c.rank(b) != 2 {
        return Err(Error::new(format!("matrices are needed, found {} and {}", c.shape(a), c.shape(b))));
    }
    if c.attrs.flag_or("transA", false)? {
        a = c.b.transpose(a, &[1, 0])?;
    }
    if c.attrs.flag_or("transB", false)? {
        b = c.b.transpose(b, &[1, 0])?;
    }
    let signed = c.dtype(a).is_signed_int();
    let whole = |factor: f32| factor.fract() == 0.0 && (signed || factor >= 0.0);
    if !(c.dtype(a).is_float() || whole(alpha) && whole(beta)) {
        return Err(Error::new(format!("alpha {alpha} and beta {beta} of a product of {}", c.dtype(a)))
            .help("cast the operands to a float before the product; whole factors work"));
    }
    scale_one(c, &mut a, &mut b, alpha)?;
    let Some(addend) = addend.filter(|_| beta != 0.0) else {
        return Ok(c.b.one(Op::MatMul(Epilogue::NONE), &[a, b])?);
    };
    let addend = if beta == 1.0 { addend } else { c.map(num(beta) * x(), &[addend])? };
    product_plus(c, a, b, addend)
}

/// `alpha` times that operand of a product that is constant, if one is.
pub(super) fn scale_one(c: &mut Ctx<'_, '_>, a: &mut ValueId, b: &mut ValueId, alpha: f32) -> Result<()> {
    if alpha != 1.0 {
        let constant_a = c.b.constant(*a).is_some() && c.b.constant(*b).is_none();
        let scaled = if constant_a { a } else { b };
        *scaled = c.map(num(alpha) * x(), &[*scaled])?;
    }
    Ok(())
}

/// `a · b + addend`, the addend where it is cheapest.
fn product_plus(c: &mut Ctx<'_, '_>, a: ValueId, b: ValueId, addend: ValueId) -> Result<ValueId> {
    let (m, n) = (c.shape(a)[0].clone(), c.shape(b)[1].clone());
    let result = Shape::new(vec![m.clone(), n.clone()]);
    let shape = c.shape(addend);
    if shape.broadcast(&result)? != result {
        return Err(Error::misfit(format!("C has shape {shape}, which does not broadcast to {result}")));
    }
    let row = shape.dims().len() < 2 || shape[0].is(1);
    if row {
        // [n], [1, n], [1] or a scalar: one row for all.
        let bias = c.b.broadcast(addend, &Shape::new(vec![Dim::ONE, n.clone()]))?;
        let bias = c.b.reshape(bias, Shape::new(vec![n]))?;
        return Ok(c.b.one(Op::MatMul(Epilogue::BIAS), &[a, b, bias])?);
    }
    if shape == result {
        let residual = Epilogue { residual: true, ..Epilogue::NONE };
        return Ok(c.b.one(Op::MatMul(residual), &[a, b, addend])?);
    }
    let product = c.b.one(Op::MatMul(Epilogue::NONE), &[a, b])?;
    Ok(match c.dtype(product) {
        DType::F32 | DType::F64 => c.map(x() + y(), &[product, addend])?,
        _ => c.b.binary(sofie_infer_runtime::map::Binary::Add, product, addend)?,
    })
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn weights_absorb_factors_and_transposes() {
        let w = Arg::Const(Tensor::of(&[2, 3], &[1.0f32, 0.0, 2.0, 0.0, 1.0, 0.5]));
        let bias = Arg::Const(Tensor::of(&[2], &[10.0f32, 20.0]));
        let attrs = [
            ("transB", Attribute::Int(1)),
            ("alpha", Attribute::Float(2.0)),
            ("beta", Attribute::Float(0.5)),
        ];
        let args = [f32s(&[1, 3], &[1.0, 2.0, 4.0]), w, bias];
        assert_eq!(run("Gemm", 13, &attrs, &args), Tensor::of(&[1, 2], &[23.0f32, 18.0]));
        let graph = lowered("Gemm", 13, &attrs, &args, 1).unwrap().to_string();
        assert!(!graph.contains("map") && !graph.contains("transpose"), "{graph}");
    }

    #[test]
    fn every_shape_of_c() {
        let (a, b) = (f32s(&[2, 1], &[1.0, 2.0]), f32s(&[1, 2], &[1.0, 10.0]));
        let with = |c: Arg| run("Gemm", 13, &[], &[a.clone(), b.clone(), c]).to_vec::<f32>().unwrap();
        assert_eq!(with(Arg::Left), [1.0, 10.0, 2.0, 20.0]);
        assert_eq!(with(f32s(&[], &[100.0])), [101.0, 110.0, 102.0, 120.0]);
        assert_eq!(with(f32s(&[2], &[100.0, 200.0])), [101.0, 210.0, 102.0, 220.0]);
        assert_eq!(with(f32s(&[2, 1], &[100.0, 200.0])), [101.0, 110.0, 202.0, 220.0]);
        assert_eq!(with(f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0])), [2.0, 12.0, 5.0, 24.0]);
        let error = lowered("Gemm", 13, &[], &[a.clone(), b.clone(), f32s(&[3], &[0.0; 3])], 1).unwrap_err();
        assert!(error.contains("do not broadcast"), "{error}");
    }

    #[test]
    fn whole_factors_of_integers() {
        let matrix = |dims: [usize; 2], x: &[i64]| Arg::In(Tensor::of(&dims, x));
        let args = [matrix([1, 2], &[1, 2]), matrix([2, 1], &[3, 4]), matrix([1, 1], &[5])];
        let factors = |a: f32, b: f32| [("alpha", Attribute::Float(a)), ("beta", Attribute::Float(b))];
        assert_eq!(run("Gemm", 13, &factors(2.0, -3.0), &args), Tensor::of(&[1, 1], &[7i64]));
        let error = lowered("Gemm", 13, &factors(0.5, 1.0), &args, 1).unwrap_err();
        assert!(error.contains("cast the operands to a float"), "{error}");
    }

    #[test]
    fn a_run_time_matrix_is_transposed_by_a_view() {
        let attrs = [("transA", Attribute::Int(1))];
        let y = run("Gemm", 13, &attrs, &[f32s(&[2, 1], &[1.0, 2.0]), f32s(&[2, 1], &[3.0, 4.0])]);
        assert_eq!(y, Tensor::of(&[1, 1], &[11.0f32]));
    }
}
