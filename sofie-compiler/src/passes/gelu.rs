//! GELU in its many spellings becomes one function, before its constant factors wander into the weights around it:
//! `x/2 (1 + erf(x / √2))` and `x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))`, factors in any order.

use super::pattern::until_stable;
use super::term::{Polynomial, Seen, Term, product};
use crate::ir::{Graph, Invalid, Op, Rewriter, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};

/// Replaces maps whose result is the GELU of a value.
pub fn gelu(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        Rewriter::run(g, |r, node| {
            if !matches!(node.op, Op::Map(_)) || g.dtype(node.outputs[0]) != DType::F32 {
                return Ok(None);
            }
            let Some((op, x)) = found(g, node.outputs[0]) else { return Ok(None) };
            let x = r.get(x)?;
            r.b.unary(op, x).map(|v| Some(vec![v]))
        })
    })
}

/// `1 + f(argument)`, the terms that multiply it, and their constant factor.
struct Gate {
    f: Unary,
    argument: Term,
    others: Vec<Term>,
    factor: f64,
}

/// The gate among the factors of a product.
fn gate(g: &Graph, t: Term, depth: usize) -> Option<Gate> {
    let function = |t: Term| match t.seen(g) {
        Seen::Unary(f @ (Unary::Erf | Unary::Tanh), argument) => Some((f, argument)),
        _ => None,
    };
    match t.seen(g) {
        Seen::Binary(Binary::Add, a, Term::Number(1.0)) | Seen::Binary(Binary::Add, Term::Number(1.0), a) => {
            let (f, argument) = function(a)?;
            Some(Gate { f, argument, others: vec![], factor: 1.0 })
        }
        Seen::MulAdd(a, Term::Number(c), Term::Number(d)) if c == d => {
            let (f, argument) = function(a)?;
            Some(Gate { f, argument, others: vec![], factor: c })
        }
        Seen::Binary(Binary::Mul, a, b) if depth > 0 => {
            let (mut gate, other) = match gate(g, a, depth - 1) {
                Some(gate) => (gate, b),
                None => (gate(g, b, depth - 1)?, a),
            };
            match other {
                Term::Number(c) => gate.factor *= c,
                term => gate.others.push(term),
            }
            Some(gate)
        }
        Seen::Binary(Binary::Div, a, Term::Number(c)) if depth > 0 => {
            let mut gate = gate(g, a, depth - 1)?;
            gate.factor /= c;
            Some(gate)
        }
        _ => None,
    }
}

/// The function and its argument, if the value is a GELU.
fn found(g: &Graph, v: ValueId) -> Option<(Unary, ValueId)> {
    let root = Term::of(g, v);
    if !matches!(root, Term::Register(w, _) if w == v) {
        return None;
    }
    let gate = gate(g, root, 4)?;
    let (op, inner) = match gate.f {
        Unary::Erf => (Unary::GeluErf, [0.0, FRAC_1_SQRT_2, 0.0, 0.0]),
        _ => {
            let c = FRAC_2_PI.sqrt();
            (Unary::GeluTanh, [0.0, c, 0.0, 0.044715 * c])
        }
    };
    gate.argument.parts(g).into_iter().find_map(|x| {
        let value = x.value(g).filter(|w| g.shape(*w) == g.shape(v) && g.dtype(*w) == DType::F32)?;
        let factor = [gate.factor, 0.0, 0.0, 0.0];
        let outer = gate.others.iter().try_fold(factor, |p, t| product(p, t.polynomial(g, x)?))?;
        let fits = close(gate.argument.polynomial(g, x)?, inner) && close(outer, [0.0, 0.5, 0.0, 0.0]);
        fits.then_some((op, value))
    })
}

/// Whether coefficients are the same but for the digits that exporters leave off.
fn close(a: Polynomial, b: Polynomial) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-6 * b.abs().max(0.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{Builder, Inst, MapExpr, Shape};
    use sofie_infer_runtime::map::Scalar;

    /// A graph whose output `f` makes from x, one map an operation.
    fn graph(f: impl Fn(&mut Builder, ValueId) -> ValueId) -> Graph {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[3, 4]));
        let x = b.unary(Unary::Neg, x).unwrap();
        let y = f(&mut b, x);
        b.output("y", y);
        b.finish()
    }

    fn with(b: &mut Builder, op: Binary, x: ValueId, c: f32) -> ValueId {
        let mut e = MapExpr::over(&[DType::F32]);
        let x_ = e.push(Inst::Input(0)).unwrap();
        let c = e.push(Inst::Const(Scalar::from(c))).unwrap();
        let r = e.push(Inst::Binary(op, x_, c)).unwrap();
        b.one(Op::Map(e.finish(r)), &[x]).unwrap()
    }

    fn result(g: &Graph) -> String {
        let g = gelu(g).unwrap();
        let last = g.producer(g.outputs()[0].value).unwrap();
        match &last.op {
            Op::Map(e) => e.to_string(),
            op => op.name().into(),
        }
    }

    #[test]
    fn by_the_error_function() {
        for order in 0..4 {
            let g = graph(|b, x| {
                let t = match order {
                    0 | 1 => with(b, Binary::Div, x, std::f32::consts::SQRT_2),
                    _ => with(b, Binary::Mul, x, std::f32::consts::FRAC_1_SQRT_2),
                };
                let e = b.unary(Unary::Erf, t).unwrap();
                let gate = with(b, Binary::Add, e, 1.0);
                match order {
                    0 => {
                        let y = b.binary(Binary::Mul, x, gate).unwrap();
                        with(b, Binary::Mul, y, 0.5)
                    }
                    1 => {
                        let half = with(b, Binary::Mul, x, 0.5);
                        b.binary(Binary::Mul, half, gate).unwrap()
                    }
                    2 => {
                        let gate = with(b, Binary::Mul, gate, 0.5);
                        b.binary(Binary::Mul, gate, x).unwrap()
                    }
                    _ => {
                        let y = b.binary(Binary::Mul, x, gate).unwrap();
                        with(b, Binary::Div, y, 2.0)
                    }
                }
            });
            assert_eq!(result(&g), "geluerf(x0)", "order {order}");
        }
    }

    #[test]
    fn by_the_hyperbolic_tangent() {
        for order in 0..2 {
            let g = graph(|b, x| {
                let square = b.binary(Binary::Mul, x, x).unwrap();
                let inner = if order == 0 {
                    let cube = with(b, Binary::Pow, x, 3.0);
                    let small = with(b, Binary::Mul, cube, 0.044_715);
                    b.binary(Binary::Add, x, small).unwrap()
                } else {
                    let small = with(b, Binary::Mul, square, 0.044_715);
                    let one = with(b, Binary::Add, small, 1.0);
                    b.binary(Binary::Mul, x, one).unwrap()
                };
                let u = with(b, Binary::Mul, inner, 0.797_884_6);
                let t = b.unary(Unary::Tanh, u).unwrap();
                let gate = with(b, Binary::Add, t, 1.0);
                let half = with(b, Binary::Mul, x, 0.5);
                b.binary(Binary::Mul, half, gate).unwrap()
            });
            assert_eq!(result(&g), "gelutanh(x0)", "order {order}");
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        let g = graph(|b, x| {
            let t = with(b, Binary::Mul, x, 0.7);
            let e = b.unary(Unary::Erf, t).unwrap();
            let gate = with(b, Binary::Add, e, 1.0);
            let y = b.binary(Binary::Mul, x, gate).unwrap();
            with(b, Binary::Mul, y, 0.5)
        });
        assert_eq!(result(&g), "mul(x0, 0.5)");
    }
}
