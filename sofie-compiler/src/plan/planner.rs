//! What instruction selection works with: where each value is, buffers as they come and go, and the
//! copies that make a value fit a kernel that cannot read it where it lies.

use super::kernel::Kernel;
use super::layout::Layout;
use super::memory::{ALIGN, Live, lower_bound, place};
use super::region::Inner;
use super::select::{Block, strided};
use super::{Buffer, Operand, Plan, Port, Preparation, Root, Step, WeightImage};
use crate::ir::{CHECK, Graph, Invalid, Node, Op, Tensor, ValueId, extent_of};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::conv::Conv;
use sofie_infer_runtime::copy::Copy;
use std::collections::{HashMap, HashSet};

/// Where a value is.
#[derive(Clone, Debug, PartialEq)]
pub struct Home {
    /// What holds it: a buffer, an input, or (dense) weights.
    pub root: Root,
    /// Where in the root its elements are.
    pub layout: Layout,
    /// The element type.
    pub dtype: DType,
    /// The value, for the checker.
    pub value: Option<ValueId>,
}

impl Home {
    /// The run of elements that covers the value, and the layout counted from that run's start.
    pub fn operand(&self) -> Result<(Operand, Layout), Invalid> {
        let (low, high) = self.layout.reach().unwrap_or((0, -1));
        let start = usize::try_from(low).map_err(|_| Invalid::new("a view reaches before its buffer"))?;
        let layout = Layout { offset: self.layout.offset - low, ..self.layout.clone() };
        let holds = self.value.map(|v| (v, self.layout.clone()));
        let len = (high + 1 - low) as usize;
        Ok((Operand { root: self.root, dtype: self.dtype, start, len, holds }, layout))
    }
}

/// The state of planning.
pub struct Planner<'g> {
    /// The graph.
    pub graph: &'g Graph,
    /// The extents of each value.
    dims: Vec<Vec<usize>>,
    homes: Vec<Option<Home>>,
    /// Where a value is to be written, so that a concat needs no copy.
    wanted: Vec<Option<Home>>,
    /// Whether each buffer has been written.
    begun: Vec<bool>,
    /// Readers of each value, model outputs included.
    uses: Vec<usize>,
    buffers: Vec<Buffer>,
    steps: Vec<Step>,
    weights: WeightImage,
    preparations: Vec<Preparation>,
    node: usize,
    dense_copies: HashMap<ValueId, Home>,
    /// Gathers that are not made but read through their index, by the node at that position.
    fused: HashMap<ValueId, usize>,
    /// Results of convolutions that are not made but pooled by the same step, with the pooling's position.
    pooled: HashMap<ValueId, usize>,
    /// Convolutions that are one step with the products around them, by the position of each node.
    blocks: HashMap<usize, Block>,
    /// Numbers of elements that a step has found, with the extents that they are.
    found: HashSet<(ValueId, usize)>,
}

impl<'g> Planner<'g> {
    /// Ready for the first node.
    pub fn new(graph: &'g Graph) -> Result<Planner<'g>, Invalid> {
        let fixed = |v: &crate::ir::ValueInfo| {
            v.shape.fixed().ok_or_else(|| Invalid::new(format!("the shape {} is not fixed", v.shape)))
        };
        let dims = graph.values().iter().map(fixed).collect::<Result<Vec<_>, _>>()?;
        let count = graph.values().len();
        let mut homes = vec![None; count];
        for (i, input) in graph.inputs().iter().enumerate() {
            let v = input.value;
            homes[v.index()] = Some(Home {
                root: Root::Input(i),
                layout: Layout::dense(&dims[v.index()]),
                dtype: graph.dtype(v),
                value: Some(v),
            });
        }
        Ok(Planner {
            graph,
            dims,
            homes,
            wanted: vec![None; count],
            begun: Vec::new(),
            uses: graph.use_counts(),
            buffers: Vec::new(),
            steps: Vec::new(),
            weights: WeightImage::default(),
            preparations: Vec::new(),
            node: 0,
            dense_copies: HashMap::new(),
            fused: HashMap::new(),
            pooled: HashMap::new(),
            blocks: HashMap::new(),
            found: HashSet::new(),
        })
    }

    /// A body's plan, whose weights stand among those of this one.
    pub fn body(&mut self, graph: &Graph) -> Result<Inner, Invalid> {
        let mut inner = Planner::new(graph)?;
        inner.weights = std::mem::take(&mut self.weights);
        inner.preparations = std::mem::take(&mut self.preparations);
        let mut plan = super::run(inner, graph)?;
        self.weights = std::mem::take(&mut plan.weights);
        self.preparations = std::mem::take(&mut plan.preparations);
        Ok(Inner::new(plan))
    }

    /// The node that is planned, and its position.
    pub fn position(&self) -> usize {
        self.node
    }

    /// Bytes of the arena for a body's buffers.
    pub fn block(&mut self, bytes: usize) -> Operand {
        if bytes == 0 {
            return Operand::nothing(DType::U8);
        }
        let buffer = self.buffer(bytes, false);
        Operand { root: Root::Buffer(buffer), dtype: DType::U8, start: 0, len: bytes, holds: None }
    }

    /// The node that is planned from now on.
    pub fn begin(&mut self, node: usize) {
        self.node = node;
    }

    /// Says which gathers are not made but read through their index, and by which node.
    pub fn fuse(&mut self, gathers: HashMap<ValueId, usize>) {
        self.fused = gathers;
    }

    /// The gather that makes `v`, if it is read through its index.
    pub fn fused_gather(&self, v: ValueId) -> Option<&'g Node> {
        self.fused.get(&v).and_then(|_| self.graph.producer(v))
    }

    /// Says which convolutions are computed together with the pooling behind them, and where that stands.
    pub fn pool(&mut self, pooled: HashMap<ValueId, usize>) {
        self.pooled = pooled;
    }

    /// The pooling of a convolution's result `v`, if both are one step.
    pub fn pooled(&self, v: ValueId) -> Option<&'g Node> {
        self.pooled.get(&v).and_then(|&at| self.graph.nodes().get(at))
    }

    /// Says which convolutions are one step with the products around them.
    pub fn join(&mut self, blocks: Vec<Block>) {
        self.blocks = blocks.into_iter().flat_map(|b| b.nodes().map(move |at| (at, b))).collect();
    }

    /// The block that the node that is planned belongs to.
    pub fn joined(&self) -> Option<Block> {
        self.blocks.get(&self.node).copied()
    }

    /// The extents of a value.
    pub fn dims(&self, v: ValueId) -> &[usize] {
        &self.dims[v.index()]
    }

    /// The tensor, if the value is a constant.
    pub fn constant(&self, v: ValueId) -> Option<&'g Tensor> {
        self.graph.constant(v)
    }

    /// Whether a step is needed to find that `count` is `extent`: the first time that it is asked.
    pub fn finds(&mut self, count: ValueId, extent: usize) -> bool {
        self.found.insert((count, extent))
    }

    /// Where a value is; a constant becomes dense weights when it is first asked for.
    pub fn home(&mut self, v: ValueId) -> Result<Home, Invalid> {
        if let Some(home) = &self.homes[v.index()] {
            return Ok(home.clone());
        }
        let Some(tensor) = self.constant(v) else {
            return Err(Invalid::new(format!("%{} is read before it is written", v.index())));
        };
        let start = self.weights.add(tensor.bytes()) / tensor.dtype().size();
        let layout = Layout { offset: start as isize, ..Layout::dense(tensor.dims()) };
        let home = Home { root: Root::Weights, layout, dtype: tensor.dtype(), value: None };
        self.homes[v.index()] = Some(home.clone());
        Ok(home)
    }

    /// Says where a value is, without a step: views.
    pub fn alias(&mut self, v: ValueId, layout: Layout, of: &Home) {
        let value = of.value.is_some().then_some(v);
        self.homes[v.index()] = Some(Home { root: of.root, layout, dtype: of.dtype, value });
    }

    /// Packed weights as an operand.
    pub fn packed(&mut self, dtype: DType, bytes: &[u8]) -> Operand {
        let start = self.weights.add(bytes) / dtype.size();
        Operand { root: Root::Weights, dtype, start, len: bytes.len() / dtype.size(), holds: None }
    }

    /// `f32` weights as an operand.
    pub fn packed_f32(&mut self, values: &[f32]) -> Operand {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.packed(DType::F32, &bytes)
    }

    /// The convolution's weights as it wants them, if it wants them transformed when a session is made.
    pub fn prepared(&mut self, kernel: &Conv, weights: &Operand) -> Option<Operand> {
        let len = kernel.prepared_len();
        if len == 0 {
            return None;
        }
        let line = ALIGN / DType::F32.size();
        let start = self
            .preparations
            .last()
            .map_or(0, |p| (p.prepared.start + p.prepared.len).next_multiple_of(line));
        let prepared = Operand { root: Root::Prepared, dtype: DType::F32, start, len, holds: None };
        let (kernel, weights) = (kernel.clone(), weights.clone());
        self.preparations.push(Preparation { kernel, weights, prepared: prepared.clone() });
        Some(prepared)
    }

    fn buffer(&mut self, bytes: usize, scratch: bool) -> usize {
        let at = self.steps.len();
        self.buffers.push(Buffer {
            bytes: bytes.next_multiple_of(ALIGN),
            first: at,
            last: at,
            offset: 0,
            scratch,
        });
        self.begun.push(false);
        self.buffers.len() - 1
    }

    /// A new dense home.
    pub fn alloc(&mut self, dtype: DType, dims: &[usize], value: Option<ValueId>) -> Home {
        let buffer = self.buffer(dims.iter().product::<usize>() * dtype.size(), false);
        Home { root: Root::Buffer(buffer), layout: Layout::dense(dims), dtype, value }
    }

    /// Scratch for the next step, of `len` elements.
    pub fn scratch(&mut self, dtype: DType, len: usize) -> Operand {
        if len == 0 {
            return Operand::nothing(dtype);
        }
        let buffer = self.buffer(len * dtype.size(), true);
        Operand { root: Root::Buffer(buffer), dtype, start: 0, len, holds: None }
    }

    /// Where the next step is to write value `v`: its slice of a concat where `accepts` takes that layout,
    /// else a new dense buffer. [`Planner::written`] follows the step.
    pub fn target(&mut self, v: ValueId, accepts: impl Fn(&Layout) -> bool) -> Home {
        let dims = self.dims(v).to_vec();
        match &self.wanted[v.index()] {
            Some(home) if accepts(&home.layout) => home.clone(),
            _ => self.alloc(self.graph.dtype(v), &dims, Some(v)),
        }
    }

    /// Records that `v` is now at `home`, and moves it to its slice of a concat where it is not there yet.
    pub fn written(&mut self, v: ValueId, home: Home) -> Result<(), Invalid> {
        self.homes[v.index()] = Some(home.clone());
        match self.wanted[v.index()].clone() {
            Some(wanted) if wanted != home => {
                self.copy(&home, &wanted)?;
                self.homes[v.index()] = Some(wanted);
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks that `v`, which is not planned yet, be written at `home`.
    pub fn want(&mut self, v: ValueId, home: Home) {
        self.wanted[v.index()] = Some(home);
    }

    /// Where `v` is asked to be written.
    pub fn wanted(&self, v: ValueId) -> Option<&Home> {
        self.wanted[v.index()].as_ref()
    }

    /// The value whose elements `v` shows, through views.
    pub fn shown(&self, v: ValueId) -> ValueId {
        match self.graph.producer(v) {
            Some(n) if n.op.is_view() => self.shown(n.inputs[0]),
            _ => v,
        }
    }

    /// Whether `v`, or what it is a view of, is asked to be written into the buffer that `y` is, where their elements may
    /// interleave: what writes one must not read the other.
    pub fn is_beside(&self, v: ValueId, y: ValueId) -> bool {
        let home = |v: ValueId| self.wanted(v).map(|home| home.root);
        home(y).is_some_and(|y| home(self.shown(v)) == Some(y))
    }

    /// How many nodes (and outputs) read `v`.
    pub fn uses(&self, v: ValueId) -> usize {
        self.uses[v.index()]
    }

    /// Copies elements from one home to another of the same extents.
    pub fn copy(&mut self, from: &Home, to: &Home) -> Result<(), Invalid> {
        let ((read, src), (write, dst)) = (from.operand()?, to.operand()?);
        let (r, w) = (read.start..read.start + read.len, write.start..write.start + write.len);
        if read.root == write.root && r.start < w.end && w.start < r.end {
            // Interleaved slices of one buffer cannot be borrowed side by side: go through another one.
            let between = self.alloc(from.dtype, &from.layout.dims, from.value);
            self.copy(from, &between)?;
            return self.copy(&between, to);
        }
        let copy = Copy::new(&strided(&dst)?, &strided(&src)?).ok_or_else(|| {
            Invalid::new(format!("a copy of {} axes that do not merge to 8", src.dims.len()))
        })?;
        self.push(Kernel::Copy(copy), vec![write], vec![Some(read)]);
        Ok(())
    }

    /// A dense, row-major operand for `v`, copied if it is not that yet.
    pub fn dense(&mut self, v: ValueId) -> Result<Operand, Invalid> {
        self.fitting(v, Layout::is_dense).map(|(operand, _)| operand)
    }

    /// An operand for `v` in a layout that `accepts` takes, copied to a dense buffer if it is not that yet.
    pub fn fitting(
        &mut self,
        v: ValueId,
        accepts: impl Fn(&Layout) -> bool,
    ) -> Result<(Operand, Layout), Invalid> {
        let home = self.home(v)?;
        if accepts(&home.layout) {
            return home.operand();
        }
        if let Some(copy) = self.dense_copies.get(&v) {
            return copy.operand();
        }
        let to = self.alloc(home.dtype, &home.layout.dims.clone(), home.value);
        self.copy(&home, &to)?;
        self.dense_copies.insert(v, to.clone());
        to.operand()
    }

    /// Whether this node is the last that reads the buffer of `v`, so that its result may replace it.
    pub fn dies_here(&self, v: ValueId) -> bool {
        let Some(Home { root: Root::Buffer(b), .. }) = &self.homes[v.index()] else { return false };
        let holders = |o: &Option<Home>| matches!(o, Some(h) if h.root == Root::Buffer(*b));
        let read_later = |w: ValueId| {
            self.graph.nodes()[self.node + 1..].iter().any(|n| n.inputs.contains(&w))
                || self.graph.outputs().iter().any(|o| o.value == w)
                || self.fused.iter().any(|(v, &at)| {
                    at > self.node && self.fused_gather(*v).is_some_and(|g| g.inputs.contains(&w))
                })
        };
        let ids = self.graph.nodes().iter().flat_map(|n| &n.outputs);
        let mut others = ids.filter(|w| holders(&self.homes[w.index()]));
        !others.any(|w| read_later(*w))
            && !self.wanted.iter().any(|w| matches!(w, Some(h) if h.root == Root::Buffer(*b)))
    }

    /// Appends a step.
    pub fn push(&mut self, kernel: Kernel, writes: Vec<Operand>, reads: Vec<Option<Operand>>) {
        let at = self.steps.len();
        for operand in writes.iter().chain(reads.iter().flatten()) {
            if let Root::Buffer(b) = operand.root {
                self.buffers[b].last = at;
            }
        }
        for operand in &writes {
            if let Root::Buffer(b) = operand.root
                && !self.begun[b]
            {
                self.buffers[b].first = at;
                self.begun[b] = true;
            }
        }
        let origin = self.graph.nodes().get(self.node).map(|n: &Node| n.origin.clone()).unwrap_or_default();
        self.steps.push(Step { kernel, writes, reads, origin });
    }

    /// Says that the last step stands for another node besides.
    pub fn add_origin(&mut self, node: &Node) {
        if let Some(step) = self.steps.last_mut() {
            step.origin
                .extend(node.origin.iter().filter(|o| !step.origin.contains(o)).cloned().collect::<Vec<_>>());
        }
    }

    /// Gives every output a dense buffer of its own, places all buffers, and ends planning.
    pub fn finish(mut self) -> Result<Plan, Invalid> {
        let mut outputs: Vec<(Port, Operand)> = Vec::new();
        for output in self.graph.outputs() {
            let v = output.value;
            let mut home = self.home(v)?;
            let taken = |home: &Home| {
                outputs.iter().any(|(_, o): &(Port, Operand)| o.root == home.root && !home.layout.is_empty())
            };
            if !matches!(home.root, Root::Buffer(_)) || !home.layout.is_dense() || taken(&home) {
                let to = self.alloc(home.dtype, &home.layout.dims.clone(), home.value);
                self.copy(&home, &to)?;
                home = to;
            }
            let port = Port { name: output.name.clone(), dtype: home.dtype, dims: self.dims(v).to_vec() };
            outputs.push((port, home.operand()?.0));
        }
        let is_region = |step: &Step| matches!(step.kernel, Kernel::If(_) | Kernel::Loop(_));
        if let Some(step) = self.steps.iter().find(|step| !is_region(step) && step.is_interleaved()) {
            let nodes = step.origin.join(" + ");
            return Err(Invalid::new(format!("the step of {nodes} would write between what it reads")));
        }
        let end = self.steps.len();
        let is_check = |(port, _): &(Port, Operand)| port.name == CHECK;
        for (_, operand) in &outputs {
            if let Root::Buffer(b) = operand.root {
                self.buffers[b].last = end;
            }
        }
        let lives = |scratch: bool| -> Vec<Live> {
            let kept = self.buffers.iter().map(|b| Live {
                bytes: if b.scratch && !scratch { 0 } else { b.bytes },
                first: b.first,
                last: b.last,
            });
            kept.collect()
        };
        let (offsets, arena_bytes) = place(&lives(true));
        let (_, without_scratch) = place(&lives(false));
        let bound_bytes = lower_bound(&lives(false));
        for (buffer, offset) in self.buffers.iter_mut().zip(offsets) {
            buffer.offset = offset;
        }
        let port = |p: &crate::ir::Port| Port {
            name: p.name.clone(),
            dtype: self.graph.dtype(p.value),
            dims: self.dims(p.value).to_vec(),
        };
        Ok(Plan {
            inputs: self.graph.inputs().iter().map(port).collect(),
            check: outputs.iter().find(|o| is_check(o)).map(|(_, operand)| operand.clone()),
            extents: outputs
                .iter()
                .filter_map(|(port, o)| extent_of(&port.name).map(|(i, axis)| (i, axis, o.clone())))
                .collect(),
            outputs: outputs.into_iter().filter(|o| !is_check(o) && extent_of(&o.0.name).is_none()).collect(),
            steps: self.steps,
            buffers: self.buffers,
            weights: self.weights,
            preparations: self.preparations,
            arena_bytes,
            bound_bytes,
            scratch_bytes: arena_bytes - without_scratch.min(arena_bytes),
        })
    }
}

/// Whether an operation writes its result itself, so that it can be told where.
pub fn computes(op: &Op) -> bool {
    !op.is_view() && !matches!(op, Op::Const(_) | Op::Concat(_))
}
