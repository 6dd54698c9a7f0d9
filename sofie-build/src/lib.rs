//! `sofie_model!` for build scripts: the same module, written to `OUT_DIR` as formatted code with its weights beside it.
//!
//! For projects that want to read or keep the generated code, and for models whose weights are too large for a literal:
//! rustc takes five times as long to read one as to include a file.
//!
//! ```no_run
//! // In the `main` of build.rs:
//! sofie_infer_build::compile("models/tagger.onnx");
//! ```
//!
//! ```ignore
//! // src/lib.rs: `pub mod tagger`
//! include!(concat!(env!("OUT_DIR"), "/tagger.rs"));
//! ```
//!
//! [`Model`] takes the options that the macro has.

mod model;
mod script;
pub mod weights;

pub use model::{Model, Output};
pub use script::compile;
pub use sofie_infer_compiler::error::{Error, Errors};
