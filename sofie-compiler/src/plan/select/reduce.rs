//! Reductions, arguments and row programs.

use super::super::Operand;
use super::super::kernel::Kernel;
use super::super::planner::{Home, Planner};
use super::{is_own_rows, is_rows, rows_of, strided};
use crate::ir::{self, Invalid, Node};
use sofie_infer_runtime::reduce::{ArgReduce, Reduce, ReduceKind};
use sofie_infer_runtime::rows::{RowKind, Rows};

/// The runtime's name of a kind.
fn kind(kind: ir::ReduceKind) -> ReduceKind {
    match kind {
        ir::ReduceKind::Sum => ReduceKind::Sum,
        ir::ReduceKind::Mean => ReduceKind::Mean,
        ir::ReduceKind::Prod => ReduceKind::Prod,
        ir::ReduceKind::Max => ReduceKind::Max,
        ir::ReduceKind::Min => ReduceKind::Min,
        ir::ReduceKind::L1 => ReduceKind::L1,
        ir::ReduceKind::L2 => ReduceKind::L2,
        ir::ReduceKind::SumSquare => ReduceKind::SumSquare,
        ir::ReduceKind::LogSum => ReduceKind::LogSum,
        ir::ReduceKind::LogSumExp => ReduceKind::LogSumExp,
    }
}

/// Plans a reduction: it reads any strides.
pub fn reduce(p: &mut Planner<'_>, node: &Node, of: ir::ReduceKind, axes: &[usize]) -> Result<(), Invalid> {
    let ([x], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a reduction of one value"));
    };
    let (read, xl) = p.home(*x)?.operand()?;
    let home = p.target(*y, |_| true);
    let (write, yl) = home.operand()?;
    let kernel = Reduce::new(kind(of), &strided(&yl)?, &strided(&xl)?, axes)
        .ok_or_else(|| Invalid::new("a reduction of more axes than merge to 8"))?;
    p.push(Kernel::Reduce(kernel), vec![write], vec![Some(read)]);
    p.written(*y, home)
}

/// Plans the position of the largest or smallest element.
pub fn arg_reduce(
    p: &mut Planner<'_>,
    node: &Node,
    max: bool,
    axis: usize,
    last: bool,
) -> Result<(), Invalid> {
    let ([x], [y]) = (&node.inputs[..], &node.outputs[..]) else {
        return Err(Invalid::new("a reduction of one value"));
    };
    let (read, xl) = p.home(*x)?.operand()?;
    let home = p.target(*y, |_| true);
    let (write, yl) = home.operand()?;
    let kernel = ArgReduce::new(max, last, &strided(&yl)?, &strided(&xl)?, axis).ok_or_else(|| {
        Invalid::new("the position of the largest of no elements, or more axes than merge to 8")
    })?;
    p.push(Kernel::ArgReduce(kernel), vec![write], vec![Some(read)]);
    p.written(*y, home)
}

/// Plans a row program; in place where nobody else needs the operand.
pub fn rows(p: &mut Planner<'_>, node: &Node, of: &ir::RowKind) -> Result<(), Invalid> {
    let (Some(&x), Some(&y)) = (node.inputs.first(), node.outputs.first()) else {
        return Err(Invalid::new("a row program of one value"));
    };
    let (kind, with_scale, with_bias) = match *of {
        ir::RowKind::Softmax => (RowKind::Softmax, false, false),
        ir::RowKind::LogSoftmax => (RowKind::LogSoftmax, false, false),
        ir::RowKind::LayerNorm { epsilon, scale, bias } => (RowKind::LayerNorm { epsilon }, scale, bias),
        ir::RowKind::RmsNorm { epsilon, scale } => (RowKind::RmsNorm { epsilon }, scale, false),
    };
    let mut parameters = node.inputs[1..].iter();
    let mut parameter = |there: bool| match there.then(|| parameters.next()).flatten() {
        Some(v) => p.dense(*v).map(Some),
        None => Ok(None),
    };
    let scale = parameter(with_scale)?;
    let bias = parameter(with_bias)?;
    let n = p.dims(x).last().copied().unwrap_or(1);
    let here = p.home(x)?;
    // Scale and bias may be the rows themselves.
    let apart = |o: &Option<Operand>| o.as_ref().is_none_or(|o| o.root != here.root);
    let in_place = is_own_rows(&here.layout) && p.dies_here(x) && apart(&scale) && apart(&bias);
    if p.wanted(y).is_none() && in_place {
        let home = Home { value: Some(y), ..here };
        let (write, l) = home.operand()?;
        let (rows, ld) = rows_of(&l)?;
        p.push(Kernel::RowsInPlace(Rows { kind, rows, n, ldx: ld, ldy: ld }), vec![write], vec![scale, bias]);
        return p.written(y, home);
    }
    let (read, xl) = p.fitting(x, is_rows)?;
    let (rows, ldx) = rows_of(&xl)?;
    let home = p.target(y, is_own_rows);
    let (write, yl) = home.operand()?;
    let (_, ldy) = rows_of(&yl)?;
    p.push(Kernel::Rows(Rows { kind, rows, n, ldx, ldy }), vec![write], vec![Some(read), scale, bias]);
    p.written(y, home)
}
