//! The lowering that is there for a node, or why there is none and what to do instead.

use super::{OPERATORS, Operator, custom};
use crate::error::{Error, Result};
use crate::onnx::Node;

/// The operator of a node in the version that the model imports.
pub(super) fn find(node: &Node) -> Result<&'static Operator> {
    if let Some(operator) = Operator::find(&node.domain, &node.op_type, node.version) {
        return Ok(operator);
    }
    let versions = OPERATORS.iter().filter(|o| o.domain == node.domain && o.name == node.op_type);
    let (since, until) = versions.fold((i64::MAX, 0), |(s, u), o| (s.min(o.since), u.max(o.until)));
    let error = match until {
        0 => Error::new("the operator is not supported"),
        i64::MAX => Error::new(format!(
            "the operator exists since opset {since}, but the model imports {}",
            node.version
        )),
        _ => Error::new(format!(
            "the operator exists in opsets {since} to {until}, but the model imports {}",
            node.version
        )),
    };
    Err(match (until, node.domain.as_str()) {
        (0, "com.microsoft.nchwc") => {
            error.help("ONNX Runtime wrote this operator while optimising; use the model from before")
        }
        (0, "com.microsoft") => error.help(format!(
            "where ONNX Runtime's optimiser wrote it, use the model from before; else export without it, or compute it in a \
             function of your own: op({:?} = path::to::function)",
            custom::name_of(node)
        )),
        (0, "") => {
            error.help("export the model with simpler operators, or fold it with onnxsim if it is constant")
        }
        (0, _) => error.help(format!(
            "compute it in a function of your own: op({:?} = path::to::function)",
            custom::name_of(node)
        )),
        _ => error.help("export the model with another opset version"),
    })
}
