//! Views, concatenation and padding: every element moves to one place and no other.

use super::*;
use sofie_infer_compiler::ir::Dim;
use sofie_infer_runtime::map::Scalar;
use sofie_infer_runtime::{bf16, f16};

fn fixed(x: &[i64]) -> Vec<Dim> {
    x.iter().map(|&n| Dim::Fixed(n)).collect()
}

fn slice(start: &[i64], step: &[i64], shape: &[usize]) -> Op {
    Op::Slice { start: fixed(start), step: step.to_vec(), shape: Shape::of(shape) }
}

fn pad(before: &[i64], after: &[i64], value: impl Into<Scalar>) -> Op {
    Op::Pad { before: fixed(before), after: fixed(after), value: value.into() }
}

#[test]
fn a_transpose_permutes() {
    let x = iota(&[2, 3]);
    assert_eq!(one(Op::Transpose(vec![1, 0]), &[&x]), f(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0]));
    let y = one(Op::Transpose(vec![2, 0, 1]), &[&iota(&[2, 3, 4])]);
    for (a, b, c) in [(0, 0, 0), (1, 2, 3), (1, 0, 2), (0, 2, 1)] {
        assert_eq!(floats(&y)[c * 6 + a * 3 + b], (a * 12 + b * 4 + c) as f32);
    }
    assert_eq!(one(Op::Transpose(vec![1, 0]), &[&f(&[0, 3], &[])]), f(&[3, 0], &[]));
    assert_eq!(one(Op::Transpose(vec![]), &[&f(&[], &[4.0])]), f(&[], &[4.0]));
}

#[test]
fn slices_step_both_ways() {
    let x = iota(&[3, 4]);
    assert_eq!(one(slice(&[1, 3], &[1, -2], &[2, 2]), &[&x]), f(&[2, 2], &[7.0, 5.0, 11.0, 9.0]));
    assert_eq!(one(slice(&[2, 0], &[-1, 1], &[3, 1]), &[&x]), f(&[3, 1], &[8.0, 4.0, 0.0]));
    assert_eq!(one(slice(&[0, 1], &[2, 1], &[2, 3]), &[&x]), f(&[2, 3], &[1.0, 2.0, 3.0, 9.0, 10.0, 11.0]));
    // No elements: the start may be anywhere; one element: the step may be anything.
    assert_eq!(one(slice(&[99, 0], &[1, 1], &[0, 4]), &[&x]), f(&[0, 4], &[]));
    assert_eq!(one(slice(&[1, 2], &[i64::MIN, i64::MAX], &[1, 1]), &[&x]), f(&[1, 1], &[6.0]));
    assert!(refused(slice(&[0, 2], &[1, 1], &[3, 3]), &[&x]).contains("slice"));
}

#[test]
fn a_broadcast_repeats() {
    let x = f(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
    let y = one(Op::Broadcast(Shape::of(&[2, 2, 2])), &[&x]);
    assert_eq!(floats(&y), [1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0, 4.0]);
    let y = one(Op::Broadcast(Shape::of(&[3, 2])), &[&f(&[3, 1], &[1.0, 2.0, 3.0])]);
    assert_eq!(floats(&y), [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    assert_eq!(one(Op::Broadcast(Shape::of(&[0])), &[&f(&[1], &[1.0])]), f(&[0], &[]));
}

#[test]
fn views_move_elements_of_every_size() {
    let t = |x: Tensor| one(Op::Transpose(vec![1, 0]), &[&x]);
    assert_eq!(t(Tensor::of(&[2, 2], &[1u8, 2, 3, 4])), Tensor::of(&[2, 2], &[1u8, 3, 2, 4]));
    assert_eq!(
        t(Tensor::of(&[2, 2], &[true, false, true, true])),
        Tensor::of(&[2, 2], &[true, true, false, true])
    );
    let h = |x: [f32; 4]| Tensor::of(&[2, 2], &x.map(f16::from_f32));
    assert_eq!(t(h([1.0, 2.0, 3.0, 4.0])), h([1.0, 3.0, 2.0, 4.0]));
    let b = |x: [f32; 4]| Tensor::of(&[2, 2], &x.map(bf16::from_f32));
    assert_eq!(t(b([1.0, 2.0, 3.0, 4.0])), b([1.0, 3.0, 2.0, 4.0]));
    assert_eq!(t(i(&[2, 2], &[1, 2, 3, 4])), i(&[2, 2], &[1, 3, 2, 4]));
}

#[test]
fn concat_joins_along_its_axis() {
    let (a, b) = (f(&[2, 1], &[1.0, 2.0]), f(&[2, 2], &[3.0, 4.0, 5.0, 6.0]));
    assert_eq!(one(Op::Concat(1), &[&a, &b]), f(&[2, 3], &[1.0, 3.0, 4.0, 2.0, 5.0, 6.0]));
    assert_eq!(one(Op::Concat(0), &[&b, &b]).dims(), [4, 2]);
    let none = f(&[2, 0], &[]);
    assert_eq!(one(Op::Concat(1), &[&none, &a, &none]), a);
}

#[test]
fn pads_add_and_cut() {
    let x = iota(&[2, 2]);
    assert_eq!(
        one(pad(&[0, 1], &[1, 0], -1.0f32), &[&x]),
        f(&[3, 3], &[-1.0, 0.0, 1.0, -1.0, 2.0, 3.0, -1.0, -1.0, -1.0])
    );
    assert_eq!(one(pad(&[-1, 0], &[0, -1], 9.0f32), &[&x]), f(&[1, 1], &[2.0]));
    // Cut in front, and further added behind than anything is left.
    assert_eq!(one(pad(&[-5, 0], &[6, 0], 7.0f32), &[&x]), f(&[3, 2], &[7.0; 6]));
    assert_eq!(one(pad(&[1], &[1], 3i64), &[&i(&[0], &[])]), i(&[2], &[3, 3]));
    assert_eq!(one(pad(&[], &[], 3i64), &[&i(&[], &[5])]), i(&[], &[5]));
}

#[test]
fn a_reshape_keeps_the_order() {
    assert_eq!(one(Op::Reshape(Shape::of(&[3, 2])), &[&iota(&[2, 3])]), iota(&[3, 2]));
    assert_eq!(one(Op::Reshape(Shape::of(&[])), &[&f(&[1, 1], &[2.0])]), f(&[], &[2.0]));
}
