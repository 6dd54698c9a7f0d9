//! The steps of k of a tile: chains of fused multiply-adds, for rows of A wherever they are.
//!
//! Where the compiler's choice of instructions decides, the code is written for it, and says so: these loops are what
//! most of all time is spent in.

use super::pack::NR;
use super::tile::{Block, Mode, Place};
use crate::simd::Simd;

/// The chains of one row, as many as its accumulators have lanes.
pub(super) trait Chains<S: Simd>: Copy {
    /// One step of k of B.
    type B: Copy;
    /// Whether some of them are in half a vector.
    const HALF: bool;

    /// # Safety
    /// The panels must exist.
    unsafe fn load(s: S, w: *const f32, panel: usize) -> Self::B;
    /// `a` is the row's element, by two pointers of which one is as good as the other.
    ///
    /// # Safety
    /// It must exist.
    unsafe fn step(&mut self, s: S, a: [*const f32; 2], b: Self::B);
}

impl<S: Simd, const P: usize> Chains<S> for [S::F32; P] {
    type B = [S::F32; P];
    const HALF: bool = false;

    #[inline(always)]
    unsafe fn load(s: S, w: *const f32, panel: usize) -> Self::B {
        // SAFETY: the caller's promise.
        unsafe { panels(s, w, panel) }
    }
    #[inline(always)]
    unsafe fn step(&mut self, s: S, a: [*const f32; 2], b: Self::B) {
        // SAFETY: the caller's promise.
        fma(s, self, unsafe { *a[0] }, b);
    }
}

/// The chains of `FULL` panels and of one more of which the lower half alone has columns.
#[derive(Clone, Copy)]
pub(super) struct Ragged<S: Simd, const FULL: usize>(pub [S::F32; FULL], pub S::Half);

impl<S: Simd, const FULL: usize> Chains<S> for Ragged<S, FULL> {
    type B = ([S::F32; FULL], S::Half);
    const HALF: bool = true;

    #[inline(always)]
    unsafe fn load(s: S, w: *const f32, panel: usize) -> Self::B {
        // SAFETY: the caller's promise.
        unsafe { (panels(s, w, panel), s.load_half_ptr(w.add(FULL * panel))) }
    }
    #[inline(always)]
    unsafe fn step(&mut self, s: S, a: [*const f32; 2], b: Self::B) {
        // SAFETY: the caller's promise.
        unsafe {
            if FULL != 0 {
                fma(s, &mut self.0, *a[0], b.0);
            }
            self.1 = s.mul_add_half(s.splat_half(*a[1]), b.1, self.1);
        }
    }
}

/// All steps of k of a block.
///
/// # Safety
/// As for [`run`](super::tile::run).
#[inline(always)]
pub(super) unsafe fn accumulate<S: Simd, C: Chains<S>, const R: usize, M: Mode>(
    s: S,
    block: &Block,
    place: &Place,
    acc: &mut [C; R],
) {
    // SAFETY: the caller's promise.
    unsafe {
        if M::LINE {
            let (mut table, mut w) = (place.a.table, place.w);
            let mut left = block.k;
            while left != 0 {
                let mut a = Rows::from(block, *table);
                for _ in 0..block.piece {
                    let b = C::load(s, w, block.panel);
                    for (r, acc) in acc.iter_mut().enumerate() {
                        acc.step(s, [a.row(block, r); 2], b);
                    }
                    a.forward(1);
                    w = w.add(NR);
                }
                table = table.add(1);
                left -= block.piece;
            }
        } else if M::TABLE {
            let (mut table, mut w, mut ahead) = (place.a.table, place.w, place.ahead);
            let mut left = block.k;
            while left != 0 {
                let mut rows = [core::ptr::null(); R];
                for (r, row) in rows.iter_mut().enumerate() {
                    *row = *table.add(r);
                }
                for p in 0..block.piece {
                    if R > 4 && !C::HALF {
                        s.prefetch_far(ahead);
                        ahead = ahead.wrapping_add(block.ahead_step);
                    }
                    let b = C::load(s, w, block.panel);
                    for (acc, row) in acc.iter_mut().zip(rows) {
                        acc.step(s, [row.add(p); 2], b);
                    }
                    w = w.add(NR);
                }
                table = table.add(R);
                left -= block.piece;
            }
        } else {
            let (mut w, mut ahead) = (place.w, place.ahead);
            let mut a = Rows::from(block, place.a.strided);
            // The compiler must not know that these are the same rows: of an element that meets a vector and half of one it
            // would make one broadcast and widen it by a shuffle.
            let mut other = if C::HALF { a.forgotten() } else { a };
            for _ in 0..block.k {
                if R > 4 && !C::HALF {
                    if block.near {
                        s.prefetch(ahead)
                    } else {
                        s.prefetch_far(ahead)
                    }
                    ahead = ahead.wrapping_add(block.ahead_step);
                }
                let b = C::load(s, w, block.panel);
                for (r, acc) in acc.iter_mut().enumerate() {
                    let row = a.row(block, r);
                    acc.step(s, [row, if C::HALF { other.row(block, r) } else { row }], b);
                }
                a.forward(block.a_step);
                other.forward(block.a_step);
                w = w.add(NR);
            }
        }
    }
}

/// Rows of A at a stride.
///
/// The offsets are read from the block, so that the compiler does not know that they are multiples of one another. Else it
/// would walk from row to row by additions that wait for each other, 12 cycles for 12 rows (measured with AVX-512: 88
/// GFLOP/s of 166 with one panel, 150 with two).
#[derive(Clone, Copy)]
struct Rows([*const f32; 3]);

impl Rows {
    #[inline(always)]
    fn from(block: &Block, first: *const f32) -> Rows {
        Rows([first, first.wrapping_add(block.a_rows[3]), first.wrapping_add(block.a_rows[4])])
    }
    /// The same, which the compiler does not know.
    #[inline(always)]
    fn forgotten(mut self) -> Rows {
        for at in &mut self.0 {
            *at = core::hint::black_box(*at);
        }
        self
    }
    #[inline(always)]
    fn row(&self, block: &Block, r: usize) -> *const f32 {
        let at = self.0[r / 4];
        if r.is_multiple_of(4) { at } else { at.wrapping_add(block.a_rows[r % 4 - 1]) }
    }
    #[inline(always)]
    fn forward(&mut self, floats: usize) {
        for at in &mut self.0 {
            *at = at.wrapping_add(floats);
        }
    }
}

/// One step of k of `P` panels.
#[inline(always)]
pub(super) unsafe fn panels<S: Simd, const P: usize>(s: S, w: *const f32, panel: usize) -> [S::F32; P] {
    let mut b = [s.zero(); P];
    for (q, b) in b.iter_mut().enumerate() {
        // SAFETY: the caller's promise: the panels exist.
        *b = unsafe { s.load_ptr(w.add(q * panel)) };
    }
    b
}

/// One row's step of k.
#[inline(always)]
pub(super) fn fma<S: Simd, const P: usize>(s: S, acc: &mut [S::F32; P], a: f32, b: [S::F32; P]) {
    let a = s.splat(a);
    for (acc, b) in acc.iter_mut().zip(b) {
        *acc = s.mul_add(a, b, *acc);
    }
}
