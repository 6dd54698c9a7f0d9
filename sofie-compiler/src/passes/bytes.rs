//! Products of bytes with weights that are bytes: a kernel of its own computes them from the bytes, in a quarter of the
//! memory that floats would take. What quantises while it runs gives such products, and so does what was quantised before.

use super::pattern::likely_len;
use crate::ir::{Dim, Epilogue, Graph, Inst, Invalid, Node, Op, Plain, Rewriter, Shape, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};
use sofie_infer_runtime::plain::{ByteProduct, byte_tables};
use std::collections::HashMap;

/// Weights below which a product stays one of floats, which has an epilogue.
const LEAST: usize = 1 << 10;

/// Terms of a sum beyond which it might leave `i32`.
const MOST_TERMS: usize = 1 << 15;

/// Replaces products of `i32` whose operands are bytes.
pub fn bytes(graph: &Graph) -> Result<Graph, Invalid> {
    let mut packed = HashMap::new();
    Rewriter::run(graph, |r, node| {
        let Some((x, zero)) = left(graph, node) else { return Ok(None) };
        let weights = node.inputs[1];
        let known = packed.entry(weights).or_insert_with(|| graph.constant(weights).and_then(Weights::of));
        let Some(w) = known else { return Ok(None) };
        let to = graph.shape(node.outputs[0]).clone();
        let rows = to.dims().iter().rev().skip(1).try_fold(Dim::ONE, |n, d| n.mul(d))?;
        let fixed =
            rows.fixed().map(usize::try_from).transpose().map_err(|_| Invalid::new("a negative extent"))?;
        let x = r.get(x)?;
        let x = r.b.reshape(x, Shape::new(vec![rows.clone(), Dim::from(w.k)]))?;
        let zero = match zero {
            Some(zero) => {
                let zero = r.get(zero)?;
                r.b.reshape(zero, Shape::of(&[1]))?
            }
            None => r.b.tensor(Tensor::filled(Scalar::from_f64(DType::U8, 0.0), &[1])),
        };
        let (table, sums) = (r.b.tensor(w.table.clone()), r.b.tensor(w.sums.clone()));
        let op = Plain {
            kernel: ByteProduct { rows: fixed.unwrap_or(0), k: w.k, n: w.n, shift: w.shift as isize }.into(),
            results: vec![(DType::I32, Shape::new(vec![rows.clone(), Dim::from(w.n)]))],
            free: if fixed.is_some() { Vec::new() } else { vec![rows] },
        };
        let y = r.b.one(Op::Plain(Box::new(op)), &[x, zero, table, sums])?;
        Ok(Some(vec![r.b.reshape(y, to)?]))
    })
}

/// Weights as the kernel reads them.
struct Weights {
    k: usize,
    n: usize,
    shift: i32,
    table: Tensor,
    sums: Tensor,
}

impl Weights {
    /// Of a matrix of `i32` that no more than 256 numbers in a row hold.
    fn of(t: &Tensor) -> Option<Weights> {
        let (&n, outer) = t.dims().split_last()?;
        let (&k, outer) = outer.split_last()?;
        let values: Vec<i32> = t.to_vec()?;
        if outer.iter().any(|d| *d != 1) || k * n < LEAST || k > MOST_TERMS {
            return None;
        }
        let (low, high) = values.iter().fold((0, 0), |(low, high), x| (low.min(*x), high.max(*x)));
        if high.checked_sub(low)? > 255 || low < -255 || high > 255 {
            return None;
        }
        let shift = if low < -128 || high > 127 { low + 128 } else { 0 };
        let bytes: Vec<i8> = values.iter().map(|x| i8::try_from(x - shift).ok()).collect::<Option<_>>()?;
        let (table, sums) = byte_tables(&bytes, k, n);
        let panels = [n.div_ceil(16), k.div_ceil(4), 16];
        Some(Weights {
            k,
            n,
            shift,
            table: Tensor::of(&panels, &table),
            sums: Tensor::of(&[sums.len()], &sums),
        })
    }
}

/// The bytes and the zero point that a product of `i32` has on its left: `i32(x)`, or `i32(x) - i32(zero)` with one zero
/// point for all.
fn left(graph: &Graph, node: &Node) -> Option<(ValueId, Option<ValueId>)> {
    if node.op != Op::MatMul(Epilogue::NONE) || graph.dtype(*node.outputs.first()?) != DType::I32 {
        return None;
    }
    let mut v = *node.inputs.first()?;
    while let Some(Node { op: Op::Reshape(_), inputs, .. }) = graph.producer(v) {
        v = inputs[0];
    }
    let made = graph.producer(v)?;
    let Op::Map(e) = &made.op else { return None };
    let insts = e.insts();
    let byte = |reg: usize| match insts.get(reg) {
        Some(Inst::Cast(DType::I32, r)) => match insts.get(*r) {
            Some(Inst::Input(i)) => made.inputs.get(*i).copied().filter(|v| graph.dtype(*v) == DType::U8),
            _ => None,
        },
        _ => None,
    };
    let last = insts.len().checked_sub(1)?;
    let (x, zero) = match insts[last] {
        Inst::Binary(Binary::Sub, a, b) => (byte(a)?, Some(byte(b)?)),
        _ => (byte(last)?, None),
    };
    let one = zero.is_none_or(|z| likely_len(graph.shape(z)) == Some(1) && graph.shape(z).fixed().is_some());
    (one && graph.shape(x) == graph.shape(v)).then_some((x, zero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, MapExpr, eval};

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
        check(30, 40, -128, "shift: 0 }");
        check(64, 16, -3, "shift: 125 }");
        check(33, 50, -255, "shift: -127 }");
    }

    #[test]
    fn others_are_not() {
        check(8, 16, -128, "matmul");
        check(40, 40, -1000, "matmul");
    }
}
