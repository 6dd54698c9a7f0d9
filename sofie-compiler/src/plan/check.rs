//! Proves a plan without trusting the planner: a symbolic run over the arena's bytes.
//!
//! The state is a tag for each byte of the arena: the value and element whose byte lies there, or unknown.
//! A step's transfer function first demands, for each operand that claims to hold a value at a layout,
//! that each of its elements carries the tag that the graph says (views and concats are followed on index
//! tensors by the reference evaluator, not by the planner's layouts); then it tags what it writes. Scratch
//! and everything else a step writes becomes unknown. Outputs are demanded at the end. The bodies of `If` and `Loop`
//! are checked alike against their own graphs, over the same bytes, of which they know their inputs alone; what a loop
//! reads in every iteration it must leave as it is.

use super::{Body, Kernel, Operand, Plan, Root, Step};
use crate::ir::{Graph, Invalid, Op, Tensor, ValueId, eval};
use sofie_infer_runtime::DType;
use std::collections::HashMap;

/// Value and element, in one number: values have fewer than 2^40 elements.
type Tag = i64;

const UNKNOWN: Tag = -1;

/// Checks a plan against the graph that it was made from.
///
/// # Errors
/// The first step that reads something else than the graph says, or writes outside its bounds.
pub fn check(graph: &Graph, plan: &Plan) -> Result<(), Invalid> {
    let mut checker = Checker::new(graph, plan);
    for (i, port) in graph.inputs().iter().enumerate() {
        let elements = plan.inputs.get(i).map_or(0, |p| p.dims.iter().product::<usize>());
        checker.inputs.push((0..elements as i64).map(|at| own(port.value, at)).collect());
    }
    for (i, buffer) in plan.buffers.iter().enumerate() {
        if buffer.offset + buffer.bytes > plan.arena_bytes {
            return Err(Invalid::new(format!("buffer {i} ends outside the arena")));
        }
    }
    checker.steps(&plan.steps)?;
    for operand in plan.check.iter().chain(plan.extents.iter().map(|(_, _, o)| o)) {
        checker.demand(operand)?;
    }
    for (port, operand) in &plan.outputs {
        checker.demand(operand).map_err(|e| Invalid::new(format!("output {:?}: {e}", port.name)))?;
    }
    Ok(())
}

/// The tag of an element that its own node made.
fn own(v: ValueId, element: i64) -> Tag {
    (v.index() as i64) << 40 | element
}

struct Checker<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    arena: Vec<Tag>,
    /// Of each of the session's inputs, by element.
    inputs: Vec<Vec<Tag>>,
    tags: HashMap<ValueId, Tensor>,
}

impl<'a> Checker<'a> {
    fn new(graph: &'a Graph, plan: &'a Plan) -> Checker<'a> {
        let arena = vec![UNKNOWN; plan.arena_bytes];
        Checker { graph, plan, arena, inputs: Vec::new(), tags: HashMap::new() }
    }

    fn steps(&mut self, steps: &[Step]) -> Result<(), Invalid> {
        for (i, step) in steps.iter().enumerate() {
            let at = |e: Invalid| Invalid::new(format!("step {i} ({}): {e}", step.origin.join(" + ")));
            self.step(step).map_err(at)?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), Invalid> {
        for operand in step.reads.iter().flatten() {
            self.demand(operand)?;
        }
        for (w, operand) in step.writes.iter().enumerate() {
            let range = self.range(operand)?;
            let meets = |other: &Operand| {
                self.range(other).is_ok_and(|r| {
                    !r.is_empty() && !range.is_empty() && r.start < range.end && range.start < r.end
                })
            };
            let others = step.writes[w + 1..].iter().chain(step.reads.iter().flatten());
            if let Some(other) = others.filter(|o| matches!(o.root, Root::Buffer(_))).find(|o| meets(o)) {
                return Err(Invalid::new(format!("{other:?} is touched beside {operand:?}")));
            }
        }
        self.bodies(step)?;
        step.writes.iter().try_for_each(|operand| self.write(operand))
    }

    /// Checks the bodies that a step holds: that they touch nothing but what the step says, and compute what they should.
    fn bodies(&mut self, step: &Step) -> Result<(), Invalid> {
        let (node, lasting) = match &step.kernel {
            Kernel::If(k) => (k.node, 0),
            Kernel::Loop(k) => {
                k.initial.iter().try_for_each(|o| self.demand(o))?;
                (k.node, 1)
            }
            _ => return Ok(()),
        };
        let graph = self.graph;
        let op =
            graph.nodes().get(node).map(|n| &n.op).ok_or_else(|| Invalid::new("a body without a node"))?;
        let written = step.writes.iter().map(|o| self.range(o)).collect::<Result<Vec<_>, _>>()?;
        for (body, graph) in step.kernel.bodies().into_iter().zip(op.bodies()) {
            let mut inner = Checker::new(graph, self.plan);
            inner.inputs = self.inputs.iter().map(|tags| vec![UNKNOWN; tags.len()]).collect();
            body.inputs.iter().try_for_each(|o| inner.know(o))?;
            inner.steps(&body.steps)?;
            for o in body.steps.iter().flat_map(|s| &s.writes).filter(|o| o.len > 0) {
                let range = inner.range(o)?;
                if !written.iter().any(|w| w.start <= range.start && range.end <= w.end) {
                    return Err(Invalid::new(format!("a body writes {o:?}, which its step does not")));
                }
            }
            inner.ends(body, op, lasting)?;
        }
        Ok(())
    }

    /// What has to be there when a body has run: its outputs, and in a loop (`lasting`) what the next iteration reads.
    fn ends(&mut self, body: &Body, op: &Op, lasting: usize) -> Result<(), Invalid> {
        body.outputs.iter().try_for_each(|o| self.demand(o))?;
        let states = match op {
            Op::Loop(l) => l.states,
            _ => 0,
        };
        let unchanged = body.inputs.iter().enumerate().filter(|(i, _)| *i == 0 || *i > states);
        unchanged.take(lasting * body.inputs.len()).try_for_each(|(_, o)| self.demand(o))
    }

    /// Takes an operand to hold what it says. Where another one lies already, it is the same value under another name.
    fn know(&mut self, o: &Operand) -> Result<(), Invalid> {
        let (Some((v, _)), Root::Buffer(_) | Root::Input(_)) = (&o.holds, o.root) else { return Ok(()) };
        self.range(o)?;
        let size = o.dtype.size();
        let mut tags = Vec::new();
        for (at, tag) in self.elements(o)? {
            let tag = Some(self.found(o, at)).filter(|t| *t != UNKNOWN).unwrap_or(tag);
            match o.root {
                Root::Input(i) => self.inputs[i][at / size] = tag,
                _ => self.arena[at..at + size].fill(tag),
            }
            tags.push(tag);
        }
        let dims = self.graph.shape(*v).fixed().ok_or_else(|| Invalid::new("a shape that is not fixed"))?;
        self.tags.insert(*v, Tensor::of(&dims, &tags));
        Ok(())
    }

    /// The tag at a position of an operand's root.
    fn found(&self, o: &Operand, at: usize) -> Tag {
        let size = o.dtype.size();
        if let Root::Input(i) = o.root {
            return self.inputs[i].get(at / size).copied().unwrap_or(UNKNOWN);
        }
        let bytes = &self.arena[at..at + size];
        if bytes.iter().all(|t| *t == bytes[0]) { bytes[0] } else { UNKNOWN }
    }

    /// The bytes of an operand in the arena (or in its own root).
    fn range(&self, o: &Operand) -> Result<std::ops::Range<usize>, Invalid> {
        let size = o.dtype.size();
        let (base, bytes) = match o.root {
            Root::Buffer(b) => {
                let buffer =
                    self.plan.buffers.get(b).ok_or_else(|| Invalid::new(format!("no buffer {b}")))?;
                (buffer.offset, buffer.bytes)
            }
            Root::Input(i) => {
                let port = self.plan.inputs.get(i).ok_or_else(|| Invalid::new(format!("no input {i}")))?;
                (0, port.dims.iter().product::<usize>() * size)
            }
            Root::Weights => (0, self.plan.weights.bytes().len()),
            Root::Prepared => (0, self.plan.prepared_bytes()),
        };
        let end = (o.start + o.len) * size;
        if end > bytes {
            return Err(Invalid::new(format!("{o:?} ends outside its root")));
        }
        Ok(base + o.start * size..base + end)
    }

    /// The tag of each element of a value, as the graph says.
    fn tags(&mut self, v: ValueId) -> Result<Tensor, Invalid> {
        if let Some(t) = self.tags.get(&v) {
            return Ok(t.clone());
        }
        let dims = self.graph.shape(v).fixed().ok_or_else(|| Invalid::new("a shape that is not fixed"))?;
        let producer = self.graph.producer(v);
        let tags = match producer.map(|n| &n.op) {
            Some(Op::Cut { axis, .. }) => {
                let whole = producer.and_then(|n| n.inputs.first().copied());
                let whole = whole.ok_or_else(|| Invalid::new("a cut of nothing"))?;
                self.tags(whole)?.cut(*axis, dims[*axis])
            }
            Some(op) if op.is_view() || matches!(op, Op::Concat(_)) => {
                let node = producer.ok_or_else(|| Invalid::new("a view without a producer"))?;
                let operands = node.inputs.iter().map(|i| self.tags(*i)).collect::<Result<Vec<_>, _>>()?;
                let operands: Vec<&Tensor> = operands.iter().collect();
                let results = eval::apply(op, &operands, &[(DType::I64, dims)])?;
                results.into_iter().next().ok_or_else(|| Invalid::new("a view without a result"))?
            }
            _ => {
                let own: Vec<i64> = (0..dims.iter().product::<usize>() as i64).map(|i| own(v, i)).collect();
                Tensor::of(&dims, &own)
            }
        };
        self.tags.insert(v, tags.clone());
        Ok(tags)
    }

    /// Byte positions of the elements that an operand says it holds, with their tags.
    fn elements(&mut self, o: &Operand) -> Result<Vec<(usize, Tag)>, Invalid> {
        let Some((v, layout)) = &o.holds else { return Ok(Vec::new()) };
        let tags = self.tags(*v)?.to_vec::<i64>().ok_or_else(|| Invalid::new("tags are i64"))?;
        if tags.len() != layout.len() {
            return Err(Invalid::new(format!(
                "%{} has {} elements, its place {}",
                v.index(),
                tags.len(),
                layout.len()
            )));
        }
        let size = o.dtype.size();
        let base = self.range(&Operand { start: 0, len: 0, ..o.clone() })?.start;
        let inside = o.start as isize..(o.start + o.len) as isize;
        let mut elements = Vec::new();
        for (at, tag) in layout.positions().into_iter().zip(tags) {
            if !inside.contains(&at) {
                return Err(Invalid::new(format!("%{} reaches outside its operand", v.index())));
            }
            elements.push((base + at as usize * size, tag));
        }
        Ok(elements)
    }

    fn demand(&mut self, o: &Operand) -> Result<(), Invalid> {
        self.range(o)?;
        if matches!(o.root, Root::Weights | Root::Prepared) {
            return Ok(());
        }
        for (at, tag) in self.elements(o)? {
            let found = self.found(o, at);
            if found != tag {
                let (name, element) = (tag >> 40, tag & ((1 << 40) - 1));
                let there = if found == UNKNOWN {
                    "nothing".into()
                } else {
                    format!("%{} element {}", found >> 40, found & ((1 << 40) - 1))
                };
                return Err(Invalid::new(format!(
                    "byte {at} should hold %{name} element {element} but holds {there}"
                )));
            }
        }
        Ok(())
    }

    fn write(&mut self, o: &Operand) -> Result<(), Invalid> {
        let range = self.range(o)?;
        if !matches!(o.root, Root::Buffer(_)) && o.len > 0 {
            return Err(Invalid::new(format!("{o:?} is written outside the arena")));
        }
        if o.holds.is_none() && o.len > 0 {
            self.arena[range].fill(UNKNOWN);
        }
        for (at, tag) in self.elements(o)? {
            self.arena[at..at + o.dtype.size()].fill(tag);
        }
        Ok(())
    }
}
