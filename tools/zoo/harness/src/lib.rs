//! What the zoo tool links into the program that it generates for each model.
//!
//! The program is one `sofie_model!` and a call of [`main`]; the tool runs it with `check` or `bench` and reads lines of
//! fields with tabs between them from its standard output.

use std::path::Path;
use std::process::ExitCode;

use sofie_infer::npz::{Array, Npz};
use sofie_infer::rt::{DynSession, TensorInfo};

#[cfg(feature = "peers")]
mod bench;
mod check;
#[cfg(feature = "peers")]
mod peers;
mod protocol;

pub use protocol::{Built, Case, Outcome, Timing};

/// The constants of a model's module, all in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// `ARENA_BYTES`.
    pub arena: usize,
    /// `ARENA_BOUND_BYTES`.
    pub bound: usize,
    /// `SCRATCH_BYTES`.
    pub scratch: usize,
    /// `WEIGHT_BYTES`.
    pub weights: usize,
}

/// Runs the command that the arguments name; says on standard error what is wrong with them.
#[cfg_attr(not(feature = "peers"), expect(unused_variables, reason = "only bench prints the sizes"))]
pub fn main<S: DynSession>(sizes: Sizes, new: impl Fn() -> S) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((command, rest)) if command == "check" => check::run(new, rest),
        #[cfg(feature = "peers")]
        Some((command, rest)) if command == "bench" => bench::run(sizes, new, rest),
        _ => Err("usage: check ... or bench ..., as the zoo tool calls it".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// The case's inputs in the model's order; `None` when they have other shapes than it was compiled for.
fn inputs(model: &[TensorInfo], case: &Path) -> Result<Option<Vec<Array>>, String> {
    let npz = Npz::open(case.join("inputs.npz")).map_err(|e| e.to_string())?;
    let mut arrays = Vec::with_capacity(model.len());
    for info in model {
        let array = npz.array(info.name).map_err(|e| e.to_string())?;
        if array.dtype != info.dtype {
            return Err(format!(
                "{}: input `{}` is {}, the model's is {}",
                case.display(),
                info.name,
                array.dtype,
                info.dtype
            ));
        }
        if array.shape != info.shape {
            return Ok(None);
        }
        arrays.push(array);
    }
    Ok(Some(arrays))
}

/// Copies the inputs into the session's memory.
fn fill<S: DynSession>(session: &mut S, inputs: &[Array]) {
    for (i, array) in inputs.iter().enumerate() {
        session.input_bytes(i).copy_from_slice(&array.bytes);
    }
}
