//! Scalar operations on [`Scalar`]s, and on slices of bytes for the compiler's evaluator.
//! The same arithmetic as the kernels, bit for bit: a constant may be folded without a trace.

use super::cast::CastTo;
use super::num::{Arith, Bits, VisitBinary, VisitUnary, supports_binary, supports_unary, with_type};
use super::{Binary, Scalar, Unary};
use crate::{DType, math};

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

/// Applies the visited function to one element's bits.
struct One(u64);

impl<T: Bits> VisitUnary<T> for One {
    type Out = Scalar;
    fn visit<R: Bits>(self, f: impl Fn(T) -> R + Copy) -> Scalar {
        f(T::of(self.0)).scalar()
    }
}

/// Applies the visited function to two elements' bits.
struct Two(u64, u64);

impl<T: Bits> VisitBinary<T> for Two {
    type Out = Scalar;
    fn visit<R: Bits>(self, f: impl Fn(T, T) -> R + Copy) -> Scalar {
        f(T::of(self.0), T::of(self.1)).scalar()
    }
}

/// `op` on one element.
///
/// # Panics
/// If the operation is not defined on the element's type: see [`Unary::supports`].
pub fn unary(op: Unary, x: Scalar) -> Scalar {
    with_type!(x.dtype, T => T::unary(op, One(x.bits)))
}

/// `op` on two elements.
///
/// # Panics
/// If the types differ or the operation is not defined on them: see [`Binary::supports`].
pub fn binary(op: Binary, x: Scalar, y: Scalar) -> Scalar {
    assert_eq!(x.dtype, y.dtype, "{op:?} takes two elements of the same type");
    with_type!(x.dtype, T => T::binary(op, Two(x.bits, y.bits)))
}

/// One element in memory, in the machine's byte order; memory of bools may hold any non-zero byte.
fn load<T: Bits>(bytes: &[u8]) -> T {
    let mut b = [0; 8];
    if cfg!(target_endian = "big") {
        b[8 - bytes.len()..].copy_from_slice(bytes);
    } else {
        b[..bytes.len()].copy_from_slice(bytes);
    }
    T::of(u64::from_ne_bytes(b))
}

fn store<T: Bits>(x: T, bytes: &mut [u8]) {
    let b = x.bits().to_ne_bytes();
    if cfg!(target_endian = "big") {
        bytes.copy_from_slice(&b[8 - size_of::<T>()..]);
    } else {
        bytes.copy_from_slice(&b[..size_of::<T>()]);
    }
}

/// Applies the visited function along slices.
struct Each<'a> {
    x: &'a [u8],
    out: &'a mut [u8],
}

impl<T: Bits> VisitUnary<T> for Each<'_> {
    type Out = ();
    fn visit<R: Bits>(self, f: impl Fn(T) -> R + Copy) {
        let n = self.x.len() / size_of::<T>();
        assert_eq!(self.x.len(), n * size_of::<T>(), "a whole number of elements");
        assert_eq!(self.out.len(), n * size_of::<R>(), "as many results as operands");
        let out = self.out.chunks_exact_mut(size_of::<R>());
        for (x, out) in self.x.chunks_exact(size_of::<T>()).zip(out) {
            store(f(load(x)), out);
        }
    }
}

/// Applies the visited function along two slices, of which one may be a single element.
struct EachPair<'a> {
    x: &'a [u8],
    y: &'a [u8],
    out: &'a mut [u8],
}

impl<T: Bits> VisitBinary<T> for EachPair<'_> {
    type Out = ();
    fn visit<R: Bits>(self, f: impl Fn(T, T) -> R + Copy) {
        let size = size_of::<T>();
        let n = self.out.len() / size_of::<R>();
        assert_eq!(self.out.len(), n * size_of::<R>(), "a whole number of elements");
        assert!(self.x.len() == n * size || self.x.len() == size, "as many results as operands");
        assert!(self.y.len() == n * size || self.y.len() == size, "as many results as operands");
        let out = self.out.chunks_exact_mut(size_of::<R>());
        match (self.x.len() == n * size, self.y.len() == n * size) {
            (true, true) => {
                for ((x, y), out) in self.x.chunks_exact(size).zip(self.y.chunks_exact(size)).zip(out) {
                    store(f(load(x), load(y)), out);
                }
            }
            (true, false) => {
                let y = load(self.y);
                for (x, out) in self.x.chunks_exact(size).zip(out) {
                    store(f(load(x), y), out);
                }
            }
            (false, true) => {
                let x = load(self.x);
                for (y, out) in self.y.chunks_exact(size).zip(out) {
                    store(f(x, load(y)), out);
                }
            }
            (false, false) => {
                let r = f(load(self.x), load(self.y));
                out.for_each(|out| store(r, out));
            }
        }
    }
}

/// `op` on each element of type `dtype` in `x`, into `out`, whose elements have type
/// [`op.result(dtype)`](Unary::result). Any alignment.
///
/// # Panics
/// If the operation is not defined on the type, or the lengths do not fit.
pub fn unary_slice(op: Unary, dtype: DType, x: &[u8], out: &mut [u8]) {
    if dtype == DType::F32 && op.supports(dtype) && !op.is_predicate() {
        return unary_slice_f32(op, x, out);
    }
    with_type!(dtype, T => T::unary(op, Each { x, out }));
}

/// The vector kernels, block by block through aligned memory.
fn unary_slice_f32(op: Unary, x: &[u8], out: &mut [u8]) {
    assert!(x.len() == out.len() && x.len().is_multiple_of(4), "as many results as operands");
    let mut block = [0f32; 256];
    for (x, out) in x.chunks(1024).zip(out.chunks_mut(1024)) {
        let n = x.len() / 4;
        for (b, x) in block.iter_mut().zip(x.chunks_exact(4)) {
            *b = load(x);
        }
        math::scalar32::unary_slice(op, &mut block[..n]);
        for (b, out) in block.iter().zip(out.chunks_exact_mut(4)) {
            store(*b, out);
        }
    }
}

/// `op` on each pair of elements of type `dtype`, into `out`, whose elements have type
/// [`op.result(dtype)`](Binary::result). Either operand may be a single element, used throughout.
/// Any alignment.
///
/// # Panics
/// If the operation is not defined on the type, or the lengths do not fit.
pub fn binary_slice(op: Binary, dtype: DType, x: &[u8], y: &[u8], out: &mut [u8]) {
    with_type!(dtype, T => T::binary(op, EachPair { x, y, out }));
}

/// Each element of `x`, of type `from`, cast to type `to` into `out` (see [`cast`](super::cast)).
/// Any alignment.
///
/// # Panics
/// If the lengths do not fit.
pub fn cast_slice(from: DType, x: &[u8], to: DType, out: &mut [u8]) {
    let n = x.len() / from.size();
    assert!(x.len() == n * from.size() && out.len() == n * to.size(), "as many results as operands");
    with_type!(from, T => with_type!(to, R => {
        for (x, out) in x.chunks_exact(size_of::<T>()).zip(out.chunks_exact_mut(size_of::<R>())) {
            store(CastTo::<R>::cast_to(load::<T>(x)), out);
        }
    }));
}
