//! Layouts: transposes move to where they are free.
//!
//! Convolutions, pools and products with weights want their channels last; exporters write everything with
//! channels second, so a lowered graph transposes to and fro around each. Everything between (maps, concats,
//! reductions, gathers, …) runs in any order of its axes ([`carry`]). For one transpose at a time the pass
//! takes all operations that could run in the order of its operand (or of its result), and asks which of them
//! should, so that the fewest elements are moved: a minimum cut, which is exact, where sinking or hoisting
//! transposes one by one is neither. Flattenings behind and before transposes permute weights instead
//! ([`flatten`]).

mod carry;
mod flatten;
mod mincut;
mod region;

use super::simplify::simplify;
use crate::ir::{Graph, Invalid, Op};
use carry::{Place, carry};
use region::Region;

/// Moves transposes to where the fewest elements are moved.
pub fn layout(graph: &Graph) -> Result<Graph, Invalid> {
    let mut graph = settled(graph)?;
    while let Some(better) = improved(&graph)? {
        graph = better;
    }
    Ok(graph)
}

/// With what a change of layouts leaves to merge.
fn settled(graph: &Graph) -> Result<Graph, Invalid> {
    simplify(&flatten::flatten(&simplify(graph)?)?)
}

/// The graph with the first region changed that is worth it.
fn improved(g: &Graph) -> Result<Option<Graph>, Invalid> {
    let users = g.users();
    let cost = region::total_cost(g, &users);
    for (t, node) in g.nodes().iter().enumerate() {
        let Op::Transpose(q) = &node.op else { continue };
        let identity: Vec<usize> = (0..q.len()).collect();
        for at in [Place::Input(0), Place::Output(0)] {
            let Some(seed) = carry(g, node, at, &identity) else { continue };
            let region = Region::grow(g, &users, t, seed);
            let Some(labels) = region.better(g, &users) else { continue };
            let new = settled(&region.apply(g, &labels)?)?;
            // Weights may turn out not to take a permutation: what counts is what came of it.
            if region::total_cost(&new, &new.users()) < cost {
                return Ok(Some(new));
            }
        }
    }
    Ok(None)
}
