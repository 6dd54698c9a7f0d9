//! Kernels, packing and memory of `sofie-infer`: what a compiled network calls while it runs.
//!
//! Everything hot is monomorphic inside this crate, so that one profile line optimises it in a
//! user's debug build. Kernels are plain-data descriptors: the compiler's memory plan holds them, the
//! expansion prints them as constants, and tests run them in process.
#![cfg_attr(not(any(feature = "std", test)), no_std)]

extern crate alloc;

pub mod act;
pub mod attention;
mod attributes;
pub mod conv;
pub mod copy;
mod element;
mod extent;
pub mod gather;
pub mod gemm;
pub mod interpolate;
pub mod layout;
pub mod map;
pub mod math;
mod memory;
#[cfg(feature = "npz")]
pub mod npz;
pub mod parallel;
pub mod plain;
pub mod pool;
#[cfg(feature = "profile")]
pub mod profile;
mod quantise;
#[cfg(test)]
mod random;
pub mod recurrent;
pub mod reduce;
pub mod rows;
pub mod scatter;
mod session;
pub mod simd;
pub mod storage;
pub mod topk;
#[cfg(feature = "safetensors")]
pub mod weights_file;

pub use act::Act;
pub use alloc::borrow::Cow;
pub use alloc::sync::Arc;
pub use attributes::{Attribute, Attributes};
pub use element::{DType, Element, bf16, f16};
pub use extent::{ExtentError, agree, at_least, compact, counted, extent, found, part};
pub use map::pad;
pub use memory::{
    Arena, Cutter, LengthError, NOTHING, Nested, Packed, Span, Spans, View, ViewMut, Weights, bool_bytes,
    bools, bools_mut, flat, flat_mut, flat_rows, from_slice, nested, nested_mut, span, view, view_mut,
};
pub use memory::{rows as nested_rows, rows_mut as nested_rows_mut};
pub use session::{DynSession, ShapeError, TensorInfo};
pub use storage::Storage;
