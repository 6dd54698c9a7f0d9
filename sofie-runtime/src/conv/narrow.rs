//! Convolution of few channels and few filters: the lanes of a vector are neighbouring outputs, all filters of each.
//!
//! Vectors of filters alone would be mostly empty, and a small image is done before planes are made of it. Here x is
//! loaded as it lies, from where the first output of a vector sees it, and one permutation brings to each lane what its
//! output sees; the weights are packed as often as there are outputs in a vector. Outputs below each other are
//! independent chains.

use super::epilogue::{activate_all, finish};
use super::window::{Pixel, between};
use super::{Conv, Lines, Operands, by_lines, extent};
use crate::simd::{LANES, Level, Op, Simd, dispatch};

/// Filters of the fullest vector that still holds two outputs.
const FILTERS: usize = LANES / 2;

/// Whether the convolution has a shape that can be computed here.
pub(super) const fn fits(conv: &Conv) -> bool {
    conv.group == 1 && conv.m != 0 && conv.m <= FILTERS
}

/// An estimate in cycles, see [`super::direct_cost`], fitted to 540 images of 6×6 to 32×32: where it is the least, the
/// other ways take 2.6 times as long on AVX-512 and 1.4 times on AVX2 (geometric means). Huge where outputs are far
/// apart, which takes several times as long as any other way.
pub(super) const fn cost(conv: &Conv) -> usize {
    let w = &conv.window;
    if !fits(conv) || w.y[1] == 0 || w.y[2] == 0 {
        return usize::MAX;
    }
    // Halves of cycles of a step.
    let step = match reach(conv) {
        0 => return usize::MAX,
        // Few chains wait for themselves.
        _ if w.y[1] < 3 => 10,
        8 => 3,
        16 => 7,
        _ => 10,
    };
    let vectors = conv.batch * w.y[0] * w.y[1] * w.y[2].div_ceil(LANES / conv.m);
    200 + vectors * (10 + w.taps() * conv.c * step / 2)
}

/// Floats of packed weights.
pub(super) const fn packed_len(conv: &Conv) -> usize {
    conv.window.taps() * conv.c * LANES
}

/// Packs weights `[kernel…, c, m]` as `[tap][c][16]`: the filters of each output of a vector.
pub(super) fn pack_into(conv: &Conv, packed: &mut [f32], w: &[f32]) {
    let m = conv.m;
    for (to, from) in packed.chunks_exact_mut(LANES).zip(w.chunks_exact(m)) {
        to.fill(0.0);
        for to in to.chunks_exact_mut(m) {
            to.copy_from_slice(from);
        }
    }
}

/// Runs a convolution whose operands have been checked.
pub(super) fn run(conv: &Conv, o: Operands) {
    assert!(fits(conv), "not to be computed by outputs side by side: {conv:?}");
    by_lines(conv, o, conv.operations(), |lines| dispatch(Run(lines)));
}

/// For each number of filters but 0: the output that a lane belongs to, and its filter.
static PLACES: [[[i32; LANES]; 2]; FILTERS] = {
    let mut places = [[[0; LANES]; 2]; FILTERS];
    let mut m = 1;
    while m <= FILTERS {
        let mut lane = 0;
        while lane < LANES / m * m {
            places[m - 1][0][lane] = (lane / m) as i32;
            places[m - 1][1][lane] = (lane % m) as i32;
            lane += 1;
        }
        m += 1;
    }
    places
};

struct Run<'a, 'o>(Lines<'a, 'o>);

impl Op for Run<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Run(Lines { conv, lines, o }) = self;
        let (w, m) = (&conv.window, conv.m);
        let [outputs, filters] = &PLACES[m - 1];
        let pixels = outputs[LANES / m * m - 1] as usize + 1;
        let step = w.strides[2].saturating_mul(conv.ldx);
        let index = s.mul_i32(s.load_i32(outputs), s.splat_i32(step as i32));
        let reach = match reach(conv) {
            // A permutation of a whole vector is as fast as one of half.
            8 if S::LEVEL == Level::Avx512 => 16,
            reach => reach,
        };
        let bias = if o.bias.is_empty() {
            s.zero()
        } else {
            s.lookup(s.load_part(&o.bias[..m], 0.0), s.load_i32(filters))
        };
        let mut lanes = Lanes { index: [0; LANES], bias: [0.0; LANES] };
        s.store_i32(index, &mut lanes.index);
        s.store(bias, &mut lanes.bias);
        let Pixel { image, at: [_, plane, row] } = match lines.start {
            0 => Pixel { image: 0, at: [0; 3] },
            line => Pixel::of_row(line, &[1, w.y[0], w.y[1]]),
        };
        let mut place = Place {
            conv,
            lanes: &lanes,
            pixels,
            x: o.x.as_ptr().wrapping_add(image * w.x_pixels() * conv.ldx),
            w: o.w.as_ptr(),
            residual: if o.residual.is_empty() {
                core::ptr::null()
            } else {
                o.residual.as_ptr().wrapping_add(lines.start * w.y[2] * conv.ldr)
            },
            y: o.y.as_mut_ptr(),
            plane,
            row,
        };
        let mut left = lines.len();
        while left > 0 {
            let rows = (w.y[1] - place.row).min(left);
            left -= rows;
            let most = tile_rows(S::LEVEL, reach, rows);
            let mut done = 0;
            while done < rows {
                // The last tile moves back over the one before rather than beyond the end.
                let first = done.min(rows - most);
                // SAFETY: `Conv::run` checked that all pixels and channels of the operands exist; y holds these lines.
                unsafe { run_tile(s, reach, most, place.below(first)) };
                done = first + most;
            }
            // The rest of the planes.
            place = Place { row: 0, plane: place.plane + 1, ..place.below(rows) };
            if place.plane == w.y[0] {
                (place.plane, place.x) = (0, place.x.wrapping_add(w.x_pixels() * conv.ldx));
            }
        }
    }
}

/// What the lanes of every vector are.
struct Lanes {
    /// Floats from what a vector's first output sees to what the lane's does.
    index: [i32; LANES],
    bias: [f32; LANES],
}

/// Lines of a tile for so many, at most as many.
fn tile_rows(level: Level, reach: usize, rows: usize) -> usize {
    let most = match (level, reach) {
        (Level::Scalar, _) | (_, 0) => 1,
        (Level::Avx512, 16) => 9,
        (Level::Avx512, _) => 6,
        (_, 8) => 4,
        (_, 16) => 3,
        _ => 2,
    };
    rows.min(most)
}

/// Floats in which what the outputs of a vector see by a row of taps lies, 8, 16 or 32; 0 where they do not suffice.
const fn reach(conv: &Conv) -> usize {
    let w = &conv.window;
    let pixels = (LANES / conv.m - 1).saturating_mul(w.strides[2]);
    let taps = w.kernel[2].saturating_sub(1).saturating_mul(w.dilations[2]);
    match extent(pixels.saturating_add(taps).saturating_add(1), conv.ldx, conv.c) {
        0..=8 => 8,
        9..=16 => 16,
        17..=32 => 32,
        _ => 0,
    }
}

/// Where a tile reads and writes; everything at the first output of a line.
#[derive(Clone, Copy)]
struct Place<'a> {
    conv: &'a Conv,
    lanes: &'a Lanes,
    /// Outputs of a vector.
    pixels: usize,
    /// The image.
    x: *const f32,
    w: *const f32,
    /// Null: none.
    residual: *const f32,
    y: *mut f32,
    plane: usize,
    row: usize,
}

impl Place<'_> {
    /// The element of x, per axis, that the first tap of the line's output `at` sees; wraps around below 0.
    #[inline(always)]
    fn first(&self, at: usize) -> [usize; 3] {
        let w = &self.conv.window;
        let first = |i: usize, at: usize| (at * w.strides[i]).wrapping_sub(w.pads_begin[i]);
        [first(0, self.plane), first(1, self.row), first(2, at)]
    }

    /// So many lines below.
    #[inline(always)]
    fn below(self, rows: usize) -> Self {
        let (conv, pixels) = (self.conv, rows * self.conv.window.y[2]);
        Place {
            residual: if self.residual.is_null() {
                self.residual
            } else {
                self.residual.wrapping_add(pixels * conv.ldr)
            },
            y: self.y.wrapping_add(pixels * conv.ldy),
            row: self.row + rows,
            ..self
        }
    }
}

/// `N` lines of outputs, a vector of each at a time. What a row of taps sees lies in `R` floats, from which
/// permutations bring it to the lanes; 0 where it does not.
struct Tile<'a, const N: usize, const R: usize>(Place<'a>);

impl<const N: usize, const R: usize> Op for Tile<'_, N, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let place = self.0;
        let w = &place.conv.window;
        let mut at = 0;
        while at < w.y[2] {
            // The last vector moves back over the one before rather than beyond the end.
            let from = at.min(w.y[2].saturating_sub(place.pixels));
            // SAFETY: the caller's promise: the operands' pixels exist, all channels of them.
            unsafe {
                if R == 0 {
                    far(s, &place, from);
                } else {
                    near::<S, N, R>(s, &place, from);
                }
            }
            at = from + place.pixels;
        }
        let Conv { act, ldy, m, .. } = *place.conv;
        // SAFETY: these lines have been written, all filters of them.
        unsafe { finish(s, act, place.y, ldy, N * w.y[2], m) };
    }
}

/// One vector of outputs in each of `N` lines, from the output `from` on.
///
/// # Safety
/// Everything that `place` describes exists.
#[inline(always)]
unsafe fn near<S: Simd, const N: usize, const R: usize>(s: S, place: &Place, from: usize) {
    let (conv, w) = (place.conv, &place.conv.window);
    let [first0, first1, first2] = place.first(from);
    let (ldx, line) = (conv.ldx, w.x[2] * conv.ldx);
    let below = w.strides[1] * line;
    // Taps side by side are one piece.
    let (pieces, piece) =
        if w.dilations[2] == 1 && ldx == conv.c { (1, w.kernel[2] * ldx) } else { (w.kernel[2], conv.c) };
    let (one, next) = (s.splat_i32(1), s.splat_i32((w.dilations[2] * ldx) as i32));
    let index = s.load_i32(&place.lanes.index);
    let mut acc = [s.load(&place.lanes.bias); N];
    let column = first2.wrapping_mul(ldx);
    let end = extent(w.x[2], ldx, conv.c);
    // What lies outside is read as zeros, and so is what no output sees: there may be nothing.
    let masks =
        [s.mask_from_bits(between(column, end)), s.mask_from_bits(between(column.wrapping_add(LANES), end))];
    let mut weights = place.w;
    for a in 0..w.kernel[0] {
        let row0 = first0.wrapping_add(a * w.dilations[0]);
        for b in 0..w.kernel[1] {
            let row1 = first1.wrapping_add(b * w.dilations[1]);
            // What wraps around is outside and not read.
            let row = row0.wrapping_mul(w.x[1]).wrapping_add(row1).wrapping_mul(line);
            let x = place.x.wrapping_add(row.wrapping_add(column));
            let last = row1.wrapping_add((N - 1) * w.strides[1]);
            let whole = row0 < w.x[0] && row1 < w.x[1] && last < w.x[1];
            // Each line is loaded once; a load a tap, folded into the permutation, was slower: most cross a line of
            // the cache (90 ns against 139 for 9×7 outputs of 2×2 taps).
            let mut seen = [[s.zero(); 2]; N];
            // SAFETY: what is inside exists.
            unsafe {
                if whole {
                    for (i, seen) in seen.iter_mut().enumerate() {
                        *seen = load::<S, R>(s, x.wrapping_add(i * below), masks);
                    }
                } else if row0 < w.x[0] {
                    for (i, seen) in seen.iter_mut().enumerate() {
                        if row1.wrapping_add(i * w.strides[1]) < w.x[1] {
                            *seen = load::<S, R>(s, x.wrapping_add(i * below), masks);
                        }
                    }
                }
            }
            let mut start = index;
            for _ in 0..pieces {
                let mut index = start;
                for _ in 0..piece {
                    // SAFETY: the weights have as many vectors as there are taps and channels.
                    let tap = unsafe { s.load_ptr(weights) };
                    weights = weights.wrapping_add(LANES);
                    for i in 0..N {
                        let x = match R {
                            8 => s.lookup_low(seen[i][0], index),
                            16 => s.lookup(seen[i][0], index),
                            _ => s.lookup_pair(seen[i][0], seen[i][1], index),
                        };
                        acc[i] = s.mul_add(x, tap, acc[i]);
                    }
                    index = s.add_i32(index, one);
                }
                start = s.add_i32(start, next);
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        if place.residual.is_null() && conv.ldy == conv.m {
            let lanes = place.pixels.min(w.y[2]) * conv.m;
            let mut y = place.y.add(from * conv.ldy);
            activate_all(s, conv.act, &mut acc);
            for sum in &acc {
                s.store_first_ptr(*sum, y, lanes);
                y = y.wrapping_add(w.y[2] * conv.ldy);
            }
        } else {
            // In memory, since the loop over them is not unrolled.
            let mut sums = [s.zero(); N];
            for (sum, acc) in sums.iter_mut().zip(&acc) {
                *sum = *acc;
            }
            store_all(s, place, from, &mut sums);
        }
    }
}

/// `R` floats of x, as far as the masks say.
///
/// # Safety
/// What the masks name exists.
#[inline(always)]
unsafe fn load<S: Simd, const R: usize>(s: S, x: *const f32, masks: [S::Mask; 2]) -> [S::F32; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let first = s.load_masked_ptr(x, masks[0], s.zero());
        if R <= LANES {
            return [first, s.zero()];
        }
        [first, s.load_masked_ptr(x.wrapping_add(LANES), masks[1], s.zero())]
    }
}

/// Residual, activation and store of one vector of outputs in each of `N` lines, from the output `from` on.
///
/// # Safety
/// Everything that `place` describes exists.
#[inline(always)]
unsafe fn store_all<S: Simd, const N: usize>(s: S, place: &Place, from: usize, sums: &mut [S::F32; N]) {
    let (conv, w) = (place.conv, &place.conv.window);
    let count = place.pixels.min(w.y[2] - from);
    // SAFETY: the caller's promise.
    unsafe {
        if !place.residual.is_null() {
            for (i, sum) in sums.iter_mut().enumerate() {
                let residual = place.residual.add((i * w.y[2] + from) * conv.ldr);
                *sum = s.add(*sum, read_pixels(s, residual, conv.ldr, conv.m, count));
            }
        }
        activate_all(s, conv.act, sums);
        for (i, sum) in sums.iter().enumerate() {
            let y = place.y.add((i * w.y[2] + from) * conv.ldy);
            write_pixels(s, *sum, y, conv.ldy, conv.m, count);
        }
    }
}

/// [`near`] of one line, for outputs that lie so far apart that each is looked up by itself.
///
/// # Safety
/// Everything that `place` describes exists.
#[inline(always)]
unsafe fn far<S: Simd>(s: S, place: &Place, from: usize) {
    let (conv, w) = (place.conv, &place.conv.window);
    let first = place.first(from);
    let count = place.pixels.min(w.y[2] - from);
    let mut acc = s.load(&place.lanes.bias);
    let mut weights = place.w;
    for a in 0..w.kernel[0] {
        let row0 = first[0].wrapping_add(a * w.dilations[0]);
        for b in 0..w.kernel[1] {
            let row1 = first[1].wrapping_add(b * w.dilations[1]);
            let row = row0.wrapping_mul(w.x[1]).wrapping_add(row1).wrapping_mul(w.x[2]);
            for k in 0..w.kernel[2] {
                for channel in 0..conv.c {
                    let mut lanes = [0.0; LANES];
                    for output in 0..count {
                        let column = first[2].wrapping_add(k * w.dilations[2] + output * w.strides[2]);
                        if row0 < w.x[0] && row1 < w.x[1] && column < w.x[2] {
                            let at = row.wrapping_add(column).wrapping_mul(conv.ldx) + channel;
                            // SAFETY: what is inside exists.
                            let x = unsafe { *place.x.add(at) };
                            for lane in &mut lanes[output * conv.m..][..conv.m] {
                                *lane = x;
                            }
                        }
                    }
                    // SAFETY: the weights have as many vectors as there are taps and channels.
                    let tap = unsafe { s.load_ptr(weights) };
                    weights = weights.wrapping_add(LANES);
                    acc = s.mul_add(s.load(&lanes), tap, acc);
                }
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { store_all(s, place, from, &mut [acc]) };
}

/// `count` pixels of `m` channels, side by side.
///
/// # Safety
/// They exist.
#[inline(always)]
unsafe fn read_pixels<S: Simd>(s: S, from: *const f32, ld: usize, m: usize, count: usize) -> S::F32 {
    // SAFETY: the caller's promise.
    unsafe {
        if ld == m {
            return s.load_masked_ptr(from, s.mask_first(count * m), s.zero());
        }
        let mut lanes = [0.0; LANES];
        for pixel in 0..count {
            for (i, lane) in lanes[pixel * m..][..m].iter_mut().enumerate() {
                *lane = *from.add(pixel * ld + i);
            }
        }
        s.load(&lanes)
    }
}

/// [`read_pixels`], written.
///
/// # Safety
/// There is room for them that is nobody else's.
#[inline(always)]
unsafe fn write_pixels<S: Simd>(s: S, v: S::F32, to: *mut f32, ld: usize, m: usize, count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        if ld == m {
            return s.store_first_ptr(v, to, count * m);
        }
        let lanes = s.to_array(v);
        for pixel in 0..count {
            let (from, to) = (lanes[pixel * m..][..m].as_ptr(), to.add(pixel * ld));
            // Lengths that are known are one store.
            match m {
                8 => from.copy_to_nonoverlapping(to, 8),
                4 => from.copy_to_nonoverlapping(to, 4),
                2 => from.copy_to_nonoverlapping(to, 2),
                _ => {
                    for i in 0..m {
                        *to.add(i) = *from.add(i);
                    }
                }
            }
        }
    }
}

/// Runs a tile of as many lines as [`tile_rows`] says.
///
/// # Safety
/// Everything that `place` describes exists.
#[inline(always)]
unsafe fn run_tile<S: Simd>(s: S, reach: usize, rows: usize, place: Place) {
    macro_rules! tiles {
        ($($r:literal: $($n:literal)*;)*) => {
            match (reach, rows) {
                $($(($r, $n) => s.outline(Tile::<$n, $r>(place)),)*)*
                _ => unreachable!("no tile of {rows} lines for a reach of {reach}"),
            }
        };
    }
    // Conditions rather than a match: only what is reachable for `S` is compiled.
    if const { S::LEVEL as u8 == Level::Avx512 as u8 } {
        tiles! { 0: 1; 16: 1 2 3 4 5 6 7 8 9; 32: 1 2 3 4 5 6; }
    } else if const { S::LEVEL as u8 == Level::Scalar as u8 } {
        tiles! { 0: 1; 8: 1; 16: 1; 32: 1; }
    } else {
        tiles! { 0: 1; 8: 1 2 3 4; 16: 1 2 3; 32: 1 2; }
    }
}
