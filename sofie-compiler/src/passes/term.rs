//! Elementwise expressions seen across the maps that compute their operands: exporters write one node an
//! operation, and a pattern such as GELU has to be found before other passes take it to pieces.

use super::pattern::uniform;
use crate::ir::{Graph, Inst, Node, Op, Reg, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};

/// A place in an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Term {
    /// The same number everywhere.
    Number(f64),
    /// A value that no map computes, or one of another shape than the expression's.
    Value(ValueId),
    /// A register of the map that computes a value.
    Register(ValueId, Reg),
}

/// What a place computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// A function of one term.
    Unary(Unary, Term),
    /// A function of two terms.
    Binary(Binary, Term, Term),
    /// `a * b + c`.
    MulAdd(Term, Term, Term),
    /// The second where the first holds, else the third.
    Select(Term, Term, Term),
    /// A conversion.
    Cast(DType, Term),
    /// Anything else.
    Other,
}

/// How deep polynomials are looked into.
const DEPTH: usize = 8;

impl Term {
    /// A value.
    pub fn of(g: &Graph, v: ValueId) -> Term {
        match uniform(g, v) {
            Some(c) => Term::Number(c.to_f64()),
            None => match g.producer(v) {
                Some(Node { op: Op::Map(e), .. }) if !e.insts().is_empty() => {
                    Term::register(g, v, e.insts().len() - 1)
                }
                _ => Term::Value(v),
            },
        }
    }

    /// A register of the map that computes `v`, or what it reads.
    fn register(g: &Graph, v: ValueId, r: Reg) -> Term {
        let Some(Node { op: Op::Map(e), inputs, .. }) = g.producer(v) else { return Term::Value(v) };
        match e.insts()[r] {
            Inst::Const(c) => Term::Number(c.to_f64()),
            Inst::Input(i) => match Term::of(g, inputs[i]) {
                Term::Register(..) if g.shape(inputs[i]) != g.shape(v) => Term::Value(inputs[i]),
                term => term,
            },
            _ => Term::Register(v, r),
        }
    }

    /// What it computes.
    pub fn seen(self, g: &Graph) -> Seen {
        let Term::Register(v, r) = self else { return Seen::Other };
        let Some(Node { op: Op::Map(e), .. }) = g.producer(v) else { return Seen::Other };
        let at = |r| Term::register(g, v, r);
        match e.insts()[r] {
            Inst::Unary(op, a) => Seen::Unary(op, at(a)),
            Inst::Binary(op, a, b) => Seen::Binary(op, at(a), at(b)),
            Inst::MulAdd(a, b, c) => Seen::MulAdd(at(a), at(b), at(c)),
            Inst::Select(c, a, b) => Seen::Select(at(c), at(a), at(b)),
            Inst::Cast(to, a) => Seen::Cast(to, at(a)),
            _ => Seen::Other,
        }
    }

    /// The element type, where it is not a number of any.
    pub fn dtype(self, g: &Graph) -> Option<DType> {
        match self {
            Term::Number(_) => None,
            Term::Value(v) => Some(g.dtype(v)),
            Term::Register(v, r) => match &g.producer(v)?.op {
                Op::Map(e) => e.reg_type(r),
                _ => None,
            },
        }
    }

    /// The value that holds it, if one does.
    pub fn value(self, g: &Graph) -> Option<ValueId> {
        match self {
            Term::Number(_) => None,
            Term::Value(v) => Some(v),
            Term::Register(v, r) => match g.producer(v) {
                Some(Node { op: Op::Map(e), .. }) if r + 1 == e.insts().len() => Some(v),
                _ => None,
            },
        }
    }

    /// Itself and everything that it is made of by sums and products.
    pub fn parts(self, g: &Graph) -> Vec<Term> {
        let (mut parts, mut at) = (vec![self], 0);
        while at < parts.len() && parts.len() < 64 {
            let inner = match parts[at].seen(g) {
                Seen::Binary(Binary::Mul | Binary::Add | Binary::Div | Binary::Pow, a, b) => vec![a, b],
                Seen::MulAdd(a, b, c) => vec![a, b, c],
                _ => vec![],
            };
            for t in inner {
                if !matches!(t, Term::Number(_)) && !parts.contains(&t) {
                    parts.push(t);
                }
            }
            at += 1;
        }
        parts
    }

    /// The coefficients of 1, x, x² and x³, if it is such a polynomial.
    pub fn polynomial(self, g: &Graph, x: Term) -> Option<Polynomial> {
        self.polynomial_to(g, x, DEPTH)
    }

    fn polynomial_to(self, g: &Graph, x: Term, depth: usize) -> Option<Polynomial> {
        if self == x {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        if let Term::Number(c) = self {
            return Some([c, 0.0, 0.0, 0.0]);
        }
        let inner = |t: Term| t.polynomial_to(g, x, depth.checked_sub(1)?);
        match self.seen(g) {
            Seen::Binary(Binary::Add, a, b) => Some(sum(inner(a)?, inner(b)?)),
            Seen::Binary(Binary::Mul, a, b) => product(inner(a)?, inner(b)?),
            Seen::Binary(Binary::Div, a, Term::Number(c)) => Some(inner(a)?.map(|x| x / c)),
            Seen::Binary(Binary::Pow, a, Term::Number(2.0)) => product(inner(a)?, inner(a)?),
            Seen::Binary(Binary::Pow, a, Term::Number(3.0)) => {
                let a = inner(a)?;
                product(product(a, a)?, a)
            }
            Seen::MulAdd(a, b, c) => Some(sum(product(inner(a)?, inner(b)?)?, inner(c)?)),
            Seen::Unary(Unary::Neg, a) => Some(inner(a)?.map(|x| -x)),
            _ => None,
        }
    }
}

/// Coefficients of 1, x, x² and x³.
pub type Polynomial = [f64; 4];

fn sum(a: Polynomial, b: Polynomial) -> Polynomial {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]]
}

/// The product, if it has no higher powers.
pub fn product(a: Polynomial, b: Polynomial) -> Option<Polynomial> {
    let mut c = [0.0; 4];
    for (i, a) in a.iter().enumerate() {
        for (j, b) in b.iter().enumerate() {
            let term = a * b;
            match c.get_mut(i + j) {
                Some(c) => *c += term,
                None if term != 0.0 => return None,
                None => {}
            }
        }
    }
    Some(c)
}
