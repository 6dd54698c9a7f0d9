//! The core operations: one meaning each. `x`, `w`, … name the operands in order; `[…]` are shapes.

use super::{Branches, Dim, Invalid, MapExpr, Repeat, Shape, Tensor};
use sofie_infer_runtime::Act;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::conv;
use sofie_infer_runtime::map::Scalar;
use sofie_infer_runtime::plain;
use std::sync::Arc;

/// A core operation. Operands and results are listed in order; a `?` marks one that may be missing,
/// said by a flag of the operation, never by an empty name.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `→ y`: values known while compiling.
    Const(Tensor),
    /// `x… → y`: an elementwise expression; operands have the rank of `y`, each extent that of `y` or 1.
    Map(MapExpr),
    /// `x → y`: over the axes (sorted), which stay with extent 1.
    Reduce(ReduceKind, Vec<usize>),
    /// `x → y` (i64): the position of the largest or smallest element along an axis, which stays with extent 1.
    ArgReduce {
        /// Largest rather than smallest.
        max: bool,
        /// The axis.
        axis: usize,
        /// The last of equals rather than the first.
        last: bool,
    },
    /// `x → y`: running sum or product along an axis.
    Scan {
        /// Product rather than sum.
        product: bool,
        /// The axis.
        axis: usize,
        /// Element i holds what stands before i.
        exclusive: bool,
        /// From the end.
        reverse: bool,
    },
    /// `a [B…, m, k], b [B…, k, n], bias? [1…, n], residual? [B…, m, n] → y [B…, m, n]`: rank at least 2 and
    /// equal; batch extents of `a` and `b` equal or 1. `act(a·b + bias + residual)`.
    MatMul(Epilogue),
    /// `x [N, S…, C], w [K…, C/g, M], bias? [M], residual? [N, O…, M] → y [N, O…, M]`.
    Conv(Conv, Epilogue),
    /// `x [N, S…, C], w [K…, C, M/g], bias? [M] → y [N, O…, M]`: the transpose of a convolution.
    ConvTranspose(ConvTranspose, Epilogue),
    /// `x [N, S…, C] → y [N, O…, C]`: over windows.
    Pool(Pool),
    /// `x, index [m, taps] (u32), weight? [m, taps] (f32) → y [… m …]`: resampling along an axis, `y[… j …] = Σ_t
    /// weight[j, t] · x[… index[j, t] …]`, for nearest, linear, cubic and antialiased resizing alike. Each index is below the
    /// extent of `x`. The sum is a chain of fused multiply-adds in the order of t; one tap without a weight copies.
    Interpolate(usize),
    /// `x → y`: the same elements in row-major order under another shape. A view.
    Reshape(Shape),
    /// `x → y`: axis i of `y` is axis `perm[i]` of `x`. A view.
    Transpose(Vec<usize>),
    /// `x → y`: along axis i the elements `start + j * step` for `j < extent`; a negative step walks
    /// backwards from `start`. A view.
    Slice {
        /// First index, per axis.
        start: Vec<Dim>,
        /// Step, per axis, not 0.
        step: Vec<i64>,
        /// The result's shape.
        shape: Shape,
    },
    /// `x → y`: numpy's `broadcast_to` at equal rank. A view.
    Broadcast(Shape),
    /// `x [P…, n, Q…] → y [P…, count, len, Q…]`: overlapping windows, `y[… i, j …] = x[… i + j …]`, all of them inside `x`. A
    /// view.
    Windows {
        /// The axis of `x` that they move along.
        axis: usize,
        /// How many there are.
        count: Dim,
        /// Elements of each.
        len: Dim,
    },
    /// `x, n (i64, rank 0) → y`: the first `n` elements along an axis. The first such node with an extent gives it its
    /// value, for all that follows; where a later one finds another number, the run fails. A view.
    Cut {
        /// The axis.
        axis: usize,
        /// What `n` is called in shapes: a symbol.
        extent: Dim,
    },
    /// `x… → y`: one behind the other along an axis.
    Concat(usize),
    /// `x → y`: a border of one value.
    Pad {
        /// Elements added before, per axis.
        before: Vec<Dim>,
        /// Elements added behind, per axis.
        after: Vec<Dim>,
        /// What the border holds.
        value: Scalar,
    },
    /// `x [B…, P…, n, Q…], index [B…, I…] → y [B…, P…, I…, Q…]`: whole slices at `axis`; the first `batch`
    /// axes go together. A negative index counts from the end; one outside is a panic of the session.
    Gather {
        /// The axis of `x` that is indexed, not below `batch`.
        axis: usize,
        /// The number of leading axes that `x` and `index` share.
        batch: usize,
    },
    /// `x, index → y [index's shape]`: one element per index along an axis.
    GatherElements(usize),
    /// `x [B…, D…, Q…], index [B…, I…, d] → y [B…, I…, Q…]`: index tuples of length d.
    GatherNd {
        /// The number of leading axes that go together.
        batch: usize,
    },
    /// `x, index, updates [index's shape] → y [x's shape]`: ONNX `ScatterElements`.
    ScatterElements(usize, ScatterKind),
    /// `x, index [I…, d], updates [I…, Q…] → y [x's shape]`: ONNX `ScatterND`.
    ScatterNd(ScatterKind),
    /// `x [P…, n] → values [P…, k], indices [P…, k] (i64)`: along the last axis; of equals the lower index first.
    TopK {
        /// How many.
        k: Dim,
        /// Largest rather than smallest first.
        largest: bool,
    },
    /// `x [P…, n], scale? [n], bias? [n] → y`: a program over each row of the last axis.
    Rows(RowKind),
    /// `x [T, B, I], w [G·H, I], r [G·H, H], bias [2·G·H], lens? [B] (i32), h0? [B, H], c0? [B, H], p? [3·H] →
    /// y [T, B, H], yh [B, H], yc [B, H] (LSTM alone)`: one direction of ONNX's RNN, GRU or LSTM.
    Recurrent(Recurrent),
    /// `q [B, H, L, D], k [B, G, S, D], v [B, G, S, E], mask? [b, h, L, S] → y [B, H, L, E]`:
    /// `softmax(scale · q·kᵀ + mask) · v`, H a multiple of G; a mask may also replace scores.
    Attention(Attention),
    /// One of the runtime's plain kernels, over dense operands.
    Plain(Box<Plain>),
    /// A function of the user's own program: known there, not here.
    Custom(Box<Custom>),
    /// `condition (bool, rank 0), x… → y…`: one of two graphs over `x…`.
    If(Box<Branches>),
    /// `trips? (i64, rank 0), go? (bool, rank 0), state…, x… → state…, rows… [most, …], n (i64, rank 0)`: a graph, over
    /// and over: `min(trips, most)` times, or until it says no. `n` says how often; rows from there on mean nothing.
    Loop(Box<Repeat>),
}

/// A call of a user's own operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Custom {
    /// The operator, `domain::Name`.
    pub operator: Arc<str>,
    /// The node's attributes.
    pub attributes: Vec<(String, Attribute)>,
    /// Types and shapes of the results.
    pub results: Vec<(DType, Shape)>,
}

/// What a node says to a user's own operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A number.
    Float(f32),
    /// A text.
    String(String),
    /// Integers.
    Ints(Vec<i64>),
    /// Numbers.
    Floats(Vec<f32>),
    /// Texts.
    Strings(Vec<String>),
}

/// An algorithm that no other operation expresses: a descriptor of the runtime, and what it gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    /// The descriptor, which says what the operands are.
    pub kernel: plain::Plain,
    /// Types and shapes of the results.
    pub results: Vec<(DType, Shape)>,
    /// Those numbers of the descriptor that follow symbols, in the order of [`Plain::over`]; the descriptor has them once
    /// they are known. Without them all extents are fixed.
    pub free: Vec<Dim>,
}

impl Plain {
    /// What a descriptor has of an extent, and what of it is [free](Plain::free): 0 until it is known.
    ///
    /// # Errors
    /// Where it is below 0.
    pub fn extent(n: &Dim) -> Result<(usize, Vec<Dim>), Invalid> {
        match n.fixed() {
            Some(n) => {
                let n = usize::try_from(n).map_err(|_| Invalid::new("a negative extent"))?;
                Ok((n, Vec::new()))
            }
            None => Ok((0, vec![n.clone()])),
        }
    }

    /// The algorithm with the numbers that follow symbols, and its results then.
    pub fn over(&self, free: &[usize], results: Vec<(DType, Shape)>) -> Plain {
        let mut known = Plain { results, free: Vec::new(), ..self.clone() };
        match (&mut known.kernel, free) {
            (plain::Plain::Trees(trees), &[rows]) => trees.rows = rows,
            (plain::Plain::Forest(forest), &[rows]) => forest.rows = rows,
            (plain::Plain::ByteProduct(product), &[rows]) => product.rows = rows,
            (plain::Plain::ByteTable(table), &[len]) => table.len = len,
            (plain::Plain::RoiAlign(align), &[rois]) => align.rois = rois,
            (plain::Plain::RoiPool(pool), &[rois]) => pool.rois = rois,
            (plain::Plain::Positions(found), &[len, capacity]) => {
                (found.len, found.capacity) = (len, capacity)
            }
            (plain::Plain::Suppression(kept), &[boxes, capacity]) => {
                (kept.boxes, kept.capacity) = (boxes, capacity);
            }
            (plain::Plain::Unique(unique), &[outer, n, inner, capacity]) => {
                (unique.outer, unique.n, unique.inner, unique.capacity) = (outer, n, inner, capacity);
            }
            // No other algorithm is lowered over symbolic extents (`Ctx::plain_free`).
            _ => {}
        }
        known
    }
}

/// How a reduction combines elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReduceKind {
    /// Sum.
    Sum,
    /// Sum divided by the number of elements.
    Mean,
    /// Product.
    Prod,
    /// Largest; NaN wins. Of bools: or.
    Max,
    /// Smallest; NaN wins. Of bools: and.
    Min,
    /// Sum of absolute values.
    L1,
    /// Square root of the sum of squares.
    L2,
    /// Sum of squares.
    SumSquare,
    /// Logarithm of the sum.
    LogSum,
    /// Logarithm of the sum of exponentials, without overflow.
    LogSumExp,
}

/// What follows a product before it is stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epilogue {
    /// A bias operand is there.
    pub bias: bool,
    /// A residual operand is there.
    pub residual: bool,
    /// The activation.
    pub act: Act,
}

impl Epilogue {
    /// Nothing but the product.
    pub const NONE: Epilogue = Epilogue { bias: false, residual: false, act: Act::None };
    /// A bias alone.
    pub const BIAS: Epilogue = Epilogue { bias: true, ..Epilogue::NONE };
}

/// A window that moves over spatial axes. All lists have one entry a spatial axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extents of the window.
    pub kernel: Vec<usize>,
    /// Steps between windows, at least 1.
    pub strides: Vec<usize>,
    /// Steps between elements of a window, at least 1.
    pub dilations: Vec<usize>,
    /// Elements added before each axis.
    pub pads_begin: Vec<usize>,
    /// Elements added behind each axis.
    pub pads_end: Vec<usize>,
}

/// A convolution; groups divide C and M.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// The window; `kernel` repeats the weights' extents.
    pub window: Window,
    /// Groups of channels that do not see each other.
    pub group: usize,
    /// How its sums round.
    pub rounding: Rounding,
}

impl Conv {
    /// A convolution whose extents decide how it rounds.
    pub fn new(window: Window, group: usize) -> Conv {
        Conv { window, group, rounding: Rounding::ByExtents }
    }
}

/// Which algorithms may compute a convolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// What the extents of the image ask for, which are numbers.
    #[default]
    ByExtents,
    /// A direct sum, or one in Winograd's tiles: decided while an extent was free, for whatever it becomes.
    By(Option<conv::Tile>),
}

/// A transposed convolution; `pads` are cut from the result.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose {
    /// The window; `kernel` repeats the weights' extents.
    pub window: Window,
    /// Groups of channels that do not see each other.
    pub group: usize,
    /// Rows of zeros (plus bias) added behind the result, per spatial axis.
    pub output_padding: Vec<usize>,
}

/// How a window becomes one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// Largest element inside the tensor; NaN wins.
    Max,
    /// Mean over the elements inside the tensor.
    Average,
    /// Mean over the elements inside the tensor and its pads (`count_include_pad`), not beyond them.
    AverageWithPads,
}

/// Pooling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// What becomes of a window.
    pub kind: PoolKind,
    /// The window.
    pub window: Window,
    /// Extra elements behind each axis that windows may cover (`ceil_mode`) but that never count.
    pub overhang: Vec<usize>,
}

/// How updates meet what is there. Repeated indices apply in row-major order of the updates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScatterKind {
    /// Replace.
    Set,
    /// Add.
    Add,
    /// Multiply.
    Mul,
    /// Keep the larger; NaN wins.
    Max,
    /// Keep the smaller; NaN wins.
    Min,
}

/// A program over rows, computed in `f32` (`f64` for `f64`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowKind {
    /// `e^(x - max) / Σ`.
    Softmax,
    /// `x - max - log Σ e^(x - max)`.
    LogSoftmax,
    /// `(x - mean) / sqrt(var + eps) · scale + bias`.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
        /// A scale operand is there.
        scale: bool,
        /// A bias operand is there.
        bias: bool,
    },
    /// `x / sqrt(mean(x²) + eps) · scale`.
    RmsNorm {
        /// Added to the mean square.
        epsilon: f32,
        /// A scale operand is there.
        scale: bool,
    },
}

/// A recurrent cell; gates in ONNX's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// `h = f(x·Wᵀ + h·Rᵀ + b)`.
    Rnn {
        /// f.
        f: Act,
    },
    /// Gates z, r, h.
    Gru {
        /// Of z and r.
        f: Act,
        /// Of h.
        g: Act,
        /// The recurrent product of the hidden gate is made before the reset gate applies.
        linear_before_reset: bool,
    },
    /// Gates i, o, f, c.
    Lstm {
        /// Of i, o and f.
        f: Act,
        /// Of c.
        g: Act,
        /// Of the cell state on its way out.
        h: Act,
        /// The input and forget gates are coupled: `f = 1 - i`.
        input_forget: bool,
    },
}

impl Cell {
    /// The number of gates.
    pub fn gates(&self) -> usize {
        match self {
            Cell::Rnn { .. } => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm { .. } => 4,
        }
    }
}

/// One direction of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recurrent {
    /// The cell.
    pub cell: Cell,
    /// Time runs backwards (each sequence within its own length).
    pub reverse: bool,
    /// Gate inputs are clipped to ± this.
    pub clip: Option<f32>,
    /// The operand `lens` is there.
    pub lens: bool,
    /// The operand `h0` is there.
    pub h0: bool,
    /// The operand `c0` is there (LSTM).
    pub c0: bool,
    /// The operand `p` is there (LSTM peepholes, gates i, o, f).
    pub peepholes: bool,
}

/// Scaled dot-product attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Factor of the products before the mask.
    pub scale: f32,
    /// How the operand `mask` (f32) meets the scaled products, if it is there.
    pub mask: Option<Masking>,
    /// Query i sees keys up to `i + S - L` alone.
    pub causal: bool,
    /// A query whose softmax is NaN (it sees no key) gives zeros.
    pub guarded: bool,
}

/// What a mask does to the scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Masking {
    /// It is added.
    Add,
    /// Where it is not 0, it stands in place of the score.
    Replace,
}

impl Op {
    /// The name that printed graphs show.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Const(_) => "const",
            Op::Map(_) => "map",
            Op::Reduce(..) => "reduce",
            Op::ArgReduce { .. } => "arg_reduce",
            Op::Scan { .. } => "scan",
            Op::MatMul(_) => "matmul",
            Op::Conv(..) => "conv",
            Op::ConvTranspose(..) => "conv_transpose",
            Op::Pool(_) => "pool",
            Op::Interpolate(_) => "interpolate",
            Op::Reshape(_) => "reshape",
            Op::Transpose(_) => "transpose",
            Op::Slice { .. } => "slice",
            Op::Broadcast(_) => "broadcast",
            Op::Windows { .. } => "windows",
            Op::Cut { .. } => "cut",
            Op::Concat(_) => "concat",
            Op::Pad { .. } => "pad",
            Op::Gather { .. } => "gather",
            Op::GatherElements(_) => "gather_elements",
            Op::GatherNd { .. } => "gather_nd",
            Op::ScatterElements(..) => "scatter_elements",
            Op::ScatterNd(_) => "scatter_nd",
            Op::TopK { .. } => "top_k",
            Op::Rows(_) => "rows",
            Op::Recurrent(_) => "recurrent",
            Op::Attention(_) => "attention",
            Op::Plain(p) => p.kernel.name(),
            Op::Custom(_) => "custom",
            Op::If(_) => "if",
            Op::Loop(_) => "loop",
        }
    }

    /// Whether each element of the result is one of an operand's, or a function of one element of each.
    pub fn moves_or_maps(&self) -> bool {
        let picks = matches!(
            self,
            Op::Concat(_) | Op::Pad { .. } | Op::Gather { .. } | Op::GatherElements(_) | Op::GatherNd { .. }
        );
        picks
            || self.is_view()
            || matches!(self, Op::Map(_) | Op::Reduce(ReduceKind::Max | ReduceKind::Min, _))
    }

    /// Whether the result is the operand's elements seen through an affine index map.
    pub fn is_view(&self) -> bool {
        matches!(
            self,
            Op::Reshape(_) | Op::Transpose(_) | Op::Slice { .. } | Op::Broadcast(_) | Op::Windows { .. }
        )
    }
}
