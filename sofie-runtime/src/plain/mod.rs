//! Kernels of rare operators: plain loops over dense, row-major tensors, each in a file of its own.
//!
//! A [`Plain`] is a descriptor like any other, but all are run alike, over slices whose element types are data. So an
//! algorithm is one file here and its line in the index below; the compiler's evaluator, plans and expansions know
//! them all. What is computed in floats is computed in `f64` and rounded once, unless a file says otherwise.

#[macro_use]
mod number;
mod bytes;

use crate::map::{Dst, Src};

pub use byte_depthwise::byte_depthwise_tables;
pub use byte_product::byte_tables;
pub use bytes::{ByteFinish, ByteStep, Steps};
pub use forest::{Asked, ForestTables, forest_tables};
pub use grid_sample::{Outside, Sampling};
pub use trees::{Aggregate, MISSING_HOLDS, Test};

/// What every descriptor of this module can do.
pub trait Algorithm {
    /// Writes the results, in order, from the operands; scratch is the last of `ys` where it is needed.
    ///
    /// # Panics
    /// When an operand has another type or length than the descriptor says, or an index is out of its range.
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]);

    /// The `f64`s of scratch that it needs: at least one, however small the operands, where it is given scratch at all.
    fn scratch(&self) -> usize {
        0
    }
}

macro_rules! index {
    ($($(#[$doc:meta])* $module:ident: $name:ident;)*) => {
        $(mod $module;)*
        $(pub use $module::$name;)*

        /// One of the algorithms.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Plain {
            $($(#[$doc])* $name($name),)*
        }

        $(
            impl From<$name> for Plain {
                fn from(x: $name) -> Plain {
                    Plain::$name(x)
                }
            }
        )*

        impl Plain {
            /// The algorithm's name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Plain::$name(_) => stringify!($name),)*
                }
            }

            /// The descriptor as what it can do.
            pub fn algorithm(&self) -> &dyn Algorithm {
                match self {
                    $(Plain::$name(k) => k,)*
                }
            }
        }
    };
}

index! {
    /// `y ← x`: the bits of another type of the same size.
    bit_cast: BitCast;
    /// `c ← x, zero, w, sums`: a convolution of bytes.
    byte_conv: ByteConv;
    /// `c ← x, zero, w, sums`: a depthwise convolution of bytes.
    byte_depthwise: ByteDepthwise;
    /// `c ← a, zero, w, sums`: a product of bytes.
    byte_product: ByteProduct;
    /// `y ← x, table`: a function of a byte.
    byte_table: ByteTable;
    /// `y ← x`: windows added up where they stand.
    col2im: Col2Im;
    /// `y ← x`: probabilities of classes from those of pairs.
    coupling: Coupling;
    /// `y ← x`: bytes that stand for floats as f32.
    decode: Decode;
    /// `y ← x, w, offset, bias?, mask?`.
    deform_conv: DeformConv;
    /// `y ← x`: determinants of matrices.
    det: Det;
    /// `y ← x`: a discrete Fourier transform.
    dft: Dft;
    /// `y ← x`: numbers as bytes that stand for floats.
    encode: Encode;
    /// `scores ← x`: decision trees that ask how numbers compare.
    forest: Forest;
    /// `y ← x, grid`.
    grid_sample: GridSample;
    /// `y ← x`: inverses of matrices.
    inverse: Inverse;
    /// `y, state ← q, k, v, past?, decay?, beta?`.
    linear_attention: LinearAttention;
    /// `index, count ← x`: where elements are not zero.
    positions: Positions;
    /// `y, index ← x`: the largest of windows, and where it is.
    pool_max: PoolMax;
    /// `c ← a, b`: matrices of any type but f32.
    product: Product;
    /// `y, h, c ← x, w, r, bias, lens?, h0?, c0?, peepholes?`.
    recurrent: RecurrentPlain;
    /// `y ← x, rois, batch`.
    roi_align: RoiAlign;
    /// `y ← x, rois`.
    roi_pool: RoiPool;
    /// `y ← x`: a running sum or product.
    scan: Scan;
    /// `selected, count ← boxes, scores, most, overlap, score`.
    suppression: Suppression;
    /// `y ← x`: counts of n-grams.
    tf_idf: TfIdf;
    /// `scores, leaves? ← x`: decision trees.
    trees: Trees;
    /// `indices, inverse, counts, count ← x`.
    unique: Unique;
}
