//! Graph → plan: which kernels run in which order over which bytes.
//!
//! `select` walks the graph and picks a runtime kernel for each node; values that are views get a
//! [`Layout`] and no step. Every kernel is one of the runtime's own descriptors, so a plan can be run in
//! process (`execute`), printed as constants into the expansion, and checked (`check`) without either.

pub mod check;
mod cost;
pub mod execute;
pub mod family;
pub(crate) mod fields;
mod kernel;
mod layout;
mod memory;
mod planner;
mod region;
mod select;
mod weights;

pub use cost::Cost;
pub use kernel::{Custom, Found, Kernel};
pub use layout::Layout;
pub use region::{Body, If, Loop};
pub use weights::WeightImage;

use crate::ir::{Graph, Invalid, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::conv::Conv;
use std::sync::Arc;

/// What a span of elements is cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// A buffer of the arena, by index in [`Plan::buffers`].
    Buffer(usize),
    /// An input of the model, where the caller has it.
    Input(usize),
    /// The weights in read-only memory.
    Weights,
    /// Weights that are transformed once, when a session is made.
    Prepared,
}

/// Elements that a kernel reads or writes: a contiguous run of a root that covers them.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// What it is cut from.
    pub root: Root,
    /// The element type.
    pub dtype: DType,
    /// The first element, counted from the root's start.
    pub start: usize,
    /// The number of elements in the run.
    pub len: usize,
    /// The value that it holds and where, for the checker; none for packed weights and scratch.
    pub holds: Option<(ValueId, Layout)>,
}

impl Operand {
    /// No elements: a result that nobody reads.
    pub fn nothing(dtype: DType) -> Operand {
        Operand { root: Root::Weights, dtype, start: 0, len: 0, holds: None }
    }
}

/// One kernel at work.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The descriptor.
    pub kernel: Kernel,
    /// Written, in the kernel's order, scratch last where it takes one.
    pub writes: Vec<Operand>,
    /// Read, in the kernel's order; `None` is an operand that is not there.
    pub reads: Vec<Option<Operand>>,
    /// The ONNX nodes that it stands for.
    pub origin: Vec<Arc<str>>,
}

impl Step {
    /// The type of operand `i`; `f32` where there is none.
    pub fn read_type(&self, i: usize) -> DType {
        self.reads.get(i).and_then(Option::as_ref).map_or(DType::F32, |o| o.dtype)
    }

    /// Whether operand `i` is read as `i32`.
    pub fn reads_i32(&self, i: usize) -> bool {
        matches!(self.reads.get(i), Some(Some(o)) if o.dtype == DType::I32)
    }

    /// Whether it writes between what else it reads or writes. A kernel borrows each operand as one run, so that this could
    /// not run.
    pub fn is_interleaved(&self) -> bool {
        let bytes = |o: &Operand| {
            let size = o.dtype.size();
            (o.root, o.start * size, (o.start + o.len) * size)
        };
        let overlap = |a: &Operand, b: &Operand| {
            let ((of, start, end), (root, first, last)) = (bytes(a), bytes(b));
            matches!(of, Root::Buffer(_)) && of == root && start.max(first) < end.min(last)
        };
        let mut written = self.writes.iter().enumerate();
        written.any(|(i, w)| {
            self.reads.iter().flatten().chain(&self.writes[i + 1..]).any(|other| overlap(w, other))
        })
    }
}

/// Bytes of the arena that are reused over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// The size in bytes, a multiple of 64.
    pub bytes: usize,
    /// The first step that writes it.
    pub first: usize,
    /// The last step that reads or writes it; the number of steps for an output.
    pub last: usize,
    /// The first byte in the arena.
    pub offset: usize,
    /// A kernel's scratch, which no value lives in.
    pub scratch: bool,
}

/// Weights to transform when a session is made, for the convolution that reads them.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    /// The convolution.
    pub kernel: Conv,
    /// Its packed weights.
    pub weights: Operand,
    /// Where the transformed weights go.
    pub prepared: Operand,
}

/// An input or output of the session.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The name in the file.
    pub name: String,
    /// The element type.
    pub dtype: DType,
    /// The extents.
    pub dims: Vec<usize>,
}

/// Everything that the emitted code does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The model's inputs.
    pub inputs: Vec<Port>,
    /// The model's outputs and where they are after the last step: dense, in the arena.
    pub outputs: Vec<(Port, Operand)>,
    /// The byte that says, after the last step, whether the operands agree with the shapes that the model declares;
    /// without it they cannot disagree.
    pub check: Option<Operand>,
    /// Outputs whose shape is the most that there can be: output, axis, and where the number of elements is (i64).
    pub extents: Vec<(usize, usize, Operand)>,
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// The arena's buffers.
    pub buffers: Vec<Buffer>,
    /// Packed weights.
    pub weights: WeightImage,
    /// Weights that are transformed once, in order, one behind the other.
    pub preparations: Vec<Preparation>,
    /// Bytes of the arena, kernels' scratch among them.
    pub arena_bytes: usize,
    /// The largest sum of buffers' bytes that live at one step, without scratch: no arena is smaller.
    pub bound_bytes: usize,
    /// The arena's bytes beyond what the values alone need.
    pub scratch_bytes: usize,
}

impl Plan {
    /// Bytes of all transformed weights.
    pub fn prepared_bytes(&self) -> usize {
        self.preparations.last().map_or(0, |p| (p.prepared.start + p.prepared.len) * p.prepared.dtype.size())
    }

    /// All steps, those of bodies behind the step that holds them.
    pub fn all_steps(&self) -> Vec<&Step> {
        let mut all = Vec::new();
        self.steps.iter().for_each(|step| step.collect(&mut all));
        all
    }

    /// The byte at which an operand starts: in the arena, in its input, or in the weights.
    pub fn operand_offset(&self, o: &Operand) -> usize {
        let base = match o.root {
            Root::Buffer(b) => self.buffers.get(b).map_or(0, |b| b.offset),
            Root::Input(_) | Root::Weights | Root::Prepared => 0,
        };
        base + o.start * o.dtype.size()
    }
}

/// Plans a graph of fixed shapes.
///
/// # Errors
/// Where an extent is symbolic, or no kernel serves an operation on its operands.
pub fn plan(graph: &Graph) -> Result<Plan, Invalid> {
    let planner = planner::Planner::new(graph)?;
    run(planner, graph)
}

/// Plans a graph of fixed inputs, some of whose extents values may decide: the plan, at the most that there can be, and what
/// places it for a run.
///
/// # Errors
/// As [`plan()`], and as [`family::Family::new`].
pub fn plan_within(graph: &Graph) -> Result<(Plan, Option<family::Family>), Invalid> {
    if graph.found().is_empty() {
        return Ok((plan(graph)?, None));
    }
    let family = family::Family::new(graph)?;
    Ok((family.at(&family.corner(true))?, Some(family)))
}

/// Plans all nodes.
fn run<'g>(mut planner: planner::Planner<'g>, graph: &'g Graph) -> Result<Plan, Invalid> {
    select::request_places(&mut planner);
    for (i, node) in graph.nodes().iter().enumerate() {
        planner.begin(i);
        select::node(&mut planner, node)?;
    }
    planner.finish()
}
