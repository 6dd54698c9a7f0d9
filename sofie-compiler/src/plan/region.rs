//! Steps that hold steps: `If` and `Loop`. A body is planned on its own; then its arena becomes a block of the outer one
//! and its operands are written in outer roots, so that whoever runs, prints or counts steps needs no other addresses.

use super::family::{Kind, Numbers};
use super::kernel::Kernel;
use super::memory::{Live, place};
use super::{Buffer, Operand, Plan, Root, Step};
use crate::ir::{Invalid, ValueId};
use std::collections::HashMap;
use std::sync::Arc;

/// The steps of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Where the graph's inputs are, in order.
    pub inputs: Vec<Operand>,
    /// What runs.
    pub steps: Vec<Step>,
    /// Where the graph's outputs are after the last step, in order; none for what is moved elsewhere.
    pub outputs: Vec<Operand>,
}

/// One of two bodies.
#[derive(Clone, Debug, PartialEq)]
pub struct If {
    /// The node's position in the graph.
    pub node: usize,
    /// The bool that decides.
    pub condition: Operand,
    /// Where it holds.
    pub then: Body,
    /// Where it does not.
    pub otherwise: Body,
}

/// A body, over and over.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// The node's position in the graph.
    pub node: usize,
    /// Counts the iterations (i64).
    pub counter: Operand,
    /// Iterations at the most.
    pub most: i64,
    /// An i64 that may say fewer.
    pub trips: Option<Operand>,
    /// A bool: the loop ends where it is false.
    pub go: Option<Operand>,
    /// Where the states start out from, as the graph around says: what the checker demands.
    pub initial: Vec<Operand>,
    /// What runs.
    pub body: Body,
}

/// Extents inside are fixed: networks with free ones are lowered without regions.
impl Numbers for If {
    fn numbers(&mut self, _: &mut dyn FnMut(Kind, i64) -> i64) {}
}

/// As for [`If`].
impl Numbers for Loop {
    fn numbers(&mut self, _: &mut dyn FnMut(Kind, i64) -> i64) {}
}

impl Kernel {
    /// The bodies that the kernel holds.
    pub fn bodies(&self) -> Vec<&Body> {
        match self {
            Kernel::If(k) => vec![&k.then, &k.otherwise],
            Kernel::Loop(k) => vec![&k.body],
            _ => Vec::new(),
        }
    }
}

impl Step {
    /// The step and those that it holds.
    pub(super) fn collect<'s>(&'s self, all: &mut Vec<&'s Step>) {
        all.push(self);
        self.kernel.bodies().into_iter().flat_map(|b| &b.steps).for_each(|step| step.collect(all));
    }
}

/// A body's plan on its way into the plan around it.
pub(super) struct Inner {
    plan: Plan,
    /// Buffers that are places of the plan around, with the first byte there.
    placed: HashMap<usize, (Root, usize)>,
}

impl Inner {
    /// A plan of its own.
    pub(super) fn new(plan: Plan) -> Inner {
        Inner { plan, placed: HashMap::new() }
    }

    /// Has output `k` written at `to` in the first place, where its buffer holds nothing larger meanwhile. `over` is an input
    /// that lies there: it must have been read for the last time by then.
    pub(super) fn write_at(&mut self, k: usize, to: &Operand, over: Option<usize>) {
        let Some((_, Operand { root: Root::Buffer(b), dtype, start: 0, len, .. })) = self.plan.outputs.get(k)
        else {
            return;
        };
        let (b, bytes, at) = (*b, len * dtype.size(), to.start * dtype.size());
        let touches = |o: &Operand, root: Root| o.root == root && o.len > 0;
        let (mut written, mut read) = (usize::MAX, None);
        for (i, step) in self.plan.steps.iter().enumerate() {
            for o in step.writes.iter().chain(step.reads.iter().flatten()) {
                if touches(o, Root::Buffer(b)) {
                    written = written.min(i);
                    let size = o.dtype.size();
                    if (o.start + o.len) * size > bytes || at % size != 0 {
                        return;
                    }
                }
                if over.is_some_and(|input| touches(o, Root::Input(input))) {
                    read = Some(i);
                }
            }
        }
        if *len == to.len && read.is_none_or(|read| read < written) {
            self.placed.insert(b, (to.root, at));
            self.plan.buffers[b].bytes = 0;
        }
    }

    /// Bytes of the arena without what is placed elsewhere.
    pub(super) fn arena_bytes(&mut self) -> usize {
        if !self.placed.is_empty() {
            let live = |b: &Buffer| Live { bytes: b.bytes, first: b.first, last: b.last };
            let (offsets, bytes) = place(&self.plan.buffers.iter().map(live).collect::<Vec<_>>());
            self.plan.buffers.iter_mut().zip(offsets).for_each(|(b, offset)| b.offset = offset);
            self.plan.arena_bytes = bytes;
        }
        self.plan.arena_bytes
    }

    /// The body with its inputs at `inputs` and its arena in the buffer of `block`.
    ///
    /// # Errors
    /// An input that is not there.
    pub(super) fn body(
        self,
        inputs: &[Operand],
        block: &Operand,
        origin: &[Arc<str>],
    ) -> Result<Body, Invalid> {
        let move_in = |o: &Operand| self.moved(inputs, block, o);
        let mut steps = Vec::new();
        for step in &self.plan.steps {
            let mut step = step.clone();
            relocate(&mut step, &move_in)?;
            if step.origin.is_empty() {
                step.origin = origin.to_vec();
            }
            steps.push(step);
        }
        let outputs = self.plan.outputs.iter().map(|(_, o)| move_in(o)).collect::<Result<_, _>>()?;
        Ok(Body { inputs: inputs.to_vec(), steps, outputs })
    }

    /// An operand in the roots of the plan around.
    fn moved(&self, inputs: &[Operand], block: &Operand, o: &Operand) -> Result<Operand, Invalid> {
        let (root, shift) = match o.root {
            Root::Weights | Root::Prepared => return Ok(o.clone()),
            Root::Input(i) => {
                let whole = inputs.get(i).ok_or_else(|| Invalid::new(format!("a body without input {i}")))?;
                (whole.root, whole.start)
            }
            Root::Buffer(b) => match self.placed.get(&b) {
                Some((root, at)) => (*root, at / o.dtype.size()),
                None => (block.root, self.plan.buffers.get(b).map_or(0, |b| b.offset) / o.dtype.size()),
            },
        };
        let holds = o.holds.clone().map(|(v, layout)| -> (ValueId, super::Layout) {
            let offset = layout.offset + shift as isize;
            (v, super::Layout { offset, ..layout })
        });
        Ok(Operand { root, start: o.start + shift, holds, ..o.clone() })
    }
}

/// Rewrites every operand of a step, those of the bodies inside among them.
fn relocate(step: &mut Step, f: &dyn Fn(&Operand) -> Result<Operand, Invalid>) -> Result<(), Invalid> {
    for o in step.writes.iter_mut().chain(step.reads.iter_mut().flatten()) {
        *o = f(o)?;
    }
    match &mut step.kernel {
        Kernel::If(k) => {
            k.condition = f(&k.condition)?;
            relocate_body(&mut k.then, f)?;
            relocate_body(&mut k.otherwise, f)
        }
        Kernel::Loop(k) => {
            let own = std::iter::once(&mut k.counter).chain(&mut k.trips).chain(&mut k.go);
            for o in own.chain(&mut k.initial) {
                *o = f(o)?;
            }
            relocate_body(&mut k.body, f)
        }
        _ => Ok(()),
    }
}

fn relocate_body(body: &mut Body, f: &dyn Fn(&Operand) -> Result<Operand, Invalid>) -> Result<(), Invalid> {
    for o in body.inputs.iter_mut().chain(&mut body.outputs) {
        *o = f(o)?;
    }
    body.steps.iter_mut().try_for_each(|step| relocate(step, f))
}
