//! The fields of every descriptor that a plan holds, in one table: what prints descriptors and what compares and
//! changes their numbers are generated from it, so that neither can miss a field.

/// Calls `$each! { path::Name { field, … } … }` with all descriptors, by their paths in the runtime crate.
macro_rules! descriptors {
    ($each:ident) => {
        $each! {
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
            conv::ConvPool { conv, pool }
            conv::Separable { before, depthwise, behind }
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
            gemm::Gemm { m, k, n, lda, ldc, ldr, event, lde, act, init }
            plain::ByteFinish { addend, bias, steps, to, above_least }
            plain::Steps { of, scale, zero }
        }
    };
}

/// Calls `$each! { Name { field, … } … }` with the plain kernels.
macro_rules! plain_kernels {
    ($each:ident) => {
        $each! {
            BitCast { len }
            ByteConv { batch, image, channels, filters, kernel, strides, dilation, pads, result, ldc, finish }
            ByteDepthwise { batch, image, channels, kernel, strides, dilations, pads, result, ldc, finish }
            ByteProduct { rows, k, n, shift, finish }
            ByteTable { len }
            Col2Im { outer, image, kernel, windows, strides, dilations, pads }
            Coupling { rows, classes }
            Decode { len, storage }
            DeformConv {
                batch, channels, image, filters, kernel, result, strides, dilations, pads, group, offset_group, bias, mask,
            }
            Det { matrices, n }
            Dft { outer, extent, n, kept, inner, complex_in, complex_out, half, inverse }
            Encode { len, storage, saturate, round }
            Forest { rows, features, targets, aggregate, missing, wide }
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
    };
}

/// Calls `$each! { path { Variant { field, … }, … } … }` with the enums that descriptors hold, those apart whose
/// variants print as they are called.
macro_rules! choices {
    ($each:ident) => {
        $each! {
            rt::Act {
                None, Relu, LeakyRelu { alpha }, Clip { lo, hi }, Elu { alpha }, Sigmoid, Tanh, Silu, GeluErf, GeluTanh,
                HardSigmoid { alpha, beta }, HardSwish { alpha, beta }, Softplus, Softsign, ThresholdedRelu { alpha }, ScaledTanh { alpha, beta },
                Affine { alpha, beta }, FakeQuantize { scale, zero, to },
            }
            rt::gemm::Init { Bias, C }
            rt::DType { F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, Bool }
            rt::recurrent::Cell { Rnn { f }, Gru { f, g, linear_before_reset }, Lstm { f, g, h, input_forget } }
            rt::map::Source {
                Slice(slice), Out, Position,
                Indexed { slice, index, index_type, index_strides, index_offset, extent, step },
                }
            rt::map::Arg { Reg(i), Input(i), Const(i) }
            rt::map::Code { Copy, Unary(op), Binary(op), MulAdd, Select, Cast(to), Saturate(to), Steps(to), Quantize(to), FakeQuantize(to), LeakyRelu, Elu, Clip }
            rt::conv::Algo { Pointwise, Implicit, Depthwise, Planar, Narrow, Winograd(tile) }
            rt::pool::PoolKind { Max, Average, AverageWithPads }
            rt::reduce::ReduceKind { Sum, Mean, Prod, Max, Min, L1, L2, SumSquare, LogSum, LogSumExp }
            rt::rows::RowKind { Softmax, LogSoftmax, LayerNorm { epsilon }, RmsNorm { epsilon } }
            rt::scatter::Combine { Set, Add, Mul, Max, Min }
            rt::plain::ByteStep { None, Act(act), AddRow, Add(steps) }
            rt::plain::Sampling { Nearest, Linear, Cubic }
            rt::plain::Outside { Zeros, Border, Reflection }
            rt::plain::Aggregate { Sum, Average, Min, Max }
            rt::plain::Test { Leaf, Le, Lt, Ge, Gt, Eq, Ne }
        }
    };
}

/// Calls `$each! { path; … }` with the enums without fields whose variants print as they are called.
macro_rules! names {
    ($each:ident) => {
        $each! {
            rt::map::Unary;
            rt::map::Binary;
            rt::conv::Tile;
            rt::storage::Round;
            rt::storage::Storage;
        }
    };
}

pub(crate) use {choices, descriptors, names, plain_kernels};
