//! One step of an optimiser (`ai.onnx.preview.training`): `Adagrad`, `Adam`, `Momentum`. For each tensor there is the
//! tensor, its gradient and the optimiser's state of its shape; the step is elementwise.

use super::Ctx;
use super::expr::{Expr, num};
use crate::error::{Error, Result};
use crate::ir::ValueId;
use sofie_infer_runtime::map::{Binary, Unary};

/// The learning rate `R`, the update count `T`, and what is listed of each of the `n` tensors: `groups` lists of `n`.
fn operands(c: &Ctx<'_, '_>, groups: usize) -> Result<(ValueId, ValueId, Vec<Vec<ValueId>>)> {
    let (rate, count) = (c.required(0, "R")?, c.required(1, "T")?);
    let rest = c.operands.len() - 2;
    if rest == 0 || !rest.is_multiple_of(groups) {
        return Err(Error::new(format!("{rest} tensors; {groups} of each are needed")));
    }
    let n = rest / groups;
    let of =
        |i: usize| (0..groups).map(|k| c.required(2 + k * n + i, "a tensor")).collect::<Result<Vec<_>>>();
    Ok((rate, count, (0..n).map(of).collect::<Result<_>>()?))
}

/// The scalar `r` in the type of a tensor, which need not be that of the learning rate.
fn as_of(c: &mut Ctx<'_, '_>, r: ValueId, tensor: ValueId) -> Result<ValueId> {
    let dtype = c.dtype(tensor);
    Ok(c.b.cast(r, dtype)?)
}

/// Operand `i` of the expression.
fn at(i: usize) -> Expr {
    Expr::Operand(i)
}

fn float(c: &Ctx<'_, '_>, name: &str, default: f32) -> Result<Expr> {
    Ok(num(c.attrs.float_or(name, default)?))
}

fn required(c: &Ctx<'_, '_>, name: &str) -> Result<Expr> {
    Ok(num(c.attrs.require(name, c.attrs.float(name)?)?))
}

/// The results of all tensors, first results first.
fn grouped(rows: Vec<Vec<ValueId>>) -> Vec<ValueId> {
    let groups = rows.first().map_or(0, Vec::len);
    (0..groups).flat_map(|k| rows.iter().map(move |row| row[k])).collect()
}

/// `rate` of an update count, both scalars, shaped as the operands broadcast.
fn scalar(c: &mut Ctx<'_, '_>, e: Expr, inputs: &[ValueId]) -> Result<ValueId> {
    let mut flat = Vec::new();
    for v in inputs {
        flat.push(c.reshape(*v, &[])?);
    }
    c.map(e, &flat)
}

/// `Adagrad`: `h' = h + g²`, `x' = x - r g / (√h' + ε)` where `g` has the regularisation and `r` decays.
pub(super) fn adagrad(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (rate, count, tensors) = operands(c, 3)?;
    let dtype = c.dtype(rate);
    let (decay, epsilon) = (float(c, "decay_factor", 0.0)?, float(c, "epsilon", 1e-6)?);
    let norm = float(c, "norm_coefficient", 0.0)?;
    let r = scalar(c, at(0) / (num(1.0) + at(1).cast(dtype) * decay), &[rate, count])?;
    let mut rows = Vec::new();
    for t in tensors {
        let [x, g, h] = t[..] else { continue };
        let regularised = || norm.clone() * at(0) + at(1);
        let h = c.map(at(2) + regularised() * regularised(), &[x, g, h])?;
        let r = as_of(c, r, x)?;
        let step = at(3) * regularised() / (at(2).unary(Unary::Sqrt) + epsilon.clone());
        rows.push(vec![c.map(at(0) - step, &[x, g, h, r])?, h]);
    }
    Ok(grouped(rows))
}

/// `Adam`: running means of the gradient and its square, corrected for their start.
pub(super) fn adam(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (rate, count, tensors) = operands(c, 4)?;
    let dtype = c.dtype(rate);
    let (alpha, beta) = (float(c, "alpha", 0.9)?, float(c, "beta", 0.999)?);
    let (epsilon, norm) = (float(c, "epsilon", 1e-6)?, float(c, "norm_coefficient", 0.0)?);
    let norm_post = float(c, "norm_coefficient_post", 0.0)?;
    let left = |decay: &Expr| num(1.0) - decay.clone().binary(Binary::Pow, at(1).cast(dtype));
    let corrected = (left(&beta).unary(Unary::Sqrt) * at(0)) / left(&alpha);
    let first = at(1).cast(dtype).gt(num(0.0));
    let r = scalar(c, first.select(corrected, at(0)), &[rate, count])?;
    let mean = |decay: &Expr, old: Expr, new: Expr| decay.clone() * old + (num(1.0) - decay.clone()) * new;
    let mut rows = Vec::new();
    for t in tensors {
        let [x, g, v, h] = t[..] else { continue };
        let regularised = || norm.clone() * at(0) + at(1);
        let v = c.map(mean(&alpha, at(2), regularised()), &[x, g, v])?;
        let h = c.map(mean(&beta, at(2), regularised() * regularised()), &[x, g, h])?;
        let step = at(0) - at(3) * at(1) / (at(2).unary(Unary::Sqrt) + epsilon.clone());
        let r = as_of(c, r, x)?;
        let x = c.map((num(1.0) - norm_post.clone()) * step, &[x, v, h, r])?;
        rows.push(vec![x, v, h]);
    }
    Ok(grouped(rows))
}

/// `Momentum`: the standard step, or Nesterov's.
pub(super) fn momentum(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (rate, count, tensors) = operands(c, 3)?;
    let dtype = c.dtype(rate);
    let (alpha, beta, norm) = (required(c, "alpha")?, required(c, "beta")?, required(c, "norm_coefficient")?);
    let mode = c.attrs.require("mode", c.attrs.string("mode")?)?;
    let nesterov = match mode {
        "standard" => false,
        "nesterov" => true,
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    };
    let count = scalar(c, at(0), &[count])?;
    let rate = scalar(c, at(0), &[rate])?;
    // The first gradient counts in full.
    let beta = c.map(at(1).cast(dtype).gt(num(0.0)).select(beta, num(1.0)), &[rate, count])?;
    let mut rows = Vec::new();
    for t in tensors {
        let [x, g, v] = t[..] else { continue };
        let regularised = || norm.clone() * at(0) + at(1);
        let (beta, rate) = (as_of(c, beta, x)?, as_of(c, rate, x)?);
        let v = c.map(alpha.clone() * at(2) + at(3) * regularised(), &[x, g, v, beta])?;
        let step = if nesterov { regularised() + alpha.clone() * at(2) } else { at(2) };
        rows.push(vec![c.map(at(0) - at(3) * step, &[x, g, v, rate])?, v]);
    }
    Ok(grouped(rows))
}

#[cfg(test)]
mod tests {
    use crate::ir::{Tensor, eval};
    use crate::onnx::Attribute;
    use crate::ops::driver::lower_graph;
    use crate::ops::testing::*;

    fn step(op: &str, attrs: &[(&str, Attribute)], count: i64, rest: &[f32]) -> Vec<f32> {
        let mut args = vec![f32s(&[], &[0.5]), Arg::In(Tensor::of(&[], &[count]))];
        args.extend(rest.iter().map(|x| f32s(&[1], &[*x])));
        let outputs = rest.len() - 1;
        let mut graph = model(op, 1, attrs, &args, outputs);
        graph.nodes[0].domain = "ai.onnx.preview.training".into();
        let lowered = lower_graph(&graph, &Default::default()).unwrap();
        let inputs: Vec<_> =
            args.iter().filter_map(|a| if let Arg::In(t) = a { Some(t.clone()) } else { None }).collect();
        eval::run(&lowered, &inputs).unwrap().iter().map(|t| t.get(0).to_f64() as f32).collect()
    }

    #[test]
    fn a_rate_of_another_type() {
        let x = |v: f64| Arg::In(Tensor::of(&[1], &[v]));
        let args = [f32s(&[], &[0.5]), Arg::In(Tensor::of(&[], &[0i64])), x(1.0), x(2.0), x(12.0)];
        let mut graph = model("Adagrad", 1, &[("epsilon", Attribute::Float(0.0))], &args, 2);
        graph.nodes[0].domain = "ai.onnx.preview.training".into();
        let lowered = lower_graph(&graph, &Default::default()).unwrap();
        let inputs: Vec<_> =
            args.into_iter().filter_map(|a| if let Arg::In(t) = a { Some(t) } else { None }).collect();
        let expected = [Tensor::of(&[1], &[0.75f64]), Tensor::of(&[1], &[16.0f64])];
        assert_eq!(eval::run(&lowered, &inputs).unwrap(), expected);
    }

    #[test]
    fn one_step_by_hand() {
        let exact = [("epsilon", Attribute::Float(0.0))];
        assert_eq!(step("Adagrad", &exact, 0, &[1.0, 2.0, 12.0]), [0.75, 16.0]);
        let attrs = [
            ("alpha", Attribute::Float(0.5)),
            ("beta", Attribute::Float(0.25)),
            ("norm_coefficient", Attribute::Float(0.0)),
            ("mode", text("standard")),
        ];
        assert_eq!(step("Momentum", &attrs, 0, &[1.0, 2.0, 4.0]), [-1.0, 4.0]);
        assert_eq!(step("Momentum", &attrs, 1, &[1.0, 2.0, 4.0]), [-0.25, 2.5]);
        let attrs = [("alpha", Attribute::Float(0.5)), ("beta", Attribute::Float(0.5)), exact[0].clone()];
        assert_eq!(step("Adam", &attrs, 0, &[1.0, 2.0, 2.0, 4.0]), [0.5, 2.0, 4.0]);
    }
}
