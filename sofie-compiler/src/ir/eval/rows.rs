//! Programs over rows, computed in `f64` and rounded once.

use super::index::split_inner;
use super::scalar;
use super::wide::Wide;
use crate::ir::{Invalid, RowKind, Tensor};
use sofie_infer_runtime::map::Unary;

pub(super) fn rows(kind: RowKind, x: &[&Tensor], dims: &[usize]) -> Result<Tensor, Invalid> {
    let mut y = f64::of(x[0]);
    let mut rest = x[1..].iter().map(|t| f64::of(t));
    let mut operand = |there: bool| if there { rest.next() } else { None };
    let (scale, bias) = match kind {
        RowKind::Softmax | RowKind::LogSoftmax => (None, None),
        RowKind::LayerNorm { scale, bias, .. } => (operand(scale), operand(bias)),
        RowKind::RmsNorm { scale, .. } => (operand(scale), None),
    };
    for row in y.chunks_exact_mut(split_inner(dims).1.max(1)) {
        match kind {
            RowKind::Softmax => softmax(row),
            RowKind::LogSoftmax => log_softmax(row),
            RowKind::LayerNorm { epsilon, .. } => {
                let mean = row.iter().sum::<f64>() / row.len() as f64;
                row.iter_mut().for_each(|v| *v -= mean);
                normalise(row, epsilon);
            }
            RowKind::RmsNorm { epsilon, .. } => normalise(row, epsilon),
        }
        if let Some(scale) = &scale {
            row.iter_mut().zip(scale).for_each(|(v, s)| *v *= s);
        }
        if let Some(bias) = &bias {
            row.iter_mut().zip(bias).for_each(|(v, b)| *v += b);
        }
    }
    f64::tensor(x[0].dtype(), dims, &y)
}

/// Divides a row by the square root of its mean square plus `epsilon`.
fn normalise(row: &mut [f64], epsilon: f32) {
    let square = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
    let root = (square + f64::from(epsilon)).sqrt();
    row.iter_mut().for_each(|v| *v /= root);
}

/// In place. A row whose largest element is infinite is NaN where IEEE arithmetic says so.
pub(super) fn softmax(row: &mut [f64]) {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::larger);
    row.iter_mut().for_each(|v| *v = scalar(Unary::Exp, *v - max));
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|v| *v /= sum);
}

fn log_softmax(row: &mut [f64]) {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::larger);
    row.iter_mut().for_each(|v| *v -= max);
    let sum: f64 = row.iter().map(|v| scalar(Unary::Exp, *v)).sum();
    let log = scalar(Unary::Log, sum);
    row.iter_mut().for_each(|v| *v -= log);
}
