//! Whole graphs: symbols take the inputs' extents, values live until their last reader, errors name the node.

use super::*;
use sofie_infer_compiler::ir::{Builder, Dim, ReduceKind};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};

#[test]
fn a_value_that_is_read_twice_and_an_output_that_is_read_again() {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(&[2]));
    let y = b.unary(Unary::Neg, x).unwrap();
    let z = b.binary(Binary::Mul, y, x).unwrap();
    b.output("y", y);
    b.output("z", z);
    b.output("x", x);
    let g = b.finish();
    let v = f(&[2], &[2.0, -3.0]);
    let outputs = eval::run(&g, std::slice::from_ref(&v)).unwrap();
    assert_eq!(outputs, [f(&[2], &[-2.0, 3.0]), f(&[2], &[-4.0, -9.0]), v]);
}

fn symbolic() -> sofie_infer_compiler::ir::Graph {
    let n = Dim::symbol("n");
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::new(vec![n.clone(), 3.into()]));
    let rows = b.one(Op::Reduce(ReduceKind::Sum, vec![1]), &[x]).unwrap();
    let full = b.one(Op::Broadcast(Shape::new(vec![n.clone(), 2.into()])), &[rows]).unwrap();
    let flat = b.reshape(full, Shape::new(vec![n.mul(&2.into()).unwrap()])).unwrap();
    b.output("flat", flat);
    b.finish()
}

#[test]
fn symbols_take_the_inputs_extents() {
    let g = symbolic();
    assert_eq!(eval::run(&g, &[iota(&[2, 3])]).unwrap(), [f(&[4], &[3.0, 3.0, 12.0, 12.0])]);
    assert_eq!(eval::run(&g, &[f(&[0, 3], &[])]).unwrap(), [f(&[0], &[])]);
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let g = symbolic();
    let message = |inputs: &[Tensor]| eval::run(&g, inputs).unwrap_err().to_string();
    assert!(message(&[]).contains("0 inputs"));
    assert!(message(&[iota(&[2, 4])]).contains("expected"));
    assert!(message(&[iota(&[6])]).contains("input \"x\""));
    assert!(message(&[i(&[2, 3], &[0; 6])]).contains("expected"));
}

#[test]
fn an_error_names_its_node() {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(&[2]));
    let at = b.input("at", DType::I64, Shape::of(&[1]));
    let y = b.one(Op::Gather { axis: 0, batch: 0 }, &[x, at]).unwrap();
    b.output("y", y);
    let g = b.finish();
    let message = eval::run(&g, &[iota(&[2]), i(&[1], &[2])]).unwrap_err().to_string();
    assert_eq!(message, "node 0 (gather): index 2 is outside 2 elements");
}

#[test]
fn a_tensor_beyond_memory_is_an_error() {
    let huge = Op::Broadcast(Shape::of(&[1 << 20, 1 << 20]));
    assert!(refused(huge, &[&f(&[1, 1], &[0.0])]).contains("too large"));
}

#[test]
fn results_that_do_not_belong_to_the_operation_are_refused() {
    let x = iota(&[2]);
    let wrong = eval::apply(&Op::Transpose(vec![0]), &[&x], &[(DType::F32, vec![3])]);
    assert!(wrong.unwrap_err().to_string().contains("transpose gives"));
    assert!(eval::apply(&Op::Transpose(vec![0]), &[], &[]).is_err());
}
