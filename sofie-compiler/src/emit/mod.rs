//! Plan → tokens: the module that a person would have written, with a typed session, its documentation,
//! one statement a step, and no `unsafe`.

mod construct;
mod counted;
mod dynamic;
mod extents;
mod extras;
mod literal;
mod many;
mod module;
mod names;
mod profile;
mod refused;
mod steps;
mod types;
mod weights;

pub use dynamic::dynamic;
pub use module::{Context, module};
pub use names::module_name;
pub use refused::refused;
pub use weights::{WeightsBlock, WeightsIn, WeightsLayout, layout};
