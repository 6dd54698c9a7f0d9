//! Operators with graphs of their own: `If`, `Loop`, `Scan`, `SequenceMap`, `FlexAttention`.
//!
//! A body is lowered in place, once an iteration, where the iterations are known and few: constants fold through it and
//! every pass sees what it does. Elsewhere it is lowered on its own (`region`) and becomes a core operation with a graph
//! inside, which runs as an `if` or a `while` of the program. What cannot be lowered on its own (a state that grows, a
//! sequence, an index that has to be a constant) is lowered in place where that is possible at all; a condition that is
//! computed at run time then selects between two results, since operators have no effects but those.

mod flex;
mod loops;
mod region;
mod scan;

use super::driver::Driver;
use super::found::cut;
use super::operand::{Extents, Operand};
use crate::error::{Error, Errors, Result};
use crate::ir::{Dim, Op, Shape, ValueId};
use crate::onnx::{Attrs, Graph, Node};
use region::{Branch, Choice};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;

/// The operators of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// `If`.
    If,
    /// `Loop`.
    Loop,
    /// `Scan`.
    Scan,
    /// `SequenceMap`.
    SequenceMap,
    /// `ai.onnx.preview`'s `FlexAttention`.
    FlexAttention,
}

/// Nodes up to which a loop is unrolled although it could run as one. Compiled by rustc, an unrolled step costs about as
/// much as any other, and constants that fold through a body are worth more than the steps that they cost.
const UNROLLED: usize = 2000;
/// Iterations beyond which a loop that cannot run as one is refused rather than unrolled.
const ITERATIONS: i64 = 1 << 14;
/// Nodes beyond which unrolling ends.
const NODES: usize = 1 << 19;

/// Lowers a node to the operands of its outputs; none where its body was refused.
pub(super) fn lower<'m>(
    d: &mut Driver<'m>,
    control: Control,
    node: &'m Node,
    operands: Vec<Option<Operand>>,
) -> Result<Vec<Operand>> {
    let attrs = node.attrs();
    let results = match control {
        Control::If => branch(d, &attrs, node, &operands)?,
        Control::Loop => loops::repeat(d, &attrs, node, &operands)?,
        Control::Scan => scan::scan(d, &attrs, node, &operands)?,
        Control::SequenceMap => sequence_map(d, &attrs, &operands)?,
        Control::FlexAttention => flex::flex_attention(d, &attrs, &operands)?,
    };
    attrs.finish()?;
    Ok(results.unwrap_or_default())
}

type Results = Result<Option<Vec<Operand>>>;

fn body<'m>(attrs: &Attrs<'m>, name: &str) -> Result<&'m Graph> {
    attrs.require(name, attrs.graph(name)?)
}

fn value(operand: Option<&Operand>, what: &str) -> Result<ValueId> {
    match operand {
        Some(Operand::Value(v)) => Ok(*v),
        Some(Operand::Extents(e)) => Err(e.refused()),
        Some(Operand::Stored(_, storage)) => Err(Error::new(format!("{what} is {storage}"))),
        Some(Operand::Sequence(_)) => Err(Error::new(format!("{what} is a sequence"))),
        Some(Operand::Nothing) => Err(Error::new(format!("{what} is an optional without an element"))),
        _ => Err(Error::new(format!("{what} is missing"))),
    }
}

/// A bool that is known, or a scalar that is computed at run time.
enum Condition {
    Known(bool),
    Computed(ValueId),
}

fn condition(d: &mut Driver<'_>, operand: &Operand) -> Result<Condition> {
    let v = value(Some(operand), "the condition")?;
    if d.b.dtype(v) != DType::Bool || d.b.shape(v).numel()? != Dim::ONE {
        return Err(Error::new(format!(
            "the condition is {}{}; one bool is needed",
            d.b.dtype(v),
            d.b.shape(v)
        )));
    }
    match d.b.constant(v) {
        Some(t) => Ok(Condition::Known(t.get(0).bits != 0)),
        None => Ok(Condition::Computed(d.b.reshape(v, Shape::default())?)),
    }
}

/// `condition ? a : b` of values of one type and shape.
fn choose(d: &mut Driver<'_>, condition: ValueId, a: &Operand, b: &Operand) -> Result<Operand> {
    if a == b {
        return Ok(a.clone());
    }
    if let (Operand::Sequence(a), Operand::Sequence(b)) = (a, b)
        && a.len() == b.len()
    {
        let chosen = a.iter().zip(b).map(|(a, b)| choose(d, condition, a, b));
        return Ok(Operand::Sequence(chosen.collect::<Result<_>>()?));
    }
    if let (Operand::Stored(x, s), Operand::Stored(y, t)) = (a, b)
        && s == t
    {
        return match choose(d, condition, &Operand::Value(*x), &Operand::Value(*y))? {
            Operand::Value(v) => Ok(Operand::Stored(v, *s)),
            other => Ok(other),
        };
    }
    let (a, b) = (value(Some(a), "a result")?, value(Some(b), "a result")?);
    let (of_a, of_b) = ((d.b.dtype(a), d.b.shape(a).clone()), (d.b.dtype(b), d.b.shape(b).clone()));
    if of_a != of_b {
        if let Some(v) = some_or_none(d, condition, a, b)? {
            return Ok(Operand::Value(v));
        }
        return Err(Error::new(format!(
            "a condition that is computed at run time decides between {}{} and {}{}",
            of_a.0, of_a.1, of_b.0, of_b.1
        ))
        .help("make both the same shape, or the condition a constant"));
    }
    Ok(Operand::Value(d.b.select(condition, a, b)?))
}

/// `condition ? a : b` where one of them has no element along an axis and is like the other else: the other, of which the
/// condition leaves all or none. (Detectors return an empty list where nothing was found, and suppress the rest otherwise.)
fn some_or_none(d: &mut Driver<'_>, condition: ValueId, a: ValueId, b: ValueId) -> Result<Option<ValueId>> {
    let (of_a, of_b) = (d.b.shape(a).clone(), d.b.shape(b).clone());
    let mut apart = (0..of_a.rank()).filter(|&i| of_b.dims().get(i) != Some(&of_a[i]));
    let (Some(axis), None) = (apart.next(), apart.next()) else { return Ok(None) };
    if d.b.dtype(a) != d.b.dtype(b) || of_a.rank() != of_b.rank() {
        return Ok(None);
    }
    let (v, extent, some) = match (of_a[axis].is(0), of_b[axis].is(0)) {
        (true, _) => (b, &of_b[axis], d.b.unary(Unary::Not, condition)?),
        (_, true) => (a, &of_a[axis], condition),
        _ => return Ok(None),
    };
    let Some(all) = Extents { scalar: true, dims: vec![extent.clone()] }.value(&mut d.b)? else {
        return Ok(None);
    };
    let none = d.b.scalar(0i64);
    let count = d.b.select(some, all, none)?;
    cut(&mut d.b, (v, axis), count, "If", d.same, &mut d.checks).map(Some)
}

fn branch<'m>(d: &mut Driver<'m>, attrs: &Attrs<'m>, node: &Node, operands: &[Option<Operand>]) -> Results {
    let (yes, no) = (body(attrs, "then_branch")?, body(attrs, "else_branch")?);
    let Some(Some(operand)) = operands.first() else { return Err(Error::new("the condition is missing")) };
    let computed = match condition(d, operand)? {
        Condition::Known(holds) => return d.body(if holds { yes } else { no }, Vec::new()),
        Condition::Computed(v) => v,
    };
    if yes.outputs.len() != no.outputs.len() {
        let (a, b) = (yes.outputs.len(), no.outputs.len());
        return Err(Error::new(format!("the branches give {a} and {b} values")));
    }
    if !d.exploring() {
        let both = [yes, no];
        match (Branch::lower(d, yes, both), Branch::lower(d, no, both)) {
            (Ok(then), Ok(otherwise)) if then.types() == otherwise.types() => {
                let choice = Choice::new(then, otherwise)?;
                if !choice.is_cheap() {
                    return choice.push(d, computed).map(Some);
                }
            }
            (Ok(then), Ok(otherwise)) => {
                let declared: Vec<_> = node.outputs.iter().map(|n| d.declared(n.as_ref()?)).collect();
                let fits = |branch: &Branch| {
                    let types = branch.types();
                    let mut pairs = declared.iter().zip(&types);
                    pairs.all(|(declared, (_, shape))| declared.as_ref() == Some(shape))
                };
                match (fits(&then), fits(&otherwise)) {
                    (true, false) => return only(d, computed, yes, true),
                    (false, true) => return only(d, computed, no, false),
                    _ => {}
                }
            }
            (Ok(_), Err(why)) if misfits(&why) => return only(d, computed, yes, true),
            (Err(why), Ok(_)) if misfits(&why) => return only(d, computed, no, false),
            _ => {}
        }
    }
    let (Some(a), Some(b)) = (d.body(yes, Vec::new())?, d.body(no, Vec::new())?) else { return Ok(None) };
    if a.len() != b.len() {
        return Err(Error::new(format!("the branches give {} and {} values", a.len(), b.len())));
    }
    a.iter().zip(&b).map(|(a, b)| choose(d, computed, a, b)).collect::<Result<_>>().map(Some)
}

/// Whether a body is refused for nothing but extents that do not fit each other: a run that comes to it fails everywhere.
fn misfits(why: &Errors) -> bool {
    !why.is_empty() && why.0.iter().all(|e| e.misfit)
}

/// The one branch that fits the extents that are given or declared; the run fails where the condition wants the other.
fn only<'m>(d: &mut Driver<'m>, condition: ValueId, graph: &'m Graph, holds: bool) -> Results {
    let wanted = if holds { condition } else { d.b.unary(Unary::Not, condition)? };
    d.check(wanted);
    d.body(graph, Vec::new())
}

/// Values one behind the other along a new axis, 0.
fn stacked(d: &mut Driver<'_>, parts: &[ValueId], axis: usize) -> Result<ValueId> {
    let mut rows = Vec::new();
    for v in parts {
        let mut dims = d.b.shape(*v).dims().to_vec();
        dims.insert(axis.min(dims.len()), Dim::ONE);
        rows.push(d.b.reshape(*v, Shape::new(dims))?);
    }
    Ok(d.b.one(Op::Concat(axis), &rows)?)
}

fn too_long(n: i64) -> Error {
    Error::new(format!("a loop of {n} iterations; up to {ITERATIONS} are unrolled"))
        .help("export the loop's operator (a recurrent layer, a scan) as such")
}

/// `SequenceMap`: a graph once an element; further sequences are walked alike, tensors are given to each.
fn sequence_map<'m>(d: &mut Driver<'m>, attrs: &Attrs<'m>, operands: &[Option<Operand>]) -> Results {
    let graph = body(attrs, "body")?;
    let n = match operands.first() {
        Some(Some(Operand::Sequence(elements))) => elements.len(),
        _ => return Err(Error::new("input 0 (input_sequence) is no sequence")),
    };
    let mut results = vec![Vec::new(); graph.outputs.len()];
    for i in 0..n {
        if d.b.graph().nodes().len() > NODES {
            return Err(too_long(n as i64));
        }
        let mut inputs = Vec::new();
        for operand in operands.iter().flatten() {
            inputs.push(match operand {
                Operand::Sequence(elements) => elements
                    .get(i)
                    .cloned()
                    .ok_or_else(|| Error::new(format!("sequences of {n} and {} tensors", elements.len())))?,
                tensor => tensor.clone(),
            });
        }
        let Some(elements) = d.body(graph, inputs)? else { return Ok(None) };
        results.iter_mut().zip(elements).for_each(|(all, one)| all.push(one));
    }
    Ok(Some(results.into_iter().map(Operand::Sequence).collect()))
}
