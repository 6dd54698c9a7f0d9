//! Elementwise expressions as lowerings write them: operators on trees, compiled to a typed [`MapExpr`].
//! `x().tanh() * softplus(x())` reads like the formula of the specification that stands above it.

use crate::ir::{Inst, Invalid, MapExpr, Reg};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// An elementwise expression over the operands of a map.
#[derive(Clone, Debug)]
pub enum Expr {
    /// The operand of that index.
    Operand(usize),
    /// A number of the type that the expression is computed in.
    Number(f64),
    /// A number of its own type.
    Typed(Scalar),
    /// The index along an axis of the result (i64).
    Iota(usize),
    /// An operation on one value.
    Unary(Unary, Box<Expr>),
    /// An operation on two values.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// `a * b + c` with one rounding.
    MulAdd(Box<Expr>, Box<Expr>, Box<Expr>),
    /// The second where the first holds, else the third.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// A conversion.
    Cast(DType, Box<Expr>),
}

/// The first operand.
pub fn x() -> Expr {
    Expr::Operand(0)
}

/// The second operand.
pub fn y() -> Expr {
    Expr::Operand(1)
}

/// The third operand.
pub fn z() -> Expr {
    Expr::Operand(2)
}

/// A number of the type that the expression is computed in.
pub fn num(x: impl Into<f64>) -> Expr {
    Expr::Number(x.into())
}

macro_rules! operators {
    ($($trait:ident $method:ident)*) => {$(
        impl $trait for Expr {
            type Output = Expr;
            fn $method(self, other: Expr) -> Expr {
                self.binary(Binary::$trait, other)
            }
        }
    )*};
}
operators!(Add add Sub sub Mul mul Div div);

impl Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        self.unary(Unary::Neg)
    }
}

impl Expr {
    /// `op(self)`.
    pub fn unary(self, op: Unary) -> Expr {
        Expr::Unary(op, self.into())
    }

    /// `op(self, other)`.
    pub fn binary(self, op: Binary, other: Expr) -> Expr {
        Expr::Binary(op, self.into(), other.into())
    }

    /// The larger; NaN wins.
    pub fn max(self, other: Expr) -> Expr {
        self.binary(Binary::Max, other)
    }

    /// The smaller; NaN wins.
    pub fn min(self, other: Expr) -> Expr {
        self.binary(Binary::Min, other)
    }

    /// `self < other`.
    pub fn lt(self, other: Expr) -> Expr {
        self.binary(Binary::Lt, other)
    }

    /// `self >= other`.
    pub fn ge(self, other: Expr) -> Expr {
        self.binary(Binary::Ge, other)
    }

    /// `self > other`.
    pub fn gt(self, other: Expr) -> Expr {
        self.binary(Binary::Gt, other)
    }

    /// `self == other`.
    pub fn eq(self, other: Expr) -> Expr {
        self.binary(Binary::Eq, other)
    }

    /// `self ? a : b`.
    pub fn select(self, a: Expr, b: Expr) -> Expr {
        Expr::Select(self.into(), a.into(), b.into())
    }

    /// `self * a + b` with one rounding.
    pub fn mul_add(self, a: Expr, b: Expr) -> Expr {
        Expr::MulAdd(self.into(), a.into(), b.into())
    }

    /// `self` as another type.
    pub fn cast(self, to: DType) -> Expr {
        Expr::Cast(to, self.into())
    }

    /// The typed expression over operands of the given types. It is computed in the first operand's type;
    /// where that is f16 or bf16, operands are widened to f32 and the result is rounded once.
    ///
    /// # Errors
    /// The expression does not apply to the types.
    pub fn compile(&self, types: &[DType]) -> Result<MapExpr, Invalid> {
        let stored = types.first().copied().unwrap_or(DType::F32);
        let narrow = stored.is_half();
        let mut c =
            Compiler { e: MapExpr::over(types), compute: if narrow { DType::F32 } else { stored }, types };
        let r = c.push(self)?;
        let r = match c.e.reg_type(r) {
            Some(DType::F32) if narrow => c.e.push(Inst::Cast(stored, r))?,
            _ => r,
        };
        Ok(c.e.finish(r))
    }
}

struct Compiler<'t> {
    e: MapExpr,
    compute: DType,
    types: &'t [DType],
}

impl Compiler<'_> {
    fn push(&mut self, expr: &Expr) -> Result<Reg, Invalid> {
        let inst = match expr {
            Expr::Operand(i) => {
                let r = self.e.push(Inst::Input(*i))?;
                let narrow = self.types.get(*i).is_some_and(|t| t.is_half());
                if !(narrow && self.compute == DType::F32) {
                    return Ok(r);
                }
                Inst::Cast(DType::F32, r)
            }
            Expr::Number(x) => Inst::Const(Scalar::from_f64(self.compute, *x)),
            // A half meets operands that are widened.
            Expr::Typed(s) if s.dtype.is_half() && self.compute == DType::F32 => {
                Inst::Const(sofie_infer_runtime::map::cast(*s, DType::F32))
            }
            Expr::Typed(s) => Inst::Const(*s),
            Expr::Iota(axis) => Inst::Iota(*axis),
            Expr::Unary(op, a) => Inst::Unary(*op, self.push(a)?),
            Expr::Binary(op, a, b) => Inst::Binary(*op, self.push(a)?, self.push(b)?),
            Expr::MulAdd(a, b, c) => Inst::MulAdd(self.push(a)?, self.push(b)?, self.push(c)?),
            Expr::Select(a, b, c) => Inst::Select(self.push(a)?, self.push(b)?, self.push(c)?),
            Expr::Cast(to, a) => {
                let r = self.push(a)?;
                if self.e.reg_type(r) == Some(*to) {
                    return Ok(r);
                }
                Inst::Cast(*to, r)
            }
        };
        self.e.push(inst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_become_typed_instructions() {
        let e = x().ge(num(0.0)).select(x(), num(0.5) * x());
        assert_eq!(e.compile(&[DType::F32]).unwrap().to_string(), "select(ge(x0, 0.0), x0, mul(0.5, x0))");
        let mixed = (x() + y().cast(DType::F64)).compile(&[DType::F64, DType::I64]).unwrap();
        assert_eq!(mixed.to_string(), "add(x0, f64(x1))");
        assert!((x() + y()).compile(&[DType::F64, DType::I64]).is_err());
    }

    #[test]
    fn narrow_floats_are_rounded_once() {
        let e = (x() * y() + num(1.0)).compile(&[DType::F16, DType::F16]).unwrap();
        assert_eq!(e.to_string(), "f16(add(mul(f32(x0), f32(x1)), 1.0))");
        let bound = Expr::Typed(Scalar::from_f64(DType::F16, 2.0));
        let e = x().min(bound).compile(&[DType::F16]).unwrap();
        assert_eq!(e.to_string(), "f16(min(f32(x0), 2.0))");
        let predicate = x().lt(num(0.0)).compile(&[DType::BF16]).unwrap();
        assert_eq!(predicate.dtype(), Some(DType::Bool));
    }
}
