//! `ai.onnx.ml`'s support vector machines: the product with the support vectors, the kernel on it, a product with the
//! coefficients. Labels, and what becomes of the scores, as ONNX Runtime has it: the operators' texts leave it open.

use super::Ctx;
use super::expr::{Expr, num, x, y};
use super::trees::{best, labelled, labels, rows, transformed};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::plain::Coupling;

/// Operand 0 as `f32` rows.
fn features(c: &mut Ctx<'_, '_>) -> Result<ValueId> {
    let v = c.required(0, "X")?;
    let v = c.b.cast(v, DType::F32)?;
    rows(c, v)
}

fn floats<'n>(c: &Ctx<'n, '_>, name: &str) -> Result<&'n [f32]> {
    c.attrs.require(name, c.attrs.floats(name)?)
}

/// The kernel of each row and each of `count` vectors: `[N, count]`.
fn kernel(c: &mut Ctx<'_, '_>, v: ValueId, vectors: &[f32], count: usize, linear: bool) -> Result<ValueId> {
    let shape = c.shape(v);
    if shape.rank() != 2 {
        return Err(Error::new(format!("X has shape {shape}; [N, F] is needed")));
    }
    let n = vectors.len().checked_div(count).filter(|n| n * count == vectors.len() && shape[1].is(*n as i64));
    let n =
        n.ok_or_else(|| Error::new(format!("{count} vectors of {} numbers for X {shape}", vectors.len())))?;
    let params = c.attrs.floats("kernel_params")?.unwrap_or_default();
    let [gamma, coef0, degree] = match params {
        [] => [0.0; 3],
        [gamma, coef0, degree, ..] => [*gamma, *coef0, *degree],
        _ => return Err(Error::new(format!("kernel_params has {} numbers; three are needed", params.len()))),
    };
    let kind = c.attrs.string_or("kernel_type", "LINEAR")?;
    let kind = if linear { "LINEAR" } else { kind };
    if kind == "RBF" {
        let w = c.b.tensor(Tensor::of(&[1, count, n], vectors));
        let v = c.reshape(v, &[shape[0].clone(), Dim::ONE, shape[1].clone()])?;
        let apart = c.map(x() - y(), &[v, w])?;
        let square = c.b.one(Op::Reduce(ReduceKind::SumSquare, vec![2]), &[apart])?;
        let square = c.drop_axes(square, &[2])?;
        return c.map((num(-gamma) * x()).unary(Unary::Exp), &[square]);
    }
    let w = c.b.tensor(Tensor::of(&[count, n], vectors));
    let w = c.b.transpose(w, &[1, 0])?;
    let dot = c.matmul(v, w)?;
    let scaled = num(gamma) * x() + num(coef0);
    match kind {
        "LINEAR" => Ok(dot),
        "SIGMOID" => c.map(scaled.unary(Unary::Tanh), &[dot]),
        "POLY" if degree == 2.0 => c.map(scaled.clone() * scaled, &[dot]),
        "POLY" if degree == 3.0 => c.map(scaled.clone() * scaled.clone() * scaled, &[dot]),
        "POLY" => c.map(scaled.binary(Binary::Pow, num(degree)), &[dot]),
        other => Err(Error::new(format!("kernel_type {other:?} is not known"))),
    }
}

/// `SVMRegressor`: one target; of one class, 1 inside and -1 outside.
pub(super) fn regressor(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = features(c)?;
    let count = c.attrs.int_or("n_supports", 0)?;
    let count = usize::try_from(count).map_err(|_| Error::new(format!("n_supports is {count}")))?;
    let coefficients = floats(c, "coefficients")?;
    let Some(&rho) = floats(c, "rho")?.first() else { return Err(Error::new("rho is empty")) };
    let vectors = c.attrs.floats("support_vectors")?.unwrap_or_default();
    let one_class = c.attrs.flag_or("one_class", false)?;
    if c.attrs.string_or("post_transform", "NONE")? != "NONE" {
        return Err(Error::new("post_transform of a regressor is not supported")
            .help("ONNX Runtime ignores it; remove the attribute"));
    }
    let sum = if count == 0 {
        kernel(c, v, coefficients, 1, true)?
    } else {
        if coefficients.len() != count {
            return Err(Error::new(format!("{} coefficients of {count} vectors", coefficients.len())));
        }
        let k = kernel(c, v, vectors, count, false)?;
        let w = c.b.tensor(Tensor::of(&[count, 1], coefficients));
        c.matmul(k, w)?
    };
    let y = x() + num(rho);
    let y = if one_class { y.gt(num(0.0)).select(num(1.0), num(-1.0)) } else { y };
    Ok(vec![c.map(y, &[sum])?])
}

/// `SVMClassifier`: with vectors, a score for each two classes and a vote for the better one; without, a linear model.
pub(super) fn classifier(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = features(c)?;
    let (classes, names) = labels(c, "classlabels_ints")?;
    let transform = c.attrs.string_or("post_transform", "NONE")?;
    let per_class = c.attrs.ints("vectors_per_class")?.unwrap_or_default();
    let coefficients = floats(c, "coefficients")?;
    let (rho, vectors) = (floats(c, "rho")?, c.attrs.floats("support_vectors")?.unwrap_or_default());
    let (prob_a, prob_b) = (c.attrs.floats("prob_a")?, c.attrs.floats("prob_b")?);
    let (prob_a, prob_b) = (prob_a.unwrap_or_default(), prob_b.unwrap_or_default());
    let count = per_class.iter().try_fold(0i64, |sum, n| sum.checked_add(*n).filter(|_| *n >= 0));
    let count = count.and_then(|n| usize::try_from(n).ok()).filter(|n| *n <= vectors.len());
    let count = count.ok_or_else(|| Error::new(format!("vectors_per_class is {per_class:?}")))?;
    if classes < 2 {
        return Err(Error::new("a classifier of one class"));
    }
    if count == 0 {
        let Some(&rho) = rho.first() else { return Err(Error::new("rho is empty")) };
        let scores = kernel(c, v, coefficients, classes, true)?;
        let scores = c.map(x() + num(rho), &[scores])?;
        let mut index = best(c, scores)?;
        if classes == 2 && prob_a.is_empty() {
            // The second class wins wherever a score is large enough, be it that of the first.
            let max = c.b.one(Op::Reduce(ReduceKind::Max, vec![1]), &[scores])?;
            let max = c.drop_axes(max, &[1])?;
            let positive = coefficients.iter().all(|w| *w >= 0.0);
            let enough = if positive { x().ge(num(0.5)) } else { x().gt(num(0.0)) };
            index = c.map(enough.select(Expr::Typed(1i64.into()), y()), &[max, index])?;
        }
        return Ok(vec![labelled(c, index, names)?, transformed(c, scores, transform)?]);
    }
    let pairs: Vec<(usize, usize)> =
        (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j))).collect();
    let given = [rho.len(), prob_a.len(), prob_b.len()];
    let enough = |n: usize| n >= pairs.len() || n == 0;
    if per_class.len() != classes
        || coefficients.len() < (classes - 1) * count
        || rho.len() < pairs.len()
        || prob_a.len() != prob_b.len()
        || !enough(prob_a.len())
    {
        return Err(Error::new(format!(
            "{classes} classes, {} counts of vectors, {} coefficients, rho, prob_a and prob_b of {given:?}",
            per_class.len(),
            coefficients.len()
        )));
    }
    // The coefficients of a pair: at the vectors of either class, those against the other.
    let class_of: Vec<usize> =
        per_class.iter().enumerate().flat_map(|(i, n)| std::iter::repeat_n(i, *n as usize)).collect();
    let mut weights = vec![0f32; count * pairs.len()];
    for (m, class) in class_of.iter().enumerate() {
        for (p, (i, j)) in pairs.iter().enumerate() {
            let row = if class == i {
                j - 1
            } else if class == j {
                *i
            } else {
                continue;
            };
            weights[m * pairs.len() + p] = coefficients[row * count + m];
        }
    }
    let k = kernel(c, v, vectors, count, false)?;
    let weights = c.b.tensor(Tensor::of(&[count, pairs.len()], &weights));
    let sum = c.matmul(k, weights)?;
    let rho = c.b.tensor(Tensor::of(&[pairs.len()], &rho[..pairs.len()]));
    let scores = c.map(x() + y(), &[sum, rho])?;
    let index = voted(c, scores, &pairs, classes)?;
    let label = labelled(c, index, names)?;
    if !prob_a.is_empty() {
        let list = |c: &mut Ctx<'_, '_>, p: &[f32]| c.b.tensor(Tensor::of(&[pairs.len()], &p[..pairs.len()]));
        let (a, b) = (list(c, prob_a), list(c, prob_b));
        let linear = x() * y() + super::expr::z();
        let of_first = (-linear).unary(Unary::Sigmoid).max(num(1e-7f32)).min(num(1.0 - 1e-7f32));
        let of_first = c.map(of_first, &[scores, a, b])?;
        let dims = c.fixed(of_first, "a classifier's probabilities")?;
        let coupling = Coupling { rows: dims[0], classes };
        let p = c.plain(coupling, &[of_first], vec![(DType::F32, vec![dims[0], classes])])?;
        return Ok(vec![label, transformed(c, p[0], transform)?]);
    }
    if classes > 2 {
        return Ok(vec![label, transformed(c, scores, transform)?]);
    }
    let (first, second) = match transform {
        "NONE" => (-x(), x()),
        "LOGISTIC" => ((-x()).unary(Unary::Sigmoid), x().unary(Unary::Sigmoid)),
        "SOFTMAX" | "SOFTMAX_ZERO" => (num(1.0) - x(), x()),
        other => return Err(Error::new(format!("post_transform {other:?} is not supported"))),
    };
    let (first, second) = (c.map(first, &[scores])?, c.map(second, &[scores])?);
    Ok(vec![label, c.b.one(Op::Concat(1), &[first, second])?])
}

/// The class that wins most of its pairs, the first of equals.
fn voted(c: &mut Ctx<'_, '_>, scores: ValueId, pairs: &[(usize, usize)], classes: usize) -> Result<ValueId> {
    // A win of the first takes the vote from the second.
    let (mut moved, mut second) = (vec![0f32; pairs.len() * classes], vec![0f32; classes]);
    for (p, (i, j)) in pairs.iter().enumerate() {
        moved[p * classes + i] += 1.0;
        moved[p * classes + j] -= 1.0;
        second[*j] += 1.0;
    }
    let moved = c.b.tensor(Tensor::of(&[pairs.len(), classes], &moved));
    let second = c.b.tensor(Tensor::of(&[classes], &second));
    let wins = c.map(x().gt(num(0.0)).cast(DType::F32), &[scores])?;
    let won = c.matmul(wins, moved)?;
    let votes = c.map(x() + y(), &[won, second])?;
    best(c, votes)
}
