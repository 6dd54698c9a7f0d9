//! Maps over maps become one map, as far as nothing expensive is computed more often than before.

use super::epilogue::activation;
use super::map_algebra;
use super::pattern::{Product, Uses, likely_len, until_stable};
use crate::ir::{Builder, Graph, Inst, Invalid, MapExpr, Node, Op, Rewriter, ValueId};
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::{Act, DType};

/// Instructions and operands that a fused map may have: what the block interpreter keeps in L1.
const MAX_INSTRUCTIONS: usize = 24;
/// Numbers that a fused map may hold: fewer than a program has room for, which gets those of combined instructions as well.
const MAX_CONSTANTS: usize = 12;
/// See [`MAX_INSTRUCTIONS`].
const MAX_OPERANDS: usize = 8;
/// Additions that are worth one map less: its dispatch, and a pass over a short operand.
const WORTH_ONE_MAP: usize = 512;
/// What one element of a map that is computed twice instead of being stored may cost.
const CHEAP: usize = 3;

/// Fuses maps into the maps that read them.
pub fn fuse_map(graph: &Graph) -> Result<Graph, Invalid> {
    fuse(graph, Builder::new, |b, e, operands| map_algebra::map(b, &e, operands))
}

/// The same without the algebra that rounds otherwise: no bit of a result changes.
pub fn join(graph: &Graph) -> Result<Graph, Invalid> {
    fuse(graph, Builder::keeping_sums, |b, e, operands| b.one(Op::Map(e), operands))
}

fn fuse(
    graph: &Graph,
    builder: fn() -> Builder,
    map: fn(&mut Builder, MapExpr, &[ValueId]) -> Result<ValueId, Invalid>,
) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let (uses, users) = (Uses::of(g), g.users());
        Rewriter::run_in(builder(), g, |r, node| {
            let Op::Map(outer) = &node.op else { return Ok(None) };
            let (mut e, mut operands) = (outer.clone(), r.get_all(&node.inputs)?);
            let mut fused = Vec::new();
            for (i, &v) in node.inputs.iter().enumerate() {
                let Some(inner) = r.b.graph().producer(operands[i]).cloned() else { continue };
                let Op::Map(f) = &inner.op else { continue };
                let shared = || {
                    let maps = users[v.index()].iter().map(|n| &g.nodes()[n.index()]);
                    maps.clone().count() == uses.count(v) && maps.clone().all(|n| joins(g, n, v))
                };
                let worth = if uses.only_by(node, v) {
                    grows_little(g, v, node.outputs[0], f)
                } else {
                    g.shape(v) == g.shape(node.outputs[0]) && is_light(g, v, f) && shared()
                };
                if !worth || !fits(&e, f, operands.len(), inner.inputs.len()) || is_epilogue(&r.b, f, &inner)
                {
                    continue;
                }
                let composed = e.compose(i, f)?;
                // The operands of the inner map stand behind those of the outer one; operand i is not read.
                operands.extend(&inner.inputs);
                e = composed;
                r.b.add_origin(&inner.origin);
                fused.push(i);
            }
            if fused.is_empty() {
                return Ok(None);
            }
            let kept: Vec<usize> = (0..operands.len()).filter(|i| !fused.contains(i)).collect();
            let to: Vec<_> = (0..operands.len()).map(|i| kept.iter().position(|&k| k == i)).collect();
            let types: Vec<_> = kept.iter().map(|&i| r.b.dtype(operands[i])).collect();
            let read: Vec<_> = kept.iter().map(|&i| operands[i]).collect();
            let e = e.select_inputs(&to, &types)?;
            map(&mut r.b, e, &read).map(|v| Some(vec![v]))
        })
    })
}

/// Whether a map is all of what a product before it does in its registers: quantising and back, which the pass behind this one
/// gives to it.
fn is_epilogue(b: &Builder, e: &MapExpr, node: &Node) -> bool {
    let quantised = e.insts().iter().position(|i| *i == Inst::Input(0)).and_then(|x| activation(e, x));
    let whole = matches!(quantised, Some((Act::FakeQuantize { .. }, last)) if last + 1 == e.insts().len());
    let producer = || b.graph().producer(node.inputs[0]);
    whole && producer().and_then(Product::of).is_some_and(|p| p.act == Act::None)
}

/// Whether a map takes an operand in at its own size.
fn joins(g: &Graph, node: &Node, v: ValueId) -> bool {
    matches!(node.op, Op::Map(_)) && g.shape(v) == g.shape(node.outputs[0])
}

/// Whether a map may be computed for each element of its only reader: it is as large, or the difference is
/// small work.
fn grows_little(g: &Graph, inner: ValueId, outer: ValueId, e: &MapExpr) -> bool {
    if g.shape(inner) == g.shape(outer) {
        return true;
    }
    if e.is_placed() {
        return false;
    }
    match (likely_len(g.shape(inner)), likely_len(g.shape(outer))) {
        (Some(n), Some(m)) => m.saturating_sub(n).saturating_mul(cost(e)) <= WORTH_ONE_MAP,
        _ => false,
    }
}

/// Whether computing a map twice costs no more than storing and reading it: few additions, and not more
/// large operands than its one result.
fn is_light(g: &Graph, v: ValueId, e: &MapExpr) -> bool {
    let Some(node) = g.producer(v) else { return false };
    let large = node.inputs.iter().filter(|i| g.shape(**i) == g.shape(v)).count();
    large <= 1 && cost(e) <= CHEAP
}

fn fits(outer: &MapExpr, inner: &MapExpr, outer_operands: usize, inner_operands: usize) -> bool {
    let read = (0..outer_operands).filter(|&i| outer.reads(i)).count();
    instructions(outer) + instructions(inner) <= MAX_INSTRUCTIONS
        && constants(outer) + constants(inner) <= MAX_CONSTANTS
        && read + inner_operands <= MAX_OPERANDS + 1
}

/// Whether a map is no larger than fused ones may be.
pub fn fits_alone(e: &MapExpr) -> bool {
    instructions(e) <= MAX_INSTRUCTIONS && constants(e) <= MAX_CONSTANTS && e.inputs().len() <= MAX_OPERANDS
}

fn constants(e: &MapExpr) -> usize {
    e.insts().iter().filter(|i| matches!(i, Inst::Const(_))).count()
}

/// The instructions that an expression becomes, at most: operands and numbers are none, and what quantises (round, shift,
/// saturate, and back to floats) is one.
fn instructions(e: &MapExpr) -> usize {
    let inst = |r: usize| e.insts()[r];
    let number = |r: usize| match inst(r) {
        Inst::Const(_) => true,
        Inst::Cast(_, c) => matches!(inst(c), Inst::Const(_)),
        _ => false,
    };
    let rounded = |r: usize| matches!(inst(r), Inst::Unary(Unary::Round, _));
    let shifted = |r: usize| match inst(r) {
        Inst::Binary(Binary::Add, a, b) => rounded(a) && number(b) || rounded(b) && number(a),
        _ => rounded(r),
    };
    let small = |t: DType| t.is_int() && t.size() <= 2;
    let stored = |r: usize| matches!(inst(r), Inst::Cast(to, a) if small(to) && shifted(a));
    let counts = |r: &usize| match inst(*r) {
        Inst::Input(_) => false,
        Inst::Binary(Binary::Add, ..) => !shifted(*r),
        Inst::Cast(DType::F32, a) => !number(*r) && !stored(a),
        _ => !number(*r) && !stored(*r),
    };
    (0..e.insts().len()).filter(counts).count()
}

/// What one element of a map costs, in additions.
pub fn cost(e: &MapExpr) -> usize {
    (0..e.insts().len()).map(|r| cost_of(e, r)).sum()
}

/// What one instruction of it costs.
pub fn cost_of(e: &MapExpr, r: usize) -> usize {
    match &e.insts()[r] {
        Inst::Input(_) | Inst::Const(_) => 0,
        Inst::Cast(_, r) if matches!(e.insts()[*r], Inst::Const(_)) => 0,
        Inst::Iota(_) | Inst::Cast(..) | Inst::MulAdd(..) | Inst::Select(..) => 1,
        Inst::Unary(op, _) => match op {
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Relu | Unary::Not | Unary::BitNot => 1,
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => 1,
            Unary::IsNan | Unary::IsPosInf | Unary::IsNegInf => 1,
            Unary::Sqrt | Unary::Reciprocal => 4,
            _ => DEAR,
        },
        Inst::Binary(op, ..) => match op {
            Binary::Div => 4,
            Binary::Pow => 40,
            Binary::Mod | Binary::Fmod => 10,
            _ => 1,
        },
    }
}

/// What exponentials and their like cost.
pub const DEAR: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Epilogue, Reg, Shape, Tensor, eval};
    use sofie_infer_runtime::map::Scalar;

    /// `(saturate(round(x / scale) + zero) - zero) * scale` as quantising and dequantising are lowered, whose zero points are
    /// numbers of the type.
    fn quantised(e: &mut MapExpr, x: Reg, scale: f32, zero: f64, to: DType) -> Reg {
        let scale = e.push(Inst::Const(Scalar::f32(scale))).unwrap();
        let zero = e.push(Inst::Const(Scalar::from_f64(to, zero))).unwrap();
        let zero = e.push(Inst::Cast(DType::F32, zero)).unwrap();
        let x = e.push(Inst::Binary(Binary::Div, x, scale)).unwrap();
        let x = e.push(Inst::Unary(Unary::Round, x)).unwrap();
        let x = e.push(Inst::Binary(Binary::Add, x, zero)).unwrap();
        let x = e.push(Inst::Cast(to, x)).unwrap();
        let x = e.push(Inst::Cast(DType::F32, x)).unwrap();
        let x = e.push(Inst::Binary(Binary::Sub, x, zero)).unwrap();
        e.push(Inst::Binary(Binary::Mul, x, scale)).unwrap()
    }

    fn layer(b: &mut Builder, x: ValueId, f: impl FnOnce(&mut MapExpr, Reg) -> Reg) -> ValueId {
        let mut e = MapExpr::over(&[b.dtype(x)]);
        let x0 = e.push(Inst::Input(0)).unwrap();
        let y = f(&mut e, x0);
        b.map(e.finish(y), &[x]).unwrap()
    }

    /// The optimised graph, whose results are those of the graph before, to the bit where it has no products.
    fn optimised(b: Builder, dims: &[usize]) -> String {
        let before = b.finish();
        let after = crate::passes::optimize(before.clone(), None).unwrap();
        let n: usize = dims.iter().product();
        let x: Vec<f32> = (0..n).map(|i| (i * 7919 % 1009) as f32 / 50.0 - 10.0).collect();
        let x = [Tensor::of(dims, &x)];
        let [y, z] = [&before, &after].map(|g| eval::run(g, &x).unwrap());
        if before.to_string().contains("matmul") {
            for (y, z) in y[0].to_f64s().into_iter().zip(z[0].to_f64s()) {
                assert!((y - z).abs() <= 1e-5 * z.abs(), "{after}");
            }
        } else {
            assert_eq!(y, z, "{after}");
        }
        after.to_string()
    }

    #[test]
    fn what_was_quantised_and_only_moved_is_not_quantised_again() {
        let cases = [
            ((0.03, 100.0, DType::U8), (0.03, 100.0, DType::U8), 1),
            ((0.03, 0.0, DType::I8), (0.03, 0.0, DType::I8), 1),
            ((0.03, -7.0, DType::I8), (0.03, 0.0, DType::I16), 1),
            ((0.03, 100.0, DType::U8), (0.04, 100.0, DType::U8), 2),
            ((0.03, 100.0, DType::U8), (0.03, 90.0, DType::U8), 2),
            ((0.03, 0.0, DType::I8), (0.03, 0.0, DType::U8), 2),
        ];
        for (first, second, rounds) in cases {
            let dims = [2, 3, 4, 5];
            let mut b = Builder::new();
            let x = b.input("x", DType::F32, Shape::of(&dims));
            let y = layer(&mut b, x, |e, x| quantised(e, x, first.0, first.1, first.2));
            let y = b.one(Op::Transpose(vec![0, 2, 3, 1]), &[y]).unwrap();
            let y = layer(&mut b, y, |e, x| quantised(e, x, second.0, second.1, second.2));
            b.output("y", y);
            let text = optimised(b, &dims);
            assert_eq!(text.matches("round").count(), rounds, "{first:?}, {second:?}: {text}");
        }
    }

    #[test]
    fn what_a_product_quantised_is_not_quantised_again() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[6, 4]));
        let w = b.tensor(Tensor::of(&[4, 5], &(0..20).map(|i| (i as f32).sin()).collect::<Vec<_>>()));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        let y = layer(&mut b, y, |e, x| quantised(e, x, 0.3, 100.0, DType::U8));
        let y = b.reshape(y, Shape::of(&[2, 15])).unwrap();
        let y = layer(&mut b, y, |e, x| quantised(e, x, 0.3, 100.0, DType::U8));
        b.output("y", y);
        let text = optimised(b, &[6, 4]);
        assert!(text.contains("FakeQuantize") && !text.contains("map"), "{text}");
    }

    #[test]
    fn quantised_activations_are_one_map() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[7, 30]));
        let x = layer(&mut b, x, |e, x| quantised(e, x, 0.04, 121.0, DType::U8));
        let gate = layer(&mut b, x, |e, x| {
            let gate = e.activation(Act::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, x, DType::F32).unwrap();
            quantised(e, gate, 1.0 / 255.0, 0.0, DType::U8)
        });
        let y = b.binary(Binary::Mul, x, gate).unwrap();
        let y = layer(&mut b, y, |e, x| quantised(e, x, 0.026, 14.0, DType::U8));
        b.output("y", y);
        let text = optimised(b, &[7, 30]);
        assert_eq!(text.matches("= map").count(), 1, "{text}");
    }

    #[test]
    fn what_a_product_can_quantise_is_left_to_it() {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[6, 4]));
        let w = b.tensor(Tensor::of(&[4, 5], &(0..20).map(|i| (i as f32).sin()).collect::<Vec<_>>()));
        let y = b.one(Op::MatMul(Epilogue::NONE), &[x, w]).unwrap();
        let y = layer(&mut b, y, |e, x| {
            let scale = e.push(Inst::Const(Scalar::f32(0.3))).unwrap();
            let x = e.push(Inst::Binary(Binary::Div, x, scale)).unwrap();
            let x = e.push(Inst::Unary(Unary::Round, x)).unwrap();
            e.push(Inst::Cast(DType::U8, x)).unwrap()
        });
        let y = layer(&mut b, y, |e, x| {
            let scale = e.push(Inst::Const(Scalar::f32(0.3))).unwrap();
            let x = e.push(Inst::Cast(DType::F32, x)).unwrap();
            e.push(Inst::Binary(Binary::Mul, x, scale)).unwrap()
        });
        let y = layer(&mut b, y, |e, x| e.push(Inst::Unary(Unary::Exp, x)).unwrap());
        b.output("y", y);
        let text = optimised(b, &[6, 4]);
        assert!(text.contains("FakeQuantize") && text.contains("map exp(x0)"), "{text}");
    }

    #[test]
    fn numbers_are_no_instructions_and_quantising_is_one() {
        let mut e = MapExpr::over(&[DType::F32]);
        let x = e.push(Inst::Input(0)).unwrap();
        quantised(&mut e, x, 0.03, 7.0, DType::I8);
        // Divide, round, shift back, scale.
        assert_eq!(instructions(&e), 4);
        let plain = e.push(Inst::Binary(Binary::Add, x, x)).unwrap();
        e.push(Inst::Cast(DType::I8, plain)).unwrap();
        assert_eq!(instructions(&e), 6);
    }
}
