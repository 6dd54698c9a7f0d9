//! Whether a graph means something at all extents within the bounds: no extent is negative, no constant index is
//! outside, and what operations ask of their operands holds at the least extents and at some others.

use super::samples::probes;
use crate::ir::{Dim, Graph, Invalid, Node, Op, Symbol, shown_extents, verify};

/// Checks a graph.
///
/// # Errors
/// What does not hold, and for which extents.
pub fn everywhere(graph: &Graph, symbols: &[Symbol]) -> Result<(), Invalid> {
    let bounds = || {
        let one = |s: &Symbol| format!("{} = {}..={}", s.name, s.least, s.most);
        symbols.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    for d in graph.values().iter().flat_map(|v| v.shape.dims()) {
        let (least, most) = d.whole_range();
        if least < 0 {
            return Err(Invalid::new(format!("an extent {d} is negative for some of {}", bounds())));
        }
        if most > isize::MAX as i64 / 64 {
            return Err(Invalid::new(format!(
                "an extent {d} is larger than memory for some of {}",
                bounds()
            )));
        }
    }
    for node in graph.nodes() {
        if let Some((index, d)) = outside(graph, node) {
            let origin = node.origin.join(" + ");
            return Err(Invalid::new(format!(
                "{origin} takes element {index} of an axis of {d}, which is not there for some of {}",
                bounds()
            )));
        }
    }
    for extents in probes(symbols, &graph.found(), 3) {
        verify(&graph.at(&extents)?)
            .map_err(|e| Invalid::new(format!("at {}: {e}", shown_extents(&extents))))?;
    }
    Ok(())
}

/// The constant index of a gather that may be outside its axis, and the axis.
fn outside(graph: &Graph, node: &Node) -> Option<(i64, Dim)> {
    let (Op::Gather { axis, .. } | Op::GatherElements(axis)) = node.op else { return None };
    let [x, index] = node.inputs[..] else { return None };
    let d = graph.shape(x).dims().get(axis)?;
    let (least, _) = d.whole_range();
    let indices = graph.constant(index)?.to_ints()?;
    let index = indices.into_iter().find(|&i| i >= least || i < -least)?;
    d.fixed().is_none().then(|| (index, d.clone()))
}
