//! Losses, which networks that were exported with their training head still hold: `NegativeLogLikelihoodLoss`,
//! `SoftmaxCrossEntropyLoss`.

use super::Ctx;
use super::expr::{Expr, num, x, y};
use super::transpose::axis_last;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, RowKind, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Scalar;

/// Minus the log-probability of each target, weighted and reduced. `log_prob [N, C, D…]`, targets are operand 1
/// `[N, D…]`, weights operand 2 `[C]`.
fn likelihood(c: &mut Ctx<'_, '_>, log_prob: ValueId) -> Result<ValueId> {
    let target = c.required(1, "target")?;
    let weight = c.optional(2)?;
    let ignored = c.attrs.int("ignore_index")?;
    let (shape, dtype) = (c.shape(log_prob), c.dtype(log_prob));
    let of_target = c.shape(target);
    if shape.rank() < 2 || of_target.rank() + 1 != shape.rank() {
        return Err(Error::new(format!("targets {of_target} do not fit {shape}")));
    }
    let mut dims = of_target.dims().to_vec();
    dims.insert(1, Dim::ONE);
    let target = c.b.cast(target, DType::I64)?;
    let target = c.reshape(target, &dims)?;
    let is_ignored = |n: i64| x().eq(Expr::Typed(n.into()));
    // What is ignored may lie outside the classes: read class 0 instead and forget it.
    let class = match ignored {
        Some(n) => c.map(is_ignored(n).select(num(0.0), x()), &[target])?,
        None => target,
    };
    let picked = c.b.one(Op::GatherElements(1), &[log_prob, class])?;
    let one = Scalar::from_f64(dtype, 1.0);
    let mut factor = match weight {
        Some(w) => Some(c.b.one(Op::Gather { axis: 0, batch: 0 }, &[w, class])?),
        None => None,
    };
    if let Some(n) = ignored {
        let base = match factor {
            Some(w) => w,
            None => c.b.scalar(one),
        };
        factor = Some(c.map(y().eq(Expr::Typed(n.into())).select(num(0.0), x()), &[base, target])?);
    }
    let loss = match factor {
        // What is ignored counts as nothing even where its log-probability is infinite.
        Some(w) => c.map(y().eq(num(0.0)).select(num(0.0), -(x() * y())), &[picked, w])?,
        None => c.map(-x(), &[picked])?,
    };
    let all: Vec<usize> = (0..shape.rank()).collect();
    let scalar =
        |c: &mut Ctx<'_, '_>, v: ValueId| -> Result<ValueId> { Ok(c.b.reshape(v, Shape::default())?) };
    match c.attrs.string_or("reduction", "mean")? {
        "none" => Ok(c.b.reshape(loss, of_target)?),
        "sum" => {
            let sum = c.b.one(Op::Reduce(ReduceKind::Sum, all), &[loss])?;
            scalar(c, sum)
        }
        "mean" => {
            let mean = match factor {
                None => c.b.one(Op::Reduce(ReduceKind::Mean, all), &[loss])?,
                Some(w) => {
                    let w = c.b.broadcast(w, &Shape::new(dims))?;
                    let sum = c.b.one(Op::Reduce(ReduceKind::Sum, all.clone()), &[loss])?;
                    let weights = c.b.one(Op::Reduce(ReduceKind::Sum, all), &[w])?;
                    c.map(x() / y(), &[sum, weights])?
                }
            };
            scalar(c, mean)
        }
        other => Err(Error::new(format!("reduction {other:?} is not known"))),
    }
}

/// `NegativeLogLikelihoodLoss`.
pub(super) fn negative_log_likelihood(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let log_prob = c.required(0, "input")?;
    Ok(vec![likelihood(c, log_prob)?])
}

/// `SoftmaxCrossEntropyLoss`, and the logarithms of its softmax.
pub(super) fn softmax_cross_entropy(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let scores = c.required(0, "scores")?;
    let rank = c.rank(scores);
    if rank < 2 {
        return Err(Error::new(format!("scores have shape {}; [N, C, ..] is needed", c.shape(scores))));
    }
    let (there, back) = axis_last(rank, 1);
    let last = c.b.transpose(scores, &there)?;
    let logs = c.b.one(Op::Rows(RowKind::LogSoftmax), &[last])?;
    let logs = c.b.transpose(logs, &back)?;
    Ok(vec![likelihood(c, logs)?, logs])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn targets_outside_the_classes_are_ignored() {
        let x = f32s(&[2, 2], &[-1.0, -2.0, -3.0, -4.0]);
        let target = Arg::In(Tensor::of(&[2], &[1i64, 7]));
        let attrs = [("ignore_index", Attribute::Int(7))];
        let y = run("NegativeLogLikelihoodLoss", 13, &attrs, &[x.clone(), target.clone()]);
        assert_eq!(y, Tensor::of(&[], &[2.0f32]));
        let attrs = [("ignore_index", Attribute::Int(7)), ("reduction", text("none"))];
        let weights = f32s(&[2], &[1.0, 3.0]);
        let y = run("NegativeLogLikelihoodLoss", 13, &attrs, &[x, target, weights]);
        assert_eq!(y, Tensor::of(&[2], &[6.0f32, 0.0]));
    }
}
