//! Attention in the spellings of several exporters: each is found, keeps its meaning, and runs as planned; what only
//! looks like attention is left alone.

use sofie_infer_compiler::ir::{
    Builder, Epilogue, Graph, Inst, MapExpr, Masking, Op, RowKind, Shape, Tensor, ValueId, eval,
};
use sofie_infer_compiler::passes::optimize;
use sofie_infer_compiler::plan::{check, execute, plan};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};

const B: usize = 2;
const H: usize = 3;
const L: usize = 18;
const D: usize = 4;
const INF: f32 = f32::INFINITY;

fn numbers(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 101 + 11) % 97) as f32 / 40.0 - 1.2).collect()
}

fn constant(b: &mut Builder, op: Binary, x: ValueId, c: f32) -> ValueId {
    let mut e = MapExpr::over(&[DType::F32]);
    let x_ = e.push(Inst::Input(0)).unwrap();
    let c = e.push(Inst::Const(Scalar::from(c))).unwrap();
    let r = e.push(Inst::Binary(op, x_, c)).unwrap();
    b.one(Op::Map(e.finish(r)), &[x]).unwrap()
}

fn matmul(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    b.one(Op::MatMul(Epilogue::NONE), &[x, y]).unwrap()
}

fn softmax(b: &mut Builder, x: ValueId) -> ValueId {
    b.one(Op::Rows(RowKind::Softmax), &[x]).unwrap()
}

/// Elementwise operations broadcast, as exporters rely on.
fn add(b: &mut Builder, x: ValueId, y: ValueId) -> ValueId {
    b.binary(Binary::Add, x, y).unwrap()
}

/// `q, k, v [B, H, L, D]` as slices of one projection `[B, L, 3·H·D]`.
fn heads(b: &mut Builder) -> [ValueId; 3] {
    let x = b.input("x", DType::F32, Shape::of(&[B, L, 5]));
    let w = b.tensor(Tensor::of(&[1, 5, 3 * H * D], &numbers(15 * H * D, 1)));
    let packed = matmul(b, x, w);
    let cut = b.reshape(packed, Shape::of(&[B, L, 3, H, D])).unwrap();
    let turned = b.transpose(cut, &[2, 0, 3, 1, 4]).unwrap();
    [0usize, 1, 2].map(|i| {
        let part = Op::Slice {
            start: vec![i.into(), 0.into(), 0.into(), 0.into(), 0.into()],
            step: vec![1; 5],
            shape: Shape::of(&[1, B, H, L, D]),
        };
        let part = b.one(part, &[turned]).unwrap();
        b.reshape(part, Shape::of(&[B, H, L, D])).unwrap()
    })
}

/// Heads side by side again, and a projection.
fn merged(b: &mut Builder, y: ValueId) {
    let y = b.transpose(y, &[0, 2, 1, 3]).unwrap();
    let y = b.reshape(y, Shape::of(&[B, L, H * D])).unwrap();
    let w = b.tensor(Tensor::of(&[1, H * D, 7], &numbers(7 * H * D, 2)));
    let y = matmul(b, y, w);
    b.output("y", y);
}

fn turned(b: &mut Builder, k: ValueId) -> ValueId {
    b.transpose(k, &[0, 1, 3, 2]).unwrap()
}

/// The attentions in the optimised graph, which computes what the graph did and runs as planned.
fn found(graph: &Graph) -> Vec<sofie_infer_compiler::ir::Attention> {
    let better = optimize(graph.clone(), None).unwrap();
    let inputs: Vec<Tensor> = graph
        .inputs()
        .iter()
        .enumerate()
        .map(|(i, port)| {
            let dims = graph.shape(port.value).fixed().unwrap();
            let values = numbers(dims.iter().product(), 3 + i);
            match graph.dtype(port.value) {
                DType::Bool => {
                    let yes: Vec<bool> = values.iter().map(|x| *x > -0.5).collect();
                    Tensor::of(&dims, &yes)
                }
                _ => Tensor::of(&dims, &values),
            }
        })
        .collect();
    let want = eval::run(graph, &inputs).unwrap();
    let planned = plan(&better).unwrap();
    check::check(&better, &planned).unwrap();
    for got in [eval::run(&better, &inputs).unwrap(), execute::execute(&planned, &inputs).unwrap()] {
        for (got, want) in got.iter().zip(&want) {
            for (a, b) in got.to_f64s().iter().zip(want.to_f64s()) {
                assert!((a - b).abs() < 2e-5 || a.is_nan() && b.is_nan(), "{a} for {b} in\n{better}");
            }
        }
    }
    let of = |n: &sofie_infer_compiler::ir::Node| match n.op {
        Op::Attention(a) => Some(a),
        _ => None,
    };
    better.nodes().iter().filter_map(of).collect()
}

/// A graph around the weights that `f` makes of q, kᵀ and the builder.
fn graph(f: impl Fn(&mut Builder, ValueId, ValueId) -> ValueId) -> Graph {
    let mut b = Builder::new();
    let [q, k, v] = heads(&mut b);
    let k = turned(&mut b, k);
    let p = f(&mut b, q, k);
    let y = matmul(&mut b, p, v);
    merged(&mut b, y);
    b.finish()
}

#[test]
fn the_scale_stands_anywhere() {
    let behind = graph(|b, q, k| {
        let s = matmul(b, q, k);
        let s = constant(b, Binary::Div, s, 2.0);
        softmax(b, s)
    });
    let on_both = graph(|b, q, k| {
        let (q, k) = (constant(b, Binary::Mul, q, 0.7), constant(b, Binary::Mul, k, 0.7));
        let s = matmul(b, q, k);
        softmax(b, s)
    });
    let nowhere = graph(|b, q, k| {
        let s = matmul(b, q, k);
        softmax(b, s)
    });
    for (graph, scale) in [(behind, 0.5), (on_both, 0.49), (nowhere, 1.0)] {
        let all = found(&graph);
        assert_eq!(all.len(), 1);
        assert!((all[0].scale - scale).abs() < 1e-6 && all[0].mask.is_none(), "{:?}", all[0]);
    }
}

#[test]
fn masks_are_added() {
    for dims in [vec![L, L], vec![B, 1, 1, L], vec![B, H, L, L], vec![1, H, 1, L], vec![B, 1, L, L]] {
        for before_scale in [false, true] {
            let graph = graph(|b, q, k| {
                let m = b.input("m", DType::F32, Shape::of(&dims));
                let m = constant(b, Binary::Mul, m, 3.0);
                let mut s = matmul(b, q, k);
                if before_scale {
                    s = add(b, s, m);
                }
                s = constant(b, Binary::Mul, s, 0.5);
                if !before_scale {
                    s = add(b, m, s);
                }
                softmax(b, s)
            });
            let all = found(&graph);
            assert_eq!(all.len(), 1, "{dims:?}");
            assert_eq!(all[0].mask, Some(Masking::Add));
        }
    }
}

#[test]
fn masks_select() {
    for (fill, keep_is_true) in [(-INF, true), (-1e9, false), (f32::MIN, true)] {
        let graph = graph(|b, q, k| {
            let m = b.input("m", DType::Bool, Shape::of(&[B, 1, L, L]));
            let s = matmul(b, q, k);
            let s = constant(b, Binary::Mul, s, 0.5);
            let fill = b.scalar(fill);
            let s = if keep_is_true { b.select(m, s, fill) } else { b.select(m, fill, s) };
            let s = s.unwrap();
            softmax(b, s)
        });
        let all = found(&graph);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].mask, Some(Masking::Replace));
    }
}

#[test]
fn a_hidden_query_is_nan_unless_it_is_guarded() {
    for guarded in [false, true] {
        let graph = graph(|b, q, k| {
            let mask: Vec<f32> =
                (0..L * L).map(|i| if i / L == 3 || i % 5 == 0 { -INF } else { 0.0 }).collect();
            let m = b.tensor(Tensor::of(&[L, L], &mask));
            let s = matmul(b, q, k);
            let s = add(b, s, m);
            let p = softmax(b, s);
            if !guarded {
                return p;
            }
            let hidden = b.unary(Unary::IsNan, p).unwrap();
            let zero = b.scalar(0.0f32);
            b.select(hidden, zero, p).unwrap()
        });
        let all = found(&graph);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].guarded, guarded);
    }
}

#[test]
fn batches_are_cut_by_reshapes() {
    let mut b = Builder::new();
    let [q, k, v] = heads(&mut b).map(|x| b.reshape(x, Shape::of(&[B * H, L, D])).unwrap());
    let k = b.transpose(k, &[0, 2, 1]).unwrap();
    let s = matmul(&mut b, q, k);
    let s = b.reshape(s, Shape::of(&[B, H, L, L])).unwrap();
    let m = b.input("m", DType::F32, Shape::of(&[B, 1, 1, L]));
    let s = add(&mut b, s, m);
    let s = b.reshape(s, Shape::of(&[B * H, L, L])).unwrap();
    let p = softmax(&mut b, s);
    let y = matmul(&mut b, p, v);
    let y = b.reshape(y, Shape::of(&[B, H, L, D])).unwrap();
    merged(&mut b, y);
    assert_eq!(found(&b.finish()).len(), 1);
}

#[test]
fn scores_with_the_keys_first() {
    let mut b = Builder::new();
    let [q, k, v] = heads(&mut b);
    let q = turned(&mut b, q);
    let s = matmul(&mut b, k, q);
    let s = turned(&mut b, s);
    let p = softmax(&mut b, s);
    let y = matmul(&mut b, p, v);
    merged(&mut b, y);
    assert_eq!(found(&b.finish()).len(), 1);
}

#[test]
fn heads_share_keys() {
    let mut b = Builder::new();
    let q = b.input("q", DType::F32, Shape::of(&[B, 4, L, D]));
    let kv: Vec<ValueId> = ["k", "v"]
        .iter()
        .map(|name| {
            let x = b.input(name, DType::F32, Shape::of(&[B, 2, L, D]));
            let x = b.reshape(x, Shape::of(&[B, 2, 1, L, D])).unwrap();
            let x = b.broadcast(x, &Shape::of(&[B, 2, 2, L, D])).unwrap();
            b.reshape(x, Shape::of(&[B, 4, L, D])).unwrap()
        })
        .collect();
    let k = turned(&mut b, kv[0]);
    let s = matmul(&mut b, q, k);
    let p = softmax(&mut b, s);
    let y = matmul(&mut b, p, kv[1]);
    b.output("y", y);
    let graph = b.finish();
    assert_eq!(found(&graph).len(), 1);
    let better = optimize(graph, None).unwrap();
    let attention = better.nodes().iter().find(|n| matches!(n.op, Op::Attention(_))).unwrap();
    assert_eq!(better.shape(attention.inputs[1]).fixed(), Some(vec![B, 2, L, D]));
}

#[test]
fn what_others_read_stays() {
    // The weights are an output.
    let mut b = Builder::new();
    let [q, k, v] = heads(&mut b);
    let k = turned(&mut b, k);
    let s = matmul(&mut b, q, k);
    let p = softmax(&mut b, s);
    b.output("weights", p);
    let y = matmul(&mut b, p, v);
    merged(&mut b, y);
    assert!(found(&b.finish()).is_empty());
    // The scores are not linear.
    let tanh = graph(|b, q, k| {
        let s = matmul(b, q, k);
        let s = b.unary(Unary::Tanh, s).unwrap();
        softmax(b, s)
    });
    assert!(found(&tanh).is_empty());
    // The softmax runs over the queries.
    let sideways = graph(|b, q, k| {
        let s = matmul(b, q, k);
        let s = turned(b, s);
        let p = softmax(b, s);
        turned(b, p)
    });
    assert!(found(&sideways).is_empty());
}
