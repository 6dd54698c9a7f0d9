//! The operators of `com.microsoft` that ONNX Runtime's optimiser and quantiser write into files, and some that exporters do:
//! one file a family, each operator in the terms of the lowerings of ONNX's own. Beware of `Ctx::version`, which is 1 for all
//! of them.

pub(super) mod activation;
pub(super) mod attention;
mod cached;
pub(super) mod crop;
pub(super) mod distance;
pub(super) mod moving;
pub(super) mod norm;
pub(super) mod packed;
pub(super) mod products;
pub(super) mod qlinear;
pub(super) mod quantized;
pub(super) mod recurrent;
pub(super) mod rotary;

pub(super) use cached::group_query;

use super::Ctx;
use crate::error::{Error, Result};

/// The error of what is not supported inside an operator.
fn refused(what: impl Into<String>) -> Error {
    Error::new(what).help(
        "where ONNX Runtime's optimiser wrote it, use the model from before, or another of its settings",
    )
}

/// Refuses operand `i`, called `what` in the operator's text, where it is there.
fn without(c: &Ctx<'_, '_>, i: usize, what: &str) -> Result<()> {
    match c.node.input(i) {
        Some(_) => Err(refused(format!("{what} is not supported")).at_tensor(c.tensor_name(i))),
        None => Ok(()),
    }
}
