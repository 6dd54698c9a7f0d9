//! Linear over gather: a linear map of gathered rows is the gather of the linear map.
//!
//! The rows that a product with weights reads are often rows of smaller tensors, gathered or repeated, side by
//! side or subtracted from each other. As a product is linear in its rows,
//!
//! ```text
//! EdgeConv            [x_i, x_j - x_i] · [W1; W2]  =  x_i·(W1 - W2) + (x·W2)_j
//! interaction network [x_s, x_r, e] · [Ws; Wr; We] =  (x·Ws)_s + (x·Wr)_r + e·We
//! ```
//!
//! which multiplies once a point instead of once an edge. [`terms`] finds such sums, [`worth`] says which of
//! them pay and keep their digits; here they are built: what stays as long as the result remains one product,
//! with the others as its residual, bias and activation behind the sum.
//!
//! **Numbers.** For finite rows whose products do not overflow the result is the same but for rounding; how
//! large that may become is [`worth::keeps_digits`]'s question. Each row of the result still depends on the
//! rows of its own terms alone: a row with an infinity or NaN stays without a finite result, but which of the
//! three it is may differ, as `inf - inf` is no longer formed before the weights.

mod terms;
#[cfg(test)]
mod tests;
mod worth;

use super::pattern::{Kind, Product, Uses};
use crate::ir::{Builder, Dim, Graph, Inst, Invalid, MapExpr, Op, Rewriter, Shape, ValueId};
use sofie_infer_runtime::map::{Binary, Scalar};
use sofie_infer_runtime::{Act, DType};
use terms::{Group, Likely, RowOp};

/// Moves products of gathered and repeated rows before the gathers, where that pays.
pub fn linear(graph: &Graph) -> Result<Graph, Invalid> {
    let (uses, likely) = (Uses::of(graph), Likely::of(graph));
    Rewriter::run(graph, |r, node| {
        let Some(p) = Product::of(node).filter(|p| p.kind == Kind::MatMul && p.has_weights(graph)) else {
            return Ok(None);
        };
        let Some(groups) = worth::worth_it(graph, &likely, &uses, &p) else { return Ok(None) };
        let mut moved = groups;
        for g in &mut moved {
            g.base = r.get(g.base)?;
            for op in &mut g.path {
                op.each_value(|v| r.get(v))?;
            }
        }
        let rows = graph.shape(node.outputs[0]).clone();
        let p = p.moved(r)?;
        build(&mut r.b, p, &moved, &rows).map(|v| Some(vec![v]))
    })
}

/// The product `p`, result shape `shape`, as the sum of the products of its groups.
fn build(b: &mut Builder, mut p: Product, groups: &[Group], shape: &Shape) -> Result<ValueId, Invalid> {
    let mut sum: Vec<ValueId> = Vec::new();
    let (mut rest, mut rest_weights) = (Vec::new(), Vec::new());
    let small = groups.iter().filter(|g| g.moves).count();
    // Where nothing stays, the bias goes to the product of the fewest rows.
    let host = groups.iter().filter(|g| g.moves).min_by_key(|g| g.rows).map(|g| g.base);
    let alone = small == groups.len();
    let mut bias = if alone { p.bias.take() } else { None };
    for g in groups {
        let w = weights(b, p.w, g)?;
        if !g.moves {
            let rows = g.path.iter().try_fold(g.base, |v, op| op.apply(b, v))?;
            rest.push(rows);
            rest_weights.push(w);
            continue;
        }
        let rank = b.shape(g.base).rank();
        let w = b.to_rank(w, rank)?;
        let bias = if Some(g.base) == host { bias.take() } else { None };
        let product = Product { kind: Kind::MatMul, x: g.base, w, bias, residual: None, act: Act::None };
        let y = product.push(b)?;
        sum.push(g.path.iter().try_fold(y, |v, op| op.apply(b, v))?);
    }
    sum.extend(p.residual.take());
    let act = std::mem::replace(&mut p.act, Act::None);
    let Some((&first, others)) = sum.split_first() else { return Err(Invalid::new("a sum of nothing")) };
    let total = others.iter().try_fold(first, |a, v| b.binary(Binary::Add, a, *v))?;
    if rest.is_empty() {
        let total = if b.shape(total) == shape { total } else { b.broadcast(total, shape)? };
        return activated(b, total, act);
    }
    let last = b.shape(rest[0]).rank() - 1;
    p.x = b.one(Op::Concat(last), &rest)?;
    let w = b.one(Op::Concat(0), &rest_weights)?;
    p.w = b.to_rank(w, last + 1)?;
    p.residual = Some(b.broadcast(total, shape)?);
    p.act = act;
    p.push(b)
}

/// The weights of a group as one matrix: the rows that its terms are multiplied with, times their factors.
fn weights(b: &mut Builder, w: ValueId, g: &Group) -> Result<ValueId, Invalid> {
    let dims = b.shape(w).dims();
    let (k, n) = (dims[dims.len() - 2].clone(), dims[dims.len() - 1].clone());
    let matrix = b.reshape(w, Shape::new(vec![k, n]))?;
    let mut sum: Option<ValueId> = None;
    for &(offset, factor) in &g.at {
        let mut part = b.slice_axis(matrix, 0, Dim::from(offset), Dim::from(g.width))?;
        if factor != 1.0 {
            let mut e = MapExpr::over(&[DType::F32]);
            let (x, f) = (e.push(Inst::Input(0))?, e.push(Inst::Const(Scalar::from(factor)))?);
            e.push(Inst::Binary(Binary::Mul, x, f))?;
            part = b.map(e, &[part])?;
        }
        sum = Some(match sum {
            Some(s) => b.binary(Binary::Add, s, part)?,
            None => part,
        });
    }
    sum.ok_or_else(|| Invalid::new("a group without terms"))
}

fn activated(b: &mut Builder, x: ValueId, act: Act) -> Result<ValueId, Invalid> {
    if act == Act::None {
        return Ok(x);
    }
    let mut e = MapExpr::over(&[DType::F32]);
    let at = e.push(Inst::Input(0))?;
    let at = e.activation(act, at, DType::F32)?;
    b.map(e.finish(at), &[x])
}

impl RowOp {
    /// The same movement of rows, whatever their length.
    fn apply(&self, b: &mut Builder, x: ValueId) -> Result<ValueId, Invalid> {
        let n = b.shape(x).dims().last().cloned().unwrap_or(Dim::ONE);
        let with_rows = |shape: &Shape| {
            let mut shape = shape.clone();
            if let Some(last) = shape.dims_mut().last_mut() {
                *last = n.clone();
            }
            shape
        };
        match self {
            RowOp::Reshape(s) => b.reshape(x, with_rows(s)),
            RowOp::Broadcast(s) => b.one(Op::Broadcast(with_rows(s)), &[x]),
            RowOp::Transpose(perm) => b.transpose(x, perm),
            RowOp::Slice { start, step, shape } => {
                b.one(Op::Slice { start: start.clone(), step: step.clone(), shape: with_rows(shape) }, &[x])
            }
            RowOp::Indexed(op, index) => b.one(op.clone(), &[x, *index]),
        }
    }
}
