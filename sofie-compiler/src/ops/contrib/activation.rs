//! GELU in its variants, with the bias that the optimiser moved into them.

use crate::error::Result;
use crate::ir::ValueId;
use crate::ops::Ctx;
use crate::ops::expr::{num, x, y};
use sofie_infer_runtime::map::Unary;

/// `op(x + bias)`: `Gelu`, `FastGelu` and `BiasGelu`, whose bias is a second operand if there is any.
pub(in crate::ops) fn gelu(c: &mut Ctx<'_, '_>, op: Unary) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    Ok(vec![match c.optional(1)? {
        Some(bias) => c.map((x() + y()).unary(op), &[v, bias])?,
        None => c.map(x().unary(op), &[v])?,
    }])
}

/// `QuickGelu`: `x · sigmoid(alpha · x)`.
pub(in crate::ops) fn quick_gelu(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let alpha = c.attrs.float_or("alpha", 1.702)?;
    Ok(vec![c.map(x() * (num(alpha) * x()).unary(Unary::Sigmoid), &[v])?])
}
