//! What the zoo tool links into the program that it generates for each model.
//!
//! The program is one `sofie_model!` and a call of [`main`]; the tool runs it with `check` or `bench` and reads lines of
//! fields with tabs between them from its standard output.

use std::process::ExitCode;

use sofie_infer_runtime::DynSession;
use sofie_infer_runtime::npz::Array;

#[cfg(feature = "peers")]
mod bench;
mod check;
mod inputs;
#[cfg(feature = "peers")]
mod peers;
mod protocol;

pub use inputs::Inputs;
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

/// What the program's `infer` is to the harness: it prepares one call of [`Inputs`], then hands it to the last argument.
///
/// A function, not a trait, since the number of a session's inputs differs from model to model.
pub type Infer<S> = fn(&mut S, &Inputs, &mut dyn FnMut(&mut dyn FnMut()));

/// Runs the command that the arguments name; says on standard error what is wrong with them.
#[cfg_attr(not(feature = "peers"), expect(unused_variables, reason = "only bench times the session"))]
pub fn main<S: DynSession>(sizes: Sizes, new: fn() -> S, infer: Infer<S>) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.split_first() {
        Some((command, rest)) if command == "check" => check::run(new, rest),
        #[cfg(feature = "peers")]
        Some((command, rest)) if command == "bench" => bench::run(sizes, new, infer, rest),
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

/// Copies the inputs into the session's memory.
fn fill<S: DynSession>(session: &mut S, inputs: &[Array]) {
    for (i, array) in inputs.iter().enumerate() {
        session.input_bytes(i).copy_from_slice(&array.bytes);
    }
}
