//! Matrix products: weights that are known are packed now and multiplied row by row; activations on both
//! sides go to the batched product.

use super::super::kernel::Kernel;
use super::super::planner::Planner;
use super::{is_own_rows, is_rows, rows_of};
use crate::ir::{Epilogue, Invalid, Node, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::gemm::{self, Gemm, Init};

/// Plans a product.
pub fn matmul(p: &mut Planner<'_>, node: &Node, e: &Epilogue) -> Result<(), Invalid> {
    let (a, b) = (node.inputs[0], node.inputs[1]);
    let rank = p.dims(b).len();
    let one_matrix = p.dims(b)[..rank - 2].iter().all(|&d| d == 1);
    match p.constant(b) {
        Some(_) if one_matrix && p.graph.dtype(a) == DType::F32 => packed(p, node, e),
        _ => Err(Invalid::new("no kernel for a product of activations")),
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
    let residual = residual.map(|v| p.fitting(v, is_rows)).transpose()?;
    let ldr = residual.as_ref().map(|(_, l)| rows_of(l)).transpose()?.map_or(0, |(_, ldr)| ldr);
    let home = p.target(y, is_own_rows);
    let (write, yl) = home.operand()?;
    let (_, ldc) = rows_of(&yl)?;
    let gemm = Gemm { m, k, n, lda, ldc, ldr, act: e.act, init: Init::Bias };
    p.push(Kernel::Gemm(gemm), vec![write], vec![Some(read), Some(w), bias, residual.map(|(r, _)| r)]);
    p.written(y, home)
}
