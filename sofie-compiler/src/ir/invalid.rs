//! Why an operation cannot be applied to its operands. Whoever lowers an ONNX node adds the place.

use std::fmt;

/// An operation that its operands do not fit, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid(String);

impl Invalid {
    /// For the given reason.
    pub fn new(reason: impl Into<String>) -> Invalid {
        Invalid(reason.into())
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Invalid {}
