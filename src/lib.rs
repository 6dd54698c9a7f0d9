//! Turns a trained ONNX network into a typed, allocation-free `Session` while your crate compiles.
//!
//! ```
//! sofie_infer::sofie_model!("assets/particlenet.onnx");
//!
//! let mut session = particlenet::Session::new();
//! println!("{} bytes of memory, {} of weights", particlenet::ARENA_BYTES, particlenet::WEIGHT_BYTES);
//! # let inputs = session.inputs();
//! # inputs.run();
//! ```
//!
//! [`sofie_model!`] reads the model, optimises its graph, plans all memory and packs the weights; what is left
//! in your program is a module with the network's steps. Shapes are Rust array types, so a wrong shape does not
//! compile; nothing is allocated after `Session::new`; the module contains no `unsafe`.

#![cfg_attr(not(feature = "std"), no_std)]

pub use sofie_infer_runtime as rt;

pub use sofie_infer_runtime::{LengthError, from_slice};

#[cfg(feature = "ndarray")]
mod array;
#[cfg(feature = "ndarray")]
pub use array::{ArrayError, from_array};

#[cfg(feature = "npz")]
pub use sofie_infer_runtime::npz;
#[cfg(feature = "npz")]
pub mod reference;

#[doc(hidden)]
pub mod __private {
    pub use sofie_infer_macros::sofie_model_impl;
}

/// Compiles a trained network into a module with a typed `Session`.
///
/// The short form names the module after the file: `sofie_model!("models/tagger.onnx")` gives `pub mod tagger`.
/// The long form takes documentation, attributes, visibility and a name:
///
/// ```
/// sofie_infer::sofie_model! {
///     /// Tells top jets from the rest.
///     pub(crate) mod tagger = "assets/particlenet.onnx"
/// }
/// # tagger::Session::new();
/// ```
///
/// Paths are relative to the manifest of the calling crate. Options follow the path:
///
/// - `dims(batch = 1, "unk__12" = 64)` fixes symbolic dimensions; `dims(batch = ..=64, tracks = 1..=400)` leaves them to
///   each run, within bounds;
/// - `op("com.acme::DeltaR"([n, c]) -> [n, n] = crate::delta_r)` computes an operator of that name in a function of the
///   calling program; without a rule for shapes, `op("com.acme::DeltaR" = crate::delta_r)`, the file declares them;
/// - `test = "reference.npz"` adds a `#[test]` that runs the session on the inputs stored there and compares
///   with the outputs stored there (feature `npz`, in your dev-dependencies);
/// - `weights = external` leaves the weights out of the program; `Session::load` reads them from a file that
///   `sofie weights` wrote (feature `safetensors`);
/// - `print = "timing"` prints how long the expansion took.
///
/// The module holds
///
/// - `Session`, with `new`, `infer(&input, …) -> Outputs` and `inputs() -> Inputs`, which is filled in place and
///   consumed by `Inputs::run`; `infer_many(&inputs, …, &mut outputs, …)` runs many events, on many cores with the feature
///   `threads`;
/// - `Outputs` and `Inputs`, with one field a tensor, named after it;
/// - with free dimensions `Dims`, and then `infer` takes slices of arrays (a free first dimension) or `rt::View`s, and
///   returns a `Result`;
/// - `ARENA_BYTES`, `WEIGHT_BYTES` and what else is known of the network's size, `INPUTS` and `OUTPUTS`.
#[macro_export]
macro_rules! sofie_model {
    ($($call:tt)*) => {
        $crate::__private::sofie_model_impl! { $crate $($call)* }
    };
}
