//! Where tensors live: one aligned block for everything that is computed, one for packed weights, and
//! typed spans into both. What is unsafe about reinterpreting bytes is here and nowhere in the expansion.

mod arena;
mod nested;
mod spans;
mod weights;

pub use arena::Arena;
pub use nested::{LengthError, Nested, flat, flat_mut, from_slice, nested, nested_mut};
pub use spans::{Span, Spans};
pub use weights::{Packed, Weights};
