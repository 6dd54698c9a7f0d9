//! Row programs: softmax and normalisations over the last axis, one row at a time (of short rows for softmax, 16), in a few
//! passes over a row that stays in the first-level cache. Rows of up to 16 elements stay in one register.

mod norm;
mod plain;
mod softmax;
#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::parallel;
use crate::simd::{LANES, Op, Simd, dispatch};
use crate::{DType, Element};

/// What is computed for each row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RowKind {
    /// `e^(x - max) / Σ e^(x - max)`. A row with NaN, or of minus infinities alone, is NaN.
    Softmax,
    /// `x - max - log Σ e^(x - max)`.
    LogSoftmax,
    /// `(x - mean) / sqrt(variance + epsilon) · scale + bias`.
    LayerNorm {
        /// Added to the variance.
        epsilon: f32,
    },
    /// `x / sqrt(mean(x²) + epsilon) · scale`.
    RmsNorm {
        /// Added to the mean square.
        epsilon: f32,
    },
}

/// A program over `rows` rows of `n` elements.
///
/// Sums run over 16 lanes (lane = column modulo 16) that are combined in a fixed tree, so all instruction
/// sets give the same bits.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The program.
    pub kind: RowKind,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub n: usize,
    /// Elements from a row of `x` to the next.
    pub ldx: usize,
    /// Elements from a row of `y` to the next.
    pub ldy: usize,
}

/// A row program over raw memory; `x` and `y` may be the same.
struct Run<'a> {
    p: &'a Rows,
    y: *mut f32,
    x: *const f32,
    scale: *const f32,
    bias: *const f32,
}

impl Rows {
    /// Reads `x`, writes `y`; `scale` and `bias` have `n` elements or none. Floats of any width: `f16` and `bf16`
    /// are computed in `f32`, `f64` in `f64`.
    ///
    /// # Panics
    /// When a slice is too short for the descriptor, or the type is no float.
    #[inline]
    pub fn run<T: Element>(&self, y: &mut [T], x: &[T], scale: &[T], bias: &[T]) {
        self.check(y.len(), self.ldy, scale.len(), bias.len());
        self.check(x.len(), self.ldx, 0, 0);
        // SAFETY: the slices hold what the descriptor reaches (checked); the element type is `T`'s own.
        unsafe {
            self.run_raw(T::DTYPE, y.as_mut_ptr().cast(), x.as_ptr().cast(), optional(scale), optional(bias))
        }
    }

    /// As [`Rows::run`] with `y` holding `x` beforehand; `ldx` must equal `ldy`.
    ///
    /// # Panics
    /// As [`Rows::run`].
    #[inline]
    pub fn run_in_place<T: Element>(&self, y: &mut [T], scale: &[T], bias: &[T]) {
        assert!(self.ldx == self.ldy || self.rows < 2, "rows: in place with two strides");
        self.check(y.len(), self.ldy, scale.len(), bias.len());
        let p = y.as_mut_ptr();
        // SAFETY: as above; every program reads an element before it writes it.
        unsafe { self.run_raw(T::DTYPE, p.cast(), p.cast_const().cast(), optional(scale), optional(bias)) }
    }

    #[inline]
    fn check(&self, len: usize, ld: usize, scale: usize, bias: usize) {
        let reached = self.rows.saturating_sub(1).checked_mul(ld).and_then(|r| r.checked_add(self.n));
        let empty = self.rows == 0 || self.n == 0;
        assert!(empty || reached.is_some_and(|r| r <= len), "rows: a slice of {len} elements for {self:?}");
        assert!(scale == 0 || scale >= self.n, "rows: too few scales");
        assert!(bias == 0 || bias >= self.n, "rows: too few biases");
    }

    /// # Safety
    /// The memory of elements of `dtype` behind the pointers holds what the descriptor reaches; `scale` and `bias`
    /// may be null.
    #[inline]
    unsafe fn run_raw(&self, dtype: DType, y: *mut u8, x: *const u8, scale: *const u8, bias: *const u8) {
        if self.rows == 0 || self.n == 0 {
            return;
        }
        if dtype == DType::F32 {
            let (y, x) = (y.cast(), x.cast());
            let run = Run { p: self, y, x, scale: scale.cast(), bias: bias.cast() };
            let parts = parallel::parts(OPERATIONS.saturating_mul(self.rows * self.n), self.rows);
            parallel::for_each(parts, |i| {
                dispatch(Part { run: &run, rows: parallel::share(self.rows, 1, parts, i) });
            });
        } else {
            // SAFETY: the caller's promise.
            unsafe { plain::run(self, dtype, y, x, scale, bias) }
        }
    }
}

fn optional<T>(x: &[T]) -> *const u8 {
    if x.is_empty() { core::ptr::null() } else { x.as_ptr().cast() }
}

/// What an element costs, in operations of a product: a sum, and again, an exponential or two products.
const OPERATIONS: usize = 20;

// SAFETY: the pointers are those of checked slices that are borrowed while the parts run, and no two parts write, or read
// in place, the same rows.
unsafe impl Sync for Run<'_> {}

/// Some rows.
struct Part<'a> {
    run: &'a Run<'a>,
    rows: Range<usize>,
}

impl Op for Part<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part { run, rows: Range { start, end } } = self;
        let &Rows { n, ldx, ldy, .. } = run.p;
        let mut start = start;
        if run.p.kind == RowKind::Softmax && n <= LANES {
            while end - start >= LANES {
                // SAFETY: `Rows::run` checked that each row is inside its slice.
                unsafe {
                    let (y, x) = (run.y.add(start * ldy), run.x.add(start * ldx));
                    softmax::softmax_short(s, n, y, ldy, x, ldx);
                }
                start += LANES;
            }
        }
        let group = match run.p.kind {
            RowKind::Softmax | RowKind::LogSoftmax => 1,
            RowKind::LayerNorm { .. } | RowKind::RmsNorm { .. } => norm::together(n),
        };
        for row in (start..end).step_by(group) {
            // SAFETY: `Rows::run` checked that each row is inside its slice.
            unsafe {
                let (y, x) = (run.y.add(row * ldy), run.x.add(row * ldx));
                let (scale, bias) = (run.scale, run.bias);
                let norm = |epsilon| norm::Norm {
                    rows: group.min(end - row),
                    n,
                    epsilon,
                    y,
                    ldy,
                    x,
                    ldx,
                    scale,
                    bias,
                };
                match run.p.kind {
                    RowKind::Softmax => softmax::softmax(s, n, y, x),
                    RowKind::LogSoftmax => softmax::log_softmax(s, n, y, x),
                    RowKind::LayerNorm { epsilon } => norm(epsilon).run::<S, true>(s),
                    RowKind::RmsNorm { epsilon } => norm(epsilon).run::<S, false>(s),
                }
            }
        }
    }
}

/// The end of a row: fewer than 16 floats.
#[derive(Clone, Copy)]
struct Tail<S: Simd> {
    mask: S::Mask,
    n: usize,
}

/// Runs `$body` for each vector of a row of `$n` with its position and tail; whole vectors have none.
/// A macro and not a function that takes a closure: a closure inside a kernel is compiled without the kernel's
/// instruction set where it is not inlined (measured: softmax 30 times slower).
macro_rules! vectors {
    ($s:expr, $n:expr, |$i:ident, $tail:ident| $body:expr) => {{
        let mut $i = 0;
        while $i + LANES <= $n {
            let $tail = None::<Tail<S>>;
            $body;
            $i += LANES;
        }
        if $i < $n {
            let $tail = Some(Tail { mask: $s.mask_first($n - $i), n: $n - $i });
            $body;
        }
    }};
}
use vectors;

/// # Safety
/// `p` holds 16 floats, or those of the tail.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, p: *const f32, tail: Option<Tail<S>>, fill: S::F32) -> S::F32 {
    // SAFETY: the caller's promise.
    unsafe {
        match tail {
            None => s.load_ptr(p),
            Some(tail) => s.load_masked_ptr(p, tail.mask, fill),
        }
    }
}

/// # Safety
/// `p` has room for 16 floats, or those of the tail.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, v: S::F32, p: *mut f32, tail: Option<Tail<S>>) {
    // SAFETY: the caller's promise.
    unsafe {
        match tail {
            None => s.store_ptr(v, p),
            Some(tail) => s.store_first_ptr(v, p, tail.n),
        }
    }
}
