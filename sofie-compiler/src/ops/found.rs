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
    let count = b.reshape(count, Shape::default())?;
    let extent = known(b, count).unwrap_or_else(|| named(b, &b.shape(v)[axis], name, same));
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

/// The pairs of extents of operands of which one, named first, is decided by values and may have to be the other: those
/// of one axis first, counted from the end as broadcasting does. Then come those of two inputs along one axis, of which the
/// later has to be the earlier (tf2onnx names the batch of each input by itself), last extents that may have to be at least 1.
pub(super) fn meetings(b: &Builder, operands: &[ValueId]) -> Same {
    let found = b.graph().found();
    let order = |d: &Dim| found.iter().position(|f| Some(&f.symbol) == d.as_symbol());
    let last = |d: &Dim| found.iter().rposition(|f| d.symbols().contains(&f.symbol.name));
    let dims = |v: &ValueId| b.shape(*v).dims().iter().rev().cloned().enumerate().collect::<Vec<_>>();
    let all: Vec<(usize, Vec<(usize, Dim)>)> = operands.iter().map(dims).enumerate().collect();
    let mut pairs: Vec<(bool, (Arc<str>, Dim))> = Vec::new();
    for (i, first) in &all {
        for (_, second) in all.iter().filter(|(j, _)| j != i) {
            for ((a, d), (c, e)) in first.iter().flat_map(|x| second.iter().map(move |y| (x, y))) {
                // The one that is found last has to be the other.
                let Some(at) = order(d).filter(|_| d != e && !e.is(1)) else { continue };
                if last(e).is_none_or(|other| other < at) {
                    pairs.push((a != c, (found[at].symbol.name.clone(), e.clone())));
                }
            }
        }
    }
    pairs.sort_by_key(|(apart, _)| *apart);
    pairs.dedup();
    let given: Vec<Dim> = inputs(b).filter(|d| order(d).is_none() && d.as_symbol().is_some()).collect();
    let place = |d: &Dim| given.iter().position(|g| g == d);
    let mut apart = Vec::new();
    for ((i, first), (j, second)) in all.iter().flat_map(|x| all.iter().map(move |y| (x, y))) {
        for ((_, d), (_, e)) in first.iter().zip(second).filter(|_| i != j) {
            if let (Some(later), Some(earlier), Some(s)) = (place(d), place(e), d.as_symbol())
                && later > earlier
            {
                apart.push((s.name.clone(), e.clone()));
            }
        }
    }
    apart.dedup();
    let read = |name: &str| {
        all.iter().flat_map(|(_, dims)| dims).any(|(_, d)| d.symbols().iter().any(|s| **s == *name))
    };
    let empty = found.iter().map(|f| &f.symbol).filter(|s| s.least == 0 && s.most > 0 && read(&s.name));
    let there = empty.map(|s| (s.name.clone(), Dim::bounded(&s.name, 1, s.most)));
    pairs.into_iter().map(|(_, pair)| pair).chain(apart).chain(there).collect()
}

/// The extents of the inputs, in order.
fn inputs(b: &Builder) -> impl Iterator<Item = Dim> {
    b.graph().inputs().iter().flat_map(|i| b.shape(i.value).dims().to_vec())
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

#[cfg(test)]
mod tests {
    use crate::compile::Options;
    use crate::instance;
    use crate::ir::Graph;
    use crate::onnx::{DimSpec, Model, Opsets};
    use crate::ops::testing::*;
    use crate::ops::{DimBounds, DimValues};
    use sofie_infer_runtime::DType;
    use std::collections::BTreeMap;

    /// The sum of two inputs whose rows are named apart.
    fn sum(dims: &[(&str, u64)], bounds: &[(&str, u64, u64)]) -> Result<Graph, String> {
        let open = |name: &str| Arg::Open(DType::F32, vec![DimSpec::Symbol(name.into()), DimSpec::Const(3)]);
        let model = Model {
            producer: String::new(),
            ir_version: 8,
            opsets: Opsets::default(),
            graph: model("Add", 14, &[], &[open("a"), open("b")], 1),
            doc: String::new(),
            metadata: BTreeMap::new(),
            files: Vec::new(),
        };
        let options = Options {
            dims: dims.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect::<DimValues>(),
            bounds: bounds.iter().map(|(s, l, m)| ((*s).to_owned(), (*l, Some(*m)))).collect::<DimBounds>(),
            ..Options::default()
        };
        instance::optimised(&model, &options).map_err(|e| e.to_string())
    }

    fn inputs(graph: &Graph) -> Vec<String> {
        graph.inputs().iter().map(|i| graph.shape(i.value).to_string()).collect()
    }

    #[test]
    fn extents_of_inputs_that_meet_are_one() {
        let graph = sum(&[], &[("a", 1, 64), ("b", 4, 32)]).unwrap();
        assert_eq!(inputs(&graph), ["[a, 3]", "[a, 3]"]);
        let a = graph.shape(graph.inputs()[0].value)[0].clone();
        assert_eq!(a.as_symbol().map(|s| (s.least, s.most)), Some((4, 32)));
        assert!(sum(&[], &[("a", 1, 3), ("b", 4, 32)]).unwrap_err().contains("do not broadcast"));
        assert!(sum(&[], &[("a", 1, 3)]).unwrap_err().contains("not known whether a and b are equal"));
    }

    #[test]
    fn fixed_extents_may_be_broadcast() {
        assert_eq!(inputs(&sum(&[("a", 4), ("b", 4)], &[]).unwrap()), ["[4, 3]", "[4, 3]"]);
        assert_eq!(inputs(&sum(&[("a", 4), ("b", 1)], &[]).unwrap()), ["[4, 3]", "[1, 3]"]);
        assert_eq!(inputs(&sum(&[("a", 1), ("b", 4)], &[]).unwrap()), ["[1, 3]", "[4, 3]"]);
        assert!(sum(&[("a", 2), ("b", 4)], &[]).unwrap_err().contains("do not broadcast"));
    }
}
