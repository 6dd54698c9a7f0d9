//! From an expression in SSA form to a [`MapProgram`]: constants are pooled and registers are allotted by
//! liveness, in order (the linear scan of Poletto & Sarkar, 1999, where every interval starts at its own
//! instruction).

use super::combine::combine;
use super::program::{Arg, CONSTS, Code, INPUTS, Inst, MapProgram, REGISTERS, in_f32};
use super::{Binary, Scalar, Unary};
use crate::DType;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

/// A value of an expression; operands are named by their index in the list of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// An operand of the map.
    Input(usize),
    /// A constant.
    Const(Scalar),
    /// An operation on one value.
    Unary(Unary, usize),
    /// An operation on two values of one type.
    Binary(Binary, usize, usize),
    /// `a * b + c`, rounded once.
    MulAdd(usize, usize, usize),
    /// The second where the first (bool) holds, else the third.
    Select(usize, usize, usize),
    /// A conversion, as by [`cast`](super::cast).
    Cast(DType, usize),
    /// An instruction that does the work of several; compiling finds it in the others. Of the values, as many as
    /// the code takes count.
    Combined(Code, [usize; 3]),
}

impl Value {
    /// The same with `f` of each value that it names.
    pub(super) fn renumbered(self, f: impl Fn(usize) -> usize) -> Value {
        match self {
            Value::Input(_) | Value::Const(_) => self,
            Value::Unary(op, a) => Value::Unary(op, f(a)),
            Value::Cast(to, a) => Value::Cast(to, f(a)),
            Value::Binary(op, a, b) => Value::Binary(op, f(a), f(b)),
            Value::MulAdd(a, b, c) => Value::MulAdd(f(a), f(b), f(c)),
            Value::Select(a, b, c) => Value::Select(f(a), f(b), f(c)),
            Value::Combined(code, args) => Value::Combined(code, args.map(f)),
        }
    }
}

/// Why an expression is no program. All but [`CompileError::Malformed`] go away when it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileError {
    /// More than [`INPUTS`] operands.
    Inputs,
    /// More than [`CONSTS`] different constants.
    Consts,
    /// More than [`REGISTERS`] values live at once.
    Registers,
    /// The value of this index is not defined: it names a later value or an operand that is not there, or its
    /// operation does not exist on its types.
    Malformed(usize),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompileError::Inputs => write!(f, "a map of more than {INPUTS} operands"),
            CompileError::Consts => write!(f, "a map of more than {CONSTS} constants"),
            CompileError::Registers => write!(f, "a map with more than {REGISTERS} values live at once"),
            CompileError::Malformed(i) => write!(f, "value {i} of a map is not defined"),
        }
    }
}

impl core::error::Error for CompileError {}

impl MapProgram {
    /// The program that computes the last of `values` from operands of the types `inputs`.
    ///
    /// # Errors
    /// If the expression is malformed or too large: see [`CompileError`].
    pub fn compile(values: &[Value], inputs: &[DType]) -> Result<MapProgram, CompileError> {
        if inputs.len() > INPUTS {
            return Err(CompileError::Inputs);
        }
        let values = &combine(values, inputs)[..];
        let mut c = Compiler { values, inputs, insts: Vec::new(), consts: Vec::new(), places: Vec::new() };
        let result = values.len().checked_sub(1).ok_or(CompileError::Malformed(0))?;
        // Backwards from the result; what it does not need has no last use.
        let mut last_use = alloc::vec![None; values.len()];
        last_use[result] = Some(usize::MAX);
        for (i, value) in values.iter().enumerate().rev() {
            let needed = last_use[i].is_some();
            for v in operands(value) {
                let known = last_use.get_mut(v).filter(|_| v < i).ok_or(CompileError::Malformed(i))?;
                *known = known.or(needed.then_some(i));
            }
        }
        let mut free = [true; REGISTERS];
        for i in 0..values.len() {
            let place = c.place(i, &last_use, &mut free)?;
            c.places.push(place);
        }
        if let (arg @ (Arg::Input(_) | Arg::Const(_)), dtype) = c.places[result] {
            c.insts.push(Inst { code: Code::Copy, dtype, dst: 0, args: [arg; 3] });
        }
        Ok(MapProgram::new(Cow::Owned(c.insts), Cow::Owned(c.consts), Cow::Owned(inputs.to_vec())))
    }
}

fn operands(value: &Value) -> impl Iterator<Item = usize> + use<> {
    let (a, b, c) = match *value {
        Value::Input(_) | Value::Const(_) => (None, None, None),
        Value::Unary(_, a) | Value::Cast(_, a) => (Some(a), None, None),
        Value::Binary(_, a, b) => (Some(a), Some(b), None),
        Value::MulAdd(a, b, c) | Value::Select(a, b, c) => (Some(a), Some(b), Some(c)),
        Value::Combined(code, [a, b, c]) => {
            (Some(a), (code.arity() > 1).then_some(b), (code.arity() > 2).then_some(c))
        }
    };
    [a, b, c].into_iter().flatten()
}

struct Compiler<'a> {
    values: &'a [Value],
    inputs: &'a [DType],
    insts: Vec<Inst>,
    consts: Vec<Scalar>,
    /// Where each value so far is, and its type.
    places: Vec<(Arg, DType)>,
}

impl Compiler<'_> {
    /// The code and argument type of value `i`, which is an operation on values before it.
    fn code(&self, i: usize) -> Result<(Code, DType), CompileError> {
        let malformed = CompileError::Malformed(i);
        let dtype = |v: usize| self.places.get(v).map(|p| p.1).ok_or(malformed);
        let (code, first) = match self.values[i] {
            Value::Unary(op, a) => (Code::Unary(op), a),
            Value::Cast(to, a) => (Code::Cast(to), a),
            Value::Binary(op, a, _) => (Code::Binary(op), a),
            Value::MulAdd(a, _, _) => (Code::MulAdd, a),
            Value::Combined(code, [a, ..]) => (code, a),
            Value::Select(_, b, _) => (Code::Select, b),
            Value::Input(_) | Value::Const(_) => return Err(malformed),
        };
        let of = dtype(first)?;
        for (position, v) in operands(&self.values[i]).enumerate() {
            let mask = code == Code::Select && position == 0;
            if dtype(v)? != if mask { DType::Bool } else { of } {
                return Err(malformed);
            }
        }
        if code.supports(of) { Ok((code, of)) } else { Err(malformed) }
    }

    /// Gives value `i` a place, with an instruction if it needs one, and frees the registers that it reads last.
    fn place(
        &mut self,
        i: usize,
        last_use: &[Option<usize>],
        free: &mut [bool; REGISTERS],
    ) -> Result<(Arg, DType), CompileError> {
        match self.values[i] {
            Value::Input(n) => {
                let dtype = *self.inputs.get(n).ok_or(CompileError::Malformed(i))?;
                return Ok((Arg::Input(n as u8), dtype));
            }
            Value::Const(x) if last_use[i].is_none() => return Ok((Arg::Const(0), x.dtype)),
            Value::Const(x) => {
                let known = self.consts.iter().position(|c| *c == x);
                let n = known.unwrap_or(self.consts.len());
                if known.is_none() {
                    if n == CONSTS {
                        return Err(CompileError::Consts);
                    }
                    self.consts.push(x);
                }
                return Ok((Arg::Const(n as u8), x.dtype));
            }
            _ => {}
        }
        let (code, dtype) = self.code(i)?;
        let result = code.result(dtype);
        if last_use[i].is_none() {
            return Ok((Arg::Reg(0), result));
        }
        let places = operands(&self.values[i]).map(|v| (v, self.places[v]));
        let mut args =
            [self.places[operands(&self.values[i]).next().ok_or(CompileError::Malformed(i))?].0; 3];
        let mut dying = [None; 3];
        for (n, (v, (arg, dtype))) in places.enumerate() {
            args[n] = arg;
            if let Arg::Reg(r) = arg
                && last_use[v] == Some(i)
            {
                dying[n] = Some((r, dtype));
            }
        }
        // The result may lie over an argument that ends here. Other loops than the floats' would have to be
        // compiled for it a second time to be vectorised.
        for (r, _) in dying.into_iter().flatten().filter(|(_, d)| in_f32(*d) && in_f32(result)) {
            free[r as usize] = true;
        }
        let dst = free.iter().position(|f| *f).ok_or(CompileError::Registers)?;
        for (r, _) in dying.into_iter().flatten() {
            free[r as usize] = true;
        }
        free[dst] = false;
        self.insts.push(Inst { code, dtype, dst: dst as u8, args });
        Ok((Arg::Reg(dst as u8), result))
    }
}
