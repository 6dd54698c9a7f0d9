//! The program of a map: instructions over registers that are blocks of elements.
//! Checked where it is made (while compiling, for a program in a `static`), so that running it checks nothing.

use super::num::{supports_binary, supports_unary};
use super::{Binary, Scalar, Unary};
use crate::DType;
use alloc::borrow::Cow;

/// Registers that a program may use.
pub const REGISTERS: usize = 16;
/// Operands that a program may read.
pub const INPUTS: usize = 16;
/// Constants that a program may hold.
pub const CONSTS: usize = 16;

/// What an instruction does. `a`, `b`, `c` are its arguments in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// `a`.
    Copy,
    /// An operation on `a`.
    Unary(Unary),
    /// An operation on `a` and `b`.
    Binary(Binary),
    /// `a * b + c`, rounded once. Floats.
    MulAdd,
    /// `b` where `a` (bool) holds, else `c`.
    Select,
    /// `a` converted as by [`cast`](super::cast).
    Cast(DType),
    /// `round(a) + b`, converted to this integer type of at most 16 bits and back. `f32`.
    Saturate(DType),
    /// `a` where `a >= 0`, else `a * b`. `f32`.
    LeakyRelu,
    /// `a` where `a >= 0`, else `(e^a - 1) * b`. `f32`.
    Elu,
    /// `min(max(a, b), c)`; NaN wins. `f32`.
    Clip,
    /// `saturate(a / b, c)`: quantised by the scale `b` and the zero point `c`. `f32`, which the result stays.
    Steps(DType),
    /// The same as that integer type of 8 bits.
    Quantize(DType),
    /// `(saturate(a / b, c) - c) * b`: quantised by the scale `b` and the zero point `c`, and back. `f32`.
    FakeQuantize(DType),
}

/// Where an argument comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arg {
    /// A register.
    Reg(u8),
    /// An operand of the map.
    Input(u8),
    /// A constant of the program.
    Const(u8),
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Inst {
    /// What it does.
    pub code: Code,
    /// The type of its arguments (of `b` and `c` for [`Code::Select`]).
    pub dtype: DType,
    /// The register that it writes; the last instruction's is the program's result.
    pub dst: u8,
    /// Its arguments; those beyond what the code takes repeat the first.
    pub args: [Arg; 3],
}

/// A fused elementwise expression, in order of evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct MapProgram {
    insts: Cow<'static, [Inst]>,
    consts: Cow<'static, [Scalar]>,
    inputs: Cow<'static, [DType]>,
    registers: u8,
    result: DType,
}

/// What a slot of the interpreter's location table holds: registers first, then operands, then constants.
pub(super) const SLOTS: usize = REGISTERS + INPUTS + CONSTS;

impl Arg {
    /// The argument's slot.
    #[inline(always)]
    pub(super) const fn slot(self) -> usize {
        match self {
            Arg::Reg(i) => i as usize,
            Arg::Input(i) => REGISTERS + i as usize,
            Arg::Const(i) => REGISTERS + INPUTS + i as usize,
        }
    }
}

impl Code {
    /// How many arguments the code takes.
    pub const fn arity(self) -> usize {
        match self {
            Code::Copy | Code::Unary(_) | Code::Cast(_) => 1,
            Code::Binary(_) | Code::Saturate(_) | Code::LeakyRelu | Code::Elu => 2,
            Code::MulAdd | Code::Select | Code::Clip => 3,
            Code::Steps(_) | Code::Quantize(_) | Code::FakeQuantize(_) => 3,
        }
    }

    /// The type of the result for arguments of type `dtype`.
    pub const fn result(self, dtype: DType) -> DType {
        match self {
            Code::Unary(op) => op.result(dtype),
            Code::Binary(op) => op.result(dtype),
            Code::Cast(to) | Code::Quantize(to) => to,
            Code::Copy
            | Code::MulAdd
            | Code::Select
            | Code::Saturate(_)
            | Code::Steps(_)
            | Code::FakeQuantize(_)
            | Code::LeakyRelu
            | Code::Elu
            | Code::Clip => dtype,
        }
    }

    /// Whether the code is defined on arguments of type `dtype`.
    pub const fn supports(self, dtype: DType) -> bool {
        match self {
            Code::Unary(op) => supports_unary(op, dtype),
            Code::Binary(op) => supports_binary(op, dtype),
            Code::MulAdd => dtype.is_float(),
            Code::Saturate(to) | Code::Steps(to) | Code::Quantize(to) | Code::FakeQuantize(to) => {
                same(dtype, DType::F32) && !to.is_float() && to.size() <= 2 && !same(to, DType::Bool)
            }
            Code::LeakyRelu | Code::Elu | Code::Clip => same(dtype, DType::F32),
            Code::Copy | Code::Select | Code::Cast(_) => true,
        }
    }
}

/// The elements of a list in a `const fn`.
#[expect(clippy::ptr_arg, reason = "`Cow` has no `const` way to its elements")]
pub(super) const fn items<'a, T: Clone>(list: &'a Cow<'static, [T]>) -> &'a [T] {
    match list {
        Cow::Borrowed(items) => items,
        Cow::Owned(items) => items.as_slice(),
    }
}

const fn same(a: DType, b: DType) -> bool {
    a as u8 == b as u8
}

impl MapProgram {
    /// A program over operands of the types `inputs`.
    ///
    /// # Panics
    /// If the program is not well formed: no instruction, more than [`REGISTERS`], [`INPUTS`] or [`CONSTS`], an
    /// argument that is not defined before its use or of another type, an operation that its type lacks.
    pub const fn new(
        insts: Cow<'static, [Inst]>,
        consts: Cow<'static, [Scalar]>,
        inputs: Cow<'static, [DType]>,
    ) -> MapProgram {
        let (registers, result) = check(items(&insts), items(&consts), items(&inputs));
        MapProgram { insts, consts, inputs, registers, result }
    }

    /// The instructions.
    pub const fn insts(&self) -> &[Inst] {
        items(&self.insts)
    }

    /// The constants.
    pub const fn consts(&self) -> &[Scalar] {
        items(&self.consts)
    }

    /// The types of the operands.
    pub const fn inputs(&self) -> &[DType] {
        items(&self.inputs)
    }

    /// The number of registers.
    pub const fn registers(&self) -> usize {
        self.registers as usize
    }

    /// The type of the result.
    pub const fn result(&self) -> DType {
        self.result
    }
}

const fn check(insts: &[Inst], consts: &[Scalar], inputs: &[DType]) -> (u8, DType) {
    assert!(!insts.is_empty(), "a map without instructions");
    assert!(inputs.len() <= INPUTS && consts.len() <= CONSTS, "a map with too many operands or constants");
    let mut registers: [Option<DType>; REGISTERS] = [None; REGISTERS];
    let (mut used, mut result, mut i) = (0, insts[0].dtype, 0);
    while i < insts.len() {
        let inst = insts[i];
        assert!(inst.code.supports(inst.dtype), "an operation on a type that lacks it");
        let mut a = 0;
        while a < 3 {
            let dtype = match inst.args[a] {
                Arg::Reg(r) => {
                    assert!((r as usize) < REGISTERS, "a register past the last");
                    match registers[r as usize] {
                        Some(dtype) => dtype,
                        None => panic!("a register is read before it is written"),
                    }
                }
                Arg::Input(i) => {
                    assert!((i as usize) < inputs.len(), "an operand past the last");
                    inputs[i as usize]
                }
                Arg::Const(i) => {
                    assert!((i as usize) < consts.len(), "a constant past the last");
                    consts[i as usize].dtype
                }
            };
            if a < inst.code.arity() {
                let mask = a == 0 && matches!(inst.code, Code::Select);
                let want = if mask { DType::Bool } else { inst.dtype };
                assert!(same(dtype, want), "an argument of another type than its instruction");
            }
            a += 1;
        }
        assert!((inst.dst as usize) < REGISTERS, "a register past the last");
        result = inst.code.result(inst.dtype);
        // Blocks of different element sizes lie over one another in a register: an instruction would
        // overwrite what it has yet to read.
        let mut a = 0;
        while a < inst.code.arity() {
            if let (Arg::Reg(r), Some(dtype)) = (inst.args[a], registers[inst.args[a].slot() % REGISTERS]) {
                let fits = width(dtype) == width(result);
                assert!(r != inst.dst || fits, "an instruction over its own argument of another size");
            }
            a += 1;
        }
        registers[inst.dst as usize] = Some(result);
        if inst.dst >= used {
            used = inst.dst + 1;
        }
        i += 1;
    }
    (used, result)
}

/// Bytes of an element in a register: 16-bit floats are held as the `f32` that they are computed in.
pub(super) const fn width(dtype: DType) -> usize {
    match dtype {
        DType::F16 | DType::BF16 => 4,
        _ => dtype.size(),
    }
}

/// Whether elements are computed in `f32`.
#[inline(always)]
pub(super) const fn in_f32(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F16 | DType::BF16)
}
