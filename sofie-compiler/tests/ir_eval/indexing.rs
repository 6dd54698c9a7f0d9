//! Reading and writing by index, and the order of elements.

use super::*;
use sofie_infer_compiler::ir::{Dim, ScatterKind};

#[test]
fn gather_copies_slices() {
    let x = iota(&[3, 2]);
    let at = |axis, batch| Op::Gather { axis, batch };
    assert_eq!(one(at(0, 0), &[&x, &i(&[2], &[2, 0])]), f(&[2, 2], &[4.0, 5.0, 0.0, 1.0]));
    assert_eq!(one(at(1, 0), &[&x, &i(&[1, 1], &[-1])]), f(&[3, 1, 1], &[1.0, 3.0, 5.0]));
    assert_eq!(one(at(0, 0), &[&x, &i(&[], &[1])]), f(&[2], &[2.0, 3.0]));
    let index = Tensor::of(&[2, 2], &[0i32, 0, 1, 2]);
    let y = one(at(1, 1), &[&iota(&[2, 3]), &index]);
    assert_eq!(y, f(&[2, 2], &[0.0, 0.0, 4.0, 5.0]));
    // One batch axis, one axis between, and a row behind.
    let y = one(at(2, 1), &[&iota(&[2, 2, 2, 2]), &i(&[2, 1], &[1, 0])]);
    assert_eq!(y, f(&[2, 2, 1, 2], &[2.0, 3.0, 6.0, 7.0, 8.0, 9.0, 12.0, 13.0]));
    assert!(refused(at(0, 0), &[&x, &i(&[1], &[3])]).contains("outside"));
    assert!(refused(at(0, 0), &[&x, &i(&[1], &[-4])]).contains("outside"));
    assert!(refused(at(0, 0), &[&x, &i(&[1], &[i64::MIN])]).contains("outside"));
    assert_eq!(one(at(0, 0), &[&f(&[0, 2], &[]), &i(&[0], &[])]), f(&[0, 2], &[]));
}

#[test]
fn gather_elements_follows_onnx() {
    // The operator's own examples.
    let y = one(Op::GatherElements(1), &[&f(&[2, 2], &[1.0, 2.0, 3.0, 4.0]), &i(&[2, 2], &[0, 0, 1, 0])]);
    assert_eq!(y, f(&[2, 2], &[1.0, 1.0, 4.0, 3.0]));
    let x = f(&[3, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    let y = one(Op::GatherElements(0), &[&x, &i(&[2, 3], &[1, 2, 0, 2, 0, 0])]);
    assert_eq!(y, f(&[2, 3], &[4.0, 8.0, 3.0, 7.0, 2.0, 3.0]));
    let y = one(Op::GatherElements(0), &[&x, &i(&[2, 3], &[-1, -2, 0, -2, 0, 0])]);
    assert_eq!(y, f(&[2, 3], &[7.0, 5.0, 3.0, 4.0, 2.0, 3.0]));
    // Fewer indices beside the axis than there is data.
    assert_eq!(one(Op::GatherElements(0), &[&x, &i(&[1, 2], &[2, 1])]), f(&[1, 2], &[7.0, 5.0]));
    assert!(refused(Op::GatherElements(0), &[&x, &i(&[1, 3], &[0, 3, 0])]).contains("outside"));
}

#[test]
fn gather_nd_follows_onnx() {
    let nd = |batch| Op::GatherNd { batch };
    let x = i(&[2, 2], &[0, 1, 2, 3]);
    assert_eq!(one(nd(0), &[&x, &i(&[2, 2], &[0, 0, 1, 1])]), i(&[2], &[0, 3]));
    assert_eq!(one(nd(0), &[&x, &i(&[2, 1], &[1, 0])]), i(&[2, 2], &[2, 3, 0, 1]));
    let x = i(&[2, 2, 2], &[0, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(one(nd(0), &[&x, &i(&[2, 2], &[0, 1, 1, 0])]), i(&[2, 2], &[2, 3, 4, 5]));
    assert_eq!(one(nd(0), &[&x, &i(&[2, 1, 2], &[0, 1, 1, 0])]), i(&[2, 1, 2], &[2, 3, 4, 5]));
    assert_eq!(one(nd(1), &[&x, &i(&[2, 1], &[1, 0])]), i(&[2, 2], &[2, 3, 4, 5]));
    // Tuples of length 0 name the whole.
    assert_eq!(one(nd(0), &[&x, &i(&[2, 0], &[])]).dims(), [2, 2, 2, 2]);
    assert!(refused(nd(0), &[&x, &i(&[1, 1], &[2])]).contains("outside"));
    assert_eq!(one(nd(0), &[&f(&[0, 3], &[]), &i(&[0, 1], &[])]), f(&[0, 3], &[]));
}

#[test]
fn top_k_takes_the_lower_index_of_equals() {
    let top = |k: usize, largest| Op::TopK { k: Dim::from(k), largest };
    let x = f(&[2, 4], &[1.0, 3.0, 3.0, 2.0, 0.0, -0.0, 5.0, f32::NEG_INFINITY]);
    let y = try_eval(&top(3, true), &[&x]).unwrap();
    assert_eq!(y, [f(&[2, 3], &[3.0, 3.0, 2.0, 5.0, 0.0, -0.0]), i(&[2, 3], &[1, 2, 3, 2, 0, 1])]);
    let y = try_eval(&top(2, false), &[&x]).unwrap();
    assert_eq!(y, [f(&[2, 2], &[1.0, 2.0, f32::NEG_INFINITY, 0.0]), i(&[2, 2], &[0, 3, 3, 0])]);
    assert_eq!(try_eval(&top(0, true), &[&x]).unwrap()[1], i(&[2, 0], &[]));
    assert_eq!(try_eval(&top(0, true), &[&f(&[3, 0], &[])]).unwrap()[1], i(&[3, 0], &[]));
}

#[test]
fn top_k_orders_integers_exactly_and_nan_above_all() {
    let x = Tensor::of(&[3], &[u64::MAX, u64::MAX - 1, 1]);
    let y = try_eval(&Op::TopK { k: Dim::from(2), largest: true }, &[&x]).unwrap();
    assert_eq!(y, [Tensor::of(&[2], &[u64::MAX, u64::MAX - 1]), i(&[2], &[0, 1])]);
    let x = f(&[4], &[1.0, f32::NAN, f32::INFINITY, f32::NAN]);
    let indices = |largest| try_eval(&Op::TopK { k: Dim::from(4), largest }, &[&x]).unwrap().remove(1);
    assert_eq!(indices(true), i(&[4], &[1, 3, 2, 0]));
    assert_eq!(indices(false), i(&[4], &[0, 2, 1, 3]));
}

#[test]
fn scatter_elements_follows_onnx() {
    let set = |axis| Op::ScatterElements(axis, ScatterKind::Set);
    let x = f(&[3, 3], &[0.0; 9]);
    let (index, updates) = (i(&[2, 3], &[1, 0, 2, 0, 2, 1]), f(&[2, 3], &[1.0, 1.1, 1.2, 2.0, 2.1, 2.2]));
    let y = one(set(0), &[&x, &index, &updates]);
    assert_eq!(y, f(&[3, 3], &[2.0, 1.1, 0.0, 1.0, 0.0, 2.2, 0.0, 2.1, 1.2]));
    let x = f(&[1, 5], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    let (index, updates) = (i(&[1, 2], &[1, -2]), f(&[1, 2], &[1.5, 2.5]));
    assert_eq!(one(set(1), &[&x, &index, &updates]), f(&[1, 5], &[1.0, 1.5, 3.0, 2.5, 5.0]));
    assert!(refused(set(1), &[&x, &i(&[1, 1], &[5]), &f(&[1, 1], &[0.0])]).contains("outside"));
    assert!(refused(set(1), &[&x, &i(&[2, 1], &[0, 0]), &f(&[2, 1], &[0.0; 2])]).contains("outside"));
}

#[test]
fn repeated_indices_combine_in_order() {
    let x = f(&[2], &[10.0, f32::NAN]);
    let index = i(&[3], &[0, 0, 1]);
    let u = f(&[3], &[3.0, -4.0, 1.0]);
    let y = |kind| floats(&one(Op::ScatterElements(0, kind), &[&x, &index, &u]));
    assert_eq!(y(ScatterKind::Set), [-4.0, 1.0]);
    for (kind, first) in [
        (ScatterKind::Add, 9.0),
        (ScatterKind::Mul, -120.0),
        (ScatterKind::Max, 10.0),
        (ScatterKind::Min, -4.0),
    ] {
        let y = y(kind);
        assert!(y[0] == first && y[1].is_nan(), "{kind:?} gives {y:?}");
    }
    let (x, u) = (Tensor::of(&[2], &[250u8, 1]), Tensor::of(&[3], &[5u8, 6, 7]));
    assert_eq!(one(Op::ScatterElements(0, ScatterKind::Add), &[&x, &index, &u]), Tensor::of(&[2], &[5u8, 8]));
    let (x, u) = (Tensor::of(&[2], &[false, true]), Tensor::of(&[3], &[true, false, false]));
    assert_eq!(
        one(Op::ScatterElements(0, ScatterKind::Max), &[&x, &index, &u]),
        Tensor::of(&[2], &[true, true])
    );
    for (kind, y) in [(ScatterKind::Add, [true, true]), (ScatterKind::Mul, [false, false])] {
        assert_eq!(one(Op::ScatterElements(0, kind), &[&x, &index, &u]), Tensor::of(&[2], &y));
    }
}

#[test]
fn scatter_nd_follows_onnx() {
    let nd = |kind| Op::ScatterNd(kind);
    let x = f(&[4], &[1.0, 2.0, 3.0, 4.0]);
    let y = one(nd(ScatterKind::Set), &[&x, &i(&[2, 1], &[3, 1]), &f(&[2], &[9.0, 10.0])]);
    assert_eq!(y, f(&[4], &[1.0, 10.0, 3.0, 9.0]));
    let y = one(nd(ScatterKind::Add), &[&iota(&[2, 2]), &i(&[3, 1], &[0, -2, 1]), &iota(&[3, 2])]);
    assert_eq!(y, f(&[2, 2], &[2.0, 5.0, 6.0, 8.0]));
    let y = one(nd(ScatterKind::Max), &[&iota(&[2, 2]), &i(&[1, 2], &[1, 0]), &f(&[1], &[7.0])]);
    assert_eq!(y, f(&[2, 2], &[0.0, 1.0, 7.0, 3.0]));
    // Tuples of length 0 name the whole.
    let y = one(nd(ScatterKind::Mul), &[&x, &i(&[1, 0], &[]), &f(&[1, 4], &[2.0; 4])]);
    assert_eq!(y, f(&[4], &[2.0, 4.0, 6.0, 8.0]));
    assert!(refused(nd(ScatterKind::Set), &[&x, &i(&[1, 1], &[4]), &f(&[1], &[0.0])]).contains("outside"));
}
