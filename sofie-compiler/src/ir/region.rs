//! Operations with graphs of their own, `If` and `Loop`: what they hold, and their shape functions. A body sees its
//! operands and nothing else: what it reads of the graph around it is an operand like any other.

use super::{Graph, Invalid, Op, Rewriter, Shape, ValueId};
use sofie_infer_runtime::DType;

/// Two graphs over the same operands with results of the same types and shapes, of which one runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Branches {
    /// Runs where the condition holds.
    pub then: Graph,
    /// Runs where it does not.
    pub otherwise: Graph,
}

/// A graph that runs over and over. Its inputs are the iteration's number (i64, rank 0), the states, and what it reads of
/// the graph around it; its outputs whether to go on (bool, rank 0) where `ends` says so, the next states, and the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Repeat {
    /// What runs.
    pub body: Graph,
    /// How many values go from one iteration to the next.
    pub states: usize,
    /// Iterations at the most, and how many rows there is room for.
    pub most: i64,
    /// The operand `trips` is there.
    pub counted: bool,
    /// The operand `go` is there, and the body says whether to go on.
    pub ends: bool,
}

impl Repeat {
    /// The body's outputs before the states.
    pub fn before_states(&self) -> usize {
        usize::from(self.ends)
    }

    /// The operands before the states.
    pub fn operands_before(&self) -> usize {
        usize::from(self.counted) + usize::from(self.ends)
    }
}

impl Op {
    /// The graphs inside.
    pub fn bodies(&self) -> Vec<&Graph> {
        match self {
            Op::If(b) => vec![&b.then, &b.otherwise],
            Op::Loop(l) => vec![&l.body],
            _ => Vec::new(),
        }
    }

    /// The same operation with its graphs rewritten.
    ///
    /// # Errors
    /// As `f`.
    pub fn with_bodies(&self, f: &dyn Fn(&Graph) -> Result<Graph, Invalid>) -> Result<Op, Invalid> {
        Ok(match self {
            Op::If(b) => Op::If(Box::new(Branches { then: f(&b.then)?, otherwise: f(&b.otherwise)? })),
            Op::Loop(l) => Op::Loop(Box::new(Repeat { body: f(&l.body)?, ..(**l).clone() })),
            op => op.clone(),
        })
    }
}

impl Graph {
    /// The same graph with its inputs in the order `order`; what is not named there is read by no node.
    ///
    /// # Errors
    /// A node reads an input that is left out.
    pub fn with_inputs(&self, order: &[usize]) -> Result<Graph, Invalid> {
        let inputs: Option<Vec<_>> = order.iter().map(|&i| self.inputs.get(i).cloned()).collect();
        let inputs =
            inputs.ok_or_else(|| Invalid::new(format!("inputs {order:?} of {}", self.inputs.len())))?;
        let ordered = Graph { inputs, ..self.clone() };
        // Values that are left out go with the rewriting.
        Rewriter::run(&ordered, |_, _| Ok(None))
    }

    fn types<'g>(&'g self, ports: &'g [super::Port]) -> impl Iterator<Item = (DType, &'g Shape)> {
        ports.iter().map(|p: &super::Port| -> ValueId { p.value }).map(|v| (self.dtype(v), self.shape(v)))
    }
}

type Info<'a> = (DType, &'a Shape);

fn scalar(what: &str, dtype: DType, operand: Option<&Info<'_>>) -> Result<(), Invalid> {
    match operand {
        Some((t, s)) if *t == dtype && s.rank() == 0 => Ok(()),
        Some((t, s)) => Err(Invalid::new(format!("{what} is {t}{s}; one {dtype} is needed"))),
        None => Err(Invalid::new(format!("{what} is missing"))),
    }
}

fn takes(body: &Graph, operands: &[Info<'_>]) -> Result<(), Invalid> {
    if body.types(body.inputs()).eq(operands.iter().copied()) {
        return Ok(());
    }
    let list = |all: &mut dyn Iterator<Item = Info<'_>>| {
        all.map(|(t, s)| format!("{t}{s}")).collect::<Vec<_>>().join(", ")
    };
    Err(Invalid::new(format!(
        "a body takes {}, not {}",
        list(&mut body.types(body.inputs())),
        list(&mut operands.iter().copied())
    )))
}

/// Types and shapes of the results of an `If`.
pub(super) fn branches(b: &Branches, x: &[Info<'_>]) -> Result<Vec<(DType, Shape)>, Invalid> {
    scalar("the condition", DType::Bool, x.first())?;
    for body in [&b.then, &b.otherwise] {
        takes(body, &x[1..])?;
    }
    if !b.then.types(b.then.outputs()).eq(b.otherwise.types(b.otherwise.outputs())) {
        return Err(Invalid::new("the branches give values of different types or shapes"));
    }
    Ok(b.then.types(b.then.outputs()).map(|(t, s)| (t, s.clone())).collect())
}

/// Types and shapes of the results of a `Loop`.
pub(super) fn repeat(l: &Repeat, x: &[Info<'_>]) -> Result<Vec<(DType, Shape)>, Invalid> {
    let mut operands = x.iter();
    if l.counted {
        scalar("the trip count", DType::I64, operands.next())?;
    }
    if l.ends {
        scalar("the condition", DType::Bool, operands.next())?;
    }
    let scalars = Shape::default();
    let mut inputs = vec![(DType::I64, &scalars)];
    inputs.extend(operands.copied());
    takes(&l.body, &inputs)?;
    let outputs: Vec<_> = l.body.types(l.body.outputs()).collect();
    if l.ends {
        scalar("the body's condition", DType::Bool, outputs.first())?;
    }
    let states = outputs.get(l.before_states()..).and_then(|o| o.get(..l.states));
    if l.most < 0 || states.is_none() || states != inputs.get(1..=l.states) {
        return Err(Invalid::new("the states that a body gives are not those that it takes"));
    }
    let mut results: Vec<_> = states.unwrap_or_default().iter().map(|(t, s)| (*t, (*s).clone())).collect();
    for (dtype, row) in &outputs[l.before_states() + l.states..] {
        let dims = std::iter::once(super::Dim::Fixed(l.most)).chain(row.dims().iter().cloned());
        results.push((*dtype, dims.collect()));
    }
    results.push((DType::I64, Shape::default()));
    Ok(results)
}
