//! Functions of a byte become tables of their 256 results. Quantised networks have a quantiser behind every step of an
//! activation (GELU by its error function: five of them), and between the first and the last of these all is one function of
//! one byte.
//!
//! A chain of cheap steps stays: a product of bytes does it in its registers.

use super::fuse_map::{DEAR, cost, cost_of, fits_alone};
use super::pattern::{Uses, until_stable};
use crate::ir::{
    Builder, Dim, Graph, Inst, Invalid, MapExpr, Node, Op, Plain, Reg, Rewriter, Shape, Tensor, ValueId, eval,
};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::plain::{self, ByteTable};
use std::sync::Arc;

/// Additions an element from which a lookup is cheaper where the CPU reads one byte at a time, when it gives a byte, and when
/// it gives a float.
const LEAST: [usize; 2] = [16, 32];

/// Instructions of maps that are looked at as one.
const MOST: usize = 256;

/// Makes tables of what maps do behind a byte, and of maps behind tables.
pub fn tables(graph: &Graph) -> Result<Graph, Invalid> {
    let reads_bytes = |e: &MapExpr| (0..e.insts().len()).any(|r| e.reg_type(r).is_some_and(is_byte));
    if !graph.nodes().iter().any(|n| matches!(&n.op, Op::Map(e) if reads_bytes(e))) {
        return Ok(graph.clone());
    }
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| {
            let Op::Map(e) = &node.op else { return Ok(None) };
            if let Some(y) = joined(g, &uses, r, node, e)? {
                return Ok(Some(vec![y]));
            }
            let mut at = Some(Maps { e: e.clone(), inputs: node.inputs.clone(), origin: Vec::new() });
            let mut best = None;
            while let Some(maps) = at {
                if let Some(found) = maps.split(g, node) {
                    best = Some((maps.clone(), found));
                }
                at = maps.up(g, &uses, node)?;
            }
            let Some((maps, (before, behind))) = best else { return Ok(None) };
            let inputs = r.get_all(&maps.inputs)?;
            r.b.add_origin(&maps.origin);
            let x = match before {
                None => inputs[0],
                Some(before) => r.b.map(before, &inputs)?,
            };
            lookup(r, x, table(&behind)?).map(|y| Some(vec![y]))
        })
    })
}

/// A map and those before it whose only reader is the next, as one: a table has room for more than a fused map.
#[derive(Clone)]
struct Maps {
    e: MapExpr,
    inputs: Vec<ValueId>,
    origin: Vec<Arc<str>>,
}

impl Maps {
    /// With the map before them.
    fn up(mut self, g: &Graph, uses: &Uses, node: &Node) -> Result<Option<Maps>, Invalid> {
        let [v] = self.inputs[..] else { return Ok(None) };
        if self.e.insts().len() > MOST {
            return Ok(None);
        }
        let before = g.producer(v).filter(|_| uses.count(v) == 1 && g.shape(v) == g.shape(node.outputs[0]));
        let Some((Op::Map(f), before)) = before.map(|before| (&before.op, before)) else { return Ok(None) };
        let kept: Vec<_> = core::iter::once(None).chain((0..f.inputs().len()).map(Some)).collect();
        self.e = self.e.compose(0, f)?.select_inputs(&kept, f.inputs())?;
        self.inputs = before.inputs.clone();
        self.origin.extend(before.origin.iter().cloned());
        Ok(Some(self))
    }

    /// What gives a byte, if that is not an input, and what is behind it.
    fn split(&self, g: &Graph, node: &Node) -> Option<(Option<MapExpr>, MapExpr)> {
        let (byte, behind) = split(&self.e)?;
        if let Inst::Input(_) = self.e.insts()[byte] {
            let whole = self.inputs.len() == 1 && g.shape(self.inputs[0]) == g.shape(node.outputs[0]);
            return whole.then_some((None, behind));
        }
        let before = self.e.clone().finish(byte);
        // An operand that alone stretches the result to its shape must not be left behind.
        let reads_all = (0..self.inputs.len()).all(|i| before.reads(i));
        (reads_all && fits_alone(&before)).then_some((Some(before), behind))
    }
}

/// A map of a byte that a table gives to nobody else, as part of the table.
fn joined(
    g: &Graph,
    uses: &Uses,
    r: &mut Rewriter<'_>,
    node: &Node,
    e: &MapExpr,
) -> Result<Option<ValueId>, Invalid> {
    let [v] = node.inputs[..] else { return Ok(None) };
    let Some(before) = g.producer(v).filter(|_| uses.only_by(node, v)) else { return Ok(None) };
    let is_table = matches!(&before.op, Op::Plain(op) if matches!(op.kernel, plain::Plain::ByteTable(_)));
    let results = e.dtype().is_some_and(is_byte);
    if !is_table
        || !results
        || !is_byte(g.dtype(v))
        || e.is_placed()
        || g.shape(v) != g.shape(node.outputs[0])
    {
        return Ok(None);
    }
    let Some(old) = g.constant(before.inputs[1]) else { return Ok(None) };
    let table = results_of(e, old)?;
    let x = r.get(before.inputs[0])?;
    r.b.add_origin(&before.origin);
    lookup(r, x, table).map(Some)
}

/// The first byte of an expression through which everything reaches its result, and what is done to it, where that is worth a
/// table.
fn split(e: &MapExpr) -> Option<(Reg, MapExpr)> {
    let least = match e.dtype()? {
        t if is_byte(t) => LEAST[0],
        DType::F32 => LEAST[1],
        _ => return None,
    };
    if cost(e) < least || e.is_placed() {
        return None;
    }
    (0..e.insts().len()).find_map(|byte| {
        let is_cast = matches!(e.insts()[byte], Inst::Cast(..) | Inst::Input(_));
        let t = e.reg_type(byte).filter(|t| is_cast && is_byte(*t))?;
        let behind = behind(e, byte, t)?;
        (cost(&behind) >= least && !is_chain(&behind)).then_some((byte, behind))
    })
}

/// What an expression does to its value `byte`, where it reads nothing else.
fn behind(e: &MapExpr, byte: Reg, t: DType) -> Option<MapExpr> {
    let last = e.insts().len().checked_sub(1)?;
    let mut read = vec![false; last + 1];
    read[last] = true;
    for r in (0..=last).rev().filter(|r| *r != byte) {
        if read[r] {
            e.insts()[r].operands().for_each(|o| read[o] = true);
        }
    }
    let mut behind = MapExpr::over(&[t]);
    let mut new = vec![0; last + 1];
    new[byte] = behind.push(Inst::Input(0)).ok()?;
    for (r, inst) in e.insts().iter().enumerate().filter(|(r, _)| read[*r] && *r != byte) {
        if matches!(inst, Inst::Input(_) | Inst::Iota(_)) {
            return None;
        }
        new[r] = behind.push(inst.map_operands(|o| new[o])).ok()?;
    }
    read[byte].then(|| behind.finish(new[last]))
}

/// Whether each step reads one value that is not a number, and costs little: what a product of bytes can do itself.
fn is_chain(e: &MapExpr) -> bool {
    let mut varies = vec![false; e.insts().len()];
    for (r, inst) in e.insts().iter().enumerate() {
        let operands = inst.operands().filter(|o| varies[*o]).count();
        varies[r] = operands > 0 || matches!(inst, Inst::Input(_));
        if operands > 1 || cost_of(e, r) >= DEAR {
            return false;
        }
    }
    true
}

fn is_byte(t: DType) -> bool {
    matches!(t, DType::U8 | DType::I8)
}

/// The 256 results of a function of one byte, in the order of the bytes as unsigned numbers.
fn table(e: &MapExpr) -> Result<Tensor, Invalid> {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let signed: Vec<i8> = bytes.iter().map(|b| *b as i8).collect();
    let all =
        if e.inputs() == [DType::U8] { Tensor::of(&[256], &bytes) } else { Tensor::of(&[256], &signed) };
    results_of(e, &all)
}

fn results_of(e: &MapExpr, x: &Tensor) -> Result<Tensor, Invalid> {
    let mut b = Builder::new();
    let v = b.input("x", x.dtype(), Shape::of(&[256]));
    let y = b.map(e.clone(), &[v])?;
    b.output("y", y);
    let results = eval::run(&b.finish(), core::slice::from_ref(x))?;
    results.into_iter().next().ok_or_else(|| Invalid::new("a function without a result"))
}

/// The elements of `x` by a table.
fn lookup(r: &mut Rewriter<'_>, x: ValueId, table: Tensor) -> Result<ValueId, Invalid> {
    let shape = r.b.shape(x).clone();
    let len = shape.dims().iter().try_fold(Dim::ONE, |n, d| n.mul(d))?;
    let (len, free) = Plain::extent(&len)?;
    let op = Plain { kernel: ByteTable { len }.into(), results: vec![(table.dtype(), shape)], free };
    let table = r.b.tensor(table);
    r.b.one(Op::Plain(Box::new(op)), &[x, table])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::bytes::steps_tests::{dequantise, quantise};
    use crate::passes::optimize;
    use sofie_infer_runtime::map::{Binary, Unary};
    use sofie_infer_runtime::plain::Steps;

    fn steps(of: DType, scale: f32) -> Steps {
        Steps { of, scale, zero: 3.0 }
    }

    /// Quantised and back.
    fn stepped(b: &mut Builder, x: ValueId, s: Steps) -> ValueId {
        let x = quantise(b, x, s);
        dequantise(b, x, s)
    }

    /// GELU as exporters write it, a quantiser behind each step.
    fn gelu(b: &mut Builder, x: ValueId, of: DType) -> ValueId {
        let [root, one, half] = [core::f32::consts::SQRT_2, 1.0, 0.5].map(|c| {
            let c = b.scalar(c);
            b.to_rank(c, 2).unwrap()
        });
        let x = stepped(b, x, steps(of, 0.03));
        let y = b.binary(Binary::Div, x, root).unwrap();
        let y = stepped(b, y, steps(of, 0.02));
        let y = b.unary(Unary::Erf, y).unwrap();
        let y = stepped(b, y, steps(of, 0.008));
        let y = b.binary(Binary::Add, y, one).unwrap();
        let y = stepped(b, y, steps(of, 0.015));
        let y = b.binary(Binary::Mul, x, y).unwrap();
        let y = stepped(b, y, steps(of, 0.04));
        b.binary(Binary::Mul, y, half).unwrap()
    }

    fn optimised(dtype: DType, f: impl FnOnce(&mut Builder, ValueId) -> ValueId) -> String {
        let mut b = Builder::new();
        let x = b.input("x", dtype, Shape::of(&[40, 50]));
        let y = f(&mut b, x);
        b.output("y", y);
        let before = b.finish();
        let after = optimize(before.clone(), None).unwrap();
        let bytes: Vec<u8> = (0..2000).map(|i| (i * 91 % 256) as u8).collect();
        let floats: Vec<f32> = (0..2000).map(|i| (i as f32 - 1000.0) * 0.004).collect();
        let x =
            if dtype == DType::U8 { Tensor::of(&[40, 50], &bytes) } else { Tensor::of(&[40, 50], &floats) };
        let [y, z] = [&before, &after].map(|g| eval::run(g, core::slice::from_ref(&x)).unwrap()[0].to_f64s());
        assert_eq!(y, z, "{after}");
        after.to_string()
    }

    #[test]
    fn activations_between_quantisers_are_tables() {
        for of in [DType::U8, DType::I8] {
            let text = optimised(DType::F32, |b, x| {
                let y = gelu(b, x, of);
                let y = quantise(b, y, steps(of, 0.05));
                // A cheap function of the bytes behind the table joins it.
                let y = dequantise(b, y, steps(of, 0.05));
                let y = b.unary(Unary::Relu, y).unwrap();
                quantise(b, y, steps(DType::U8, 0.025))
            });
            assert!(text.matches("ByteTable").count() >= 1 && text.matches("= map").count() == 1, "{text}");
            assert!(!text.contains("erf"), "{text}");
        }
    }

    #[test]
    fn floats_are_looked_up_where_that_is_cheaper() {
        let of_floats = |f: fn(&mut Builder, ValueId) -> ValueId| {
            optimised(DType::U8, |b, x| {
                let x = dequantise(b, x, steps(DType::U8, 0.02));
                f(b, x)
            })
        };
        assert!(of_floats(|b, x| gelu(b, x, DType::U8)).contains("ByteTable"));
        let squared = of_floats(|b, x| b.binary(Binary::Mul, x, x).unwrap());
        assert!(!squared.contains("ByteTable"), "{squared}");
    }

    /// A product of bytes does chains in its registers, and another operand is no function of the byte.
    #[test]
    fn the_rest_stays() {
        let chain = optimised(DType::F32, |b, x| {
            let x = stepped(b, x, steps(DType::U8, 0.03));
            let x = b.unary(Unary::Relu, x).unwrap();
            let x = stepped(b, x, steps(DType::U8, 0.04));
            quantise(b, x, steps(DType::U8, 0.05))
        });
        assert!(!chain.contains("ByteTable"), "{chain}");
        let two = optimised(DType::F32, |b, x| {
            let y = stepped(b, x, steps(DType::U8, 0.03));
            let y = b.unary(Unary::Sigmoid, y).unwrap();
            let y = b.binary(Binary::Mul, x, y).unwrap();
            quantise(b, y, steps(DType::U8, 0.05))
        });
        assert!(!two.contains("ByteTable"), "{two}");
    }
}
