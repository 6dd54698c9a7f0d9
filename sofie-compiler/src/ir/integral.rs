//! What is known to be whole numbers, and how large they can be: floats that hold them exactly may stand for
//! integers, and quantising what has been quantised changes nothing.

use super::{Epilogue, Graph, Inst, MapExpr, Op, PoolKind, Reg, ValueId};
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::{Act, DType};

/// Every element is a whole number from `lo` to `hi` (never -0), times `scale` and rounded to the element's type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Whole {
    /// The least.
    pub lo: f64,
    /// The largest.
    pub hi: f64,
    /// 1 where the elements are the whole numbers.
    pub scale: f64,
}

/// Whole numbers up to here are exact in `f32`, and so are sums of which no part is larger.
pub const EXACT: f64 = 16_777_216.0;

/// How far back a value is followed.
const DEPTH: usize = 12;

impl Whole {
    fn between(lo: f64, hi: f64) -> Whole {
        Whole { lo, hi, scale: 1.0 }
    }

    /// The largest magnitude.
    pub fn most(self) -> f64 {
        self.lo.abs().max(self.hi.abs())
    }

    /// Whether the numbers are whole themselves and exact in `f32`.
    pub fn is_exact(self) -> bool {
        self.scale == 1.0 && self.most() <= EXACT
    }

    fn or(self, other: Whole) -> Option<Whole> {
        let (lo, hi) = (self.lo.min(other.lo), self.hi.max(other.hi));
        (self.scale == other.scale).then_some(Whole { lo, hi, ..self })
    }

    /// Where a type holds all of them.
    fn within(self, dtype: DType) -> Option<Whole> {
        let (lo, hi) = bounds(dtype)?;
        (self.scale == 1.0 && lo <= self.lo && self.hi <= hi).then_some(self)
    }
}

/// The whole numbers that a type holds without gaps.
fn bounds(dtype: DType) -> Option<(f64, f64)> {
    Some(match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        DType::I32 => (-2_147_483_648.0, 2_147_483_647.0),
        DType::F32 => (-EXACT, EXACT),
        DType::I64 | DType::F64 => (-9e15, 9e15),
        _ => return None,
    })
}

/// All numbers of a type of at most 16 bits.
fn all_of(dtype: DType) -> Option<Whole> {
    let small = dtype.is_int() && dtype.size() <= 2;
    bounds(dtype).filter(|_| small).map(|(lo, hi)| Whole::between(lo, hi))
}

/// What is known of a value's elements.
pub fn of_value(g: &Graph, v: ValueId) -> Option<Whole> {
    value(g, v, DEPTH)
}

fn value(g: &Graph, v: ValueId, depth: usize) -> Option<Whole> {
    let all = all_of(g.dtype(v));
    let (Some(node), Some(depth)) = (g.producer(v), depth.checked_sub(1)) else { return all };
    let first = || node.inputs.first().and_then(|v| value(g, *v, depth));
    let known = match &node.op {
        Op::Const(t) if t.dtype() != DType::Bool => {
            let whole = |w: Option<Whole>, x: f64| {
                let is_whole = x.fract() == 0.0 && (x != 0.0 || x.is_sign_positive());
                let (lo, hi) = w.map_or((x, x), |w| (w.lo.min(x), w.hi.max(x)));
                is_whole.then_some(Some(Whole::between(lo, hi)))
            };
            (0..t.len()).try_fold(None, |w, i| whole(w, t.get(i).to_f64())).flatten()
        }
        Op::Map(e) => {
            let last = e.insts().len().checked_sub(1)?;
            of_register(e, last, &|i| node.inputs.get(i).and_then(|v| value(g, *v, depth)))
        }
        Op::Concat(_) => {
            let mut parts = node.inputs.iter().map(|v| value(g, *v, depth));
            let one = parts.next().flatten()?;
            parts.try_fold(one, |w, part| w.or(part?))
        }
        Op::Pad { value, .. } => {
            let x = value.to_f64();
            first()
                .filter(|w| x == 0.0 && x.is_sign_positive() && w.scale > 0.0)
                .and_then(|w| w.or(Whole { lo: 0.0, hi: 0.0, ..w }))
        }
        Op::Pool(p) if p.kind == PoolKind::Max && p.overhang.iter().all(|n| *n == 0) => {
            let w = &p.window;
            let inside = |pads: &[usize]| pads.iter().zip(&w.kernel).all(|(pad, kernel)| pad < kernel);
            first().filter(|_| {
                inside(&w.pads_begin) && inside(&w.pads_end) && w.dilations.iter().all(|d| *d == 1)
            })
        }
        Op::MatMul(e) | Op::Conv(_, e) => product(g, v, &node.inputs, e, depth),
        op if op.is_view() || matches!(op, Op::Cut { .. }) => first(),
        _ => None,
    };
    known.filter(|w| w.scale != 1.0 || w.within(g.dtype(v)).is_some()).or(all)
}

/// Sums of products: bounded by the sum of magnitudes, and so is every part of them.
fn product(g: &Graph, y: ValueId, inputs: &[ValueId], e: &Epilogue, depth: usize) -> Option<Whole> {
    let [x, w, rest @ ..] = inputs else { return None };
    if let Act::FakeQuantize { scale, zero, to } = e.act {
        let (zero, scale) = (f64::from(zero), f64::from(scale));
        let known = zero.fract() == 0.0 && (1e-30..1e30).contains(&scale) && scale != 1.0;
        let w = all_of(to).map(|w| Whole { lo: w.lo - zero, hi: w.hi - zero, scale });
        return w.filter(|w| known && w.most() <= 65536.0);
    }
    if !matches!(e.act, Act::None | Act::Relu) {
        return None;
    }
    let a = value(g, *x, depth).filter(|a| a.scale == 1.0)?;
    let b = value(g, *w, depth).filter(|b| b.scale == 1.0)?;
    let dims = g.shape(*w).fixed()?;
    let columns = *dims.last()?;
    let rows = match g.producer(y)?.op {
        Op::MatMul(_) => *dims.get(dims.len().checked_sub(2)?)?,
        _ => dims.iter().rev().skip(1).product(),
    };
    let weights = match g.constant(*w) {
        Some(t) if rows != 0 && columns != 0 => {
            let mut sums = vec![0.0; dims.iter().product::<usize>() / rows];
            for (i, x) in t.to_f64s().into_iter().enumerate() {
                sums[i / (rows * columns) * columns + i % columns] += x.abs();
            }
            sums.into_iter().fold(0.0, f64::max)
        }
        _ => b.most() * rows as f64,
    };
    let mut most = a.most() * weights;
    for v in rest {
        most += value(g, *v, depth).filter(|w| w.scale == 1.0)?.most();
    }
    let low = if e.act == Act::Relu { 0.0 } else { -most };
    Some(Whole::between(low, most))
}

/// What is known of a register of an expression, given what is known of its operands.
pub fn of_register(e: &MapExpr, r: Reg, operand: &impl Fn(usize) -> Option<Whole>) -> Option<Whole> {
    let known = |r: Reg| of_register(e, r, operand);
    let whole = |r: Reg| known(r).filter(|w| w.scale == 1.0);
    let constant = |r: Reg| match e.insts()[r] {
        Inst::Const(c) => Some(c.to_f64()),
        _ => None,
    };
    let dtype = e.reg_type(r)?;
    let result = match e.insts()[r] {
        Inst::Input(i) => return operand(i),
        Inst::Const(c) => {
            let x = c.to_f64();
            let is_whole = x.fract() == 0.0 && (x != 0.0 || x.is_sign_positive());
            is_whole.then(|| Whole::between(x, x))
        }
        Inst::Cast(to, a) => whole(a).and_then(|w| w.within(to)).or(all_of(to)),
        Inst::Unary(Unary::Relu, a) => whole(a).map(|w| Whole::between(w.lo.max(0.0), w.hi.max(0.0))),
        Inst::Unary(Unary::Round, a) => match e.insts()[a] {
            // Off by less than a half, whatever the scale.
            Inst::Binary(Binary::Div, x, s) => {
                let s = constant(s)?;
                known(x).filter(|w| w.scale == s && s != 1.0).map(|w| Whole { scale: 1.0, ..w })
            }
            _ => whole(a),
        },
        Inst::Unary(Unary::Floor | Unary::Ceil | Unary::Trunc, a) => whole(a),
        Inst::Binary(op, a, b) => match op {
            Binary::Add => whole(a).zip(whole(b)).map(|(a, b)| Whole::between(a.lo + b.lo, a.hi + b.hi)),
            Binary::Sub => whole(a).zip(whole(b)).map(|(a, b)| Whole::between(a.lo - b.hi, a.hi - b.lo)),
            Binary::Max => {
                whole(a).zip(whole(b)).map(|(a, b)| Whole::between(a.lo.max(b.lo), a.hi.max(b.hi)))
            }
            Binary::Min => {
                whole(a).zip(whole(b)).map(|(a, b)| Whole::between(a.lo.min(b.lo), a.hi.min(b.hi)))
            }
            Binary::Mul if dtype == DType::F32 => {
                let s = constant(b).filter(|s| (1e-30..1e30).contains(s) && *s != 1.0)?;
                return whole(a).filter(|w| w.most() <= 65536.0).map(|w| Whole { scale: s, ..w });
            }
            _ => None,
        },
        Inst::Select(_, a, b) => whole(a).zip(whole(b)).and_then(|(a, b)| a.or(b)),
        _ => None,
    };
    // Beyond its type's bounds an integer wraps and a float rounds.
    result.and_then(|w| w.within(dtype))
}
