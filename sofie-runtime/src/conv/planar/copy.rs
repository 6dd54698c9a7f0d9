//! From pixels to planes and back.

use core::ops::Range;

use super::super::epilogue::{activate, activate_all, finish};
use super::{Band, Planes, Shape, shuffle};
use crate::Act;
use crate::simd::{LANES, Op, Simd};

/// Channels from which blocks are transposed in registers; fewer are copied one by one (see [`pick`], [`interleave`]).
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
        if channels.is_empty() {
            return to.fill(0.0);
        }
        if shape.is_inside(band) {
            // What lies between the pixels is read by nothing that is stored; the vector behind the planes may be as well.
            let end = to.len().saturating_sub(LANES);
            to[end..].fill(0.0);
        } else {
            to.fill(0.0);
        }
        let [x0, x1, x2] = shape.x;
        let origin = |i: usize| shape.low[i].wrapping_add(band.start[i] * shape.step[i]);
        let step = shape.step[2];
        // Divisions only here: a small image has less to copy than they take.
        let mut columns = [(0, 0); PHASES];
        for (phase, columns) in columns.iter_mut().enumerate().take(step) {
            *columns = column(origin(2).wrapping_add(phase), x2, step, planes.rows[2]);
        }
        let mut outer = Steps::new(shape.step[0], planes.phase[0], planes.row[0]);
        for p0 in 0..planes.rows[0] * shape.step[0] {
            let (at0, to0) = (origin(0).wrapping_add(p0), outer.next());
            if at0 >= x0 {
                continue;
            }
            let mut inner = Steps::new(shape.step[1], planes.phase[1], planes.row[1]);
            for p1 in 0..planes.rows[1] * shape.step[1] {
                let (at1, to1) = (origin(1).wrapping_add(p1), to0 + inner.next());
                if at1 >= x1 {
                    continue;
                }
                let line = ((image * x0 + at0) * x1 + at1) * x2;
                if step == 2 && shape.ldx == 1 {
                    // The phase that the line starts with, and the other one.
                    let first = usize::from(columns[1].0 < columns[0].0);
                    let skipped = columns[first].0 * step + first;
                    let at = origin(2).wrapping_add(skipped);
                    let to = &mut to[to1..];
                    let [even, odd] = [first, 1 - first].map(|phase| {
                        let (before, count) = columns[phase];
                        (phase * planes.phase[2] + before, count)
                    });
                    if even.1 != 0 {
                        halve(s, &x[line + at..][..x2 - at], to, even, odd);
                    }
                    continue;
                }
                for phase in 0..step {
                    let (before, count) = match columns.get(phase) {
                        Some(&columns) => columns,
                        None => column(origin(2).wrapping_add(phase), x2, step, planes.rows[2]),
                    };
                    if count == 0 {
                        continue;
                    }
                    let pixel = line.wrapping_add(origin(2)).wrapping_add(phase + before * step);
                    let from = &x[pixel * shape.ldx + channels.start..];
                    let to = &mut to[to1 + phase * planes.phase[2] + before..];
                    spread(s, from, step * shape.ldx, count, channels.len(), to, planes.plane);
                }
            }
        }
    }
}

/// Phases of the last axis whose columns are worked out once a band.
const PHASES: usize = 4;

/// Elements of a phase of the last axis before the first pixel, and its pixels: the phase starts at element `at` of
/// `x`, which wraps around below 0, and has `room`.
#[inline(always)]
fn column(at: usize, x: usize, step: usize, room: usize) -> (usize, usize) {
    let before = if (at as isize) < 0 { at.wrapping_neg().div_ceil(step) } else { 0 };
    let first = at.wrapping_add(before * step);
    (before, x.saturating_sub(first).div_ceil(step).min(room.saturating_sub(before)))
}

/// Where the elements of an axis lie in planes: phase by phase, `phase` floats apart, then `row` floats on.
struct Steps {
    phases: usize,
    phase: usize,
    row: usize,
    at: usize,
    turn: usize,
}

impl Steps {
    #[inline(always)]
    fn new(phases: usize, phase: usize, row: usize) -> Steps {
        Steps { phases, phase, row, at: 0, turn: 0 }
    }

    #[inline(always)]
    fn next(&mut self) -> usize {
        let at = self.at + self.turn * self.phase;
        self.turn += 1;
        if self.turn == self.phases {
            (self.turn, self.at) = (0, self.at + self.row);
        }
        at
    }
}

/// A line of one channel to its even and its odd elements: where they go, and how many there are.
#[inline(always)]
fn halve<S: Simd>(s: S, x: &[f32], to: &mut [f32], even: (usize, usize), odd: (usize, usize)) {
    assert!(to.len() >= even.0 + even.1 && to.len() >= odd.0 + odd.1, "planes that are too short");
    assert!(x.len() >= 2 * even.1 - 1 && x.len() >= 2 * odd.1, "pixels that are not there");
    let (from, to) = (x.as_ptr(), to.as_mut_ptr());
    for first in (0..even.1.max(odd.1)).step_by(LANES) {
        let (low, high) = (2 * first, 2 * first + LANES);
        let [inside_low, inside_high] =
            [s.mask_first(x.len().saturating_sub(low)), s.mask_first(x.len().saturating_sub(high))];
        // SAFETY: lanes past the line are masked; where they go is asserted above.
        unsafe {
            let low = s.load_masked_ptr(from.wrapping_add(low), inside_low, s.zero());
            let high = s.load_masked_ptr(from.wrapping_add(high), inside_high, s.zero());
            let (low, high) = s.unzip(low, high);
            s.store_first_ptr(low, to.wrapping_add(even.0 + first), even.1.saturating_sub(first));
            s.store_first_ptr(high, to.wrapping_add(odd.0 + first), odd.1.saturating_sub(first));
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
        if pixels > 4 * LANES {
            return to[..pixels].copy_from_slice(&x[..pixels]);
        }
        for pixel in (0..pixels).step_by(LANES) {
            let count = (pixels - pixel).min(LANES);
            // SAFETY: asserted above; lanes past the last pixel are masked.
            unsafe {
                let v = s.load_masked_ptr(x.as_ptr().add(pixel), s.mask_first(count), s.zero());
                s.store_first_ptr(v, to.as_mut_ptr().add(pixel), count);
            }
        }
        return;
    }
    let (x, to) = (x.as_ptr(), to.as_mut_ptr());
    // SAFETY: asserted above.
    unsafe {
        match channels {
            2 if stride == 2 => return shuffle::unzip_pixels::<S, 2>(s, x, pixels, to, plane),
            4 if stride == 4 => return shuffle::unzip_pixels::<S, 4>(s, x, pixels, to, plane),
            8 if stride == 8 => return shuffle::unzip_pixels::<S, 8>(s, x, pixels, to, plane),
            1 => return pick::<1>(x, stride, pixels, to, plane),
            2 => return pick::<2>(x, stride, pixels, to, plane),
            3 => return pick::<3>(x, stride, pixels, to, plane),
            4 => return pick::<4>(x, stride, pixels, to, plane),
            5 => return pick::<5>(x, stride, pixels, to, plane),
            _ => {}
        }
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

/// `pixels` pixels of `C` channels, one by one.
///
/// # Safety
/// As [`spread`] asserts.
#[inline(always)]
unsafe fn pick<const C: usize>(mut x: *const f32, stride: usize, pixels: usize, to: *mut f32, plane: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        for pixel in 0..pixels {
            for channel in 0..C {
                *to.add(channel * plane + pixel) = *x.add(channel);
            }
            x = x.wrapping_add(stride);
        }
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
    /// The pixel that `y` begins with.
    pub first: usize,
    /// The first element of y.
    pub start: [usize; 3],
    pub count: [usize; 3],
    /// The first filter.
    pub filter: usize,
    pub filters: usize,
    /// `[filter][line]`; activated already where there is no residual.
    pub results: &'a [f32],
    pub line: usize,
    pub y: &'a mut [f32],
    pub residual: &'a [f32],
}

impl Op for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Gather {
            shape,
            row,
            image,
            first: begin,
            start,
            count,
            filter,
            filters,
            results,
            line,
            y,
            residual,
        } = self;
        let step = shape.y_step;
        let act = if residual.is_empty() { Act::None } else { shape.act };
        let [_, y1, y2] = shape.y;
        let mut count = count;
        // Lines that follow on each other, in the results and in y, are one.
        if step == [1; 3] && row[1] == count[2] && count[2] == y2 {
            count = [count[0], 1, count[1] * count[2]];
            if row[0] == count[2] && count[2] == y1 * y2 {
                count = [1, 1, count[0] * count[2]];
            }
        }
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
                        to: &mut y[(pixel - begin) * shape.ldy + filter + first..],
                        stride: step[2] * shape.ldy,
                        residual,
                    };
                    line.store(s, act);
                    first += width;
                }
                if !residual.is_empty() {
                    let y = y[(pixel - begin) * shape.ldy + filter..].as_mut_ptr();
                    // SAFETY: these pixels have just been stored, filter by filter.
                    unsafe { finish(s, act, y, step[2] * shape.ldy, count[2], filters) };
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
    fn store<S: Simd>(self, s: S, act: Act) {
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
                    let mut columns = [[0.0; LANES]; TRANSPOSED];
                    for (filter, column) in columns.iter_mut().enumerate().take(filters) {
                        let mut v = s.load_masked_ptr(from.add(filter * line + pixel), inside, s.zero());
                        if let Some((r, stride)) = residual {
                            let r = r.as_ptr().add(pixel * stride + filter);
                            for (i, x) in column.iter_mut().enumerate().take(count) {
                                *x = *r.add(i * stride);
                            }
                            v = s.add(v, s.load(column));
                        }
                        v = activate(s, act, v);
                        if filters == 1 && stride == 1 {
                            s.store_first_ptr(v, to.add(pixel), count);
                        } else {
                            s.store(v, column);
                        }
                    }
                    let to = to.add(pixel * stride);
                    match filters {
                        1 if stride == 1 => {}
                        1 => interleave::<S, 1>(s, &columns, to, stride, count),
                        2 => interleave::<S, 2>(s, &columns, to, stride, count),
                        3 => interleave::<S, 3>(s, &columns, to, stride, count),
                        4 => interleave::<S, 4>(s, &columns, to, stride, count),
                        _ => interleave::<S, 5>(s, &columns, to, stride, count),
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

/// So many pixels of `F` filters, one after the other.
///
/// # Safety
/// The pixels exist and are nobody else's.
#[inline(always)]
unsafe fn interleave<S: Simd, const F: usize>(
    s: S,
    columns: &[[f32; LANES]; TRANSPOSED],
    to: *mut f32,
    stride: usize,
    count: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if stride == F && (F == 2 || F == 4) {
            let mut rows = [s.zero(); F];
            for (row, column) in rows.iter_mut().zip(columns) {
                *row = s.load(column);
            }
            return shuffle::store_pixels(s, shuffle::zip(s, rows), to, count);
        }
        for pixel in 0..count {
            for (filter, column) in columns.iter().enumerate().take(F) {
                *to.add(pixel * stride + filter) = column[pixel];
            }
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
    unsafe fn store<S: Simd, const N: usize>(self, s: S, act: Act) {
        let Block { from, line, filters, pixels, to, stride, residual } = self;
        let (inside, mask) = (s.mask_first(pixels), s.mask_first(filters));
        if N == 8 && filters == 8 && stride == 8 && residual.is_none() {
            let mut rows = [s.zero(); 8];
            // SAFETY: the caller's promise; lanes past the last pixel are masked.
            unsafe {
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = s.load_masked_ptr(from.add(i * line), inside, s.zero());
                }
                let mut pixel_rows = shuffle::zip(s, rows);
                activate_all(s, act, &mut pixel_rows);
                return shuffle::store_pixels(s, pixel_rows, to, pixels);
            }
        }
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
