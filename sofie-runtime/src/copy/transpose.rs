//! Transposed planes: the source is contiguous along the rows' axis, the destination along the columns'.
//! Elements of four bytes go through registers in 16×16 blocks, so that each cache line of either side is
//! touched once; other sizes go in blocks of the same shape, element by element.

use super::Plane;
use crate::simd::{LANES, Simd};

/// Up to so many rows or columns, a block's shuffles cost more than the elements that they move.
const NARROW: usize = 4;
/// Up to so many rows, a block takes twice as many columns: the rows of two halves.
const HALF: usize = LANES / 2;

/// # Safety
/// `y` and `x` must be valid for all elements of the plane, whose `src_row` and `dst_col` are 1.
#[inline(always)]
pub(super) unsafe fn blocks<S: Simd, E: Copy>(s: S, p: Plane, y: *mut E, x: *const E) {
    // SAFETY: the caller's promise, also for each block; elements of four bytes may be moved as `f32` bits.
    unsafe {
        match p.cols {
            1 => return narrow::<1, E>(p, y, x),
            2 => return narrow::<2, E>(p, y, x),
            3 => return narrow::<3, E>(p, y, x),
            4 => return narrow::<4, E>(p, y, x),
            _ if p.rows <= NARROW => return super::rows::elements(p, y, x),
            _ => {}
        }
        if p.rows <= HALF && size_of::<E>() == 4 {
            for c in (0..p.cols).step_by(2 * LANES) {
                let block = Plane { cols: (2 * LANES).min(p.cols - c), ..p };
                let (y, x) = (y.wrapping_add(c), x.wrapping_offset(c as isize * p.src_col));
                block8x32(s, block, y.cast(), x.cast());
            }
            return;
        }
        for r in (0..p.rows).step_by(LANES) {
            let rows = LANES.min(p.rows - r);
            for c in (0..p.cols).step_by(LANES) {
                let block = Plane { rows, cols: LANES.min(p.cols - c), ..p };
                let y = y.wrapping_offset(r as isize * p.dst_row + c as isize);
                let x = x.wrapping_offset(r as isize + c as isize * p.src_col);
                if size_of::<E>() == 4 {
                    block16(s, block, y.cast(), x.cast());
                } else {
                    super::rows::elements(block, y, x);
                }
            }
        }
    }
}

/// Few columns: channels that are put together pixel by pixel.
/// # Safety
/// As [`blocks`], with `C` columns.
#[inline(always)]
unsafe fn narrow<const C: usize, E: Copy>(p: Plane, y: *mut E, x: *const E) {
    for r in 0..p.rows as isize {
        let (y, x) = (y.wrapping_offset(r * p.dst_row), x.wrapping_offset(r));
        for c in 0..C as isize {
            // SAFETY: an element of the plane.
            unsafe { y.wrapping_offset(c).write(*x.wrapping_offset(c * p.src_col)) }
        }
    }
}

/// At most 8×32 elements: columns `c` and `c + 16` in the halves of a vector.
/// # Safety
/// As [`blocks`].
#[inline(always)]
unsafe fn block8x32<S: Simd>(s: S, p: Plane, y: *mut f32, x: *const f32) {
    let column = |c: usize| x.wrapping_offset(c as isize * p.src_col);
    let (lower, halves) = (s.mask_first(p.rows), s.mask_first(HALF));
    let upper = s.mask_and(s.mask_first(HALF + p.rows), s.mask_not(halves));
    let mut v = [s.zero(); LANES];
    for (c, v) in v.iter_mut().enumerate().take(p.cols) {
        // SAFETY: the rows that column `c` has, and those of column `c + 16`, if it exists.
        unsafe {
            *v = s.load_masked_ptr(column(c), lower, s.zero());
            if c + LANES < p.cols {
                *v = s.load_masked_ptr(column(c + LANES).wrapping_sub(HALF), upper, *v);
            }
        }
    }
    s.transpose(&mut v);
    for (half, v) in v.chunks_exact(HALF).enumerate() {
        let columns = LANES.min(p.cols.saturating_sub(half * LANES));
        for (r, &v) in v.iter().enumerate().take(p.rows) {
            let y = y.wrapping_offset(r as isize * p.dst_row).wrapping_add(half * LANES);
            // SAFETY: the columns that row `r` has, 16 at most from each half on.
            unsafe { if columns == LANES { s.store_ptr(v, y) } else { s.store_first_ptr(v, y, columns) } }
        }
    }
}

/// At most 16×16 elements.
/// # Safety
/// As [`blocks`].
#[inline(always)]
unsafe fn block16<S: Simd>(s: S, p: Plane, y: *mut f32, x: *const f32) {
    let mut v = [s.zero(); LANES];
    if p.rows == LANES && p.cols == LANES {
        for (c, v) in v.iter_mut().enumerate() {
            // SAFETY: 16 elements of column `c`.
            *v = unsafe { s.load_ptr(x.wrapping_offset(c as isize * p.src_col)) };
        }
        s.transpose(&mut v);
        for (r, v) in v.into_iter().enumerate() {
            // SAFETY: 16 elements of row `r`.
            unsafe { s.store_ptr(v, y.wrapping_offset(r as isize * p.dst_row)) }
        }
        return;
    }
    let rows = s.mask_first(p.rows);
    for (c, v) in v.iter_mut().enumerate().take(p.cols) {
        // SAFETY: the rows that column `c` has.
        *v = unsafe { s.load_masked_ptr(x.wrapping_offset(c as isize * p.src_col), rows, s.zero()) };
    }
    s.transpose(&mut v);
    for (r, v) in v.into_iter().enumerate().take(p.rows) {
        // SAFETY: the columns that row `r` has.
        unsafe { s.store_first_ptr(v, y.wrapping_offset(r as isize * p.dst_row), p.cols) }
    }
}
