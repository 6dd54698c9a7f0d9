//! What a tensor of the file is while the graph is built: a value of the graph, a list of extents some
//! of which are not known yet, or the result of a node that could not be lowered.

use crate::error::Error;
use crate::ir::{Builder, Dim, Invalid, Op, ReduceKind, Shape, Tensor, ValueId};
use sofie_infer_runtime::Storage;

/// A tensor that a node reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Operand {
    /// A value of the graph.
    Value(ValueId),
    /// Integers that depend on symbolic extents: what `Shape` gives, and what is computed from it. They
    /// decide shapes and are no value of the graph.
    Extents(Extents),
    /// Bytes that stand for numbers, one an element.
    Stored(ValueId, Storage),
    /// A sequence.
    Sequence(Vec<Operand>),
    /// An optional without an element; with one, it is that element.
    Nothing,
    /// The result of a node that was refused. What reads it is not lowered either, and not reported.
    Poisoned,
}

/// A scalar or a list of integers over the symbols of the model's inputs (element type i64).
#[derive(Clone, Debug, PartialEq)]
pub struct Extents {
    /// Rank 0 rather than 1.
    pub scalar: bool,
    /// The elements.
    pub dims: Vec<Dim>,
}

impl Extents {
    /// The symbols in it, in order, each once.
    pub fn symbols(&self) -> Vec<String> {
        let mut names: Vec<String> = self.dims.iter().flat_map(Dim::symbols).map(|s| s.to_string()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// The shape of the list itself.
    pub fn shape(&self) -> Shape {
        if self.scalar { Shape::default() } else { Shape::of(&[self.dims.len()]) }
    }

    /// A constant of the graph where every extent is known.
    pub fn settle(self, b: &mut Builder) -> Operand {
        match self.dims.iter().map(Dim::fixed).collect::<Option<Vec<i64>>>() {
            Some(known) => {
                let dims: &[usize] = if self.scalar { &[] } else { &[known.len()] };
                Operand::Value(b.tensor(Tensor::of(dims, &known)))
            }
            None => Operand::Extents(self),
        }
    }

    /// A value of the graph that holds them; `None` where one may be negative. An extent is the sum of as many ones, which
    /// no other operation need know of.
    pub fn value(&self, b: &mut Builder) -> Result<Option<ValueId>, Invalid> {
        let mut parts = Vec::new();
        for d in &self.dims {
            let (least, one) = (d.range().0, b.tensor(Tensor::of(&[1], &[1i64])));
            parts.push(match d.fixed() {
                Some(n) => b.tensor(Tensor::of(&[1], &[n])),
                None if least < 0 => return Ok(None),
                None => {
                    let ones = b.broadcast(one, &Shape::new(vec![d.clone()]))?;
                    b.one(Op::Reduce(ReduceKind::Sum, vec![0]), &[ones])?
                }
            });
        }
        let list = match parts[..] {
            [] => b.tensor(Tensor::of::<i64>(&[0], &[])),
            [one] => one,
            _ => b.one(Op::Concat(0), &parts)?,
        };
        b.reshape(list, self.shape()).map(Some)
    }

    /// The error of a node that computes with them what only constants can be computed with.
    pub fn refused_in(&self, b: &Builder) -> Error {
        match super::found::among(b, &self.dims) {
            None => self.refused(),
            Some(name) => {
                Error::new(format!("the value depends on {name}, a number of elements that values decide"))
                    .help(super::found::HELP)
            }
        }
    }

    /// As [`Extents::refused_in`] of a graph in which values decide nothing.
    pub fn refused(&self) -> Error {
        let symbols = self.symbols();
        Error::new(format!(
            "the value depends on the extents {} of the inputs, which are not fixed",
            symbols.join(", ")
        ))
        .help(format!("fix them: dims({})", super::declared::paste(&symbols)))
    }
}
