//! Products and convolutions of bytes with weights that are bytes: kernels of their own compute them from the bytes, in a
//! quarter of the memory that floats would take. What quantises while it runs gives such products, and so does what was
//! quantised before, in integers or around operations on floats, whose sums are exact here and rounded once.

mod finish;
mod operand;
#[cfg(test)]
pub mod steps_tests;
mod unsigned;
mod weights;
mod window;

use crate::ir::{Dim, Epilogue, Graph, Inst, Invalid, MapExpr, Op, Plain, Rewriter, Shape, Tensor, ValueId};
pub use finish::finish;
use operand::Operand;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Binary;
use sofie_infer_runtime::plain::ByteProduct;
use std::collections::HashMap;
pub use unsigned::unsigned;
use weights::{Packing, Weights};

/// Multiplications of one event below which a product of what are floats stays one, which has an epilogue and needs no map to
/// scale it.
const LEAST_OPERATIONS: usize = 1 << 13;

/// Replaces products and convolutions whose operands are bytes.
pub fn bytes(graph: &Graph) -> Result<Graph, Invalid> {
    let mut packed = HashMap::new();
    Rewriter::run(graph, |r, node| {
        let (Op::MatMul(e) | Op::Conv(_, e)) = &node.op else { return Ok(None) };
        if *e != (Epilogue { bias: e.bias, ..Epilogue::NONE }) {
            return Ok(None);
        }
        let window = match &node.op {
            Op::Conv(conv, _) => match window::of(graph, node, conv) {
                Some(window) => Some(window),
                None => return Ok(None),
            },
            _ => None,
        };
        let Some(x) = Operand::of(graph, node.inputs[0]) else { return Ok(None) };
        let packing = window.as_ref().map_or(Packing::Matrix, |(_, packing)| *packing);
        let (weights, to) = (node.inputs[1], graph.shape(node.outputs[0]).clone());
        // Asked first: to look for scales and to pack is work for each of the rounds.
        if x.scale.is_some() && operations(&to, graph.shape(weights)).is_some_and(|n| n < LEAST_OPERATIONS) {
            return Ok(None);
        }
        let known = packed
            .entry((weights, packing))
            .or_insert_with(|| Weights::of(graph.constant(weights)?, packing));
        let Some(w) = known else { return Ok(None) };
        if w.scales.is_some() != x.scale.is_some() || window.is_some() && w.shift != 0 {
            return Ok(None);
        }
        let (a, zero) = x.bytes(graph, r)?;
        let (table, sums) = (r.b.tensor(w.table.clone()), r.b.tensor(w.sums.clone()));
        let (op, a) = match window {
            Some((kernel, _)) => {
                let results = vec![(DType::I32, to.clone())];
                (Plain { kernel, results, free: Vec::new() }, a)
            }
            None => {
                let (op, rows) = product(w, &to)?;
                (op, r.b.reshape(a, Shape::new(vec![rows, Dim::from(w.k)]))?)
            }
        };
        let y = r.b.one(Op::Plain(Box::new(op)), &[a, zero, table, sums])?;
        let y = r.b.reshape(y, to)?;
        let bias = match node.inputs.get(2) {
            Some(&bias) => Some(r.get(bias)?),
            None => None,
        };
        finished(r, y, x.scale.zip(w.scales.as_deref()), bias).map(|y| Some(vec![y]))
    })
}

/// Multiplications for each value of the free extents: every result by the terms of its sum, which are the extents of the
/// weights but the last.
fn operations(to: &Shape, weights: &Shape) -> Option<usize> {
    let terms = weights.dims().iter().rev().skip(1);
    let mut known = to.dims().iter().chain(terms).filter_map(Dim::fixed);
    known.try_fold(1usize, |n, d| n.checked_mul(usize::try_from(d).ok()?))
}

/// A product into rows of `to`, and how many those are.
fn product(w: &Weights, to: &Shape) -> Result<(Plain, Dim), Invalid> {
    let rows = to.dims().iter().rev().skip(1).try_fold(Dim::ONE, |n, d| n.mul(d))?;
    let (of_kernel, free) = Plain::extent(&rows)?;
    let op = Plain {
        kernel: ByteProduct { rows: of_kernel, k: w.k, n: w.n, shift: w.shift as isize, finish: None }.into(),
        results: vec![(DType::I32, Shape::new(vec![rows.clone(), Dim::from(w.n)]))],
        free,
    };
    Ok((op, rows))
}

/// The sums with the scales and the bias that the operation had.
fn finished(
    r: &mut Rewriter<'_>,
    y: ValueId,
    scales: Option<(f32, &[f32])>,
    bias: Option<ValueId>,
) -> Result<ValueId, Invalid> {
    let (rank, mut operands) = (r.b.shape(y).rank(), vec![y]);
    if let Some((of_x, of_w)) = scales {
        let scales: Vec<f32> = of_w.iter().map(|w| of_x * w).collect();
        let scales = r.b.tensor(Tensor::of(&[scales.len()], &scales));
        operands.push(r.b.to_rank(scales, rank)?);
    }
    if let Some(bias) = bias {
        operands.push(r.b.to_rank(bias, rank)?);
    }
    if operands.len() == 1 {
        return Ok(y);
    }
    let dtypes: Vec<DType> = operands.iter().map(|v| r.b.dtype(*v)).collect();
    let mut e = MapExpr::over(&dtypes);
    let mut last = e.push(Inst::Input(0))?;
    if scales.is_some() {
        let (x, scale) = (e.push(Inst::Cast(DType::F32, last))?, e.push(Inst::Input(1))?);
        last = e.push(Inst::Binary(Binary::Mul, x, scale))?;
    }
    if bias.is_some() {
        let bias = e.push(Inst::Input(operands.len() - 1))?;
        e.push(Inst::Binary(Binary::Add, last, bias))?;
    }
    r.b.map(e, &operands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{self, Builder, Conv, eval};
    use sofie_infer_runtime::map::Scalar;

    /// A product with a zero point that is known at run time alone, before the pass and after all of them.
    fn check(k: usize, n: usize, low: i32, expected: &str) {
        let mut b = Builder::new();
        let x = b.input("x", DType::U8, Shape::of(&[2, 3, k]));
        let zero = b.input("zero", DType::U8, Shape::of(&[]));
        let w: Vec<i32> = (0..k * n).map(|i| low + (i as i32 * 37) % 256).collect();
        let w = b.tensor(Tensor::of(&[1, k, n], &w));
        let mut e = MapExpr::over(&[DType::U8, DType::U8]);
        let (p, q) = (e.push(Inst::Input(0)).unwrap(), e.push(Inst::Input(1)).unwrap());
        let (p, q) = (e.push(Inst::Cast(DType::I32, p)).unwrap(), e.push(Inst::Cast(DType::I32, q)).unwrap());
        e.push(Inst::Binary(Binary::Sub, p, q)).unwrap();
        let zero = b.to_rank(zero, 3).unwrap();
        let x = b.map(e, &[x, zero]).unwrap();
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        b.output("y", y);
        let before = b.finish();
        let after = crate::passes::optimize(before.clone(), None).unwrap();
        assert!(after.to_string().contains(expected), "{after}");
        let x: Vec<u8> = (0..6 * k).map(|i| (i * 91 % 256) as u8).collect();
        let inputs = [Tensor::of(&[2, 3, k], &x), Tensor::of(&[], &[131u8])];
        assert_eq!(eval::run(&before, &inputs).unwrap(), eval::run(&after, &inputs).unwrap());
    }

    #[test]
    fn weights_of_bytes_are_kept_as_bytes() {
        check(30, 40, -128, "shift: 0,");
        check(64, 16, -3, "shift: 125,");
        check(33, 50, -255, "shift: -127,");
    }

    /// `i32(x) - zero` of an operand of bytes, or `(f32(x) - zero) * scale`.
    fn centred(b: &mut Builder, x: ValueId, zero: f64, scale: Option<f32>) -> ValueId {
        let from = b.dtype(x);
        let mut e = MapExpr::over(&[from]);
        let to = if scale.is_some() { DType::F32 } else { DType::I32 };
        let (p, q) =
            (e.push(Inst::Input(0)).unwrap(), e.push(Inst::Const(Scalar::from_f64(from, zero))).unwrap());
        let (p, q) = (e.push(Inst::Cast(to, p)).unwrap(), e.push(Inst::Cast(to, q)).unwrap());
        let p = e.push(Inst::Binary(Binary::Sub, p, q)).unwrap();
        if let Some(scale) = scale {
            let scale = e.push(Inst::Const(Scalar::f32(scale))).unwrap();
            e.push(Inst::Binary(Binary::Mul, p, scale)).unwrap();
        }
        b.map(e, &[x]).unwrap()
    }

    #[test]
    fn convolutions_are_those_of_bytes() {
        for (from, zero) in [(DType::U8, 131.0), (DType::I8, -7.0)] {
            let mut b = Builder::new();
            let x = b.input("x", from, Shape::of(&[2, 8, 5, 6]));
            let x0 = centred(&mut b, x, zero, None);
            let x0 = b.one(Op::Transpose(vec![0, 2, 3, 1]), &[x0]).unwrap();
            let w: Vec<i32> = (0..3 * 3 * 8 * 18).map(|i| (i * 37) % 256 - 128).collect();
            let w = b.tensor(Tensor::of(&[3, 3, 8, 18], &w));
            let bias: Vec<i32> = (0..18).map(|i| i * 1000 - 9000).collect();
            let bias = b.tensor(Tensor::of(&[18], &bias));
            let window = ir::Window {
                kernel: vec![3, 3],
                strides: vec![1, 2],
                dilations: vec![1, 1],
                pads_begin: vec![1, 0],
                pads_end: vec![1, 1],
            };
            let y = b.one(Op::Conv(Conv::new(window, 1), Epilogue::BIAS), &[x0, w, bias]).unwrap();
            b.output("y", y);
            let before = b.finish();
            let after = crate::passes::optimize(before.clone(), None).unwrap();
            assert!(after.to_string().contains("ByteConv"), "{after}");
            let x = Tensor::from_bytes(
                from,
                vec![2, 8, 5, 6],
                (0..480).map(|i| (i * 91 % 256) as u8).collect::<Vec<_>>(),
            );
            let x = [x.unwrap()];
            assert_eq!(eval::run(&before, &x).unwrap(), eval::run(&after, &x).unwrap());
        }
    }

    #[test]
    fn depthwise_convolutions_are_those_of_bytes() {
        let c = 40;
        let mut b = Builder::new();
        let x = b.input("x", DType::U8, Shape::of(&[2, 7, 9, c]));
        let x0 = centred(&mut b, x, 131.0, Some(0.02));
        let scale = |i: usize| 0.01 + (i % c) as f32 * 1e-3;
        let w: Vec<f32> = (0..9 * c).map(|i| ((i * 37 % 255) as f32 - 127.0) * scale(i)).collect();
        let w = b.tensor(Tensor::of(&[3, 3, 1, c], &w));
        let window = ir::Window {
            kernel: vec![3, 3],
            strides: vec![2, 1],
            dilations: vec![1, 2],
            pads_begin: vec![1, 0],
            pads_end: vec![1, 1],
        };
        let y = b.one(Op::Conv(Conv::new(window, c), Epilogue::NONE), &[x0, w]).unwrap();
        b.output("y", y);
        let before = b.finish();
        let after = crate::passes::optimize(before.clone(), None).unwrap();
        assert!(after.to_string().contains("ByteDepthwise"), "{after}");
        let x: Vec<u8> = (0..2 * 7 * 9 * c).map(|i| (i * 91 % 256) as u8).collect();
        let x = [Tensor::of(&[2, 7, 9, c], &x)];
        let (y, z) = (eval::run(&before, &x).unwrap(), eval::run(&after, &x).unwrap());
        for (y, z) in y[0].to_f64s().into_iter().zip(z[0].to_f64s()) {
            assert!((y - z).abs() <= 1e-5 * (1.0 + y.abs()), "{y} {z}");
        }
    }

    #[test]
    fn floats_that_are_bytes_with_scales_are_summed_as_bytes() {
        let (k, n) = (40, 30);
        let mut b = Builder::new();
        let x = b.input("x", DType::I8, Shape::of(&[30, k]));
        let x0 = centred(&mut b, x, 5.0, Some(0.03));
        let scale = |i: usize| 0.01 + (i % n) as f32 * 1e-3;
        let w: Vec<f32> = (0..k * n).map(|i| ((i * 37 % 255) as f32 - 127.0) * scale(i)).collect();
        let w = b.tensor(Tensor::of(&[k, n], &w));
        let bias: Vec<f32> = (0..n).map(|i| i as f32 * 0.3).collect();
        let bias = b.tensor(Tensor::of(&[1, n], &bias));
        let y = b.one(Op::MatMul(Epilogue::BIAS), &[x0, w, bias]).unwrap();
        b.output("y", y);
        let before = b.finish();
        let after = crate::passes::optimize(before.clone(), None).unwrap();
        assert!(after.to_string().contains("ByteProduct"), "{after}");
        let x = [Tensor::from_bytes(
            DType::I8,
            vec![30, k],
            (0..1200).map(|i| (i * 91 % 256) as u8).collect::<Vec<_>>(),
        )
        .unwrap()];
        let (y, z) = (eval::run(&before, &x).unwrap(), eval::run(&after, &x).unwrap());
        for (y, z) in y[0].to_f64s().into_iter().zip(z[0].to_f64s()) {
            assert!((y - z).abs() <= 1e-5 * (1.0 + y.abs()), "{y} {z}");
        }
    }

    #[test]
    fn other_floats_are_left() {
        let mut b = Builder::new();
        let x = b.input("x", DType::U8, Shape::of(&[3, 40]));
        let x = centred(&mut b, x, 5.0, Some(0.03));
        let w: Vec<f32> = (0..1200).map(|i| (i as f32).sin()).collect();
        let w = b.tensor(Tensor::of(&[40, 30], &w));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        b.output("y", y);
        let after = crate::passes::optimize(b.finish(), None).unwrap();
        assert!(after.to_string().contains("matmul"), "{after}");
    }

    #[test]
    fn others_are_not() {
        check(8, 16, -128, "matmul");
        check(40, 40, -1000, "matmul");
    }
}
