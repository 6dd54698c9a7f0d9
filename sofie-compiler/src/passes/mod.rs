//! The passes, in order: each rewrites a graph into one that means the same and runs faster.
//! One file a rewrite; each is idempotent, and the verifier runs behind each in debug builds.

mod affine;
mod attention;
mod bytes;
mod cse;
mod epilogue;
mod exact;
mod fuse_map;
mod gathers;
mod gelu;
mod groups;
mod layout;
mod linear;
mod linear_form;
mod map_algebra;
mod monotone;
mod narrow;
mod normalise;
mod pairs;
mod pattern;
mod pointwise;
mod rounding;
mod siblings;
mod simplify;
mod states;
mod tables;
mod term;
mod views;
mod widen;

use crate::ir::{Builder, Graph, Invalid, Op, Rewriter, verify};

/// A rewrite with its name.
#[derive(Clone, Copy, Debug)]
pub struct Pass {
    /// What printed dumps and `stop_after` call it.
    pub name: &'static str,
    /// The rewrite.
    pub run: fn(&Graph) -> Result<Graph, Invalid>,
}

const fn pass(name: &'static str, run: fn(&Graph) -> Result<Graph, Invalid>) -> Pass {
    Pass { name, run }
}

/// All passes, in the order in which they run.
pub const PASSES: &[Pass] = &[
    pass("widen", widen::widen),
    pass("simplify", simplify::simplify),
    pass("cse", cse::cse),
    pass("bytes", bytes::bytes),
    pass("exact", exact::exact),
    pass("gelu", gelu::gelu),
    pass("normalise", normalise::normalise),
    pass("pointwise", pointwise::pointwise),
    pass("layout", layout::layout),
    pass("cse after layout", cse::cse),
    pass("affine", affine::affine),
    pass("simplify after affine", simplify::simplify),
    pass("gathers", gathers::gathers),
    pass("linear", linear::linear),
    pass("pairs", pairs::pairs),
    pass("attention", attention::attention),
    pass("monotone", monotone::monotone),
    pass("simplify after monotone", simplify::simplify),
    pass("narrow", narrow::narrow),
    pass("epilogue", epilogue::epilogue),
    pass("unsigned", bytes::unsigned),
    pass("fuse_map", fuse_map::fuse_map),
    pass("tables", tables::tables),
    pass("epilogue of fused maps", epilogue::epilogue),
    pass("finish of bytes", bytes::finish),
    pass("siblings", siblings::siblings),
    pass("simplify at the end", simplify::simplify),
    pass("gathers at the end", gathers::gathers),
    pass("cse at the end", cse::cse),
    pass("rounding", rounding::rounding),
];

/// Rounds over all passes at most: what the last pass of one round makes possible, the first of the next does.
const ROUNDS: usize = 4;

/// Runs the passes until they change nothing, or the first `stop_after` of them once.
///
/// # Errors
/// Where a pass fails or breaks the graph, which is a bug of that pass.
pub fn optimize(graph: Graph, stop_after: Option<usize>) -> Result<Graph, Invalid> {
    if let Some(count) = stop_after {
        return round(graph, count);
    }
    let mut graph = bodies(graph)?;
    for _ in 0..ROUNDS {
        let next = round(graph.clone(), PASSES.len())?;
        if next == graph {
            break;
        }
        graph = next;
    }
    Ok(graph)
}

/// What numbers in the place of free extents make possible and changes no bit of a result: views that move nothing any more
/// go, maps over little join those that read them, small products of one row become one, and what is known by now is
/// folded. Everything else stays as it was decided before the numbers were known.
///
/// # Errors
/// As [`optimize`].
pub fn specialise(graph: &Graph) -> Result<Graph, Invalid> {
    let graph = pattern::until_stable(graph, |g| {
        Rewriter::run_in(Builder::keeping_sums(), g, |r, node| {
            // A sum of one element is not always that element: there is a zero of either sign.
            if !node.op.is_view() && !matches!(node.op, Op::Concat(_)) {
                return Ok(None);
            }
            let inputs = r.get_all(&node.inputs)?;
            Ok(views::view(&mut r.b, &node.op, &inputs)?.map(|v| vec![v]))
        })
    })?;
    let graph = siblings::join(Builder::keeping_sums(), &graph)?;
    let graph = fuse_map::join(&graph)?;
    if cfg!(debug_assertions) {
        verify(&graph).map_err(|e| Invalid::new(format!("with fixed extents: {e}")))?;
    }
    Ok(graph)
}

/// A graph whose nodes' own graphs are optimised.
fn bodies(graph: Graph) -> Result<Graph, Invalid> {
    if graph.nodes().iter().all(|n| n.op.bodies().is_empty()) {
        return Ok(graph);
    }
    Rewriter::run(&graph, |r, node| {
        if node.op.bodies().is_empty() {
            return Ok(None);
        }
        let op = node.op.with_bodies(&|body| optimize(body.clone(), None))?;
        let inputs = r.get_all(&node.inputs)?;
        r.b.push(op, &inputs).map(Some)
    })
}

fn round(mut graph: Graph, count: usize) -> Result<Graph, Invalid> {
    for pass in PASSES.iter().take(count) {
        graph = (pass.run)(&graph).map_err(|e| Invalid::new(format!("pass {}: {e}", pass.name)))?;
        if cfg!(debug_assertions) {
            verify(&graph).map_err(|e| Invalid::new(format!("after pass {}: {e}", pass.name)))?;
        }
    }
    Ok(graph)
}
