//! Networks over all pairs of particles often treat a pair and the pair with its ends exchanged alike: distances, invariant
//! masses and shared momenta do not tell who is first. Such products are computed for one of the two.
//!
//! ```text
//! ParT     log kT, log z, log ΔR, log m² of (i, j)  ─ 1×1 convolutions →  U[i, j] = U[j, i], added to attention scores
//! ```
//!
//! [`mirror`] proves that a value is symmetric, by how it is made; [`half`] builds it over one of each two pairs; and here it
//! is decided which values are made whole again: those of products that pay, behind the last operation that treats pairs
//! alike.
//!
//! **Numbers.** Sums of the exchanged operands are those of the operands, to the bit. Only an angle that is wrapped into half
//! a turn rounds otherwise where its sign is exchanged; the one of the two that is computed stands for both, as where such
//! networks are trained over one of each two pairs.

mod angle;
mod half;
mod index;
mod mirror;
#[cfg(test)]
mod tests;

use super::pattern::Product;
use crate::ir::{Dim, Graph, Invalid, Node, NodeId, Op, Rewriter, ValueId};
use half::Half;
use mirror::Mirror;
use std::collections::HashMap;

/// Fewer rows are not worth it.
const LEAST: i64 = 8;
/// Nanoseconds of a multiplication and addition, as in `linear`.
const MULTIPLY: f64 = 0.018;
/// Nanoseconds of an elementwise operation.
const MAP: f64 = 0.05;
/// Nanoseconds an element of a pair that is put back.
const MOVE: f64 = 0.3;
/// Nanoseconds a pair that is put back, and each that its operands are collected for.
const PAIR: f64 = 1.5;

/// Computes symmetric products over pairs for one of each two.
pub fn pairs(graph: &Graph) -> Result<Graph, Invalid> {
    let whole = made_whole(graph);
    if whole.is_empty() {
        return Ok(graph.clone());
    }
    let mut halves: Vec<Half> = Vec::new();
    Rewriter::run(graph, |r, node| {
        let Some(&axis) = node.outputs.first().and_then(|v| whole.get(v)) else { return Ok(None) };
        let v = node.outputs[0];
        let n = &graph.shape(v)[axis];
        let at = match halves.iter().position(|h| h.n() == n) {
            Some(at) => at,
            None => {
                halves.push(Half::of(r, n)?);
                halves.len() - 1
            }
        };
        let cut = halves[at].cut(r, v, axis)?;
        r.b.set_origin(&node.origin);
        halves[at].whole(r, cut, axis).map(|v| Some(vec![v]))
    })
}

/// The values that are computed for one of each two pairs and then made whole, with the first axis of the pairs.
fn made_whole(g: &Graph) -> HashMap<ValueId, usize> {
    let mut mirror = Mirror::of(g);
    // Symmetric values behind a product.
    let mut behind: HashMap<ValueId, usize> = HashMap::new();
    for node in g.nodes() {
        let Some(&v) = node.outputs.first().filter(|_| node.outputs.len() == 1) else { continue };
        let axis = match Product::of(node) {
            Some(_) if matches!(node.op, Op::MatMul(_)) => {
                let rows = 0..g.shape(v).rank().saturating_sub(2);
                rows.into_iter().find(|&axis| are_pairs(g, v, axis) && mirror.is_symmetric(v, axis))
            }
            _ => carried(g, node, &behind).filter(|&axis| mirror.is_symmetric(v, axis)),
        };
        behind.extend(axis.map(|axis| (v, axis)));
    }
    let users = g.users();
    behind
        .iter()
        .filter(|&(&v, &axis)| !is_view(g, v) && leaves(g, &users, &behind, v) && pays(g, &behind, v, axis))
        .map(|(v, axis)| (*v, *axis))
        .collect()
}

/// Whether the axis and the one behind it may be those of pairs.
fn are_pairs(g: &Graph, v: ValueId, axis: usize) -> bool {
    let dims = g.shape(v).dims();
    dims[axis] == dims[axis + 1] && dims[axis].fixed().is_none_or(|n| n >= LEAST)
}

/// The axis along which a result has pairs, where one of its operands is a symmetric value behind a product.
fn carried(g: &Graph, node: &Node, behind: &HashMap<ValueId, usize>) -> Option<usize> {
    let v = *node.outputs.first()?;
    let (x, axis) = node.inputs.iter().find_map(|x| Some((*x, *behind.get(x)?)))?;
    let axis = match &node.op {
        Op::Map(_) | Op::Rows(_) | Op::Concat(_) => axis,
        Op::Transpose(perm) => perm.iter().position(|&a| a == axis)?,
        Op::Reshape(_) => mirror::source_axis(g.shape(v), g.shape(x), axis)?,
        _ => return None,
    };
    (axis + 1 < g.shape(v).rank() && are_pairs(g, v, axis)).then_some(axis)
}

fn is_view(g: &Graph, v: ValueId) -> bool {
    g.producer(v).is_some_and(|n| n.op.is_view() || matches!(n.op, Op::Concat(_)))
}

/// Whether a value is an output, or something reads all its pairs, perhaps through views.
fn leaves(g: &Graph, users: &[Vec<NodeId>], behind: &HashMap<ValueId, usize>, v: ValueId) -> bool {
    let reads_all = |n: &NodeId| {
        let reader = g.nodes()[n.index()].outputs.first();
        reader.is_some_and(|&y| !behind.contains_key(&y) || is_view(g, y) && leaves(g, users, behind, y))
    };
    g.outputs().iter().any(|o| o.value == v) || users[v.index()].iter().any(reads_all)
}

/// Whether half of the work for each pair takes longer than putting the pairs back.
fn pays(g: &Graph, behind: &HashMap<ValueId, usize>, v: ValueId, axis: usize) -> bool {
    let width = |v: ValueId, axis: usize| -> Option<f64> {
        let other = g.shape(v).dims().iter().enumerate().filter(|(i, _)| *i != axis && *i != axis + 1);
        other.map(|(_, d)| Some(d.likely() as f64)).product()
    };
    let (mut work, mut collected) = (0.0, 0.0);
    let (mut todo, mut at) = (vec![v], 0);
    while let Some(&v) = todo.get(at) {
        at += 1;
        let (Some(node), Some(&axis)) = (g.producer(v), behind.get(&v)) else {
            collected += PAIR;
            continue;
        };
        let Some(width) = width(v, axis) else { return false };
        work += match (&node.op, Product::of(node)) {
            (_, Some(p)) => width * g.shape(p.x).dims().last().map_or(1, Dim::likely) as f64 * MULTIPLY,
            (Op::Map(e), _) => width * e.insts().len() as f64 * MAP,
            _ => 0.0,
        };
        let symmetric = node.inputs.iter().filter(|x| g.constant(**x).is_none() && !todo.contains(x));
        let next: Vec<_> = symmetric.copied().collect();
        todo.extend(next);
    }
    let Some(width) = width(v, axis) else { return false };
    work / 2.0 > width * MOVE + PAIR + collected
}
