//! Layer and root-mean-square normalisation, spelled out as means, squares and roots by exporters before opset 17,
//! become row programs; a scale and an offset of each column behind them become theirs.

use super::pattern::{Uses, is_row, until_stable};
use super::term::{Seen, Term};
use crate::ir::{Builder, Graph, Inst, Invalid, Node, Op, ReduceKind, Rewriter, RowKind, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};

/// Finds normalisations.
pub fn normalise(graph: &Graph) -> Result<Graph, Invalid> {
    until_stable(graph, |g| {
        let uses = Uses::of(g);
        Rewriter::run(g, |r, node| {
            let Op::Map(_) = &node.op else { return Ok(None) };
            let y = node.outputs[0];
            if g.dtype(y) != DType::F32 {
                return Ok(None);
            }
            if let Some((kind, x)) = found(g, y) {
                let x = r.get(x)?;
                return r.b.one(Op::Rows(kind), &[x]).map(|v| Some(vec![v]));
            }
            absorbed(r, &uses, node).map(|v| v.map(|v| vec![v]))
        })
    })
}

/// What computes a term, where it is a value of another shape as well.
fn inside(g: &Graph, t: Term) -> Term {
    match t {
        Term::Value(v) => Term::of(g, v),
        t => t,
    }
}

/// The operand of a mean over the last axis.
fn mean_of(g: &Graph, t: Term) -> Option<ValueId> {
    let Node { op: Op::Reduce(ReduceKind::Mean, axes), inputs, .. } = g.producer(t.value(g)?)? else {
        return None;
    };
    (axes[..] == [g.shape(inputs[0]).rank().checked_sub(1)?]).then_some(inputs[0])
}

/// What is multiplied by itself.
fn squared(g: &Graph, v: ValueId) -> Option<Term> {
    match Term::of(g, v).seen(g) {
        Seen::Binary(Binary::Mul, a, b) if a == b => Some(a),
        Seen::Binary(Binary::Pow, a, Term::Number(2.0)) => Some(a),
        _ => None,
    }
}

/// `t` in a factor `1 / sqrt(t)`, or in a divisor `sqrt(t)`.
fn under_root(g: &Graph, t: Term, divides: bool) -> Option<Term> {
    let root = |t: Term| match inside(g, t).seen(g) {
        Seen::Unary(Unary::Sqrt, t) => Some(t),
        Seen::Binary(Binary::Pow, t, Term::Number(0.5)) => Some(t),
        _ => None,
    };
    if divides {
        return root(t);
    }
    match inside(g, t).seen(g) {
        Seen::Unary(Unary::Reciprocal, t) => root(t),
        Seen::Binary(Binary::Div, Term::Number(1.0), t) => root(t),
        Seen::Binary(Binary::Pow, t, Term::Number(-0.5)) => Some(t),
        _ => None,
    }
}

/// The program and the operand of a value that is a normalisation without scale and offset.
fn found(g: &Graph, y: ValueId) -> Option<(RowKind, ValueId)> {
    let (d, t) = match Term::of(g, y).seen(g) {
        Seen::Binary(Binary::Div, d, s) => (d, under_root(g, s, true)?),
        Seen::Binary(Binary::Mul, a, b) => match under_root(g, b, false) {
            Some(t) => (a, t),
            None => (b, under_root(g, a, false)?),
        },
        _ => return None,
    };
    let (variance, epsilon) = match inside(g, t).seen(g) {
        Seen::Binary(Binary::Add, v, Term::Number(e)) | Seen::Binary(Binary::Add, Term::Number(e), v) => {
            (v, e)
        }
        _ => return None,
    };
    let epsilon = epsilon as f32;
    let same = |x: ValueId| g.shape(x) == g.shape(y) && g.dtype(x) == DType::F32;
    // Of what the squares are: the operand itself, or what is left of it without its mean.
    let square = squared(g, mean_of(g, variance)?).filter(|s| *s == d)?;
    if let Seen::Binary(Binary::Sub, x, mean) = square.seen(g)
        && let (Some(x), Some(of)) = (x.value(g), mean_of(g, mean))
        && x == of
        && same(x)
    {
        return Some((RowKind::LayerNorm { epsilon, scale: false, bias: false }, x));
    }
    let x = square.value(g).filter(|x| same(*x))?;
    Some((RowKind::RmsNorm { epsilon, scale: false }, x))
}

/// A product or sum of a row of constants and a normalisation that has none yet.
fn absorbed(r: &mut Rewriter<'_>, uses: &Uses, node: &Node) -> Result<Option<ValueId>, Invalid> {
    let (Op::Map(e), g) = (&node.op, r.old) else { return Ok(None) };
    let (op, at) = match *e.insts() {
        [Inst::Input(a), Inst::Input(b), Inst::Binary(op, x, y)] if a != b && x != y => (op, [a, b]),
        _ => return Ok(None),
    };
    for (rows, row) in [(at[0], at[1]), (at[1], at[0])] {
        let (rows, row) = (node.inputs[rows], node.inputs[row]);
        let last = g.shape(rows).dims().last().cloned();
        let is_parameter = g.constant(row).is_some()
            && is_row(g.shape(row))
            && g.shape(row).dims().last().cloned() == last
            && g.shape(rows) == g.shape(node.outputs[0]);
        if !is_parameter || !uses.only_by(node, rows) {
            continue;
        }
        let (rows, row) = (r.get(rows)?, r.get(row)?);
        let Some(Node { op: Op::Rows(kind), inputs, origin, .. }) = r.b.graph().producer(rows).cloned()
        else {
            continue;
        };
        let kind = match (kind, op) {
            (RowKind::LayerNorm { epsilon, scale: false, bias: false }, Binary::Mul) => {
                RowKind::LayerNorm { epsilon, scale: true, bias: false }
            }
            (RowKind::LayerNorm { epsilon, scale, bias: false }, Binary::Add) => {
                RowKind::LayerNorm { epsilon, scale, bias: true }
            }
            (RowKind::RmsNorm { epsilon, scale: false }, Binary::Mul) => {
                RowKind::RmsNorm { epsilon, scale: true }
            }
            _ => continue,
        };
        let row = flat(&mut r.b, row)?;
        let operands: Vec<ValueId> = inputs.into_iter().chain([row]).collect();
        r.b.set_origin(&origin);
        r.b.add_origin(&node.origin);
        return r.b.one(Op::Rows(kind), &operands).map(Some);
    }
    Ok(None)
}

/// A row of any rank as a list.
fn flat(b: &mut Builder, row: ValueId) -> Result<ValueId, Invalid> {
    let n = b.shape(row).numel()?;
    b.reshape(row, Shape::new(vec![n]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{MapExpr, Tensor, eval};
    use sofie_infer_runtime::map::Scalar;

    fn with(b: &mut Builder, op: Binary, x: ValueId, c: f32) -> ValueId {
        let mut e = MapExpr::over(&[DType::F32]);
        let x_ = e.push(Inst::Input(0)).unwrap();
        let c = e.push(Inst::Const(Scalar::from(c))).unwrap();
        let r = e.push(Inst::Binary(op, x_, c)).unwrap();
        b.one(Op::Map(e.finish(r)), &[x]).unwrap()
    }

    /// The operations that are left, after making sure that the result is the same.
    fn left(f: impl Fn(&mut Builder, ValueId) -> ValueId) -> Vec<String> {
        let mut b = Builder::new();
        let x = b.input("x", DType::F32, Shape::of(&[2, 3, 5]));
        let y = f(&mut b, x);
        b.output("y", y);
        let before = b.finish();
        let after = normalise(&before).unwrap();
        let x = Tensor::of(&[2, 3, 5], &(0..30).map(|i| (i * 7 % 11) as f32 - 4.0).collect::<Vec<_>>());
        let [a, b] = [&before, &after].map(|g| eval::run(g, std::slice::from_ref(&x)).unwrap()[0].to_f64s());
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");
        let computing = after.nodes().iter().filter(|n| !matches!(n.op, Op::Const(_)));
        computing
            .map(|n| match &n.op {
                Op::Rows(k) => format!("{k:?}").split(' ').next().unwrap_or_default().into(),
                op => op.name().into(),
            })
            .collect()
    }

    fn mean(b: &mut Builder, x: ValueId) -> ValueId {
        b.one(Op::Reduce(ReduceKind::Mean, vec![2]), &[x]).unwrap()
    }

    fn parameters(b: &mut Builder, y: ValueId) -> ValueId {
        let scale = b.tensor(Tensor::of(&[5], &[1.0f32, 2.0, 0.5, -1.0, 3.0]));
        let bias = b.tensor(Tensor::of(&[5], &[0.5f32, 0.0, 1.0, 2.0, -3.0]));
        let y = b.binary(Binary::Mul, y, scale).unwrap();
        b.binary(Binary::Add, bias, y).unwrap()
    }

    #[test]
    fn layer_norm_is_found() {
        let of = |b: &mut Builder, x: ValueId, form: usize| {
            let m = mean(b, x);
            let d = b.binary(Binary::Sub, x, m).unwrap();
            let square =
                if form == 0 { with(b, Binary::Pow, d, 2.0) } else { b.binary(Binary::Mul, d, d).unwrap() };
            let v = mean(b, square);
            let v = with(b, Binary::Add, v, 1e-5);
            match form {
                0 | 1 => {
                    let s = b.unary(Unary::Sqrt, v).unwrap();
                    b.binary(Binary::Div, d, s).unwrap()
                }
                2 => {
                    let s = b.unary(Unary::Sqrt, v).unwrap();
                    let s = b.unary(Unary::Reciprocal, s).unwrap();
                    b.binary(Binary::Mul, s, d).unwrap()
                }
                _ => {
                    let s = with(b, Binary::Pow, v, -0.5);
                    b.binary(Binary::Mul, d, s).unwrap()
                }
            }
        };
        for form in 0..4 {
            let bare = left(|b, x| of(b, x, form));
            assert_eq!(bare, ["LayerNorm"], "form {form}");
            let whole = left(|b, x| {
                let y = of(b, x, form);
                parameters(b, y)
            });
            assert_eq!(whole, ["LayerNorm"], "form {form}");
        }
    }

    #[test]
    fn rms_norm_is_found() {
        let whole = left(|b, x| {
            let square = b.binary(Binary::Mul, x, x).unwrap();
            let v = mean(b, square);
            let v = with(b, Binary::Add, v, 1e-6);
            let s = b.unary(Unary::Sqrt, v).unwrap();
            let s = b.unary(Unary::Reciprocal, s).unwrap();
            let y = b.binary(Binary::Mul, x, s).unwrap();
            parameters(b, y)
        });
        assert_eq!(whole, ["RmsNorm", "map"]);
    }

    #[test]
    fn other_means_stay() {
        let found = left(|b, x| {
            let m = b.one(Op::Reduce(ReduceKind::Mean, vec![1]), &[x]).unwrap();
            let d = b.binary(Binary::Sub, x, m).unwrap();
            let square = b.binary(Binary::Mul, d, d).unwrap();
            let v = mean(b, square);
            let v = with(b, Binary::Add, v, 1e-5);
            let s = b.unary(Unary::Sqrt, v).unwrap();
            b.binary(Binary::Div, d, s).unwrap()
        });
        assert!(!found.contains(&"LayerNorm".to_string()), "{found:?}");
    }
}
