//! Rows that are runs of memory on both sides, rows of one repeated element, and the plain loop for the rest.
//! Runs are copied in vectors of 64 bytes whatever their type; the last vector of a row ends where the row ends
//! and overlaps the one before it, so no tail loop is needed.

use super::Plane;
use crate::simd::Simd;

/// Bytes of a vector.
const VECTOR: usize = 64;
/// From here on it is left to `memcpy`, which knows about pages and streaming stores.
const LONG: usize = 4096;

/// Copies `bytes` bytes.
/// # Safety
/// `x` must be valid for reading and `y` for writing `bytes` bytes, without overlap.
#[inline(always)]
pub(crate) unsafe fn copy_row<S: Simd>(s: S, y: *mut u8, x: *const u8, bytes: usize) {
    // SAFETY: every access below lies within the first `bytes` bytes of either side.
    unsafe {
        if bytes >= LONG {
            core::ptr::copy_nonoverlapping(x, y, bytes);
        } else if bytes >= VECTOR {
            let last = bytes - VECTOR;
            let mut at = 0;
            while at < last {
                s.store_ptr(s.load_ptr(x.add(at).cast()), y.add(at).cast());
                at += VECTOR;
            }
            s.store_ptr(s.load_ptr(x.add(last).cast()), y.add(last).cast());
        } else if bytes >= 16 {
            copy_ends::<u128>(y, x, bytes);
        } else if bytes >= 8 {
            (y.cast::<u64>()).write_unaligned(x.cast::<u64>().read_unaligned());
            let at = bytes - 8;
            y.add(at).cast::<u64>().write_unaligned(x.add(at).cast::<u64>().read_unaligned());
        } else if bytes >= 4 {
            let at = bytes - 4;
            let (a, b) = (x.cast::<u32>().read_unaligned(), x.add(at).cast::<u32>().read_unaligned());
            y.cast::<u32>().write_unaligned(a);
            y.add(at).cast::<u32>().write_unaligned(b);
        } else {
            for at in 0..bytes {
                *y.add(at) = *x.add(at);
            }
        }
    }
}

/// Copies from one to four times the size of `B` bytes: pairs from both ends, which meet in the middle.
/// # Safety
/// As [`copy_row`], and `size_of::<B>() <= bytes <= 4 * size_of::<B>()`.
#[inline(always)]
unsafe fn copy_ends<B: Copy>(y: *mut u8, x: *const u8, bytes: usize) {
    let size = size_of::<B>();
    // SAFETY: `bytes` is at least one and, in the branch, more than two sizes.
    unsafe {
        let (a, z) = (x.cast::<B>().read_unaligned(), x.add(bytes - size).cast::<B>().read_unaligned());
        if bytes > 2 * size {
            let b = x.add(size).cast::<B>().read_unaligned();
            let c = x.add(bytes - 2 * size).cast::<B>().read_unaligned();
            y.add(size).cast::<B>().write_unaligned(b);
            y.add(bytes - 2 * size).cast::<B>().write_unaligned(c);
        }
        y.cast::<B>().write_unaligned(a);
        y.add(bytes - size).cast::<B>().write_unaligned(z);
    }
}

/// Rows that stand together on both sides.
/// # Safety
/// `y` and `x` must be valid for all elements of the plane.
#[inline(always)]
pub(super) unsafe fn runs<S: Simd, E: Copy>(s: S, p: Plane, y: *mut E, x: *const E) {
    let bytes = p.cols * size_of::<E>();
    let (mut y, mut x) = (y, x);
    for _ in 0..p.rows {
        // SAFETY: a row of the plane.
        unsafe { copy_row(s, y.cast(), x.cast(), bytes) }
        (y, x) = (y.wrapping_offset(p.dst_row), x.wrapping_offset(p.src_row));
    }
}

/// Rows that repeat one element.
/// # Safety
/// `y` and `x` must be valid for all elements of the plane.
#[inline(always)]
pub(super) unsafe fn splats<S: Simd, E: Copy>(s: S, p: Plane, y: *mut E, x: *const E) {
    let (mut y, mut x) = (y, x);
    for _ in 0..p.rows {
        // SAFETY: a row of the plane.
        unsafe { splat_row(s, y, *x, p.cols) }
        (y, x) = (y.wrapping_offset(p.dst_row), x.wrapping_offset(p.src_row));
    }
}

/// Writes `value` to `n` elements.
/// # Safety
/// `y` must be valid for writing `n` elements.
#[inline(always)]
pub(super) unsafe fn splat_row<S: Simd, E: Copy>(s: S, y: *mut E, value: E, n: usize) {
    let lanes = VECTOR / size_of::<E>();
    // SAFETY: within the first `n` elements; the vector repeats the element's bytes, whose size divides 64.
    unsafe {
        if n < lanes {
            for i in 0..n {
                y.add(i).write(value);
            }
            return;
        }
        let mut block = [0u8; VECTOR];
        for i in 0..lanes {
            block.as_mut_ptr().cast::<E>().add(i).write_unaligned(value);
        }
        let v = s.load_ptr(block.as_ptr().cast());
        let mut at = 0;
        while at < n - lanes {
            s.store_ptr(v, y.add(at).cast());
            at += lanes;
        }
        s.store_ptr(v, y.add(n - lanes).cast());
    }
}

/// Any strides, element by element.
/// # Safety
/// `y` and `x` must be valid for all elements of the plane.
#[inline(always)]
pub(super) unsafe fn elements<E: Copy>(p: Plane, y: *mut E, x: *const E) {
    for r in 0..p.rows as isize {
        let (y, x) = (y.wrapping_offset(r * p.dst_row), x.wrapping_offset(r * p.src_row));
        for c in 0..p.cols as isize {
            // SAFETY: an element of the plane.
            unsafe { y.wrapping_offset(c * p.dst_col).write(*x.wrapping_offset(c * p.src_col)) }
        }
    }
}
