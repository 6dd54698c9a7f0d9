//! Kernel descriptors as Rust source: each field by name, so that a person can read what a step does.

use proc_macro2::{Literal as Lit, TokenStream};
use quote::{format_ident, quote};
use sofie_infer_runtime as rt;

/// A value that can be written as a constant expression; `rt` names the runtime there.
pub trait Literal {
    /// The expression.
    fn literal(&self) -> TokenStream;
}

impl Literal for usize {
    fn literal(&self) -> TokenStream {
        Lit::usize_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for isize {
    fn literal(&self) -> TokenStream {
        // A negative literal panics when it meets other tokens.
        let n = Lit::usize_unsuffixed(self.unsigned_abs());
        if *self < 0 { quote!(-#n) } else { quote!(#n) }
    }
}

impl Literal for i64 {
    fn literal(&self) -> TokenStream {
        // A negative literal panics when it meets other tokens; the lowest has no positive counterpart.
        let n = Lit::u64_unsuffixed(self.unsigned_abs());
        if *self == i64::MIN {
            quote!(i64::MIN)
        } else if *self < 0 {
            quote!(-#n)
        } else {
            quote!(#n)
        }
    }
}

impl Literal for u64 {
    fn literal(&self) -> TokenStream {
        Lit::u64_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for u32 {
    fn literal(&self) -> TokenStream {
        Lit::u32_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for u8 {
    fn literal(&self) -> TokenStream {
        Lit::u8_unsuffixed(*self).into_token_stream()
    }
}

impl Literal for bool {
    fn literal(&self) -> TokenStream {
        quote!(#self)
    }
}

impl Literal for f32 {
    fn literal(&self) -> TokenStream {
        if !self.is_finite() {
            let bits = Lit::u32_unsuffixed(self.to_bits());
            return quote!(f32::from_bits(#bits));
        }
        let n = Lit::f32_unsuffixed(self.abs());
        if self.is_sign_negative() { quote!(-#n) } else { quote!(#n) }
    }
}

/// Equal elements at an array's end from which on they are left to `pad`.
const FILLING: usize = 3;

impl<T: Literal + PartialEq, const N: usize> Literal for [T; N] {
    fn literal(&self) -> TokenStream {
        let Some(last) = self.last() else { return quote!([]) };
        let head = &self[..self.len() - self.iter().rev().take_while(|x| *x == last).count()];
        if N - head.len() <= FILLING {
            return self.as_slice().literal();
        }
        let (head, fill) = (head.literal(), last.literal());
        quote!(rt::pad(#head, #fill))
    }
}

impl<T: Literal> Literal for [T] {
    fn literal(&self) -> TokenStream {
        let items = self.iter().map(Literal::literal);
        quote!([#(#items),*])
    }
}

impl<T: Literal + Clone> Literal for rt::Cow<'static, [T]> {
    fn literal(&self) -> TokenStream {
        let items = self.as_ref().literal();
        quote!(rt::Cow::Borrowed(&#items))
    }
}

impl<T: Literal> Literal for Option<T> {
    fn literal(&self) -> TokenStream {
        match self.as_ref().map(Literal::literal) {
            Some(x) => quote!(Some(#x)),
            None => quote!(None),
        }
    }
}

use quote::ToTokens;

impl Literal for crate::ir::Attribute {
    fn literal(&self) -> TokenStream {
        use crate::ir::Attribute as A;
        match self {
            A::Int(n) => {
                let n = n.literal();
                quote!(rt::Attribute::Int(#n))
            }
            A::Float(x) => {
                let x = x.literal();
                quote!(rt::Attribute::Float(#x))
            }
            A::String(s) => quote!(rt::Attribute::String(#s)),
            A::Ints(ns) => {
                let ns = ns[..].literal();
                quote!(rt::Attribute::Ints(&#ns))
            }
            A::Floats(xs) => {
                let xs = xs[..].literal();
                quote!(rt::Attribute::Floats(&#xs))
            }
            A::Strings(all) => quote!(rt::Attribute::Strings(&[#(#all),*])),
        }
    }
}

/// What a user's own function is given beside tensors.
impl Literal for crate::plan::Custom {
    fn literal(&self) -> TokenStream {
        let attributes = self.attributes.iter().map(|(name, a)| {
            let a = a.literal();
            quote!((#name, #a))
        });
        quote!(rt::Attributes::new(&[#(#attributes),*]))
    }
}

/// Structs by their fields: `path::Name { field, … }` relative to the runtime crate.
macro_rules! structs {
    ($($($path:ident)::+ { $($field:ident),* $(,)? })*) => {$(
        impl Literal for rt::$($path)::+ {
            fn literal(&self) -> TokenStream {
                let rt::$($path)::+ { $($field),* } = self;
                $(let $field = $field.literal();)*
                quote!(rt::$($path)::+ { $($field: #$field),* })
            }
        }
    )*};
}

/// An enum by its variants, with named fields or none.
macro_rules! variants {
    ($path:path { $($variant:ident $(($one:ident))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl Literal for $path {
            fn literal(&self) -> TokenStream {
                type E = $path;
                match self {
                    $(E::$variant $(($one))? $({ $($field),* })? => {
                        $(let $one = $one.literal();)?
                        $($(let $field = $field.literal();)*)?
                        quote!($path::$variant $((#$one))? $({ $($field: #$field),* })?)
                    })*
                }
            }
        }
    };
}

variants!(rt::Act {
    None, Relu, LeakyRelu { alpha }, Clip { lo, hi }, Elu { alpha }, Sigmoid, Tanh, Silu, GeluErf, GeluTanh,
    HardSigmoid { alpha, beta }, Softplus, Softsign, ThresholdedRelu { alpha }, ScaledTanh { alpha, beta },
    Affine { alpha, beta },
});
variants!(rt::gemm::Init { Bias, C });
variants!(rt::DType { F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, Bool });
variants!(rt::recurrent::Cell { Rnn { f }, Gru { f, g, linear_before_reset }, Lstm { f, g, h, input_forget } });
variants!(rt::map::Source {
    Slice(slice), Out, Position,
    Indexed { slice, index, index_type, index_strides, index_offset, extent, step },
});
variants!(rt::map::Arg { Reg(i), Input(i), Const(i) });
variants!(rt::map::Code { Copy, Unary(op), Binary(op), MulAdd, Select, Cast(to) });
variants!(rt::conv::Algo { Pointwise, Implicit, Depthwise, Planar, Winograd(tile) });
variants!(rt::pool::PoolKind { Max, Average, AverageWithPads });
variants!(rt::reduce::ReduceKind { Sum, Mean, Prod, Max, Min, L1, L2, SumSquare, LogSum, LogSumExp });
variants!(rt::rows::RowKind { Softmax, LogSoftmax, LayerNorm { epsilon }, RmsNorm { epsilon } });
variants!(rt::scatter::Combine { Set, Add, Mul, Max, Min });

variants!(rt::plain::Sampling { Nearest, Linear, Cubic });
variants!(rt::plain::Outside { Zeros, Border, Reflection });
variants!(rt::plain::Aggregate { Sum, Average, Min, Max });
variants!(rt::plain::Test { Leaf, Le, Lt, Ge, Gt, Eq, Ne });

/// A plain kernel is written as its own descriptor.
macro_rules! plain {
    ($($name:ident { $($field:ident),* $(,)? })*) => {
        structs! { $(plain::$name { $($field),* })* }

        impl Literal for rt::plain::Plain {
            fn literal(&self) -> TokenStream {
                match self {
                    $(rt::plain::Plain::$name(k) => k.literal(),)*
                }
            }
        }
    };
}

plain! {
    BitCast { len }
    Col2Im { outer, image, kernel, windows, strides, dilations, pads }
    Coupling { rows, classes }
    Decode { len, storage }
    DeformConv {
        batch, channels, image, filters, kernel, result, strides, dilations, pads, group, offset_group, bias, mask,
    }
    Det { matrices, n }
    Dft { outer, extent, n, kept, inner, complex_in, complex_out, half, inverse }
    Encode { len, storage, saturate, round }
    Forest { rows, features, targets, aggregate, test }
    GridSample { batch, channels, axes, image, points, sampling, outside, align_corners }
    Inverse { matrices, n }
    LinearAttention {
        batch, steps, heads, groups, keys, values, scale, past, decay, decay_by_key, beta, beta_shared,
    }
    Positions { len, capacity }
    PoolMax { outer, image, kernel, windows, strides, dilations, pads, column_major }
    Product { batch, a_batch, b_batch, m, k, n, a_row, a_column, b_row, b_column }
    RecurrentPlain { cell, steps, batch, input, hidden, reverse, clip, lens, h0, c0, peepholes }
    RoiAlign { rois, batch, channels, image, result, sampling, scale, half_pixel, max }
    RoiPool { rois, batch, channels, image, result, scale }
    Scan { product, exclusive, reverse, outer, n, inner }
    Suppression { batch, classes, boxes, capacity, centres, threshold }
    TfIdf { rows, extent, columns, pool, grams, skips }
    Unique { outer, n, inner, sorted, capacity }
    Trees { rows, features, targets, aggregate }
}

/// Enums without fields whose variants print as they are called.
macro_rules! plain_variants {
    ($($path:path;)*) => {$(
        impl Literal for $path {
            fn literal(&self) -> TokenStream {
                let variant = format_ident!("{}", format!("{self:?}"));
                quote!($path::#variant)
            }
        }
    )*};
}

plain_variants! {
    rt::map::Unary;
    rt::map::Binary;
    rt::conv::Tile;
    rt::storage::Round;
    rt::storage::Storage;
}

impl Literal for rt::map::Inst {
    fn literal(&self) -> TokenStream {
        let (code, dtype, dst) = (self.code.literal(), self.dtype.literal(), self.dst.literal());
        let args = self.args[..self.code.arity()].literal();
        quote!(rt::map::Inst::new(#code, #dtype, #dst, #args))
    }
}

impl Literal for rt::map::Scalar {
    fn literal(&self) -> TokenStream {
        if self.dtype == rt::DType::F32 {
            let value = f32::from_bits(self.bits as u32).literal();
            return quote!(rt::map::Scalar::f32(#value));
        }
        let (dtype, bits) = (self.dtype.literal(), self.bits.literal());
        quote!(rt::map::Scalar { dtype: #dtype, bits: #bits })
    }
}

impl Literal for rt::map::MapProgram {
    fn literal(&self) -> TokenStream {
        let (insts, consts, inputs) =
            (self.insts().literal(), self.consts().literal(), self.inputs().literal());
        quote!(rt::map::MapProgram::of(&#insts, &#consts, &#inputs))
    }
}

impl Literal for rt::map::Map {
    fn literal(&self) -> TokenStream {
        let spec = self.spec();
        let operands = spec.operands.iter().map(|o| operand(o, spec.rank));
        let (dims, strides) = (spec.dims[..spec.rank].literal(), spec.out_strides[..spec.rank].literal());
        let (offset, program) = (spec.out_offset.literal(), spec.program.literal());
        quote!(rt::map::Map::of(#dims, #strides, #offset, &[#(#operands),*], #program))
    }
}

/// An operand of a map over `rank` axes.
fn operand(o: &rt::map::Operand, rank: usize) -> TokenStream {
    let offset = o.offset.literal();
    if let rt::map::Source::Slice(slice) = &o.source {
        let (slice, strides) = (slice.literal(), o.strides[..rank].literal());
        return quote!(rt::map::Operand::slice(#slice, #strides, #offset));
    }
    let (source, strides) = (o.source.literal(), o.strides.literal());
    quote!(rt::map::Operand { source: #source, strides: #strides, offset: #offset })
}

structs! {
    attention::Attention {
        batch, heads, groups, queries, keys, depth, width, scale, causal, guarded, q, k, v, mask, replace, y,
    }
    recurrent::Recurrent {
        cell, steps, batch, input, hidden, reverse, clip, x_step, x_row, y_step, y_row,
    }
    gemm::BatchedGemm {
        batch, batch_rank, a_batch, b_batch, c_batch, m, k, n, a_row, a_column, b_row, b_column, c_row, alpha, act,
    }
    conv::Conv { batch, window, c, m, group, ldx, ldy, ldr, act, algo }
    conv::ConvTranspose { batch, window, c, m, group, ldx, ldy, ldr, act, algo }
    conv::Window { x, y, kernel, strides, dilations, pads_begin }
    interpolate::Interpolate { outer, x, y, inner, taps }
    pool::Pool { kind, batch, window, pads_end, c, ldx, ldy }
    reduce::ArgReduce { largest, last, rank, dims, x, y, x_offset, y_offset, n, step }
    reduce::Reduce { kind, rank, dims, x, y, x_offset, y_offset, folded, folded_dims, folded_x }
    rows::Rows { kind, rows, n, ldx, ldy }
    copy::Copy { rank, dims, src, src_offset, dst, dst_offset }
    copy::Pad { copy, len, value }
    gather::Gather { at }
    gather::Indexed {
        rank, dims, walk, walk_offset, data, data_offset, index, index_offset, tuple, tuple_step, extents, steps,
    }
    scatter::Scatter { at, combine }
    topk::TopK { rows, n, k, ldx, largest }
    gemm::Gemm { m, k, n, lda, ldc, ldr, act, init }
}
