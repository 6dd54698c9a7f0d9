//! Plan → tokens: the module that a person would have written, with a typed session, its documentation,
//! one statement a step, and no `unsafe`.

mod dynamic;
mod extents;
mod literal;
mod module;
mod names;
mod skeleton;
mod steps;
mod types;

pub use dynamic::dynamic;
pub use module::{Context, module};
pub use names::module_name;
pub use skeleton::skeleton;
