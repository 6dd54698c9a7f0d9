//! From pixels to planes and back.

use core::ops::Range;

use super::super::epilogue::{activate, activate_all, finish};
use super::{Band, Planes, Shape};
use crate::simd::{LANES, Op, Simd};

/// Channels from which blocks are transposed in registers; fewer are copied one by one.
const TRANSPOSED: usize = 6;

/// Spreads the pixels that a band sees over planes, zeros around them.
pub(super) struct Spread<'a> {
    pub shape: &'a Shape,
    pub band: &'a Band,
    pub planes: &'a Planes,
    pub image: usize,
    pub channels: Range<usize>,
    pub x: &'a [f32],
    pub to: &'a mut [f32],
}

impl Op for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Spread { shape, band, planes, image, channels, x, to } = self;
        to.fill(0.0);
        if channels.is_empty() {
            return;
        }
        let [x0, x1, x2] = shape.x;
        let origin = |i: usize| shape.low[i].wrapping_add(band.start[i] * shape.step[i]);
        let step = shape.step[2];
        for p0 in 0..planes.rows[0] * shape.step[0] {
            let at0 = origin(0).wrapping_add(p0);
            if at0 >= x0 {
                continue;
            }
            let to0 = p0 % shape.step[0] * planes.phase[0] + p0 / shape.step[0] * planes.row[0];
            for p1 in 0..planes.rows[1] * shape.step[1] {
                let at1 = origin(1).wrapping_add(p1);
                if at1 >= x1 {
                    continue;
                }
                let to1 = to0 + p1 % shape.step[1] * planes.phase[1] + p1 / shape.step[1] * planes.row[1];
                for phase in 0..step {
                    let at = origin(2).wrapping_add(phase);
                    // Elements of the phase before the first pixel.
                    let before = if (at as isize) < 0 { at.wrapping_neg().div_ceil(step) } else { 0 };
                    let first = at.wrapping_add(before * step);
                    let count =
                        x2.saturating_sub(first).div_ceil(step).min(planes.rows[2].saturating_sub(before));
                    if count == 0 {
                        continue;
                    }
                    let pixel = ((image * x0 + at0) * x1 + at1) * x2 + first;
                    let from = &x[pixel * shape.ldx + channels.start..];
                    let to = &mut to[to1 + phase * planes.phase[2] + before..];
                    spread(s, from, step * shape.ldx, count, channels.len(), to, planes.plane);
                }
            }
        }
    }
}

/// `pixels` pixels of `channels` channels, `stride` floats apart, to planes that lie `plane` apart.
#[inline(always)]
fn spread<S: Simd>(
    s: S,
    x: &[f32],
    stride: usize,
    pixels: usize,
    channels: usize,
    to: &mut [f32],
    plane: usize,
) {
    assert!(x.len() >= (pixels - 1) * stride + channels, "pixels that are not there");
    assert!(to.len() >= (channels - 1) * plane + pixels, "planes that are too short");
    if channels == 1 && stride == 1 {
        to[..pixels].copy_from_slice(&x[..pixels]);
        return;
    }
    let (x, to) = (x.as_ptr(), to.as_mut_ptr());
    if channels < TRANSPOSED {
        for i in 0..pixels {
            for ch in 0..channels {
                // SAFETY: asserted above.
                unsafe { *to.add(ch * plane + i) = *x.add(i * stride + ch) };
            }
        }
        return;
    }
    let mut pixel = 0;
    while pixel < pixels {
        let count = (pixels - pixel).min(LANES);
        let mut first = 0;
        while first < channels {
            let width = (channels - first).min(LANES);
            // SAFETY: asserted above.
            unsafe {
                let (x, to) = (x.add(pixel * stride + first), to.add(first * plane + pixel));
                if width <= LANES / 2 {
                    spread_block::<S, { LANES / 2 }>(s, x, stride, count, width, to, plane);
                } else {
                    spread_block::<S, LANES>(s, x, stride, count, width, to, plane);
                }
            }
            first += width;
        }
        pixel += count;
    }
}

/// At most 16 pixels of at most `N` channels. What is not needed of a transpose of so few is left out by the
/// compiler, which must see that the rest is not used.
#[inline(always)]
unsafe fn spread_block<S: Simd, const N: usize>(
    s: S,
    x: *const f32,
    stride: usize,
    pixels: usize,
    channels: usize,
    to: *mut f32,
    plane: usize,
) {
    let mask = s.mask_first(channels);
    let mut block = [s.zero(); LANES];
    // SAFETY: the caller's promise; pixels past the last read the last one again.
    unsafe {
        for (i, v) in block.iter_mut().enumerate() {
            let from = x.add(i.min(pixels - 1) * stride);
            *v = s.load_masked_ptr(from, mask, s.zero());
        }
        s.transpose(&mut block);
        if pixels == LANES {
            for (i, v) in block.iter().enumerate().take(N) {
                if i < channels {
                    s.store_ptr(*v, to.add(i * plane));
                }
            }
        } else {
            for (i, v) in block.iter().enumerate().take(N) {
                if i < channels {
                    s.store_first_ptr(*v, to.add(i * plane), pixels);
                }
            }
        }
    }
}

/// Brings the results of a phase together to pixels; residual and activation on the way.
pub(super) struct Gather<'a> {
    pub shape: &'a Shape,
    /// Floats between neighbours of the line, per axis.
    pub row: [usize; 3],
    pub image: usize,
    /// The first element of y.
    pub start: [usize; 3],
    pub count: [usize; 3],
    /// The first filter.
    pub filter: usize,
    pub filters: usize,
    /// `[filter][line]`; activated already where there is no residual, if it takes more than a register.
    pub results: &'a [f32],
    pub line: usize,
    pub y: &'a mut [f32],
    pub residual: &'a [f32],
}

impl Op for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Gather { shape, row, image, start, count, filter, filters, results, line, y, residual } = self;
        let step = shape.y_step;
        let [_, y1, y2] = shape.y;
        for a in 0..count[0] {
            for b in 0..count[1] {
                let at0 = image * shape.y[0] + start[0] + a * step[0];
                let pixel = (at0 * y1 + start[1] + b * step[1]) * y2 + start[2];
                let (mut first, to_row) = (0, a * row[0] + b * row[1]);
                while first < filters {
                    let width = (filters - first).min(LANES);
                    let residual = match residual {
                        [] => None,
                        r => Some((&r[pixel * shape.ldr + filter + first..], step[2] * shape.ldr)),
                    };
                    let line = Pixels {
                        from: &results[first * line + to_row..],
                        line,
                        filters: width,
                        pixels: count[2],
                        to: &mut y[pixel * shape.ldy + filter + first..],
                        stride: step[2] * shape.ldy,
                        residual,
                    };
                    line.store(s, shape.act);
                    first += width;
                }
                if !residual.is_empty() {
                    let y = y[pixel * shape.ldy + filter..].as_mut_ptr();
                    // SAFETY: these pixels have just been stored, filter by filter.
                    unsafe { finish(s, shape.act, y, step[2] * shape.ldy, count[2], filters) };
                }
            }
        }
    }
}

/// A line of pixels of at most 16 filters.
struct Pixels<'a> {
    from: &'a [f32],
    line: usize,
    filters: usize,
    pixels: usize,
    to: &'a mut [f32],
    stride: usize,
    /// And the floats between its pixels.
    residual: Option<(&'a [f32], usize)>,
}

impl Pixels<'_> {
    #[inline(always)]
    fn store<S: Simd>(self, s: S, act: crate::Act) {
        let Pixels { from, line, filters, pixels, to, stride, residual } = self;
        let reach = |stride: usize| (pixels - 1) * stride + filters;
        assert!(from.len() >= (filters - 1) * line + pixels, "results that are not there");
        assert!(to.len() >= reach(stride), "y is too short");
        assert!(residual.is_none_or(|(r, stride)| r.len() >= reach(stride)), "the residual is too short");
        let (from, to) = (from.as_ptr(), to.as_mut_ptr());
        let mut pixel = 0;
        while pixel < pixels {
            let count = (pixels - pixel).min(LANES);
            let inside = s.mask_first(count);
            // SAFETY: asserted above; lanes past the last pixel or filter are masked.
            unsafe {
                if filters < TRANSPOSED {
                    for filter in 0..filters {
                        let mut v = s.load_masked_ptr(from.add(filter * line + pixel), inside, s.zero());
                        let to = to.add(pixel * stride + filter);
                        if let Some((r, stride)) = residual {
                            let r = r.as_ptr().add(pixel * stride + filter);
                            let mut column = [0.0; LANES];
                            for (i, x) in column.iter_mut().enumerate().take(count) {
                                *x = *r.add(i * stride);
                            }
                            v = s.add(v, s.load(&column));
                        }
                        v = activate(s, act, v);
                        if stride == 1 {
                            s.store_first_ptr(v, to, count);
                        } else {
                            for (i, x) in s.to_array(v).into_iter().enumerate().take(count) {
                                *to.add(i * stride) = x;
                            }
                        }
                    }
                } else {
                    let residual = residual.map(|(r, stride)| (r.as_ptr().add(pixel * stride), stride));
                    let block = Block {
                        from: from.add(pixel),
                        line,
                        filters,
                        pixels: count,
                        to: to.add(pixel * stride),
                        stride,
                        residual,
                    };
                    if filters <= LANES / 2 {
                        block.store::<S, { LANES / 2 }>(s, act);
                    } else {
                        block.store::<S, LANES>(s, act);
                    }
                }
            }
            pixel += count;
        }
    }
}

/// At most 16 pixels of at most 16 filters.
struct Block {
    from: *const f32,
    line: usize,
    filters: usize,
    pixels: usize,
    to: *mut f32,
    stride: usize,
    residual: Option<(*const f32, usize)>,
}

impl Block {
    /// With at most `N` filters, see [`spread_block`].
    #[inline(always)]
    unsafe fn store<S: Simd, const N: usize>(self, s: S, act: crate::Act) {
        let Block { from, line, filters, pixels, to, stride, residual } = self;
        let (inside, mask) = (s.mask_first(pixels), s.mask_first(filters));
        let mut block = [s.zero(); LANES];
        // SAFETY: the caller's promise; lanes past the last pixel or filter are masked.
        unsafe {
            for (i, v) in block.iter_mut().enumerate().take(N) {
                // Filters past the last read the last one again.
                *v = s.load_masked_ptr(from.add(i.min(filters - 1) * line), inside, s.zero());
            }
            s.transpose(&mut block);
            if let Some((r, stride)) = residual {
                for (i, v) in block.iter_mut().enumerate() {
                    let r = r.add(i.min(pixels - 1) * stride);
                    *v = s.add(*v, s.load_masked_ptr(r, mask, s.zero()));
                }
            }
            activate_all(s, act, &mut block);
            if pixels == LANES {
                for (i, v) in block.iter().enumerate() {
                    s.store_first_ptr(*v, to.add(i * stride), filters);
                }
            } else {
                for (i, v) in block.iter().enumerate() {
                    if i < pixels {
                        s.store_first_ptr(*v, to.add(i * stride), filters);
                    }
                }
            }
        }
    }
}
