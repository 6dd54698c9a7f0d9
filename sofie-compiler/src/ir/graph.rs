//! The graph itself: values, nodes in topological order, and how a pass makes a new one.

use super::{Builder, Dim, Invalid, Op, Shape, Symbol};
use sofie_infer_runtime::DType;
use std::sync::Arc;

/// The name of an output that is none of the model: a bool of rank 0 that says whether all operands agree with the
/// shapes that the file declares. Where it is false, the other outputs mean nothing.
pub const CHECK: &str = "\0check";

/// The name of an output that is none of the model: how many elements output `output` has along `axis` (i64), of which
/// its shape is the most that there can be.
pub fn extent_port(output: usize, axis: usize) -> String {
    format!("\0extent {output} {axis}")
}

/// The output and axis of an [`extent_port`].
pub fn extent_of(name: &str) -> Option<(usize, usize)> {
    let (output, axis) = name.strip_prefix("\0extent ")?.split_once(' ')?;
    Some((output.parse().ok()?, axis.parse().ok()?))
}

/// A value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(super) u32);

/// A node of a graph: its position in the order of evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(super) u32);

impl ValueId {
    /// The position in [`Graph::values`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl NodeId {
    /// The position in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct ValueInfo {
    /// The element type.
    pub dtype: DType,
    /// The extents.
    pub shape: Shape,
    /// The node that writes it; none for an input.
    pub producer: Option<NodeId>,
}

/// An operation applied to values.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// Operands, in the order that the operation names them.
    pub inputs: Vec<ValueId>,
    /// Results.
    pub outputs: Vec<ValueId>,
    /// The ONNX nodes that it came from, in the file's order, as `Type_name`.
    pub origin: Vec<Arc<str>>,
}

impl Node {
    /// The extent that the node finds at run time, and the value that holds it.
    pub fn found(&self) -> Option<(&Symbol, ValueId)> {
        match (&self.op, &self.inputs[..]) {
            (Op::Cut { extent, .. }, [_, count]) => Some((extent.as_symbol()?, *count)),
            _ => None,
        }
    }
}

/// An extent that values decide while the network runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its name and bounds.
    pub symbol: Symbol,
    /// The most that it can be, perhaps by the extents of the run.
    pub room: Dim,
    /// What else it has to be among, where it is found again.
    pub limits: Vec<Dim>,
    /// The node that finds it, a `Cut`.
    pub node: NodeId,
}

/// An input or output of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The name in the file.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// A network: nodes in topological order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    pub(super) values: Vec<ValueInfo>,
    pub(super) nodes: Vec<Node>,
    pub(super) inputs: Vec<Port>,
    pub(super) outputs: Vec<Port>,
}

impl Graph {
    /// All values, by index.
    pub fn values(&self) -> &[ValueInfo] {
        &self.values
    }

    /// All nodes, in the order of evaluation.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The model's inputs, in the file's order, with their names.
    pub fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    /// The model's outputs, in the file's order, with their names.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// What is known of a value.
    pub fn value(&self, v: ValueId) -> &ValueInfo {
        &self.values[v.index()]
    }

    /// The extents of a value.
    pub fn shape(&self, v: ValueId) -> &Shape {
        &self.value(v).shape
    }

    /// The element type of a value.
    pub fn dtype(&self, v: ValueId) -> DType {
        self.value(v).dtype
    }

    /// The node that writes a value; none for an input.
    pub fn producer(&self, v: ValueId) -> Option<&Node> {
        self.value(v).producer.map(|n| &self.nodes[n.index()])
    }

    /// The tensor, if the value is a constant.
    pub fn constant(&self, v: ValueId) -> Option<&super::Tensor> {
        match &self.producer(v)?.op {
            Op::Const(t) => Some(t),
            _ => None,
        }
    }

    /// How often each value is read, the model's outputs among the readers.
    pub fn use_counts(&self) -> Vec<usize> {
        let mut uses = vec![0; self.values.len()];
        let reads = self.nodes.iter().flat_map(|n| &n.inputs).chain(self.outputs.iter().map(|o| &o.value));
        reads.for_each(|v| uses[v.index()] += 1);
        uses
    }

    /// The nodes that read each value, in order; a node that reads it twice is listed twice.
    pub fn users(&self) -> Vec<Vec<NodeId>> {
        let mut users = vec![Vec::new(); self.values.len()];
        for (i, n) in self.nodes.iter().enumerate() {
            n.inputs.iter().for_each(|v| users[v.index()].push(NodeId(i as u32)));
        }
        users
    }

    /// The extents that values decide, in the order in which they are found.
    pub fn found(&self) -> Vec<Found> {
        let mut all: Vec<Found> = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            if let (Some((symbol, _)), Op::Cut { axis, .. }) = (node.found(), &node.op) {
                let room = self.shape(node.inputs[0])[*axis].clone();
                match all.iter_mut().find(|f| f.symbol == *symbol) {
                    Some(known) => known.limits.push(room),
                    None => {
                        let (symbol, node) = (symbol.clone(), NodeId(i as u32));
                        all.push(Found { symbol, room, limits: Vec::new(), node });
                    }
                }
            }
        }
        all
    }

    /// Whether a node's results or the operation itself have an extent of that name.
    pub fn mentions(&self, node: &Node, name: &str) -> bool {
        let inside: &[Dim] = match &node.op {
            Op::Slice { start, .. } => start,
            Op::Pad { before, .. } => before,
            Op::Plain(p) => &p.free,
            _ => &[],
        };
        let results = node.outputs.iter().flat_map(|v| self.shape(*v).dims());
        results.chain(inside).any(|d| d.symbols().iter().any(|s| **s == *name))
    }

    /// The names of the symbols in the inputs' shapes, in order.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let dims = self.inputs.iter().flat_map(|i| self.shape(i.value).dims());
        let mut names: Vec<_> = dims.flat_map(Dim::symbols).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Rebuilds a graph node by node: what every pass is written in.
///
/// The new graph goes through [`Builder`], so shapes are inferred and constants folded again. For each
/// node of the old graph, in order, `rewrite` may build something else and give the values that replace
/// the node's outputs; where it gives `None` the node is copied. Nodes nobody reads are dropped at the end.
pub struct Rewriter<'g> {
    /// The graph that is read.
    pub old: &'g Graph,
    /// The graph that is built.
    pub b: Builder,
    /// Old value → new value.
    map: Vec<Option<ValueId>>,
}

impl<'g> Rewriter<'g> {
    /// Runs `rewrite` over all nodes of `old`.
    pub fn run(
        old: &'g Graph,
        rewrite: impl FnMut(&mut Rewriter<'g>, &'g Node) -> Result<Option<Vec<ValueId>>, Invalid>,
    ) -> Result<Graph, Invalid> {
        Rewriter::run_in(Builder::new(), old, rewrite)
    }

    /// The same in a builder of the caller's.
    pub fn run_in(
        b: Builder,
        old: &'g Graph,
        mut rewrite: impl FnMut(&mut Rewriter<'g>, &'g Node) -> Result<Option<Vec<ValueId>>, Invalid>,
    ) -> Result<Graph, Invalid> {
        let mut r = Rewriter { old, b, map: vec![None; old.values.len()] };
        for input in &old.inputs {
            let info = old.value(input.value);
            r.map[input.value.index()] = Some(r.b.input(&input.name, info.dtype, info.shape.clone()));
        }
        for node in &old.nodes {
            r.b.set_origin(&node.origin);
            let new = match rewrite(&mut r, node)? {
                Some(new) => new,
                None => r.copy(node)?,
            };
            for (o, n) in node.outputs.iter().zip(new) {
                r.map[o.index()] = Some(n);
            }
        }
        for output in &old.outputs {
            let v = r.get(output.value)?;
            r.b.output(&output.name, v);
        }
        Ok(r.b.finish())
    }

    /// The new value that stands for an old one.
    pub fn get(&self, old: ValueId) -> Result<ValueId, Invalid> {
        self.map[old.index()]
            .ok_or_else(|| Invalid::new(format!("value %{} is read before it is written", old.0)))
    }

    /// The new values that stand for old ones.
    pub fn get_all(&self, old: &[ValueId]) -> Result<Vec<ValueId>, Invalid> {
        old.iter().map(|v| self.get(*v)).collect()
    }

    /// The node as it is, over the new operands.
    pub fn copy(&mut self, node: &Node) -> Result<Vec<ValueId>, Invalid> {
        let inputs = self.get_all(&node.inputs)?;
        self.b.push(node.op.clone(), &inputs)
    }
}
