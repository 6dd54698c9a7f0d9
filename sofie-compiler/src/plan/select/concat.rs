//! Concat without copies: before the graph is planned each operand of a concat is asked to be written
//! straight into its slice; whatever could not is copied when the concat's turn comes.

use super::super::Root;
use super::super::planner::{Home, Planner, computes};
use crate::ir::{Invalid, Node, Op, ValueId};
use std::collections::HashMap;

/// Where the operands of a concat lie in its result's home.
fn slices(p: &Planner<'_>, node: &Node, axis: usize, home: &Home) -> Vec<(ValueId, Home)> {
    let mut at = 0i64;
    let slice = |&x: &ValueId| {
        let dims = p.dims(x).to_vec();
        let mut start = vec![0; dims.len()];
        start[axis] = at;
        at += dims[axis] as i64;
        let layout = home.layout.slice(&start, &vec![1; dims.len()], &dims);
        (x, Home { layout, value: Some(x), ..home.clone() })
    };
    node.inputs.iter().map(slice).collect()
}

/// Asks for the operands of all concats to be written into place, outermost concats first.
pub fn request(p: &mut Planner<'_>) {
    let graph = p.graph;
    let mut placed: HashMap<usize, Vec<ValueId>> = HashMap::new();
    for node in graph.nodes().iter().rev() {
        let Op::Concat(axis) = node.op else { continue };
        let y = node.outputs[0];
        let home = match p.wanted(y) {
            Some(home) => home.clone(),
            None => {
                let dims = p.dims(y).to_vec();
                let home = p.alloc(graph.dtype(y), &dims, Some(y));
                p.want(y, home.clone());
                home
            }
        };
        let Root::Buffer(buffer) = home.root else { continue };
        for (x, slice) in slices(p, node, axis, &home) {
            ask(p, x, slice, placed.entry(buffer).or_default());
        }
    }
}

/// Asks that `v` be written at `home`, or what `v` is a view of at the place that the view shows.
///
/// A kernel borrows what it writes as one run, and slices of a concat interleave: a kernel that writes one
/// must not read another value of the same buffer (`placed`).
fn ask(p: &mut Planner<'_>, v: ValueId, home: Home, placed: &mut Vec<ValueId>) {
    let graph = p.graph;
    if p.wanted(v).is_some() {
        return;
    }
    let Some(producer) = graph.producer(v) else { return };
    let layout = match &producer.op {
        op if computes(op) || matches!(op, Op::Concat(_)) => {
            let reads = |n: &Node, w: ValueId| n.inputs.iter().any(|i| p.shown(*i) == w);
            let read_by = |w: &ValueId| graph.producer(*w).is_some_and(|n| reads(n, v));
            if !placed.iter().any(|w| reads(producer, *w) || read_by(w)) {
                placed.push(v);
                p.want(v, home);
            }
            return;
        }
        Op::Transpose(perm) => Some(home.layout.transpose_back(perm)),
        Op::Reshape(_) => home.layout.reshape(p.dims(producer.inputs[0])),
        _ => None,
    };
    if let Some(layout) = layout {
        let x = producer.inputs[0];
        ask(p, x, Home { layout, value: Some(x), ..home }, placed);
    }
}

/// Plans a concat: copies what is not in place yet.
pub fn concat(p: &mut Planner<'_>, node: &Node, axis: usize) -> Result<(), Invalid> {
    let y = node.outputs[0];
    let home = match p.wanted(y) {
        Some(home) => home.clone(),
        None => p.target(y, |_| true),
    };
    for (x, slice) in slices(p, node, axis, &home) {
        let here = p.home(x)?;
        if (here.root, &here.layout) != (slice.root, &slice.layout) {
            p.copy(&here, &slice)?;
        }
    }
    p.alias(y, home.layout.clone(), &home);
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::ir::{Builder, Invalid, Op, Shape, Tensor};
    use crate::plan::{Kernel, check, plan};
    use sofie_infer_runtime::DType;
    use sofie_infer_runtime::map::Unary;

    /// Planes that are put together pixel by pixel, as a stack of one event's maps is.
    #[test]
    fn what_is_computed_needs_no_copy() -> Result<(), Invalid> {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[1, 1, 4, 5]));
        let mut planes = Vec::new();
        for op in [Unary::Exp, Unary::Tanh, Unary::Sqrt] {
            let y = b.unary(op, x)?;
            planes.push(b.reshape(y, Shape::of(&[1, 4, 5, 1]))?);
        }
        let y = b.one(Op::Concat(3), &planes)?;
        b.output("y", y);
        let graph = b.finish();
        let planned = plan(&graph)?;
        check::check(&graph, &planned).unwrap();
        assert!(planned.steps.iter().all(|s| matches!(s.kernel, Kernel::Map(_))), "{:?}", planned.steps);
        Ok(())
    }

    /// A gather that a map would read through its index, of a value whose slice lies beside the map's result.
    #[test]
    fn a_map_does_not_write_between_what_it_gathers() -> Result<(), Invalid> {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[6, 8]));
        let x = b.unary(Unary::Exp, x)?;
        let index = b.tensor(Tensor::of(&[6], &[3i64, 1, 0, 2, 5, 4]));
        let gathered = b.one(Op::Gather { axis: 0, batch: 0 }, &[x, index])?;
        let z = b.unary(Unary::Tanh, gathered)?;
        let y = b.one(Op::Concat(1), &[x, z])?;
        b.output("y", y);
        let graph = b.finish();
        let planned = plan(&graph)?;
        check::check(&graph, &planned).unwrap();
        assert!(planned.steps.iter().all(|s| !s.is_interleaved()), "{:?}", planned.steps);
        Ok(())
    }
}
