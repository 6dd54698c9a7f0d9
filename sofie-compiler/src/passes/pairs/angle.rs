//! Expressions of pairs that are written down in a way that does not look symmetric: a difference of angles wrapped into
//! half a turn either way, and the smaller of two numbers by comparisons.

use super::super::term::{Seen, Term};
use crate::ir::Graph;
use sofie_infer_runtime::map::{Binary, Unary};

/// How far a period may be from twice the offset, which files write as different roundings of π.
const ROUNDING: f64 = 1e-6;

/// The difference `d` of a term `(d + c) mod 2c - c`, which lies between `-c` and `c`: an odd function of it, but at `-c`.
pub fn wrapped(g: &Graph, t: Term) -> Option<Term> {
    let (inner, c) = offset(g, t)?;
    let (shifted, period) = remainder(g, inner)?;
    let (d, offset) = offset(g, shifted)?;
    let near = |a: f64, b: f64| (a - b).abs() <= ROUNDING * period;
    (period > 0.0 && near(offset, -c) && near(2.0 * offset, period)).then_some(d)
}

/// `a + number`.
fn offset(g: &Graph, t: Term) -> Option<(Term, f64)> {
    match t.seen(g) {
        Seen::Binary(Binary::Add, a, Term::Number(c)) | Seen::Binary(Binary::Add, Term::Number(c), a) => {
            Some((a, c))
        }
        Seen::Binary(Binary::Sub, a, Term::Number(c)) => Some((a, -c)),
        _ => None,
    }
}

/// `a mod number`, with the sign of the number: as one operation, or `a - floor(a / number) * number`.
fn remainder(g: &Graph, t: Term) -> Option<(Term, f64)> {
    let (a, whole) = match t.seen(g) {
        Seen::Binary(Binary::Mod, a, Term::Number(period)) => return Some((a, period)),
        Seen::Binary(Binary::Sub, a, whole) => (a, whole),
        _ => return None,
    };
    let (turns, period) = match whole.seen(g) {
        Seen::Binary(Binary::Mul, turns, Term::Number(n))
        | Seen::Binary(Binary::Mul, Term::Number(n), turns) => (turns, n),
        _ => return None,
    };
    let Seen::Unary(Unary::Floor, quotient) = turns.seen(g) else { return None };
    let divides = match quotient.seen(g) {
        Seen::Binary(Binary::Div, b, Term::Number(n)) => b == a && n == period,
        Seen::Binary(Binary::Mul, b, Term::Number(n)) => b == a && (n * period - 1.0).abs() <= ROUNDING,
        _ => false,
    };
    divides.then_some((a, period))
}

/// The terms of `(a <= b) * a + (a > b) * b`, the comparisons as numbers.
pub fn smaller(g: &Graph, t: Term) -> Option<(Term, Term)> {
    let Seen::Binary(Binary::Add, left, right) = t.seen(g) else { return None };
    let ((f, a, b, x), (h, c, d, y)) = (chosen(g, left)?, chosen(g, right)?);
    // Both comparisons ask the same two numbers, and exactly one holds.
    let (h, c, d) = if (c, d) == (b, a) { (turned(h), d, c) } else { (h, c, d) };
    let complement = match f {
        Binary::Le => Binary::Gt,
        Binary::Lt => Binary::Ge,
        _ => return None,
    };
    (h == complement && (c, d) == (a, b) && (x, y) == (a, b)).then_some((a, b))
}

/// `(a ~ b) * x` as `~`, `a`, `b` and `x`.
fn chosen(g: &Graph, t: Term) -> Option<(Binary, Term, Term, Term)> {
    let Seen::Binary(Binary::Mul, p, q) = t.seen(g) else { return None };
    let compared = |t: Term| match t.seen(g) {
        Seen::Cast(_, c) => match c.seen(g) {
            Seen::Binary(f @ (Binary::Le | Binary::Lt | Binary::Gt | Binary::Ge), a, b) => Some((f, a, b)),
            _ => None,
        },
        _ => None,
    };
    match (compared(p), compared(q)) {
        (Some((f, a, b)), _) => Some((f, a, b, q)),
        (None, Some((f, a, b))) => Some((f, a, b, p)),
        _ => None,
    }
}

/// The comparison with its operands exchanged.
fn turned(f: Binary) -> Binary {
    match f {
        Binary::Le => Binary::Ge,
        Binary::Lt => Binary::Gt,
        Binary::Ge => Binary::Le,
        Binary::Gt => Binary::Lt,
        f => f,
    }
}
