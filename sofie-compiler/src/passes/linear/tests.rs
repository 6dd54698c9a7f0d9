//! Products of gathered rows, before and after.

use super::linear;
use crate::ir::random::{keeps_meaning, same_results};
use crate::ir::{Builder, Epilogue, Graph, Op, Shape, Tensor, ValueId};
use arbitrary::Unstructured;
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::{Act, DType};

const RELU: Epilogue = Epilogue { bias: true, residual: false, act: Act::Relu };

fn numbers(dims: &[usize], seed: usize) -> Tensor {
    let n = dims.iter().product::<usize>();
    Tensor::of(dims, &(0..n).map(|i| ((i * 37 + seed * 11) % 41) as f32 / 16.0 - 1.25).collect::<Vec<_>>())
}

fn weights(b: &mut Builder, dims: &[usize]) -> ValueId {
    b.tensor(numbers(dims, dims.len()))
}

/// The graph after the pass without its constants; it must compute the same.
fn after(before: &Graph) -> String {
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    keeps_meaning(before, linear, 1e-5, &mut Unstructured::new(&noise)).unwrap();
    let text = linear(before).unwrap().to_string();
    text.lines().filter(|l| !l.contains("const")).map(|l| format!("{}\n", l.trim_end())).collect()
}

fn gather(b: &mut Builder, x: ValueId, rows: usize, dims: &[usize]) -> ValueId {
    let index: Vec<i64> = (0..dims.iter().product()).map(|i: usize| (i * 7 % rows) as i64).collect();
    let index = b.tensor(Tensor::of(dims, &index));
    b.one(Op::Gather { axis: 0, batch: 0 }, &[x, index]).unwrap()
}

/// EdgeConv over `points` rows of 48 features, of which `learned` says whether a layer made them.
fn edge_conv(learned: bool, absolute: bool) -> Graph {
    let (points, k, c) = (40, 8, 48);
    let mut b = Builder::new();
    let mut x = b.input("x", DType::F32, Shape::of(&[points, c]));
    if learned {
        let w = weights(&mut b, &[c, c]);
        x = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
    }
    let near = gather(&mut b, x, points, &[points, k]);
    let own = b.reshape(x, Shape::of(&[points, 1, c])).unwrap();
    let difference = b.binary(Binary::Sub, near, own).unwrap();
    let mut rows = difference;
    if absolute {
        let own = b.one(Op::Broadcast(Shape::of(&[points, k, c])), &[own]).unwrap();
        rows = b.one(Op::Concat(2), &[own, difference]).unwrap();
    }
    let (n, width) = (64, if absolute { 2 * c } else { c });
    let (w, bias) = (weights(&mut b, &[1, width, n]), weights(&mut b, &[n]));
    let y = b.one(Op::MatMul(RELU), &[rows, w, bias]).unwrap();
    b.output("y", y);
    b.finish()
}

#[test]
fn edge_conv_runs_on_points() {
    let want = "input %0 \"x\": f32[40, 48]
%4: f32[40, 64] = matmul +bias(%0, %3, %2)
%5: f32[40, 1, 64] = reshape(%4)
%6: f32[40, 8, 64] = broadcast(%5)
%8: f32[40, 64] = matmul(%0, %7)
%9: f32[40, 8, 64] = gather axis=0 batch=0(%8, %1)
%10: f32[40, 8, 64] = map add(x0, x1)(%6, %9)
%11: f32[40, 8, 64] = map relu(x0)(%10)
output \"y\" = %11
";
    assert_eq!(after(&edge_conv(false, true)), want);
}

#[test]
fn differences_of_raw_numbers_keep_their_digits() {
    // Coordinates may lie anywhere; those that a layer made are as exact as that layer.
    let raw = edge_conv(false, false);
    assert_eq!(linear(&raw).unwrap(), raw);
    let text = after(&edge_conv(true, false));
    assert!(text.contains("f32[40, 8, 64] = gather"), "{text}");
}

#[test]
fn large_offsets_stay_as_exact_as_they_were() {
    let before = edge_conv(false, true);
    let after = linear(&before).unwrap();
    let mut x = numbers(&[40, 48], 3);
    let moved: Vec<f32> = x.to_vec::<f32>().unwrap().iter().map(|v| v + 1e4).collect();
    x = Tensor::of(&[40, 48], &moved);
    same_results(&before, &after, &[x], 1e-6).unwrap();
}

/// An interaction network's edge layer: senders, receivers and the edges themselves.
fn edges(nodes: usize, edges: usize, c: usize, n: usize) -> Graph {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(&[nodes, c]));
    let e = b.input("e", DType::F32, Shape::of(&[edges, 16]));
    let (s, r) = (gather(&mut b, x, nodes, &[edges]), gather(&mut b, x, nodes - 1, &[edges]));
    let all = b.one(Op::Concat(1), &[s, e, r]).unwrap();
    let (w, bias) = (weights(&mut b, &[2 * c + 16, n]), weights(&mut b, &[n]));
    let y = b.one(Op::MatMul(RELU), &[all, w, bias]).unwrap();
    b.output("y", y);
    b.finish()
}

#[test]
fn what_is_as_long_as_the_result_stays_a_product() {
    let text = after(&edges(30, 300, 64, 64));
    assert!(text.contains("f32[300, 64] = matmul +bias +residual Relu(%1"), "{text}");
    assert_eq!(text.lines().filter(|l| l.contains("f32[30, 64] = matmul")).count(), 2, "{text}");
}

#[test]
fn what_does_not_pay_stays() {
    // Few columns: adding two gathered results costs more than the product did.
    let g = edges(30, 300, 3, 64);
    assert_eq!(linear(&g).unwrap(), g);
    // No fewer rows.
    let g = edges(300, 300, 64, 64);
    assert_eq!(linear(&g).unwrap(), g);
}

#[test]
fn other_functions_of_gathered_rows_stay() {
    let mut b = Builder::new();
    let x = b.input("x", DType::F32, Shape::of(&[20, 64]));
    let rows = gather(&mut b, x, 20, &[200]);
    let rows = b.unary(Unary::Tanh, rows).unwrap();
    let w = weights(&mut b, &[64, 64]);
    let y = b.one(Op::MatMul(Epilogue::NONE), &[rows, w]).unwrap();
    b.output("y", y);
    let g = b.finish();
    assert_eq!(linear(&g).unwrap(), g);
}
