//! Activation functions: the formulas of ONNX's operator texts as elementwise expressions.

use super::Ctx;
use super::expr::{Expr, num, x, y};
use crate::error::{Error, Result};
use crate::ir::{Dim, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;

/// A float attribute, as ONNX's default where it is left out.
fn alpha(c: &Ctx<'_, '_>, name: &str, default: f32) -> Result<Expr> {
    Ok(num(c.attrs.float_or(name, default)?))
}

fn apply(c: &mut Ctx<'_, '_>, e: Expr) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    Ok(vec![c.map(e, &[v])?])
}

/// `x >= 0 ? x : negative`, the form of every activation with a straight positive side.
fn positive_or(negative: Expr) -> Expr {
    x().ge(num(0.0)).select(x(), negative)
}

fn expm1(e: Expr) -> Expr {
    e.unary(Unary::Expm1)
}

/// `x` or `alpha * x`.
pub(super) fn leaky_relu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let alpha = alpha(c, "alpha", 0.01)?;
    apply(c, positive_or(alpha * x()))
}

/// `x` or `slope * x`. Since opset 7 the slope broadcasts to `x`; before, one slope is for all channels
/// (axis 1) or each has its own.
pub(super) fn prelu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, mut slope) = (c.required(0, "X")?, c.required(1, "slope")?);
    if c.version() < 7 && c.rank(slope) == 1 && c.rank(v) > 2 {
        let behind = vec![Dim::ONE; c.rank(v) - 2];
        let shape = c.shape(slope).dims().iter().cloned().chain(behind).collect();
        slope = c.b.reshape(slope, shape)?;
    }
    let shape = c.shape(v);
    if shape.broadcast(&c.shape(slope))? != shape {
        return Err(Error::new(format!("slope {} does not broadcast to {shape}", c.shape(slope))));
    }
    Ok(vec![c.map(positive_or(y() * x()), &[v, slope])?])
}

/// `x` or `alpha * (e^x - 1)`.
pub(super) fn elu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let alpha = alpha(c, "alpha", 1.0)?;
    apply(c, positive_or(alpha * expm1(x())))
}

/// `gamma * (x or alpha * (e^x - 1))`. Opset 1 had defaults of less precision.
pub(super) fn selu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, g) = if c.version() < 6 { (1.6732, 1.0507) } else { (1.673_263_2, 1.050_701) };
    let (alpha, gamma) = (alpha(c, "alpha", a)?, alpha(c, "gamma", g)?);
    // Two maps: the first is an activation that products apply, the factor goes into the weights behind it.
    let elu = apply(c, positive_or(alpha * expm1(x())))?;
    Ok(vec![c.map(gamma * x(), &elu)?])
}

/// `max(0, x) + min(0, alpha * (e^(x / alpha) - 1))`.
pub(super) fn celu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let alpha = alpha(c, "alpha", 1.0)?;
    apply(c, positive_or(alpha.clone() * expm1(x() / alpha)))
}

/// `max(0, min(1, alpha * x + beta))`.
pub(super) fn hard_sigmoid(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (alpha, beta) = (alpha(c, "alpha", 0.2)?, alpha(c, "beta", 0.5)?);
    apply(c, clipped_line(alpha, beta))
}

fn clipped_line(slope: Expr, offset: Expr) -> Expr {
    x().mul_add(slope, offset).max(num(0.0)).min(num(1.0))
}

/// `x * max(0, min(1, x / 6 + 0.5))`.
pub(super) fn hard_swish(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    apply(c, x() * clipped_line(num(1.0 / 6.0), num(0.5)))
}

/// `x * tanh(log(1 + e^x))`.
pub(super) fn mish(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    apply(c, x() * x().unary(Unary::Softplus).unary(Unary::Tanh))
}

/// GELU, exact or with tanh.
pub(super) fn gelu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let op = match c.attrs.string_or("approximate", "none")? {
        "none" => Unary::GeluErf,
        "tanh" => Unary::GeluTanh,
        other => return Err(Error::new(format!("approximate {other:?} is neither \"none\" nor \"tanh\""))),
    };
    apply(c, x().unary(op))
}

/// `x * sigmoid(alpha * x)`.
pub(super) fn swish(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    match c.attrs.float_or("alpha", 1.0)? {
        1.0 => apply(c, x().unary(Unary::Silu)),
        alpha => apply(c, x() * (num(alpha) * x()).unary(Unary::Sigmoid)),
    }
}

/// `SwiGLU`: the Swish of one operand times the other.
pub(super) fn swiglu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, b) = (c.required(0, "A")?, c.required(1, "B")?);
    if c.shape(a) != c.shape(b) {
        return Err(Error::new(format!("A is {} and B {}; they must be equal", c.shape(a), c.shape(b))));
    }
    let gate = match c.attrs.float_or("alpha", 1.0)? {
        1.0 => x().unary(Unary::Silu),
        alpha => x() * (num(alpha) * x()).unary(Unary::Sigmoid),
    };
    Ok(vec![c.map(gate * y(), &[a, b])?])
}

/// `x` above `alpha`, else 0.
pub(super) fn thresholded_relu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let alpha = alpha(c, "alpha", 1.0)?;
    apply(c, x().gt(alpha).select(x(), num(0.0)))
}

/// `x + bias` below `-lambd`, `x - bias` above `lambd`, else 0. Integers are compared and moved as the numbers that
/// they are, and what comes of it loses its fraction.
pub(super) fn shrink(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (bias, lambd) = (alpha(c, "bias", 0.0)?, alpha(c, "lambd", 0.5)?);
    let above = x().gt(lambd.clone()).select(x() - bias.clone(), num(0.0));
    let v = c.required(0, "input")?;
    let y = c.in_floats(v, DType::F64, |c, v| c.map(x().lt(-lambd).select(x() + bias, above), &[v]))?;
    Ok(vec![y])
}

/// `x / (1 + |x|)`.
pub(super) fn softsign(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    apply(c, x() / (num(1.0) + x().unary(Unary::Abs)))
}

/// `Clip`: between bounds that are attributes up to opset 10 and optional operands afterwards. Where
/// they cross, the upper one wins. From opset 6 to 10 the bounds have defaults, the largest numbers of f32, so that
/// infinities do not pass.
pub(super) fn clip(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let (lo, hi) = if c.version() < 11 {
        let (mut lo, mut hi) = (c.attrs.float("min")?, c.attrs.float("max")?);
        if c.version() >= 6 {
            (lo, hi) = (lo.or(Some(f32::MIN)), hi.or(Some(f32::MAX)));
        }
        (lo.map(|n| c.number(n.into(), v)), hi.map(|n| c.number(n.into(), v)))
    } else {
        (c.optional(1)?, c.optional(2)?)
    };
    let mut operands = vec![v];
    let mut e = x();
    for (bound, lower) in [(lo, true), (hi, false)] {
        let Some(bound) = bound else { continue };
        let n = match c.b.constant(bound) {
            Some(t) if t.len() == 1 && t.dtype() == c.dtype(v) => Expr::Typed(t.get(0)),
            _ => {
                operands.push(bound);
                Expr::Operand(operands.len() - 1)
            }
        };
        e = if lower { e.max(n) } else { e.min(n) };
    }
    Ok(vec![c.map(e, &operands)?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    fn apply(op: &str, attrs: &[(&str, f32)], xs: &[f32], expected: &[f32]) {
        let attrs: Vec<_> = attrs.iter().map(|(n, v)| (*n, Attribute::Float(*v))).collect();
        let y = run(op, 24, &attrs, &[f32s(&[xs.len()], xs)]);
        assert_close(&y, &Tensor::of(&[expected.len()], expected), 2e-6);
    }

    #[test]
    fn formulas() {
        apply("LeakyRelu", &[("alpha", 0.1)], &[-2.0, 0.0, 3.0, f32::NAN], &[-0.2, 0.0, 3.0, f32::NAN]);
        apply("Elu", &[("alpha", 2.0)], &[-1.0, 1.0], &[-1.264_241, 1.0]);
        apply("Selu", &[], &[-1.0, 1.0], &[-1.111_330_7, 1.050_701]);
        apply("Celu", &[("alpha", 2.0)], &[-1.0, 1.0], &[-0.786_938_7, 1.0]);
        apply("HardSigmoid", &[], &[-3.0, 1.0, 9.0], &[0.0, 0.7, 1.0]);
        apply("HardSwish", &[], &[-4.0, 1.0, 4.0], &[0.0, 2.0 / 3.0, 4.0]);
        apply("Mish", &[], &[-1.0, 0.0, 1.0], &[-0.303_401_47, 0.0, 0.865_098_4]);
        apply("Gelu", &[], &[-1.0, 0.0, 1.0], &[-0.158_655_26, 0.0, 0.841_344_7]);
        apply("Swish", &[("alpha", 2.0)], &[-1.0, 1.0], &[-0.119_202_92, 0.880_797_1]);
        apply("ThresholdedRelu", &[], &[0.5, 1.0, 1.5], &[0.0, 0.0, 1.5]);
        apply("Shrink", &[("bias", 1.5), ("lambd", 1.0)], &[-2.0, 0.5, 2.0], &[-0.5, 0.0, 0.5]);
        apply("Softsign", &[], &[-1.0, 3.0], &[-0.5, 0.75]);
    }

    #[test]
    fn integers_shrink_by_fractions() {
        let attrs = [("bias", Attribute::Float(0.25)), ("lambd", Attribute::Float(1.5))];
        let x = Arg::In(Tensor::of(&[4], &[0u32, 1, 2, 1 << 31]));
        assert_eq!(run("Shrink", 9, &attrs, &[x]), Tensor::of(&[4], &[0u32, 0, 1, (1 << 31) - 1]));
        let x = Arg::In(Tensor::of(&[3], &[-3i8, -1, 2]));
        assert_eq!(run("Shrink", 9, &attrs, &[x]), Tensor::of(&[3], &[-2i8, 0, 1]));
    }

    #[test]
    fn bounds_of_every_float() {
        use sofie_infer_runtime::f16;
        let x = Arg::In(Tensor::of(&[3], &[-2.0, 0.5, 2.0].map(f16::from_f32)));
        let y = Tensor::of(&[3], &[-1.0, 0.5, 1.0].map(f16::from_f32));
        let old = [("min", Attribute::Float(-1.0)), ("max", Attribute::Float(1.0))];
        assert_eq!(run("Clip", 6, &old, std::slice::from_ref(&x)), y);
        let infinite = f32s(&[2], &[f32::NEG_INFINITY, f32::INFINITY]);
        let below = Tensor::of(&[2], &[f32::MIN, 1.0]);
        assert_eq!(run("Clip", 6, &old[1..], std::slice::from_ref(&infinite)), below);
        let open = [infinite, Arg::Left, f32s(&[], &[1.0])];
        assert_eq!(run("Clip", 13, &[], &open), Tensor::of(&[2], &[f32::NEG_INFINITY, 1.0]));
        let bound = |b: f32| Arg::Const(Tensor::of(&[], &[f16::from_f32(b)]));
        assert_eq!(run("Clip", 13, &[], &[x, bound(-1.0), bound(1.0)]), y);
    }

    #[test]
    fn slopes_broadcast_one_way() {
        let x = f32s(&[1, 2, 2], &[-1.0, 2.0, -3.0, 4.0]);
        let y = Tensor::of(&[1, 2, 2], &[-0.5f32, 2.0, -0.75, 4.0]);
        assert_eq!(run("PRelu", 9, &[], &[x.clone(), f32s(&[2, 1], &[0.5, 0.25])]), y);
        assert_eq!(run("PRelu", 6, &[], &[x.clone(), f32s(&[2], &[0.5, 0.25])]), y);
        assert!(lowered("PRelu", 9, &[], &[x, f32s(&[3, 1, 1], &[0.0; 3])], 1).is_err());
    }

    #[test]
    fn clip_with_missing_crossing_and_run_time_bounds() {
        let x = f32s(&[3], &[-2.0, 0.5, 9.0]);
        let bound = |b: f32| Arg::Const(Tensor::of(&[], &[b]));
        let clip = |args: &[Arg]| run("Clip", 13, &[], args);
        assert_eq!(clip(&[x.clone(), bound(0.0), bound(1.0)]), Tensor::of(&[3], &[0.0f32, 0.5, 1.0]));
        assert_eq!(clip(&[x.clone(), Arg::Left, bound(1.0)]), Tensor::of(&[3], &[-2.0f32, 0.5, 1.0]));
        assert_eq!(clip(std::slice::from_ref(&x)), Tensor::of(&[3], &[-2.0f32, 0.5, 9.0]));
        assert_eq!(clip(&[x.clone(), bound(3.0), f32s(&[], &[2.0])]), Tensor::of(&[3], &[2.0f32; 3]));
        let old = run("Clip", 6, &[("max", Attribute::Float(1.0))], &[x]);
        assert_eq!(old, Tensor::of(&[3], &[-2.0f32, 0.5, 1.0]));
    }
}
