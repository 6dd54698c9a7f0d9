//! Bodies lowered on their own: into a graph whose inputs are what the body reads of the graph around it. Nothing of the
//! graph around changes meanwhile, so a body that is refused leaves no trace but its errors.

use super::super::driver::Driver;
use super::super::operand::Operand;
use super::{Condition, condition};
use crate::error::{Error, Errors, Result};
use crate::ir::{self, Branches, Builder, Op, Repeat, Shape, ValueId};
use crate::onnx::{Graph, TensorName};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Binary;
use std::collections::{HashMap, HashSet};

/// Iterations that a loop may take whose number nothing bounds: where it wants more, the run fails.
pub(super) const ENDLESS: i64 = 1 << 24;

/// A state that no check of a body failed so far.
const AGREES: &str = "agrees";

/// The names that graphs read of the graph around them, in order. Every name of a model is defined once.
fn free_names(graphs: &[&Graph]) -> Vec<TensorName> {
    let (mut read, mut defined) = (Vec::new(), HashSet::new());
    let mut left: Vec<&Graph> = graphs.to_vec();
    while let Some(graph) = left.pop() {
        defined.extend(graph.inputs.iter().map(|i| &i.name));
        defined.extend(graph.initializers.iter().map(|i| &i.name));
        for node in &graph.nodes {
            read.extend(node.inputs.iter().flatten());
            defined.extend(node.outputs.iter().flatten());
            left.extend(node.attributes.values().flat_map(|a| a.graphs()));
        }
        read.extend(graph.outputs.iter().map(|o| &o.name));
    }
    let mut seen = HashSet::new();
    read.into_iter().filter(|n| !defined.contains(n) && seen.insert(*n)).cloned().collect()
}

/// What a body reads of the graph around it.
struct Seen {
    /// Its builder.
    around: Builder,
    /// In the order of the body's inputs `seen 0`, `seen 1`, …
    outer: Vec<ValueId>,
    inner: HashMap<ValueId, ValueId>,
}

impl Seen {
    fn value(&mut self, d: &mut Driver<'_>, v: ValueId) -> ValueId {
        if let Some(&known) = self.inner.get(&v) {
            return known;
        }
        let inner = match self.around.constant(v) {
            Some(t) => d.b.tensor(t.clone()),
            None => {
                self.outer.push(v);
                let name = format!("seen {}", self.outer.len() - 1);
                d.b.input(&name, self.around.dtype(v), self.around.shape(v).clone())
            }
        };
        self.inner.insert(v, inner);
        inner
    }

    fn operand(&mut self, d: &mut Driver<'_>, operand: &Operand) -> Operand {
        match operand {
            Operand::Value(v) => Operand::Value(self.value(d, *v)),
            Operand::Stored(v, storage) => Operand::Stored(self.value(d, *v), *storage),
            Operand::Sequence(of) => Operand::Sequence(of.iter().map(|o| self.operand(d, o)).collect()),
            Operand::Extents(_) | Operand::Nothing | Operand::Poisoned => operand.clone(),
        }
    }
}

/// What `lower` makes of graphs in a builder of their own, which is given back, with the values of the graph around that
/// its inputs `seen …` are. `values` are some that are read beside what the graphs name.
pub(super) fn inside<'m, T>(
    d: &mut Driver<'m>,
    graphs: &[&'m Graph],
    values: &[ValueId],
    lower: impl FnOnce(&mut Driver<'m>, &[ValueId]) -> Result<Option<T>>,
) -> std::result::Result<(T, Builder, Vec<ValueId>), Errors> {
    let symbolic = d.b.graph().inputs().iter().map(|p| d.b.shape(p.value)).find(|s| s.fixed().is_none());
    if let Some(shape) = symbolic {
        return Err(Error::new(format!(
            "a body that runs by itself needs fixed extents, but there is {shape}"
        ))
        .help("fix them with dims(..)")
        .into());
    }
    let origin = d.b.origin();
    let mut seen = Seen { around: std::mem::take(&mut d.b), outer: Vec::new(), inner: HashMap::new() };
    let known = std::mem::take(&mut d.values);
    let errors = std::mem::take(&mut d.errors);
    let checks = std::mem::take(&mut d.checks);
    d.b.set_origin(&origin);
    for name in free_names(graphs) {
        if let Some(operand) = known.get(&name) {
            let operand = seen.operand(d, operand);
            d.values.insert(name, operand);
        }
    }
    let values: Vec<ValueId> = values.iter().map(|v| seen.value(d, *v)).collect();
    let lowered = lower(d, &values);
    let b = std::mem::replace(&mut d.b, seen.around);
    let mut problems = std::mem::replace(&mut d.errors, errors);
    let open = b.graph().values().iter().find(|v| v.shape.fixed().is_none());
    if let Some(open) = open.filter(|_| problems.is_empty()) {
        let shape = &open.shape;
        problems.push(
            Error::new(format!("a body that runs by itself needs fixed extents, but values decide {shape}"))
                .help("declare the shape in the file, or compute with it outside of the body"),
        );
    }
    (d.values, d.checks) = (known, checks);
    match problems.keep(lowered).flatten() {
        Some(value) if problems.is_empty() => Ok((value, b, seen.outer)),
        _ => Err(problems),
    }
}

/// The value that a body's result is.
fn plain(d: &Driver<'_>, result: Option<&Operand>) -> Result<ValueId> {
    let v = super::value(result, "a body's result")?;
    if d.b.shape(v).fixed().is_none() {
        return Err(Error::new("how many elements a body's result has is only known at run time"));
    }
    Ok(v)
}

/// The positions of inputs of bodies by name, then of all `seen …` that one of them reads, with the latter's values around.
fn inputs_of(bodies: &[&ir::Graph], first: &[String], seen: &[ValueId]) -> (Vec<usize>, Vec<ValueId>) {
    let ports = bodies[0].inputs();
    let at = |name: &str| ports.iter().position(|p| p.name == name);
    let read = |i: usize| bodies.iter().any(|g| g.use_counts()[g.inputs()[i].value.index()] > 0);
    let mut order: Vec<usize> = first.iter().filter_map(|name| at(name)).collect();
    let mut values = Vec::new();
    for (k, v) in seen.iter().enumerate() {
        if let Some(i) = at(&format!("seen {k}")).filter(|i| read(*i)) {
            order.push(i);
            values.push(*v);
        }
    }
    (order, values)
}

/// A branch of an `If`, lowered on its own.
pub(super) struct Branch {
    b: Builder,
    results: Vec<ValueId>,
    /// Whether no check failed, where there is one.
    agrees: Option<ValueId>,
    seen: Vec<ValueId>,
}

impl Branch {
    /// Lowers one of `both` branches.
    pub(super) fn lower<'m>(
        d: &mut Driver<'m>,
        graph: &'m Graph,
        both: [&'m Graph; 2],
    ) -> std::result::Result<Branch, Errors> {
        let lowered = inside(d, &both, &[], |d, _| {
            let Some(results) = d.body(graph, Vec::new())? else { return Ok(None) };
            let results = results.iter().map(|o| plain(d, Some(o))).collect::<Result<Vec<_>>>()?;
            Ok(Some((results, d.every_check()?)))
        })?;
        let ((results, agrees), b, seen) = lowered;
        Ok(Branch { b, results, agrees, seen })
    }

    /// Types and shapes of the results.
    pub(super) fn types(&self) -> Vec<(DType, Shape)> {
        self.results.iter().map(|v| (self.b.dtype(*v), self.b.shape(*v).clone())).collect()
    }

    fn finish(mut self, checked: bool) -> ir::Graph {
        for (k, v) in self.results.iter().enumerate() {
            self.b.output(&format!("y{k}"), *v);
        }
        if checked {
            let agrees = self.agrees.unwrap_or_else(|| self.b.scalar(true));
            self.b.output(AGREES, agrees);
        }
        self.b.finish()
    }
}

/// Two branches as graphs.
pub(super) struct Choice {
    op: Branches,
    seen: Vec<ValueId>,
    checked: bool,
}

impl Choice {
    /// Of branches that give values of the same types and shapes.
    pub(super) fn new(then: Branch, otherwise: Branch) -> Result<Choice> {
        let checked = then.agrees.is_some() || otherwise.agrees.is_some();
        let seen = then.seen.clone();
        let (then, otherwise) = (then.finish(checked), otherwise.finish(checked));
        let (order, seen) = inputs_of(&[&then, &otherwise], &[], &seen);
        let op = Branches { then: then.with_inputs(&order)?, otherwise: otherwise.with_inputs(&order)? };
        Ok(Choice { op, seen, checked })
    }

    /// Whether both branches together cost less than deciding between them: a handful of small elementwise results.
    pub(super) fn is_cheap(&self) -> bool {
        let nodes = [&self.op.then, &self.op.otherwise]
            .into_iter()
            .flat_map(|g| g.nodes().iter().map(move |n| (g, n)));
        let mut maps = 0;
        for (graph, node) in nodes {
            match &node.op {
                Op::Const(_) => {}
                op if op.is_view() => {}
                Op::Map(_) if numel(graph.shape(node.outputs[0])) <= SMALL => maps += 1,
                _ => return false,
            }
        }
        let of_results = self.op.then.outputs().iter().map(|p| numel(self.op.then.shape(p.value)));
        maps <= CHEAP && of_results.max().unwrap_or(0) <= SMALL
    }

    /// The results of the node that chooses.
    pub(super) fn push(self, d: &mut Driver<'_>, condition: ValueId) -> Result<Vec<Operand>> {
        let operands: Vec<_> = std::iter::once(condition).chain(self.seen).collect();
        let mut results = d.b.push(Op::If(Box::new(self.op)), &operands)?;
        if self.checked
            && let Some(agrees) = results.pop()
        {
            d.check(agrees);
        }
        Ok(results.into_iter().map(Operand::Value).collect())
    }
}

/// Maps that both branches together may hold to be computed both.
const CHEAP: usize = 4;
/// Elements of their largest result.
const SMALL: usize = 1 << 12;

fn numel(s: &Shape) -> usize {
    s.fixed().map_or(usize::MAX, |dims| dims.iter().product())
}

/// A body that runs over and over.
pub(super) struct Cycle<'m, 'a> {
    /// What runs.
    pub(super) graph: &'m Graph,
    /// The first states.
    pub(super) initial: &'a [ValueId],
    /// Whether the body takes the iteration and the condition, and gives the next condition, before the states.
    pub(super) conditional: bool,
    /// Values of which each iteration reads an element: along that axis, from the end or not.
    pub(super) slices: &'a [(ValueId, usize, bool)],
    /// The extent along that axis.
    pub(super) steps: i64,
}

/// One iteration, lowered on its own.
pub(super) struct Round {
    b: Builder,
    seen: Vec<ValueId>,
    before: Vec<ValueId>,
    after: Vec<ValueId>,
    rows: Vec<ValueId>,
    /// Whether to go on, where that is not always so.
    pub(super) go: Option<ValueId>,
    agrees: Option<ValueId>,
}

impl Round {
    pub(super) fn lower<'m>(d: &mut Driver<'m>, cycle: &Cycle<'m, '_>) -> std::result::Result<Round, Errors> {
        let of_states: Vec<_> =
            cycle.initial.iter().map(|v| (d.b.dtype(*v), d.b.shape(*v).clone())).collect();
        let sliced: Vec<ValueId> = cycle.slices.iter().map(|(v, ..)| *v).collect();
        let (round, b, seen) = inside(d, &[cycle.graph], &sliced, |d, sliced| {
            let i = d.b.input("i", DType::I64, Shape::default());
            let before: Vec<ValueId> = of_states
                .iter()
                .enumerate()
                .map(|(k, (t, s))| d.b.input(&format!("state {k}"), *t, s.clone()))
                .collect();
            let so_far = d.b.input(AGREES, DType::Bool, Shape::default());
            let mut inputs = Vec::new();
            if cycle.conditional {
                inputs.extend([Operand::Value(i), Operand::Value(d.b.scalar(true))]);
            }
            inputs.extend(before.iter().map(|v| Operand::Value(*v)));
            for (v, (_, axis, backwards)) in sliced.iter().zip(cycle.slices) {
                let last = d.b.scalar(cycle.steps - 1);
                let at = if *backwards { d.b.binary(Binary::Sub, last, i)? } else { i };
                let element = d.b.one(Op::Gather { axis: *axis, batch: 0 }, &[*v, at])?;
                inputs.push(Operand::Value(element));
            }
            let Some(results) = d.body(cycle.graph, inputs)? else { return Ok(None) };
            let mut results = results.iter();
            let mut go = None;
            if cycle.conditional {
                let first = results.next().ok_or_else(|| Error::new("the body gives no condition"))?;
                go = match condition(d, first)? {
                    Condition::Known(true) => None,
                    Condition::Known(false) => Some(d.b.scalar(false)),
                    Condition::Computed(v) => Some(v),
                };
            }
            let mut after = Vec::new();
            for (k, (dtype, shape)) in of_states.iter().enumerate() {
                let v = plain(d, results.next())?;
                if (d.b.dtype(v), d.b.shape(v)) != (*dtype, shape) {
                    return Err(Error::new(format!(
                        "state {k} of the loop is {dtype}{shape} at first and {}{} after an iteration",
                        d.b.dtype(v),
                        d.b.shape(v)
                    ))
                    .help("keep its shape, or give the loop a small constant trip count"));
                }
                after.push(v);
            }
            let rows = results.map(|o| plain(d, Some(o))).collect::<Result<Vec<_>>>()?;
            let agrees = match d.every_check()? {
                Some(holds) => Some(d.b.binary(Binary::And, so_far, holds)?),
                None => None,
            };
            Ok(Some((before, after, rows, go, agrees)))
        })?;
        let (before, after, rows, go, agrees) = round;
        Ok(Round { b, seen, before, after, rows, go, agrees })
    }

    /// Nodes that an iteration costs.
    pub(super) fn size(&self) -> usize {
        cost(self.b.graph())
    }

    /// Whether the body reads constants alone beside its states.
    pub(super) fn is_closed(&self) -> bool {
        self.seen.is_empty()
    }

    /// Whether the body says that there is never another iteration.
    pub(super) fn is_last(&self) -> bool {
        self.go.and_then(|v| self.b.constant(v)).is_some_and(|t| t.get(0).bits == 0)
    }

    /// Bytes of row `k`.
    pub(super) fn row_bytes(&self, k: usize) -> usize {
        self.rows.get(k).map_or(0, |v| numel(self.b.shape(*v)).saturating_mul(self.b.dtype(*v).size()))
    }
}

/// Nodes of a graph, those of bodies among them, without constants.
pub(super) fn cost(g: &ir::Graph) -> usize {
    let nodes = g.nodes().iter().filter(|n| !matches!(n.op, Op::Const(_)));
    nodes.map(|n| 1 + n.op.bodies().into_iter().map(cost).sum::<usize>()).sum()
}

/// How often a loop runs.
pub(super) struct Bounds {
    /// The trip count, where it is computed (i64, rank 0).
    pub(super) trips: Option<ValueId>,
    /// Whether there is a first iteration, where that is computed.
    pub(super) go: Option<ValueId>,
    /// Iterations at the most.
    pub(super) most: i64,
}

/// What a loop gives.
pub(super) struct Repeated {
    /// The last states.
    pub(super) states: Vec<ValueId>,
    /// All rows that were asked for, one behind the other.
    pub(super) rows: Vec<Option<ValueId>>,
    /// How often it ran.
    pub(super) n: ValueId,
}

/// The node that runs `round` over and over; of its rows those that are `wanted`.
pub(super) fn repeat(
    d: &mut Driver<'_>,
    mut round: Round,
    initial: &[ValueId],
    bounds: &Bounds,
    wanted: &[bool],
) -> Result<Repeated> {
    let ends = round.go.is_some() || bounds.go.is_some();
    if ends {
        let go = round.go.unwrap_or_else(|| round.b.scalar(true));
        round.b.output("go", go);
    }
    // A state that no iteration changes is read like any other value.
    let changed = |k: usize| round.before[k] != round.after[k];
    let mut first = vec!["i".to_owned()];
    let mut operands = Vec::new();
    for k in (0..initial.len()).filter(|k| changed(*k)) {
        round.b.output(&format!("state {k}"), round.after[k]);
        first.push(format!("state {k}"));
        operands.push(initial[k]);
    }
    if let Some(agrees) = round.agrees {
        round.b.output(AGREES, agrees);
        first.push(AGREES.to_owned());
        operands.push(d.b.scalar(true));
    }
    let states = operands.len();
    for (k, v) in round.rows.iter().enumerate().filter(|(k, _)| wanted.get(*k) == Some(&true)) {
        round.b.output(&format!("row {k}"), *v);
    }
    let body = round.b.finish();
    let uses = body.use_counts();
    for k in (0..initial.len()).filter(|k| !changed(*k)) {
        let name = format!("state {k}");
        if body.inputs().iter().any(|p| p.name == name && uses[p.value.index()] > 0) {
            first.push(name);
            operands.push(initial[k]);
        }
    }
    let (order, seen) = inputs_of(&[&body], &first, &round.seen);
    operands.extend(seen);
    let go = match bounds.go {
        Some(go) => Some(go),
        None if ends => Some(d.b.scalar(true)),
        None => None,
    };
    let head: Vec<_> = bounds.trips.into_iter().chain(go).collect();
    let op = Repeat {
        body: body.with_inputs(&order)?,
        states,
        most: bounds.most,
        counted: bounds.trips.is_some(),
        ends,
    };
    let results = d.b.push(Op::Loop(Box::new(op)), &[head, operands].concat())?;
    let mut results = results.into_iter();
    let mut last = Vec::new();
    for (k, v) in initial.iter().enumerate() {
        last.push(if changed(k) { results.next().unwrap_or(*v) } else { *v });
    }
    if round.agrees.is_some()
        && let Some(agrees) = results.next()
    {
        d.check(agrees);
    }
    let mut rows = Vec::new();
    for k in 0..round.rows.len() {
        rows.push(if wanted.get(k) == Some(&true) { results.next() } else { None });
    }
    let n = results.next().ok_or_else(|| Error::new("a loop without a count"))?;
    Ok(Repeated { states: last, rows, n })
}
