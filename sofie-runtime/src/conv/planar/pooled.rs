//! Planar convolution with pooling behind it: windows over the lines that a band has just computed, pixels side by side, so
//! that only what is left of them is put together to pixels.
//!
//! A window's elements are taken in the order that [`Pool`] takes them in, so the bits are those of the two in turn.

use super::super::window::{Pixel, Window, between};
use super::super::{Conv, Operands};
use super::bands::{self, Band, Bands};
use super::copy::Gather;
use super::{BAND, Shape, line, one_band, taps};
use crate::Act;
use crate::pool::{Inside, Pool, PoolKind};
use crate::simd::{LANES, Op, Simd, dispatch};

/// Floats behind the results that a window's vectors may reach over.
const BEHIND: usize = 2 * LANES;

/// Floats of one filter's windows, `count` of them: whole vectors are stored.
fn pooled_line(count: [usize; 3]) -> usize {
    (count.iter().product::<usize>() + LANES - 1).next_multiple_of(LANES)
}

/// Outputs of the convolution that so many windows see at the most.
fn seen(w: &Window, count: [usize; 3]) -> [usize; 3] {
    [0, 1, 2].map(|i| Window { y: count, ..*w }.reach(i).min(w.x[i]))
}

/// The outputs of the convolution that the windows of a band see.
fn lines_of(w: &Window, band: &Band) -> Band {
    let mut lines = Band { start: [0; 3], count: [0; 3] };
    for i in 0..3 {
        let (first, reach) = (band.start[i] * w.strides[i], Window { y: band.count, ..*w }.reach(i));
        let start = first.saturating_sub(w.pads_begin[i]).min(w.x[i]);
        let end = (first + reach).saturating_sub(w.pads_begin[i]).min(w.x[i]);
        (lines.start[i], lines.count[i]) = (start, end.saturating_sub(start));
    }
    lines
}

/// Floats of the planes of so many windows, in whose memory the windows' results follow them.
fn room(shape: &Shape, pool: &Pool, count: [usize; 3]) -> usize {
    let planes = shape.planes(seen(&pool.window, count)).plane * shape.groups() * (shape.c / shape.group);
    let filters = shape.groups() * (shape.m / shape.group);
    (planes + LANES).max(filters * pooled_line(count))
}

/// Floats of scratch for bands of so many windows.
fn floats(shape: &Shape, pool: &Pool, count: [usize; 3]) -> usize {
    let seen = seen(&pool.window, count);
    let filters = shape.groups() * (shape.m / shape.group);
    room(shape, pool, count) + filters * line(&shape.planes(seen), seen) + BEHIND
}

/// Windows of a band: as many as [`BAND`] allows, but enough that bands do not copy much twice.
fn band(shape: &Shape, pool: &Pool) -> [usize; 3] {
    let axis = bands::axis(pool.window.y);
    let mut band = pool.window.y;
    let halo = 3 * (shape.reach[axis] / shape.step[axis]) + 1;
    while band[axis] > 1 && seen(&pool.window, band)[axis] > halo && floats(shape, pool, band) > BAND {
        band[axis] = band[axis].div_ceil(2);
    }
    band
}

/// Floats of scratch.
pub(in crate::conv) fn scratch(conv: &Conv, pool: &Pool) -> usize {
    let shape = Shape::new(conv);
    floats(&shape, pool, band(&shape, pool))
}

/// Runs both; the operands have been checked, and there is no residual.
pub(in crate::conv) fn run(conv: &Conv, pool: &Pool, o: Operands, scratch: &mut [f32]) {
    let shape = Shape::new(conv);
    let whole = band(&shape, pool);
    let room = room(&shape, pool, whole);
    // As the convolution of what is left.
    let y = pool.window.y;
    let left = Shape { y, act: Act::None, ldy: pool.ldy, ..shape };
    let axis = bands::axis(y);
    let bands = Bands { batch: pool.batch, count: y, whole, axis, y, y_step: [1; 3], ldy: pool.ldy };
    bands.for_each(conv.operations(), o, scratch, |unit, o, scratch| {
        let lines = lines_of(&pool.window, &unit.band);
        one_band(&shape, lines, unit.image, room, o, scratch, |mut job| {
            let (row, filters) = (job.planes.row, job.groups * (shape.m / shape.group));
            let taps = taps(&conv.window, &job.planes);
            let line = job.lines(lines.count, &taps, 0);
            let (band, pooled) = (unit.band, pooled_line(unit.band.count));
            dispatch(Windows {
                pool,
                band,
                lines,
                row,
                results: job.results,
                line,
                filters,
                to: job.x,
                to_line: pooled,
            });
            dispatch(Gather {
                shape: &left,
                row: [band.count[1] * band.count[2], band.count[2], 1],
                image: job.image,
                first: unit.first,
                start: band.start,
                count: band.count,
                filter: job.group * (shape.m / shape.group),
                filters,
                results: job.x,
                line: pooled,
                y: job.o.y,
                residual: &[],
            });
        });
    });
}

/// The windows of a band of one image, filter by filter.
struct Windows<'a> {
    pool: &'a Pool,
    band: Band,
    /// The outputs of the convolution that are there: all that the windows see.
    lines: Band,
    /// Floats between neighbours of a line, per axis.
    row: [usize; 3],
    /// `[filter][line]`, and [`BEHIND`] floats more.
    results: &'a [f32],
    line: usize,
    filters: usize,
    /// `[filter][to_line]`, the windows one behind the other.
    to: &'a mut [f32],
    to_line: usize,
}

impl Op for Windows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.pool.kind {
            PoolKind::Max => s.outline(KindOf::<true>(self)),
            _ => s.outline(KindOf::<false>(self)),
        }
    }
}

/// Windows of one kind: their maximum, or an average.
struct KindOf<'a, const MAX: bool>(Windows<'a>);

impl<const MAX: bool> Op for KindOf<'_, MAX> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let KindOf(mut windows) = self;
        let (pool, Band { start, count }) = (windows.pool, windows.band);
        windows.check();
        let whole = pool.whole_windows();
        for a in 0..count[0] {
            for b in 0..count[1] {
                let at = [start[0] + a, start[1] + b, start[2]];
                let mut inside = pool.inside(&Pixel { image: 0, at });
                for column in (0..count[2]).step_by(LANES) {
                    let at = start[2] + column;
                    let lanes = at..at + (count[2] - column).min(LANES);
                    pool.enter(&mut inside, 2, at);
                    let to = (a * count[1] + b) * count[2] + column;
                    let is_whole = whole.start <= lanes.start && lanes.end <= whole.end;
                    let mut counts = s.splat(inside.count() as f32);
                    if !MAX && !is_whole {
                        let mut each = [1.0; LANES];
                        let mut inside = inside;
                        for (each, at) in each.iter_mut().zip(lanes) {
                            pool.enter(&mut inside, 2, at);
                            *each = inside.count() as f32;
                        }
                        counts = s.load(&each);
                    }
                    let w = &pool.window;
                    let [planes, rows, _] = inside.taps.map(|(first, end)| end - first);
                    let square =
                        if planes == 1 && w.dilations[2] == 1 && rows == w.kernel[2] { rows } else { 0 };
                    match (is_whole, w.strides[2], square) {
                        (true, 2, 2) => windows.vector::<S, MAX, true, 2, 2>(s, &inside, counts, to),
                        (true, 2, 3) => windows.vector::<S, MAX, true, 2, 3>(s, &inside, counts, to),
                        (true, 2, _) => windows.vector::<S, MAX, true, 2, 0>(s, &inside, counts, to),
                        (true, 1, _) => windows.vector::<S, MAX, true, 1, 0>(s, &inside, counts, to),
                        (false, 2, _) => windows.vector::<S, MAX, false, 2, 0>(s, &inside, counts, to),
                        _ => windows.vector::<S, MAX, false, 0, 0>(s, &inside, counts, to),
                    }
                }
            }
        }
    }
}

impl Windows<'_> {
    /// That everything which the windows see is there, and that there is room for them.
    fn check(&self) {
        let (w, Band { start, count }) = (&self.pool.window, self.lines);
        let seen = lines_of(w, &self.band);
        assert!(
            (0..3).all(|i| start[i] <= seen.start[i] && seen.start[i] + seen.count[i] <= start[i] + count[i]
                || seen.count.contains(&0))
        );
        if !count.contains(&0) {
            let last = [0, 1, 2].map(|i| (count[i] - 1) * self.row[i]);
            assert!(self.row[2] == 1 && last.iter().sum::<usize>() < self.line, "lines that are too short");
            assert!(self.results.len() >= self.filters * self.line + BEHIND, "results that are not there");
        }
        assert!(self.to_line >= pooled_line(self.band.count), "windows side by side that are too few");
        assert!(self.to.len() >= self.filters * self.to_line, "no room for the windows");
    }

    /// A vector of windows side by side, the first of which has `inside`: of each filter to element `to` of its windows.
    /// They are `STEP` apart, or however far, and have all their columns if `WHOLE`; they see `K` rows of one plane, `K` columns
    /// side by side in each, if that is not 0.
    #[inline(always)]
    fn vector<S: Simd, const MAX: bool, const WHOLE: bool, const STEP: usize, const K: usize>(
        &mut self,
        s: S,
        inside: &Inside,
        counts: S::F32,
        to: usize,
    ) {
        let (w, lines, row) = (&self.pool.window, &self.lines, self.row);
        let at = |i: usize, tap: usize| {
            inside.start[i].wrapping_add(tap * w.dilations[i]).wrapping_sub(lines.start[i])
        };
        let [(a0, a1), (b0, b1), _] = inside.taps;
        let (planes, rows) = if K == 0 { (a1 - a0, b1 - b0) } else { (1, K) };
        let (plane_step, row_step) = (w.dilations[0] * row[0], w.dilations[1] * row[1]);
        // What wraps around is not read.
        let first = at(0, a0).wrapping_mul(row[0]).wrapping_add(at(1, b0).wrapping_mul(row[1]));
        let columns = Columns { column: at(2, 0), end: lines.count[2], step: w.strides[2] };
        let (kernel, dilation) = if K == 0 { (w.kernel[2], w.dilations[2]) } else { (K, 1) };
        let mut from = self.results.as_ptr().wrapping_add(first);
        let mut to = self.to.as_mut_ptr().wrapping_add(to);
        for _ in 0..self.filters {
            let mut acc = None;
            let mut plane = from;
            for _ in 0..planes {
                let mut x = plane;
                for _ in 0..rows {
                    // SAFETY: `check` found the lines that windows of this band see, and what lies behind them.
                    acc = unsafe { columns.fold::<S, MAX, WHOLE, STEP>(s, x, kernel, dilation, acc) };
                    x = x.wrapping_add(row_step);
                }
                plane = plane.wrapping_add(plane_step);
            }
            let mut acc = acc.unwrap_or(s.splat(identity::<MAX>()));
            if !MAX {
                acc = s.div(acc, counts);
            }
            // SAFETY: `check` found room for whole vectors of each filter.
            unsafe { s.store_ptr(acc, to) };
            from = from.wrapping_add(self.line);
            to = to.wrapping_add(self.to_line);
        }
    }
}

/// What windows begin with, and see outside: -∞ is larger than nothing, and a sum that began with 0.0 is never -0.0.
const fn identity<const MAX: bool>() -> f32 {
    if MAX { f32::NEG_INFINITY } else { 0.0 }
}

/// The columns that windows side by side see of a line.
#[derive(Clone, Copy)]
struct Columns {
    /// The first window's first; below 0 it wraps around.
    column: usize,
    /// Elements of the line.
    end: usize,
    /// Elements from a window to the next.
    step: usize,
}

impl Columns {
    /// What `kernel` columns of the line at `x`, `dilation` apart, make of `acc`, if there is something yet.
    ///
    /// # Safety
    /// The line is there, and [`BEHIND`] floats from each element of it.
    #[inline(always)]
    unsafe fn fold<S: Simd, const MAX: bool, const WHOLE: bool, const STEP: usize>(
        &self,
        s: S,
        x: *const f32,
        kernel: usize,
        dilation: usize,
        mut acc: Option<S::F32>,
    ) -> Option<S::F32> {
        // Macros: a closure that is not inlined is compiled without the instruction set.
        macro_rules! add {
            ($x:expr) => {{
                let x = $x;
                acc = Some(match acc {
                    None if MAX => x,
                    None => s.add(s.zero(), x),
                    Some(acc) if MAX => s.max(acc, x),
                    Some(acc) => s.add(acc, x),
                });
            }};
        }
        macro_rules! load {
            ($at:expr) => {{
                let (at, end) = ($at, self.end);
                let x = x.wrapping_add(at);
                // SAFETY: of whole windows the caller's promise, since the first one's element is there; of others, what
                // is not there is masked.
                unsafe {
                    if WHOLE {
                        s.load_ptr(x)
                    } else {
                        s.load_masked_ptr(x, s.mask_from_bits(between(at, end)), s.splat(identity::<MAX>()))
                    }
                }
            }};
        }
        let mut tap = 0;
        while tap < kernel {
            let at = self.column.wrapping_add(tap * dilation);
            tap += 1;
            match STEP {
                1 => add!(load!(at)),
                2 => {
                    let (even, odd) = s.unzip(load!(at), load!(at.wrapping_add(LANES)));
                    add!(even);
                    if dilation == 1 && tap < kernel {
                        add!(odd);
                        tap += 1;
                    }
                }
                _ => {
                    let mut lanes = [identity::<MAX>(); LANES];
                    for (i, lane) in lanes.iter_mut().enumerate() {
                        let at = at.wrapping_add(i * self.step);
                        if at < self.end {
                            // SAFETY: the line has that element.
                            *lane = unsafe { *x.add(at) };
                        }
                    }
                    add!(s.load(&lanes));
                }
            }
        }
        acc
    }
}
