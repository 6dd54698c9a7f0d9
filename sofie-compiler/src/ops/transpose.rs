//! `Transpose`, and the block moves that are a transpose between two reshapes: `DepthToSpace`,
//! `SpaceToDepth`.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Dim, Shape, ValueId, axis_in};

/// `Transpose`: axes in the order of `perm`, reversed where it is left out.
pub(super) fn transpose(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    let rank = c.rank(v);
    let perm = match c.attrs.ints("perm")? {
        Some(perm) => perm.iter().map(|&a| axis_in(a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).rev().collect(),
    };
    Ok(vec![c.b.transpose(v, &perm)?])
}

/// The axes with `axis` moved to the end, and the permutation that moves it back.
pub(super) fn axis_last(rank: usize, axis: usize) -> (Vec<usize>, Vec<usize>) {
    let there: Vec<_> = (0..rank).filter(|&a| a != axis).chain([axis]).collect();
    let back = inverse(&there);
    (there, back)
}

/// The permutation that undoes `perm`.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut back = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(i, &a)| back[a] = i);
    back
}

/// The block size and the four extents.
fn blocks(c: &Ctx<'_, '_>, v: ValueId) -> Result<(Dim, [Dim; 4])> {
    let size = c.attrs.int("blocksize")?;
    let size = c.attrs.require("blocksize", size)?;
    match c.shape(v).dims() {
        [n, ch, h, w] if size > 0 => Ok((Dim::Fixed(size), [n.clone(), ch.clone(), h.clone(), w.clone()])),
        _ => {
            Err(Error::misfit(format!("blocks of {size} of a tensor {}; [N, C, H, W] is needed", c.shape(v))))
        }
    }
}

fn divided(d: &Dim, by: &Dim) -> Result<Dim> {
    d.exact_div(by).ok_or_else(|| Error::new(format!("the extent {d} does not divide into blocks of {by}")))
}

/// `DepthToSpace`: blocks of channels become squares of pixels.
pub(super) fn depth_to_space(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let (s, [n, ch, h, w]) = blocks(c, v)?;
    let depth = divided(&ch, &s.mul(&s)?)?;
    let (apart, perm) = match c.attrs.string_or("mode", "DCR")? {
        "DCR" => {
            (vec![n.clone(), s.clone(), s.clone(), depth.clone(), h.clone(), w.clone()], [0, 3, 4, 1, 5, 2])
        }
        "CRD" => {
            (vec![n.clone(), depth.clone(), s.clone(), s.clone(), h.clone(), w.clone()], [0, 1, 4, 2, 5, 3])
        }
        other => return Err(Error::new(format!("mode {other:?} is neither \"DCR\" nor \"CRD\""))),
    };
    let to = Shape::new(vec![n, depth, h.mul(&s)?, w.mul(&s)?]);
    let v = c.b.reshape(v, Shape::new(apart))?;
    let v = c.b.transpose(v, &perm)?;
    Ok(vec![c.b.reshape(v, to)?])
}

/// `SpaceToDepth`: squares of pixels become blocks of channels.
pub(super) fn space_to_depth(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let (s, [n, ch, h, w]) = blocks(c, v)?;
    let (rows, columns) = (divided(&h, &s)?, divided(&w, &s)?);
    let perm = match c.attrs.string_or("mode", "DCR")? {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return Err(Error::new(format!("mode {other:?} is neither \"DCR\" nor \"CRD\""))),
    };
    let to = Shape::new(vec![n.clone(), ch.mul(&s.mul(&s)?)?, rows.clone(), columns.clone()]);
    let v = c.b.reshape(v, Shape::new(vec![n, ch, rows, s.clone(), columns, s]))?;
    let v = c.b.transpose(v, &perm)?;
    Ok(vec![c.b.reshape(v, to)?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn axes_change_places() {
        let x = Arg::In(Tensor::of(&[2, 3], &[1u8, 2, 3, 4, 5, 6]));
        assert_eq!(
            run("Transpose", 13, &[], std::slice::from_ref(&x)),
            Tensor::of(&[3, 2], &[1u8, 4, 2, 5, 3, 6])
        );
        let perm = [("perm", Attribute::Ints(vec![0, 0]))];
        assert!(lowered("Transpose", 13, &perm, &[x], 1).unwrap_err().contains("does not permute"));
    }

    #[test]
    fn depth_and_space_are_inverse() {
        let x = Tensor::of(&[1, 4, 1, 2], &[0.0f32, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
        for mode in ["DCR", "CRD"] {
            let attrs = [("blocksize", Attribute::Int(2)), ("mode", text(mode))];
            let space = run("DepthToSpace", 13, &attrs, &[Arg::In(x.clone())]);
            assert_eq!(space, Tensor::of(&[1, 1, 2, 4], &[0.0f32, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]));
            assert_eq!(run("SpaceToDepth", 28, &attrs, &[Arg::In(space)]), x);
        }
    }
}
