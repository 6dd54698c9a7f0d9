//! Depthwise convolutions that are one step with the products around them. Whether they are depends on the graph alone and
//! never on extents, so that sessions of free and of fixed extents agree.

use super::super::kernel::Kernel;
use super::super::planner::Planner;
use super::super::{Operand, Root};
use super::conv::{convolution, packed};
use super::matmul::extras;
use super::{is_own_rows, is_rows, rows_of};
use crate::ir::{Epilogue, Invalid, Node, NodeId, Op, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::conv::{Algo, Conv, Separable, Window};

/// Positions of the nodes that are one step.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    before: Option<usize>,
    depthwise: usize,
    behind: Option<usize>,
}

impl Block {
    /// All of them, in order.
    pub fn nodes(&self) -> impl Iterator<Item = usize> + use<> {
        [self.before, Some(self.depthwise), self.behind].into_iter().flatten()
    }

    /// The first one, which stands for all.
    pub fn first(&self) -> usize {
        self.before.unwrap_or(self.depthwise)
    }
}

/// The blocks of the graph.
pub fn blocks(p: &Planner<'_>) -> Vec<Block> {
    let users = p.graph.users();
    let mut blocks: Vec<Block> = Vec::new();
    for (depthwise, node) in p.graph.nodes().iter().enumerate() {
        let taken = |at: &usize| blocks.iter().any(|b| b.nodes().any(|n| n == *at));
        blocks.extend(block(p, &users, &taken, depthwise, node));
    }
    blocks
}

/// The block around a depthwise convolution over two axes.
fn block(
    p: &Planner<'_>,
    users: &[Vec<NodeId>],
    taken: &dyn Fn(&usize) -> bool,
    depthwise: usize,
    node: &Node,
) -> Option<Block> {
    let Op::Conv(c, e) = &node.op else { return None };
    let (x, y) = (*node.inputs.first()?, *node.outputs.first()?);
    let layer = layer(p, node)?;
    if c.window.kernel.len() != 2 || layer.algo != Algo::Depthwise {
        return None;
    }
    let position = |n: &NodeId| n.index();
    let before = p.graph.value(x).producer.as_ref().map(position).filter(|at| p.uses(x) == 1 && !taken(at));
    let before = before.filter(|&at| {
        let node = &p.graph.nodes()[at];
        epilogue(node).is_some_and(|e| !e.residual) && self::layer(p, node).is_some_and(|c| is_first(&c))
    });
    let first = before.unwrap_or(depthwise);
    let behind = users[y.index()].first().map(position).filter(|at| p.uses(y) == 1 && !taken(at));
    let behind = behind.filter(|&at| {
        let node = &p.graph.nodes()[at];
        let reads = node.inputs.first() == Some(&y)
            && self::layer(p, node).is_some_and(|c| c.algo == Algo::Pointwise);
        !e.residual && reads && is_there(p, node, first)
    });
    // A residual that the depthwise convolution adds must be there when the block begins, too.
    let before = before.filter(|&at| is_there(p, node, at));
    (before.is_some() || behind.is_some()).then_some(Block { before, depthwise, behind })
}

/// Whether a convolution can be the first of a block.
fn is_first(conv: &Conv) -> bool {
    matches!(conv.algo, Algo::Pointwise | Algo::Implicit)
}

fn epilogue(node: &Node) -> Option<&Epilogue> {
    match &node.op {
        Op::Conv(_, e) | Op::MatMul(e) => Some(e),
        _ => None,
    }
}

/// Whether what the node adds is there before node `first`.
fn is_there(p: &Planner<'_>, node: &Node, first: usize) -> bool {
    let residual = epilogue(node).and_then(|e| extras(node, e).1);
    residual.is_none_or(|v| p.graph.value(v).producer.is_none_or(|n| n.index() < first))
}

/// A convolution over an image, or a product of each of its pixels, whose weights and bias are known; over dense tensors.
fn layer(p: &Planner<'_>, node: &Node) -> Option<Conv> {
    let (&[x, w, ..], &[y]) = (&node.inputs[..], &node.outputs[..]) else { return None };
    let bias = extras(node, epilogue(node)?).0;
    let known = p.constant(w).is_some() && bias.is_none_or(|b| p.constant(b).is_some());
    if !known || p.graph.dtype(x) != DType::F32 {
        return None;
    }
    match &node.op {
        Op::Conv(c, e) => convolution(p, node, c, e).ok(),
        Op::MatMul(e) => {
            let (&[batch, h, wd, c], &[.., k, m]) = (p.dims(x), p.dims(w)) else { return None };
            if c != k || p.dims(y) != [batch, h, wd, m] {
                return None;
            }
            let ones = [1, 1];
            let window = Window::new(&[h, wd], &[h, wd], &ones, &ones, &ones, &[0, 0]);
            Some(Conv { act: e.act, algo: Algo::Pointwise, ..Conv::direct(batch, window, c, m, 1) })
        }
        _ => None,
    }
}

/// Plans a block.
pub fn separable(p: &mut Planner<'_>, block: &Block) -> Result<(), Invalid> {
    let missing = || Invalid::new("a convolution that has another form than before");
    let nodes = p.graph.nodes();
    let [before, depthwise, behind] =
        [block.before, Some(block.depthwise), block.behind].map(|at| at.and_then(|at| nodes.get(at)));
    let depthwise = depthwise.ok_or_else(missing)?;
    let (first, last) = (before.unwrap_or(depthwise), behind.unwrap_or(depthwise));
    let (read, xl) = p.fitting(first.inputs[0], is_own_rows)?;
    let mut layers = [before, Some(depthwise), behind].map(|node| node.and_then(|node| layer(p, node)));
    let mut parameters: Vec<Option<Operand>> = Vec::new();
    for (node, layer) in [before, Some(depthwise), behind].into_iter().zip(&layers) {
        let (Some(node), Some(layer)) = (node, layer) else {
            parameters.extend([None, None]);
            continue;
        };
        let bias = epilogue(node).and_then(|e| extras(node, e).0).map(|v| p.dense(v)).transpose()?;
        let pack = Kernel::ConvPack(layer.clone());
        let w = packed(p, node.inputs[1], layer.packed_len(), |w| layer.pack(w), pack)?;
        parameters.extend([Some(w), bias]);
    }
    let residual: Option<ValueId> = epilogue(last).and_then(|e| extras(last, e).1);
    let residual = residual.map(|v| p.fitting(v, is_rows)).transpose()?;
    // A slice of a concat interleaves with the others, and these were asked for when the block was several steps.
    let reads = |root: Root| read.root == root || residual.as_ref().is_some_and(|(r, _)| r.root == root);
    let shared = p.wanted(last.outputs[0]).is_some_and(|home| reads(home.root));
    let home = p.target(last.outputs[0], |l| !shared && is_own_rows(l));
    let (write, yl) = home.operand()?;
    if let Some(first) = layers.iter_mut().flatten().next() {
        (_, first.ldx) = rows_of(&xl)?;
    }
    if let Some(last) = layers.iter_mut().flatten().last() {
        last.ldy = rows_of(&yl)?.1;
        if let Some((_, l)) = &residual {
            last.ldr = rows_of(l)?.1;
        }
    }
    let [before_layer, layer, behind_layer] = layers;
    let kernel =
        Separable::new(before_layer, layer.ok_or_else(missing)?, behind_layer).ok_or_else(missing)?;
    let scratch = p.scratch(DType::F32, kernel.scratch());
    let reads = [Some(read)].into_iter().chain(parameters).chain([residual.map(|(r, _)| r)]).collect();
    p.push(Kernel::Separable(kernel), vec![write, scratch], reads);
    for node in [Some(depthwise), behind].into_iter().flatten() {
        p.add_origin(node);
    }
    p.written(last.outputs[0], home)
}
