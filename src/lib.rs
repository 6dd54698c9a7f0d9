//! The facade.

pub use sofie_infer_runtime as rt;

#[cfg(feature = "npz")]
pub mod npz;
