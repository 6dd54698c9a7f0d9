//! `If` and `Loop`: the bodies are planned on their own, and their results copied to where this plan wants them.

use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::{Home, Planner};
use super::super::region::{If, Inner, Loop};
use super::super::{Operand, Step};
use super::strided;
use crate::ir::{Branches, Graph, Invalid, Node, Repeat, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::copy::Copy;
use sofie_infer_runtime::scatter::{Combine, Scatter};

/// A dense value as an operand that holds `value` of a body.
fn as_input(o: Operand, value: ValueId, dims: &[usize]) -> Operand {
    let layout = Layout { offset: o.start as isize, ..Layout::dense(dims) };
    Operand { holds: Some((value, layout)), ..o }
}

fn dims_of(graph: &Graph, v: ValueId) -> Result<Vec<usize>, Invalid> {
    graph.shape(v).fixed().ok_or_else(|| Invalid::new("a body whose extents are not fixed"))
}

/// A step of a body that moves one of its outputs, which are dense, to where the plan around wants it.
fn move_out(from: &Operand, to: &Home, node: &Node) -> Result<Option<Step>, Invalid> {
    let (write, dst) = to.operand()?;
    if to.layout.is_empty() || (from.root, from.start) == (write.root, write.start) {
        return Ok(None);
    }
    let copy = Copy::new(&strided(&dst)?, &strided(&Layout::dense(&to.layout.dims))?)
        .ok_or_else(|| Invalid::new(format!("a copy of {} axes that do not merge to 8", dst.dims.len())))?;
    Ok(Some(Step {
        kernel: Kernel::Copy(copy),
        writes: vec![Operand { holds: held(from, to), ..write }],
        reads: vec![Some(from.clone())],
        origin: node.origin.clone(),
    }))
}

/// What `to` holds when the body's output `from` was moved there; nothing where that is a constant.
fn held(from: &Operand, to: &Home) -> Option<(ValueId, Layout)> {
    from.holds.as_ref().map(|(v, _)| (*v, to.layout.clone()))
}

/// Plans a choice between two bodies.
pub fn branch(p: &mut Planner<'_>, node: &Node, b: &Branches) -> Result<(), Invalid> {
    let condition = p.dense(node.inputs[0])?;
    let operands = node.inputs[1..].iter().map(|v| p.dense(*v)).collect::<Result<Vec<_>, _>>()?;
    let homes: Vec<Home> = node.outputs.iter().map(|v| p.target(*v, Layout::is_dense)).collect();
    let mut plans = [&b.then, &b.otherwise].map(|g| p.body(g)).into_iter().collect::<Result<Vec<_>, _>>()?;
    for plan in &mut plans {
        for (k, home) in homes.iter().enumerate() {
            plan.write_at(k, &home.operand()?.0, None);
        }
    }
    let block = p.block(plans.iter_mut().map(Inner::arena_bytes).max().unwrap_or(0));
    let mut bodies = Vec::new();
    for (plan, graph) in plans.into_iter().zip([&b.then, &b.otherwise]) {
        let mut inputs = Vec::new();
        for (o, port) in operands.iter().zip(graph.inputs()) {
            inputs.push(as_input(o.clone(), port.value, &dims_of(graph, port.value)?));
        }
        let mut body = plan.body(&inputs, &block, &node.origin)?;
        for (from, to) in body.outputs.clone().iter().zip(&homes) {
            body.steps.extend(move_out(from, to, node)?);
        }
        body.outputs = outputs_at(&body.outputs, &homes)?;
        bodies.push(body);
    }
    let (Some(otherwise), Some(then)) = (bodies.pop(), bodies.pop()) else {
        return Err(Invalid::new("an if of two bodies"));
    };
    let mut writes = homes.iter().map(|h| Ok(h.operand()?.0)).collect::<Result<Vec<_>, Invalid>>()?;
    writes.push(block);
    let reads = std::iter::once(condition.clone()).chain(operands).map(Some).collect();
    let kernel = If { node: p.position(), condition, then, otherwise };
    p.push(Kernel::If(kernel), writes, reads);
    node.outputs.iter().zip(homes).try_for_each(|(v, home)| p.written(*v, home))
}

/// Where a body's outputs are in the end.
fn outputs_at(from: &[Operand], homes: &[Home]) -> Result<Vec<Operand>, Invalid> {
    from.iter()
        .zip(homes)
        .map(|(from, home)| Ok(Operand { holds: held(from, home), ..home.operand()?.0 }))
        .collect()
}

/// A new dense home for a result.
fn place(p: &mut Planner<'_>, v: ValueId) -> Home {
    let dims = p.dims(v).to_vec();
    p.alloc(p.graph.dtype(v), &dims, Some(v))
}

/// Plans a loop. The states' buffers are the results': they start as copies and are written once an iteration, after all
/// that reads them.
pub fn repeat(p: &mut Planner<'_>, node: &Node, l: &Repeat) -> Result<(), Invalid> {
    let (head, operands) = node.inputs.split_at(l.operands_before());
    let trips = if l.counted { Some(p.dense(head[0])?) } else { None };
    let (initial, seen) = operands.split_at(l.states);
    let seen = seen.iter().map(|v| p.dense(*v)).collect::<Result<Vec<_>, _>>()?;
    let (of_states, others) = node.outputs.split_at(l.states);
    let mut states = Vec::new();
    let mut demanded = Vec::new();
    let mut start = |p: &mut Planner<'_>, from: ValueId, to: Home| -> Result<Home, Invalid> {
        let from = p.home(from)?;
        // The checker follows the value from its place to the state's.
        let held = Home { value: from.value, ..to.clone() };
        if !to.layout.is_empty() {
            p.copy(&from, &held)?;
        }
        demanded.push(held.operand()?.0);
        Ok(to)
    };
    for (v, from) in of_states.iter().zip(initial) {
        let to = place(p, *v);
        states.push(start(p, *from, to)?);
    }
    let go = match l.ends {
        true => {
            let to = p.alloc(DType::Bool, &[], None);
            Some(start(p, head[usize::from(l.counted)], to)?)
        }
        false => None,
    };
    let rows: Vec<Home> = others.iter().map(|v| place(p, *v)).collect();
    let Some((counter, rows)) = rows.split_last() else { return Err(Invalid::new("a loop without a count")) };
    let places: Vec<Home> = go.iter().chain(&states).cloned().collect();
    let mut plan = p.body(&l.body)?;
    for (k, home) in places.iter().enumerate() {
        // State k is input 1 + k; the condition is none.
        let over = (k + 1).checked_sub(l.before_states()).filter(|over| *over > 0);
        plan.write_at(k, &home.operand()?.0, over);
    }
    let block = p.block(plan.arena_bytes());
    let graph = &l.body;
    let mut inputs = Vec::new();
    let read = std::iter::once(counter).chain(&states).map(|home| Ok(home.operand()?.0));
    for (o, port) in read.chain(seen.iter().cloned().map(Ok)).zip(graph.inputs()) {
        inputs.push(as_input(o?, port.value, &dims_of(graph, port.value)?));
    }
    let mut body = plan.body(&inputs, &block, &node.origin)?;
    let (kept, of_rows) = body.outputs.split_at(l.before_states() + l.states);
    let mut last = Vec::new();
    for (from, to) in of_rows.iter().zip(rows) {
        last.extend(row(from, to, &inputs[0], node)?);
    }
    for (from, to) in kept.iter().zip(&places) {
        last.extend(move_out(from, to, node)?);
    }
    body.outputs = outputs_at(kept, &places)?;
    body.steps.extend(last);
    let mut writes = Vec::new();
    for home in states.iter().chain(rows).chain([counter]).chain(&go) {
        writes.push(home.operand()?.0);
    }
    writes.push(block);
    let reads: Vec<_> = trips.iter().cloned().chain(seen).map(Some).collect();
    let go = go.map(|home| Ok::<_, Invalid>(home.operand()?.0)).transpose()?;
    let kernel = Loop {
        node: p.position(),
        counter: counter.operand()?.0,
        most: l.most,
        trips,
        go,
        initial: demanded,
        body,
    };
    p.push(Kernel::Loop(kernel), writes, reads);
    let homes = states.into_iter().chain(rows.iter().cloned()).chain([counter.clone()]);
    node.outputs.iter().zip(homes.collect::<Vec<_>>()).try_for_each(|(v, home)| p.written(*v, home))
}

/// The step that writes a row of an iteration to its place among all rows.
fn row(from: &Operand, to: &Home, counter: &Operand, node: &Node) -> Result<Option<Step>, Invalid> {
    if to.layout.is_empty() {
        return Ok(None);
    }
    let (write, dst) = to.operand()?;
    // One row of so many elements: what it is made of does not matter.
    let (n, len) = (to.layout.dims[0], to.layout.dims[1..].iter().product());
    let whole = Layout { offset: dst.offset, ..Layout::dense(&[n, len]) };
    let scatter = Scatter::nd(
        &strided(&whole)?,
        &strided(&Layout::dense(&[1, 1]))?,
        &strided(&Layout::dense(&[1, len]))?,
        Combine::Set,
    );
    let scatter = scatter.ok_or_else(|| Invalid::new("a row that cannot be written among others"))?;
    Ok(Some(Step {
        kernel: Kernel::Scatter(scatter),
        writes: vec![Operand { holds: None, ..write }],
        reads: vec![Some(counter.clone()), Some(from.clone())],
        origin: node.origin.clone(),
    }))
}
