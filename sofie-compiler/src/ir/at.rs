//! Graphs and operations at given extents: every symbol replaced by a number, nothing else changed, so that nodes,
//! values and constants are the same at all extents.

use super::{Atom, Dim, Graph, Invalid, Op, Plain, Shape};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A number for each symbol.
pub type Extents = BTreeMap<Arc<str>, i64>;

/// A number for each atom, whatever it is made of: with numbers that are independent of each other, two extents are equal
/// only where they are so for all values of the symbols.
pub type Valuation = BTreeMap<Atom, i64>;

/// `n = 3, m = 4`.
pub fn shown(extents: &Extents) -> String {
    extents.iter().map(|(name, n)| format!("{name} = {n}")).collect::<Vec<_>>().join(", ")
}

/// What gives an extent its number.
struct Values<'a> {
    of: &'a dyn Fn(&Dim) -> Option<Dim>,
    /// How messages name it.
    shown: &'a dyn Fn() -> String,
}

impl Values<'_> {
    fn number(&self, d: &Dim) -> Result<Dim, Invalid> {
        (self.of)(d).ok_or_else(|| Invalid::new(format!("the extent {d} has no value at {}", (self.shown)())))
    }

    fn numbers(&self, dims: &[Dim]) -> Result<Vec<Dim>, Invalid> {
        dims.iter().map(|d| self.number(d)).collect()
    }

    fn shape(&self, s: &Shape) -> Result<Shape, Invalid> {
        let dims = self.numbers(s.dims())?;
        match dims.iter().zip(s.dims()).find(|(n, _)| n.fixed() < Some(0)) {
            Some((n, d)) => Err(Invalid::new(format!("the extent {d} is {n} at {}", (self.shown)()))),
            None => Ok(Shape::new(dims)),
        }
    }

    fn op<'o>(&self, op: &'o Op) -> Result<Cow<'o, Op>, Invalid> {
        Ok(Cow::Owned(match op {
            Op::Reshape(to) => Op::Reshape(self.shape(to)?),
            Op::Broadcast(to) => Op::Broadcast(self.shape(to)?),
            Op::Slice { start, step, shape } => {
                Op::Slice { start: self.numbers(start)?, step: step.clone(), shape: self.shape(shape)? }
            }
            Op::Windows { axis, count, len } => {
                Op::Windows { axis: *axis, count: self.number(count)?, len: self.number(len)? }
            }
            Op::Pad { before, after, value } => {
                Op::Pad { before: self.numbers(before)?, after: self.numbers(after)?, value: *value }
            }
            Op::Cut { axis, extent } => Op::Cut { axis: *axis, extent: self.number(extent)? },
            Op::Plain(p) if p.free.is_empty() => return Ok(Cow::Borrowed(op)),
            Op::Plain(p) => {
                let free = self.numbers(&p.free)?;
                let results = p.results.iter().map(|(t, shape)| Ok((*t, self.shape(shape)?)));
                let results = results.collect::<Result<_, Invalid>>()?;
                match Shape::new(free.clone()).fixed() {
                    Some(free) => Op::Plain(Box::new(p.over(&free, results))),
                    None => Op::Plain(Box::new(Plain { kernel: p.kernel.clone(), results, free })),
                }
            }
            Op::Custom(call) => {
                let mut call = call.clone();
                for (_, shape) in &mut call.results {
                    *shape = self.shape(shape)?;
                }
                Op::Custom(call)
            }
            Op::TopK { k, largest } => Op::TopK { k: self.number(k)?, largest: *largest },
            _ => return Ok(Cow::Borrowed(op)),
        }))
    }

    fn graph(&self, graph: &Graph) -> Result<Graph, Invalid> {
        let mut graph = graph.clone();
        for value in &mut graph.values {
            value.shape = self.shape(&value.shape)?;
        }
        for node in &mut graph.nodes {
            if let Cow::Owned(op) = self.op(&node.op)? {
                node.op = op;
            }
        }
        Ok(graph)
    }
}

/// Calls `f` with the values that extents give.
fn at<T>(extents: &Extents, f: impl FnOnce(&Values<'_>) -> T) -> T {
    let of = |d: &Dim| d.eval(&|name| extents.get(name).copied()).map(Dim::Fixed);
    f(&Values { of: &of, shown: &|| shown(extents) })
}

/// A shape's extents.
///
/// # Errors
/// A symbol that is not known, or an extent that would be negative.
pub fn dims_at(s: &Shape, extents: &Extents) -> Result<Vec<usize>, Invalid> {
    let dims = at(extents, |values| values.shape(s))?.fixed();
    dims.ok_or_else(|| Invalid::new(format!("the shape {s} has no value at {}", shown(extents))))
}

/// An operation with its extents as numbers.
///
/// # Errors
/// As [`dims_at`].
pub fn op_at<'o>(op: &'o Op, extents: &Extents) -> Result<Cow<'o, Op>, Invalid> {
    if extents.is_empty() { Ok(Cow::Borrowed(op)) } else { at(extents, |values| values.op(op)) }
}

impl Graph {
    /// The same graph with the symbols fixed.
    ///
    /// # Errors
    /// As [`dims_at`].
    pub fn at(&self, extents: &Extents) -> Result<Graph, Invalid> {
        at(extents, |values| values.graph(self))
    }

    /// The same graph with some of the symbols fixed.
    ///
    /// # Errors
    /// An extent that would be negative, or that no arithmetic can hold.
    pub fn with(&self, extents: &Extents) -> Result<Graph, Invalid> {
        let of = |d: &Dim| d.with(extents).ok();
        Values { of: &of, shown: &|| shown(extents) }.graph(self)
    }

    /// The same graph with a number for each atom. It need not mean anything: `n` rows and `floor(n / 2)` rows are any two
    /// numbers of rows.
    ///
    /// # Errors
    /// An atom that is not known.
    pub fn valued(&self, valuation: &Valuation) -> Result<Graph, Invalid> {
        let of = |d: &Dim| d.eval_atoms(&|atom| valuation.get(atom).copied()).map(Dim::Fixed);
        let shown = || valuation.values().map(i64::to_string).collect::<Vec<_>>().join(", ");
        Values { of: &of, shown: &shown }.graph(self)
    }
}
