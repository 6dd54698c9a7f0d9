//! The scalar operations of which elementwise maps are built, and their scalars.
//! The compiler's graph, its reference evaluator and the block interpreter share this one list, so a
//! folded constant and a kernel cannot mean different things.

use crate::DType;

/// A constant of some element type: its little-endian bits, zero-extended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scalar {
    /// The element type.
    pub dtype: DType,
    /// The element's bits in the low `dtype.size()` bytes; the rest is zero.
    pub bits: u64,
}

/// Operations on one element. Unless said otherwise operand and result have the same float type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`; integers wrap.
    Neg,
    /// `|x|`; integers wrap.
    Abs,
    /// -1, 0 or 1; NaN stays NaN.
    Sign,
    /// `1 / x`.
    Reciprocal,
    /// Square root, correctly rounded.
    Sqrt,
    /// `e^x`.
    Exp,
    /// `e^x - 1`.
    Expm1,
    /// Natural logarithm.
    Log,
    /// `log(1 + x)`.
    Log1p,
    /// Sine, in radians.
    Sin,
    /// Cosine, in radians.
    Cos,
    /// Tangent, in radians.
    Tan,
    /// Inverse sine.
    Asin,
    /// Inverse cosine.
    Acos,
    /// Inverse tangent.
    Atan,
    /// Hyperbolic sine.
    Sinh,
    /// Hyperbolic cosine.
    Cosh,
    /// Hyperbolic tangent.
    Tanh,
    /// Inverse hyperbolic sine.
    Asinh,
    /// Inverse hyperbolic cosine.
    Acosh,
    /// Inverse hyperbolic tangent.
    Atanh,
    /// The error function.
    Erf,
    /// `1 / (1 + e^-x)`.
    Sigmoid,
    /// `log(1 + e^x)`, without overflow.
    Softplus,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x/2 * (1 + erf(x / sqrt 2))`.
    GeluErf,
    /// `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3)))`.
    GeluTanh,
    /// `max(x, 0)`; NaN stays NaN. Any numeric type.
    Relu,
    /// Largest integer not above.
    Floor,
    /// Smallest integer not below.
    Ceil,
    /// Nearest integer, ties to even.
    Round,
    /// Towards zero.
    Trunc,
    /// Logical not: bool to bool.
    Not,
    /// Bitwise complement of an integer.
    BitNot,
    /// Float to bool.
    IsNan,
    /// Float to bool: positive infinity.
    IsPosInf,
    /// Float to bool: negative infinity.
    IsNegInf,
}

/// Operations on two elements of the same type. Comparisons give bool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Sum; integers wrap.
    Add,
    /// Difference; integers wrap.
    Sub,
    /// Product; integers wrap.
    Mul,
    /// Quotient; integers truncate towards zero, division by zero gives 0 and MIN / -1 wraps.
    Div,
    /// Smaller; NaN wins.
    Min,
    /// Larger; NaN wins.
    Max,
    /// `x^y` for floats and integers (a negative integer exponent gives 0 unless the base is 1 or -1).
    Pow,
    /// Remainder with the sign of the divisor (ONNX `Mod` with `fmod=0`); integers by zero give 0.
    Mod,
    /// Remainder with the sign of the dividend (C `fmod`); integers by zero give 0.
    Fmod,
    /// Bitwise (or logical) and.
    And,
    /// Bitwise (or logical) or.
    Or,
    /// Bitwise (or logical) exclusive or.
    Xor,
    /// Left shift; a count not below the width gives 0.
    Shl,
    /// Right shift (arithmetic when signed); a count not below the width gives 0 or -1.
    Shr,
    /// Equal, gives bool.
    Eq,
    /// Not equal, gives bool.
    Ne,
    /// Less, gives bool.
    Lt,
    /// Less or equal, gives bool.
    Le,
    /// Greater, gives bool.
    Gt,
    /// Greater or equal, gives bool.
    Ge,
}

impl Unary {
    /// Whether the result is bool whatever the operand.
    pub const fn is_predicate(self) -> bool {
        matches!(self, Unary::Not | Unary::IsNan | Unary::IsPosInf | Unary::IsNegInf)
    }
}

impl Binary {
    /// Whether the result is bool whatever the operands.
    pub const fn is_comparison(self) -> bool {
        matches!(self, Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge)
    }

    /// Whether the operands may change places.
    pub const fn commutes(self) -> bool {
        use Binary::*;
        matches!(self, Add | Mul | Min | Max | And | Or | Xor | Eq | Ne)
    }
}

macro_rules! scalar_from {
    ($($t:ty = $d:ident, $x:ident => $bits:expr;)*) => {$(
        impl From<$t> for Scalar {
            fn from($x: $t) -> Scalar {
                Scalar { dtype: DType::$d, bits: $bits }
            }
        }
    )*};
}

scalar_from! {
    f32 = F32, x => x.to_bits() as u64;
    f64 = F64, x => x.to_bits();
    crate::f16 = F16, x => x.to_bits() as u64;
    crate::bf16 = BF16, x => x.to_bits() as u64;
    i8 = I8, x => x as u8 as u64;
    i16 = I16, x => x as u16 as u64;
    i32 = I32, x => x as u32 as u64;
    i64 = I64, x => x as u64;
    u8 = U8, x => x as u64;
    u16 = U16, x => x as u64;
    u32 = U32, x => x as u64;
    u64 = U64, x => x;
    bool = Bool, x => x as u64;
}

impl Scalar {
    /// The scalar of type `dtype` nearest to `x` (integers saturate, bool is `x != 0`).
    pub fn from_f64(dtype: DType, x: f64) -> Scalar {
        match dtype {
            DType::F32 => (x as f32).into(),
            DType::F64 => x.into(),
            DType::F16 => crate::f16::from_f64(x).into(),
            DType::BF16 => crate::bf16::from_f64(x).into(),
            DType::I8 => (x as i8).into(),
            DType::I16 => (x as i16).into(),
            DType::I32 => (x as i32).into(),
            DType::I64 => (x as i64).into(),
            DType::U8 => (x as u8).into(),
            DType::U16 => (x as u16).into(),
            DType::U32 => (x as u32).into(),
            DType::U64 => (x as u64).into(),
            DType::Bool => (x != 0.0).into(),
        }
    }

    /// The nearest `f64` (exact but for large 64-bit integers).
    pub fn to_f64(self) -> f64 {
        match self.dtype {
            DType::F32 => f32::from_bits(self.bits as u32) as f64,
            DType::F64 => f64::from_bits(self.bits),
            DType::F16 => crate::f16::from_bits(self.bits as u16).to_f64(),
            DType::BF16 => crate::bf16::from_bits(self.bits as u16).to_f64(),
            DType::I8 => self.bits as i8 as f64,
            DType::I16 => self.bits as i16 as f64,
            DType::I32 => self.bits as i32 as f64,
            DType::I64 => self.bits as i64 as f64,
            DType::U8 | DType::U16 | DType::U32 | DType::U64 | DType::Bool => self.bits as f64,
        }
    }
}
