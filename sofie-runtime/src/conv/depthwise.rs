//! Depthwise convolution: one filter a channel, 16 channels in the lanes, a few neighbouring outputs in registers.
//!
//! A tile of outputs along the last axis meets one row of taps at a time: each pixel that it reads is loaded
//! once and multiplied by every tap that sees it. Where the rows are is found out once a line of outputs, so that
//! a block of channels is little but products. Pixels outside are read from a vector of zeros, by a choice between
//! two addresses, so that the middle and the borders of an image are one kernel.

use super::epilogue::{TOGETHER, activate_all, finish};
use super::window::Pixel;
use super::{Conv, Lines, Operands, by_lines};
use crate::gemm;
use crate::simd::{LANES, Level, Op, Simd, dispatch};

/// Whether the convolution has the one shape that is computed here.
pub(super) const fn fits(conv: &Conv) -> bool {
    conv.group == conv.c && conv.m == conv.c && conv.c > 1
}

/// Floats of packed weights.
pub(super) const fn packed_len(conv: &Conv) -> usize {
    gemm::packed_len(conv.window.taps(), conv.m)
}

/// The channel that block `block` of 16 starts at. The last block ends with the last channel, and computes some
/// that the one before has computed already; only fewer channels than a vector holds are masked.
#[inline(always)]
const fn first_channel(m: usize, block: usize) -> usize {
    let last = m.saturating_sub(LANES);
    if block * LANES < last { block * LANES } else { last }
}

/// Packs weights `[kernel…, m]` as `[block][tap][16]`.
pub(super) fn pack_into(conv: &Conv, packed: &mut [f32], w: &[f32]) {
    let (taps, m) = (conv.window.taps(), conv.m);
    for (block, to) in packed.chunks_exact_mut((taps * LANES).max(1)).enumerate() {
        let first = first_channel(m, block);
        for (tap, to) in to.chunks_exact_mut(LANES).enumerate() {
            let from = &w[tap * m + first..][..LANES.min(m - first)];
            to[..from.len()].copy_from_slice(from);
            to[from.len()..].fill(0.0);
        }
    }
}

/// Runs a convolution whose operands have been checked. Of x no more than the last `ring` lines are kept, line `i` where
/// line `i - ring` was; of an image that is there as a whole `usize::MAX`.
pub(super) fn run(conv: &Conv, o: Operands, ring: usize) {
    // An operation costs about as much as four of a product, whose operands stay in registers.
    by_lines(conv, o, conv.operations().saturating_mul(4), |lines| dispatch(Run { lines, ring }));
}

/// What pixels outside the image are read from.
static ZEROS: [f32; LANES] = [0.0; LANES];

struct Run<'a, 'o> {
    lines: Lines<'a, 'o>,
    ring: usize,
}

impl Op for Run<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Run { lines: Lines { conv, lines, o }, ring } = self;
        let first_line = lines.start;
        let w = &conv.window;
        let pixels = tile_pixels(S::LEVEL, w.y[2]);
        let null = core::ptr::null();
        let mut rows = [Row { offset: OUTSIDE, fresh: false }; ROWS];
        for line in lines {
            let Pixel { image, at: [a, b, _] } = Pixel::of_row(line * w.y[2], &w.y);
            let start = |i: usize, at: usize| (at * w.strides[i]).wrapping_sub(w.pads_begin[i]);
            let starts = [start(0, a), start(1, b)];
            for (i, row) in rows.iter_mut().enumerate().take(w.kernel[0] * w.kernel[1]) {
                *row = Row::new(conv, starts, [i / w.kernel[1], i % w.kernel[1]], ring);
            }
            // The first output that waits for the rest of its activation.
            let (mut at, mut waiting) = (0, 0);
            while at < w.y[2] {
                // The last tile moves back over the one before rather than beyond the end.
                let first = at.min(w.y[2] - pixels);
                let pixel = line * w.y[2] + first;
                let place = Place {
                    conv,
                    ring,
                    x: o.x.as_ptr().wrapping_add(image * w.x_pixels() * conv.ldx),
                    rows: &rows,
                    thirds: core::array::from_fn(|i| (3 * i).wrapping_mul(conv.ldx)),
                    start: [starts[0], starts[1], start(2, first)],
                    w: o.w.as_ptr(),
                    bias: if o.bias.is_empty() { null } else { o.bias.as_ptr() },
                    residual: if o.residual.is_empty() {
                        null
                    } else {
                        o.residual.as_ptr().wrapping_add(pixel * conv.ldr)
                    },
                    y: o.y.as_mut_ptr().wrapping_add((pixel - first_line * w.y[2]) * conv.ldy),
                };
                // SAFETY: `Conv::run` or `Separable::run` checked that all pixels and channels of the operands exist.
                unsafe { run_tile(s, pixels, place) };
                at += pixels;
                // Outputs that are computed twice start again from their sums.
                waiting = waiting.min(first);
                let count = first + pixels - waiting;
                if at >= w.y[2] || count * conv.m >= TOGETHER {
                    let y =
                        o.y.as_mut_ptr().wrapping_add(((line - first_line) * w.y[2] + waiting) * conv.ldy);
                    // SAFETY: tiles have written these outputs, all channels of them.
                    unsafe { finish(s, conv.act, y, conv.ldy, count, conv.m) };
                    waiting = first + pixels;
                }
            }
        }
    }
}

/// Outputs of a tile for lines of `y`, one of [`run_tile`]'s, at most `y`: what computes the fewest twice. As for
/// products, sizes may differ between instruction sets without changing a bit.
fn tile_pixels(level: Level, y: usize) -> usize {
    let sizes: &[usize] = match level {
        Level::Avx512 => &[8, 7, 5, 3, 1],
        Level::Avx2 | Level::Neon => &[4, 2, 1],
        Level::Scalar => &[1],
    };
    let cost = |size: usize| y.div_ceil(size) * (size + 1);
    sizes.iter().copied().filter(|&size| size <= y).min_by_key(|&size| cost(size)).unwrap_or(1)
}

/// Rows of taps that there is room for: those of all but the largest windows over three axes.
const ROWS: usize = 32;

/// [`Row::offset`] of a row outside the image.
const OUTSIDE: usize = usize::MAX;

/// A row of the image that a row of taps meets.
#[derive(Clone, Copy)]
struct Row {
    /// Its first pixel, in floats.
    offset: usize,
    /// Whether no line of outputs before has read it.
    fresh: bool,
}

impl Row {
    /// Of row `[a, b]` of the taps, for outputs whose windows start at `start`; of lines of a plane there are `ring`.
    #[inline(always)]
    fn new(conv: &Conv, start: [usize; 2], [a, b]: [usize; 2], ring: usize) -> Row {
        let w = &conv.window;
        // What wraps around is outside.
        let row0 = start[0].wrapping_add(a * w.dilations[0]);
        let row1 = start[1].wrapping_add(b * w.dilations[1]);
        let inside = row0 < w.x[0] && row1 < w.x[1];
        Row {
            offset: if inside { (row0 * w.x[1] + row1 % ring) * w.x[2] * conv.ldx } else { OUTSIDE },
            fresh: b + w.strides[1] >= w.kernel[1],
        }
    }
}

/// Where a tile reads and writes; everything at the tile's first output and channel 0.
#[derive(Clone, Copy)]
struct Place<'a> {
    conv: &'a Conv,
    /// Lines of x that are kept.
    ring: usize,
    /// The image.
    x: *const f32,
    /// Where the rows of taps read.
    rows: &'a [Row; ROWS],
    /// Floats from a tile's first column to every third; read, so that the compiler does not walk from one to the next.
    thirds: [usize; COLUMNS.div_ceil(3)],
    /// The element of x, per axis, that the first tap of the first output sees; wraps around below 0.
    start: [usize; 3],
    w: *const f32,
    /// Null: zeros.
    bias: *const f32,
    /// Null: none.
    residual: *const f32,
    y: *mut f32,
}

/// Columns of the widest tile.
const COLUMNS: usize = 19;

/// `P` outputs in a line, all channels. `K` taps along the last axis, side by side, `S` columns between outputs.
struct Tile<'a, const P: usize, const K: usize, const S: usize>(Place<'a>);

impl<const P: usize, const K: usize, const S: usize> Tile<'_, P, K, S> {
    /// Columns that the tile reads.
    const READ: usize = (P - 1) * S + K;
    /// Columns that may be outside, on either side.
    const EDGE: usize = K / 2;
}

/// Unrolled in the source: what each column does depends on its number alone.
macro_rules! columns {
    ($i:ident => $body:expr) => {
        columns!(@ $i $body; 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18)
    };
    (@ $i:ident $body:expr; $($n:literal)*) => {
        $({
            const { assert!($n < COLUMNS) }
            let $i = $n;
            $body
        })*
    };
}

/// Columns that are outside, to the left and to the right of an image of `x`, of `read` from `start` on.
#[inline(always)]
fn outside(x: usize, start: usize, read: usize) -> [usize; 2] {
    let start = start.cast_signed();
    [start.saturating_neg().max(0), (start + read.cast_signed() - x.cast_signed()).max(0)]
        .map(isize::cast_unsigned)
}

impl<const P: usize, const K: usize, const S: usize> Op for Tile<'_, P, K, S> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self, s: V) {
        let place = &self.0;
        let conv = place.conv;
        let w = &conv.window;
        let (ldx, ldy) = (conv.ldx, conv.ldy);
        let [left, right] = outside(w.x[2], place.start[2], Self::READ);
        let rows = &place.rows[..w.kernel[0] * w.kernel[1]];
        let start = place.x.wrapping_add(place.start[2].wrapping_mul(ldx));
        let mut weights = place.w;
        for block in 0..conv.m.div_ceil(LANES) {
            let first = first_channel(conv.m, block);
            // SAFETY: the caller's promise: 16 channels from `first` on exist; pixels are read where they are inside.
            unsafe {
                let mut acc = [s.zero(); P];
                if !place.bias.is_null() {
                    acc = [s.load_ptr(place.bias.add(first)); P];
                }
                for row in rows {
                    let mut taps = [s.zero(); K];
                    for (k, tap) in taps.iter_mut().enumerate() {
                        *tap = s.load_ptr(weights.add(k * LANES));
                    }
                    weights = weights.add(K * LANES);
                    if row.offset == OUTSIDE {
                        for acc in &mut acc {
                            for tap in taps {
                                *acc = s.mul_add(s.zero(), tap, *acc);
                            }
                        }
                        continue;
                    }
                    let line = start.wrapping_add(row.offset.wrapping_add(first));
                    let column = |i: usize| {
                        let outside = i < Self::EDGE && i < left
                            || i + Self::EDGE >= Self::READ && Self::READ - i <= right;
                        let at = line.wrapping_add(place.thirds[i / 3]).wrapping_add(i % 3 * ldx);
                        if outside { ZEROS.as_ptr() } else { at }
                    };
                    // What the next tile will need.
                    if row.fresh {
                        columns!(i => if i + S >= K && i < Self::READ {
                            s.prefetch(column(i).wrapping_add(P * S * ldx));
                        });
                    }
                    columns!(i => if i < Self::READ {
                        let x = s.load_ptr(column(i));
                        for (k, &tap) in taps.iter().enumerate() {
                            if i >= k && (i - k).is_multiple_of(S) && (i - k) / S < P {
                                acc[(i - k) / S] = s.mul_add(x, tap, acc[(i - k) / S]);
                            }
                        }
                    });
                }
                if !place.residual.is_null() {
                    for (p, acc) in acc.iter_mut().enumerate() {
                        *acc = s.add(*acc, s.load_ptr(place.residual.add(p * conv.ldr + first)));
                    }
                }
                activate_all(s, conv.act, &mut acc);
                for (p, acc) in acc.into_iter().enumerate() {
                    s.store_ptr(acc, place.y.add(p * ldy + first));
                }
            }
        }
    }
}

/// `P` outputs in a line, all channels, of any window. `PART`: there are fewer channels than lanes.
struct AnyTile<'a, const P: usize, const PART: bool>(Place<'a>);

impl<const P: usize, const PART: bool> Op for AnyTile<'_, P, PART> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self, s: V) {
        let place = self.0;
        let conv = place.conv;
        let w = &conv.window;
        let mask = s.mask_first(conv.m);
        let mut weights = place.w;
        for block in 0..conv.m.div_ceil(LANES) {
            let first = first_channel(conv.m, block);
            // SAFETY: the caller's promise: channels from `first` on exist, 16 of them unless `PART`; pixels are
            // read where they are inside.
            unsafe {
                let read = |p: *const f32| {
                    if PART { s.load_masked_ptr(p, mask, s.zero()) } else { s.load_ptr(p) }
                };
                let mut acc = [s.zero(); P];
                if !place.bias.is_null() {
                    acc = [read(place.bias.add(first)); P];
                }
                for a in 0..w.kernel[0] {
                    for b in 0..w.kernel[1] {
                        let [start0, start1, start2] = place.start;
                        let row = Row::new(conv, [start0, start1], [a, b], place.ring).offset;
                        for k in 0..w.kernel[2] {
                            let tap = s.load_ptr(weights);
                            weights = weights.add(LANES);
                            for (p, acc) in acc.iter_mut().enumerate() {
                                let column = start2.wrapping_add(p * w.strides[2] + k * w.dilations[2]);
                                let from = if row != OUTSIDE && column < w.x[2] {
                                    place.x.wrapping_add(row + column * conv.ldx + first)
                                } else {
                                    ZEROS.as_ptr()
                                };
                                *acc = s.mul_add(read(from), tap, *acc);
                            }
                        }
                    }
                }
                if !place.residual.is_null() {
                    for (p, acc) in acc.iter_mut().enumerate() {
                        *acc = s.add(*acc, read(place.residual.add(p * conv.ldr + first)));
                    }
                }
                activate_all(s, conv.act, &mut acc);
                for (p, acc) in acc.into_iter().enumerate() {
                    let to = place.y.add(p * conv.ldy + first);
                    if PART { s.store_first_ptr(acc, to, conv.m) } else { s.store_ptr(acc, to) }
                }
            }
        }
    }
}

/// Runs a tile of as many outputs as [`tile_pixels`] says.
///
/// # Safety
/// Everything that `place` describes exists.
#[inline(always)]
unsafe fn run_tile<S: Simd>(s: S, pixels: usize, place: Place) {
    let w = &place.conv.window;
    // A row of so many taps, of which no more are outside than padding of the same size as the input asks for.
    let dense = |k: usize| {
        let outside = outside(w.x[2], place.start[2], (pixels - 1) * w.strides[2] + k);
        let rows = w.kernel[0].saturating_mul(w.kernel[1]);
        w.kernel[2] == k && w.dilations[2] == 1 && rows <= ROWS && outside.iter().all(|&n| n <= k / 2)
    };
    macro_rules! tile {
        ($p:literal (any)) => {
            s.outline(AnyTile::<$p, false>(place))
        };
        ($p:literal (part)) => {
            s.outline(AnyTile::<$p, true>(place))
        };
        ($p:literal ($k:literal $s:literal)) => {
            s.outline(Tile::<$p, $k, $s>(place))
        };
    }
    macro_rules! tiles {
        ($window:tt: $($p:literal)*) => {
            match pixels {
                $($p => tile!($p $window),)*
                _ => unreachable!("no tile of {pixels} outputs"),
            }
        };
    }
    macro_rules! windows {
        ($($p:literal)*) => {
            match w.strides[2] {
                _ if place.conv.m < LANES => tiles!((part): $($p)*),
                1 if dense(3) => tiles!((3 1): $($p)*),
                2 if dense(3) => tiles!((3 2): $($p)*),
                1 if dense(5) => tiles!((5 1): $($p)*),
                2 if dense(5) => tiles!((5 2): $($p)*),
                1 if dense(7) => tiles!((7 1): $($p)*),
                _ => tiles!((any): $($p)*),
            }
        };
    }
    // Conditions rather than a match: only what is reachable for `S` is compiled.
    if const { S::LEVEL as u8 == Level::Avx512 as u8 } {
        windows!(8 7 5 3 1)
    } else if const { S::LEVEL as u8 == Level::Scalar as u8 } {
        if place.conv.m < LANES {
            s.outline(AnyTile::<1, true>(place))
        } else {
            s.outline(AnyTile::<1, false>(place))
        }
    } else {
        windows!(4 2 1)
    }
}
