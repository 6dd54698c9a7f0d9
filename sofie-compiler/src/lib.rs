//! The compiler behind `sofie_model!`: a trained network's bytes become a graph, an optimised graph, a
//! memory plan, and Rust tokens. A library of its own, so that build scripts and tools can call it.

pub mod error;
pub mod instance;
pub mod ir;
pub mod onnx;
pub mod ops;
pub mod passes;
pub mod plan;

mod compile;
mod emit;
mod expand;

pub use compile::{Compiled, Options, compile, compile_model};
pub use emit::{WeightsBlock, WeightsIn, WeightsLayout, layout as weights_layout, module_name, refused};
pub use expand::{Extent, Request, expand, module};
pub use sofie_infer_runtime::DType;
