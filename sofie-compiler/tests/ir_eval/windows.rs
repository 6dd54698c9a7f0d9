//! Pooling and resampling.

use super::*;
use sofie_infer_compiler::ir::{Pool, PoolKind, Window};

fn pool(kind: PoolKind, k: usize, stride: usize, pads: [usize; 2], overhang: usize) -> Op {
    let window = Window {
        kernel: vec![k],
        strides: vec![stride],
        dilations: vec![1],
        pads_begin: vec![pads[0]],
        pads_end: vec![pads[1]],
    };
    Op::Pool(Pool { kind, window, overhang: vec![overhang] })
}

#[test]
fn pools_over_rows() {
    // Two channels.
    let x = f(&[1, 4, 2], &[1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0]);
    let y = |kind, pads| floats(&one(pool(kind, 2, 2, pads, 0), &[&x]));
    assert_eq!(y(PoolKind::Max, [0, 0]), [2.0, -1.0, 4.0, -3.0]);
    assert_eq!(y(PoolKind::Average, [0, 0]), [1.5, -1.5, 3.5, -3.5]);
    assert_eq!(y(PoolKind::Max, [1, 1]), [1.0, -1.0, 3.0, -2.0, 4.0, -4.0]);
    assert_eq!(y(PoolKind::Average, [1, 1]), [1.0, -1.0, 2.5, -2.5, 4.0, -4.0]);
    assert_eq!(y(PoolKind::AverageWithPads, [1, 1]), [0.5, -0.5, 2.5, -2.5, 2.0, -2.0]);
}

#[test]
fn an_overhang_never_counts() {
    // ONNX Runtime on six ones, kernel 3, stride 3, pads (1, 0), ceil_mode, count_include_pad.
    let x = f(&[1, 6, 1], &[1.0; 6]);
    let y = floats(&one(pool(PoolKind::AverageWithPads, 3, 3, [1, 0], 2), &[&x]));
    assert_eq!(y, [2.0 / 3.0, 1.0, 1.0]);
}

#[test]
fn windows_over_nothing_and_over_nan() {
    let x = f(&[1, 1, 1], &[1.0]);
    let y = |kind| floats(&one(pool(kind, 1, 1, [1, 0], 0), &[&x]));
    assert_eq!(y(PoolKind::Max), [f32::NEG_INFINITY, 1.0]);
    assert_eq!(y(PoolKind::AverageWithPads), [0.0, 1.0]);
    assert_eq!(y(PoolKind::Average), [0.0, 1.0]);
    let x = f(&[1, 3, 1], &[f32::NAN, 1.0, 2.0]);
    let y = floats(&one(pool(PoolKind::Max, 2, 1, [0, 0], 0), &[&x]));
    assert!(y[0].is_nan() && y[1] == 2.0);
    let ints = Tensor::of(&[1, 2, 1], &[-7i8, 4]);
    assert_eq!(one(pool(PoolKind::Average, 2, 1, [0, 0], 0), &[&ints]), Tensor::of(&[1, 1, 1], &[-1i8]));
    assert_eq!(one(pool(PoolKind::Max, 1, 1, [1, 0], 0), &[&ints]).get(0).to_f64(), -128.0);
}

#[test]
fn pools_over_planes_with_dilation() {
    let window = Window {
        kernel: vec![2, 2],
        strides: vec![1, 2],
        dilations: vec![2, 1],
        pads_begin: vec![0, 1],
        pads_end: vec![0, 0],
    };
    let op = Op::Pool(Pool { kind: PoolKind::Max, window, overhang: vec![0, 0] });
    // Rows 0 and 2 (then 1 and 3); columns -1, 0 and 1, 2.
    let y = one(op, &[&iota(&[2, 4, 3, 1])]);
    assert_eq!(y, f(&[2, 2, 2, 1], &[6.0, 8.0, 9.0, 11.0, 18.0, 20.0, 21.0, 23.0]));
}

#[test]
fn interpolation_weighs_taps() {
    let weighed = |x: &Tensor, axis, index: &[u32], weight: &[f32]| {
        let dims = [index.len() / 2, 2];
        one(Op::Interpolate(axis), &[x, &Tensor::of(&dims, index), &Tensor::of(&dims, weight)])
    };
    let picked = |x: &Tensor, axis, index: &[u32]| {
        one(Op::Interpolate(axis), &[x, &Tensor::of(&[index.len(), 1], index)])
    };
    let x = f(&[1, 2, 2], &[0.0, 10.0, 4.0, 20.0]);
    let half = weighed(&x, 1, &[0, 0, 0, 1, 1, 1], &[1.0, 0.0, 0.5, 0.5, 0.25, 0.75]);
    assert_eq!(half, f(&[1, 3, 2], &[0.0, 10.0, 2.0, 15.0, 4.0, 20.0]));
    assert_eq!(picked(&x, 2, &[1, 0, 1]), f(&[1, 2, 3], &[10.0, 0.0, 10.0, 20.0, 4.0, 20.0]));
    let big = i(&[1, 1, 2], &[i64::MAX, i64::MIN + 1]);
    assert_eq!(picked(&big, 2, &[1, 0, 1]), i(&[1, 1, 3], &[i64::MIN + 1, i64::MAX, i64::MIN + 1]));
    let half = |x: &Tensor| weighed(x, 0, &[0, 1], &[0.5, 0.5]);
    assert_eq!(half(&Tensor::of(&[2], &[3u8, 6])), Tensor::of(&[1], &[4u8]));
    assert_eq!(half(&Tensor::of(&[2], &[3f64, 6.0])), Tensor::of(&[1], &[4.5f64]));
    assert_eq!(weighed(&iota(&[3, 2]), 0, &[], &[]), f(&[0, 2], &[]));
}
