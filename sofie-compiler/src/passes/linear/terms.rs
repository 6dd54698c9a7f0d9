//! What the rows of a value are made of: sums of rows of other values, at places along the row, reached
//! through movements that take rows as they are.

use super::super::groups::groups;
use crate::ir::{Dim, Graph, Inst, Invalid, MapExpr, Op, Shape, Symbol, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Binary;
use std::sync::Arc;

/// How deep a sum is followed.
const DEPTH: usize = 24;
/// Terms of a sum at most: more are no sum that anybody wrote.
const TERMS: usize = 16;

/// A movement of whole rows: it commutes with what is done to each row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowOp {
    /// To other axes before the last.
    Reshape(Shape),
    /// Repeated along axes before the last.
    Broadcast(Shape),
    /// Axes before the last in another order.
    Transpose(Vec<usize>),
    /// Some indices along axes before the last.
    Slice {
        /// As in [`Op::Slice`].
        start: Vec<Dim>,
        /// As in [`Op::Slice`].
        step: Vec<i64>,
        /// As in [`Op::Slice`].
        shape: Shape,
    },
    /// A gather of whole rows by the index.
    Indexed(Op, ValueId),
}

impl RowOp {
    /// Replaces the values that the movement reads besides the rows.
    pub fn each_value(&mut self, f: impl Fn(ValueId) -> Result<ValueId, Invalid>) -> Result<(), Invalid> {
        if let RowOp::Indexed(_, v) = self {
            *v = f(*v)?;
        }
        Ok(())
    }
}

/// `factor` times the rows of `base`, moved along `path` (in the order in which that happens), from column
/// `offset` on.
#[derive(Clone, Debug)]
pub struct Term {
    /// The first column.
    pub offset: usize,
    /// Columns.
    pub width: usize,
    /// The factor.
    pub factor: f32,
    /// Where the rows come from.
    pub base: ValueId,
    /// How they come here.
    pub path: Vec<RowOp>,
    /// The outermost map with a difference on the way.
    pub through: Option<ValueId>,
}

/// The terms of one base and path: multiplied together.
#[derive(Clone, Debug)]
pub struct Group {
    /// Where the rows come from.
    pub base: ValueId,
    /// How they come here.
    pub path: Vec<RowOp>,
    /// Columns.
    pub width: usize,
    /// Rows of the base.
    pub rows: usize,
    /// First columns and factors of the terms.
    pub at: Vec<(usize, f32)>,
    /// It is multiplied before its rows are moved.
    pub moves: bool,
}

/// What extents are taken for while it is decided, whatever they are in the end.
pub struct Likely {
    edges: Vec<Arc<str>>,
}

/// How many edges a node has where both are free: graphs have several, tracks and jets some ten.
const EDGES: i64 = 4;

impl Likely {
    /// In a graph whose free extents that an index brings in count edges: they are more than what they lead to.
    pub fn of(g: &Graph) -> Likely {
        let symbols = |v: ValueId| g.shape(v).dims().iter().flat_map(Dim::symbols);
        let mut edges: Vec<Arc<str>> = Vec::new();
        for node in g.nodes() {
            if let (Op::Gather { .. } | Op::GatherNd { .. }, [x, index, ..]) = (&node.op, &node.inputs[..]) {
                let ends: Vec<_> = symbols(*x).collect();
                edges.extend(symbols(*index).filter(|s| !ends.contains(s)));
            }
        }
        // What values decide is a part of what there is.
        edges.retain(|s| g.found().iter().all(|f| f.symbol.name != *s));
        Likely { edges }
    }

    /// The number of rows, and their length.
    pub fn rows(&self, shape: &Shape) -> Option<(usize, usize)> {
        let (width, lead) = shape.dims().split_last()?;
        let width = usize::try_from(width.fixed()?).ok()?;
        let times = |s: &Symbol| if self.edges.contains(&s.name) { EDGES } else { 1 };
        let likely = |d: &Dim| usize::try_from(d.likely_times(&times)).ok();
        Some((lead.iter().try_fold(1usize, |n, d| n.checked_mul(likely(d)?))?, width))
    }
}

/// Finds terms in a graph.
pub struct Search<'g> {
    /// The graph.
    pub graph: &'g Graph,
    /// What extents are taken for.
    pub likely: &'g Likely,
    /// Maps that are not taken apart.
    pub whole: Vec<ValueId>,
}

impl Search<'_> {
    /// The terms of `v`, as few multiplications as a product of them all can have.
    pub fn terms(&self, v: ValueId) -> Option<Vec<Term>> {
        self.collect(v, DEPTH)
    }

    /// What multiplying the terms with one column costs.
    fn work(&self, terms: &[Term]) -> usize {
        let of = |t: &Term| match self.graph.constant(t.base) {
            Some(_) => 0,
            None => self.likely.rows(self.graph.shape(t.base)).map_or(0, |(m, k)| m.saturating_mul(k)),
        };
        terms.iter().map(of).fold(0, usize::saturating_add)
    }

    fn collect(&self, v: ValueId, depth: usize) -> Option<Vec<Term>> {
        let (_, width) = self.likely.rows(self.graph.shape(v))?;
        if self.graph.dtype(v) != DType::F32 {
            return None;
        }
        let leaf = vec![Term { offset: 0, width, factor: 1.0, base: v, path: Vec::new(), through: None }];
        let deeper = if depth == 0 { None } else { self.inside(v, width, depth - 1) };
        // The same rows under another shape are one base.
        let renamed = matches!(self.graph.producer(v), Some(n) if matches!(n.op, Op::Reshape(_)));
        let enough = |now: usize, before: usize| now < before || renamed && now == before;
        match deeper {
            Some(terms) if terms.len() <= TERMS && enough(self.work(&terms), self.work(&leaf)) => Some(terms),
            _ => Some(leaf),
        }
    }

    /// The terms of what `v` is made of.
    fn inside(&self, v: ValueId, width: usize, depth: usize) -> Option<Vec<Term>> {
        let g = self.graph;
        let node = g.producer(v)?;
        let last = g.shape(v).rank().checked_sub(1)?;
        match &node.op {
            Op::Concat(axis) if *axis == last => {
                let (mut at, mut terms) = (0, Vec::new());
                for &part in &node.inputs {
                    let inner = self.collect(part, depth)?;
                    terms.extend(inner.into_iter().map(|t| Term { offset: t.offset + at, ..t }));
                    at += self.likely.rows(g.shape(part))?.1;
                }
                Some(terms)
            }
            Op::Map(e) if !self.whole.contains(&v) => self.sum(v, e, &node.inputs, depth),
            _ => {
                let (op, from) = row_op(g, v)?;
                let (_, from_width) = self.likely.rows(g.shape(from))?;
                if g.shape(from).rank() < 2 || from_width != width {
                    return None;
                }
                let mut terms = self.collect(from, depth)?;
                terms.iter_mut().for_each(|t| t.path.push(op.clone()));
                Some(terms)
            }
        }
    }

    /// The terms of a sum of operands with constant factors.
    fn sum(&self, v: ValueId, e: &MapExpr, inputs: &[ValueId], depth: usize) -> Option<Vec<Term>> {
        let g = self.graph;
        let factors = linear_factors(e)?;
        let shape = g.shape(v);
        let mut terms = Vec::new();
        for (&x, &factor) in inputs.iter().zip(&factors) {
            let from = g.shape(x);
            if from.rank() < 2 || from.dims().last() != shape.dims().last() {
                return None;
            }
            if factor == 0.0 {
                // An operand that is there for its shape alone: the others have to have it.
                continue;
            }
            for mut t in self.collect(x, depth)? {
                t.factor *= factor;
                if !t.factor.is_finite() {
                    return None;
                }
                if from != shape {
                    t.path.push(RowOp::Broadcast(shape.clone()));
                }
                terms.push(t);
            }
        }
        if terms.iter().any(|t| t.factor < 0.0) && terms.iter().any(|t| t.factor > 0.0) {
            terms.iter_mut().for_each(|t| t.through = Some(v));
        }
        (!terms.is_empty()).then_some(terms)
    }
}

/// The movement of whole rows that makes `v`, and of what.
fn row_op(g: &Graph, v: ValueId) -> Option<(RowOp, ValueId)> {
    let node = g.producer(v)?;
    let x = *node.inputs.first()?;
    let (from, to) = (g.shape(x), g.shape(v));
    let (xl, yl) = (from.rank().checked_sub(1)?, to.rank().checked_sub(1)?);
    let op = match &node.op {
        Op::Reshape(s) => {
            let cut = groups(from, s)?;
            let row = cut.last().is_some_and(|c| c.is_axis() && c.from.end == xl + 1 && c.to.end == yl + 1);
            row.then(|| RowOp::Reshape(s.clone()))?
        }
        Op::Broadcast(s) => (from[xl] == s[yl]).then(|| RowOp::Broadcast(s.clone()))?,
        Op::Transpose(perm) => (perm[yl] == xl).then(|| RowOp::Transpose(perm.clone()))?,
        Op::Slice { start, step, shape } => {
            let whole = start[yl].is(0) && step[yl] == 1 && from[xl] == shape[yl];
            let op = RowOp::Slice { start: start.clone(), step: step.clone(), shape: shape.clone() };
            whole.then_some(op)?
        }
        Op::Gather { axis, .. } => (*axis < xl).then(|| RowOp::Indexed(node.op.clone(), node.inputs[1]))?,
        Op::GatherNd { batch } => {
            let index = g.shape(node.inputs[1]);
            let tuple = index.dims().last()?.fixed().and_then(|n| usize::try_from(n).ok())?;
            (batch + tuple <= xl).then(|| RowOp::Indexed(node.op.clone(), node.inputs[1]))?
        }
        _ => return None,
    };
    Some((op, x))
}

/// The factor of each operand, where an expression is nothing but a sum of operands times numbers.
pub fn linear_factors(e: &MapExpr) -> Option<Vec<f32>> {
    if e.inputs().iter().any(|t| *t != DType::F32) {
        return None;
    }
    /// A sum of operands, or a number.
    enum Form {
        Sum(Vec<f32>),
        Number(f32),
    }
    let scaled = |s: &[f32], f: f32| Form::Sum(s.iter().map(|x| x * f).collect());
    let mut forms: Vec<Form> = Vec::new();
    for inst in e.insts() {
        let form = match *inst {
            Inst::Input(i) => {
                let mut one = vec![0.0; e.inputs().len()];
                one[i] = 1.0;
                Form::Sum(one)
            }
            Inst::Const(c) if c.dtype == DType::F32 => Form::Number(c.to_f64() as f32),
            Inst::Unary(sofie_infer_runtime::map::Unary::Neg, a) => match &forms[a] {
                Form::Sum(s) => scaled(s, -1.0),
                Form::Number(n) => Form::Number(-n),
            },
            Inst::Binary(op @ (Binary::Add | Binary::Sub), a, b) => match (&forms[a], &forms[b]) {
                (Form::Sum(s), Form::Sum(t)) => {
                    let sign = if op == Binary::Sub { -1.0 } else { 1.0 };
                    Form::Sum(s.iter().zip(t).map(|(x, y)| x + sign * y).collect())
                }
                _ => return None,
            },
            Inst::Binary(Binary::Mul, a, b) => match (&forms[a], &forms[b]) {
                (Form::Sum(s), Form::Number(f)) | (Form::Number(f), Form::Sum(s)) => scaled(s, *f),
                _ => return None,
            },
            _ => return None,
        };
        forms.push(form);
    }
    match forms.pop()? {
        Form::Sum(s) => s.iter().all(|f| f.is_finite() && f.abs() <= 1e6).then_some(s),
        Form::Number(_) => None,
    }
}
