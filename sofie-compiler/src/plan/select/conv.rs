//! Convolutions, pooling and resampling over channels-last images. A pixel may lie in a wider row (a slice of a
//! concat), so only the channels need be contiguous.

use super::super::Operand;
use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::Planner;
use super::matmul::extras;
use super::{is_own_rows, is_rows, rows_of};
use crate::ir::{self, Epilogue, Invalid, Node, Op, Rounding, ValueId, integral};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::conv::{Algo, Conv, ConvPool, ConvTranspose, Window};
use sofie_infer_runtime::interpolate::Interpolate;
use sofie_infer_runtime::pool::{Pool, PoolKind};
use std::collections::HashMap;

/// The spatial extents of `[N, S…, C]`.
fn spatial(dims: &[usize]) -> Result<&[usize], Invalid> {
    dims.get(1..dims.len().saturating_sub(1)).ok_or_else(|| Invalid::new("an image without channels"))
}

/// The runtime's window of up to three spatial axes.
fn window(p: &Planner<'_>, x: ValueId, y: ValueId, w: &ir::Window) -> Result<Window, Invalid> {
    let (x, y) = (spatial(p.dims(x))?, spatial(p.dims(y))?);
    if x.len() > 3 {
        return Err(Invalid::new(format!("a window over {} spatial axes; up to 3 are supported", x.len())));
    }
    Ok(Window::new(x, y, &w.kernel, &w.strides, &w.dilations, &w.pads_begin))
}

/// The operands and the result of a convolution.
fn operands(node: &Node) -> Result<[ValueId; 3], Invalid> {
    match (&node.inputs[..], &node.outputs[..]) {
        ([x, w, ..], [y]) => Ok([*x, *w, *y]),
        _ => Err(Invalid::new("a convolution of two values")),
    }
}

/// A convolution over dense tensors.
pub(super) fn convolution(p: &Planner<'_>, node: &Node, c: &ir::Conv, e: &Epilogue) -> Result<Conv, Invalid> {
    let [x, w, y] = operands(node)?;
    let window = window(p, x, y, &c.window)?;
    let (batch, channels) = ends(p.dims(x))?;
    let (_, m) = ends(p.dims(y))?;
    let fast = p.graph.dtype(x) == DType::F32;
    let tile = match c.rounding {
        Rounding::ByExtents => Conv::tile(window, channels, m, c.group),
        Rounding::By(tile) => tile,
    };
    // Winograd's weights are transformed ahead of time, and what is exact stays so.
    let whole = |v: ValueId| fast && integral::of_value(p.graph, v).is_some_and(|w| w.scale == 1.0);
    let tile = tile.filter(|_| p.constant(w).is_some() && !(whole(x) && whole(w)));
    let mut kernel = Conv { act: e.act, ..Conv::direct(batch, window, channels, m, c.group) };
    if let Some(tile) = tile {
        kernel.algo = Algo::Winograd(tile);
    }
    Ok(kernel)
}

/// Convolutions that are computed together with the pooling that alone reads them: by their results, where the pooling
/// stands.
pub fn pooled(p: &Planner<'_>) -> HashMap<ValueId, usize> {
    let users = p.graph.users();
    let pooled = |node: &Node| {
        let Op::Conv(c, e) = &node.op else { return None };
        let [x, _, y] = operands(node).ok()?;
        let [user] = users[y.index()][..] else { return None };
        let Node { op: Op::Pool(pool), outputs, .. } = &p.graph.nodes()[user.index()] else { return None };
        let z = *outputs.first()?;
        let alone = p.uses(y) == 1 && !e.residual && !p.is_beside(x, z);
        let fast = p.graph.dtype(x) == DType::F32;
        let kernel = ConvPool::new(
            convolution(p, node, c, e).ok().filter(|_| alone && fast)?,
            pooling(p, y, z, pool).ok()?,
        );
        kernel.map(|_| (y, user.index()))
    };
    p.graph.nodes().iter().filter_map(pooled).collect()
}

/// Plans a convolution, and the pooling behind it where they are one.
pub fn conv(p: &mut Planner<'_>, node: &Node, c: &ir::Conv, e: &Epilogue) -> Result<(), Invalid> {
    let [x, w, y] = operands(node)?;
    let mut kernel = convolution(p, node, c, e)?;
    let (read, xl) = p.fitting(x, is_own_rows)?;
    (_, kernel.ldx) = rows_of(&xl)?;
    if let Some(pool) = p.pooled(y) {
        return conv_pool(p, [node, pool], kernel, e, read);
    }
    let fast = p.graph.dtype(x) == DType::F32;
    let (bias, residual) = extras(node, e);
    let bias = bias.map(|v| p.dense(v)).transpose()?;
    let residual =
        residual.map(|v| p.fitting(v, |l| if fast { is_rows(l) } else { l.is_dense() })).transpose()?;
    if let Some((_, l)) = &residual {
        kernel.ldr = rows_of(l)?.1;
    }
    let home = p.target(y, |l| if fast { is_own_rows(l) } else { l.is_dense() });
    let (write, yl) = home.operand()?;
    kernel.ldy = rows_of(&yl)?.1;
    let residual = residual.map(|(r, _)| r);
    if fast {
        let packed = packed(p, w, kernel.packed_len(), |w| kernel.pack(w), Kernel::ConvPack(kernel.clone()))?;
        let scratch = p.scratch(DType::F32, kernel.scratch());
        let prepared = p.prepared(&kernel, &packed);
        p.push(
            Kernel::Conv(kernel),
            vec![write, scratch],
            vec![Some(read), Some(packed), prepared, bias, residual],
        );
    } else {
        let weights = p.dense(w)?;
        p.push(Kernel::ConvPlain(kernel), vec![write], vec![Some(read), Some(weights), bias, residual]);
    }
    p.written(y, home)
}

/// Plans a convolution together with the pooling behind it.
fn conv_pool(
    p: &mut Planner<'_>,
    [node, pool]: [&Node; 2],
    conv: Conv,
    e: &Epilogue,
    read: Operand,
) -> Result<(), Invalid> {
    let [_, w, between] = operands(node)?;
    let (Op::Pool(windows), [y]) = (&pool.op, &pool.outputs[..]) else {
        return Err(Invalid::new("pooling of one value"));
    };
    let (bias, _) = extras(node, e);
    let bias = bias.map(|v| p.dense(v)).transpose()?;
    let home = p.target(*y, is_own_rows);
    let (write, yl) = home.operand()?;
    let windows = Pool { ldy: rows_of(&yl)?.1, ..pooling(p, between, *y, windows)? };
    let packed = packed(p, w, conv.packed_len(), |w| conv.pack(w), Kernel::ConvPack(conv.clone()))?;
    let kernel = ConvPool { conv, pool: windows };
    let scratch = p.scratch(DType::F32, kernel.scratch());
    p.push(Kernel::ConvPool(kernel), vec![write, scratch], vec![Some(read), Some(packed), bias]);
    p.add_origin(pool);
    p.written(*y, home)
}

/// Weights in packed form: now where they are known, by a step of their own where they are not.
pub(super) fn packed(
    p: &mut Planner<'_>,
    w: ValueId,
    len: usize,
    pack: impl Fn(&[f32]) -> Vec<f32>,
    step: Kernel,
) -> Result<Operand, Invalid> {
    if let Some(weights) = p.constant(w).and_then(|t| t.to_vec::<f32>()) {
        return Ok(p.packed_f32(&pack(&weights)));
    }
    let weights = p.dense(w)?;
    let (to, _) = p.alloc(DType::F32, &[len], None).operand()?;
    p.push(step, vec![to.clone()], vec![Some(weights)]);
    Ok(to)
}

/// The extents of the first and the last axis.
fn ends(dims: &[usize]) -> Result<(usize, usize), Invalid> {
    match dims {
        [n, .., c] => Ok((*n, *c)),
        _ => Err(Invalid::new("an image without channels")),
    }
}

/// Plans a transposed convolution.
pub fn conv_transpose(
    p: &mut Planner<'_>,
    node: &Node,
    c: &ir::ConvTranspose,
    e: &Epilogue,
) -> Result<(), Invalid> {
    let ([x, w, ..], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a convolution of two values"));
    };
    let (x, w, y) = (*x, *w, *y);
    let window = window(p, x, y, &c.window)?;
    let (batch, channels) = ends(p.dims(x))?;
    let (_, m) = ends(p.dims(y))?;
    let (read, xl) = p.fitting(x, is_own_rows)?;
    let (_, ldx) = rows_of(&xl)?;
    let mut kernel =
        ConvTranspose { ldx, act: e.act, ..ConvTranspose::new(batch, window, channels, m, c.group) };
    let (bias, residual) = extras(node, e);
    let bias = bias.map(|v| p.dense(v)).transpose()?;
    let fast = p.graph.dtype(x) == DType::F32;
    let residual =
        residual.map(|v| p.fitting(v, |l| if fast { is_rows(l) } else { l.is_dense() })).transpose()?;
    if let Some((_, l)) = &residual {
        kernel.ldr = rows_of(l)?.1;
    }
    let home = p.target(y, |l| if fast { is_own_rows(l) } else { l.is_dense() });
    let (write, yl) = home.operand()?;
    kernel.ldy = rows_of(&yl)?.1;
    let residual = residual.map(|(r, _)| r);
    if fast {
        let step = Kernel::ConvTransposePack(kernel.clone());
        let packed = packed(p, w, kernel.packed_len(), |w| kernel.pack(w), step)?;
        let scratch = p.scratch(DType::F32, kernel.scratch());
        let reads = vec![Some(read), Some(packed), bias, residual];
        p.push(Kernel::ConvTranspose(kernel), vec![write, scratch], reads);
    } else {
        let reads = vec![Some(read), Some(p.dense(w)?), bias, residual];
        p.push(Kernel::ConvTransposePlain(kernel), vec![write], reads);
    }
    p.written(y, home)
}

/// Pooling over dense tensors.
fn pooling(p: &Planner<'_>, x: ValueId, y: ValueId, pool: &ir::Pool) -> Result<Pool, Invalid> {
    let window = window(p, x, y, &pool.window)?;
    let (batch, channels) = ends(p.dims(x))?;
    let mut pads_end = [0; 3];
    // Spatial axes stand at the end of the three.
    let first = 3 - pool.window.pads_end.len().min(3);
    pads_end[first..].copy_from_slice(&pool.window.pads_end);
    let kind = match pool.kind {
        ir::PoolKind::Max => PoolKind::Max,
        ir::PoolKind::Average => PoolKind::Average,
        ir::PoolKind::AverageWithPads => PoolKind::AverageWithPads,
    };
    Ok(Pool::new(kind, batch, window, pads_end, channels))
}

/// Plans pooling, unless it is done by the convolution before it.
pub fn pool(p: &mut Planner<'_>, node: &Node, pool: &ir::Pool) -> Result<(), Invalid> {
    let ([x], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("pooling of one value"));
    };
    if p.pooled(*x).is_some() {
        return Ok(());
    }
    let (read, xl) = p.fitting(*x, is_own_rows)?;
    let home = p.target(*y, is_own_rows);
    let (write, yl) = home.operand()?;
    let kernel = Pool { ldx: rows_of(&xl)?.1, ldy: rows_of(&yl)?.1, ..pooling(p, *x, *y, pool)? };
    let f32s = p.graph.dtype(*x) == DType::F32;
    p.push(
        if f32s { Kernel::Pool(kernel) } else { Kernel::PoolPlain(kernel) },
        vec![write],
        vec![Some(read)],
    );
    p.written(*y, home)
}

/// Plans resampling along one axis.
pub fn interpolate(p: &mut Planner<'_>, node: &Node, axis: usize) -> Result<(), Invalid> {
    let ([x, index, weight @ ..], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("resampling of one value"));
    };
    let dims = p.dims(*x).to_vec();
    let kernel = Interpolate {
        outer: dims[..axis].iter().product(),
        x: dims[axis],
        y: p.dims(*y)[axis],
        inner: dims[axis + 1..].iter().product(),
        taps: p.dims(*index)[1],
    };
    let f32s = p.graph.dtype(*x) == DType::F32;
    let kernel = match weight.is_empty() {
        true => Kernel::InterpolateCopy(kernel),
        false if f32s => Kernel::Interpolate(kernel),
        false => Kernel::InterpolatePlain(kernel),
    };
    let reads = node.inputs.iter().map(|&v| p.dense(v).map(Some)).collect::<Result<_, _>>()?;
    let home = p.target(*y, Layout::is_dense);
    let (write, _) = home.operand()?;
    p.push(kernel, vec![write], reads);
    p.written(*y, home)
}
