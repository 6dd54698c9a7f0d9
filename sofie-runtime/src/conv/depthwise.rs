//! Depthwise convolution: one filter a channel, 16 channels in the lanes, a few neighbouring outputs in registers.
//!
//! A tile of outputs along the last axis meets one row of taps at a time: each pixel that it reads is loaded
//! once and multiplied by every tap that sees it. Pixels outside are read from a vector of zeros, by a choice
//! between two addresses, so that the middle and the borders of an image are one kernel.

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

/// Runs a convolution whose operands have been checked.
pub(super) fn run(conv: &Conv, o: Operands) {
    // An operation costs about as much as four of a product, whose operands stay in registers.
    by_lines(conv, o, conv.operations().saturating_mul(4), |lines| dispatch(Run(lines)));
}

/// What pixels outside the image are read from.
static ZEROS: [f32; LANES] = [0.0; LANES];

struct Run<'a, 'o>(Lines<'a, 'o>);

impl Op for Run<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Run(Lines { conv, lines, o }) = self;
        let first_line = lines.start;
        let w = &conv.window;
        let pixels = tile_pixels(S::LEVEL, w.y[2]);
        let null = core::ptr::null();
        for line in lines {
            let Pixel { image, at: [a, b, _] } = Pixel::of_row(line * w.y[2], &w.y);
            // The first output that waits for the rest of its activation.
            let (mut at, mut waiting) = (0, 0);
            while at < w.y[2] {
                // The last tile moves back over the one before rather than beyond the end.
                let first = at.min(w.y[2] - pixels);
                let pixel = line * w.y[2] + first;
                let start = |i: usize, at: usize| (at * w.strides[i]).wrapping_sub(w.pads_begin[i]);
                let place = Place {
                    conv,
                    x: o.x.as_ptr().wrapping_add(image * w.x_pixels() * conv.ldx),
                    start: [start(0, a), start(1, b), start(2, first)],
                    w: o.w.as_ptr(),
                    bias: if o.bias.is_empty() { null } else { o.bias.as_ptr() },
                    residual: if o.residual.is_empty() {
                        null
                    } else {
                        o.residual.as_ptr().wrapping_add(pixel * conv.ldr)
                    },
                    y: o.y.as_mut_ptr().wrapping_add((pixel - first_line * w.y[2]) * conv.ldy),
                };
                // SAFETY: `Conv::run` checked that all pixels and channels of the operands exist.
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

/// Where a tile reads and writes; everything at the tile's first output and channel 0.
#[derive(Clone, Copy)]
struct Place<'a> {
    conv: &'a Conv,
    /// The image.
    x: *const f32,
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

/// `P` outputs in a line, all channels. `K` taps along the last axis `S` apart between outputs and side by side;
/// `K = 0` is any window. `PART`: there are fewer channels than lanes.
struct Tile<'a, const P: usize, const K: usize, const S: usize, const PART: bool>(Place<'a>);

impl<const P: usize, const K: usize, const S: usize, const PART: bool> Op for Tile<'_, P, K, S, PART> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self, s: V) {
        let place = self.0;
        let conv = place.conv;
        let w = &conv.window;
        let mask = s.mask_first(conv.m);
        let (ldx, start) = (conv.ldx, place.start);
        // Bit i: column i of the tile is inside.
        let mut columns = 0u32;
        if K != 0 {
            for i in 0..(P - 1) * S + K {
                columns |= u32::from(start[2].wrapping_add(i) < w.x[2]) << i;
            }
        }
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
                    let row0 = start[0].wrapping_add(a * w.dilations[0]);
                    for b in 0..w.kernel[1] {
                        let row1 = start[1].wrapping_add(b * w.dilations[1]);
                        let inside = row0 < w.x[0] && row1 < w.x[1];
                        // What wraps around is outside and not read.
                        let row = row0.wrapping_mul(w.x[1]).wrapping_add(row1).wrapping_mul(w.x[2]);
                        let at = |column: usize| {
                            place
                                .x
                                .wrapping_add(row.wrapping_add(column).wrapping_mul(ldx).wrapping_add(first))
                        };
                        if K != 0 {
                            let columns = if inside { columns } else { 0 };
                            let line = at(start[2]);
                            let mut taps = [s.zero(); K];
                            for (k, tap) in taps.iter_mut().enumerate() {
                                *tap = s.load_ptr(weights.add(k * LANES));
                            }
                            weights = weights.add(K * LANES);
                            if b + w.strides[1] >= w.kernel[1] {
                                // No line of outputs before has read this row: what the next tile will need.
                                for i in K.saturating_sub(S)..(P - 1) * S + K {
                                    s.prefetch(line.wrapping_add((i + P * S) * ldx));
                                }
                            }
                            if columns == u32::MAX >> (32 - ((P - 1) * S + K)) {
                                row_of_taps::<V, P, K, S>(s, &mut acc, &taps, |i| read(line.add(i * ldx)));
                            } else {
                                row_of_taps::<V, P, K, S>(s, &mut acc, &taps, |i| {
                                    let inside = columns >> i & 1 != 0;
                                    read(if inside { line.wrapping_add(i * ldx) } else { ZEROS.as_ptr() })
                                });
                            }
                        } else {
                            for k in 0..w.kernel[2] {
                                let tap = s.load_ptr(weights);
                                weights = weights.add(LANES);
                                for (p, acc) in acc.iter_mut().enumerate() {
                                    let column = start[2].wrapping_add(p * w.strides[2] + k * w.dilations[2]);
                                    let from =
                                        if inside && column < w.x[2] { at(column) } else { ZEROS.as_ptr() };
                                    *acc = s.mul_add(read(from), tap, *acc);
                                }
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

/// One row of `K` taps: each column is read once and goes to every output that sees it.
#[inline(always)]
fn row_of_taps<V: Simd, const P: usize, const K: usize, const S: usize>(
    s: V,
    acc: &mut [V::F32; P],
    taps: &[V::F32; K],
    column: impl Fn(usize) -> V::F32,
) {
    if S == 1 {
        for i in 0..P - 1 + K {
            let x = column(i);
            for k in 0..K {
                if i >= k && i - k < P {
                    acc[i - k] = s.mul_add(x, taps[k], acc[i - k]);
                }
            }
        }
    } else {
        // The pattern above is not unrolled where columns lie between taps.
        let mut x = [s.zero(); COLUMNS];
        for (i, x) in x.iter_mut().enumerate().take((P - 1) * S + K) {
            *x = column(i);
        }
        for k in 0..K {
            for p in 0..P {
                acc[p] = s.mul_add(x[p * S + k], taps[k], acc[p]);
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
    macro_rules! tiles {
        ($k:literal $s:literal $part:literal: $($p:literal)*) => {
            match pixels {
                $($p => s.outline(Tile::<$p, $k, $s, $part>(place)),)*
                _ => unreachable!("no tile of {pixels} outputs"),
            }
        };
    }
    macro_rules! windows {
        ($($p:literal)*) => {{
            let w = &place.conv.window;
            if place.conv.m < LANES {
                tiles!(0 1 true: $($p)*)
            } else {
                let dense = w.dilations[2] == 1 || w.kernel[2] == 1;
                match (w.kernel[2], w.strides[2]) {
                    (3, 1) if dense => tiles!(3 1 false: $($p)*),
                    (3, 2) if dense => tiles!(3 2 false: $($p)*),
                    (5, 1) if dense => tiles!(5 1 false: $($p)*),
                    (5, 2) if dense => tiles!(5 2 false: $($p)*),
                    (7, 1) if dense => tiles!(7 1 false: $($p)*),
                    _ => tiles!(0 1 false: $($p)*),
                }
            }
        }};
    }
    // Conditions rather than a match: only what is reachable for `S` is compiled.
    if const { S::LEVEL as u8 == Level::Avx512 as u8 } {
        windows!(8 7 5 3 1)
    } else if const { S::LEVEL as u8 == Level::Scalar as u8 } {
        if place.conv.m < LANES {
            s.outline(Tile::<1, 0, 1, true>(place))
        } else {
            s.outline(Tile::<1, 0, 1, false>(place))
        }
    } else {
        windows!(4 2 1)
    }
}
