//! The facade.

#[cfg(feature = "npz")]
pub mod npz;
