//! Where the numbers of each part of a plan stand in the order of [`Numbers`].

use super::Numbers;
use crate::plan::{Operand, Plan};
use std::ops::Range;

/// The numbers of a plan's parts. Of an operand the first is its start, the second its length.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The extents of each input.
    pub inputs: Vec<usize>,
    /// Per output, behind its extents.
    pub outputs: Vec<usize>,
    /// The operand that says whether shapes agree.
    pub check: Option<usize>,
    /// Per run-time extent of an output.
    pub extents: Vec<usize>,
    /// Per step.
    pub steps: Vec<StepIndex>,
}

/// The numbers of a step.
#[derive(Clone, Debug, Default)]
pub struct StepIndex {
    /// Of the descriptor.
    pub kernel: Range<usize>,
    /// Of what it writes.
    pub writes: Vec<usize>,
    /// Of what it reads.
    pub reads: Vec<Option<usize>>,
}

struct Cursor(usize);

impl Cursor {
    fn pass(&mut self, x: &(impl Numbers + Clone)) -> usize {
        let at = self.0;
        x.clone().numbers(&mut |_, n| {
            self.0 += 1;
            n
        });
        at
    }
}

impl Index {
    /// The index of a plan, in the order in which its numbers are visited.
    pub fn new(plan: &Plan) -> Index {
        let mut cursor = Cursor(0);
        let inputs = plan.inputs.iter().map(|port| cursor.pass(&port.dims)).collect();
        let mut index = Index { inputs, ..Index::default() };
        for (port, operand) in &plan.outputs {
            cursor.pass(&port.dims);
            index.outputs.push(cursor.pass(operand));
        }
        index.check = plan.check.as_ref().map(|o| cursor.pass(o));
        index.extents = plan.extents.iter().map(|(_, _, o)| cursor.pass(o)).collect();
        for step in &plan.steps {
            let first = cursor.pass(&step.kernel);
            index.steps.push(StepIndex {
                kernel: first..cursor.0,
                writes: step.writes.iter().map(|o| cursor.pass(o)).collect(),
                reads: step.reads.iter().map(|o| o.as_ref().map(|o| cursor.pass(o))).collect(),
            });
        }
        index
    }

    /// Every operand with the position of its numbers.
    pub fn operands<'p>(&self, plan: &'p Plan) -> Vec<(&'p Operand, usize)> {
        let mut all: Vec<(&Operand, usize)> =
            plan.outputs.iter().map(|(_, o)| o).zip(self.outputs.iter().copied()).collect();
        all.extend(plan.check.iter().zip(self.check));
        all.extend(plan.extents.iter().map(|(_, _, o)| o).zip(self.extents.iter().copied()));
        for (step, index) in plan.steps.iter().zip(&self.steps) {
            all.extend(step.writes.iter().zip(index.writes.iter().copied()));
            let reads = step.reads.iter().zip(&index.reads);
            all.extend(reads.filter_map(|(o, at)| Some((o.as_ref()?, (*at)?))));
        }
        all
    }
}
