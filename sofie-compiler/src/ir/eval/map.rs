//! Elementwise maps: operands are broadcast, then the expression runs instruction by instruction over blocks,
//! with the runtime's own scalar functions.

use super::views;
use super::wide::{from_native, native};
use crate::ir::{Inst, Invalid, MapExpr, Reg, Tensor};
use sofie_infer_runtime::map::{Scalar, binary_slice, cast_slice, unary_slice};
use sofie_infer_runtime::{DType, bf16, f16};
use std::borrow::Cow;

/// Elements a block: registers stay in a cache.
const BLOCK: usize = 2048;

pub(super) fn map(e: &MapExpr, x: &[&Tensor], dtype: DType, dims: &[usize]) -> Result<Tensor, Invalid> {
    let expanded = x.iter().map(|t| views::broadcast(t, dims)).collect::<Result<Vec<_>, _>>()?;
    let inputs: Vec<Cow<'_, [u8]>> = expanded.iter().map(native).collect();
    let total: usize = dims.iter().product();
    let mut y = Vec::with_capacity(total * dtype.size());
    let mut registers: Vec<Vec<u8>> = vec![Vec::new(); e.insts().len()];
    for start in (0..total).step_by(BLOCK) {
        let n = BLOCK.min(total - start);
        for (r, inst) in e.insts().iter().enumerate() {
            let mut out = std::mem::take(&mut registers[r]);
            let size = register_type(e, r)?.size();
            if let Inst::Const(s) = inst {
                // Filled for the first block, which is the longest.
                let element = native_scalar(*s);
                out = if start == 0 { element[..size].repeat(n) } else { out };
            }
            out.resize(n * size, 0);
            step(e, *inst, &registers, &inputs, (start, dims), &mut out)?;
            registers[r] = out;
        }
        y.extend_from_slice(registers.last().ok_or_else(|| Invalid::new("an empty map"))?);
    }
    from_native(dtype, dims, y)
}

fn register_type(e: &MapExpr, r: Reg) -> Result<DType, Invalid> {
    e.reg_type(r).ok_or_else(|| Invalid::new(format!("register {r} is not defined")))
}

/// One instruction over one block, which begins at element `start` of a result of extents `dims`.
fn step(
    e: &MapExpr,
    inst: Inst,
    registers: &[Vec<u8>],
    inputs: &[Cow<'_, [u8]>],
    (start, dims): (usize, &[usize]),
    out: &mut [u8],
) -> Result<(), Invalid> {
    match inst {
        Inst::Input(i) => {
            let size = e.inputs()[i].size();
            out.copy_from_slice(&inputs[i][start * size..][..out.len()]);
        }
        Inst::Const(_) => {}
        Inst::Iota(axis) => {
            let inner: usize = dims[axis + 1..].iter().product();
            for (i, o) in out.as_chunks_mut().0.iter_mut().enumerate() {
                *o = (((start + i) / inner % dims[axis]) as i64).to_ne_bytes();
            }
        }
        Inst::Unary(op, a) => unary_slice(op, register_type(e, a)?, &registers[a], out),
        Inst::Binary(op, a, b) => binary_slice(op, register_type(e, a)?, &registers[a], &registers[b], out),
        Inst::MulAdd(a, b, c) => {
            let [a_, b_, c_] = [a, b, c].map(|r| &registers[r][..]);
            match register_type(e, a)? {
                DType::F32 => mul_add(a_, b_, c_, out, f32::from_ne_bytes, f32::mul_add, f32::to_ne_bytes),
                DType::F64 => mul_add(a_, b_, c_, out, f64::from_ne_bytes, f64::mul_add, f64::to_ne_bytes),
                DType::F16 => mul_add(
                    a_,
                    b_,
                    c_,
                    out,
                    |x| f16::from_ne_bytes(x).to_f32(),
                    f32::mul_add,
                    |x| f16::from_f32(x).to_ne_bytes(),
                ),
                DType::BF16 => mul_add(
                    a_,
                    b_,
                    c_,
                    out,
                    |x| bf16::from_ne_bytes(x).to_f32(),
                    f32::mul_add,
                    |x| bf16::from_f32(x).to_ne_bytes(),
                ),
                other => return Err(Invalid::new(format!("a fused multiply-add of {other}"))),
            }
        }
        Inst::Select(c, a, b) => {
            let size = register_type(e, a)?.size();
            for (i, (o, c)) in out.chunks_exact_mut(size).zip(&registers[c]).enumerate() {
                let from = if *c != 0 { a } else { b };
                o.copy_from_slice(&registers[from][i * size..][..size]);
            }
        }
        Inst::Cast(to, a) => cast_slice(register_type(e, a)?, &registers[a], to, out),
    }
    Ok(())
}

fn native_scalar(s: Scalar) -> [u8; 8] {
    let mut bytes = s.bits.to_le_bytes();
    if cfg!(target_endian = "big") {
        bytes[..s.dtype.size()].reverse();
    }
    bytes
}

/// `a * b + c` over elements of N bytes, with one rounding in the type `T` that they are computed in.
fn mul_add<T, const N: usize>(
    a: &[u8],
    b: &[u8],
    c: &[u8],
    out: &mut [u8],
    load: impl Fn([u8; N]) -> T,
    f: impl Fn(T, T, T) -> T,
    store: impl Fn(T) -> [u8; N],
) {
    let operands = a.as_chunks().0.iter().zip(b.as_chunks().0).zip(c.as_chunks().0);
    for (o, ((a, b), c)) in out.as_chunks_mut().0.iter_mut().zip(operands) {
        *o = store(f(load(*a), load(*b), load(*c)));
    }
}
