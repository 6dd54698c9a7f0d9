//! A model as its user sees it: [`run`](super::run), less the outputs that the compiler added.

use super::super::{CHECK, Graph, Invalid, Tensor, extent_of};
use super::run;

/// What a run says whose operands disagree with the shapes that the model declares.
pub const DISAGREES: &str =
    "an operand disagrees with the shapes that the model declares, or a loop does not end";

/// The model's own outputs, cut to the extents that were found at run time.
///
/// # Errors
/// As [`run`], and where an operand disagrees with the shapes that the model declares.
pub fn run_model(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, Invalid> {
    let mut results = run(graph, inputs)?;
    for (i, port) in graph.outputs().iter().enumerate() {
        if let Some((output, axis)) = extent_of(&port.name) {
            let n = results[i].to_ints().and_then(|n| n.first().copied()).unwrap_or(0);
            results[output] = results[output].cut(axis, n.max(0) as usize);
        } else if port.name == CHECK && results[i].get(0).bits == 0 {
            return Err(Invalid::new(DISAGREES));
        }
    }
    let own = |name: &str| name != CHECK && extent_of(name).is_none();
    let mut names = graph.outputs().iter().map(|port| own(&port.name));
    results.retain(|_| names.next().unwrap_or(false));
    Ok(results)
}
