//! Elementwise maps: one scalar expression over broadcast operands.

mod cast;
mod num;
mod op;
mod scalar;

#[cfg(test)]
mod scalar_tests;

pub use cast::cast;
pub use op::{Binary, Scalar, Unary};
pub use scalar::{binary, binary_slice, cast_slice, unary, unary_slice};
