//! The graph that everything between the front end and the memory plan works on.
//!
//! # The contract
//! - A [`Graph`] is in SSA form: each [`ValueId`] is written by one node or is an input, nodes stand in
//!   topological order, and every value has a [`DType`](sofie_infer_runtime::DType) and a [`Shape`].
//! - An [`Op`] has one meaning: no versions, no optional attributes, nothing that changes the rank.
//!   Ranks are equalised while lowering: operands of a `Map` have the rank of its result.
//! - Convolution, pooling and interpolation are channels-last: `[N, spatial…, C]`.
//! - Reductions keep their axes as extent 1; a reshape drops them.
//! - Views (reshape, transpose, slice, broadcast) describe where elements are; nothing is moved until an
//!   operation needs it.
//! - `f32` sums of products are chains of fused multiply-adds in the order of k; other `f32` sums run
//!   over 16 lanes combined in a fixed tree; `f16` and `bf16` are stored as such and computed in `f32`.
//!
//! Shapes come from [`infer`], which is the only place that knows them; [`Builder`] calls it and folds
//! constants with the reference evaluator, [`verify`] calls it again after each pass.

mod at;
mod builder;
mod dim;
mod divide;
mod ends;
mod graph;
mod infer;
mod invalid;
mod map;
mod op;
mod print;
mod range;
mod region;
mod shape;
mod tensor;
mod verify;

pub mod eval;
pub mod integral;
#[cfg(feature = "test-support")]
pub mod random;

pub use at::{Extents, Valuation, dims_at, shown as shown_extents};
pub use builder::Builder;
pub use dim::{Atom, Dim, Monomial, Symbol};
pub use graph::{
    CHECK, Found, Graph, Node, NodeId, Port, Rewriter, ValueId, ValueInfo, extent_of, extent_port,
};
pub use infer::infer;
pub use invalid::Invalid;
pub use map::{Inst, MapExpr, Reg};
pub use op::{
    Attention, Attribute, Cell, Conv, ConvTranspose, Custom, Epilogue, Masking, Op, Plain, Pool, PoolKind,
    Recurrent, ReduceKind, Rounding, RowKind, ScatterKind, Window,
};
pub use region::{Branches, Repeat};
pub use shape::{Shape, axis_in};
pub use tensor::{Tensor, Value};
pub use verify::verify;
