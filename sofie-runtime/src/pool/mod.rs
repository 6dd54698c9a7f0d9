//! Max and average pooling over windows of one to three spatial axes, channels last.
//! (Pooling over whole images is a reduction.)

mod plain;
#[cfg(test)]
pub(crate) mod tests;

pub use self::plain::PlainPool;
use core::ops::Range;

use crate::conv::{Window, extent, window::Pixel};
use crate::parallel;
use crate::simd::{LANES, Op, Simd, dispatch};

/// How a window becomes one element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The largest element inside the tensor; NaN wins. Of none: the least value there is.
    Max,
    /// The mean over the elements inside the tensor. Of none: 0.
    Average,
    /// The mean over the elements inside the tensor and its pads (`count_include_pad`), not beyond them.
    AverageWithPads,
}

/// Pooling: x is `[batch, x…, c]`, y is `[batch, y…, c]`.
///
/// ```
/// use sofie_infer_runtime::{conv::Window, pool::{Pool, PoolKind}};
/// let window = Window::new(&[4], &[2], &[2], &[2], &[1], &[0]);
/// let mut y = [0.0; 2];
/// Pool::new(PoolKind::Max, 1, window, [0; 3], 1).run(&mut y, &[1.0, 4.0, 3.0, 2.0]);
/// assert_eq!(y, [4.0, 3.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// What becomes of a window.
    pub kind: PoolKind,
    /// Images.
    pub batch: usize,
    /// The window and the spatial extents.
    pub window: Window,
    /// Elements behind the last, per axis, that count as pads; windows may reach further (`ceil_mode`).
    pub pads_end: [usize; 3],
    /// Channels.
    pub c: usize,
    /// Elements from a pixel of x to the next.
    pub ldx: usize,
    /// Elements from a pixel of y to the next.
    pub ldy: usize,
}

/// The taps of a window that count.
#[derive(Clone, Copy)]
pub(crate) struct Inside {
    /// First and past-the-end tap, per axis, of those inside the tensor.
    pub taps: [(usize, usize); 3],
    /// The element of x, per axis, that tap 0 sees; wraps around below 0.
    pub start: [usize; 3],
    /// Elements that count, per axis.
    counts: [usize; 3],
}

impl Inside {
    /// What the sum is divided by: a sum of nothing is 0 whatever it is divided by.
    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        let [a, b, c] = self.counts;
        (a * b * c).max(1)
    }
}

impl Pool {
    /// Pooling over dense tensors.
    pub const fn new(kind: PoolKind, batch: usize, window: Window, pads_end: [usize; 3], c: usize) -> Pool {
        Pool { kind, batch, window, pads_end, c, ldx: c, ldy: c }
    }

    /// Runs the pooling.
    ///
    /// # Panics
    /// When a slice is too short for the shape.
    pub fn run(&self, y: &mut [f32], x: &[f32]) {
        self.check(y.len(), x.len());
        let w = &self.window;
        let lines = self.batch * w.y[0] * w.y[1];
        // An operation costs about as much as four of a product.
        let operations =
            4usize.saturating_mul(self.batch * w.y_pixels()).saturating_mul(w.taps()).saturating_mul(self.c);
        let parts = parallel::parts(operations, lines);
        parallel::for_each_slice(
            y,
            |line| line * w.y[2] * self.ldy,
            lines,
            parts,
            |lines, y| {
                dispatch(Windows { pool: self, rows: lines.start * w.y[2]..lines.end * w.y[2], y, x });
            },
        );
    }

    fn check(&self, y: usize, x: usize) {
        let (x_pixels, y_pixels) = (self.batch * self.window.x_pixels(), self.batch * self.window.y_pixels());
        assert!(self.ldx >= self.c && self.ldy >= self.c, "pixels overlap in {self:?}");
        assert!(x >= extent(x_pixels, self.ldx, self.c), "x is too short for {self:?}");
        assert!(y >= extent(y_pixels, self.ldy, self.c), "y is too short for {self:?}");
    }

    /// The taps of the window at `pixel` that count.
    #[inline(always)]
    pub(crate) fn inside(&self, pixel: &Pixel) -> Inside {
        let mut inside = Inside { taps: [(0, 0); 3], start: [0; 3], counts: [0; 3] };
        for i in 0..3 {
            self.enter(&mut inside, i, pixel.at[i]);
        }
        inside
    }

    /// Says what of axis `i` counts in the window at `at`.
    #[inline(always)]
    pub(crate) fn enter(&self, inside: &mut Inside, i: usize, at: usize) {
        let w = &self.window;
        let taps = w.taps_inside(i, at);
        inside.taps[i] = taps;
        inside.start[i] = (at * w.strides[i]).wrapping_sub(w.pads_begin[i]);
        inside.counts[i] = match self.kind {
            PoolKind::AverageWithPads => {
                let end = w.x[i] + w.pads_begin[i] + self.pads_end[i];
                let room = end.saturating_sub(at * w.strides[i]).div_ceil(w.dilations[i]);
                room.min(w.kernel[i])
            }
            _ => taps.1 - taps.0,
        };
    }

    /// The windows of a line that have all their columns.
    #[inline(always)]
    pub(crate) fn whole_windows(&self) -> Range<usize> {
        let w = &self.window;
        let reach = (w.kernel[2].max(1) - 1) * w.dilations[2] + 1;
        // Elements of x that such a window may start at.
        let Some(room) = w.x[2].checked_sub(reach).filter(|_| w.kernel[2] != 0) else {
            return 0..0;
        };
        let (first, last) = (w.pads_begin[2].div_ceil(w.strides[2]), (room + w.pads_begin[2]) / w.strides[2]);
        let end = (last + 1).min(w.y[2]);
        first.min(end)..end
    }

    /// The row of x that a tap inside the tensor sees.
    #[inline(always)]
    pub(crate) fn row(&self, image: usize, inside: &Inside, tap: [usize; 3]) -> usize {
        let w = &self.window;
        let mut row = image;
        for (i, tap) in tap.into_iter().enumerate() {
            row = row * w.x[i] + inside.start[i].wrapping_add(tap * w.dilations[i]);
        }
        row
    }
}

/// Checked operands.
struct Windows<'a> {
    pool: &'a Pool,
    /// Whole lines of outputs; y begins with the first.
    rows: Range<usize>,
    y: &'a mut [f32],
    x: &'a [f32],
}

/// Vectors of channels in flight: enough to hide the latency of the chains.
const WIDE: usize = 4;

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
        let Windows { pool, rows, y, x } = self.0;
        if rows.is_empty() || pool.c == 0 {
            return;
        }
        let mut pixel = Pixel::of_row(rows.start, &pool.window.y);
        let whole = pool.whole_windows();
        let mut row = 0;
        while row < rows.len() {
            let mut inside = pool.inside(&pixel);
            let columns = pool.window.y[2];
            while pixel.at[2] < columns {
                let at = pixel.at[2];
                if at == whole.start && at < whole.end {
                    let line =
                        Line { pool, inside: &inside, x, y: &mut y[row * pool.ldy..], pixels: whole.len() };
                    line.run::<S, MAX>(s, &pixel);
                    pixel.at[2] = whole.end;
                    row += whole.len();
                } else {
                    let y = &mut y[row * pool.ldy..][..pool.c];
                    single::<S, MAX>(s, pool, &pixel, &inside, y, x);
                    pixel.at[2] += 1;
                    row += 1;
                }
                if pixel.at[2] < columns {
                    // The rest is that of the line.
                    pool.enter(&mut inside, 2, pixel.at[2]);
                }
            }
            pixel.at[2] = columns - 1;
            pixel.advance(&pool.window.y);
        }
    }
}

/// One window over all channels.
#[inline(always)]
fn single<S: Simd, const MAX: bool>(
    s: S,
    pool: &Pool,
    pixel: &Pixel,
    inside: &Inside,
    y: &mut [f32],
    x: &[f32],
) {
    let mut first = 0;
    while first + WIDE * LANES <= pool.c {
        window::<S, WIDE, MAX, false>(s, pool, pixel, inside, y, x, first);
        first += WIDE * LANES;
    }
    while first + LANES <= pool.c {
        window::<S, 1, MAX, false>(s, pool, pixel, inside, y, x, first);
        first += LANES;
    }
    if first < pool.c {
        window::<S, 1, MAX, true>(s, pool, pixel, inside, y, x, first);
    }
}

/// Windows side by side that have all their columns: the same steps for each.
struct Line<'a> {
    pool: &'a Pool,
    /// What counts in the first.
    inside: &'a Inside,
    x: &'a [f32],
    y: &'a mut [f32],
    pixels: usize,
}

impl Line<'_> {
    #[inline(always)]
    fn run<S: Simd, const MAX: bool>(self, s: S, pixel: &Pixel) {
        match self.pool.window.kernel[2] {
            2 => self.windows::<S, MAX, 2>(s, pixel),
            3 => self.windows::<S, MAX, 3>(s, pixel),
            _ => self.windows::<S, MAX, 0>(s, pixel),
        }
    }

    /// With `K` columns, or as many as there are.
    #[inline(always)]
    fn windows<S: Simd, const MAX: bool, const K: usize>(self, s: S, pixel: &Pixel) {
        let Line { pool, inside, x, y, pixels } = self;
        let (w, c) = (&pool.window, pool.c);
        let [(a0, a1), (b0, b1), _] = inside.taps;
        let (rows, columns) = ([a1 - a0, b1 - b0], if K == 0 { w.kernel[2] } else { K });
        // Floats from a tap to the next, and from a window to the next.
        let line = w.x[2] * pool.ldx;
        let steps = [w.dilations[0] * w.x[1] * line, w.dilations[1] * line, w.dilations[2] * pool.ldx];
        let (next, mut from) = (w.strides[2] * pool.ldx, 0);
        if rows[0] * rows[1] != 0 {
            from = pool.row(pixel.image, inside, [a0, b0, 0]) * pool.ldx;
            let last = (rows[0] - 1) * steps[0] + (rows[1] - 1) * steps[1] + (columns - 1) * steps[2];
            assert!(from + (pixels - 1) * next + last + c <= x.len(), "windows that are not there");
        }
        assert!(y.len() >= (pixels - 1) * pool.ldy + c, "y is too short");
        let count = s.splat(inside.count() as f32);
        let (x, y) = (x.as_ptr(), y.as_mut_ptr());
        for i in 0..pixels {
            let mut channel = 0;
            while channel < c {
                let channels = (c - channel).min(LANES);
                let mask = s.mask_first(channels);
                let mut acc = s.splat(if MAX { f32::NEG_INFINITY } else { 0.0 });
                let mut plane = x.wrapping_add(from + i * next + channel);
                for _ in 0..rows[0] {
                    let mut row = plane;
                    for _ in 0..rows[1] {
                        let mut tap = row;
                        for _ in 0..columns {
                            // SAFETY: asserted above; lanes past the last channel are masked.
                            let x = unsafe {
                                if channels == LANES {
                                    s.load_ptr(tap)
                                } else {
                                    s.load_masked_ptr(tap, mask, s.zero())
                                }
                            };
                            acc = if MAX { s.max(acc, x) } else { s.add(acc, x) };
                            tap = tap.wrapping_add(steps[2]);
                        }
                        row = row.wrapping_add(steps[1]);
                    }
                    plane = plane.wrapping_add(steps[0]);
                }
                if !MAX {
                    acc = s.div(acc, count);
                }
                // SAFETY: asserted above.
                unsafe { s.store_first_ptr(acc, y.add(i * pool.ldy + channel), channels) };
                channel += LANES;
            }
        }
    }
}

/// One window over `V` vectors of channels from `first` on, the last of them with fewer lanes if `PART`.
#[inline(always)]
fn window<S: Simd, const V: usize, const MAX: bool, const PART: bool>(
    s: S,
    pool: &Pool,
    pixel: &Pixel,
    inside: &Inside,
    y: &mut [f32],
    x: &[f32],
    first: usize,
) {
    let channels = (y.len() - first).min(V * LANES);
    let mask = s.mask_first(channels - (V - 1) * LANES);
    let step = pool.window.dilations[2] * pool.ldx;
    let mut acc = [s.splat(if MAX { f32::NEG_INFINITY } else { 0.0 }); V];
    let [(a0, a1), (b0, b1), (c0, c1)] = inside.taps;
    for a in a0..a1 {
        for b in b0..b1 {
            if c0 == c1 {
                continue;
            }
            let mut from = pool.row(pixel.image, inside, [a, b, c0]) * pool.ldx + first;
            for _ in c0..c1 {
                let x = x[from..][..channels].as_ptr();
                from += step;
                for (v, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: the slice has `channels` elements; lanes of the last vector past it are masked.
                    let x = unsafe {
                        if !PART || v + 1 < V {
                            s.load_ptr(x.add(v * LANES))
                        } else {
                            s.load_masked_ptr(x.add(v * LANES), mask, s.zero())
                        }
                    };
                    *acc = if MAX { s.max(*acc, x) } else { s.add(*acc, x) };
                }
            }
        }
    }
    if !MAX {
        let count = s.splat(inside.count() as f32);
        for acc in &mut acc {
            *acc = s.div(*acc, count);
        }
    }
    let y = y[first..][..channels].as_mut_ptr();
    for (v, &acc) in acc.iter().enumerate() {
        // SAFETY: as above.
        unsafe {
            if !PART || v + 1 < V {
                s.store_ptr(acc, y.add(v * LANES));
            } else {
                s.store_first_ptr(acc, y.add(v * LANES), channels - v * LANES);
            }
        }
    }
}
