//! Random layers: products, convolutions, windows, row programs, recurrent cells, attention.

use super::{Fact, Gen, NUMEL};
use crate::ir::{
    Attention, Cell, Conv, ConvTranspose, Epilogue, Masking, Op, Pool, PoolKind, Recurrent, RowKind, Shape,
    Tensor, ValueId, Window,
};
use sofie_infer_runtime::{Act, DType};

pub(super) fn step(g: &mut Gen) -> Option<()> {
    match g.below(10) {
        0 | 1 => matmul(g),
        2 => conv(g),
        3 => conv_transpose(g),
        4 => pool(g),
        5 => interpolate(g),
        6 | 7 => rows(g),
        8 => recurrent(g),
        _ => attention(g),
    }
}

fn act(g: &mut Gen) -> Act {
    if g.flip() {
        return Act::None;
    }
    g.choose(&[
        Act::Relu,
        Act::LeakyRelu { alpha: 0.25 },
        Act::Clip { lo: -1.0, hi: 6.0 },
        Act::Elu { alpha: 1.5 },
        Act::Sigmoid,
        Act::Tanh,
        Act::Silu,
        Act::GeluErf,
        Act::GeluTanh,
        Act::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Act::HardSwish { alpha: 0.2, beta: 0.5 },
        Act::Softplus,
        Act::Softsign,
        Act::ScaledTanh { alpha: 1.5, beta: 0.5 },
        Act::Affine { alpha: 0.5, beta: 1.0 },
    ])
}

/// Adds the node with an epilogue: bias of extents `bias`, residual of extents `dims`.
fn with_epilogue(
    g: &mut Gen,
    op: impl FnOnce(Epilogue) -> Op,
    mut inputs: Vec<ValueId>,
    bias: &[usize],
    dims: &[usize],
    terms: usize,
) -> Option<()> {
    let t = g.b.dtype(inputs[0]);
    let mut size = terms as f64 * g.fact(inputs[0]).size * g.fact(inputs[1]).size;
    if t.is_float() && size > 1e4 || dims.iter().product::<usize>() > NUMEL {
        return None;
    }
    let float = t.is_float();
    let e = Epilogue { bias: g.flip(), residual: g.rarely(3), act: if float { act(g) } else { Act::None } };
    for (there, dims) in [(e.bias, bias), (e.residual, dims)] {
        if there {
            // A residual may be one row for all.
            let row = dims.len() > 1 && g.rarely(3);
            let v = if row {
                let mut one = vec![1; dims.len()];
                one[dims.len() - 1] = dims[dims.len() - 1];
                g.of(t, &one)
            } else {
                g.of(t, dims)
            };
            size += g.fact(v).size;
            if row {
                let Fact { exact, size } = g.fact(v);
                let all = g.push(Op::Broadcast(Shape::of(dims)), &[v]);
                inputs.extend(all.into_iter().map(|v| g.know(v, exact, size)));
            } else {
                inputs.push(v);
            }
        }
    }
    g.rounded(op(e), &inputs, size)
}

fn matmul(g: &mut Gen) -> Option<()> {
    let ints = g.rarely(6);
    let a = if ints { g.leaf_of(DType::I32, &[2, 3]) } else { g.float(2..=4) };
    let (t, dims) = (g.b.dtype(a), g.dims_of(a));
    let (lead, [m, k]) = (dims[..dims.len() - 2].to_vec(), [dims[dims.len() - 2], dims[dims.len() - 1]]);
    let n = g.extent();
    let shared = g.flip();
    let batches: Vec<usize> = lead.iter().map(|d| if shared { 1 } else { *d }).collect();
    let b = g.of(t, &[&batches[..], &[k, n]].concat());
    let y = [&lead[..], &[m, n]].concat();
    let mut bias = vec![1; if g.flip() { 0 } else { y.len() - 1 }];
    bias.push(n);
    with_epilogue(g, Op::MatMul, vec![a, b], &bias, &y, k)
}

/// A window over the spatial extents `from`, and how many there are along each; none where it does not fit.
fn window(g: &mut Gen, from: &[usize]) -> Option<(Window, Vec<usize>)> {
    let mut w = Window {
        kernel: Vec::new(),
        strides: Vec::new(),
        dilations: Vec::new(),
        pads_begin: Vec::new(),
        pads_end: Vec::new(),
    };
    let mut to = Vec::new();
    for n in from {
        let (k, s, d) = (1 + g.below(3), 1 + g.below(2), g.choose(&[1, 1, 2]));
        let pads = [g.below(k), g.below(k)];
        to.push((n + pads[0] + pads[1]).checked_sub((k - 1) * d + 1)? / s + 1);
        w.kernel.push(k);
        w.strides.push(s);
        w.dilations.push(d);
        w.pads_begin.push(pads[0]);
        w.pads_end.push(pads[1]);
    }
    Some((w, to))
}

/// A divisor of the channels: 1, all of them, or another.
fn group(g: &mut Gen, channels: usize) -> usize {
    let divisors: Vec<usize> = (1..=channels.max(1)).filter(|d| channels.is_multiple_of(*d)).collect();
    if g.flip() { 1 } else { g.choose(&divisors) }
}

fn conv(g: &mut Gen) -> Option<()> {
    let x = g.float(3..=5);
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    let (spatial, c) = (&dims[1..dims.len() - 1], dims[dims.len() - 1]);
    let (window, to) = window(g, spatial)?;
    let group = group(g, c);
    let m = group * g.choose(&[1, 2, 3]);
    let w = g.of(t, &[&window.kernel[..], &[c / group, m]].concat());
    let y = [&dims[..1], &to[..], &[m]].concat();
    let terms = window.kernel.iter().product::<usize>() * (c / group);
    let op = Conv::new(window, group);
    with_epilogue(g, |e| Op::Conv(op, e), vec![x, w], &[m], &y, terms)
}

fn conv_transpose(g: &mut Gen) -> Option<()> {
    let x = g.float(3..=5);
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    let (spatial, c) = (&dims[1..dims.len() - 1], dims[dims.len() - 1]);
    let (window, _) = window(g, spatial)?;
    let output_padding: Vec<usize> = spatial.iter().map(|_| usize::from(g.rarely(3))).collect();
    let mut y = vec![dims[0]];
    for (i, n) in spatial.iter().enumerate() {
        let reach = (window.kernel[i] - 1) * window.dilations[i] + 1 + output_padding[i];
        let full = n.checked_sub(1)? * window.strides[i] + reach;
        y.push(full.checked_sub(window.pads_begin[i] + window.pads_end[i]).filter(|n| *n > 0)?);
    }
    let group = group(g, c);
    let per_group = 1 + g.below(3);
    y.push(group * per_group);
    let w = g.of(t, &[&window.kernel[..], &[c, per_group]].concat());
    let terms = window.kernel.iter().product::<usize>() * (c / group);
    let op = ConvTranspose { window, group, output_padding };
    with_epilogue(g, |e| Op::ConvTranspose(op, e), vec![x, w], &[group * per_group], &y, terms)
}

fn pool(g: &mut Gen) -> Option<()> {
    let x = g.float(3..=5);
    let (dims, size) = (g.dims_of(x), g.fact(x).size);
    let (window, mut to) = window(g, &dims[1..dims.len() - 1])?;
    // One window more, that ends behind everything, as ceil_mode has it.
    let more = usize::from(g.rarely(3));
    let overhang: Vec<usize> = window.strides.iter().map(|s| s * more).collect();
    to.iter_mut().for_each(|n| *n += more);
    let kind = g.choose(&[PoolKind::Max, PoolKind::Average, PoolKind::AverageWithPads]);
    (to.iter().product::<usize>() * dims[0] * dims[dims.len() - 1] <= NUMEL).then_some(())?;
    // A window may lie in pads alone.
    let inside =
        (0..to.len()).all(|i| window.pads_begin[i] + window.pads_end[i] == 0 && window.dilations[i] == 1);
    let inside = inside && more == 0;
    let op = Op::Pool(Pool { kind, window, overhang });
    g.rounded(op, &[x], if inside { size } else { f64::INFINITY })
}

fn interpolate(g: &mut Gen) -> Option<()> {
    let x = g.float(1..=5);
    let (dims, size) = (g.dims_of(x), g.fact(x).size);
    let axis = g.below(dims.len());
    let n = dims[axis];
    let extent = if n == 0 { 0 } else { g.extent() };
    let taps = g.choose(&[1, 2, 3]);
    (dims.iter().product::<usize>() / n.max(1) * extent <= NUMEL).then_some(())?;
    let index: Vec<u32> = (0..extent * taps).map(|_| g.below(n) as u32).collect();
    let weight: Vec<f32> = (0..extent * taps).map(|_| g.below(5) as f32 / 4.0).collect();
    let mut operands = vec![x, g.b.tensor(Tensor::of(&[extent, taps], &index))];
    if taps > 1 || g.rarely(2) {
        operands.push(g.b.tensor(Tensor::of(&[extent, taps], &weight)));
    }
    let size = if g.tame(x) { size * taps as f64 } else { return None };
    for y in g.push(Op::Interpolate(axis), &operands) {
        g.know(y, false, size);
    }
    Some(())
}

fn rows(g: &mut Gen) -> Option<()> {
    let x = g.float(1..=5);
    let (t, n) = (g.b.dtype(x), *g.dims_of(x).last()?);
    let (scale, bias) = (g.flip(), g.flip());
    // Not so small that nearly equal elements would be told apart by their rounding.
    let epsilon = g.choose(&[0.5, 1.0, 0.25]);
    let kind = match g.below(4) {
        0 => RowKind::Softmax,
        1 => RowKind::LogSoftmax,
        2 => RowKind::LayerNorm { epsilon, scale, bias },
        _ => RowKind::RmsNorm { epsilon, scale },
    };
    let operands = match kind {
        RowKind::Softmax | RowKind::LogSoftmax => 0,
        RowKind::LayerNorm { .. } => usize::from(scale) + usize::from(bias),
        RowKind::RmsNorm { .. } => usize::from(scale),
    };
    let mut inputs = vec![x];
    for _ in 0..operands {
        inputs.push(g.of(t, &[n]));
    }
    let size = match kind {
        RowKind::Softmax => 1.0,
        RowKind::LogSoftmax => 2.0 * g.fact(x).size + 10.0,
        _ => 4.0 * inputs[1..].iter().map(|v| g.fact(*v).size).fold(1.0, f64::max) + 4.0,
    };
    g.rounded(Op::Rows(kind), &inputs, size)
}

fn recurrent(g: &mut Gen) -> Option<()> {
    let x = g.float(3..=3);
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    let (steps, batch, inputs, hidden) = (dims[0], dims[1], dims[2], 1 + g.below(4));
    let (f, h) = (g.choose(&[Act::Sigmoid, Act::Tanh]), g.choose(&[Act::Tanh, Act::Sigmoid]));
    let cell = match g.below(3) {
        0 => Cell::Rnn { f },
        1 => Cell::Gru { f, g: h, linear_before_reset: g.flip() },
        _ => Cell::Lstm { f, g: h, h, input_forget: g.flip() },
    };
    let lstm = matches!(cell, Cell::Lstm { .. });
    let op = Recurrent {
        cell,
        reverse: g.flip(),
        clip: if g.rarely(4) { Some(1.5) } else { None },
        lens: g.rarely(3),
        h0: g.flip(),
        c0: lstm && g.flip(),
        peepholes: lstm && g.rarely(3),
    };
    let rows = cell.gates() * hidden;
    let mut operands = vec![x, g.of(t, &[rows, inputs]), g.of(t, &[rows, hidden]), g.of(t, &[2 * rows])];
    if op.lens {
        let lens: Vec<i32> = (0..batch).map(|_| g.below(steps + 1) as i32).collect();
        let v = g.b.tensor(Tensor::of(&[batch], &lens));
        operands.push(g.know(v, true, 20.0));
    }
    for (there, dims) in
        [(op.h0, vec![batch, hidden]), (op.c0, vec![batch, hidden]), (op.peepholes, vec![3 * hidden])]
    {
        if there {
            operands.push(g.of(t, &dims));
        }
    }
    // A state moves by at most 1 a step.
    let size = operands[4..].iter().map(|v| g.fact(*v).size).fold(1.0, f64::max) + steps as f64;
    g.rounded(Op::Recurrent(op), &operands, size)
}

fn attention(g: &mut Gen) -> Option<()> {
    let t = g.choose(&[DType::F32, DType::F32, DType::F64, DType::F16]);
    let [batch, groups, queries, keys] = [1 + g.below(2), 1 + g.below(2), g.extent(), 1 + g.below(5)];
    let (heads, depth, width) = (groups * (1 + g.below(2)), 1 + g.below(4), 1 + g.below(4));
    let q = g.of(t, &[batch, heads, queries, depth]);
    let k = g.of(t, &[batch, groups, keys, depth]);
    let v = g.of(t, &[batch, groups, keys, width]);
    let size = g.fact(v).size;
    let mask = if !g.rarely(3) {
        None
    } else if g.flip() {
        Some(Masking::Add)
    } else {
        Some(Masking::Replace)
    };
    let op = Attention { scale: 0.25, mask, causal: keys >= queries && g.flip(), guarded: g.rarely(4) };
    let mut inputs = vec![q, k, v];
    if op.mask.is_some() {
        let dims = [batch, heads, queries, keys].map(|n| if g.flip() { 1 } else { n });
        inputs.push(g.of(DType::F32, &dims));
    }
    // Steep scores tell nearly equal keys apart by their rounding.
    let score = depth as f64 * g.fact(q).size * g.fact(k).size * 0.25;
    if score > 100.0 { None } else { g.rounded(Op::Attention(op), &inputs, size) }
}
