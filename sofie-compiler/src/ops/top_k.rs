//! `TopK`: the largest or smallest elements along an axis, and where they are.

use super::Ctx;
use super::expr::{Expr, x, y};
use super::transpose::axis_last;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ValueId};
use sofie_infer_runtime::map::Binary;

/// `TopK`. `k` is an attribute in opset 1 and an operand since 10. With `sorted = 0` any order will do;
/// the sorted one is given.
pub(super) fn top_k(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let rank = c.rank(v);
    let axis = c.axis("axis", Some(-1), rank)?;
    let output = usize::from(!c.wants(0));
    let given = if c.version() < 10 { None } else { c.computed(1)? };
    if let Some((given, 1)) = given
        && c.declared.get(output).cloned().flatten().is_none()
    {
        return found(c, v, axis, given);
    }
    let computed = match given {
        Some(_) => super::runtime::extent(c, 1, output, "k", |to| to.get(axis).copied())?,
        None => None,
    };
    let k = match computed {
        Some(k) => Some(Dim::Fixed(k)),
        None if c.version() < 10 => c.attrs.int("k")?.map(Dim::Fixed),
        None => c.extent(1, "k")?,
    };
    let Some(k) = k else { return Err(Error::new("k is missing")) };
    let largest = c.attrs.flag_or("largest", true)?;
    c.attrs.ignore(&["sorted"]);
    sorted(c, v, axis, k, largest)
}

/// As many as a run says: all in their order, cut to the first of them. More than there are is an error of the run.
fn found(c: &mut Ctx<'_, '_>, v: ValueId, axis: usize, k: ValueId) -> Result<Vec<ValueId>> {
    let largest = c.attrs.flag_or("largest", true)?;
    c.attrs.ignore(&["sorted"]);
    let n = c.shape(v)[axis].clone();
    let there = c.extent_value(&n)?;
    c.check_map(x().ge(Expr::Typed(0i64.into())).binary(Binary::And, y().ge(x())), &[k, there])?;
    let k = c.map(x().max(Expr::Typed(0i64.into())).min(y()), &[k, there])?;
    let results = sorted(c, v, axis, n, largest)?;
    let one = |(output, v): (usize, ValueId)| match c.wants(output) {
        true => c.counted(v, output, axis, k),
        false => Ok(v),
    };
    results.into_iter().enumerate().map(one).collect()
}

/// The first `k` along an axis, and where they are.
fn sorted(c: &mut Ctx<'_, '_>, v: ValueId, axis: usize, k: Dim, largest: bool) -> Result<Vec<ValueId>> {
    let n = &c.shape(v)[axis];
    if let (Some(symbol), Some(false) | None) = (n.symbols().first(), k.le(n)) {
        let problem = format!("k = {k}, and there are {n} elements, which may be fewer");
        return Err(Error::new(problem)
            .help(format!("let {symbol} start where there are as many, as in dims({symbol} = {k}..=128)")));
    }
    let (there, back) = axis_last(c.rank(v), axis);
    let last = c.b.transpose(v, &there)?;
    let results = c.b.push(Op::TopK { k, largest }, &[last])?;
    results.into_iter().map(|r| Ok(c.b.transpose(r, &back)?)).collect()
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::{Attribute, DimSpec};
    use crate::ops::testing::*;
    use sofie_infer_runtime::DType;

    #[test]
    fn along_any_axis_the_lower_index_first() {
        let x = f32s(&[3, 2], &[1.0, 9.0, 5.0, 9.0, 3.0, 0.0]);
        let axis = [("axis", Attribute::Int(0))];
        let top = run_all("TopK", 11, &axis, &[x.clone(), ints(&[2])], 2).unwrap();
        assert_eq!(
            top,
            [Tensor::of(&[2, 2], &[5.0f32, 9.0, 3.0, 9.0]), Tensor::of(&[2, 2], &[1i64, 0, 2, 1])]
        );
        let smallest = [("largest", Attribute::Int(0))];
        let low = run_all("TopK", 11, &smallest, &[x.clone(), ints(&[1])], 2).unwrap();
        assert_eq!(low[1], Tensor::of(&[3, 1], &[0i64, 0, 1]));
        let old = run_all("TopK", 1, &[("k", Attribute::Int(1))], std::slice::from_ref(&x), 2).unwrap();
        assert_eq!(old[0], Tensor::of(&[3, 1], &[9.0f32, 9.0, 3.0]));
        assert!(lowered("TopK", 11, &[], &[x, ints(&[3])], 2).unwrap_err().contains("k = 3 of 2 elements"));
    }

    #[test]
    fn an_axis_that_may_be_shorter_is_refused_with_a_way_out() {
        let x = Arg::Open(DType::F32, vec![DimSpec::Symbol("n".into())]);
        let refused = lowered("TopK", 11, &[], &[x, ints(&[8])], 2).unwrap_err();
        assert!(refused.contains("k = 8") && refused.contains("dims(n = 8..=128)"), "{refused}");
    }
}
