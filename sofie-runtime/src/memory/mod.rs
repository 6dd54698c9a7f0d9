//! Where tensors live: one aligned block for everything that is computed, one for packed weights, and
//! typed spans into both. What is unsafe about reinterpreting bytes is here and nowhere in the expansion.

mod arena;
mod bools;
mod nested;
mod spans;
mod view;
mod weights;

pub use arena::{Arena, Cutter};
pub use bools::{bool_bytes, bools, bools_mut};
pub use nested::{
    LengthError, Nested, flat, flat_mut, flat_rows, from_slice, nested, nested_mut, rows, rows_mut,
};
pub use spans::{NOTHING, Span, Spans, span};
pub use view::{View, ViewMut, view, view_mut};
pub use weights::{Packed, Weights};
