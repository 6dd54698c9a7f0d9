//! Elementwise maps: broadcasting, blocks, types, and the instructions that the evaluator adds itself.

use super::*;
use sofie_infer_compiler::ir::{Inst, MapExpr};
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use sofie_infer_runtime::{DType, f16};

fn of(inputs: &[DType], insts: &[Inst]) -> Op {
    let mut e = MapExpr::over(inputs);
    for inst in insts {
        e.push(*inst).unwrap();
    }
    Op::Map(e)
}

#[test]
fn operands_broadcast_on_either_side() {
    let add = Op::Map(MapExpr::binary(Binary::Add, DType::F32).unwrap());
    let y = one(add.clone(), &[&f(&[2, 1], &[10.0, 20.0]), &f(&[1, 3], &[1.0, 2.0, 3.0])]);
    assert_eq!(y, f(&[2, 3], &[11.0, 12.0, 13.0, 21.0, 22.0, 23.0]));
    assert_eq!(one(add.clone(), &[&f(&[], &[1.5]), &f(&[], &[2.0])]), f(&[], &[3.5]));
    assert_eq!(one(add, &[&f(&[0, 1], &[]), &f(&[1, 4], &[0.0; 4])]), f(&[0, 4], &[]));
}

#[test]
fn blocks_join_without_a_seam() {
    let n = 3 * 2048 + 5;
    let x = iota(&[n]);
    let double = of(&[DType::F32], &[Inst::Input(0), Inst::Binary(Binary::Add, 0, 0)]);
    assert_eq!(floats(&one(double, &[&x])), (0..n).map(|i| 2.0 * i as f32).collect::<Vec<_>>());
    let count = of(&[DType::F32], &[Inst::Input(0), Inst::Iota(0)]);
    assert_eq!(one(count, &[&x]), i(&[n], &(0..n as i64).collect::<Vec<_>>()));
}

#[test]
fn iota_counts_along_its_axis() {
    let along = |axis| of(&[DType::F32], &[Inst::Input(0), Inst::Iota(axis)]);
    let x = iota(&[2, 3]);
    assert_eq!(one(along(0), &[&x]), i(&[2, 3], &[0, 0, 0, 1, 1, 1]));
    assert_eq!(one(along(1), &[&x]), i(&[2, 3], &[0, 1, 2, 0, 1, 2]));
}

#[test]
fn a_fused_multiply_add_rounds_once() {
    let fma = |t| of(&[t, t, t], &[Inst::Input(0), Inst::Input(1), Inst::Input(2), Inst::MulAdd(0, 1, 2)]);
    // (1 + 2^-12)² = 1 + 2^-11 + 2^-24: the last term is lost when the product is rounded first.
    let x = 1.0 + 2f32.powi(-12);
    let y = one(fma(DType::F32), &[&f(&[1], &[x]), &f(&[1], &[x]), &f(&[1], &[-1.0 - 2f32.powi(-11)])]);
    assert_eq!(floats(&y), [2f32.powi(-24)]);
    let h = |x: f32| Tensor::of(&[1], &[f16::from_f32(x)]);
    assert_eq!(one(fma(DType::F16), &[&h(3.0), &h(0.5), &h(-1.0)]), h(0.5));
    let d = |x: f64| Tensor::of(&[1], &[x]);
    assert_eq!(one(fma(DType::F64), &[&d(3.0), &d(0.5), &d(-1.0)]), d(0.5));
}

#[test]
fn select_constants_and_casts_mix_types() {
    // x < 2.5 ? i64(x) : 7
    let op = of(
        &[DType::F32],
        &[
            Inst::Input(0),
            Inst::Const(Scalar::from(2.5f32)),
            Inst::Binary(Binary::Lt, 0, 1),
            Inst::Cast(DType::I64, 0),
            Inst::Const(Scalar::from(7i64)),
            Inst::Select(2, 3, 4),
        ],
    );
    assert_eq!(one(op, &[&f(&[4], &[-1.9, 2.0, 3.0, f32::NAN])]), i(&[4], &[-1, 2, 7, 7]));
}

#[test]
fn functions_are_the_runtimes_own() {
    let x: Vec<f32> = [-2.0, -0.5, 0.0, 1.0, 30.0, f32::NAN, f32::INFINITY].to_vec();
    for op in [Unary::Exp, Unary::Tanh, Unary::GeluErf, Unary::Softplus, Unary::Relu] {
        let y = floats(&one(Op::Map(MapExpr::unary(op, DType::F32).unwrap()), &[&f(&[7], &x)]));
        for (x, y) in x.iter().zip(y) {
            let expected = sofie_infer_runtime::map::unary(op, Scalar::from(*x));
            assert_eq!(expected.bits as u32, y.to_bits(), "{op:?}({x})");
        }
    }
}

#[test]
fn integers_wrap() {
    let mul = Op::Map(MapExpr::binary(Binary::Mul, DType::I8).unwrap());
    let x = Tensor::of(&[2], &[100i8, -128]);
    assert_eq!(one(mul, &[&x, &Tensor::of(&[2], &[2i8, -1])]), Tensor::of(&[2], &[-56i8, -128]));
}
