//! Every model of `assets/` through the real macro: what one compilation of them all can show.
//!
//! One binary for all concerns, since the models take longer to compile than to run.
#![deny(warnings)]

mod agreement;
mod allocations;
mod counting;
mod levels;
mod models;
