//! Positions along an axis that is not the innermost: results side by side, the axis walked in the outer loop, so that
//! what is read at a time stands next to each other. `f32` in vectors, other types in loops that become such.

use crate::simd::{LANES, Op, Simd, dispatch};

/// Results next to each other in `x`.
#[derive(Clone, Copy)]
pub(super) struct Columns<T> {
    pub largest: bool,
    pub last: bool,
    /// The first result, and from one to the next.
    pub y: *mut i64,
    pub y_step: isize,
    /// The first element of the first, and from one of its elements to the next.
    pub x: *const T,
    pub step: isize,
    /// Elements of a result, at least 1 and within `i32`.
    pub n: usize,
    /// Results.
    pub width: usize,
}

impl<T> Columns<T> {
    /// # Safety
    /// Results `from` and on are inside, as many as there are positions.
    #[inline(always)]
    unsafe fn put(&self, from: usize, positions: &[i32]) {
        // SAFETY: the caller's promise.
        unsafe {
            let y = self.y.offset(from as isize * self.y_step);
            if self.y_step == 1 {
                let y = core::slice::from_raw_parts_mut(y, positions.len());
                y.iter_mut().zip(positions).for_each(|(y, p)| *y = i64::from(*p));
            } else {
                for (i, p) in positions.iter().enumerate() {
                    *y.offset(i as isize * self.y_step) = i64::from(*p);
                }
            }
        }
    }
}

/// Results at once of types that have no vectors.
const BLOCK: usize = 32;

/// # Safety
/// All results and their elements are inside.
#[inline(always)]
#[allow(clippy::eq_op, reason = "NaN alone differs from itself")]
pub(super) unsafe fn plain<T: Copy, K: PartialOrd + Copy>(c: Columns<T>, key: impl Fn(T) -> K) {
    let mut from = 0;
    while from < c.width {
        let width = (c.width - from).min(BLOCK);
        // SAFETY: the caller's promise.
        unsafe {
            let x = c.x.add(from);
            let (mut best, mut at) = ([key(*x); BLOCK], [0i32; BLOCK]);
            let row = |i: usize| core::slice::from_raw_parts(x.wrapping_offset(i as isize * c.step), width);
            best.iter_mut().zip(row(0)).for_each(|(best, x)| *best = key(*x));
            for i in 1..c.n {
                for ((best, at), x) in best.iter_mut().zip(&mut at).zip(row(i)) {
                    let (k, old) = (key(*x), *best);
                    let better = if c.largest { k > old } else { k < old };
                    // Alike, or both NaN, or only the new one.
                    let takes = better | (k != k) & (c.last | (old == old)) | c.last & (k == old);
                    *best = if takes { k } else { old };
                    *at = if takes { i as i32 } else { *at };
                }
            }
            c.put(from, &at[..width]);
        }
        from += width;
    }
}

/// # Safety
/// As [`plain`].
pub(super) unsafe fn floats(c: Columns<f32>) {
    dispatch(Floats(c));
}

struct Floats(Columns<f32>);

impl Op for Floats {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let c = self.0;
        let mut from = 0;
        while from < c.width {
            let width = (c.width - from).min(4 * LANES);
            // SAFETY: `floats`' caller promised that all is inside.
            unsafe {
                if width == 4 * LANES {
                    block::<S, 4>(s, &c, from, width);
                    from += width;
                } else {
                    let width = width.min(LANES);
                    block::<S, 1>(s, &c, from, width);
                    from += width;
                }
            }
        }
    }
}

/// `width` results from `from` on in `V` vectors, of which a single one may have lanes past the end.
///
/// # Safety
/// As [`plain`].
#[inline(always)]
unsafe fn block<S: Simd, const V: usize>(s: S, c: &Columns<f32>, from: usize, width: usize) {
    let mask = s.mask_first(width);
    let whole = V > 1 || width == LANES;
    let mut x = c.x.wrapping_add(from);
    let (mut best, mut at) = ([s.zero(); V], [s.zero_i32(); V]);
    for (v, best) in best.iter_mut().enumerate() {
        let x = x.wrapping_add(v * LANES);
        // SAFETY: the caller's promise; lanes past the end are masked.
        *best = unsafe { if whole { s.load_ptr(x) } else { s.load_masked_ptr(x, mask, s.zero()) } };
    }
    for i in 1..c.n {
        x = x.wrapping_offset(c.step);
        let i = s.splat_i32(i as i32);
        for (v, (best, at)) in best.iter_mut().zip(&mut at).enumerate() {
            let x = x.wrapping_add(v * LANES);
            // SAFETY: as above.
            let k = unsafe { if whole { s.load_ptr(x) } else { s.load_masked_ptr(x, mask, s.zero()) } };
            let (a, b) = if c.largest { (*best, k) } else { (k, *best) };
            let takes = if c.last {
                s.mask_or(s.le(a, b), s.is_nan(k))
            } else {
                s.mask_or(s.lt(a, b), s.mask_and(s.is_nan(k), s.eq(*best, *best)))
            };
            *best = s.select(takes, k, *best);
            *at = s.select_i32(takes, i, *at);
        }
    }
    for (v, at) in at.iter().enumerate() {
        let positions = s.to_array_i32(*at);
        let end = (width - v * LANES).min(LANES);
        // SAFETY: the caller's promise.
        unsafe { c.put(from + v * LANES, &positions[..end]) };
    }
}
