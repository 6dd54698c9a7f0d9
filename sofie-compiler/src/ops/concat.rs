//! `Concat`: operands one behind the other along an axis.

use super::Ctx;
use crate::error::Result;
use crate::ir::{Op, ValueId};

/// `Concat`; opset 1 had the default axis 1.
pub(super) fn concat(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let parts = c.variadic()?;
    let default = (c.version() < 4).then_some(1);
    let axis = c.axis("axis", default, c.rank(parts[0]))?;
    Ok(vec![c.b.one(Op::Concat(axis), &parts)?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn along_an_axis_counted_from_either_end() {
        let args = [f32s(&[2, 1], &[1.0, 2.0]), f32s(&[2, 2], &[3.0, 4.0, 5.0, 6.0])];
        let y = Tensor::of(&[2, 3], &[1.0f32, 3.0, 4.0, 2.0, 5.0, 6.0]);
        assert_eq!(run("Concat", 13, &[("axis", Attribute::Int(-1))], &args), y);
        assert_eq!(run("Concat", 1, &[], &args), y);
        assert!(lowered("Concat", 4, &[], &args, 1).unwrap_err().contains("attribute \"axis\" is missing"));
    }
}
