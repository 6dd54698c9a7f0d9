//! The passes, in order: each rewrites a graph into one that means the same and runs faster.
//! Every pass is idempotent and checked by the verifier in debug builds.

use crate::ir::{Graph, Invalid, verify};

/// A rewrite with its name.
pub struct Pass {
    /// What printed dumps and `stop_after` call it.
    pub name: &'static str,
    /// The rewrite.
    pub run: fn(&Graph) -> Result<Graph, Invalid>,
}

/// All passes, in the order in which they run.
pub const PASSES: &[Pass] = &[];

/// Runs the passes, all or the first `stop_after`.
///
/// # Errors
/// Where a pass fails or breaks the graph, which is a bug of that pass.
pub fn optimize(mut graph: Graph, stop_after: Option<usize>) -> Result<Graph, Invalid> {
    for pass in PASSES.iter().take(stop_after.unwrap_or(usize::MAX)) {
        graph = (pass.run)(&graph).map_err(|e| Invalid::new(format!("pass {}: {e}", pass.name)))?;
        if cfg!(debug_assertions) {
            verify(&graph).map_err(|e| Invalid::new(format!("after pass {}: {e}", pass.name)))?;
        }
    }
    Ok(graph)
}
