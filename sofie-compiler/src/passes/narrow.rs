//! Quantisers move before what only joins or selects, and what makes floats of bytes behind what only moves: bytes are
//! concatenated, pooled and transposed instead of floats, and where a product of bytes is before them, it quantises in its
//! registers.
//!
//! `q(concat(x, y)) = concat(q(x), q(y))` for any function of one element, and `q(max(x)) = max(q(x))` for one that never falls.

use super::monotone::windows_have_elements;
use super::pattern::{Uses, until_stable};
use crate::ir::{Graph, Inst, Invalid, MapExpr, Op, PoolKind, Rewriter, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::plain;

/// Values that are looked through on the way to a product.
const DEPTH: usize = 8;

/// Moves quantisers before concats and maxima of windows, and views before what makes floats of bytes.
pub fn narrow(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| {
            let [x] = node.inputs[..] else { return Ok(None) };
            let Some(before) = g.producer(x).filter(|_| uses.only_by(node, x)) else { return Ok(None) };
            if let (Op::Transpose(_) | Op::Reshape(_), Op::Map(e), [v]) =
                (&node.op, &before.op, &before.inputs[..])
                && is_of_bytes(e)
                && g.shape(*v) == g.shape(x)
            {
                let v = r.get(*v)?;
                r.b.set_origin(&node.origin);
                let moved = r.b.one(node.op.clone(), &[v])?;
                r.b.set_origin(&before.origin);
                return r.b.map(e.clone(), &[moved]).map(|y| Some(vec![y]));
            }
            let Op::Map(e) = &node.op else { return Ok(None) };
            if !is_quantiser(e) {
                return Ok(None);
            }
            let moves = match &before.op {
                Op::Concat(_) => before.inputs.iter().any(|v| is_made_of_bytes(g, &uses, *v, DEPTH)),
                Op::Pool(pool) if pool.kind == PoolKind::Max => {
                    let v = before.inputs[0];
                    uses.only_by(before, v)
                        && rises(e)
                        && windows_have_elements(g, v, pool)
                        && is_made_of_bytes(g, &uses, v, DEPTH)
                }
                _ => false,
            };
            if !moves {
                return Ok(None);
            }
            r.b.set_origin(&node.origin);
            let mut parts = Vec::new();
            for part in r.get_all(&before.inputs)? {
                parts.push(r.b.map(e.clone(), &[part])?);
            }
            r.b.set_origin(&before.origin);
            r.b.one(before.op.clone(), &parts).map(|y| Some(vec![y]))
        })
    })
}

/// A function of one float that gives a byte.
fn is_quantiser(e: &MapExpr) -> bool {
    let bytes = |inst: &Inst| matches!(inst, Inst::Cast(DType::U8 | DType::I8, _));
    e.inputs() == [DType::F32] && !e.is_placed() && e.insts().last().is_some_and(bytes)
}

/// A function of one byte that gives a float.
fn is_of_bytes(e: &MapExpr) -> bool {
    let last = e.insts().len().checked_sub(1).and_then(|last| e.reg_type(last));
    matches!(e.inputs(), [DType::U8 | DType::I8]) && !e.is_placed() && last == Some(DType::F32)
}

/// Whether a quantiser never falls: steps of a positive scale, and back.
fn rises(e: &MapExpr) -> bool {
    let number = |r: usize| match e.insts()[r] {
        Inst::Const(c) => Some(c.to_f64()),
        Inst::Cast(_, r) => match e.insts()[r] {
            Inst::Const(c) => Some(c.to_f64()),
            _ => None,
        },
        _ => None,
    };
    let positive = |r: usize| number(r).is_some_and(|x| x > 0.0);
    e.insts().iter().all(|inst| match *inst {
        Inst::Input(_) | Inst::Const(_) => true,
        Inst::Unary(Unary::Relu | Unary::Round, _) => true,
        // Casts saturate, and from bytes to floats they are exact.
        Inst::Cast(to, r) => number(r).is_some() || matches!(to, DType::F32 | DType::U8 | DType::I8),
        Inst::Binary(Binary::Div, _, b) => positive(b),
        Inst::Binary(Binary::Mul, a, b) => positive(a) || positive(b),
        Inst::Binary(Binary::Sub, _, b) => number(b).is_some(),
        Inst::Binary(Binary::Add | Binary::Max | Binary::Min, a, b) => {
            number(a).is_some() || number(b).is_some()
        }
        _ => false,
    })
}

/// Whether a value comes from a product of bytes that nothing else reads, through what is done to each element.
fn is_made_of_bytes(g: &Graph, uses: &Uses, v: ValueId, depth: usize) -> bool {
    let Some(node) = g.producer(v).filter(|_| uses.count(v) == 1 && depth > 0) else { return false };
    match &node.op {
        Op::Plain(op) => matches!(
            op.kernel,
            plain::Plain::ByteConv(_)
                | plain::Plain::ByteDepthwise(_)
                | plain::Plain::ByteProduct(_)
                | plain::Plain::ByteTable(_)
        ),
        Op::Map(_) | Op::Reshape(_) | Op::Concat(_) => {
            node.inputs.iter().any(|v| is_made_of_bytes(g, uses, *v, depth - 1))
        }
        Op::Pool(pool) if pool.kind == PoolKind::Max => is_made_of_bytes(g, uses, node.inputs[0], depth - 1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Conv, Epilogue, Pool, Shape, Tensor, Window, eval};
    use crate::passes::bytes::steps_tests::{dequantise, quantise};
    use sofie_infer_runtime::plain::Steps;

    fn steps(scale: f32) -> Steps {
        Steps { of: DType::U8, scale, zero: 3.0 }
    }

    fn layer(b: &mut Builder, x: ValueId, to: usize, scale: f32) -> ValueId {
        let from = b.shape(x).fixed().unwrap()[3];
        let w: Vec<f32> = (0..9 * from * to).map(|i| ((i * 37 % 255) as f32 - 127.0) * 0.01).collect();
        let w = b.tensor(Tensor::of(&[3, 3, from, to], &w));
        let ones = vec![1; 2];
        let window = Window {
            kernel: vec![3; 2],
            strides: ones.clone(),
            dilations: ones.clone(),
            pads_begin: ones.clone(),
            pads_end: ones,
        };
        let x = dequantise(b, x, steps(scale));
        let y = b.one(Op::Conv(Conv::new(window, 1), Epilogue::NONE), &[x, w]).unwrap();
        b.unary(Unary::Relu, y).unwrap()
    }

    fn optimised(f: impl FnOnce(&mut Builder, ValueId) -> ValueId) -> String {
        let mut b = Builder::new();
        let x = b.input("x", DType::U8, Shape::of(&[1, 9, 9, 16]));
        let y = f(&mut b, x);
        b.output("y", y);
        let before = b.finish();
        let after = crate::passes::optimize(before.clone(), None).unwrap();
        let x: Vec<u8> = (0..9 * 9 * 16).map(|i| (i * 91 % 256) as u8).collect();
        let x = [Tensor::of(&[1, 9, 9, 16], &x)];
        let [y, z] = [&before, &after].map(|g| eval::run(g, &x).unwrap()[0].to_f64s());
        let apart = y.iter().zip(&z).filter(|(y, z)| y != z).count();
        assert!(apart * 100 <= y.len() && y.iter().zip(&z).all(|(y, z)| (y - z).abs() <= 1.0), "{after}");
        after.to_string()
    }

    #[test]
    fn bytes_are_joined() {
        let text = optimised(|b, x| {
            let [y, z] = [24, 16].map(|to| layer(b, x, to, 0.02));
            let y = b.one(Op::Concat(3), &[y, z]).unwrap();
            quantise(b, y, steps(0.5))
        });
        assert!(text.contains("u8[1, 9, 9, 40] = concat") && !text.contains("= map"), "{text}");
    }

    /// A layer behind a concat that is transposed, quantised before and behind.
    #[test]
    fn bytes_are_transposed() {
        let text = optimised(|b, x| {
            let [y, z] = [24, 16].map(|to| layer(b, x, to, 0.02));
            let y = b.one(Op::Concat(3), &[y, z]).unwrap();
            let y = quantise(b, y, steps(0.3));
            let y = dequantise(b, y, steps(0.3));
            let y = b.one(Op::Transpose(vec![0, 3, 1, 2]), &[y]).unwrap();
            quantise(b, y, steps(0.3))
        });
        assert!(text.contains("= concat") && !text.contains("= map"), "{text}");
    }

    #[test]
    fn maxima_are_of_bytes() {
        let pooled = |overhang: usize| {
            optimised(|b, x| {
                let y = layer(b, x, 24, 0.02);
                let y = quantise(b, y, steps(0.5));
                let y = dequantise(b, y, steps(0.5));
                let window = Window {
                    kernel: vec![2; 2],
                    strides: vec![2; 2],
                    dilations: vec![1; 2],
                    pads_begin: vec![0; 2],
                    pads_end: vec![0; 2],
                };
                let pool = Pool { kind: PoolKind::Max, window, overhang: vec![overhang; 2] };
                let y = b.one(Op::Pool(pool), &[y]).unwrap();
                quantise(b, y, steps(0.5))
            })
        };
        for overhang in [0, 1] {
            let text = pooled(overhang);
            assert!(text.contains("= pool Max") && !text.contains("= map"), "{text}");
        }
    }
}
