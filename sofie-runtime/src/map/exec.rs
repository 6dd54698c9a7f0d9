//! One instruction over one block.

use super::program::{Code, in_f32};
use super::{half, plain, vector};
use crate::DType;

/// Where an argument's elements are: groups of 16, `step` bytes from one to the next (0 for one element that
/// is repeated 16 times).
#[derive(Clone, Copy)]
pub(crate) struct Loc {
    pub ptr: *mut u8,
    pub step: usize,
}

impl Loc {
    /// The `i`-th group.
    #[inline(always)]
    pub(super) fn group(self, i: usize) -> *mut u8 {
        self.ptr.wrapping_add(i * self.step)
    }
}

/// An instruction's arguments and where its `n` results go.
#[derive(Clone, Copy)]
pub(crate) struct Io {
    pub n: usize,
    pub args: [Loc; 3],
    pub dst: *mut u8,
}

/// Runs an instruction whose arguments are of type `dtype`. Elements are as registers hold them: 16-bit floats as
/// `f32`, bools as bytes of which any but 0 is true.
/// # Safety
/// `io` must describe memory for `n` elements of the instruction's types. Only what is computed in `f32` may
/// repeat one element.
#[inline(always)]
pub(super) unsafe fn exec(code: Code, dtype: DType, io: &Io) {
    // SAFETY: the caller's promise.
    unsafe {
        if !in_f32(dtype) || matches!(code, Code::Cast(_)) {
            plain::run(code, dtype, *io);
        } else {
            vector::run(code, io);
            half::round(code.result(dtype), io.n, io.dst.cast());
        }
    }
}
