//! Operators with graphs of their own: `If`, `Loop`, `Scan`, `FlexAttention`.
//!
//! Everything that decides how often a body runs is known while compiling, or is made so: a body is lowered once an
//! iteration, in place, so that constants fold through it and every pass sees what it does. A condition that is
//! computed at run time selects between what both branches give, or between the old and the new state of a loop whose
//! trip count is known: operators have no effects but their results.

use super::driver::Driver;
use super::operand::Operand;
use crate::error::{Error, Result};
use crate::ir::{Dim, Epilogue, Op, RowKind, Shape, ValueId, axis_in};
use crate::onnx::{Attrs, Graph, Node};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

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

/// Iterations beyond which a loop is refused rather than unrolled.
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
        Control::If => branch(d, &attrs, &operands)?,
        Control::Loop => repeat(d, &attrs, node, &operands)?,
        Control::Scan => scan(d, &attrs, node, &operands)?,
        Control::SequenceMap => sequence_map(d, &attrs, &operands)?,
        Control::FlexAttention => flex_attention(d, &attrs, &operands)?,
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
        return Err(Error::new(format!(
            "a condition that is computed at run time decides between {}{} and {}{}",
            of_a.0, of_a.1, of_b.0, of_b.1
        ))
        .help("make both the same shape, or the condition a constant"));
    }
    Ok(Operand::Value(d.b.select(condition, a, b)?))
}

fn branch<'m>(d: &mut Driver<'m>, attrs: &Attrs<'m>, operands: &[Option<Operand>]) -> Results {
    let (yes, no) = (body(attrs, "then_branch")?, body(attrs, "else_branch")?);
    let Some(Some(operand)) = operands.first() else { return Err(Error::new("the condition is missing")) };
    let computed = match condition(d, operand)? {
        Condition::Known(holds) => return d.body(if holds { yes } else { no }, Vec::new()),
        Condition::Computed(v) => v,
    };
    let (Some(a), Some(b)) = (d.body(yes, Vec::new())?, d.body(no, Vec::new())?) else { return Ok(None) };
    if a.len() != b.len() {
        return Err(Error::new(format!("the branches give {} and {} values", a.len(), b.len())));
    }
    a.iter().zip(&b).map(|(a, b)| choose(d, computed, a, b)).collect::<Result<_>>().map(Some)
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

fn repeat<'m>(d: &mut Driver<'m>, attrs: &Attrs<'m>, node: &Node, operands: &[Option<Operand>]) -> Results {
    let graph = body(attrs, "body")?;
    let states = operands.len().saturating_sub(2);
    let scans = graph.outputs.len().checked_sub(1 + states);
    let scans = scans.ok_or_else(|| Error::new("the body gives fewer values than the loop carries"))?;
    let trips = match operands.first().and_then(Option::as_ref) {
        None => None,
        Some(Operand::Value(v)) => match d.b.constant(*v).and_then(|t| t.to_ints()).as_deref() {
            Some([n]) => Some((*n).max(0)),
            _ if scans > 0 && d.declared_rows(node, states).is_some() => d.declared_rows(node, states),
            _ => {
                return Err(Error::new("the trip count is computed at run time; it has to be a constant")
                    .help("make it a constant before exporting, or simplify the file with onnxsim"));
            }
        },
        Some(Operand::Extents(e)) => return Err(e.refused()),
        Some(Operand::Poisoned) => return Ok(None),
        other => {
            return Err(value(other, "the trip count").map_or_else(|e| e, |_| Error::new("no trip count")));
        }
    };
    let computed = match operands.first().and_then(Option::as_ref) {
        Some(Operand::Value(v)) if d.b.constant(*v).is_none() => Some(*v),
        _ => None,
    };
    let declared = if scans > 0 { d.declared_rows(node, states) } else { None };
    // An expression that says whether this iteration happens, where that is not known.
    let mut active = None;
    let mut go_on = true;
    if let Some(operand) = operands.get(1).and_then(Option::as_ref) {
        match condition(d, operand)? {
            Condition::Known(holds) => go_on = holds,
            Condition::Computed(v) => active = Some(v),
        }
    }
    if active.is_some() && trips.is_none() {
        return Err(endless());
    }
    let mut carried: Vec<Operand> = Vec::new();
    for operand in operands.iter().skip(2) {
        carried.push(operand.clone().ok_or_else(|| Error::new("an initial state is missing"))?);
    }
    let mut rows: Vec<Vec<ValueId>> = vec![Vec::new(); scans];
    let mut i = 0;
    while go_on && trips.is_none_or(|n| i < n) {
        if i >= ITERATIONS || d.b.graph().nodes().len() > NODES {
            return Err(too_long(trips.unwrap_or(i)));
        }
        let (step, holds) = (d.b.scalar(i), active.unwrap_or_else(|| d.b.scalar(true)));
        let mut inputs = vec![Operand::Value(step), Operand::Value(holds)];
        inputs.extend(carried.iter().cloned());
        let Some(results) = d.body(graph, inputs)? else { return Ok(None) };
        for (k, row) in rows.iter_mut().enumerate() {
            if let Some(holds) = active.filter(|_| declared.is_some()) {
                // Every row that is declared is made.
                d.check(holds);
            } else if active.is_some() {
                return Err(Error::new("how many rows the loop gives is only known at run time")
                    .help("export with a fixed number of iterations"));
            }
            row.push(value(results.get(1 + states + k), "a scan output")?);
        }
        for (state, new) in carried.iter_mut().zip(&results[1..]) {
            *state = match active {
                Some(active) => choose(d, active, new, state)?,
                None => new.clone(),
            };
        }
        match condition(d, &results[0])? {
            Condition::Known(holds) => go_on = holds,
            Condition::Computed(_) if trips.is_none() => return Err(endless()),
            Condition::Computed(v) => {
                active = Some(match active {
                    Some(before) => d.b.binary(Binary::And, before, v)?,
                    None => v,
                });
            }
        }
        i += 1;
    }
    if let Some(v) = computed {
        // The loop ends here because it has run as often as it should, or because the condition ends it.
        let v = d.b.reshape(v, Shape::default())?;
        let n = d.b.scalar(Scalar::from_f64(d.b.dtype(v), i as f64));
        let mut ends = d.b.binary(Binary::Eq, v, n)?;
        if let Some(active) = active {
            let not = d.b.unary(sofie_infer_runtime::map::Unary::Not, active)?;
            ends = d.b.binary(Binary::Or, ends, not)?;
        }
        if go_on {
            d.check(ends);
        }
    }
    let mut outputs = carried;
    for (k, row) in rows.iter().enumerate() {
        if row.is_empty() {
            if node.output(states + k).is_some() {
                return Err(Error::new("the loop runs no iteration, so that its rows have no shape"));
            }
            outputs.push(Operand::Poisoned);
            continue;
        }
        outputs.push(Operand::Value(stacked(d, row, 0)?));
    }
    Ok(Some(outputs))
}

fn endless() -> Error {
    Error::new("a loop ends by a condition that is computed at run time, and has no constant trip count")
        .help("give the loop a largest number of iterations before exporting")
}

fn scan<'m>(d: &mut Driver<'m>, attrs: &Attrs<'m>, node: &Node, operands: &[Option<Operand>]) -> Results {
    let graph = body(attrs, "body")?;
    let inputs = attrs.require("num_scan_inputs", attrs.int("num_scan_inputs")?)?;
    let inputs = usize::try_from(inputs).map_err(|_| Error::new(format!("num_scan_inputs is {inputs}")))?;
    let mut operands: Vec<&Operand> = if node.version < 9 {
        if operands.first().is_some_and(Option::is_some) {
            return Err(
                Error::new("sequence_lens of Scan-8 are not supported").help("export with opset 9 or newer")
            );
        }
        operands.iter().skip(1).flatten().collect()
    } else {
        operands.iter().flatten().collect()
    };
    let states = operands.len().checked_sub(inputs);
    let states = states.ok_or_else(|| Error::new(format!("{inputs} scan inputs of {}", operands.len())))?;
    let scans: Vec<ValueId> = operands
        .split_off(states)
        .into_iter()
        .map(|o| value(Some(o), "a scan input"))
        .collect::<Result<_>>()?;
    let initial: Vec<Operand> = operands.into_iter().cloned().collect();
    let outputs = graph.outputs.len().checked_sub(states);
    let outputs = outputs.ok_or_else(|| Error::new("the body gives fewer values than the scan carries"))?;
    let list = |name: &str, n: usize| -> Result<Vec<i64>> {
        let values = attrs.ints(name)?.map_or_else(|| vec![0; n], <[i64]>::to_vec);
        if values.len() == n { Ok(values) } else { Err(Error::new(format!("{name} is {values:?} for {n}"))) }
    };
    if node.version < 9 {
        let backwards = list("directions", inputs)?;
        let axes = (vec![0; inputs], vec![0; outputs]);
        return batched(
            d,
            graph,
            &initial,
            &scans,
            &Order { axes, backwards: (backwards, vec![0; outputs]) },
        );
    }
    let order = Order {
        axes: (list("scan_input_axes", inputs)?, list("scan_output_axes", outputs)?),
        backwards: (list("scan_input_directions", inputs)?, list("scan_output_directions", outputs)?),
    };
    run_scan(d, graph, initial, &scans, &order)
}

/// Axes and directions of a scan's inputs and outputs.
struct Order {
    axes: (Vec<i64>, Vec<i64>),
    backwards: (Vec<i64>, Vec<i64>),
}

/// Element `i` along an axis, without the axis.
fn element(d: &mut Driver<'_>, v: ValueId, axis: usize, i: i64) -> Result<ValueId> {
    let part = d.b.slice_axis(v, axis, Dim::Fixed(i), Dim::ONE)?;
    let mut dims = d.b.shape(part).dims().to_vec();
    dims.remove(axis);
    Ok(d.b.reshape(part, Shape::new(dims))?)
}

/// `Scan` of opset 8: every operand has a batch axis in front.
fn batched<'m>(
    d: &mut Driver<'m>,
    graph: &'m Graph,
    initial: &[Operand],
    scans: &[ValueId],
    order: &Order,
) -> Results {
    let events = match (initial.first(), scans.first()) {
        (Some(Operand::Value(v)), _) | (_, Some(v)) => d.b.shape(*v).dims().first().and_then(Dim::fixed),
        _ => None,
    };
    let events = events.ok_or_else(|| Error::new("the batch of a scan is not fixed"))?;
    let mut columns: Vec<Vec<ValueId>> = Vec::new();
    for event in 0..events {
        let mut states = Vec::new();
        for state in initial {
            states.push(Operand::Value(element(d, value(Some(state), "a state")?, 0, event)?));
        }
        let scans = scans.iter().map(|v| element(d, *v, 0, event)).collect::<Result<Vec<_>>>()?;
        let Some(results) = run_scan(d, graph, states, &scans, order)? else { return Ok(None) };
        columns.resize(results.len(), Vec::new());
        for (column, result) in columns.iter_mut().zip(&results) {
            column.push(value(Some(result), "a result")?);
        }
    }
    columns.iter().map(|c| Ok(Operand::Value(stacked(d, c, 0)?))).collect::<Result<_>>().map(Some)
}

fn run_scan<'m>(
    d: &mut Driver<'m>,
    graph: &'m Graph,
    mut states: Vec<Operand>,
    scans: &[ValueId],
    order: &Order,
) -> Results {
    let mut steps = None;
    let mut axes = Vec::new();
    for (v, axis) in scans.iter().zip(&order.axes.0) {
        let shape = d.b.shape(*v);
        let axis = axis_in(*axis, shape.rank())?;
        let n = shape[axis]
            .fixed()
            .ok_or_else(|| Error::new(format!("a scan over {shape}, which is not fixed")))?;
        if steps.is_some_and(|m| m != n) {
            return Err(Error::new("scan inputs of different lengths"));
        }
        steps = Some(n);
        axes.push(axis);
    }
    let steps = steps.ok_or_else(|| Error::new("a scan over nothing"))?;
    if steps > ITERATIONS {
        return Err(too_long(steps));
    }
    let mut rows: Vec<Vec<ValueId>> = vec![Vec::new(); graph.outputs.len() - states.len()];
    for t in 0..steps {
        if d.b.graph().nodes().len() > NODES {
            return Err(too_long(steps));
        }
        let mut inputs = states.clone();
        for (i, v) in scans.iter().enumerate() {
            let at = if order.backwards.0[i] != 0 { steps - 1 - t } else { t };
            inputs.push(Operand::Value(element(d, *v, axes[i], at)?));
        }
        let Some(results) = d.body(graph, inputs)? else { return Ok(None) };
        let n = states.len();
        for (row, result) in rows.iter_mut().zip(&results[n..]) {
            row.push(value(Some(result), "a scan output")?);
        }
        states = results.into_iter().take(n).collect();
    }
    for (k, row) in rows.iter_mut().enumerate() {
        let Some(first) = row.first() else {
            return Err(Error::new("the scan runs no iteration, so that its results have no shape"));
        };
        let axis = axis_in(order.axes.1[k], d.b.shape(*first).rank() + 1)?;
        if order.backwards.1[k] != 0 {
            row.reverse();
        }
        states.push(Operand::Value(stacked(d, row, axis)?));
    }
    Ok(Some(states))
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

/// `FlexAttention`: attention whose scores and probabilities are changed by graphs.
fn flex_attention<'m>(d: &mut Driver<'m>, attrs: &Attrs<'m>, operands: &[Option<Operand>]) -> Results {
    let operand = |i: usize, what: &str| value(operands.get(i).and_then(Option::as_ref), what);
    let (q, k, v) = (operand(0, "Q")?, operand(1, "K")?, operand(2, "V")?);
    let shapes = [q, k, v].map(|v| d.b.shape(v).clone());
    if shapes.iter().any(|s| s.rank() != 4) {
        return Err(Error::new(format!("{}, {}, {}; four axes are needed", shapes[0], shapes[1], shapes[2])));
    }
    let [of_q, of_k, of_v] = shapes;
    let dtype = d.b.dtype(q);
    let precision = match attrs.int("softmax_precision")?.filter(|&code| code != 0) {
        Some(code) => crate::onnx::ElementType::from_onnx(i32::try_from(code).unwrap_or(0))?.dtype()?,
        None if dtype == DType::F64 => DType::F64,
        None => DType::F32,
    };
    let scale = match (attrs.float("scale")?, of_q[3].fixed()) {
        (Some(scale), _) => f64::from(scale),
        (None, Some(depth)) => 1.0 / (depth as f64).sqrt(),
        (None, None) => return Err(Error::new(format!("the depth {} is not fixed", of_q[3]))),
    };
    let shared = of_q[1].exact_div(&of_k[1]);
    let shared = shared.ok_or_else(|| Error::new(format!("{} heads share {}", of_q[1], of_k[1])))?;
    let rows = shared.mul(&of_q[2])?;
    let grouped = |last: &Dim| Shape::new(vec![of_q[0].clone(), of_k[1].clone(), rows.clone(), last.clone()]);
    let full = |last: &Dim| Shape::new(vec![of_q[0].clone(), of_q[1].clone(), of_q[2].clone(), last.clone()]);
    let product = Op::MatMul(Epilogue::NONE);
    let (q, keys) = (d.b.cast(q, precision)?, d.b.cast(k, precision)?);
    let q = d.b.reshape(q, grouped(&of_q[3]))?;
    let keys = d.b.transpose(keys, &[0, 1, 3, 2])?;
    let s = d.b.one(product.clone(), &[q, keys])?;
    let factor = d.b.scalar(Scalar::from_f64(precision, scale));
    let s = d.b.binary(Binary::Mul, s, factor)?;
    let mut s = d.b.reshape(s, full(&of_k[2]))?;
    let changed = |d: &mut Driver<'m>, name: &str, v: ValueId| -> Result<Option<ValueId>> {
        let Some(graph) = attrs.graph(name)? else { return Ok(Some(v)) };
        let Some(results) = d.body(graph, vec![Operand::Value(v)])? else { return Ok(None) };
        let y = value(results.first(), name)?;
        if d.b.shape(y) != d.b.shape(v) || d.b.dtype(y) != d.b.dtype(v) {
            return Err(Error::new(format!("{name} gives {}{}", d.b.dtype(y), d.b.shape(y))));
        }
        Ok(Some(y))
    };
    let Some(scores) = changed(d, "score_mod", s)? else { return Ok(None) };
    s = d.b.one(Op::Rows(RowKind::Softmax), &[scores])?;
    let Some(p) = changed(d, "prob_mod", s)? else { return Ok(None) };
    let p = d.b.reshape(p, grouped(&of_k[2]))?;
    let v = d.b.cast(v, precision)?;
    let y = d.b.one(product, &[p, v])?;
    let y = d.b.reshape(y, full(&of_v[3]))?;
    Ok(Some(vec![Operand::Value(d.b.cast(y, dtype)?)]))
}
