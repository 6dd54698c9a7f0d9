//! Graphs and operations at given extents: every symbol replaced by a number, nothing else changed, so that nodes,
//! values and constants are the same at all extents.

use super::{Dim, Graph, Invalid, Op, Shape};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A number for each symbol.
pub type Extents = BTreeMap<Arc<str>, i64>;

/// `n = 3, m = 4`.
pub fn shown(extents: &Extents) -> String {
    extents.iter().map(|(name, n)| format!("{name} = {n}")).collect::<Vec<_>>().join(", ")
}

fn number(d: &Dim, extents: &Extents) -> Result<Dim, Invalid> {
    d.eval(&|name| extents.get(name).copied())
        .map(Dim::Fixed)
        .ok_or_else(|| Invalid::new(format!("the extent {d} has no value at {}", shown(extents))))
}

fn numbers(dims: &[Dim], extents: &Extents) -> Result<Vec<Dim>, Invalid> {
    dims.iter().map(|d| number(d, extents)).collect()
}

fn shape(s: &Shape, extents: &Extents) -> Result<Shape, Invalid> {
    let dims = numbers(s.dims(), extents)?;
    match dims.iter().zip(s.dims()).find(|(n, _)| n.fixed() < Some(0)) {
        Some((n, d)) => Err(Invalid::new(format!("the extent {d} is {n} at {}", shown(extents)))),
        None => Ok(Shape::new(dims)),
    }
}

/// A shape's extents.
///
/// # Errors
/// A symbol that is not known, or an extent that would be negative.
pub fn dims_at(s: &Shape, extents: &Extents) -> Result<Vec<usize>, Invalid> {
    let dims = shape(s, extents)?.fixed();
    dims.ok_or_else(|| Invalid::new(format!("the shape {s} has no value at {}", shown(extents))))
}

/// An operation with its extents as numbers.
///
/// # Errors
/// As [`dims_at`].
pub fn op_at<'a>(op: &'a Op, extents: &Extents) -> Result<Cow<'a, Op>, Invalid> {
    Ok(Cow::Owned(match op {
        _ if extents.is_empty() => return Ok(Cow::Borrowed(op)),
        Op::Reshape(to) => Op::Reshape(shape(to, extents)?),
        Op::Broadcast(to) => Op::Broadcast(shape(to, extents)?),
        Op::Slice { start, step, shape: to } => {
            Op::Slice { start: numbers(start, extents)?, step: step.clone(), shape: shape(to, extents)? }
        }
        Op::Pad { before, after, value } => {
            Op::Pad { before: numbers(before, extents)?, after: numbers(after, extents)?, value: *value }
        }
        Op::Plain(p) => match &p.rows {
            None => return Ok(Cow::Borrowed(op)),
            Some(rows) => {
                let known = number(rows, extents)?.fixed().and_then(|n| usize::try_from(n).ok());
                Op::Plain(Box::new(p.over(known.unwrap_or(0))))
            }
        },
        Op::TopK { k, largest } => Op::TopK { k: number(k, extents)?, largest: *largest },
        _ => return Ok(Cow::Borrowed(op)),
    }))
}

impl Graph {
    /// The same graph with the symbols fixed.
    ///
    /// # Errors
    /// As [`dims_at`].
    pub fn at(&self, extents: &Extents) -> Result<Graph, Invalid> {
        let mut graph = self.clone();
        for value in &mut graph.values {
            value.shape = shape(&value.shape, extents)?;
        }
        for node in &mut graph.nodes {
            if let Cow::Owned(op) = op_at(&node.op, extents)? {
                node.op = op;
            }
        }
        Ok(graph)
    }
}
