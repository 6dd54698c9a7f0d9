//! Instructions over a block of floats, generic over the instruction set.
//! One loop an operation; an argument is a pointer that moves on by a vector or, for one repeated element, stays.

use super::exec::{Io, Loc};
use super::program::Code;
use super::{Binary, Unary};
use crate::math::{self, Fn1, Fn2, VisitFn1, VisitFn2, visit, visit2};
use crate::quantise;
use crate::simd::{LANES, Op, Simd, dispatch};

/// A group of at most 16 elements of a block. Whoever makes one promises that all of an instruction's arguments
/// and results are there.
#[derive(Clone, Copy)]
struct Group<S> {
    s: S,
    args: [Loc; 3],
    dst: *mut u8,
    i: usize,
    n: usize,
}

impl<S: Simd> Group<S> {
    /// Argument `k`, a float.
    #[inline(always)]
    fn float(self, k: usize) -> S::F32 {
        let (s, p) = (self.s, self.args[k].group(self.i).cast());
        // SAFETY: the promise of `Group`.
        unsafe {
            if self.n >= LANES {
                s.load_ptr(p)
            } else {
                s.load_masked_ptr(p, s.mask_first(self.n), s.splat(1.0))
            }
        }
    }

    /// Argument `k`, a bool: any byte but 0 is true.
    #[inline(always)]
    fn mask(self, k: usize) -> S::Mask {
        let p = self.args[k].group(self.i);
        let mut bytes = [0u8; LANES];
        // SAFETY: the promise of `Group`.
        unsafe {
            if self.n >= LANES {
                bytes = p.cast::<[u8; LANES]>().read();
            } else {
                core::ptr::copy_nonoverlapping(p, bytes.as_mut_ptr(), self.n);
            }
        }
        self.s.mask_from_bools(bytes)
    }

    #[inline(always)]
    fn put(self, v: S::F32) {
        let (s, p) = (self.s, self.dst.wrapping_add(self.i * LANES * 4).cast());
        // SAFETY: the promise of `Group`.
        unsafe { s.store_first_ptr(v, p, self.n) }
    }

    #[inline(always)]
    fn put_mask(self, m: S::Mask) {
        self.put_bytes(self.s.mask_bools(m));
    }

    #[inline(always)]
    fn put_bytes(self, bytes: [u8; LANES]) {
        let p = self.dst.wrapping_add(self.i * LANES);
        // SAFETY: the promise of `Group`.
        unsafe {
            if self.n >= LANES {
                p.cast::<[u8; LANES]>().write(bytes);
            } else {
                core::ptr::copy_nonoverlapping(bytes.as_ptr(), p, self.n);
            }
        }
    }
}

/// Runs the block with `$g` standing for each group. A copy of the arguments in registers: what the block is
/// written through might otherwise point at them.
macro_rules! each_group {
    ($s:expr, $io:expr, $g:ident => $body:expr) => {{
        let (mut i, n, [a, b, c], dst) = (0, $io.n, $io.args, $io.dst);
        while i * LANES < n {
            let $g = Group { s: $s, args: [a, b, c], dst, i, n: n - i * LANES };
            $body;
            i += 1;
        }
    }};
}

impl Io {
    /// The float that argument `k` repeats, if it does.
    fn repeated(&self, k: usize) -> Option<f32> {
        let arg = self.args[k];
        // SAFETY: whoever made the arguments promised an element there.
        (arg.step == 0 && self.n > 0).then(|| unsafe { arg.ptr.cast::<f32>().read() })
    }
}

/// A loop over a block, waiting for its function.
struct Loop<'a, S> {
    s: S,
    io: &'a Io,
}

impl<S: Simd> VisitFn1 for Loop<'_, S> {
    #[inline(always)]
    fn visit<F: Fn1>(self, f: F) {
        each_group!(self.s, self.io, g => g.put(f.call(self.s, g.float(0))))
    }
}

impl<S: Simd> VisitFn2 for Loop<'_, S> {
    #[inline(always)]
    fn visit<F: Fn2>(self, f: F) {
        each_group!(self.s, self.io, g => g.put(f.call(self.s, g.float(0), g.float(1))))
    }
}

/// An instruction whose arguments are floats (a bool as well for a selection).
struct Exec<'a>(Code, &'a Io);

impl Op for Exec<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Exec(code, io) = self;
        match code {
            Code::Unary(Unary::IsNan) => each_group!(s, io, g => g.put_mask(s.is_nan(g.float(0)))),
            Code::Unary(op @ (Unary::IsPosInf | Unary::IsNegInf)) => {
                let inf = s.splat(if op == Unary::IsPosInf { f32::INFINITY } else { f32::NEG_INFINITY });
                each_group!(s, io, g => g.put_mask(s.eq(g.float(0), inf)));
            }
            Code::Unary(op) => visit(op, Loop { s, io }),
            Code::Binary(Binary::Eq) => each_group!(s, io, g => g.put_mask(s.eq(g.float(0), g.float(1)))),
            Code::Binary(Binary::Ne) => each_group!(s, io, g => g.put_mask(s.ne(g.float(0), g.float(1)))),
            Code::Binary(Binary::Lt) => each_group!(s, io, g => g.put_mask(s.lt(g.float(0), g.float(1)))),
            Code::Binary(Binary::Le) => each_group!(s, io, g => g.put_mask(s.le(g.float(0), g.float(1)))),
            Code::Binary(Binary::Gt) => each_group!(s, io, g => g.put_mask(s.gt(g.float(0), g.float(1)))),
            Code::Binary(Binary::Ge) => each_group!(s, io, g => g.put_mask(s.ge(g.float(0), g.float(1)))),
            Code::Binary(op) => visit2(op, Loop { s, io }),
            Code::MulAdd => {
                each_group!(s, io, g => g.put(s.mul_add(g.float(0), g.float(1), g.float(2))))
            }
            Code::Select => each_group!(s, io, g => g.put(s.select(g.mask(0), g.float(1), g.float(2)))),
            Code::Saturate(to) => {
                let range = quantise::range(s, to, io.repeated(1));
                each_group!(s, io, g => g.put(quantise::saturate(s, range, g.float(0), g.float(1))))
            }
            Code::Quantize(to) => {
                let by = quantise::quantizer(s, to, io.repeated(1), io.repeated(2));
                each_group!(s, io, g => {
                    let steps = by.integers(s, g.float(0), g.float(1), g.float(2));
                    g.put_bytes(s.to_array_i32(steps).map(|step| step as u8))
                })
            }
            Code::Steps(to) => {
                let by = quantise::quantizer(s, to, io.repeated(1), io.repeated(2));
                each_group!(s, io, g => g.put(by.steps(s, g.float(0), g.float(1), g.float(2))))
            }
            Code::FakeQuantize(to) => {
                let by = quantise::quantizer(s, to, io.repeated(1), io.repeated(2));
                each_group!(s, io, g => g.put(by.nearest(s, g.float(0), g.float(1), g.float(2))))
            }
            Code::LeakyRelu => each_group!(s, io, g => {
                let x = g.float(0);
                g.put(s.select(s.ge(x, s.zero()), x, s.mul(x, g.float(1))))
            }),
            Code::Elu => each_group!(s, io, g => {
                let x = g.float(0);
                let below = s.mul(math::expm1_of_negative(s, x), g.float(1));
                g.put(s.select(s.ge(x, s.zero()), x, below))
            }),
            Code::Clip => {
                each_group!(s, io, g => g.put(s.min(s.max(g.float(0), g.float(1)), g.float(2))))
            }
            Code::Copy | Code::Cast(_) => each_group!(s, io, g => g.put(g.float(0))),
        }
    }
}

/// Runs an instruction on floats; a cast is left to others.
/// # Safety
/// `io` must describe memory for `n` elements.
#[inline(never)]
pub(super) unsafe fn run(code: Code, io: &Io) {
    dispatch(Exec(code, io));
}

/// `op` on each element, in place.
pub(crate) fn unary_in_place(op: Unary, x: &mut [f32]) {
    let x_loc = Loc { ptr: x.as_mut_ptr().cast(), step: LANES * 4 };
    // SAFETY: all elements are in the slice; in place, a group is read before it is written.
    unsafe { run(Code::Unary(op), &Io { n: x.len(), args: [x_loc; 3], dst: x_loc.ptr }) }
}

/// `op` on one float.
#[inline(never)]
pub(crate) fn unary_of(op: Unary, x: f32) -> f32 {
    let mut y = [x];
    unary_in_place(op, &mut y);
    y[0]
}
