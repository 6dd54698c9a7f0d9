//! Which axes an operand names that is computed at run time: all that the declared shape allows are computed, and the run
//! chooses.

use super::super::Ctx;
use super::super::expr::{x, y};
use super::{and, int};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Binary;

/// Whether each axis below `rank` is in the list `axes`, `[rank]` bools; the run fails on an axis outside, or twice.
pub(super) fn membership(c: &mut Ctx<'_, '_>, axes: ValueId, n: usize, rank: usize) -> Result<ValueId> {
    let (r, low) = (rank as i64, -(rank as i64));
    c.check_map(and(x().ge(int(low)), x().lt(int(r))), &[axes])?;
    let column = c.reshape(axes, &[n.into(), Dim::ONE])?;
    let places = c.integers(&(0..r).collect::<Vec<_>>());
    let hit = x().lt(int(0)).select(x() + int(r), x()).eq(y());
    let hits = c.map(hit, &[column, places])?;
    let member = c.b.one(Op::Reduce(ReduceKind::Max, vec![0]), &[hits])?;
    let member = c.reshape(member, &[rank.into()])?;
    let count = c.b.cast(member, DType::I64)?;
    let count = c.b.one(Op::Reduce(ReduceKind::Sum, vec![0]), &[count])?;
    c.check_map(x().eq(int(n as i64)), &[count])?;
    Ok(member)
}

/// Whether the members are exactly these.
fn is_set(c: &mut Ctx<'_, '_>, member: ValueId, set: &[usize], rank: usize) -> Result<ValueId> {
    let expected: Vec<bool> = (0..rank).map(|a| set.contains(&a)).collect();
    let expected = c.b.tensor(Tensor::of(&[rank], &expected));
    let same = c.map(x().eq(y()), &[member, expected])?;
    c.all(same)
}

/// All sets of `n` of `rank` axes.
fn sets(rank: usize, n: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for _ in 0..n {
        all = all
            .into_iter()
            .flat_map(|set: Vec<usize>| {
                let start = set.last().map_or(0, |a| a + 1);
                (start..rank).map(move |a| set.iter().copied().chain([a]).collect())
            })
            .collect();
    }
    all
}

/// One of several results, by which axes operand `i` names; `make` gives none for those that do not make the declared
/// shape. `rank` is what the axes count in.
pub(in crate::ops) fn by_axes(
    c: &mut Ctx<'_, '_>,
    i: usize,
    rank: usize,
    mut make: impl FnMut(&mut Ctx<'_, '_>, &[usize], &[usize]) -> Result<Option<ValueId>>,
) -> Result<Option<ValueId>> {
    let Some((axes, n)) = c.computed(i)? else { return Ok(None) };
    let to = c.declares(0, i, "axes")?;
    if n > rank || rank > 8 {
        return Err(Error::new(format!("{n} axes of a tensor of rank {rank}")));
    }
    let member = membership(c, axes, n, rank)?;
    let mut chosen: Option<(ValueId, ValueId)> = None;
    for set in sets(rank, n) {
        let Some(result) = make(c, &set, &to)? else { continue };
        let is = is_set(c, member, &set, rank)?;
        chosen = Some(match chosen {
            None => (result, is),
            Some((so_far, any)) => {
                let result = if so_far == result { result } else { c.b.select(is, result, so_far)? };
                (result, c.b.binary(Binary::Or, any, is)?)
            }
        });
    }
    let (result, any) =
        chosen.ok_or_else(|| Error::new(format!("no axes make the declared shape {to:?}")))?;
    c.check(any);
    Ok(Some(result))
}

/// One of the results for each axis below `rank`, by operand `i`, where it is computed.
pub(in crate::ops) fn by_axis(
    c: &mut Ctx<'_, '_>,
    i: usize,
    rank: usize,
    mut make: impl FnMut(&mut Ctx<'_, '_>, usize) -> Result<Option<ValueId>>,
) -> Result<Option<ValueId>> {
    let Some((axis, 1)) = c.computed(i)? else { return Ok(None) };
    let member = membership(c, axis, 1, rank)?;
    let mut chosen: Option<(ValueId, ValueId)> = None;
    for a in 0..rank {
        let Some(result) = make(c, a)? else { continue };
        let is = is_set(c, member, &[a], rank)?;
        chosen = Some(match chosen {
            None => (result, is),
            Some((so_far, any)) => (c.b.select(is, result, so_far)?, c.b.binary(Binary::Or, any, is)?),
        });
    }
    let (result, any) = chosen.ok_or_else(|| Error::new("no axis makes the declared shape"))?;
    c.check(any);
    Ok(Some(result))
}
