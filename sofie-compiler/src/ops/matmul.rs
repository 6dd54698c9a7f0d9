//! `MatMul` as numpy has it: batch axes broadcast, vectors are rows on the left and columns on the right.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Dim, Epilogue, Op, ValueId};

/// `MatMul`.
pub(super) fn matmul(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (a, b) = (c.required(0, "A")?, c.required(1, "B")?);
    Ok(vec![product(c, a, b)?])
}

/// The product of two tensors of any rank above 0.
pub(super) fn product(c: &mut Ctx<'_, '_>, mut a: ValueId, mut b: ValueId) -> Result<ValueId> {
    let (ra, rb) = (c.rank(a), c.rank(b));
    if ra == 0 || rb == 0 {
        return Err(Error::new(format!("a product of {} and {}; scalars have none", c.shape(a), c.shape(b))));
    }
    if rb == 1 {
        let column = c.shape(b).dims().iter().cloned().chain([Dim::ONE]).collect();
        b = c.b.reshape(b, column)?;
    }
    let rank = c.rank(a).max(c.rank(b)).max(2);
    a = c.b.to_rank(a, rank)?;
    b = c.b.to_rank(b, rank)?;
    let y = c.b.one(Op::MatMul(Epilogue::NONE), &[a, b])?;
    let mut drop = Vec::new();
    if ra == 1 {
        drop.push(rank - 2);
    }
    if rb == 1 {
        drop.push(rank - 1);
    }
    c.drop_axes(y, &drop)
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::ops::testing::*;

    #[test]
    fn vectors_matrices_and_batches() {
        let v = f32s(&[2], &[1.0, 2.0]);
        let m = f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
        let batch = f32s(&[2, 1, 2], &[1.0, 0.0, 0.0, 1.0]);
        assert_eq!(run("MatMul", 13, &[], &[v.clone(), v.clone()]), Tensor::of(&[], &[5.0f32]));
        assert_eq!(run("MatMul", 13, &[], &[m.clone(), v.clone()]), Tensor::of(&[2], &[5.0f32, 11.0]));
        assert_eq!(run("MatMul", 13, &[], &[v, m.clone()]), Tensor::of(&[2], &[7.0f32, 10.0]));
        assert_eq!(
            run("MatMul", 13, &[], &[batch, m.clone()]),
            Tensor::of(&[2, 1, 2], &[1.0f32, 2.0, 3.0, 4.0])
        );
        let scalar = lowered("MatMul", 13, &[], &[m.clone(), f32s(&[], &[1.0])], 1).unwrap_err();
        assert!(scalar.contains("scalars have none"), "{scalar}");
        let error = lowered("MatMul", 13, &[], &[m, f32s(&[3, 1], &[0.0; 3])], 1).unwrap_err();
        assert!(error.contains("2 and 3 differ"), "{error}");
    }
}
