//! Matrix products: weights that are known are packed now and multiplied row by row; activations on both
//! sides go to the batched product.

use super::super::kernel::Kernel;
use super::super::layout::Layout;
use super::super::planner::{Home, Planner};
use super::{is_own_rows, is_rows, rows_of};
use crate::ir::{Epilogue, Invalid, Node, Op, ValueId};
use sofie_infer_runtime::gemm::{self, BatchedGemm, Gemm, Init};
use sofie_infer_runtime::plain::Product;
use sofie_infer_runtime::{Act, DType};

/// Asks that products of activations whose result is read transposed alone (heads that are put side by side) be
/// written in the order that their reader wants.
pub fn request(p: &mut Planner<'_>) {
    let graph = p.graph;
    for node in graph.nodes() {
        let Op::Transpose(perm) = &node.op else { continue };
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let writes_strides = match graph.producer(x) {
            Some(Node { op: Op::Attention(_), .. }) => true,
            Some(Node { op: Op::MatMul(_), inputs, .. }) => graph.constant(inputs[1]).is_none(),
            _ => false,
        };
        let rows_stay = perm.last().is_some_and(|a| a + 1 == perm.len());
        if writes_strides && rows_stay && p.uses(x) == 1 && p.wanted(x).is_none() && p.wanted(y).is_none() {
            let dims = p.dims(y).to_vec();
            let home = p.alloc(graph.dtype(y), &dims, Some(y));
            let layout = home.layout.transpose_back(perm);
            p.want(x, Home { layout, value: Some(x), ..home });
        }
    }
}

/// Plans a product.
pub fn matmul(p: &mut Planner<'_>, node: &Node, e: &Epilogue) -> Result<(), Invalid> {
    let (a, b) = (node.inputs[0], node.inputs[1]);
    let rank = p.dims(b).len();
    let one_matrix = p.dims(b)[..rank - 2].iter().all(|&d| d == 1);
    match p.constant(b) {
        Some(_) if one_matrix && p.graph.dtype(a) == DType::F32 => packed(p, node, e),
        _ if p.graph.dtype(a) == DType::F32 => batched(p, node, e),
        _ => any_type(p, node, e),
    }
}

/// The operands behind the first two: bias and residual, where the epilogue has them.
pub fn extras(node: &Node, e: &Epilogue) -> (Option<ValueId>, Option<ValueId>) {
    let bias = e.bias.then(|| node.inputs.get(2).copied()).flatten();
    let residual = e.residual.then(|| node.inputs.get(2 + usize::from(e.bias)).copied()).flatten();
    (bias, residual)
}

fn packed(p: &mut Planner<'_>, node: &Node, e: &Epilogue) -> Result<(), Invalid> {
    let (a, y) = (node.inputs[0], node.outputs[0]);
    let weights = p.constant(node.inputs[1]).and_then(|t| t.to_vec::<f32>());
    let weights = weights.ok_or_else(|| Invalid::new("weights that are not f32"))?;
    let (k, n) = match p.dims(node.inputs[1]) {
        [.., k, n] => (*k, *n),
        _ => return Err(Invalid::new("weights without two axes")),
    };
    let (read, al) = p.fitting(a, is_rows)?;
    let (m, lda) = rows_of(&al)?;
    let w = p.packed_f32(&gemm::pack(&weights, k, n, gemm::Layout::KN));
    let (bias, residual) = extras(node, e);
    let bias = bias.map(|v| p.dense(v)).transpose()?;
    let residual = residual.map(|v| p.fitting(v, |l| events_of(l).is_some())).transpose()?;
    let (event, ldr, lde) = residual.as_ref().and_then(|(_, l)| events_of(l)).unwrap_or((0, 0, 0));
    let home = p.target(y, is_own_rows);
    let (write, yl) = home.operand()?;
    let (_, ldc) = rows_of(&yl)?;
    let gemm = Gemm { m, k, n, lda, ldc, ldr, event, lde, act: e.act, init: Init::Bias };
    p.push(Kernel::Gemm(gemm), vec![write], vec![Some(read), Some(w), bias, residual.map(|(r, _)| r)]);
    p.written(y, home)
}

/// Rows of an event, floats from row to row and from event to event, of rows at two strides; 0 rows where one stride leads
/// through all.
fn events_of(l: &Layout) -> Option<(usize, usize, usize)> {
    if is_rows(l) {
        return rows_of(l).ok().map(|(_, ldr)| (0, ldr, 0));
    }
    let last = l.dims.len().saturating_sub(1);
    let lead = Layout { dims: l.dims[..last].to_vec(), strides: l.strides[..last].to_vec(), offset: 0 };
    match lead.runs()[..] {
        [(_, event), (rows, row)] if l.dense_from(last) => {
            Some((rows, usize::try_from(row).ok()?, usize::try_from(event).ok()?))
        }
        _ => None,
    }
}

/// The strides of a matrix and its batch, none negative.
struct Matrices {
    batch: [usize; 6],
    row: usize,
    column: usize,
}

/// Whether no stride is negative.
fn forwards(l: &Layout) -> bool {
    l.strides.iter().all(|s| *s >= 0)
}

/// Strides of an operand broadcast to the batch of the result.
fn matrices(l: &Layout, batch: &[usize]) -> Result<Matrices, Invalid> {
    let rank = l.dims.len();
    let step =
        |i: usize| usize::try_from(l.strides[i]).map_err(|_| Invalid::new("a matrix that runs backwards"));
    let mut strides = [0; 6];
    for (i, (&n, stride)) in batch.iter().zip(&mut strides).enumerate() {
        *stride = if l.dims[i] == n && n != 1 { step(i)? } else { 0 };
    }
    Ok(Matrices { batch: strides, row: step(rank - 2)?, column: step(rank - 1)? })
}

/// The batch's extents and the matrix's, of a product's result.
fn batch_and_matrix(dims: &[usize]) -> Result<(&[usize], &[usize; 2]), Invalid> {
    match dims.split_last_chunk::<2>() {
        None => Err(Invalid::new("a product without two axes")),
        Some((batch, _)) if batch.len() > 6 => {
            Err(Invalid::new(format!("a product over {} batch axes; up to 6 are supported", batch.len())))
        }
        Some(split) => Ok(split),
    }
}

/// Products of which neither side is known, with whatever follows as a map over the result.
fn batched(p: &mut Planner<'_>, node: &Node, e: &Epilogue) -> Result<(), Invalid> {
    let (a, b, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let dims = p.dims(y).to_vec();
    let (batch, [m, n]) = batch_and_matrix(&dims)?;
    let (read_a, al) = p.fitting(a, forwards)?;
    let (read_b, bl) = p.fitting(b, forwards)?;
    let own = |l: &Layout| {
        let apart = l.dims.iter().zip(&l.strides).all(|(&d, &s)| d < 2 || s > 0);
        apart && l.dense_from(l.dims.len() - 1)
    };
    let home = p.target(y, own);
    let (write, cl) = home.operand()?;
    let (of_a, of_b, of_c) = (matrices(&al, batch)?, matrices(&bl, batch)?, matrices(&cl, batch)?);
    let mut extents = [0; 6];
    extents[..batch.len()].copy_from_slice(batch);
    let later = e.bias || e.residual;
    let gemm = BatchedGemm {
        batch: extents,
        batch_rank: batch.len(),
        a_batch: of_a.batch,
        b_batch: of_b.batch,
        c_batch: of_c.batch,
        m: *m,
        k: al.dims.last().copied().unwrap_or(0),
        n: *n,
        a_row: of_a.row,
        a_column: of_a.column,
        b_row: of_b.row,
        b_column: of_b.column,
        c_row: of_c.row,
        alpha: 1.0,
        act: if later { Act::None } else { e.act },
    };
    let scratch = p.scratch(DType::F32, gemm.scratch());
    p.push(Kernel::BatchedGemm(gemm), vec![write, scratch], vec![Some(read_a), Some(read_b)]);
    if later {
        super::map::epilogue(p, node, e, &home)?;
    }
    p.written(y, home)
}

/// Products of other types, at any strides.
fn any_type(p: &mut Planner<'_>, node: &Node, e: &Epilogue) -> Result<(), Invalid> {
    let (a, b, y) = (node.inputs[0], node.inputs[1], node.outputs[0]);
    let dims = p.dims(y).to_vec();
    let (batch, [m, n]) = batch_and_matrix(&dims)?;
    let (read_a, al) = p.fitting(a, forwards)?;
    let (read_b, bl) = p.fitting(b, forwards)?;
    let home = p.target(y, Layout::is_dense);
    let (write, _) = home.operand()?;
    let (of_a, of_b) = (matrices(&al, batch)?, matrices(&bl, batch)?);
    let mut extents = [1; 6];
    extents[..batch.len()].copy_from_slice(batch);
    let product = Product {
        batch: extents,
        a_batch: of_a.batch,
        b_batch: of_b.batch,
        m: *m,
        k: al.dims.last().copied().unwrap_or(0),
        n: *n,
        a_row: of_a.row,
        a_column: of_a.column,
        b_row: of_b.row,
        b_column: of_b.column,
    };
    p.push(Kernel::Plain(product.into()), vec![write], vec![Some(read_a), Some(read_b)]);
    if e.bias || e.residual || e.act != Act::None {
        super::map::epilogue(p, node, e, &home)?;
    }
    p.written(y, home)
}
