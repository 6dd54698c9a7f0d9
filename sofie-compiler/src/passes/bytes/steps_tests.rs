//! Quantising and back as the front end lowers them, for the tests of what finds it.

use crate::ir::{Builder, Inst, MapExpr, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use sofie_infer_runtime::plain::Steps;

/// Steps of `f32`s as `QuantizeLinear` is lowered.
pub fn quantise(b: &mut Builder, x: ValueId, steps: Steps) -> ValueId {
    let mut e = MapExpr::over(&[DType::F32]);
    let x0 = e.push(Inst::Input(0)).unwrap();
    let scale = e.push(Inst::Const(Scalar::f32(steps.scale))).unwrap();
    let zero = e.push(Inst::Const(Scalar::from_f64(steps.of, steps.zero.into()))).unwrap();
    let zero = e.push(Inst::Cast(DType::F32, zero)).unwrap();
    let x0 = e.push(Inst::Binary(Binary::Div, x0, scale)).unwrap();
    let x0 = e.push(Inst::Unary(Unary::Round, x0)).unwrap();
    let x0 = e.push(Inst::Binary(Binary::Add, x0, zero)).unwrap();
    e.push(Inst::Cast(steps.of, x0)).unwrap();
    b.map(e, &[x]).unwrap()
}

/// What the steps stand for, as `DequantizeLinear` is lowered.
pub fn dequantise(b: &mut Builder, x: ValueId, steps: Steps) -> ValueId {
    let mut e = MapExpr::over(&[steps.of]);
    let x0 = e.push(Inst::Input(0)).unwrap();
    let x0 = e.push(Inst::Cast(DType::F32, x0)).unwrap();
    let zero = e.push(Inst::Const(Scalar::from_f64(steps.of, steps.zero.into()))).unwrap();
    let zero = e.push(Inst::Cast(DType::F32, zero)).unwrap();
    let x0 = e.push(Inst::Binary(Binary::Sub, x0, zero)).unwrap();
    let scale = e.push(Inst::Const(Scalar::f32(steps.scale))).unwrap();
    e.push(Inst::Binary(Binary::Mul, x0, scale)).unwrap();
    b.map(e, &[x]).unwrap()
}
