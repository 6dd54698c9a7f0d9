//! The kernels that a plan can call: the runtime's own descriptors, nothing else.

use super::family::{Kind, Numbers};
use super::region::{If, Loop};
use crate::ir::Attribute;
use sofie_infer_runtime::attention::Attention;
use sofie_infer_runtime::conv::{Conv, ConvPool, ConvTranspose, Separable};
use sofie_infer_runtime::copy::{Copy, Pad};
use sofie_infer_runtime::gather::Gather;
use sofie_infer_runtime::gemm::{BatchedGemm, Gemm};
use sofie_infer_runtime::interpolate::Interpolate;
use sofie_infer_runtime::map::Map;
use sofie_infer_runtime::plain::Plain;
use sofie_infer_runtime::pool::Pool;
use sofie_infer_runtime::recurrent::Recurrent;
use sofie_infer_runtime::reduce::{ArgReduce, Reduce};
use sofie_infer_runtime::rows::Rows;
use sofie_infer_runtime::scatter::Scatter;
use sofie_infer_runtime::topk::TopK;
use std::sync::Arc;

/// A call of a user's own operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Custom {
    /// The operator, `domain::Name`.
    pub operator: Arc<str>,
    /// The node's attributes.
    pub attributes: Vec<(String, Attribute)>,
    /// The extents of the operands.
    pub reads: Vec<Vec<usize>>,
    /// The extents of the results.
    pub writes: Vec<Vec<usize>>,
}

impl Numbers for Custom {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        let Custom { operator: _, attributes: _, reads, writes } = self;
        reads.numbers(f);
        writes.numbers(f);
    }
}

/// Finds an extent: how many elements values decided, of which there is room for so many.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The number; where it is known from elsewhere, what the one that is found must be.
    pub extent: usize,
    /// The most.
    pub room: usize,
}

impl Numbers for Found {
    fn numbers(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
        let Found { extent, room } = self;
        extent.numbers(f);
        room.numbers(f);
    }
}

/// Declares [`Kernel`]: variant, descriptor, the method that runs it, operands as `writes <- reads`.
macro_rules! kernels {
    ($($(#[$doc:meta])* $variant:ident: $descriptor:ident . $method:ident;)*) => {
        /// A kernel with its shape. Operands are listed as `writes ← reads`.
        #[derive(Clone, Debug, PartialEq)]
        #[expect(clippy::large_enum_variant, reason = "a plan has few steps, and each is read in place")]
        pub enum Kernel {
            $($(#[$doc])* $variant($descriptor),)*
        }

        impl Kernel {
            /// The variant's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Kernel::$variant(_) => stringify!($variant),)*
                }
            }

            /// The name of the descriptor's type.
            pub fn descriptor(&self) -> &'static str {
                match self {
                    $(Kernel::$variant(_) => stringify!($descriptor),)*
                }
            }

            /// Whether the last operand that it writes is scratch, of no elements where it needs none.
            pub fn takes_scratch(&self) -> bool {
                matches!(
                    self,
                    Kernel::BatchedGemm(_)
                        | Kernel::Conv(_)
                        | Kernel::ConvPool(_)
                        | Kernel::Separable(_)
                        | Kernel::ConvTranspose(_)
                        | Kernel::Recurrent(_)
                        | Kernel::Attention(_)
                )
            }

            /// Replaces each integer of the descriptor: see [`Numbers`].
            pub fn numbers_of(&mut self, f: &mut dyn FnMut(Kind, i64) -> i64) {
                match self {
                    $(Kernel::$variant(k) => k.numbers(f),)*
                }
            }

            /// The descriptor's method that runs it.
            pub fn method(&self) -> &'static str {
                match self {
                    $(Kernel::$variant(_) => stringify!($method),)*
                }
            }
        }
    };
}

kernels! {
    /// `y ← x`.
    Copy: Copy.run;
    /// `y ← x`.
    Pad: Pad.run;
    /// `y ← x, index`.
    Gather: Gather.run;
    /// `y ← index, updates`, over what `y` holds.
    Scatter: Scatter.run;
    /// `values, indices ← x`.
    TopK: TopK.run;
    /// `c ← a, w, bias?, residual?`.
    Gemm: Gemm.run;
    /// `c, scratch ← a, b`.
    BatchedGemm: BatchedGemm.run;
    /// `y, scratch ← q, k, v, mask?`.
    Attention: Attention.run;
    /// `y, scratch ← x, w, prepared?, bias?, residual?`.
    Conv: Conv.run;
    /// `y, scratch ← x, w, bias?`: a convolution and the pooling behind it.
    ConvPool: ConvPool.run;
    /// `y, scratch ← x, w_before?, bias_before?, w, bias?, w_behind?, bias_behind?, residual?`: a depthwise convolution and
    /// the products around it.
    Separable: Separable.run;
    /// `packed ← w`: weights that are not known before the session runs.
    ConvPack: Conv.pack_into;
    /// `packed ← w`: weights that are not known before the session runs.
    ConvTransposePack: ConvTranspose.pack_into;
    /// `y ← x, w, bias?, residual?`, weights as they are; other types than f32.
    ConvPlain: Conv.run_plain;
    /// `y, scratch ← x, w, bias?, residual?`.
    ConvTranspose: ConvTranspose.run;
    /// `y ← x, w, bias?, residual?`, weights as they are.
    ConvTransposePlain: ConvTranspose.run_plain;
    /// `y ← x`.
    Pool: Pool.run;
    /// `y ← x`, other types than f32.
    PoolPlain: Pool.run_plain;
    /// `y ← x, index, weight`.
    Interpolate: Interpolate.run;
    /// `y ← x, index, weight`, other types than f32.
    InterpolatePlain: Interpolate.run_plain;
    /// `y ← x, index`.
    InterpolateCopy: Interpolate.run_copy;
    /// `y ← x`.
    Reduce: Reduce.run;
    /// `y ← x`.
    ArgReduce: ArgReduce.run;
    /// `y ← slices…`.
    Map: Map.run;
    /// `y, h, c, scratch ← x, w, r, bias, peepholes?, lens?, h0?, c0?`.
    Recurrent: Recurrent.run;
    /// `results…, scratch? ← operands…`, all dense.
    Plain: Plain.run;
    /// `results… ← operands…`, all dense: a function of the user's program.
    Custom: Custom.call;
    /// `← n`: what follows is placed for the extent that is found.
    Found: Found.find;
    /// `results…, block ← condition, operands…`: one of two lists of steps.
    If: If.run;
    /// `states…, rows…, n, go?, block ← trips?, operands…`: a list of steps, over and over, upon the states that are there.
    Loop: Loop.run;
    /// `y ← x, scale?, bias?`.
    Rows: Rows.run;
    /// `y ← scale?, bias?`, over what `y` holds.
    RowsInPlace: Rows.run_in_place;
}
