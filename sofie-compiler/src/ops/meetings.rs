//! Extents that meet at a node and are not known to be equal: which of them a walk may take for the other, or for closer
//! bounds, so that the node can be lowered, and a run is checked for it.

use super::found::Same;
use crate::ir::{Atom, Builder, Dim, Symbol, ValueId};
use std::sync::Arc;

/// The number of an operand, and its extents by their place from the end.
type Extents = (usize, Vec<(usize, Dim)>);

/// The pairs of extents of operands of which one, named first, is decided by values and may have to be the other: those
/// of one axis first, counted from the end as broadcasting does. Then come those of two inputs along one axis, of which the
/// later has to be the earlier (tf2onnx names the batch of each input by itself), then extents that may have to be at most a
/// number of which they are the smaller one (`min(n, 20)`, a slice of 20, where `n` are needed), last those that may have to be
/// at least 1.
pub(super) fn meetings(b: &Builder, operands: &[ValueId]) -> Same {
    let found = b.graph().found();
    let order = |d: &Dim| found.iter().position(|f| Some(&f.symbol) == d.as_symbol());
    let last = |d: &Dim| found.iter().rposition(|f| d.symbols().contains(&f.symbol.name));
    let dims = |v: &ValueId| b.shape(*v).dims().iter().rev().cloned().enumerate().collect::<Vec<_>>();
    let all: Vec<Extents> = operands.iter().map(dims).enumerate().collect();
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
    let read = |name: &str| {
        all.iter().flat_map(|(_, dims)| dims).any(|(_, d)| d.symbols().iter().any(|s| **s == *name))
    };
    let empty = found.iter().map(|f| &f.symbol).filter(|s| s.least == 0 && s.most > 0 && read(&s.name));
    let there = empty.map(|s| (s.name.clone(), Dim::bounded(&s.name, 1, s.most)));
    let limits = all.iter().flat_map(|(_, dims)| dims).flat_map(|(_, d)| limits(d));
    let limited =
        limits.filter(|(s, most)| found.iter().any(|f| f.symbol == *s) && (s.least..s.most).contains(most));
    let limited: Same =
        limited.map(|(s, most)| (s.name.clone(), Dim::bounded(&s.name, s.least, most))).collect();
    pairs.into_iter().map(|(_, pair)| pair).chain(apart(b, &all)).chain(limited).chain(there).collect()
}

/// The symbols of inputs that meet along an axis, the one that is given later first.
fn apart(b: &Builder, all: &[Extents]) -> Same {
    let found = b.graph().found();
    let is_found = |d: &Dim| found.iter().any(|f| Some(&f.symbol) == d.as_symbol());
    let given: Vec<Dim> = inputs(b).filter(|d| d.as_symbol().is_some() && !is_found(d)).collect();
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
    apart
}

/// The extents of the inputs, in order.
fn inputs(b: &Builder) -> impl Iterator<Item = Dim> {
    b.graph().inputs().iter().flat_map(|i| b.shape(i.value).dims().to_vec())
}

/// The symbols that an extent has the smaller of, and what the other is.
fn limits(d: &Dim) -> Vec<(Symbol, i64)> {
    let atoms = d.monomials().into_iter().flat_map(|(monomial, _)| monomial);
    let limit = |(atom, _)| match atom {
        Atom::Min(a, b) => {
            [(&a, &b), (&b, &a)].into_iter().find_map(|(d, n)| Some((d.as_symbol()?.clone(), n.fixed()?)))
        }
        _ => None,
    };
    atoms.filter_map(limit).collect()
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
