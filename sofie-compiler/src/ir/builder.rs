//! Builds graphs: infers shapes and folds constants as it goes.
//! Lowering and every pass go through here, so a graph that exists has been checked.

use super::graph::{Node, NodeId, Port, ValueId, ValueInfo};
use super::{Dim, Graph, Inst, Invalid, MapExpr, Op, Shape, Tensor, eval, infer};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use std::sync::Arc;

/// Elements beyond which a constant is not folded where its operands are smaller (an expanded constant
/// stays a broadcast).
const FOLD_LIMIT: usize = 1 << 16;

/// A graph that is being built.
#[derive(Debug, Default)]
pub struct Builder {
    graph: Graph,
    origin: Vec<Arc<str>>,
    /// Whether sums of floats stay nodes.
    keeps_sums: bool,
}

impl Builder {
    /// An empty graph.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// An empty graph in which nothing is folded that the evaluator and a kernel round differently: sums of floats.
    pub fn keeping_sums() -> Builder {
        Builder { keeps_sums: true, ..Builder::default() }
    }

    /// Names the ONNX nodes that the nodes pushed from now on come from.
    pub fn set_origin(&mut self, origin: &[Arc<str>]) {
        self.origin = origin.to_vec();
    }

    /// The names that were set last.
    pub fn origin(&self) -> Vec<Arc<str>> {
        self.origin.clone()
    }

    /// Adds to the names of the ONNX nodes that the nodes pushed from now on come from.
    pub fn add_origin(&mut self, origin: &[Arc<str>]) {
        for o in origin {
            if !self.origin.contains(o) {
                self.origin.push(o.clone());
            }
        }
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// An input of the model.
    pub fn input(&mut self, name: &str, dtype: DType, shape: Shape) -> ValueId {
        let value = self.value(dtype, shape, None);
        self.graph.inputs.push(Port { name: name.into(), value });
        value
    }

    /// Makes a value an output of the model.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.graph.outputs.push(Port { name: name.into(), value });
    }

    fn value(&mut self, dtype: DType, shape: Shape, producer: Option<NodeId>) -> ValueId {
        self.graph.values.push(ValueInfo { dtype, shape, producer });
        ValueId(self.graph.values.len() as u32 - 1)
    }

    /// The extents of a value.
    pub fn shape(&self, v: ValueId) -> &Shape {
        self.graph.shape(v)
    }

    /// The element type of a value.
    pub fn dtype(&self, v: ValueId) -> DType {
        self.graph.dtype(v)
    }

    /// The tensor, if the value is a constant.
    pub fn constant(&self, v: ValueId) -> Option<&Tensor> {
        self.graph.constant(v)
    }

    /// The numbers in a one-dimensional (or scalar) value that holds extents, if they are known.
    pub fn dims_of(&self, v: ValueId) -> Option<Vec<Dim>> {
        self.constant(v)?.to_ints().map(|ns| ns.into_iter().map(Dim::Fixed).collect())
    }

    /// Appends a node, or its folded result where all operands are constants.
    ///
    /// # Errors
    /// Where the operands do not fit the operation.
    pub fn push(&mut self, op: Op, inputs: &[ValueId]) -> Result<Vec<ValueId>, Invalid> {
        let operands: Vec<_> = inputs.iter().map(|v| (self.dtype(*v), self.shape(*v))).collect();
        let results = infer(&op, &operands)?;
        if let Some(same) = self.identity(&op, inputs) {
            return Ok(vec![same]);
        }
        if let Some(folded) = self.fold(&op, inputs, &results)? {
            return Ok(folded.into_iter().map(|t| self.tensor(t)).collect());
        }
        let node = NodeId(self.graph.nodes.len() as u32);
        let outputs: Vec<_> = results.into_iter().map(|(t, s)| self.value(t, s, Some(node))).collect();
        let origin = if matches!(op, Op::Const(_)) { Vec::new() } else { self.origin.clone() };
        self.graph.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone(), origin });
        Ok(outputs)
    }

    /// Appends a node with one result.
    pub fn one(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, Invalid> {
        let results = self.push(op, inputs)?;
        results.into_iter().next().ok_or_else(|| Invalid::new("an operation without results"))
    }

    /// The operand itself where the operation changes nothing.
    fn identity(&self, op: &Op, inputs: &[ValueId]) -> Option<ValueId> {
        let x = *inputs.first()?;
        let shape = self.shape(x);
        let same = match op {
            Op::Reshape(s) | Op::Broadcast(s) => s == shape,
            Op::Transpose(perm) => perm.iter().copied().eq(0..perm.len()),
            Op::Slice { start, step, shape: s } => {
                s == shape && start.iter().all(|d| d.is(0)) && step.iter().all(|&n| n == 1)
            }
            Op::Concat(_) => inputs.len() == 1,
            Op::Pad { before, after, .. } => before.iter().chain(after).all(|d| d.is(0)),
            Op::Map(e) => matches!(e.insts(), [Inst::Input(0)]) && inputs.len() == 1,
            Op::Reduce(_, axes) => axes.is_empty(),
            _ => false,
        };
        same.then_some(x)
    }

    /// The results' tensors, where all operands are constants and the results are not out of proportion.
    fn fold(
        &self,
        op: &Op,
        inputs: &[ValueId],
        results: &[(DType, Shape)],
    ) -> Result<Option<Vec<Tensor>>, Invalid> {
        if matches!(op, Op::Const(_) | Op::Custom(_) | Op::If(_) | Op::Loop(_)) {
            return Ok(None);
        }
        if self.keeps_sums && !op.moves_or_maps() && results.iter().any(|(t, _)| t.is_float()) {
            return Ok(None);
        }
        // What a reduction makes of nothing is known, whoever makes the nothing.
        let nothing = match (op, inputs) {
            (Op::Reduce(..), [x]) => self.shape(*x).fixed().filter(|dims| dims.contains(&0)),
            _ => None,
        };
        let nothing = nothing.and_then(|dims| Tensor::from_bytes(self.dtype(inputs[0]), dims, Vec::new()));
        let operand = |v: &ValueId| self.constant(*v).or(nothing.as_ref());
        let Some(operands) = inputs.iter().map(operand).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let mut shapes = Vec::new();
        for (dtype, shape) in results {
            let Some(dims) = shape.fixed() else { return Ok(None) };
            let len = dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
            let read = operands.iter().map(|t| t.len()).max().unwrap_or(0);
            if len.is_none_or(|n| n > FOLD_LIMIT.max(read)) {
                return Ok(None);
            }
            shapes.push((*dtype, dims));
        }
        eval::apply(op, &operands, &shapes).map(Some)
    }

    /// A constant.
    pub fn tensor(&mut self, t: Tensor) -> ValueId {
        let node = NodeId(self.graph.nodes.len() as u32);
        let v = self.value(t.dtype(), t.shape(), Some(node));
        self.graph.nodes.push(Node {
            op: Op::Const(t),
            inputs: Vec::new(),
            outputs: vec![v],
            origin: Vec::new(),
        });
        v
    }

    /// A constant of rank 0.
    pub fn scalar(&mut self, x: impl Into<Scalar>) -> ValueId {
        self.tensor(Tensor::scalar(x.into()))
    }

    /// Of several values of any ranks, the same values with leading axes of extent 1 up to the largest rank.
    pub fn same_rank(&mut self, values: &[ValueId]) -> Result<Vec<ValueId>, Invalid> {
        let rank = values.iter().map(|v| self.shape(*v).rank()).max().unwrap_or(0);
        values.iter().map(|v| self.to_rank(*v, rank)).collect()
    }

    /// The value with leading axes of extent 1 up to rank `rank`.
    pub fn to_rank(&mut self, v: ValueId, rank: usize) -> Result<ValueId, Invalid> {
        let shape = self.shape(v);
        let lead = rank.saturating_sub(shape.rank());
        let shape = vec![Dim::ONE; lead].iter().chain(shape.dims()).cloned().collect();
        self.reshape(v, shape)
    }

    /// An elementwise expression over operands that broadcast as numpy's do.
    pub fn map(&mut self, e: MapExpr, inputs: &[ValueId]) -> Result<ValueId, Invalid> {
        let inputs = self.same_rank(inputs)?;
        self.one(Op::Map(e), &inputs)
    }

    /// `op(x)`.
    pub fn unary(&mut self, op: Unary, x: ValueId) -> Result<ValueId, Invalid> {
        let e = MapExpr::unary(op, self.dtype(x))?;
        self.map(e, &[x])
    }

    /// `op(x, y)`, broadcast as numpy does.
    pub fn binary(&mut self, op: Binary, x: ValueId, y: ValueId) -> Result<ValueId, Invalid> {
        let e = MapExpr::binary(op, self.dtype(x))?;
        self.map(e, &[x, y])
    }

    /// `c ? x : y`, broadcast as numpy does.
    pub fn select(&mut self, c: ValueId, x: ValueId, y: ValueId) -> Result<ValueId, Invalid> {
        let mut e = MapExpr::over(&[self.dtype(c), self.dtype(x), self.dtype(y)]);
        let (a, b, d) = (e.push(Inst::Input(0))?, e.push(Inst::Input(1))?, e.push(Inst::Input(2))?);
        e.push(Inst::Select(a, b, d))?;
        self.map(e, &[c, x, y])
    }

    /// Elements converted to another type.
    pub fn cast(&mut self, x: ValueId, to: DType) -> Result<ValueId, Invalid> {
        if self.dtype(x) == to {
            return Ok(x);
        }
        let e = MapExpr::cast(self.dtype(x), to)?;
        self.map(e, &[x])
    }

    /// The same elements under another shape.
    pub fn reshape(&mut self, x: ValueId, shape: Shape) -> Result<ValueId, Invalid> {
        self.one(Op::Reshape(shape), &[x])
    }

    /// Axis i of the result is axis `perm[i]` of `x`.
    pub fn transpose(&mut self, x: ValueId, perm: &[usize]) -> Result<ValueId, Invalid> {
        self.one(Op::Transpose(perm.to_vec()), &[x])
    }

    /// `x` broadcast to a shape, as numpy does.
    pub fn broadcast(&mut self, x: ValueId, shape: &Shape) -> Result<ValueId, Invalid> {
        let x = self.to_rank(x, shape.rank())?;
        self.one(Op::Broadcast(shape.clone()), &[x])
    }

    /// The elements `start..start + extent` along one axis.
    pub fn slice_axis(
        &mut self,
        x: ValueId,
        axis: usize,
        start: Dim,
        extent: Dim,
    ) -> Result<ValueId, Invalid> {
        let mut shape = self.shape(x).clone();
        let rank = shape.rank();
        match shape.dims_mut().get_mut(axis) {
            Some(d) => *d = extent,
            None => return Err(Invalid::new(format!("axis {axis} is outside {shape}"))),
        }
        let mut starts = vec![Dim::Fixed(0); rank];
        starts[axis] = start;
        self.one(Op::Slice { start: starts, step: vec![1; rank], shape }, &[x])
    }

    /// The graph, without the nodes that no output depends on.
    pub fn finish(self) -> Graph {
        let old = self.graph;
        let mut live = vec![false; old.values.len()];
        old.outputs.iter().for_each(|o| live[o.value.index()] = true);
        let keep: Vec<bool> = {
            let mut keep = vec![false; old.nodes.len()];
            // What finds an extent stays as long as a shape is made of it.
            let mut finders: Vec<(Arc<str>, usize)> =
                old.found().into_iter().map(|f| (f.symbol.name, f.node.index())).collect();
            for (i, node) in old.nodes.iter().enumerate().rev() {
                keep[i] |= node.outputs.iter().any(|v| live[v.index()]);
                if keep[i] {
                    node.inputs.iter().for_each(|v| live[v.index()] = true);
                    finders.retain(|(name, at)| {
                        let mentioned = old.mentions(node, name);
                        keep[*at] |= mentioned;
                        !mentioned
                    });
                }
            }
            keep
        };
        let mut new = Graph::default();
        let mut map = vec![None; old.values.len()];
        let place = |new: &mut Graph, map: &mut Vec<Option<ValueId>>, v: ValueId, producer| {
            let id = ValueId(new.values.len() as u32);
            new.values.push(ValueInfo { producer, ..old.values[v.index()].clone() });
            map[v.index()] = Some(id);
            id
        };
        for port in &old.inputs {
            let value = place(&mut new, &mut map, port.value, None);
            new.inputs.push(Port { name: port.name.clone(), value });
        }
        for (node, _) in old.nodes.iter().zip(&keep).filter(|(_, keep)| **keep) {
            let id = NodeId(new.nodes.len() as u32);
            let inputs = node.inputs.iter().filter_map(|v| map[v.index()]).collect();
            let outputs = node.outputs.iter().map(|v| place(&mut new, &mut map, *v, Some(id))).collect();
            new.nodes.push(Node { op: node.op.clone(), inputs, outputs, origin: node.origin.clone() });
        }
        for port in &old.outputs {
            if let Some(value) = map[port.value.index()] {
                new.outputs.push(Port { name: port.name.clone(), value });
            }
        }
        new
    }
}
