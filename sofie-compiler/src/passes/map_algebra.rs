//! The algebra of elementwise expressions: what holds for every number and keeps its value.
//! Operands that are the same number everywhere move into the expression, broadcasts of operands are left
//! to the map, and sums, products and powers with 0, 1, -1 and powers of two lose their arithmetic.

use super::pattern::uniform;
use crate::ir::integral::{self, Whole};
use crate::ir::{
    Builder, Graph, Inst, Invalid, MapExpr, Node, Op, ReduceKind, Reg, RowKind, Shape, Tensor, ValueId,
};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary, binary, unary};

/// How far back a sign is looked for.
const DEPTH: usize = 8;

/// The value of the expression over the operands, simplified.
pub fn map(b: &mut Builder, e: &MapExpr, inputs: &[ValueId]) -> Result<ValueId, Invalid> {
    let target = result_shape(b, inputs)?;
    let (mut operands, mut reads): (Vec<ValueId>, Vec<Inst>) = (Vec::new(), Vec::new());
    for &v in inputs {
        let read = match uniform(b.graph(), v) {
            Some(c) => Inst::Const(c),
            None => Inst::Input(place(&mut operands, unbroadcast(b.graph(), v))),
        };
        reads.push(read);
    }
    let lost = operands.is_empty() || result_shape(b, &operands)? != target;
    if lost {
        // A broadcast or a constant decided the shape: it stays.
        operands.clear();
        let stays = inputs.iter().map(|&v| Inst::Input(place(&mut operands, v)));
        reads = stays.collect();
    }
    let types: Vec<_> = operands.iter().map(|v| b.dtype(*v)).collect();
    let mut algebra = Algebra { e: MapExpr::over(&types), graph: b.graph(), operands: &operands };
    let result = algebra.copy(e, &reads)?;
    let e = algebra.e.finish(result);
    if let Some(Inst::Const(c)) = e.insts().last() {
        let one = b.tensor(Tensor::filled(*c, &vec![1; target.rank()]));
        return b.broadcast(one, &target);
    }
    let (e, operands) = read_operands(b, e, operands, &target)?;
    if let [Inst::Input(i)] = e.insts()
        && let Some(v) = operands.get(*i)
    {
        return if *b.shape(*v) == target { Ok(*v) } else { b.one(Op::Broadcast(target), &[*v]) };
    }
    b.one(Op::Map(e), &operands)
}

/// The position of `v` in the list, appended if it is not there.
fn place(list: &mut Vec<ValueId>, v: ValueId) -> usize {
    list.iter().position(|w| *w == v).unwrap_or_else(|| {
        list.push(v);
        list.len() - 1
    })
}

fn result_shape(b: &Builder, operands: &[ValueId]) -> Result<Shape, Invalid> {
    let mut shapes = operands.iter().map(|v| b.shape(*v));
    let first = shapes.next().ok_or_else(|| Invalid::new("a map without operands"))?.clone();
    shapes.try_fold(first, |s, t| s.broadcast(t))
}

/// What a broadcast repeats: a map repeats its operands itself.
fn unbroadcast(g: &Graph, v: ValueId) -> ValueId {
    match g.producer(v) {
        Some(Node { op: Op::Broadcast(_), inputs, .. }) => unbroadcast(g, inputs[0]),
        _ => v,
    }
}

/// Numbers the operands in the order in which they are read, and drops those that are not, where the result
/// keeps its shape without them.
fn read_operands(
    b: &Builder,
    e: MapExpr,
    operands: Vec<ValueId>,
    target: &Shape,
) -> Result<(MapExpr, Vec<ValueId>), Invalid> {
    let mut order = Vec::new();
    for inst in e.insts() {
        if let Inst::Input(i) = inst
            && !order.contains(i)
        {
            order.push(*i);
        }
    }
    let mut read: Vec<_> = order.iter().map(|&i| operands[i]).collect();
    if read.is_empty() || result_shape(b, &read)? != *target {
        let unread: Vec<_> = (0..operands.len()).filter(|i| !order.contains(i)).collect();
        order.extend(unread);
        read = order.iter().map(|&i| operands[i]).collect();
    }
    let to: Vec<_> = (0..operands.len()).map(|i| order.iter().position(|&k| k == i)).collect();
    let types: Vec<_> = read.iter().map(|v| b.dtype(*v)).collect();
    Ok((e.select_inputs(&to, &types)?, read))
}

/// An expression that is built instruction by instruction, each in its simplest form.
struct Algebra<'g> {
    e: MapExpr,
    graph: &'g Graph,
    operands: &'g [ValueId],
}

impl Algebra<'_> {
    /// Appends an expression whose operand i is read as `reads[i]`.
    fn copy(&mut self, e: &MapExpr, reads: &[Inst]) -> Result<Reg, Invalid> {
        let mut regs: Vec<Reg> = Vec::with_capacity(e.insts().len());
        for inst in e.insts() {
            let inst = match inst {
                Inst::Input(i) => {
                    reads.get(*i).copied().ok_or_else(|| Invalid::new("an operand is missing"))?
                }
                other => other.map_operands(|r| regs[r]),
            };
            regs.push(self.push(inst)?);
        }
        regs.last().copied().ok_or_else(|| Invalid::new("an empty map"))
    }

    fn inst(&self, r: Reg) -> Inst {
        self.e.insts()[r]
    }

    fn dtype(&self, r: Reg) -> DType {
        self.e.reg_type(r).unwrap_or(DType::F32)
    }

    fn constant(&self, r: Reg) -> Option<Scalar> {
        match self.inst(r) {
            Inst::Const(s) => Some(s),
            _ => None,
        }
    }

    /// Whether a register is that number everywhere.
    fn is(&self, r: Reg, x: f64) -> bool {
        self.constant(r).is_some_and(|s| s.to_f64() == x)
    }

    fn number(&mut self, dtype: DType, x: f64) -> Result<Reg, Invalid> {
        self.e.push(Inst::Const(Scalar::from_f64(dtype, x)))
    }

    fn push(&mut self, inst: Inst) -> Result<Reg, Invalid> {
        let simpler = match inst {
            Inst::Unary(op, a) => self.unary(op, a)?,
            Inst::Binary(op, a, b) => self.binary(op, a, b)?,
            Inst::MulAdd(a, b, c) if self.is(b, 1.0) => Some(self.push(Inst::Binary(Binary::Add, a, c))?),
            Inst::MulAdd(a, b, c) if self.is(a, 1.0) => Some(self.push(Inst::Binary(Binary::Add, b, c))?),
            Inst::MulAdd(a, b, c) if self.is(c, 0.0) => Some(self.push(Inst::Binary(Binary::Mul, a, b))?),
            Inst::Select(_, a, b) if a == b => Some(a),
            Inst::Select(c, a, b) => self.constant(c).map(|c| if c.bits != 0 { a } else { b }),
            Inst::Cast(to, a) => self.cast(to, a)?,
            _ => None,
        };
        match simpler {
            Some(r) => Ok(r),
            None => self.e.push(inst),
        }
    }

    fn unary(&mut self, op: Unary, a: Reg) -> Result<Option<Reg>, Invalid> {
        if let Some(x) = self.constant(a) {
            return self.e.push(Inst::Const(unary(op, x))).map(Some);
        }
        Ok(match (op, self.inst(a)) {
            (Unary::Neg, Inst::Unary(Unary::Neg, x)) => Some(x),
            (Unary::Neg, Inst::Binary(Binary::Sub, x, y)) if self.dtype(a).is_float() => {
                // Equal numbers give +0 either way round but for the sign, which no comparison sees.
                Some(self.push(Inst::Binary(Binary::Sub, y, x))?)
            }
            (Unary::Not, Inst::Unary(Unary::Not, x)) => Some(x),
            (Unary::Not, Inst::Binary(Binary::Eq, x, y)) => {
                Some(self.e.push(Inst::Binary(Binary::Ne, x, y))?)
            }
            (Unary::Not, Inst::Binary(Binary::Ne, x, y)) => {
                Some(self.e.push(Inst::Binary(Binary::Eq, x, y))?)
            }
            (
                Unary::Relu | Unary::Abs,
                Inst::Unary(Unary::Relu | Unary::Abs | Unary::Sigmoid | Unary::Exp, _),
            ) => Some(a),
            (
                Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc,
                Inst::Unary(Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc, _),
            ) => Some(a),
            (Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc, _)
                if self.dtype(a) == DType::F32 && self.whole(a).is_some_and(Whole::is_exact) =>
            {
                Some(a)
            }
            (Unary::Round, Inst::Binary(Binary::Div, x, s)) => match self.inst(x) {
                // What was a whole number is one again.
                Inst::Binary(Binary::Mul, y, t)
                    if s == t && self.whole(x).is_some_and(|w| w.scale != 1.0) =>
                {
                    Some(y)
                }
                _ => None,
            },
            (Unary::Round, Inst::Binary(Binary::Mul, x, c)) => self.steps_of(x, c)?,
            _ => None,
        })
    }

    /// `round(x / (1 / c))` for a power of two: how quantising by any other scale is written.
    fn steps_of(&mut self, x: Reg, c: Reg) -> Result<Option<Reg>, Invalid> {
        let Some(c) = self.constant(c).filter(|c| c.dtype == DType::F32) else { return Ok(None) };
        let scale = Scalar::f32((1.0 / c.to_f64()) as f32);
        if !is_power_of_two(c.to_f64()) || !is_power_of_two(scale.to_f64()) || c.to_f64() <= 0.0 {
            return Ok(None);
        }
        let scale = self.e.push(Inst::Const(scale))?;
        let quotient = self.e.push(Inst::Binary(Binary::Div, x, scale))?;
        self.e.push(Inst::Unary(Unary::Round, quotient)).map(Some)
    }

    fn binary(&mut self, op: Binary, a: Reg, b: Reg) -> Result<Option<Reg>, Invalid> {
        if let (Some(x), Some(y)) = (self.constant(a), self.constant(b)) {
            return self.e.push(Inst::Const(binary(op, x, y))).map(Some);
        }
        if op.commutes() && self.constant(a).is_some() {
            // Constants stand on the right.
            return self.push(Inst::Binary(op, b, a)).map(Some);
        }
        let dtype = self.dtype(a);
        match op {
            Binary::Add if self.is(b, 0.0) => return Ok(Some(a)),
            Binary::Sub if self.is(b, 0.0) => return Ok(Some(a)),
            Binary::Mul | Binary::Div if self.is(b, 1.0) => return Ok(Some(a)),
            Binary::Or if dtype == DType::Bool && self.is(b, 0.0) => return Ok(Some(a)),
            Binary::And if dtype == DType::Bool && self.is(b, 1.0) => return Ok(Some(a)),
            _ => {}
        }
        if let Binary::And | Binary::Or | Binary::Min | Binary::Max = op
            && a == b
        {
            return Ok(Some(a));
        }
        if !dtype.is_float() {
            return self.integer_power(op, a, b);
        }
        if let Some(r) =
            self.shifted_back(op, a, b).map_or_else(|| self.opposite(op, a, b), |r| Ok(Some(r)))?
        {
            return Ok(Some(r));
        }
        match (op, self.constant(b)) {
            (Binary::Mul, Some(c)) if c.to_f64() == -1.0 => self.push(Inst::Unary(Unary::Neg, a)).map(Some),
            (Binary::Sub, Some(c)) => {
                // One form of an offset: x - c is x + (-c) for every c.
                let negative = self.e.push(Inst::Const(unary(Unary::Neg, c)))?;
                self.push(Inst::Binary(Binary::Add, a, negative)).map(Some)
            }
            (Binary::Div, Some(c)) => {
                let inverse = Scalar::from_f64(dtype, 1.0 / c.to_f64());
                let exact = is_power_of_two(c.to_f64()) && inverse.to_f64() * c.to_f64() == 1.0;
                if !exact {
                    return Ok(None);
                }
                let inverse = self.e.push(Inst::Const(inverse))?;
                self.push(Inst::Binary(Binary::Mul, a, inverse)).map(Some)
            }
            (Binary::Mul, Some(c)) if self.scaled_back(a, c).is_some() => Ok(self.scaled_back(a, c)),
            (Binary::Mul, Some(c)) => self.scaled_twice(a, c),
            (Binary::Add, Some(c)) => self.added_twice(a, c),
            (Binary::Max, Some(c)) if c.to_f64() == 0.0 => self.push(Inst::Unary(Unary::Relu, a)).map(Some),
            (Binary::Pow, Some(c)) => self.power(a, c.to_f64()),
            (Binary::Mul, None) if self.inst(b) == Inst::Unary(Unary::Sigmoid, a) => {
                self.push(Inst::Unary(Unary::Silu, a)).map(Some)
            }
            (Binary::Mul, None) if self.inst(a) == Inst::Unary(Unary::Sigmoid, b) => {
                self.push(Inst::Unary(Unary::Silu, b)).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Sums and differences with `-x`.
    fn opposite(&mut self, op: Binary, a: Reg, b: Reg) -> Result<Option<Reg>, Invalid> {
        let of = |r: Reg| match self.inst(r) {
            Inst::Unary(Unary::Neg, x) => Some(x),
            _ => None,
        };
        let inst = match (op, of(a), of(b)) {
            (Binary::Add, _, Some(y)) => Inst::Binary(Binary::Sub, a, y),
            (Binary::Add, Some(x), None) => match self.constant(b) {
                Some(_) => return Ok(None),
                None => Inst::Binary(Binary::Sub, b, x),
            },
            (Binary::Sub, _, Some(y)) => Inst::Binary(Binary::Add, a, y),
            (Binary::Mul | Binary::Div, Some(x), Some(y)) => Inst::Binary(op, x, y),
            (Binary::Mul | Binary::Div, Some(x), None) => match self.constant(b) {
                Some(c) => {
                    let negative = self.e.push(Inst::Const(unary(Unary::Neg, c)))?;
                    Inst::Binary(op, x, negative)
                }
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        self.push(inst).map(Some)
    }

    /// `(x * c) * d` where `c * d` neither overflows nor loses bits to underflow.
    fn scaled_twice(&mut self, a: Reg, d: Scalar) -> Result<Option<Reg>, Invalid> {
        let Inst::Binary(Binary::Mul, x, c) = self.inst(a) else { return Ok(None) };
        let Some(c) = self.constant(c) else { return Ok(None) };
        let product = c.to_f64() * d.to_f64();
        if !matches!(d.dtype, DType::F32 | DType::F64) || !(1e-30..1e30).contains(&product.abs()) {
            return Ok(None);
        }
        let product = self.number(d.dtype, product)?;
        self.push(Inst::Binary(Binary::Mul, x, product)).map(Some)
    }

    /// `x^n` for the n that multiplications or a root say.
    fn power(&mut self, x: Reg, n: f64) -> Result<Option<Reg>, Invalid> {
        let square = |s: &mut Self, x: Reg| s.push(Inst::Binary(Binary::Mul, x, x));
        if n == 1.0 {
            Ok(Some(x))
        } else if n == 2.0 {
            square(self, x).map(Some)
        } else if n == 3.0 {
            let s = square(self, x)?;
            self.push(Inst::Binary(Binary::Mul, s, x)).map(Some)
        } else if n == 4.0 {
            let s = square(self, x)?;
            square(self, s).map(Some)
        } else if n == -1.0 {
            self.push(Inst::Unary(Unary::Reciprocal, x)).map(Some)
        } else if n == 0.5 && self.not_negative(x) {
            // pow(-inf, 0.5) is inf and the root NaN, so the sign has to be known.
            self.push(Inst::Unary(Unary::Sqrt, x)).map(Some)
        } else {
            Ok(None)
        }
    }

    fn integer_power(&mut self, op: Binary, x: Reg, n: Reg) -> Result<Option<Reg>, Invalid> {
        match self.constant(n) {
            Some(c) if op == Binary::Pow && matches!(c.to_f64(), 1.0 | 2.0 | 3.0 | 4.0) => {
                self.power(x, c.to_f64())
            }
            _ => Ok(None),
        }
    }

    fn cast(&mut self, to: DType, a: Reg) -> Result<Option<Reg>, Invalid> {
        if self.dtype(a) == to {
            return Ok(Some(a));
        }
        if to == DType::F32
            && matches!(self.dtype(a), DType::I32 | DType::I64)
            && !matches!(self.inst(a), Inst::Input(_))
            && let Some(r) = self.as_float(a)?
        {
            return Ok(Some(r));
        }
        let Inst::Cast(between, x) = self.inst(a) else { return Ok(None) };
        let from = self.dtype(x);
        if from == to && from == DType::F32 && self.whole(x).is_some_and(|w| w.is_exact() && fits(w, between))
        {
            // There and back.
            return Ok(Some(x));
        }
        if !holds(between, from) {
            return Ok(None);
        }
        // What the middle type holds exactly is converted from the first type directly.
        if from == to { Ok(Some(x)) } else { self.e.push(Inst::Cast(to, x)).map(Some) }
    }

    /// What is known to be whole numbers.
    fn whole(&self, r: Reg) -> Option<Whole> {
        integral::of_register(&self.e, r, &|i| {
            self.operands.get(i).and_then(|v| integral::of_value(self.graph, *v))
        })
    }

    /// The same numbers as an expression of integers has, computed in `f32`, where that is exact.
    fn as_float(&mut self, a: Reg) -> Result<Option<Reg>, Invalid> {
        if !self.whole(a).is_some_and(Whole::is_exact) {
            return Ok(None);
        }
        match self.inst(a) {
            Inst::Const(c) => self.number(DType::F32, c.to_f64()).map(Some),
            Inst::Cast(_, x) => match self.dtype(x) {
                DType::F32 => Ok(self.whole(x).filter(|w| w.is_exact()).map(|_| x)),
                DType::I32 | DType::I64 => self.as_float(x),
                t if t.is_int() && t.size() <= 2 => self.push(Inst::Cast(DType::F32, x)).map(Some),
                _ => Ok(None),
            },
            Inst::Binary(op @ (Binary::Add | Binary::Sub | Binary::Max | Binary::Min), x, y) => {
                let (Some(x), Some(y)) = (self.as_float(x)?, self.as_float(y)?) else { return Ok(None) };
                self.push(Inst::Binary(op, x, y)).map(Some)
            }
            Inst::Input(_) => self.e.push(Inst::Cast(DType::F32, a)).map(Some),
            _ => Ok(None),
        }
    }

    /// `x + c + d` of whole numbers, all of them exact.
    fn added_twice(&mut self, a: Reg, d: Scalar) -> Result<Option<Reg>, Invalid> {
        let Inst::Binary(Binary::Add, x, c) = self.inst(a) else { return Ok(None) };
        let Some(c) = self.constant(c) else { return Ok(None) };
        let sum = c.to_f64() + d.to_f64();
        let exact = |r: Reg| self.whole(r).is_some_and(Whole::is_exact);
        let whole = |x: f64| x.fract() == 0.0 && x.abs() <= integral::EXACT;
        if d.dtype != DType::F32 || !whole(d.to_f64()) || !exact(a) || !exact(x) || !whole(sum) {
            return Ok(None);
        }
        let sum = self.number(d.dtype, sum)?;
        self.push(Inst::Binary(Binary::Add, x, sum)).map(Some)
    }

    /// `(saturate(round(x / s) + z) - z) * s` where x is a whole number times s, which is still within the type: what was
    /// quantised and only moved since, as a quantised model has it around each of its operations.
    fn scaled_back(&self, a: Reg, s: Scalar) -> Option<Reg> {
        let shifted = |r: Reg| match self.inst(r) {
            Inst::Binary(Binary::Add, a, b) => self.number_of(b).map(|z| (a, z)),
            Inst::Binary(Binary::Sub, a, b) => self.number_of(b).map(|z| (a, -z)),
            _ => None,
        };
        let (steps, back) = shifted(a).unwrap_or((a, 0.0));
        let (steps, to) = match self.inst(steps) {
            Inst::Cast(DType::F32, stored) => match self.inst(stored) {
                Inst::Cast(to, steps) => (steps, Some(to)),
                _ => return None,
            },
            _ => (steps, None),
        };
        let (rounded, zero) = shifted(steps).unwrap_or((steps, 0.0));
        let Inst::Unary(Unary::Round, quotient) = self.inst(rounded) else { return None };
        let Inst::Binary(Binary::Div, x, divisor) = self.inst(quotient) else { return None };
        let same = self.constant(divisor) == Some(s) && s.dtype == DType::F32;
        let w = self.whole(x).filter(|w| same && w.scale == s.to_f64() && w.scale != 1.0)?;
        let stored = Whole { lo: w.lo + zero, hi: w.hi + zero, scale: 1.0 };
        let holds = stored.is_exact() && to.is_none_or(|to| fits(stored, to));
        (holds && zero == -back && zero.fract() == 0.0).then_some(x)
    }

    /// `x + z - z` and `x - z + z` of whole numbers, all of them exact.
    fn shifted_back(&self, op: Binary, a: Reg, z: Reg) -> Option<Reg> {
        let (x, added) = match (op, self.inst(a)) {
            (Binary::Sub, Inst::Binary(Binary::Add, x, added))
            | (Binary::Add, Inst::Binary(Binary::Sub, x, added)) => (x, added),
            _ => return None,
        };
        let same = added == z || self.number_of(z).is_some() && self.number_of(z) == self.number_of(added);
        let exact = |r: Reg| self.whole(r).is_some_and(Whole::is_exact);
        (same && self.dtype(a) == DType::F32 && exact(x) && exact(a)).then_some(x)
    }

    /// The number that a register is everywhere.
    fn number_of(&self, r: Reg) -> Option<f64> {
        match self.inst(r) {
            Inst::Cast(DType::F32, stored) => self.constant(stored).map(Scalar::to_f64),
            _ => self.constant(r).map(Scalar::to_f64),
        }
    }

    fn not_negative(&self, r: Reg) -> bool {
        not_negative(&self.e, r, &|i| {
            self.operands.get(i).is_some_and(|v| value_not_negative(self.graph, *v, DEPTH))
        })
    }
}

/// Whether every value of type `inner` is a value of type `outer`.
fn holds(outer: DType, inner: DType) -> bool {
    use DType::*;
    match (inner, outer) {
        (Bool, _) => true,
        (F16 | BF16, F32 | F64) | (F32, F64) => true,
        (I8 | U8, F16 | F32 | F64) | (I16 | U16, F32 | F64) | (I32 | U32, F64) => true,
        (i, o) if i.is_int() && o.is_int() => {
            o.size() > i.size() && (o.is_signed_int() || !i.is_signed_int())
        }
        _ => false,
    }
}

/// Whether a type holds all of some whole numbers.
fn fits(w: Whole, dtype: DType) -> bool {
    let (lo, hi) = match dtype {
        DType::I8 => (-128.0, 127.0),
        DType::U8 => (0.0, 255.0),
        DType::I16 => (-32768.0, 32767.0),
        DType::U16 => (0.0, 65535.0),
        DType::I32 | DType::I64 => (-integral::EXACT, integral::EXACT),
        _ => return false,
    };
    lo <= w.lo && w.hi <= hi
}

fn is_power_of_two(x: f64) -> bool {
    x.is_normal() && x.to_bits() & ((1 << 52) - 1) == 0
}

/// Whether a register is never below zero (it may be NaN), given which operands are not.
fn not_negative(e: &MapExpr, r: Reg, operand: &impl Fn(usize) -> bool) -> bool {
    let all = |list: &[Reg]| list.iter().all(|r| not_negative(e, *r, operand));
    match e.insts()[r] {
        Inst::Input(i) => operand(i),
        Inst::Const(c) => c.to_f64() > 0.0,
        Inst::Iota(_) => true,
        Inst::Unary(op, a) => match op {
            Unary::Abs | Unary::Exp | Unary::Relu | Unary::Sigmoid | Unary::Softplus => true,
            Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => all(&[a]),
            _ => false,
        },
        Inst::Binary(Binary::Mul, a, b) => a == b || all(&[a, b]),
        Inst::Binary(Binary::Add | Binary::Div | Binary::Min, a, b) => all(&[a, b]),
        Inst::Binary(Binary::Max, a, b) => all(&[a]) || all(&[b]),
        Inst::MulAdd(a, b, c) => all(&[c]) && (a == b || all(&[a, b])),
        Inst::Select(_, a, b) => all(&[a, b]),
        _ => false,
    }
}

/// Whether no element of a value is below zero, as far as that is easily seen.
fn value_not_negative(g: &Graph, v: ValueId, depth: usize) -> bool {
    let Some(node) = g.producer(v) else { return false };
    let first = || depth > 0 && node.inputs.first().is_some_and(|v| value_not_negative(g, *v, depth - 1));
    match &node.op {
        Op::Const(t) => t.dtype().is_float() && t.to_f64s().iter().all(|x| *x > 0.0),
        Op::Map(e) => {
            depth > 0
                && not_negative(e, e.insts().len() - 1, &|i| value_not_negative(g, node.inputs[i], depth - 1))
        }
        Op::Reduce(ReduceKind::SumSquare | ReduceKind::L1 | ReduceKind::L2, _) => true,
        Op::Reduce(
            ReduceKind::Sum | ReduceKind::Mean | ReduceKind::Max | ReduceKind::Min | ReduceKind::Prod,
            _,
        ) => first(),
        Op::Rows(RowKind::Softmax) => true,
        op if op.is_view() || matches!(op, Op::Cut { .. }) => first(),
        _ => false,
    }
}
