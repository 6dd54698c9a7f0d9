//! Extents that values decide: a result that has room for all that there can be is cut to as many elements as are found
//! when the network runs, and the number has a name in the shapes of all that follows.

use super::Ctx;
use super::expr::{Expr, x};
use crate::error::Result;
use crate::ir::{Builder, Dim, Op, Shape, ValueId};
use sofie_infer_runtime::map::Binary;
use std::sync::Arc;

/// Extents that stand for what values decide, or for symbols of the inputs, by name: where two numbers meet that are found
/// or given apart, the second has to be the first when the network runs.
pub(super) type Same = Vec<(Arc<str>, Dim)>;

/// The first `count` (i64, one element) elements of `v` along an axis, of which there are no more than `v` has. `name` is
/// what messages call the number. What has to hold when the network runs is added to `checks`.
pub(super) fn cut(
    b: &mut Builder,
    (v, axis): (ValueId, usize),
    count: ValueId,
    name: &str,
    same: &Same,
    checks: &mut Vec<ValueId>,
) -> Result<ValueId> {
    if let Some(n) = b.constant(count).and_then(|t| t.to_ints()).and_then(|n| n.first().copied()) {
        return Ok(b.slice_axis(v, axis, Dim::Fixed(0), Dim::Fixed(n))?);
    }
    let mut v = v;
    let mut count = b.reshape(count, Shape::default())?;
    let room = b.shape(v)[axis].clone();
    let extent = known(b, count).unwrap_or_else(|| named(b, &room, name, same));
    if let Some(most) = extent.as_symbol().map(|s| s.most).filter(|most| *most < room.range().1) {
        // There must be no more for the network to go on; nothing behind is written or read where there are.
        let limit = b.scalar(most);
        checks.push(b.binary(Binary::Le, count, limit)?);
        count = b.binary(Binary::Min, count, limit)?;
        v = b.slice_axis(v, axis, Dim::Fixed(0), Dim::min(&room, &Dim::Fixed(most)))?;
    }
    if let Some(n) = extent.fixed() {
        let n = b.scalar(n);
        checks.push(b.binary(Binary::Eq, count, n)?);
        return Ok(b.slice_axis(v, axis, Dim::Fixed(0), extent)?);
    }
    Ok(b.one(Op::Cut { axis, extent }, &[v, count])?)
}

/// What to do about a number of elements that has to be known.
pub(super) const HELP: &str =
    "declare the shape of that tensor in the file, or make it an output of the model and go on from there";

/// One of the extents that values decide, where there is one among some.
pub(super) fn among(b: &Builder, dims: &[Dim]) -> Option<Arc<str>> {
    let named = |name: &Arc<str>| dims.iter().any(|d| d.symbols().contains(name));
    b.graph().found().into_iter().map(|f| f.symbol.name).find(named)
}

/// The extent that a number is already.
fn known(b: &Builder, count: ValueId) -> Option<Dim> {
    let of =
        |v: ValueId| b.graph().producer(v).filter(|n| matches!(n.op, Op::Reshape(_))).map(|n| n.inputs[0]);
    b.graph().nodes().iter().find_map(|n| match (&n.op, n.found()) {
        (Op::Cut { extent, .. }, Some((_, other)))
            if other == count || of(other) == of(count) && of(count).is_some() =>
        {
            Some(extent.clone())
        }
        _ => None,
    })
}

/// A new extent of at most `room`, or what it has to be.
fn named(b: &Builder, room: &Dim, name: &str, same: &Same) -> Dim {
    let (found, symbols) = (b.graph().found(), b.graph().symbols());
    let taken =
        |name: &str| found.iter().any(|f| *f.symbol.name == *name) || symbols.iter().any(|s| **s == *name);
    let mut named = format!("{name}.n");
    for i in 2.. {
        if !taken(&named) {
            break;
        }
        named = format!("{name}.n{i}");
    }
    resolved(&named, same).unwrap_or_else(|| Dim::bounded(&named, 0, room.range().1))
}

/// What an extent of that name stands for.
pub(super) fn resolved(name: &str, same: &Same) -> Option<Dim> {
    let (_, d) = same.iter().rfind(|(other, _)| **other == *name)?;
    match d.as_symbol().filter(|s| *s.name != *name) {
        Some(other) => resolved(&other.name, same).or_else(|| Some(d.clone())),
        None => Some(d.clone()),
    }
}

impl Ctx<'_, '_> {
    /// The extent of output `output` along `axis` that a kernel is to write: what the file declares, which the number found
    /// at run time is checked against later; or at most `most`.
    pub fn capacity(&self, output: usize, axis: usize, most: &Dim) -> Dim {
        let declared = self.declared.get(output).cloned().flatten().and_then(|s| s.fixed());
        declared.and_then(|s| s.get(axis).copied()).map_or_else(|| most.clone(), Dim::from)
    }

    /// `v`, which is output `output`, with `count` (i64, one element) elements along `axis`: as many as declared, or the run
    /// fails; or else as many as there are.
    pub fn counted(&mut self, v: ValueId, output: usize, axis: usize, count: ValueId) -> Result<ValueId> {
        if self.declared.get(output).cloned().flatten().is_none() {
            let name = self.node.output(output).map_or_else(|| self.node.op_type.clone(), |n| n.to_string());
            return cut(self.b, (v, axis), count, &name, self.same, self.checks);
        }
        let count = self.reshape(count, &[])?;
        let n = self.shape(v)[axis].fixed().unwrap_or(-1);
        let holds = self.map(x().eq(Expr::Typed(n.into())), &[count])?;
        self.check(holds);
        Ok(v)
    }
}
