//! Kernels, packing and memory of `sofie-infer`: what a compiled network calls while it runs.
//!
//! Everything hot is monomorphic inside this crate, so that one profile line optimises it in a
//! user's debug build. Kernels are plain-data descriptors: the compiler's memory plan holds them, the
//! expansion prints them as constants, and tests run them in process.
#![cfg_attr(not(any(feature = "std", test)), no_std)]

mod act;
mod element;
pub mod map;
mod math;
pub mod simd;

pub use act::Act;
pub use element::{DType, Element, bf16, f16};
