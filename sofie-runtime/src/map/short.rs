//! How generated code writes maps: constructors that leave out what follows, and a text that says what is computed.

use super::program::{Arg, Code, Inst, MapProgram};
use super::spec::{Map, MapSpec, Operand, Source};
use super::{Binary, Scalar, Unary};
use crate::DType;
use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

/// `head`, then as many `fill` as the array has room for.
///
/// ```
/// assert_eq!(sofie_infer_runtime::pad::<_, 2, 4>([3, 5], 1), [3, 5, 1, 1]);
/// ```
///
/// # Panics
/// If there is no room for `head`.
#[must_use]
pub const fn pad<T: Copy, const N: usize, const M: usize>(head: [T; N], fill: T) -> [T; M] {
    let (mut all, mut i) = ([fill; M], 0);
    while i < N {
        all[i] = head[i];
        i += 1;
    }
    all
}

impl Operand {
    /// Elements of the slice of index `slice`: `offset + Σ i·strides`.
    #[must_use]
    pub const fn slice<const N: usize>(slice: u8, strides: [isize; N], offset: usize) -> Operand {
        Operand { source: Source::Slice(slice), strides: pad(strides, 0), offset }
    }
}

impl Inst {
    /// An instruction over arguments of type `dtype`.
    ///
    /// # Panics
    /// If there is no argument.
    #[must_use]
    pub const fn new<const N: usize>(code: Code, dtype: DType, dst: u8, args: [Arg; N]) -> Inst {
        let (mut all, mut i) = ([args[0]; 3], 0);
        while i < N {
            all[i] = args[i];
            i += 1;
        }
        Inst { code, dtype, dst, args: all }
    }
}

impl Scalar {
    /// A constant.
    #[must_use]
    pub const fn f32(x: f32) -> Scalar {
        Scalar { dtype: DType::F32, bits: x.to_bits() as u64 }
    }
}

impl MapProgram {
    /// [`MapProgram::new`] over what lives as long as the program.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub const fn of(
        insts: &'static [Inst],
        consts: &'static [Scalar],
        inputs: &'static [DType],
    ) -> MapProgram {
        MapProgram::new(Cow::Borrowed(insts), Cow::Borrowed(consts), Cow::Borrowed(inputs))
    }
}

impl Map {
    /// [`Map::new`] of a result of the extents `dims` at `out_offset + Σ i·out_strides`.
    ///
    /// # Panics
    /// As there.
    #[must_use]
    pub const fn of<const N: usize>(
        dims: [usize; N],
        out_strides: [isize; N],
        out_offset: usize,
        operands: &'static [Operand],
        program: MapProgram,
    ) -> Map {
        let (dims, out_strides, operands) = (pad(dims, 1), pad(out_strides, 0), Cow::Borrowed(operands));
        Map::new(MapSpec { rank: N, dims, out_strides, out_offset, operands, program })
    }
}

impl Map {
    /// Lets the program work on other extents: the same operands, at other places. Axes that these extents make one are
    /// one. Nothing is allocated but where the map is changed for the first time.
    ///
    /// # Panics
    /// As [`Map::new`], or when there are more or fewer operands than before.
    pub fn place<const N: usize>(
        &mut self,
        dims: [usize; N],
        out_strides: [isize; N],
        out_offset: usize,
        operands: &[Operand],
    ) {
        let spec = self.spec_mut();
        (spec.rank, spec.dims) = (N, pad(dims, 1));
        (spec.out_strides, spec.out_offset) = (pad(out_strides, 0), out_offset);
        spec.operands.to_mut().clone_from_slice(operands);
        spec.merge();
        self.replan();
    }
}

/// The expression that the program computes: operands are `x0`, `x1`, ….
impl fmt::Display for MapProgram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut registers: [String; super::REGISTERS] = Default::default();
        let mut result = String::new();
        for inst in self.insts() {
            let args = inst.args.map(|arg| match arg {
                Arg::Reg(r) => registers[r as usize].clone(),
                Arg::Input(i) => format!("x{i}"),
                Arg::Const(i) => constant(self.consts()[i as usize]),
            });
            result = expression(inst.code, &args);
            registers[inst.dst as usize].clone_from(&result);
        }
        let bare = result.strip_prefix('(').and_then(|r| r.strip_suffix(')'));
        // Only where the first parenthesis closes at the end is it one of the whole.
        f.write_str(bare.filter(|b| is_balanced(b)).unwrap_or(&result))
    }
}

fn is_balanced(text: &str) -> bool {
    let mut depth = 0i32;
    let closes_early = text.bytes().any(|c| {
        depth += i32::from(c == b'(') - i32::from(c == b')');
        depth < 0
    });
    !closes_early && depth == 0
}

fn constant(x: Scalar) -> String {
    match x.dtype {
        DType::F32 => format!("{:?}", x.to_f64() as f32),
        _ => x.to_f64().to_string(),
    }
}

fn expression(code: Code, [a, b, c]: &[String; 3]) -> String {
    let infix = |op: &str| format!("({a} {op} {b})");
    match code {
        Code::Copy => a.clone(),
        Code::Unary(Unary::Neg) => format!("-{a}"),
        Code::Unary(op) => format!("{}({a})", format!("{op:?}").to_lowercase()),
        Code::Binary(Binary::Add) => infix("+"),
        Code::Binary(Binary::Sub) => infix("-"),
        Code::Binary(Binary::Mul) => infix("*"),
        Code::Binary(Binary::Div) => infix("/"),
        Code::Binary(Binary::Eq) => infix("=="),
        Code::Binary(Binary::Ne) => infix("!="),
        Code::Binary(Binary::Lt) => infix("<"),
        Code::Binary(Binary::Le) => infix("<="),
        Code::Binary(Binary::Gt) => infix(">"),
        Code::Binary(Binary::Ge) => infix(">="),
        Code::Binary(op) => format!("{}({a}, {b})", format!("{op:?}").to_lowercase()),
        Code::MulAdd => format!("({a} * {b} + {c})"),
        Code::Select => format!("if {a} {{ {b} }} else {{ {c} }}"),
        Code::Saturate(to) => format!("saturate_{}({a}, {b})", to.name()),
        Code::Steps(to) => format!("steps_{}({a}, {b}, {c})", to.name()),
        Code::Quantize(to) => format!("quantize_{}({a}, {b}, {c})", to.name()),
        Code::FakeQuantize(to) => format!("fake_quantize_{}({a}, {b}, {c})", to.name()),
        Code::LeakyRelu => format!("leaky_relu({a}, {b})"),
        Code::Elu => format!("elu({a}, {b})"),
        Code::Clip => format!("clip({a}, {b}, {c})"),
        Code::Cast(to) => format!("{}({a})", to.name()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Value;
    use super::*;

    #[test]
    fn programs_read_like_expressions() {
        let shown = |values: &[Value]| MapProgram::compile(values, &[DType::F32; 2]).unwrap().to_string();
        let (x, y) = (Value::Input(0), Value::Input(1));
        let sum = Value::Binary(Binary::Add, 0, 1);
        assert_eq!(shown(&[x, y, sum]), "x0 + x1");
        assert_eq!(shown(&[x, y, sum, Value::Binary(Binary::Mul, 2, 2)]), "(x0 + x1) * (x0 + x1)");
        assert_eq!(shown(&[x, Value::Const(Scalar::f32(4.0)), Value::Binary(Binary::Lt, 0, 1)]), "x0 < 4.0");
        assert_eq!(shown(&[x, Value::Unary(Unary::GeluErf, 0)]), "geluerf(x0)");
    }
}
