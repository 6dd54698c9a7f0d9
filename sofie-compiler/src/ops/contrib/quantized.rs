//! Products of quantised operands that give floats again: the integer product is exact, then come the scales.

use super::refused;
use crate::error::{Error, Result};
use crate::ir::ValueId;
use crate::ops::Ctx;
use crate::ops::expr::{Expr, x, y, z};
use crate::ops::matmul::product;
use crate::ops::quantize::{by_row, centred, dynamically, requantised};
use sofie_infer_runtime::DType;

/// `(a - za) · (b - zb) · sa · sb + bias` in f32; scales and zero points of `b` are one for all or one a column.
pub(super) fn scaled_product(
    c: &mut Ctx<'_, '_>,
    [a, b]: [ValueId; 2],
    [sa, sb]: [ValueId; 2],
    [za, zb]: [Option<ValueId>; 2],
    bias: Option<ValueId>,
) -> Result<ValueId> {
    for p in [Some(sa), za].into_iter().flatten() {
        if !c.b.shape(p).numel()?.is(1) {
            return Err(refused("a scale or zero point for each row of A is not supported"));
        }
    }
    let (a, b) = (centred(c, a, za)?, centred(c, b, zb)?);
    let sum = product(c, a, b)?;
    let factor = c.map(x() * y(), &[sa, sb])?;
    let scaled = x().cast(DType::F32) * y();
    match bias {
        Some(bias) => c.map(scaled + z(), &[sum, factor, bias]),
        None => c.map(scaled, &[sum, factor]),
    }
}

/// `MatMulIntegerToFloat`.
pub(in crate::ops) fn matmul_integer_to_float(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let operands = [c.required(0, "A")?, c.required(1, "B")?];
    let scales = [c.required(2, "a_scale")?, c.required(3, "b_scale")?];
    let zeros = [c.optional(4)?, c.optional(5)?];
    let bias = c.optional(6)?;
    Ok(vec![scaled_product(c, operands, scales, zeros, bias)?])
}

/// `DynamicQuantizeMatMul`: A is quantised over its whole range, as `DynamicQuantizeLinear` does it.
pub(in crate::ops) fn dynamic_matmul(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, b, scale) = (c.required(0, "A")?, c.required(1, "B")?, c.required(2, "b_scale")?);
    let (zero, bias) = (c.optional(3)?, c.optional(4)?);
    let [a, of_a, zero_a] = dynamically(c, a)?;
    Ok(vec![scaled_product(c, [a, b], [of_a, scale], [Some(zero_a), zero], bias)?])
}

/// `QGemm`: `alpha · A' · B' + C`, C in steps of `a_scale · b_scale`; quantised where there is a scale of Y.
pub(in crate::ops) fn qgemm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let names = ["A", "a_scale", "a_zero_point", "B", "b_scale", "b_zero_point"];
    let operands = names.iter().enumerate().map(|(i, n)| c.required(i, n)).collect::<Result<Vec<_>>>()?;
    let [mut a, sa, za, mut b, sb, zb] = operands[..] else { return Err(Error::new("six operands")) };
    if c.attrs.float_or("alpha", 1.0)? != 1.0 {
        return Err(refused("an alpha other than 1 is not supported"));
    }
    let za = by_row(c, za)?;
    (a, b) = (centred(c, a, Some(za))?, b);
    if c.attrs.flag_or("transA", false)? {
        a = c.b.transpose(a, &[1, 0])?;
    }
    if c.attrs.flag_or("transB", false)? {
        b = c.b.transpose(b, &[1, 0])?;
    }
    b = centred(c, b, Some(zb))?;
    let mut sum = product(c, a, b)?;
    if let Some(bias) = c.optional(6)? {
        sum = c.map(x() + y(), &[sum, bias])?;
    }
    Ok(vec![match (c.optional(7)?, c.optional(8)?) {
        (Some(scale), Some(zero)) => requantised(c, sum, [sa, sb, scale], zero)?,
        (None, None) => {
            let e: Expr = x().cast(DType::F32) * (y() * z());
            c.map(e, &[sum, sa, sb])?
        }
        _ => return Err(Error::new("y_scale and y_zero_point are used together or not at all")),
    }])
}
