//! Reductions, positions of extremes, running sums: over any axes, over nothing, and with NaN.

use super::*;
use sofie_infer_compiler::ir::ReduceKind::{self, *};
use sofie_infer_runtime::f16;

fn all(kind: ReduceKind, x: &[f32]) -> f32 {
    floats(&one(Op::Reduce(kind, vec![0]), &[&f(&[x.len()], x)]))[0]
}

#[test]
fn kinds_mean_what_onnx_says() {
    let x = [1.0, -2.0, 3.0, -4.0];
    for (kind, y) in [(Sum, -2.0), (Mean, -0.5), (Prod, 24.0), (Max, 3.0), (Min, -4.0), (L1, 10.0)] {
        assert_eq!(all(kind, &x), y, "{kind:?}");
    }
    assert_eq!(all(SumSquare, &x), 30.0);
    assert_eq!(all(L2, &[3.0, 4.0]), 5.0);
    assert_eq!(all(LogSum, &[0.5, 0.5]), 0.0);
    assert_eq!(all(LogSumExp, &[0.0, 0.0]), 2f32.ln());
    assert_eq!(all(LogSumExp, &[1000.0, 1000.0]), 1000.0 + 2f32.ln());
}

#[test]
fn axes_keep_extent_one() {
    let x = iota(&[2, 3, 2]);
    let sum = |axes: &[usize]| one(Op::Reduce(Sum, axes.to_vec()), &[&x]);
    assert_eq!(sum(&[1]), f(&[2, 1, 2], &[6.0, 9.0, 24.0, 27.0]));
    assert_eq!(sum(&[0, 2]), f(&[1, 3, 1], &[14.0, 22.0, 30.0]));
    assert_eq!(sum(&[0, 1, 2]), f(&[1, 1, 1], &[66.0]));
    assert_eq!(sum(&[]), x);
    assert_eq!(one(Op::Reduce(Mean, vec![2]), &[&x]), f(&[2, 3, 1], &[0.5, 2.5, 4.5, 6.5, 8.5, 10.5]));
    assert_eq!(one(Op::Reduce(Sum, vec![]), &[&f(&[], &[3.0])]), f(&[], &[3.0]));
}

#[test]
fn nothing_reduces_to_the_neutral_element() {
    let none = f(&[2, 0], &[]);
    let y = |kind| floats(&one(Op::Reduce(kind, vec![1]), &[&none]));
    assert_eq!((y(Sum), y(Prod), y(L2)), (vec![0.0; 2], vec![1.0; 2], vec![0.0; 2]));
    assert_eq!((y(Max), y(Min)), (vec![f32::NEG_INFINITY; 2], vec![f32::INFINITY; 2]));
    assert_eq!((y(LogSum), y(LogSumExp)), (vec![f32::NEG_INFINITY; 2], vec![f32::NEG_INFINITY; 2]));
    assert!(y(Mean).iter().all(|y| y.is_nan()));
    let ints = |kind| one(Op::Reduce(kind, vec![0]), &[&Tensor::of::<i8>(&[0], &[])]);
    assert_eq!((ints(Max), ints(Mean)), (Tensor::of(&[1], &[-128i8]), Tensor::of(&[1], &[0i8])));
    assert_eq!(one(Op::Reduce(Sum, vec![1]), &[&f(&[0, 3], &[])]), f(&[0, 1], &[]));
}

#[test]
fn nan_and_infinities_win() {
    assert!(all(Max, &[1.0, f32::NAN, 2.0]).is_nan() && all(Min, &[1.0, f32::NAN, 2.0]).is_nan());
    assert!(all(LogSumExp, &[1.0, f32::NAN]).is_nan() && all(LogSumExp, &[f32::NAN, f32::INFINITY]).is_nan());
    assert_eq!(all(LogSumExp, &[f32::NEG_INFINITY; 2]), f32::NEG_INFINITY);
    assert_eq!(all(LogSumExp, &[1.0, f32::INFINITY]), f32::INFINITY);
    assert!(all(Sum, &[f32::INFINITY, f32::NEG_INFINITY]).is_nan());
}

#[test]
fn integers_wrap_and_bools_are_ordered() {
    let x = Tensor::of(&[3], &[100i8, 100, -3]);
    let y = |kind| one(Op::Reduce(kind, vec![0]), &[&x]);
    assert_eq!(y(Sum), Tensor::of(&[1], &[-59i8]));
    assert_eq!(y(Mean), Tensor::of(&[1], &[65i8]));
    assert_eq!((y(L1), y(L2)), (Tensor::of(&[1], &[-53i8]), Tensor::of(&[1], &[127i8])));
    let big = Tensor::of(&[2], &[u64::MAX, 5]);
    assert_eq!(one(Op::Reduce(Max, vec![0]), &[&big]), Tensor::of(&[1], &[u64::MAX]));
    assert_eq!(one(Op::Reduce(Sum, vec![0]), &[&big]), Tensor::of(&[1], &[4u64]));
    let b = Tensor::of(&[2], &[true, false]);
    assert_eq!(one(Op::Reduce(Max, vec![0]), &[&b]), Tensor::of(&[1], &[true]));
    assert_eq!(one(Op::Reduce(Min, vec![0]), &[&b]), Tensor::of(&[1], &[false]));
    assert!(refused(Op::Reduce(Sum, vec![0]), &[&b]).contains("bools"));
}

#[test]
fn half_precision_sums_do_not_stall() {
    // In f16 2048 + 1 is 2048.
    let x = Tensor::of(&[4096], &[f16::ONE; 4096]);
    assert_eq!(one(Op::Reduce(Sum, vec![0]), &[&x]), Tensor::of(&[1], &[f16::from_f32(4096.0)]));
}

#[test]
fn positions_of_extremes() {
    let arg = |max, last| Op::ArgReduce { max, axis: 1, last };
    let x = f(&[2, 3], &[1.0, 3.0, 3.0, -1.0, -1.0, 2.0]);
    assert_eq!(one(arg(true, false), &[&x]), i(&[2, 1], &[1, 2]));
    assert_eq!(one(arg(true, true), &[&x]), i(&[2, 1], &[2, 2]));
    assert_eq!(one(arg(false, false), &[&x]), i(&[2, 1], &[0, 0]));
    assert_eq!(one(arg(false, true), &[&x]), i(&[2, 1], &[0, 1]));
    let columns = Op::ArgReduce { max: true, axis: 0, last: false };
    assert_eq!(one(columns, &[&x]), i(&[1, 3], &[0, 0, 0]));
    let nan = f(&[1, 4], &[1.0, f32::NAN, f32::INFINITY, f32::NAN]);
    for (max, last, at) in [(true, false, 1), (true, true, 3), (false, false, 1), (false, true, 3)] {
        assert_eq!(one(arg(max, last), &[&nan]), i(&[1, 1], &[at]), "max {max}, last {last}");
    }
    assert!(refused(arg(true, false), &[&f(&[2, 0], &[])]).contains("no elements"));
    assert_eq!(one(arg(true, false), &[&f(&[0, 0], &[])]), i(&[0, 1], &[]));
}

#[test]
fn running_sums() {
    let scan = |product, axis, exclusive, reverse| Op::Scan { product, axis, exclusive, reverse };
    let x = f(&[3], &[1.0, 2.0, 3.0]);
    assert_eq!(one(scan(false, 0, false, false), &[&x]), f(&[3], &[1.0, 3.0, 6.0]));
    assert_eq!(one(scan(false, 0, true, false), &[&x]), f(&[3], &[0.0, 1.0, 3.0]));
    assert_eq!(one(scan(false, 0, false, true), &[&x]), f(&[3], &[6.0, 5.0, 3.0]));
    assert_eq!(one(scan(true, 0, true, true), &[&x]), f(&[3], &[6.0, 3.0, 1.0]));
    let y = one(scan(false, 0, false, false), &[&iota(&[2, 2])]);
    assert_eq!(y, f(&[2, 2], &[0.0, 1.0, 2.0, 4.0]));
    let wrapping = one(scan(true, 0, false, false), &[&Tensor::of(&[2], &[16u8, 17])]);
    assert_eq!(wrapping, Tensor::of(&[2], &[16u8, 16]));
    assert!(refused(scan(false, 0, false, false), &[&Tensor::of(&[1], &[true])]).contains("bools"));
}
