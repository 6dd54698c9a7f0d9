//! Convolutions and products with what the optimiser moved into them: activations, residuals, transposes, factors.

use super::refused;
use crate::error::{Error, Result};
use crate::ir::ValueId;
use crate::ops::Ctx;
use crate::ops::expr::{Expr, num, x, y};
use crate::ops::{conv, gemm, matmul, window};
use sofie_infer_runtime::map::Unary;

/// The attribute `activation` of a value, with its parameters; the epilogue of the product takes it in.
fn activated(c: &mut Ctx<'_, '_>, v: ValueId, parameters: [Option<f32>; 2]) -> Result<ValueId> {
    let [alpha, beta] = parameters;
    let or = |p: Option<f32>, default: f32| num(p.unwrap_or(default));
    let both = || match parameters {
        [Some(a), Some(b)] => Ok((num(a), num(b))),
        _ => Err(Error::new("the activation Clip needs two parameters")),
    };
    let name = c.attrs.string_or("activation", "")?;
    let e: Expr = match name {
        "" => return Ok(v),
        "Relu" => x().unary(Unary::Relu),
        "Sigmoid" => x().unary(Unary::Sigmoid),
        "Tanh" => x().unary(Unary::Tanh),
        "LeakyRelu" => x().ge(num(0.0)).select(x(), or(alpha, 0.01) * x()),
        "Clip" => {
            let (lo, hi) = both()?;
            x().max(lo).min(hi)
        }
        "HardSigmoid" => x().mul_add(or(alpha, 0.2), or(beta, 0.5)).max(num(0.0)).min(num(1.0)),
        other => return Err(refused(format!("the activation {other:?} is not supported"))),
    };
    c.map(e, &[v])
}

/// `FusedConv`: `activation(conv(X, W) + B + Z)`.
pub(in crate::ops) fn fused_conv(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w, bias) = (c.required(0, "X")?, c.required(1, "W")?, c.optional(2)?);
    let mut sum = conv::convolution(c, v, w, bias)?;
    if let Some(residual) = c.optional(3)? {
        if c.shape(residual) != c.shape(sum) {
            return Err(Error::new(format!("Z is {} for a result {}", c.shape(residual), c.shape(sum))));
        }
        sum = c.map(x() + y(), &[sum, residual])?;
    }
    let parameters = c.attrs.floats("activation_params")?.unwrap_or_default();
    let parameters = [parameters.first().copied(), parameters.get(1).copied()];
    Ok(vec![activated(c, sum, parameters)?])
}

/// `ConvTransposeWithDynamicPads`, of pads that are constants of the file.
pub(in crate::ops) fn conv_transpose_pads(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let n = window::spatial(c, c.required(0, "X")?)?;
    let pads = c.const_ints(2, "Pads")?.ok_or_else(|| Error::new("input 2 (Pads) is missing"))?;
    let pads = window::counts("Pads", &pads, 2 * n, 0)?;
    let bias = c.optional(3)?;
    Ok(vec![conv::transposed(c, bias, (pads[..n].to_vec(), pads[n..].to_vec()))?])
}

/// `FusedGemm`: `activation(Gemm)`.
pub(in crate::ops) fn fused_gemm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let product = gemm::general(c)?;
    let parameters = [c.attrs.float("activation_alpha")?, c.attrs.float("activation_beta")?];
    // No activation that is known has a third parameter.
    c.attrs.ignore(&["activation_gamma"]);
    Ok(vec![activated(c, product, parameters)?])
}

/// An operand of `FusedMatMul` as the product reads it: `batch` says that axis 0 belongs behind the batch axes, `last`
/// that the last two axes are swapped afterwards.
fn turned(c: &mut Ctx<'_, '_>, v: ValueId, last: bool, batch: bool) -> Result<ValueId> {
    let rank = c.rank(v);
    let mut perm: Vec<usize> = (0..rank).collect();
    if batch && rank >= 2 {
        perm = (1..rank - 1).chain([0, rank - 1]).collect();
    }
    if last && rank >= 2 {
        perm.swap(rank - 2, rank - 1);
    }
    Ok(c.b.transpose(v, &perm)?)
}

/// `FusedMatMul` (once `TransposeMatMul`): `alpha · A' · B'`.
pub(in crate::ops) fn fused_matmul(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, b) = (c.required(0, "A")?, c.required(1, "B")?);
    let of = |name: &str| c.attrs.flag_or(name, false);
    let ((last_a, batch_a), (last_b, batch_b)) =
        ((of("transA")?, of("transBatchA")?), (of("transB")?, of("transBatchB")?));
    let (mut a, mut b) = (turned(c, a, last_a, batch_a)?, turned(c, b, last_b, batch_b)?);
    let alpha = c.attrs.float_or("alpha", 1.0)?;
    gemm::scale_one(c, &mut a, &mut b, alpha)?;
    Ok(vec![matmul::product(c, a, b)?])
}
