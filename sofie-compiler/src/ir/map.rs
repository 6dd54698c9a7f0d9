//! The expression of an elementwise map: typed, in SSA form, over the map's operands.

use super::Invalid;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use sofie_infer_runtime::{Act, DType};
use std::fmt;

/// The index of the instruction that makes a value.
pub type Reg = usize;

/// One step of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inst {
    /// The map's operand of that index.
    Input(usize),
    /// The same constant everywhere.
    Const(Scalar),
    /// The index along an axis of the result, as `i64`.
    Iota(usize),
    /// An operation on one value.
    Unary(Unary, Reg),
    /// An operation on two values of one type.
    Binary(Binary, Reg, Reg),
    /// `a * b + c` with one rounding.
    MulAdd(Reg, Reg, Reg),
    /// The second where the first (bool) holds, else the third.
    Select(Reg, Reg, Reg),
    /// Conversion: floats to integers truncate and saturate (NaN gives 0), to bool is `x != 0`.
    Cast(DType, Reg),
}

impl Inst {
    /// The registers that it reads.
    pub fn operands(&self) -> impl Iterator<Item = Reg> + use<> {
        let (a, b, c) = match *self {
            Inst::Input(_) | Inst::Const(_) | Inst::Iota(_) => (None, None, None),
            Inst::Unary(_, a) | Inst::Cast(_, a) => (Some(a), None, None),
            Inst::Binary(_, a, b) => (Some(a), Some(b), None),
            Inst::MulAdd(a, b, c) | Inst::Select(a, b, c) => (Some(a), Some(b), Some(c)),
        };
        [a, b, c].into_iter().flatten()
    }

    /// The same instruction with every register `r` replaced by `f(r)`.
    pub fn map_operands(self, mut f: impl FnMut(Reg) -> Reg) -> Inst {
        match self {
            Inst::Input(_) | Inst::Const(_) | Inst::Iota(_) => self,
            Inst::Unary(op, a) => Inst::Unary(op, f(a)),
            Inst::Cast(t, a) => Inst::Cast(t, f(a)),
            Inst::Binary(op, a, b) => Inst::Binary(op, f(a), f(b)),
            Inst::MulAdd(a, b, c) => Inst::MulAdd(f(a), f(b), f(c)),
            Inst::Select(a, b, c) => Inst::Select(f(a), f(b), f(c)),
        }
    }
}

/// An expression: instructions in order, the last one the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MapExpr {
    insts: Vec<Inst>,
    types: Vec<DType>,
    inputs: Vec<DType>,
}

impl MapExpr {
    /// An empty expression over operands of the given types; instructions are pushed next.
    pub fn over(inputs: &[DType]) -> MapExpr {
        MapExpr { inputs: inputs.to_vec(), ..MapExpr::default() }
    }

    /// `op(x)`.
    pub fn unary(op: Unary, x: DType) -> Result<MapExpr, Invalid> {
        let mut e = MapExpr::over(&[x]);
        let a = e.push(Inst::Input(0))?;
        e.push(Inst::Unary(op, a))?;
        Ok(e)
    }

    /// `op(x, y)`.
    pub fn binary(op: Binary, t: DType) -> Result<MapExpr, Invalid> {
        let mut e = MapExpr::over(&[t, t]);
        let (a, b) = (e.push(Inst::Input(0))?, e.push(Inst::Input(1))?);
        e.push(Inst::Binary(op, a, b))?;
        Ok(e)
    }

    /// `x as to`.
    pub fn cast(from: DType, to: DType) -> Result<MapExpr, Invalid> {
        let mut e = MapExpr::over(&[from]);
        let a = e.push(Inst::Input(0))?;
        e.push(Inst::Cast(to, a))?;
        Ok(e)
    }

    /// Appends an instruction (or finds the same one) and gives its register.
    pub fn push(&mut self, inst: Inst) -> Result<Reg, Invalid> {
        let ty = self.type_of(inst)?;
        if let Some(r) = self.insts.iter().position(|i| *i == inst) {
            return Ok(r);
        }
        self.insts.push(inst);
        self.types.push(ty);
        Ok(self.insts.len() - 1)
    }

    /// Makes register `r` the result: cuts what stands behind it, and appends a copy-free end if needed.
    pub fn finish(mut self, r: Reg) -> MapExpr {
        let mut keep = vec![false; self.insts.len()];
        if let Some(k) = keep.get_mut(r) {
            *k = true;
        }
        for i in (0..self.insts.len()).rev().filter(|&i| i <= r) {
            if keep[i] {
                self.insts[i].operands().for_each(|o| keep[o] = true);
            }
        }
        let mut new = vec![0; self.insts.len()];
        let (mut insts, mut types) = (Vec::new(), Vec::new());
        for (i, inst) in self.insts.iter().enumerate().filter(|(i, _)| keep[*i]) {
            new[i] = insts.len();
            insts.push(inst.map_operands(|o| new[o]));
            types.push(self.types[i]);
        }
        (self.insts, self.types) = (insts, types);
        self
    }

    fn type_of(&self, inst: Inst) -> Result<DType, Invalid> {
        let ty = |r: Reg| {
            self.types.get(r).copied().ok_or_else(|| Invalid::new(format!("register {r} is not defined")))
        };
        let wrong = |t: DType| Err(Invalid::new(format!("{inst:?} does not apply to {t}")));
        match inst {
            Inst::Input(i) => {
                self.inputs.get(i).copied().ok_or_else(|| Invalid::new(format!("a map has no operand {i}")))
            }
            Inst::Const(s) => Ok(s.dtype),
            Inst::Iota(_) => Ok(DType::I64),
            Inst::Cast(to, a) => ty(a).map(|_| to),
            Inst::Unary(op, a) => {
                let t = ty(a)?;
                let fits = match op {
                    Unary::Not => t == DType::Bool,
                    Unary::BitNot => t.is_int(),
                    Unary::Neg | Unary::Abs | Unary::Sign | Unary::Relu => t != DType::Bool,
                    Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => t.is_float(),
                    _ => t.is_float(),
                };
                if !fits {
                    return wrong(t);
                }
                Ok(if op.is_predicate() { DType::Bool } else { t })
            }
            Inst::Binary(op, a, b) => {
                let (t, u) = (ty(a)?, ty(b)?);
                let fits = match op {
                    Binary::And | Binary::Or | Binary::Xor => !t.is_float(),
                    Binary::Shl | Binary::Shr => t.is_int(),
                    Binary::Eq | Binary::Ne => true,
                    _ => t != DType::Bool,
                };
                if t != u {
                    return Err(Invalid::new(format!("{op:?} of {t} and {u}: the types differ")));
                }
                if !fits {
                    return wrong(t);
                }
                Ok(if op.is_comparison() { DType::Bool } else { t })
            }
            Inst::MulAdd(a, b, c) => {
                let t = ty(a)?;
                if ty(b)? != t || ty(c)? != t || !t.is_float() { wrong(t) } else { Ok(t) }
            }
            Inst::Select(c, a, b) => {
                if ty(c)? != DType::Bool || ty(a)? != ty(b)? {
                    return Err(Invalid::new("select needs a bool and two values of one type"));
                }
                ty(a)
            }
        }
    }

    /// Appends an activation of register `x`, of type `t`.
    pub fn activation(&mut self, act: Act, x: Reg, t: DType) -> Result<Reg, Invalid> {
        let constant = |e: &mut MapExpr, v: f32| e.push(Inst::Const(Scalar::from_f64(t, f64::from(v))));
        let unary = |e: &mut MapExpr, op: Unary| e.push(Inst::Unary(op, x));
        match act {
            Act::None => Ok(x),
            Act::Relu => unary(self, Unary::Relu),
            Act::Sigmoid => unary(self, Unary::Sigmoid),
            Act::Tanh => unary(self, Unary::Tanh),
            Act::Silu => unary(self, Unary::Silu),
            Act::GeluErf => unary(self, Unary::GeluErf),
            Act::GeluTanh => unary(self, Unary::GeluTanh),
            Act::Softplus => unary(self, Unary::Softplus),
            Act::Softsign => {
                let (one, size) = (constant(self, 1.0)?, unary(self, Unary::Abs)?);
                let below = self.push(Inst::Binary(Binary::Add, size, one))?;
                self.push(Inst::Binary(Binary::Div, x, below))
            }
            Act::ThresholdedRelu { alpha } => {
                let (alpha, zero) = (constant(self, alpha)?, constant(self, 0.0)?);
                let above = self.push(Inst::Binary(Binary::Gt, x, alpha))?;
                self.push(Inst::Select(above, x, zero))
            }
            Act::ScaledTanh { alpha, beta } => {
                let (alpha, beta) = (constant(self, alpha)?, constant(self, beta)?);
                let scaled = self.push(Inst::Binary(Binary::Mul, x, beta))?;
                let y = self.push(Inst::Unary(Unary::Tanh, scaled))?;
                self.push(Inst::Binary(Binary::Mul, y, alpha))
            }
            Act::Affine { alpha, beta } => {
                let (alpha, beta) = (constant(self, alpha)?, constant(self, beta)?);
                self.push(Inst::MulAdd(x, alpha, beta))
            }
            Act::FakeQuantize { scale, zero, to } => {
                let (scale, zero) = (constant(self, scale)?, constant(self, zero)?);
                let quotient = self.push(Inst::Binary(Binary::Div, x, scale))?;
                let rounded = self.push(Inst::Unary(Unary::Round, quotient))?;
                let steps = self.push(Inst::Binary(Binary::Add, rounded, zero))?;
                let stored = self.push(Inst::Cast(to, steps))?;
                let steps = self.push(Inst::Cast(t, stored))?;
                let from_zero = self.push(Inst::Binary(Binary::Sub, steps, zero))?;
                self.push(Inst::Binary(Binary::Mul, from_zero, scale))
            }
            Act::HardSigmoid { alpha, beta } => {
                let y = self.activation(Act::Affine { alpha, beta }, x, t)?;
                self.activation(Act::Clip { lo: 0.0, hi: 1.0 }, y, t)
            }
            Act::HardSwish { alpha, beta } => {
                let y = self.activation(Act::HardSigmoid { alpha, beta }, x, t)?;
                self.push(Inst::Binary(Binary::Mul, x, y))
            }
            Act::LeakyRelu { alpha } | Act::Elu { alpha } => {
                let zero = constant(self, 0.0)?;
                let negative = self.push(Inst::Binary(Binary::Lt, x, zero))?;
                let below = if matches!(act, Act::Elu { .. }) { unary(self, Unary::Expm1)? } else { x };
                let alpha = constant(self, alpha)?;
                let scaled = self.push(Inst::Binary(Binary::Mul, below, alpha))?;
                self.push(Inst::Select(negative, scaled, x))
            }
            Act::Clip { lo, hi } => {
                let (lo, hi) = (constant(self, lo)?, constant(self, hi)?);
                let above = self.push(Inst::Binary(Binary::Max, x, lo))?;
                self.push(Inst::Binary(Binary::Min, above, hi))
            }
        }
    }

    /// The instructions.
    pub fn insts(&self) -> &[Inst] {
        &self.insts
    }

    /// The type of a register.
    pub fn reg_type(&self, r: Reg) -> Option<DType> {
        self.types.get(r).copied()
    }

    /// The types of the operands.
    pub fn inputs(&self) -> &[DType] {
        &self.inputs
    }

    /// The type of the result.
    pub fn dtype(&self) -> Option<DType> {
        self.types.last().copied()
    }

    /// `self` with operand `at` replaced by `inner`, whose operands are appended behind those of `self`
    /// (operand `at` itself stays in the list, unread, until the caller drops it with [`MapExpr::select_inputs`]).
    pub fn compose(&self, at: usize, inner: &MapExpr) -> Result<MapExpr, Invalid> {
        let mut inputs = self.inputs.clone();
        inputs.extend(&inner.inputs);
        let mut e = MapExpr::over(&inputs);
        let shift = |inst: Inst| match inst {
            Inst::Input(i) => Inst::Input(i + self.inputs.len()),
            other => other,
        };
        let inner_result = e.append(inner, shift)?;
        let mut regs = Vec::with_capacity(self.insts.len());
        for inst in &self.insts {
            regs.push(match inst {
                Inst::Input(i) if *i == at => inner_result,
                other => e.push(other.map_operands(|r| regs[r]))?,
            });
        }
        let last = regs.last().copied().ok_or_else(|| Invalid::new("an empty map"))?;
        Ok(e.finish(last))
    }

    /// Appends all of `other`, its instructions changed by `f` before their registers are renumbered.
    fn append(&mut self, other: &MapExpr, f: impl Fn(Inst) -> Inst) -> Result<Reg, Invalid> {
        let mut regs: Vec<Reg> = Vec::with_capacity(other.insts.len());
        for inst in &other.insts {
            let r = self.push(f(*inst).map_operands(|r| regs[r]))?;
            regs.push(r);
        }
        regs.last().copied().ok_or_else(|| Invalid::new("an empty map"))
    }

    /// The same expression over the operands `from[0], from[1], …` of a new list: operand `i` is read as
    /// the first `j` with `from[j] == i`... every operand that is read must have a place in `to`, where
    /// `to[i]` is the new index of operand `i`.
    pub fn select_inputs(&self, to: &[Option<usize>], inputs: &[DType]) -> Result<MapExpr, Invalid> {
        let mut e = MapExpr::over(inputs);
        let mut regs: Vec<Reg> = Vec::with_capacity(self.insts.len());
        for inst in &self.insts {
            let r = match inst {
                Inst::Input(i) => {
                    let j = to.get(*i).copied().flatten();
                    e.push(Inst::Input(
                        j.ok_or_else(|| Invalid::new(format!("operand {i} of a map was dropped")))?,
                    ))?
                }
                other => e.push(other.map_operands(|r| regs[r]))?,
            };
            regs.push(r);
        }
        let last = regs.last().copied().ok_or_else(|| Invalid::new("an empty map"))?;
        Ok(e.finish(last))
    }

    /// Whether an element of the result depends on where it is.
    pub fn is_placed(&self) -> bool {
        self.insts.iter().any(|inst| matches!(inst, Inst::Iota(_)))
    }

    /// Whether operand `i` is read.
    pub fn reads(&self, i: usize) -> bool {
        self.insts.contains(&Inst::Input(i))
    }
}

impl fmt::Display for MapExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.insts.len() {
            0 => f.write_str("?"),
            n => self.write(f, n - 1),
        }
    }
}

impl MapExpr {
    fn write(&self, f: &mut fmt::Formatter<'_>, r: Reg) -> fmt::Result {
        let call = |f: &mut fmt::Formatter<'_>, name: &str, args: &[Reg]| {
            write!(f, "{name}(")?;
            for (i, a) in args.iter().enumerate() {
                if i > 0 {
                    f.write_str(", ")?;
                }
                self.write(f, *a)?;
            }
            f.write_str(")")
        };
        match self.insts[r] {
            Inst::Input(i) => write!(f, "x{i}"),
            Inst::Const(s) if s.dtype.is_int() || s.dtype == DType::Bool => write!(f, "{}", s.to_f64()),
            Inst::Const(s) => write!(f, "{:?}", s.to_f64() as f32),
            Inst::Iota(axis) => write!(f, "iota{axis}"),
            Inst::Unary(op, a) => call(f, &format!("{op:?}").to_lowercase(), &[a]),
            Inst::Binary(op, a, b) => call(f, &format!("{op:?}").to_lowercase(), &[a, b]),
            Inst::MulAdd(a, b, c) => call(f, "fma", &[a, b, c]),
            Inst::Select(a, b, c) => call(f, "select", &[a, b, c]),
            Inst::Cast(t, a) => call(f, t.name(), &[a]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composition_substitutes_an_operand() {
        let add = MapExpr::binary(Binary::Add, DType::F32).unwrap();
        let exp = MapExpr::unary(Unary::Exp, DType::F32).unwrap();
        let fused = add.compose(1, &exp).unwrap();
        assert_eq!(fused.to_string(), "add(x0, exp(x2))");
        let fused = fused.select_inputs(&[Some(0), None, Some(1)], &[DType::F32; 2]).unwrap();
        assert_eq!(fused.to_string(), "add(x0, exp(x1))");
    }

    #[test]
    fn types_are_checked() {
        assert!(MapExpr::unary(Unary::Exp, DType::I32).is_err());
        assert!(MapExpr::unary(Unary::Not, DType::F32).is_err());
        assert_eq!(MapExpr::binary(Binary::Lt, DType::I64).unwrap().dtype(), Some(DType::Bool));
    }

    #[test]
    fn equal_instructions_are_one() {
        let mut e = MapExpr::over(&[DType::F32]);
        let x = e.push(Inst::Input(0)).unwrap();
        let a = e.push(Inst::Unary(Unary::Exp, x)).unwrap();
        assert_eq!(e.push(Inst::Unary(Unary::Exp, x)).unwrap(), a);
        let unused = e.push(Inst::Unary(Unary::Log, x)).unwrap();
        assert!(unused > a);
        assert_eq!(e.finish(a).insts().len(), 2);
    }
}
