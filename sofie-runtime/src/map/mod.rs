//! Elementwise maps: one scalar expression over broadcast operands.

mod op;

pub use op::{Binary, Scalar, Unary};
