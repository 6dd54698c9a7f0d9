//! Random elementwise maps.

use super::{Gen, LEAF, limit};
use crate::ir::{Inst, MapExpr, Op, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};

/// Keep what is exact exact.
const SIGNS: [Unary; 3] = [Unary::Neg, Unary::Abs, Unary::Relu];
/// Finite everywhere, and nowhere steep up to a magnitude of 4.
const SMOOTH: [Unary; 15] = {
    use Unary::*;
    [Exp, Expm1, Sin, Cos, Atan, Sinh, Cosh, Tanh, Asinh, Erf, Sigmoid, Softplus, Silu, GeluErf, GeluTanh]
};
/// Steep or not a number somewhere; smooth from 1 on, but for the last four.
const STEEP: [Unary; 14] = {
    use Unary::*;
    [Sqrt, Log, Log1p, Reciprocal, Acosh, Asin, Acos, Atanh, Tan, Sign, Floor, Ceil, Round, Trunc]
};

pub(super) fn step(g: &mut Gen) -> Option<()> {
    match g.below(8) {
        0 | 1 => unary(g),
        2 | 3 => binary(g),
        4 => select(g),
        5 => cast(g),
        _ => chain(g),
    }
}

fn unary(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (t, fact) = (g.b.dtype(x), g.fact(x));
    let expr = |op| MapExpr::unary(op, t).ok().map(Op::Map);
    if t == DType::Bool {
        return g.moved(expr(Unary::Not)?, &[x]);
    }
    if t.is_int() {
        let op = g.choose(&[Unary::Neg, Unary::Abs, Unary::Sign, Unary::BitNot, Unary::Relu]);
        return g.rounded(expr(op)?, &[x], f64::INFINITY);
    }
    match g.below(4) {
        0 => {
            let op = g.choose(&SIGNS);
            g.moved(expr(op)?, &[x])
        }
        1 if fact.exact => {
            let op = match g.below(3) {
                0 => g.choose(&[Unary::IsNan, Unary::IsPosInf, Unary::IsNegInf]),
                _ => g.choose(&STEEP),
            };
            let y = g.push(expr(op)?, &[x])[0];
            // Some are infinite or NaN: they may be moved, but not added to.
            g.know(y, true, f64::INFINITY);
            Some(())
        }
        2 => {
            // Steep near 0, so at |x| + 1.
            let op = STEEP[g.below(4)];
            let mut e = MapExpr::over(&[t]);
            let one = Scalar::from_f64(t, 1.0);
            for inst in [
                Inst::Input(0),
                Inst::Unary(Unary::Abs, 0),
                Inst::Const(one),
                Inst::Binary(Binary::Add, 1, 2),
                Inst::Unary(op, 3),
            ] {
                e.push(inst).ok()?;
            }
            g.rounded(Op::Map(e), &[x], fact.size + 1.0)
        }
        _ => {
            let op = g.choose(&SMOOTH);
            let size = if fact.size <= LEAF { 60.0 } else { return None };
            g.rounded(expr(op)?, &[x], size)
        }
    }
}

/// A value of the type of `x` whose shape broadcasts with that of `x` to no more elements.
fn partner(g: &mut Gen, x: ValueId) -> ValueId {
    let mut dims = g.dims_of(x);
    match g.below(6) {
        0 => dims.iter_mut().for_each(|n| *n = 1),
        // As a bias.
        3 | 4 => dims.iter_mut().rev().skip(1).for_each(|n| *n = 1),
        1 => {
            for n in &mut dims {
                *n = if g.flip() { 1 } else { *n };
            }
        }
        2 => {
            let cut = g.below(dims.len() + 1);
            dims.drain(..cut);
        }
        _ => {}
    }
    let t = g.b.dtype(x);
    g.of(t, &dims)
}

fn binary(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let y = partner(g, x);
    let (t, a, b) = (g.b.dtype(x), g.fact(x), g.fact(y));
    let (inputs, facts) = if g.flip() { ([x, y], [a, b]) } else { ([y, x], [b, a]) };
    let inputs = g.b.same_rank(&inputs).ok()?;
    for (v, fact) in inputs.iter().zip(facts) {
        g.facts.entry(*v).or_insert(fact);
    }
    use Binary::*;
    let op = match t {
        DType::Bool => g.choose(&[And, Or, Xor, Eq, Ne]),
        _ if t.is_int() => g.choose(&[
            Add, Sub, Mul, Div, Min, Max, Pow, Mod, Fmod, And, Or, Xor, Shl, Shr, Eq, Ne, Lt, Le, Gt, Ge,
        ]),
        _ if a.exact && b.exact && g.rarely(3) => g.choose(&[Eq, Ne, Lt, Le, Gt, Ge, Pow, Mod, Fmod, Div]),
        _ => g.choose(&[Add, Sub, Mul, Min, Max]),
    };
    let e = Op::Map(MapExpr::binary(op, t).ok()?);
    let bools = [Eq, Ne, Lt, Le, Gt, Ge].contains(&op);
    match op {
        _ if bools || !t.is_float() => g.rounded(e, &inputs, f64::INFINITY),
        Min | Max => g.moved(e, &inputs),
        Pow | Mod | Fmod | Div => {
            let y = g.push(e, &inputs)[0];
            g.know(y, true, f64::INFINITY);
            Some(())
        }
        _ => g.rounded(e, &inputs, if op == Mul { a.size * b.size } else { a.size + b.size }),
    }
}

fn select(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    let (c, y) = (g.of(DType::Bool, &dims), g.of(t, &dims));
    let mut e = MapExpr::over(&[DType::Bool, t, t]);
    for inst in [Inst::Input(0), Inst::Input(1), Inst::Input(2), Inst::Select(0, 1, 2)] {
        e.push(inst).ok()?;
    }
    g.moved(Op::Map(e), &[c, x, y])
}

fn cast(g: &mut Gen) -> Option<()> {
    use DType::*;
    let x = g.any();
    let (from, fact) = (g.b.dtype(x), g.fact(x));
    let to = g.choose(&[F32, F64, I64, I32, F16, BF16, Bool, U8, I8, U32, U16, I16, U64]);
    if from.is_float() && !to.is_float() && !fact.exact || !fact.size.is_finite() && to.is_float() {
        return None;
    }
    if to.is_float() && fact.size > limit(to) {
        return None;
    }
    let y = g.push(Op::Map(MapExpr::cast(from, to).ok()?), &[x])[0];
    // An integer of another width or sign may be anything.
    let size = if from.is_float() || to.is_float() { fact.size } else { f64::INFINITY };
    g.know(y, fact.exact, size);
    Some(())
}

/// A longer expression over two operands, with constants, a counter, and everything three registers can do.
fn chain(g: &mut Gen) -> Option<()> {
    let x = g.float(0..=5);
    let y = partner(g, x);
    let (t, rank) = (g.b.dtype(x), g.b.shape(x).rank());
    let sizes = [g.fact(x).size, g.fact(y).size];
    let y = g.b.to_rank(y, rank).ok()?;
    g.facts.entry(y).or_insert(super::Fact { exact: false, size: sizes[1] });
    let mut e = MapExpr::over(&[t, t]);
    let mut regs = vec![(e.push(Inst::Input(0)).ok()?, sizes[0]), (e.push(Inst::Input(1)).ok()?, sizes[1])];
    for _ in 0..1 + g.below(5) {
        let [(a, sa), (b, sb), (c, sc)] = [g.choose(&regs), g.choose(&regs), g.choose(&regs)];
        let (r, size) = match g.below(6) {
            0 => (e.push(Inst::Const(Scalar::from_f64(t, g.below(9) as f64 / 4.0 - 1.0))).ok()?, 1.0),
            1 if rank > 0 => {
                let i = e.push(Inst::Iota(g.below(rank))).ok()?;
                (e.push(Inst::Cast(t, i)).ok()?, 17.0)
            }
            2 => (e.push(Inst::MulAdd(a, b, c)).ok()?, sa * sb + sc),
            3 => {
                // A comparison with a counter, which no rounding changes.
                let i = e.push(if rank > 0 {
                    Inst::Iota(g.below(rank))
                } else {
                    Inst::Const(Scalar::from(1i64))
                });
                let n = e.push(Inst::Const(Scalar::from(g.below(4) as i64))).ok()?;
                let below = e.push(Inst::Binary(Binary::Lt, i.ok()?, n)).ok()?;
                (e.push(Inst::Select(below, a, b)).ok()?, sa.max(sb))
            }
            4 if sa <= LEAF => (e.push(Inst::Unary(g.choose(&SMOOTH), a)).ok()?, 60.0),
            _ => (
                e.push(Inst::Binary(g.choose(&[Binary::Add, Binary::Sub, Binary::Max]), a, b)).ok()?,
                sa + sb,
            ),
        };
        if size <= limit(t) {
            regs.push((r, size));
        }
    }
    let (last, size) = regs.pop()?;
    let e = e.finish(last);
    g.rounded(Op::Map(e), &[x, y], size)
}
