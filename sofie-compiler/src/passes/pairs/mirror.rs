//! Proofs that a value is, but for its sign, another one with two neighbouring axes exchanged: by induction over what
//! computes them, with commutative operations read either way. A value that is its own mirror image is symmetric.
//!
//! Equal means equal in real numbers, as everywhere in these passes; NaN is where it was in both.

use super::super::groups::groups;
use super::super::term::{Seen, Term};
use super::angle::{smaller, wrapped};
use crate::ir::{Graph, Node, Op, ReduceKind, Reg, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use std::collections::HashMap;

/// How deep a proof goes.
const DEPTH: usize = 256;

/// What a value is to the mirror image of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parity {
    /// The same.
    Even,
    /// Its negative.
    Odd,
    /// Its negative, but the same at the ends of the interval that an angle is wrapped into.
    OddInside,
}

use Parity::{Even, Odd, OddInside};

/// Two places and an axis: the first is read with that axis and the one behind it exchanged.
type Places<T> = (T, T, usize);

/// Proofs over one graph.
pub struct Mirror<'g> {
    graph: &'g Graph,
    values: HashMap<Places<ValueId>, Option<Parity>>,
    registers: HashMap<Places<(ValueId, Reg)>, Option<Parity>>,
    depth: usize,
}

impl<'g> Mirror<'g> {
    /// Over a graph, nothing proven yet.
    pub fn of(graph: &'g Graph) -> Mirror<'g> {
        Mirror { graph, values: HashMap::new(), registers: HashMap::new(), depth: 0 }
    }

    /// Whether a value is the same with `axis` and the axis behind it exchanged.
    pub fn is_symmetric(&mut self, v: ValueId, axis: usize) -> bool {
        self.value(v, v, axis) == Some(Even)
    }

    /// What `u` with `axis` and the axis behind it exchanged is to `v`.
    fn value(&mut self, u: ValueId, v: ValueId, axis: usize) -> Option<Parity> {
        if let Some(known) = self.values.get(&(u, v, axis)) {
            return *known;
        }
        if !is_mirrored(self.graph.shape(u), self.graph.shape(v), axis) {
            return None;
        }
        let found = self.deeper(|m| m.inside(u, v, axis));
        self.values.insert((u, v, axis), found);
        found
    }

    fn deeper(&mut self, f: impl FnOnce(&mut Self) -> Option<Parity>) -> Option<Parity> {
        if self.depth == DEPTH {
            return None;
        }
        self.depth += 1;
        let found = f(self);
        self.depth -= 1;
        found
    }

    fn inside(&mut self, u: ValueId, v: ValueId, axis: usize) -> Option<Parity> {
        let g = self.graph;
        // The same elements, and one of the axes to exchange has one index only.
        let one = |v: ValueId| g.shape(v)[axis].is(1) || g.shape(v)[axis + 1].is(1);
        if one(u) && renamed(g, u) == renamed(g, v) {
            return Some(Even);
        }
        if let (Some(a), Some(b)) = (moved(g, u), moved(g, v)) {
            let mut exchanged = a.1;
            exchanged.swap(axis, axis + 1);
            if a.0 == b.0 && exchanged == b.1 {
                return Some(Even);
            }
        }
        let (a, b) = (g.producer(u)?, g.producer(v)?);
        let apart = |other: usize| other != axis && other != axis + 1;
        match (&a.op, &b.op) {
            (Op::Map(_), Op::Map(_)) => self.term(Term::of(g, u), Term::of(g, v), axis),
            (Op::Reshape(to), Op::Reshape(to_b)) => {
                let from = source_axis(g.shape(a.inputs[0]), to, axis)?;
                let same = source_axis(g.shape(b.inputs[0]), to_b, axis)? == from;
                same.then(|| self.value(a.inputs[0], b.inputs[0], from))?
            }
            (Op::Transpose(perm), Op::Transpose(other)) if perm == other => {
                let (first, second) = (perm[axis], perm[axis + 1]);
                let neighbours = first.abs_diff(second) == 1;
                neighbours.then(|| self.value(a.inputs[0], b.inputs[0], first.min(second)))?
            }
            (Op::Concat(along), Op::Concat(other)) if along == other && apart(*along) => {
                let same = a.inputs.len() == b.inputs.len();
                let mut parts = a.inputs.iter().zip(&b.inputs);
                let first = self.value(*a.inputs.first()?, *b.inputs.first()?, axis)?;
                (same && parts.all(|(x, y)| self.value(*x, *y, axis) == Some(first))).then_some(first)
            }
            (Op::Slice { start, step, shape }, Op::Slice { start: s, step: t, shape: other }) => {
                let from = g.shape(a.inputs[0]);
                let whole = |i: usize| start[i].is(0) && step[i] == 1 && shape[i] == from[i];
                let same = start == s && step == t && is_mirrored(shape, other, axis);
                (same && whole(axis) && whole(axis + 1))
                    .then(|| self.value(a.inputs[0], b.inputs[0], axis))?
            }
            (Op::Broadcast(_), Op::Broadcast(_)) => self.value(a.inputs[0], b.inputs[0], axis),
            (Op::Reduce(kind, along), Op::Reduce(other, same))
                if kind == other && along == same && along.iter().all(|i| apart(*i)) =>
            {
                let loses_sign = matches!(kind, ReduceKind::SumSquare | ReduceKind::L1 | ReduceKind::L2);
                match self.value(a.inputs[0], b.inputs[0], axis)? {
                    Even => Some(Even),
                    _ if loses_sign => Some(Even),
                    Odd if matches!(kind, ReduceKind::Sum | ReduceKind::Mean) => Some(Odd),
                    _ => None,
                }
            }
            (Op::Rows(_) | Op::MatMul(_), _) if a.op == b.op && axis + 2 < g.shape(u).rank() => {
                self.row_by_row(a, b, axis)
            }
            _ => None,
        }
    }

    /// Programs over rows and products: the rows are mirror images, everything else is the same for all rows.
    fn row_by_row(&mut self, a: &Node, b: &Node, axis: usize) -> Option<Parity> {
        let g = self.graph;
        let is_product = matches!(a.op, Op::MatMul(_));
        let same = a.inputs.len() == b.inputs.len();
        let all = same
            && a.inputs.iter().zip(&b.inputs).enumerate().all(|(i, (&x, &y))| match i {
                0 => self.value(x, y, axis) == Some(Even),
                1 if is_product => x == y && is_one_matrix(g.shape(x), axis),
                _ => x == y && g.shape(x).rank() == 1 || self.value(x, y, axis) == Some(Even),
            });
        all.then_some(Even)
    }

    fn term(&mut self, u: Term, v: Term, axis: usize) -> Option<Parity> {
        match (u, v) {
            (Term::Number(a), Term::Number(b)) => (a == b).then_some(Even),
            (Term::Value(a), Term::Value(b)) => self.value(a, b, axis),
            (Term::Register(a, r), Term::Register(b, s)) => {
                let places = ((a, r), (b, s), axis);
                if let Some(known) = self.registers.get(&places) {
                    return *known;
                }
                let found = self.deeper(|m| m.expression(u, v, axis));
                self.registers.insert(places, found);
                found
            }
            _ => None,
        }
    }

    fn expression(&mut self, u: Term, v: Term, axis: usize) -> Option<Parity> {
        let g = self.graph;
        if let (Some(a), Some(b)) = (wrapped(g, u), wrapped(g, v))
            && self.term(a, b, axis) == Some(Odd)
        {
            return Some(OddInside);
        }
        if let (Some((a, b)), Some((c, d))) = (smaller(g, u), smaller(g, v)) {
            return self.either_way(Binary::Min, (a, b), (c, d), axis);
        }
        match (u.seen(g), v.seen(g)) {
            (Seen::Unary(f, a), Seen::Unary(h, b)) if f == h => match self.term(a, b, axis)? {
                Even => Some(Even),
                _ if is_even(f) => Some(Even),
                p if is_odd(f) => Some(p),
                _ => None,
            },
            (Seen::Binary(f, a, b), Seen::Binary(h, c, d)) if f == h => {
                self.either_way(f, (a, b), (c, d), axis)
            }
            (Seen::MulAdd(a, b, c), Seen::MulAdd(d, e, f)) => {
                let product = self.either_way(Binary::Mul, (a, b), (d, e), axis)?;
                both(Binary::Add, product, self.term(c, f, axis)?)
            }
            (Seen::Select(a, b, c), Seen::Select(d, e, f)) => {
                let chosen = both(Binary::Add, self.term(b, e, axis)?, self.term(c, f, axis)?)?;
                (self.term(a, d, axis) == Some(Even)).then_some(chosen)
            }
            (Seen::Cast(to, a), Seen::Cast(other, b)) if to == other => {
                self.term(a, b, axis).filter(|p| *p == Even)
            }
            _ => None,
        }
    }

    /// `f(a, b)` and `f(c, d)`, the operands in the same order or exchanged.
    fn either_way(
        &mut self,
        f: Binary,
        (a, b): (Term, Term),
        (c, d): (Term, Term),
        axis: usize,
    ) -> Option<Parity> {
        if let (Some(p), Some(q)) = (self.term(a, c, axis), self.term(b, d, axis)) {
            let square = f == Binary::Mul && a == b && c == d;
            let power = match (f, b) {
                (Binary::Pow, Term::Number(n)) if n % 2.0 == 0.0 => Some(Even),
                (Binary::Pow, Term::Number(n)) if n % 2.0 == 1.0 => Some(p),
                _ => None,
            };
            if let Some(found) = if square { Some(Even) } else { power.or(both(f, p, q)) } {
                return Some(found);
            }
        }
        let (p, q) = (self.term(a, d, axis)?, self.term(b, c, axis)?);
        // Integers have no negative, or one number that is its own.
        let floats = [a, b].iter().all(|t| t.dtype(self.graph).is_none_or(DType::is_float));
        match f {
            Binary::Sub if !floats => None,
            Binary::Sub if p == q && p != OddInside => Some(if p == Even { Odd } else { Even }),
            Binary::Sub => None,
            _ => both(f, p, q).filter(|_| commutes(f)),
        }
    }
}

/// What `f` makes of operands of such parities, each in its place.
fn both(f: Binary, p: Parity, q: Parity) -> Option<Parity> {
    match (f, p, q) {
        (_, Even, Even) => Some(Even),
        (Binary::Add | Binary::Sub, Odd, Odd) => Some(Odd),
        (Binary::Mul | Binary::Div, Odd, Odd) => Some(Even),
        (Binary::Mul | Binary::Div, p, Even) | (Binary::Mul | Binary::Div, Even, p) => Some(p),
        _ => None,
    }
}

fn commutes(f: Binary) -> bool {
    use Binary::{Add, And, Eq, Max, Min, Mul, Ne, Or, Xor};
    matches!(f, Add | Mul | Min | Max | And | Or | Xor | Eq | Ne)
}

fn is_even(f: Unary) -> bool {
    matches!(f, Unary::Abs | Unary::Cos | Unary::Cosh)
}

fn is_odd(f: Unary) -> bool {
    use Unary::{Asin, Asinh, Atan, Atanh, Erf, Neg, Reciprocal, Round, Sign, Sin, Sinh, Tan, Tanh, Trunc};
    matches!(
        f,
        Neg | Sign | Reciprocal | Sin | Tan | Asin | Atan | Sinh | Tanh | Asinh | Atanh | Erf | Round | Trunc
    )
}

/// Whether `v` has the extents of `u` with two of them exchanged.
fn is_mirrored(u: &Shape, v: &Shape, axis: usize) -> bool {
    let (u, v) = (u.dims(), v.dims());
    u.len() == v.len()
        && axis + 1 < u.len()
        && (u[axis] == v[axis + 1] && u[axis + 1] == v[axis])
        && u[..axis] == v[..axis]
        && u[axis + 2..] == v[axis + 2..]
}

/// Whether the right operand of a product is the same matrix for all pairs along `axis` and the one behind it. (Others would
/// be exchanged with the pairs.)
pub fn is_one_matrix(w: &Shape, axis: usize) -> bool {
    let matrices = &w.dims()[..w.rank().saturating_sub(2)];
    matrices.iter().skip(axis).take(2).all(|d| d.is(1))
}

/// The value whose elements a value has in the same order.
fn renamed(g: &Graph, v: ValueId) -> ValueId {
    match g.producer(v) {
        Some(Node { op: Op::Reshape(_), inputs, .. }) => renamed(g, inputs[0]),
        _ => v,
    }
}

/// The value whose axes a value has in another order, and the order.
fn moved(g: &Graph, v: ValueId) -> Option<(ValueId, Vec<usize>)> {
    Some(match g.producer(v) {
        Some(Node { op: Op::Transpose(perm), inputs, .. }) => (inputs[0], perm.clone()),
        _ => (v, (0..g.shape(v).rank()).collect()),
    })
}

/// The axis of a reshape's operand that is `axis` of its result, where the one behind it is also the one behind it there.
pub fn source_axis(from: &Shape, to: &Shape, axis: usize) -> Option<usize> {
    let cut = groups(from, to)?;
    let source = |axis: usize| {
        let group = cut.iter().find(|g| g.to.contains(&axis))?;
        group.is_axis().then_some(group.from.start)
    };
    let (first, second) = (source(axis)?, source(axis + 1)?);
    (second == first + 1).then_some(first)
}
