//! What an operation does when its values lie with their axes in another order: the order that each operand
//! and result has, given one of them, and the operation that then stands for it.
//!
//! A layout is a permutation: axis i of what lies in memory is axis `perm[i]` of the value.

use super::super::groups::{Group, groups};
use super::super::pattern::Product;
use crate::ir::{Builder, Graph, Inst, Invalid, MapExpr, Node, Op, ScatterKind, Shape, ValueId};

/// A layout.
pub type Perm = Vec<usize>;

/// The layouts of a node's values; `None` is left as it is (weights, biases, indices).
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// One an operand.
    pub inputs: Vec<Option<Perm>>,
    /// One a result.
    pub outputs: Vec<Option<Perm>>,
    /// How a product runs.
    pub product: Form,
}

/// How a product with permuted operands runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As before.
    Same,
    /// As the transposed product, its operands exchanged.
    Exchanged,
}

/// One of a node's values.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    /// An operand.
    Input(usize),
    /// A result.
    Output(usize),
}

/// The permutation that undoes `perm`.
pub fn inverse(perm: &[usize]) -> Perm {
    let mut back = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(i, &a)| back[a] = i);
    back
}

/// The layouts of all values of `node` when the one at `at` has layout `perm`; `None` where the operation
/// cannot run like that.
pub fn carry(g: &Graph, node: &Node, at: Place, perm: &[usize]) -> Option<Carried> {
    let (n, m) = (node.inputs.len(), node.outputs.len());
    let same = |inputs: Vec<Option<Perm>>, outputs| Some(Carried { inputs, outputs, product: Form::Same });
    let all = || same(vec![Some(perm.to_vec()); n], vec![Some(perm.to_vec()); m]);
    let last = perm.len().checked_sub(1)?;
    let first = |x: Perm, y: Perm| {
        let mut inputs = vec![None; n];
        inputs[0] = Some(x);
        same(inputs, vec![Some(y); m])
    };
    match &node.op {
        Op::Map(_)
        | Op::Reduce(..)
        | Op::ArgReduce { .. }
        | Op::Scan { .. }
        | Op::Slice { .. }
        | Op::Broadcast(_)
        | Op::Concat(_)
        | Op::Pad { .. }
        | Op::GatherElements(_) => all(),
        Op::Interpolate(_) if matches!(at, Place::Input(0) | Place::Output(_)) => {
            first(perm.to_vec(), perm.to_vec())
        }
        // Where indices repeat, the last update in row-major order stays.
        Op::ScatterElements(_, kind) if *kind != ScatterKind::Set => all(),
        Op::Rows(_) if matches!(at, Place::Input(0) | Place::Output(_)) && perm[last] == last => {
            first(perm.to_vec(), perm.to_vec())
        }
        Op::TopK { .. } if perm[last] == last => all(),
        Op::Transpose(q) => match at {
            Place::Input(_) => {
                let to = inverse(q);
                first(perm.to_vec(), perm.iter().map(|&a| to[a]).collect())
            }
            Place::Output(_) => first(perm.iter().map(|&a| q[a]).collect(), perm.to_vec()),
        },
        Op::Reshape(_) => {
            let (x, y) = (g.shape(node.inputs[0]), g.shape(node.outputs[0]));
            match at {
                Place::Input(_) => first(perm.to_vec(), through(&groups(x, y)?, x, y.rank(), perm)?),
                Place::Output(_) => first(through(&groups(y, x)?, y, x.rank(), perm)?, perm.to_vec()),
            }
        }
        Op::Gather { axis, batch } => {
            let extra = g.shape(node.inputs[1]).rank() - batch;
            match at {
                Place::Input(0) => {
                    let fixed = perm.iter().take(*batch).copied().eq(0..*batch);
                    fixed.then_some(())?;
                    first(perm.to_vec(), behind_gather(perm, *axis, extra))
                }
                Place::Input(_) => None,
                Place::Output(_) => {
                    let fixed = perm.iter().take(*batch).copied().eq(0..*batch);
                    let start = perm.iter().position(|a| a == axis)?;
                    let block = perm.iter().skip(start).take(extra).copied();
                    (fixed && extra > 0 && block.eq(*axis..axis + extra)).then_some(())?;
                    first(before_gather(perm, *axis, extra), perm.to_vec())
                }
            }
        }
        Op::MatMul(_) => matmul(g, node, at, perm),
        _ => None,
    }
}

/// The layout behind a gather of that one before it.
fn behind_gather(perm: &[usize], axis: usize, extra: usize) -> Perm {
    let moved = |a: usize| if a < axis { a..a + 1 } else { a + extra - 1..a + extra };
    perm.iter().flat_map(|&a| if a == axis { axis..axis + extra } else { moved(a) }).collect()
}

/// The layout before a gather of that one behind it.
fn before_gather(perm: &[usize], axis: usize, extra: usize) -> Perm {
    let inside = axis + 1..axis + extra;
    let kept = perm.iter().filter(|a| !inside.contains(a));
    kept.map(|&a| if a <= axis { a } else { a + 1 - extra }).collect()
}

/// The layout behind a reshape of that one before it: each group's axes must stay neighbours in order.
/// Axes of extent 1 do not count; they follow the axis that they followed.
fn through(groups: &[Group], from: &Shape, to_rank: usize, perm: &[usize]) -> Option<Perm> {
    let group_of = |a: usize| groups.iter().position(|g| g.from.contains(&a));
    let mut order: Vec<usize> = Vec::new();
    let mut last_axis = None;
    for &a in perm.iter().filter(|&&a| !from[a].is(1)) {
        let g = group_of(a)?;
        if order.last() == Some(&g) {
            // Within one group: rising.
            if last_axis > Some(a) {
                return None;
            }
        } else if order.contains(&g) {
            return None;
        } else {
            order.push(g);
        }
        last_axis = Some(a);
    }
    let mut to: Perm = order.iter().flat_map(|&g| groups[g].to.clone()).collect();
    for (_, group) in groups.iter().enumerate().filter(|(g, _)| !order.contains(g)) {
        for a in group.to.clone() {
            let at = match a.checked_sub(1) {
                Some(before) => to.iter().position(|&x| x == before)? + 1,
                None => 0,
            };
            to.insert(at, a);
        }
    }
    (to.len() == to_rank).then_some(to)
}

/// Whether a value is a constant whose leading axes have extent 1.
fn is_one_matrix(g: &Graph, v: ValueId) -> bool {
    let shape = g.shape(v);
    g.constant(v).is_some() && shape.dims().iter().rev().skip(2).all(|d| d.is(1))
}

fn matmul(g: &Graph, node: &Node, at: Place, perm: &[usize]) -> Option<Carried> {
    let p = Product::of(node)?;
    let (m, n) = (perm.len().checked_sub(2)?, perm.len() - 1);
    if let Place::Input(i) = at
        && p.bias.is_some()
        && i == 2
    {
        return None;
    }
    let p_ = || Some(perm.to_vec());
    let carried = |a: Option<Perm>, b: Option<Perm>, product: Form| {
        let mut inputs = vec![a, b];
        inputs.extend(p.bias.map(|_| None));
        inputs.extend(p.residual.map(|_| p_()));
        Some(Carried { inputs, outputs: vec![p_()], product })
    };
    // The operand that asks must be one that the answer moves.
    let asked = |i: usize| !matches!(at, Place::Input(j) if j == i);
    let (left, right) = (is_one_matrix(g, p.x), is_one_matrix(g, p.w));
    if right && perm[n] == n && asked(1) {
        // Rows in any order, columns last.
        return carried(p_(), None, Form::Same);
    }
    if left && p.bias.is_none() && perm[n] == m && asked(0) {
        // `W · x` with its rows last is `xᵀ · Wᵀ`: weights on the right.
        return carried(None, p_(), Form::Exchanged);
    }
    if right && p.bias.is_none() && perm[m] == n && asked(1) {
        // `x · W` with its columns last but one is `Wᵀ · xᵀ`: weights on the left.
        return carried(p_(), None, Form::Exchanged);
    }
    if left && p.bias.is_none() && perm[m] == m && perm[n] == n && asked(0) {
        return carried(None, p_(), Form::Same);
    }
    if perm[m] == m && perm[n] == n {
        return carried(p_(), p_(), Form::Same);
    }
    None
}

/// Whether a product has its weights on the left, where no kernel has them packed.
pub fn weights_on_the_left(g: &Graph, node: &Node, form: Option<Form>) -> bool {
    let Some(p) = Product::of(node).filter(|_| matches!(node.op, Op::MatMul(_))) else { return false };
    match form {
        Some(Form::Exchanged) => is_one_matrix(g, p.w) && g.constant(p.x).is_none(),
        _ => is_one_matrix(g, p.x) && g.constant(p.w).is_none(),
    }
}

/// The results, in their new layouts, of a node over operands in theirs.
pub fn push_permuted(
    b: &mut Builder,
    g: &Graph,
    node: &Node,
    carried: &Carried,
    inputs: &[ValueId],
) -> Result<Vec<ValueId>, Invalid> {
    let layout = |p: &Option<Perm>| p.clone().ok_or_else(|| Invalid::new("a value without a layout"));
    let y = layout(carried.outputs.first().unwrap_or(&None))?;
    let new_axis = |axis: usize| y.iter().position(|&a| a == axis).unwrap_or(axis);
    let shaped = |s: &Shape| -> Shape { y.iter().map(|&a| s[a].clone()).collect() };
    let list = |v: &[crate::ir::Dim]| y.iter().map(|&a| v[a].clone()).collect::<Vec<_>>();
    let op = match &node.op {
        Op::Transpose(_) => return Ok(vec![inputs[0]]),
        Op::Reshape(_) => return Ok(vec![b.reshape(inputs[0], shaped(g.shape(node.outputs[0])))?]),
        Op::Map(e) => {
            let counted = e.is_placed();
            Op::Map(if counted { with_axes(e, new_axis)? } else { e.clone() })
        }
        Op::Reduce(kind, axes) => {
            let mut axes: Vec<_> = axes.iter().map(|&a| new_axis(a)).collect();
            axes.sort_unstable();
            Op::Reduce(*kind, axes)
        }
        Op::ArgReduce { max, axis, last } => Op::ArgReduce { max: *max, axis: new_axis(*axis), last: *last },
        Op::Scan { product, axis, exclusive, reverse } => {
            Op::Scan { product: *product, axis: new_axis(*axis), exclusive: *exclusive, reverse: *reverse }
        }
        Op::Interpolate(axis) => Op::Interpolate(new_axis(*axis)),
        Op::Slice { start, step, shape } => {
            Op::Slice { start: list(start), step: y.iter().map(|&a| step[a]).collect(), shape: shaped(shape) }
        }
        Op::Broadcast(shape) => Op::Broadcast(shaped(shape)),
        Op::Concat(axis) => Op::Concat(new_axis(*axis)),
        Op::Pad { before, after, value } => {
            Op::Pad { before: list(before), after: list(after), value: *value }
        }
        Op::GatherElements(axis) => Op::GatherElements(new_axis(*axis)),
        Op::ScatterElements(axis, kind) => Op::ScatterElements(new_axis(*axis), *kind),
        Op::Gather { axis, batch } => {
            let x = layout(&carried.inputs[0])?;
            let axis = x.iter().position(|a| a == axis).unwrap_or(*axis);
            Op::Gather { axis, batch: *batch }
        }
        Op::MatMul(e) if carried.product == Form::Exchanged => {
            let rank = b.shape(inputs[0]).rank();
            let swap: Perm = (0..rank - 2).chain([rank - 1, rank - 2]).collect();
            let mut operands = inputs.to_vec();
            // The weights are turned here, the other operand has its layout already.
            let weights = usize::from(carried.inputs[0].is_some());
            operands[weights] = b.transpose(operands[weights], &swap)?;
            operands.swap(0, 1);
            return b.push(Op::MatMul(*e), &operands);
        }
        op => op.clone(),
    };
    b.push(op, inputs)
}

/// The expression counting along other axes.
fn with_axes(e: &MapExpr, axis: impl Fn(usize) -> usize) -> Result<MapExpr, Invalid> {
    let mut new = MapExpr::over(e.inputs());
    let mut regs = Vec::new();
    for inst in e.insts() {
        let inst = match inst.map_operands(|r| regs[r]) {
            Inst::Iota(a) => Inst::Iota(axis(a)),
            other => other,
        };
        regs.push(new.push(inst)?);
    }
    let last = regs.last().copied().ok_or_else(|| Invalid::new("an empty map"))?;
    Ok(new.finish(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reshaped(from: &[usize], to: &[usize], perm: &[usize]) -> Option<Perm> {
        let (from, to) = (Shape::of(from), Shape::of(to));
        through(&groups(&from, &to)?, &from, to.rank(), perm)
    }

    #[test]
    fn layouts_go_through_reshapes() {
        assert_eq!(reshaped(&[2, 32, 100], &[2, 32, 100, 1], &[0, 2, 1]), Some(vec![0, 2, 3, 1]));
        assert_eq!(reshaped(&[2, 32, 100, 1], &[2, 32, 100], &[0, 2, 3, 1]), Some(vec![0, 2, 1]));
        assert_eq!(reshaped(&[2, 32, 100, 7], &[2, 32, 700], &[0, 2, 3, 1]), Some(vec![0, 2, 1]));
        assert_eq!(reshaped(&[2, 32, 700], &[2, 32, 100, 7], &[0, 2, 1]), Some(vec![0, 2, 3, 1]));
        assert_eq!(reshaped(&[2, 6, 5, 5], &[2, 150], &[0, 2, 3, 1]), None);
        assert_eq!(reshaped(&[1, 5, 9], &[5, 1, 9], &[0, 2, 1]), Some(vec![2, 0, 1]));
    }

    #[test]
    fn layouts_go_through_gathers() {
        assert_eq!(behind_gather(&[1, 0], 1, 2), [1, 2, 0]);
        assert_eq!(before_gather(&[1, 2, 0], 1, 2), [1, 0]);
        assert_eq!(behind_gather(&[0, 2, 1], 1, 1), [0, 2, 1]);
        assert_eq!(before_gather(&[3, 1, 2, 0], 1, 2), [2, 1, 0]);
    }
}
