//! Views of views become one, views that show everything in place go, broadcasts move behind the views that
//! do not need them, and reshapes sink below what works row by row or element by element, so that
//! producers and consumers that belong together stand side by side.

use super::groups::{self, Group, groups};
use super::pattern::{Product, is_constant};
use crate::ir::{Builder, Dim, Graph, Inst, Invalid, MapExpr, Node, Op, ReduceKind, Shape, ValueId};

/// A simpler value for the operation over the operands, if there is one.
pub fn view(b: &mut Builder, op: &Op, inputs: &[ValueId]) -> Result<Option<ValueId>, Invalid> {
    let Some(&x) = inputs.first() else { return Ok(None) };
    match op {
        Op::Reshape(shape) => reshape(b, shape, x),
        Op::Transpose(perm) => transpose(b, perm, x),
        Op::Broadcast(shape) => broadcast(b, shape, x),
        Op::Slice { start, step, shape } => slice(b, start, step, shape, x),
        Op::Concat(axis) => concat(b, *axis, inputs),
        Op::Reduce(kind, axes) => reduce(b, *kind, axes, x),
        Op::Rows(_) => below_reshape(b, op, inputs),
        Op::MatMul(_) => match unrepeated(b, op, inputs)? {
            Some(v) => Ok(Some(v)),
            None => below_reshape(b, op, inputs),
        },
        _ => Ok(None),
    }
}

/// The operation and operands behind a value.
fn made_by(g: &Graph, v: ValueId) -> Option<(Op, Vec<ValueId>)> {
    let Node { op, inputs, .. } = g.producer(v)?;
    match op {
        Op::Const(_) => None,
        op => Some((op.clone(), inputs.clone())),
    }
}

fn reshape(b: &mut Builder, shape: &Shape, x: ValueId) -> Result<Option<ValueId>, Invalid> {
    match made_by(b.graph(), x) {
        Some((Op::Reshape(_), from)) => b.reshape(from[0], shape.clone()).map(Some),
        Some((Op::Broadcast(full), from)) => {
            let Some(cut) = groups(&full, shape).filter(|g| groups::moves_units_only(g)) else {
                return Ok(None);
            };
            // The axes that come and go have extent 1 before the broadcast as well.
            let small = b.shape(from[0]);
            let dims = cut.iter().filter(|g| !g.to.is_empty());
            let dims = dims.map(|g| if g.from.is_empty() { Dim::ONE } else { small[g.from.start].clone() });
            let small = dims.collect();
            let small = b.reshape(from[0], small)?;
            b.one(Op::Broadcast(shape.clone()), &[small]).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether a permutation keeps the order of all axes but those of extent 1.
pub fn moves_units(perm: &[usize], shape: &Shape) -> bool {
    let mut moved = perm.iter().filter(|&&a| !shape[a].is(1));
    let mut last = None;
    moved.all(|&a| last.replace(a).is_none_or(|l| l < a))
}

fn transpose(b: &mut Builder, perm: &[usize], x: ValueId) -> Result<Option<ValueId>, Invalid> {
    if moves_units(perm, b.shape(x)) {
        let shape = perm.iter().map(|&a| b.shape(x)[a].clone()).collect();
        return b.reshape(x, shape).map(Some);
    }
    match made_by(b.graph(), x) {
        Some((Op::Transpose(first), from)) => {
            let both: Vec<_> = perm.iter().map(|&a| first[a]).collect();
            b.transpose(from[0], &both).map(Some)
        }
        Some((Op::Broadcast(full), from)) => {
            let small = b.transpose(from[0], perm)?;
            let full = perm.iter().map(|&a| full[a].clone()).collect();
            b.one(Op::Broadcast(full), &[small]).map(Some)
        }
        _ => Ok(None),
    }
}

fn broadcast(b: &mut Builder, shape: &Shape, x: ValueId) -> Result<Option<ValueId>, Invalid> {
    match made_by(b.graph(), x) {
        Some((Op::Broadcast(_), from)) => b.one(Op::Broadcast(shape.clone()), &from[..1]).map(Some),
        _ => Ok(None),
    }
}

fn slice(
    b: &mut Builder,
    start: &[Dim],
    step: &[i64],
    shape: &Shape,
    x: ValueId,
) -> Result<Option<ValueId>, Invalid> {
    match made_by(b.graph(), x) {
        Some((Op::Slice { start: s, step: t, .. }, from)) => {
            let at = |i: usize| s[i].add(&start[i].mul(&Dim::Fixed(t[i]))?);
            let start = (0..start.len()).map(at).collect::<Result<_, _>>()?;
            let steps = t.iter().zip(step).map(|(t, s)| t.checked_mul(*s)).collect::<Option<Vec<_>>>();
            let Some(step) = steps else { return Ok(None) };
            b.one(Op::Slice { start, step, shape: shape.clone() }, &from[..1]).map(Some)
        }
        Some((Op::Concat(axis), parts)) => part(b, start, step, shape, axis, &parts),
        Some((Op::Broadcast(_), from)) => {
            if shape.dims().iter().any(|d| d.fixed().is_none_or(|n| n == 0)) {
                return Ok(None);
            }
            let small = b.shape(from[0]).clone();
            let repeated = |i: usize| small[i].is(1);
            let start = (0..start.len())
                .map(|i| if repeated(i) { Dim::Fixed(0) } else { start[i].clone() })
                .collect();
            let dims =
                (0..small.rank()).map(|i| if repeated(i) { Dim::ONE } else { shape[i].clone() }).collect();
            let step = step.iter().enumerate().map(|(i, s)| if repeated(i) { 1 } else { *s }).collect();
            let small = b.one(Op::Slice { start, step, shape: dims }, &from[..1])?;
            b.one(Op::Broadcast(shape.clone()), &[small]).map(Some)
        }
        _ => Ok(None),
    }
}

/// A slice of a concat that lies within one of its parts.
fn part(
    b: &mut Builder,
    start: &[Dim],
    step: &[i64],
    shape: &Shape,
    axis: usize,
    parts: &[ValueId],
) -> Result<Option<ValueId>, Invalid> {
    if step[axis] < 1 || shape[axis].is(0) {
        return Ok(None);
    }
    let last = start[axis].add(&shape[axis].sub(&Dim::ONE)?.mul(&Dim::Fixed(step[axis]))?)?;
    let mut at = Dim::Fixed(0);
    for &p in parts {
        let end = at.add(&b.shape(p)[axis])?;
        if at.le(&start[axis]) == Some(true) && last.add(&Dim::ONE)?.le(&end) == Some(true) {
            let mut start = start.to_vec();
            start[axis] = start[axis].sub(&at)?;
            return b.one(Op::Slice { start, step: step.to_vec(), shape: shape.clone() }, &[p]).map(Some);
        }
        at = end;
    }
    Ok(None)
}

/// Parts without elements go; neighbouring slices of one value become one slice.
fn concat(b: &mut Builder, axis: usize, inputs: &[ValueId]) -> Result<Option<ValueId>, Invalid> {
    let mut parts: Vec<ValueId> = Vec::new();
    for &v in inputs {
        if b.shape(v)[axis].is(0) {
            continue;
        }
        match parts.last().map(|&last| joined(b, axis, last, v)).transpose()?.flatten() {
            Some(both) => *parts.last_mut().unwrap_or(&mut { v }) = both,
            None => parts.push(v),
        }
    }
    if parts.is_empty() || parts.len() == inputs.len() {
        return Ok(None);
    }
    b.one(Op::Concat(axis), &parts).map(Some)
}

/// The slice that two slices side by side are.
fn joined(b: &mut Builder, axis: usize, x: ValueId, y: ValueId) -> Result<Option<ValueId>, Invalid> {
    let (
        Some((Op::Slice { start: s, step, shape }, from)),
        Some((Op::Slice { start: t, step: u, .. }, other)),
    ) = (made_by(b.graph(), x), made_by(b.graph(), y))
    else {
        return Ok(None);
    };
    let apart = s[axis].add(&shape[axis].mul(&Dim::Fixed(step[axis]))?)?;
    let beside = (0..s.len()).all(|i| if i == axis { apart == t[i] } else { s[i] == t[i] });
    if from != other || step != u || !beside {
        return Ok(None);
    }
    let mut both = shape.clone();
    both.dims_mut()[axis] = shape[axis].add(&b.shape(y)[axis])?;
    b.one(Op::Slice { start: s, step, shape: both }, &from).map(Some)
}

fn reduce(b: &mut Builder, kind: ReduceKind, axes: &[usize], x: ValueId) -> Result<Option<ValueId>, Invalid> {
    use ReduceKind::*;
    let long: Vec<_> = axes.iter().copied().filter(|&a| !b.shape(x)[a].is(1)).collect();
    if long.len() < axes.len() && (!long.is_empty() || matches!(kind, Sum | Mean | Prod | Max | Min)) {
        return b.one(Op::Reduce(kind, long), &[x]).map(Some);
    }
    let Some((op, from)) = made_by(b.graph(), x) else { return Ok(None) };
    match (kind, op) {
        (Sum | Mean | Prod | Max | Min, Op::Reduce(inner, first)) if inner == kind => {
            let mut both: Vec<_> = axes.iter().chain(&first).copied().collect();
            both.sort_unstable();
            both.dedup();
            b.one(Op::Reduce(kind, both), &from).map(Some)
        }
        (Sum, Op::Map(e)) if is_square(&e) && b.shape(from[0]) == b.shape(x) => {
            b.one(Op::Reduce(SumSquare, axes.to_vec()), &from).map(Some)
        }
        _ => Ok(None),
    }
}

/// Whether an expression is `x * x` of its one operand.
fn is_square(e: &MapExpr) -> bool {
    use sofie_infer_runtime::map::Binary;
    matches!(e.insts(), [Inst::Input(0), Inst::Binary(Binary::Mul, 0, 0)]) && e.inputs().len() == 1
}

/// A product whose operand repeats along batch axes that the other operand has anyway.
fn unrepeated(b: &mut Builder, op: &Op, inputs: &[ValueId]) -> Result<Option<ValueId>, Invalid> {
    for i in 0..2 {
        let Some((Op::Broadcast(full), from)) = made_by(b.graph(), inputs[i]) else { continue };
        let (small, other) = (b.shape(from[0]), b.shape(inputs[1 - i]));
        let batch = full.rank() - 2;
        let same = |a: usize| small[a] == full[a] || a < batch && other[a] == full[a];
        if (0..full.rank()).all(same) {
            let mut inputs = inputs.to_vec();
            inputs[i] = from[0];
            return b.one(op.clone(), &inputs).map(Some);
        }
    }
    Ok(None)
}

/// A row program or a product with weights over a reshape that keeps the rows' elements: the reshape goes
/// behind it.
fn below_reshape(b: &mut Builder, op: &Op, inputs: &[ValueId]) -> Result<Option<ValueId>, Invalid> {
    let Some((Op::Reshape(shape), from)) = made_by(b.graph(), inputs[0]) else { return Ok(None) };
    let x = b.shape(from[0]).clone();
    if x.rank() < 2 || !groups(&x, &shape).is_some_and(|g| keeps_rows(&g, &x, &shape)) {
        return Ok(None);
    }
    let mut operands = inputs.to_vec();
    operands[0] = from[0];
    if let Some(p) =
        Product::of(&Node { op: op.clone(), inputs: inputs.to_vec(), outputs: vec![], origin: vec![] })
    {
        if !p.has_weights(b.graph()) {
            return Ok(None);
        }
        let w = b.shape(p.w).dims();
        let w = [vec![Dim::ONE; x.rank() - 2], w[w.len() - 2..].to_vec()].concat();
        operands[1] = b.reshape(p.w, Shape::new(w))?;
        let n = b.shape(p.w).dims().last().cloned().unwrap_or(Dim::ONE);
        if let Some(r) = p.residual {
            let rows = x.dims()[..x.rank() - 1].iter().cloned().chain([n]).collect();
            let at = operands.len() - 1;
            operands[at] = b.reshape(r, rows)?;
        }
    }
    let y = b.one(op.clone(), &operands)?;
    let n = b.shape(y).dims().last().cloned().unwrap_or(Dim::ONE);
    let to = shape.dims()[..shape.rank() - 1].iter().cloned().chain([n]).collect();
    b.reshape(y, to).map(Some)
}

/// Whether the last axis is the same on both sides of a reshape.
fn keeps_rows(groups: &[Group], from: &Shape, to: &Shape) -> bool {
    let last = |g: &Group| g.is_axis() && g.from.end == from.rank() && g.to.end == to.rank();
    groups.last().is_some_and(last)
}

/// A map over a reshape of a value as large as the result: the reshape goes behind the map.
pub fn map_below_reshape(
    b: &mut Builder,
    e: &MapExpr,
    inputs: &[ValueId],
) -> Result<Option<ValueId>, Invalid> {
    if e.is_placed() {
        return Ok(None);
    }
    let mut target = b.shape(inputs[0]).clone();
    for v in inputs {
        target = target.broadcast(b.shape(*v))?;
    }
    for &v in inputs {
        let Some((Op::Reshape(shape), from)) = made_by(b.graph(), v).filter(|_| *b.shape(v) == target) else {
            continue;
        };
        let x = b.shape(from[0]).clone();
        let Some(cut) = groups(&x, &shape) else { continue };
        // Towards fewer axes; towards more only where all large operands come from there, else two
        // operands could send the map to and fro.
        let comes_from_there = |w: &ValueId| match b.graph().producer(*w) {
            Some(Node { op: Op::Reshape(_), inputs, .. }) => *b.shape(inputs[0]) == x,
            _ => *b.shape(*w) != target || is_constant(b.graph(), *w),
        };
        if x.rank() >= shape.rank() && !inputs.iter().all(comes_from_there) {
            continue;
        }
        let units = groups::moves_units_only(&cut);
        let pulled = inputs.iter().map(|w| {
            let shape = groups::pull_back(b.shape(*w), &target, &x, &cut)?;
            // A view whose elements do not lie in order would have to be copied.
            let lies_in_order = units
                || is_constant(b.graph(), *w)
                || !matches!(b.graph().producer(*w), Some(n) if n.op.is_view() && !matches!(n.op, Op::Reshape(_)));
            lies_in_order.then_some(shape)
        });
        let Some(pulled) = pulled.collect::<Option<Vec<_>>>() else { continue };
        let mut operands = Vec::new();
        for (w, shape) in inputs.iter().zip(pulled) {
            operands.push(b.reshape(*w, shape)?);
        }
        // Reshapes of reshapes merge in the next sweep; the one in question is taken away here.
        for (o, w) in operands.iter_mut().zip(inputs) {
            if *w == v {
                *o = from[0];
            }
        }
        let y = b.one(Op::Map(e.clone()), &operands)?;
        return b.reshape(y, target).map(Some);
    }
    Ok(None)
}
