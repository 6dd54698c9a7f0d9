//! `Loop`: unrolled where it is short and its length known, else a loop of the program.

use super::super::driver::Driver;
use super::super::found::cut;
use super::super::operand::Operand;
use super::region::{Bounds, Cycle, ENDLESS, Round, cost};
use super::{
    Condition, ITERATIONS, NODES, Results, UNROLLED, body, choose, condition, stacked, too_long, value,
};
use crate::error::{Error, Errors, Result};
use crate::ir::{Dim, Shape, Tensor, ValueId};
use crate::onnx::{Attrs, Graph, Node};
use sofie_infer_runtime::map::{Binary, Scalar, Unary};

/// Lowers the node.
pub(super) fn repeat<'m>(
    d: &mut Driver<'m>,
    attrs: &Attrs<'m>,
    node: &Node,
    operands: &[Option<Operand>],
) -> Results {
    let graph = body(attrs, "body")?;
    if operands.iter().flatten().any(|o| *o == Operand::Poisoned) {
        return Ok(None);
    }
    let call = Call::read(d, graph, node, operands)?;
    if d.exploring() || call.never() {
        return unrolled(d, &call, None);
    }
    match as_loop(d, &call)? {
        Way::Loop(results) => Ok(Some(results)),
        Way::Unrolled => unrolled(d, &call, None),
        Way::Refused(why) => unrolled(d, &call, Some(why)),
    }
}

/// How often a loop runs by its trip count.
#[derive(Clone, Copy)]
enum Trips {
    /// As long as its condition holds.
    Open,
    /// That often.
    Known(i64),
    /// As often as this says (i64, one element).
    Computed(ValueId),
}

/// What a node says.
struct Call<'m, 'n> {
    graph: &'m Graph,
    node: &'n Node,
    trips: Trips,
    go: Condition,
    initial: Vec<Operand>,
    /// How many of the body's outputs are rows.
    scans: usize,
    /// Rows that the file declares.
    declared: Option<i64>,
}

impl<'m, 'n> Call<'m, 'n> {
    fn read(
        d: &mut Driver<'m>,
        graph: &'m Graph,
        node: &'n Node,
        operands: &[Option<Operand>],
    ) -> Result<Call<'m, 'n>> {
        let states = operands.len().saturating_sub(2);
        let scans = graph.outputs.len().checked_sub(1 + states);
        let scans = scans.ok_or_else(|| Error::new("the body gives fewer values than the loop carries"))?;
        let trips = match operands.first().and_then(Option::as_ref) {
            None => Trips::Open,
            operand => {
                let v = value(operand, "the trip count")?;
                match d.b.constant(v).and_then(|t| t.to_ints()).as_deref() {
                    Some([n]) => Trips::Known((*n).max(0)),
                    _ => Trips::Computed(v),
                }
            }
        };
        let go = match operands.get(1).and_then(Option::as_ref) {
            Some(operand) => condition(d, operand)?,
            None => Condition::Known(true),
        };
        let initial = operands.iter().skip(2).cloned().collect::<Option<Vec<_>>>();
        let initial = initial.ok_or_else(|| Error::new("an initial state is missing"))?;
        let declared = if scans > 0 { d.declared_rows(node, states) } else { None };
        Ok(Call { graph, node, trips, go, initial, scans, declared })
    }

    /// Whether it is known that there is no iteration.
    fn never(&self) -> bool {
        matches!(self.trips, Trips::Known(0)) || matches!(self.go, Condition::Known(false))
    }

    fn wants_row(&self, k: usize) -> bool {
        self.node.output(self.initial.len() + k).is_some()
    }
}

/// What becomes of a loop.
enum Way {
    Loop(Vec<Operand>),
    Unrolled,
    /// It cannot run as one.
    Refused(Errors),
}

/// How often a loop runs whose condition is known in each iteration, because all that it depends on is; and how many nodes
/// that comes to.
fn known_iterations<'m>(
    d: &mut Driver<'m>,
    call: &Call<'m, '_>,
    initial: &[ValueId],
) -> Option<(i64, usize)> {
    if !matches!(call.go, Condition::Known(_)) || matches!(call.trips, Trips::Computed(_)) {
        return None;
    }
    let most = if let Trips::Known(n) = call.trips { n } else { i64::MAX };
    let walked = super::region::inside(d, &[call.graph], initial, |d, initial| {
        let mut carried: Vec<_> = initial.iter().map(|v| Operand::Value(*v)).collect();
        for i in 0..most.min(ITERATIONS) {
            let mut inputs = vec![Operand::Value(d.b.scalar(i)), Operand::Value(d.b.scalar(true))];
            inputs.append(&mut carried);
            let Some(mut results) = d.body(call.graph, inputs)? else { return Ok(None) };
            match condition(d, &results[0])? {
                Condition::Known(true) if d.b.graph().nodes().len() <= NODES => {}
                Condition::Known(false) => return Ok(Some((i + 1, cost(d.b.graph())))),
                _ => return Ok(None),
            }
            carried.extend(results.drain(1..=initial.len()));
        }
        Ok((most <= ITERATIONS).then(|| (most, cost(d.b.graph()))))
    });
    walked.ok().map(|(known, ..)| known)
}

/// Bytes of rows that there may be room for although fewer are made.
const ROOM: usize = 1 << 30;

fn as_loop<'m>(d: &mut Driver<'m>, call: &Call<'m, '_>) -> Result<Way> {
    let initial = call.initial.iter().map(|o| value(Some(o), "a state")).collect::<Result<Vec<_>>>();
    let initial = match initial {
        Ok(values) => values,
        Err(why) => return Ok(Way::Refused(why.into())),
    };
    let cycle = Cycle { graph: call.graph, initial: &initial, conditional: true, slices: &[], steps: 0 };
    let mut round = match Round::lower(d, &cycle) {
        Ok(round) => round,
        Err(why) => return Ok(Way::Refused(why)),
    };
    // Where everything is known, so is the result.
    let constant = round.is_closed() && initial.iter().all(|v| d.b.constant(*v).is_some());
    let open = matches!(call.trips, Trips::Computed(_)) || matches!(call.go, Condition::Computed(_));
    let folds = |d: &mut Driver<'m>| constant && known_iterations(d, call, &initial).is_some();
    if !open && (round.is_last() || folds(d)) {
        return Ok(Way::Unrolled);
    }
    let mut trips = call.trips;
    if round.go.is_some()
        && let Some((n, cost)) = known_iterations(d, call, &initial)
    {
        if cost <= UNROLLED {
            return Ok(Way::Unrolled);
        }
        (round.go, trips) = (None, Trips::Known(n));
    } else if round.is_last() && matches!(trips, Trips::Open) {
        trips = Trips::Known(1);
    }
    let ends = round.go.is_some() || matches!(call.go, Condition::Computed(_));
    match trips {
        Trips::Known(n) if !ends && round.size().saturating_mul(n.unsigned_abs() as usize) <= UNROLLED => {
            return Ok(Way::Unrolled);
        }
        Trips::Open if round.go.is_none() => {
            return Err(Error::new(
                "a loop that does not end: its condition always holds, and it has no trip count",
            )
            .help("give the loop a largest number of iterations before exporting"));
        }
        Trips::Known(n) if !ends && n >= ENDLESS => {
            return Err(Error::new(format!("a loop of {n} iterations; fewer than {ENDLESS} can run")));
        }
        _ => {}
    }
    let wanted: Vec<bool> = (0..call.scans).map(|k| call.wants_row(k)).collect();
    let row = wanted.iter().enumerate().filter(|(_, w)| **w).map(|(k, _)| round.row_bytes(k)).max();
    let known = match trips {
        Trips::Known(n) if n < ENDLESS => Some(n),
        _ => None,
    };
    let certain = if ends { None } else { known };
    // One row beyond what is declared says that there are too many.
    let declared = call.declared.filter(|_| row.is_some() && certain.is_none());
    let most = match (declared, known) {
        (Some(rows), n) => n.unwrap_or(ENDLESS).min(rows.saturating_add(1)),
        (None, Some(n)) if row.is_none_or(|row| row.saturating_mul(n as usize) <= ROOM) => n,
        (None, _) if row.is_none() => ENDLESS,
        _ => {
            return Ok(Way::Refused(
                Error::new("how many rows the loop gives is only known at run time, and nothing bounds it")
                    .help("declare the shape of the loop's output in the file, or give it a constant trip count")
                    .into(),
            ));
        }
    };
    let trips = match trips {
        Trips::Computed(v) => Some(d.b.reshape(v, Shape::default())?),
        _ => None,
    };
    let go = match call.go {
        Condition::Computed(v) => Some(v),
        Condition::Known(_) => None,
    };
    let bounds = Bounds { trips, go, most };
    let repeated = super::region::repeat(d, round, &initial, &bounds, &wanted)?;
    let mut outputs: Vec<_> = repeated.states.into_iter().map(Operand::Value).collect();
    if known.is_none() && declared.is_none() {
        let most = d.b.scalar(ENDLESS);
        let ended = d.b.binary(Binary::Lt, repeated.n, most)?;
        d.check(ended);
    }
    if let Some(rows) = declared {
        let rows = d.b.scalar(rows);
        let agrees = d.b.binary(Binary::Eq, repeated.n, rows)?;
        d.check(agrees);
    }
    for v in repeated.rows {
        outputs.push(match v {
            None => Operand::Poisoned,
            Some(v) => {
                let v = match declared {
                    Some(rows) if rows <= most => d.b.slice_axis(v, 0, Dim::Fixed(0), Dim::Fixed(rows))?,
                    Some(rows) => {
                        return Err(Error::new(format!("{rows} rows are declared of a loop of {most}")));
                    }
                    None => v,
                };
                match certain.is_none() && declared.is_none() {
                    true => {
                        let name = &call.node.op_type;
                        Operand::Value(cut(&mut d.b, (v, 0), repeated.n, name, d.same, &mut d.checks)?)
                    }
                    false => Operand::Value(v),
                }
            }
        });
    }
    Ok(Way::Loop(outputs))
}

/// A body once an iteration, in place. `refused` says why it cannot run as a loop, where that was tried.
fn unrolled<'m>(d: &mut Driver<'m>, call: &Call<'m, '_>, refused: Option<Errors>) -> Results {
    let (graph, node, scans) = (call.graph, call.node, call.scans);
    let states = call.initial.len();
    let (trips, computed) = match call.trips {
        Trips::Open => (None, None),
        Trips::Known(n) => (Some(n), None),
        Trips::Computed(v) => (call.declared, Some(v)),
    };
    // An expression that says whether this iteration happens, where that is not known.
    let (mut active, mut go_on) = match call.go {
        Condition::Known(holds) => (None, holds),
        Condition::Computed(v) => (Some(v), true),
    };
    if trips.is_none() && (computed.is_some() || active.is_some()) {
        if let Some(why) = refused {
            why.0.into_iter().for_each(|e| d.refuse(e));
            return Ok(None);
        }
        return Err(match computed {
            Some(_) => Error::new("the trip count is computed at run time; it has to be a constant")
                .help("make it a constant before exporting, or simplify the file with onnxsim"),
            None => endless(),
        });
    }
    let too_much = |d: &mut Driver<'m>, error: Error| -> Results {
        match &refused {
            // What keeps it from running as a loop is what can be helped.
            Some(why) if !why.is_empty() => {
                why.0.iter().cloned().for_each(|e| d.refuse(e));
                Ok(None)
            }
            _ => Err(error),
        }
    };
    let mut carried = call.initial.clone();
    let mut rows: Vec<Vec<ValueId>> = vec![Vec::new(); scans];
    let mut i = 0;
    while go_on && trips.is_none_or(|n| i < n) {
        if i >= ITERATIONS || d.b.graph().nodes().len() > NODES {
            return too_much(d, too_long(trips.unwrap_or(i)));
        }
        let (step, holds) = (d.b.scalar(i), active.unwrap_or_else(|| d.b.scalar(true)));
        let mut inputs = vec![Operand::Value(step), Operand::Value(holds)];
        inputs.extend(carried.iter().cloned());
        let Some(results) = d.body(graph, inputs)? else { return Ok(None) };
        for (k, row) in rows.iter_mut().enumerate() {
            if let Some(holds) = active.filter(|_| call.declared.is_some()) {
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
            Condition::Computed(_) if trips.is_none() => return too_much(d, endless()),
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
            let not = d.b.unary(Unary::Not, active)?;
            ends = d.b.binary(Binary::Or, ends, not)?;
        }
        if go_on {
            d.check(ends);
        }
    }
    let mut outputs = carried;
    let no_rows = match rows.first() {
        Some(row) if row.is_empty() => empty_rows(d, call)?,
        _ => Vec::new(),
    };
    for (k, row) in rows.iter().enumerate() {
        if row.is_empty() {
            outputs.push(match (node.output(states + k), no_rows.get(k)) {
                (Some(_), Some(t)) => Operand::Value(d.b.tensor(t.clone())),
                _ => Operand::Poisoned,
            });
            continue;
        }
        outputs.push(Operand::Value(stacked(d, row, 0)?));
    }
    Ok(Some(outputs))
}

/// The rows of a loop that runs no iteration: none, each of the type and shape that the body would have made.
fn empty_rows<'m>(d: &mut Driver<'m>, call: &Call<'m, '_>) -> Result<Vec<Tensor>> {
    let unknown = || {
        Error::new("the loop runs no iteration, so that its rows have no shape")
            .help("remove the loop's rows from the file, or let it run once")
    };
    let initial: Result<Vec<_>> = call.initial.iter().map(|o| value(Some(o), "a state")).collect();
    let initial = initial.map_err(|_| unknown())?;
    let walked = super::region::inside(d, &[call.graph], &initial, |d, initial| {
        let mut inputs = vec![Operand::Value(d.b.scalar(0i64)), Operand::Value(d.b.scalar(true))];
        inputs.extend(initial.iter().map(|v| Operand::Value(*v)));
        let Some(results) = d.body(call.graph, inputs)? else { return Ok(None) };
        let rows = results.get(1 + initial.len()..).unwrap_or_default();
        let of = |row: &Operand| -> Result<Tensor> {
            let v = value(Some(row), "a scan output")?;
            let dims = d.b.shape(v).fixed().ok_or_else(unknown)?;
            let dims = [&[0], &dims[..]].concat();
            Tensor::from_bytes(d.b.dtype(v), dims, Vec::new()).ok_or_else(unknown)
        };
        rows.iter().map(of).collect::<Result<Vec<_>>>().map(Some)
    });
    walked.map(|(rows, ..)| rows).map_err(|_| unknown())
}

fn endless() -> Error {
    Error::new("a loop ends by a condition that is computed at run time, and has no constant trip count")
        .help("give the loop a largest number of iterations before exporting")
}
