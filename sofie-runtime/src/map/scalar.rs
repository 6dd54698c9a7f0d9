//! Single operations on [`Scalar`]s, and on slices of bytes for the compiler's evaluator.
//! They run the kernels' own loops, so a constant may be folded without a trace.

use super::exec::{Io, Loc, exec};
use super::half;
use super::num::{supports_binary, supports_unary};
use super::program::{Code, width};
use super::{Binary, Scalar, Unary};
use crate::DType;

impl Unary {
    /// Whether the operation is defined on elements of type `dtype`.
    pub const fn supports(self, dtype: DType) -> bool {
        supports_unary(self, dtype)
    }

    /// The type of the result for an operand of type `dtype`.
    pub const fn result(self, dtype: DType) -> DType {
        if self.is_predicate() { DType::Bool } else { dtype }
    }
}

impl Binary {
    /// Whether the operation is defined on elements of type `dtype`.
    pub const fn supports(self, dtype: DType) -> bool {
        supports_binary(self, dtype)
    }

    /// The type of the result for operands of type `dtype`.
    pub const fn result(self, dtype: DType) -> DType {
        if self.is_comparison() { DType::Bool } else { dtype }
    }
}

/// Elements of a block.
const N: usize = 256;

/// Elements as registers hold them.
struct Block([u64; N]);

impl Block {
    const EMPTY: Block = Block([0; N]);

    fn loc(&mut self) -> Loc {
        Loc { ptr: self.0.as_mut_ptr().cast(), step: 0 }
    }

    /// Takes the elements of type `dtype` in `bytes`, at most [`N`].
    fn read(&mut self, dtype: DType, bytes: &[u8]) {
        let n = bytes.len() / dtype.size();
        assert!(n <= N);
        let mut halves = [0u16; N];
        let narrow = width(dtype) != dtype.size();
        let to: *mut u8 = if narrow { halves.as_mut_ptr().cast() } else { self.0.as_mut_ptr().cast() };
        // SAFETY: either has room for `N` elements of its size.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
            if narrow {
                half::widen(dtype, n, halves.as_ptr(), self.0.as_mut_ptr().cast());
            }
        }
    }

    /// Gives the first elements, of type `dtype`, as many as fit into `bytes`, at most [`N`].
    fn write(&self, dtype: DType, bytes: &mut [u8]) {
        let n = bytes.len() / dtype.size();
        assert!(n <= N);
        let mut halves = [0u16; N];
        let narrow = width(dtype) != dtype.size();
        // SAFETY: as above.
        unsafe {
            if narrow {
                half::narrow(dtype, n, self.0.as_ptr().cast(), halves.as_mut_ptr());
            }
            let from: *const u8 = if narrow { halves.as_ptr().cast() } else { self.0.as_ptr().cast() };
            core::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len());
        }
    }

    /// Repeats the first element, of type `dtype`.
    fn repeat(&mut self, dtype: DType) {
        let memory: *mut u8 = self.0.as_mut_ptr().cast();
        for i in 1..N {
            // SAFETY: element `i` of at most 8 bytes.
            unsafe { core::ptr::copy_nonoverlapping(memory, memory.add(i * width(dtype)), width(dtype)) }
        }
    }
}

/// Runs `code` along slices of elements of type `dtype`, of which all but the first of several may be single.
fn along<const K: usize>(code: Code, dtype: DType, x: [&[u8]; K], out: &mut [u8]) {
    assert!(code.supports(dtype), "{code:?} is not defined on {dtype}");
    let (size, result) = (dtype.size(), code.result(dtype));
    let n = out.len() / result.size();
    let whole = |x: &[u8]| x.len() == n * size;
    let fits = x.iter().all(|x| whole(x) || (K > 1 && x.len() == size));
    assert!(fits && out.len() == n * result.size(), "as many results as operands");
    let mut args = [Block::EMPTY; K];
    for (arg, x) in args.iter_mut().zip(&x) {
        if !whole(x) {
            arg.read(dtype, x);
            arg.repeat(dtype);
        }
    }
    let mut y = Block::EMPTY;
    for (i, out) in out.chunks_mut(N * result.size()).enumerate() {
        let n = out.len() / result.size();
        for (arg, x) in args.iter_mut().zip(&x) {
            if whole(x) {
                arg.read(dtype, &x[i * N * size..][..n * size]);
            }
        }
        let mut locs = [args[0].loc(); 3];
        for (loc, arg) in locs.iter_mut().zip(&mut args) {
            *loc = Loc { step: 16 * width(dtype), ..arg.loc() };
        }
        // SAFETY: blocks have room for all elements of a block.
        unsafe { exec(code, dtype, &Io { n, args: locs, dst: y.loc().ptr }) }
        y.write(result, out);
    }
}

/// An element's bytes in memory.
fn bytes(x: Scalar) -> [u8; 8] {
    match x.dtype.size() {
        1 => [x.bits as u8; 8],
        2 => (x.bits.wrapping_mul(0x0001_0001_0001_0001)).to_ne_bytes(),
        4 => (x.bits | x.bits << 32).to_ne_bytes(),
        _ => x.bits.to_ne_bytes(),
    }
}

fn one<const K: usize>(code: Code, x: [Scalar; K]) -> Scalar {
    let (dtype, memory) = (x[0].dtype, x.map(bytes));
    let result = code.result(dtype);
    let mut out = [0; 8];
    let slices = memory.each_ref().map(|m| &m[..dtype.size()]);
    along(code, dtype, slices, &mut out[..result.size()]);
    let bits = match result.size() {
        1 => out[0] as u64,
        2 => u16::from_ne_bytes([out[0], out[1]]) as u64,
        4 => u32::from_ne_bytes([out[0], out[1], out[2], out[3]]) as u64,
        _ => u64::from_ne_bytes(out),
    };
    Scalar { dtype: result, bits }
}

/// `op` on one element.
///
/// # Panics
/// If the operation is not defined on the element's type: see [`Unary::supports`].
pub fn unary(op: Unary, x: Scalar) -> Scalar {
    one(Code::Unary(op), [x])
}

/// `op` on two elements.
///
/// # Panics
/// If the types differ or the operation is not defined on them: see [`Binary::supports`].
pub fn binary(op: Binary, x: Scalar, y: Scalar) -> Scalar {
    assert_eq!(x.dtype, y.dtype, "{op:?} takes two elements of the same type");
    one(Code::Binary(op), [x, y])
}

/// `a * b + c` with one rounding (in `f32`, then to their type, for 16-bit floats).
///
/// # Panics
/// If the types differ or are not floats.
pub fn mul_add(a: Scalar, b: Scalar, c: Scalar) -> Scalar {
    assert!(a.dtype == b.dtype && a.dtype == c.dtype, "a multiply-add takes three elements of the same type");
    one(Code::MulAdd, [a, b, c])
}

/// `x` as an element of type `to`, by ONNX's `Cast`: float to integer truncates towards zero and saturates (NaN
/// gives 0), integer to integer wraps, anything to bool is `!= 0`, every float is rounded once to nearest even.
pub fn cast(x: Scalar, to: DType) -> Scalar {
    one(Code::Cast(to), [x])
}

/// `op` on each element of type `dtype` in `x`, into `out`, whose elements have type
/// [`op.result(dtype)`](Unary::result). Any alignment.
///
/// # Panics
/// If the operation is not defined on the type, or the lengths do not fit.
pub fn unary_slice(op: Unary, dtype: DType, x: &[u8], out: &mut [u8]) {
    along(Code::Unary(op), dtype, [x], out);
}

/// `op` on each pair of elements of type `dtype`, into `out`, whose elements have type
/// [`op.result(dtype)`](Binary::result). Either operand may be a single element, used throughout.
/// Any alignment.
///
/// # Panics
/// If the operation is not defined on the type, or the lengths do not fit.
pub fn binary_slice(op: Binary, dtype: DType, x: &[u8], y: &[u8], out: &mut [u8]) {
    along(Code::Binary(op), dtype, [x, y], out);
}

/// `a * b + c` of elements of type `dtype`, as [`mul_add`], into `out`. Operands may be single elements. Any
/// alignment.
///
/// # Panics
/// If the type is no float, or the lengths do not fit.
pub fn mul_add_slice(dtype: DType, a: &[u8], b: &[u8], c: &[u8], out: &mut [u8]) {
    along(Code::MulAdd, dtype, [a, b, c], out);
}

/// Each element of `x`, of type `from`, cast to type `to` into `out` (see [`cast`]). Any alignment.
///
/// # Panics
/// If the lengths do not fit.
pub fn cast_slice(from: DType, x: &[u8], to: DType, out: &mut [u8]) {
    along(Code::Cast(to), from, [x], out);
}
