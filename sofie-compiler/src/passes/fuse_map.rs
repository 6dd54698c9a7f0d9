//! Maps over maps become one map, as far as nothing expensive is computed more often than before.

use super::map_algebra;
use super::pattern::{Uses, likely_len, until_stable};
use crate::ir::{Builder, Graph, Inst, Invalid, MapExpr, Node, Op, Rewriter, ValueId};
use sofie_infer_runtime::map::{Binary, Unary};

/// Instructions and operands that a fused map may have: what the block interpreter keeps in L1.
const MAX_INSTRUCTIONS: usize = 24;
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
                if !worth || !fits(&e, f, operands.len(), inner.inputs.len()) {
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
    if e.insts().iter().any(|i| matches!(i, Inst::Iota(_))) {
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
    let computing = |e: &MapExpr| e.insts().iter().filter(|i| !matches!(i, Inst::Input(_))).count();
    let read = (0..outer_operands).filter(|&i| outer.reads(i)).count();
    computing(outer) + computing(inner) <= MAX_INSTRUCTIONS && read + inner_operands <= MAX_OPERANDS + 1
}

/// What one element of a map costs, in additions.
pub fn cost(e: &MapExpr) -> usize {
    let inst = |i: &Inst| match i {
        Inst::Input(_) | Inst::Const(_) => 0,
        Inst::Iota(_) | Inst::Cast(..) | Inst::MulAdd(..) | Inst::Select(..) => 1,
        Inst::Unary(op, _) => match op {
            Unary::Neg | Unary::Abs | Unary::Sign | Unary::Relu | Unary::Not | Unary::BitNot => 1,
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => 1,
            Unary::IsNan | Unary::IsPosInf | Unary::IsNegInf => 1,
            Unary::Sqrt | Unary::Reciprocal => 4,
            _ => 16,
        },
        Inst::Binary(op, ..) => match op {
            Binary::Div => 4,
            Binary::Pow => 40,
            Binary::Mod | Binary::Fmod => 10,
            _ => 1,
        },
    };
    e.insts().iter().map(inst).sum()
}
