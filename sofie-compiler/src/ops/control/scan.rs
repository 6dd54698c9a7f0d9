//! `Scan`: a body over the elements of its operands along an axis.

use super::super::driver::Driver;
use super::super::operand::Operand;
use super::region::{Bounds, Cycle, Round, repeat};
use super::{ITERATIONS, NODES, Results, UNROLLED, body, stacked, too_long, value};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Shape, ValueId, axis_in};
use crate::onnx::{Attrs, Graph, Node};

/// Lowers the node.
pub(super) fn scan<'m>(
    d: &mut Driver<'m>,
    attrs: &Attrs<'m>,
    node: &Node,
    operands: &[Option<Operand>],
) -> Results {
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
    if !d.exploring()
        && let Some(results) = as_loop(d, node, graph, &initial, &scans, &order)?
    {
        return Ok(Some(results));
    }
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

/// The scan as a loop of the program, where it is long and can be one.
fn as_loop<'m>(
    d: &mut Driver<'m>,
    node: &Node,
    graph: &'m Graph,
    initial: &[Operand],
    scans: &[ValueId],
    order: &Order,
) -> Results {
    let Ok(initial) = initial.iter().map(|o| value(Some(o), "a state")).collect::<Result<Vec<_>>>() else {
        return Ok(None);
    };
    let (steps, axes) = walk(d, scans, order)?;
    let slices: Vec<_> =
        scans.iter().zip(axes).zip(&order.backwards.0).map(|((v, axis), b)| (*v, axis, *b != 0)).collect();
    let cycle = Cycle { graph, initial: &initial, conditional: false, slices: &slices, steps };
    let round = match Round::lower(d, &cycle) {
        Ok(round) => round,
        Err(why) if steps > ITERATIONS => {
            return Err(why.0.into_iter().next().unwrap_or_else(|| too_long(steps)));
        }
        Err(_) => return Ok(None),
    };
    let constant = round.is_closed() && initial.iter().all(|v| d.b.constant(*v).is_some());
    if constant && steps <= ITERATIONS
        || round.size().saturating_mul(steps.unsigned_abs() as usize) <= UNROLLED
    {
        return Ok(None);
    }
    let bounds = Bounds { trips: None, go: None, most: steps };
    let wanted: Vec<bool> =
        order.axes.1.iter().enumerate().map(|(k, _)| node.output(initial.len() + k).is_some()).collect();
    let repeated = repeat(d, round, &initial, &bounds, &wanted)?;
    let mut results: Vec<_> = repeated.states.into_iter().map(Operand::Value).collect();
    for (k, rows) in repeated.rows.into_iter().enumerate() {
        let Some(mut v) = rows else {
            results.push(Operand::Poisoned);
            continue;
        };
        let shape = d.b.shape(v).clone();
        if order.backwards.1[k] != 0 {
            let (mut start, mut step) = (vec![Dim::Fixed(0); shape.rank()], vec![1; shape.rank()]);
            (start[0], step[0]) = (Dim::Fixed(steps - 1), -1);
            v = d.b.one(Op::Slice { start, step, shape: shape.clone() }, &[v])?;
        }
        // The axis of the rows moves to where it should be.
        let axis = axis_in(order.axes.1[k], shape.rank())?;
        let mut perm: Vec<usize> = (1..shape.rank()).collect();
        perm.insert(axis, 0);
        results.push(Operand::Value(d.b.transpose(v, &perm)?));
    }
    Ok(Some(results))
}

/// How many elements scans walk over, and along which axes.
fn walk(d: &Driver<'_>, scans: &[ValueId], order: &Order) -> Result<(i64, Vec<usize>)> {
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
    Ok((steps.ok_or_else(|| Error::new("a scan over nothing"))?, axes))
}

fn run_scan<'m>(
    d: &mut Driver<'m>,
    graph: &'m Graph,
    mut states: Vec<Operand>,
    scans: &[ValueId],
    order: &Order,
) -> Results {
    let (steps, axes) = walk(d, scans, order)?;
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
