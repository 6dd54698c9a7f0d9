//! What the rewrites share: questions about a graph that read like their answers' names, products with
//! their epilogues as one value, and the loop that repeats a sweep until nothing changes.

use crate::ir::{Builder, Conv, ConvTranspose, Epilogue, Graph, Invalid, Node, Op, Rewriter, Shape, ValueId};
use sofie_infer_runtime::map::Scalar;
use sofie_infer_runtime::{Act, DType};

/// Sweeps after which a rewrite that still finds something is stopped: a chain of n nodes may need n.
const SWEEPS: usize = 64;

/// Repeats `sweep` until it changes nothing.
pub fn until_stable(
    graph: &Graph,
    sweep: impl Fn(&Graph) -> Result<Graph, Invalid>,
) -> Result<Graph, Invalid> {
    let mut graph = graph.clone();
    for _ in 0..SWEEPS {
        let next = sweep(&graph)?;
        if next == graph {
            break;
        }
        graph = next;
    }
    Ok(graph)
}

/// Rebuilds a graph, offering each operation over its new operands to `rule`, which sees what has been built
/// so far and may give something else.
pub fn peephole(
    graph: &Graph,
    rule: impl Fn(&mut Builder, &Op, &[ValueId]) -> Result<Option<Vec<ValueId>>, Invalid>,
) -> Result<Graph, Invalid> {
    Rewriter::run(graph, |r, node| {
        let inputs = r.get_all(&node.inputs)?;
        rule(&mut r.b, &node.op, &inputs)
    })
}

/// Who reads what: asked by rewrites that replace a node and its only reader.
pub struct Uses(Vec<usize>);

impl Uses {
    /// Of a graph.
    pub fn of(graph: &Graph) -> Uses {
        Uses(graph.use_counts())
    }

    /// How often a value is read, the model's outputs among the readers.
    pub fn count(&self, v: ValueId) -> usize {
        self.0.get(v.index()).copied().unwrap_or(0)
    }

    /// Whether `node` alone reads `v`.
    pub fn only_by(&self, node: &Node, v: ValueId) -> bool {
        node.inputs.iter().filter(|&&i| i == v).count() == self.count(v)
    }
}

/// The one value that all elements of a constant have, seen through views.
pub fn uniform(g: &Graph, v: ValueId) -> Option<Scalar> {
    match g.producer(v) {
        Some(Node { op: Op::Const(t), .. }) => t.uniform(),
        Some(n) if n.op.is_view() => uniform(g, n.inputs[0]),
        _ => None,
    }
}

/// Whether a value is a constant, seen through views.
pub fn is_constant(g: &Graph, v: ValueId) -> bool {
    match g.producer(v) {
        Some(n) if n.op.is_view() => is_constant(g, n.inputs[0]),
        Some(n) => matches!(n.op, Op::Const(_)),
        None => false,
    }
}

/// The likely number of elements.
pub fn likely_len(shape: &Shape) -> Option<usize> {
    shape.dims().iter().try_fold(1usize, |n, d| n.checked_mul(usize::try_from(d.likely()).ok()?))
}

/// Whether a shape has extents other than 1 along its last axis alone.
pub fn is_row(shape: &Shape) -> bool {
    shape.dims().iter().rev().skip(1).all(|d| d.is(1))
}

/// What a product is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A matrix product.
    MatMul,
    /// A convolution.
    Conv(Conv),
    /// A transposed convolution.
    ConvTranspose(ConvTranspose),
}

/// A matrix product or convolution with its epilogue, operands by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    /// Which.
    pub kind: Kind,
    /// The left operand.
    pub x: ValueId,
    /// The right operand: the weights.
    pub w: ValueId,
    /// Added to each row.
    pub bias: Option<ValueId>,
    /// Added to the sums.
    pub residual: Option<ValueId>,
    /// Applied last.
    pub act: Act,
}

impl Product {
    /// The product that a node is.
    pub fn of(node: &Node) -> Option<Product> {
        let (kind, e) = match &node.op {
            Op::MatMul(e) => (Kind::MatMul, e),
            Op::Conv(c, e) => (Kind::Conv(c.clone()), e),
            Op::ConvTranspose(c, e) => (Kind::ConvTranspose(c.clone()), e),
            _ => return None,
        };
        let mut rest = node.inputs.get(2..)?.iter().copied();
        let mut operand = |there: bool| if there { rest.next() } else { None };
        let (bias, residual) = (operand(e.bias), operand(e.residual));
        Some(Product { kind, x: node.inputs[0], w: node.inputs[1], bias, residual, act: e.act })
    }

    /// The product that writes a value, if nothing but its bias follows it.
    pub fn bare(g: &Graph, v: ValueId) -> Option<Product> {
        Product::of(g.producer(v)?).filter(|p| p.act == Act::None && p.residual.is_none())
    }

    /// The same product over the new values of a rewriter.
    pub fn moved(mut self, r: &Rewriter<'_>) -> Result<Product, Invalid> {
        self.x = r.get(self.x)?;
        self.w = r.get(self.w)?;
        self.bias = self.bias.map(|v| r.get(v)).transpose()?;
        self.residual = self.residual.map(|v| r.get(v)).transpose()?;
        Ok(self)
    }

    /// Builds it.
    pub fn push(self, b: &mut Builder) -> Result<ValueId, Invalid> {
        let e = Epilogue { bias: self.bias.is_some(), residual: self.residual.is_some(), act: self.act };
        let operands: Vec<_> = [self.x, self.w].into_iter().chain(self.bias).chain(self.residual).collect();
        let op = match self.kind {
            Kind::MatMul => Op::MatMul(e),
            Kind::Conv(c) => Op::Conv(c, e),
            Kind::ConvTranspose(c) => Op::ConvTranspose(c, e),
        };
        b.one(op, &operands)
    }

    /// Whether the right operand is one constant matrix (or filter) of `f32`.
    pub fn has_weights(&self, g: &Graph) -> bool {
        let one_matrix = |s: &Shape| s.dims().iter().rev().skip(2).all(|d| d.is(1));
        g.constant(self.w).is_some_and(|t| t.dtype() == DType::F32)
            && (self.kind != Kind::MatMul || one_matrix(g.shape(self.w)))
    }
}
