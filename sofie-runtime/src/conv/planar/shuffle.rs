//! Pixels of 2, 4 or 8 channels that follow on each other, 16 at a time: to one vector a channel and back, in as few
//! shuffles as there are.

use crate::simd::{LANES, Simd};

/// From one vector a channel to pixels: vectors of `C` channels side by side.
#[inline(always)]
pub(super) fn zip<S: Simd, const C: usize>(s: S, channels: [S::F32; C]) -> [S::F32; C] {
    // Each round brings twice as many channels together: those whose numbers differ in the highest bit first.
    let mut v = channels;
    let mut half = C / 2;
    while half > 0 {
        let from = v;
        for block in (0..C).step_by(2 * half) {
            // Within a block, channel i meets channel i + half; their lanes in turn.
            for i in 0..half {
                let (low, high) = s.zip(from[block + i], from[block + i + half]);
                (v[block + i], v[block + i + half]) = (low, high);
            }
        }
        half /= 2;
    }
    v
}

/// From pixels to one vector a channel: [`zip`] backwards.
#[inline(always)]
fn unzip<S: Simd, const C: usize>(s: S, pixels: [S::F32; C]) -> [S::F32; C] {
    let mut v = pixels;
    let mut half = 1;
    while half < C {
        let from = v;
        for block in (0..C).step_by(2 * half) {
            for i in 0..half {
                let (even, odd) = s.unzip(from[block + i], from[block + i + half]);
                (v[block + i], v[block + i + half]) = (even, odd);
            }
        }
        half *= 2;
    }
    v
}

/// `pixels` pixels of `C` channels to planes that lie `plane` floats apart.
///
/// # Safety
/// The pixels exist, and so many floats of each plane are nobody else's.
#[inline(always)]
pub(super) unsafe fn unzip_pixels<S: Simd, const C: usize>(
    s: S,
    x: *const f32,
    pixels: usize,
    to: *mut f32,
    plane: usize,
) {
    for first in (0..pixels).step_by(LANES) {
        let count = (pixels - first).min(LANES);
        let mut rows = [s.zero(); C];
        // SAFETY: the caller's promise; lanes past the last pixel are masked.
        unsafe {
            for (i, row) in rows.iter_mut().enumerate() {
                let mask = s.mask_first((count * C).saturating_sub(i * LANES));
                *row = s.load_masked_ptr(x.wrapping_add(first * C + i * LANES), mask, s.zero());
            }
            for (channel, v) in unzip(s, rows).into_iter().enumerate() {
                s.store_first_ptr(v, to.add(channel * plane + first), count);
            }
        }
    }
}

/// The first `count` of 16 pixels of `C` channels.
///
/// # Safety
/// That much room is nobody else's.
#[inline(always)]
pub(super) unsafe fn store_pixels<S: Simd, const C: usize>(
    s: S,
    rows: [S::F32; C],
    to: *mut f32,
    count: usize,
) {
    for (i, row) in rows.into_iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { s.store_first_ptr(row, to.wrapping_add(i * LANES), (count * C).saturating_sub(i * LANES)) };
    }
}
