//! The work on tiles: the image into positions, positions into outputs, and outputs that are not finite from
//! the definition. Vectors run over channels and filters.

use core::marker::PhantomData;
use core::mem::MaybeUninit;

use super::form::{Form, MOST, MOST_OUTPUTS};
use super::run::Shared;
use super::{Plan, tile_start};
use crate::conv::Conv;
use crate::conv::epilogue::{activate, activate_all, finish};
use crate::simd::{LANES, Op, Simd};

/// What pixels outside the image are read from.
static ZEROS: [f32; LANES] = [0.0; LANES];

/// A pixel's channels; outside the image the offset of a channel is masked to 0.
#[derive(Clone, Copy)]
struct Channels {
    from: *const f32,
    mask: usize,
}

/// Where a tile lies.
#[derive(Clone, Copy)]
struct Corner {
    image: usize,
    /// The output that the tile starts at.
    at: [usize; 3],
}

impl Corner {
    #[inline(always)]
    fn of_tile<R: Form, C: Form>(conv: &Conv, plan: &Plan, tile: usize) -> Corner {
        let w = &conv.window;
        let (rest, column) = (tile / plan.tiles[1], tile % plan.tiles[1]);
        let (plane, row) = (rest / plan.tiles[0], rest % plan.tiles[0]);
        let row = tile_start(w.y[1], w.dilations[1], R::OUTPUTS, row);
        let column = tile_start(w.y[2], w.dilations[2], C::OUTPUTS, column);
        Corner { image: plane / w.y[0], at: [plane % w.y[0], row, column] }
    }

    /// The pixels that the tile reads through tap `tap` of the first axis.
    #[inline(always)]
    fn pixels<R: Form, C: Form>(&self, conv: &Conv, x: *const f32, tap: usize) -> [[Channels; MOST]; MOST] {
        let w = &conv.window;
        let place =
            |i: usize, step: usize| (self.at[i] + step * w.dilations[i]).wrapping_sub(w.pads_begin[i]);
        let d = (self.at[0] * w.strides[0] + tap * w.dilations[0]).wrapping_sub(w.pads_begin[0]);
        let outside = Channels { from: ZEROS.as_ptr(), mask: 0 };
        let mut pixels = [[outside; MOST]; MOST];
        for (i, row) in pixels.iter_mut().enumerate().take(R::POSITIONS) {
            let h = place(1, i);
            if d >= w.x[0] || h >= w.x[1] {
                continue;
            }
            let line = ((self.image * w.x[0] + d) * w.x[1] + h) * w.x[2];
            for (j, pixel) in row.iter_mut().enumerate().take(C::POSITIONS) {
                let v = place(2, j);
                if v < w.x[2] {
                    *pixel = Channels { from: x.wrapping_add((line + v) * conv.ldx), mask: usize::MAX };
                }
            }
        }
        pixels
    }

    /// The rows of y of the tile's outputs, [`OUTSIDE`] behind the last.
    #[inline(always)]
    fn outputs<R: Form, C: Form>(&self, conv: &Conv) -> [[usize; MOST_OUTPUTS]; MOST_OUTPUTS] {
        let w = &conv.window;
        let mut rows = [[OUTSIDE; MOST_OUTPUTS]; MOST_OUTPUTS];
        for (i, row) in rows.iter_mut().enumerate().take(R::OUTPUTS) {
            let h = self.at[1] + i * w.dilations[1];
            if h >= w.y[1] {
                break;
            }
            let line = ((self.image * w.y[0] + self.at[0]) * w.y[1] + h) * w.y[2];
            for (j, row) in row.iter_mut().enumerate().take(C::OUTPUTS) {
                let v = self.at[2] + j * w.dilations[2];
                if v < w.y[2] {
                    *row = line + v;
                }
            }
        }
        rows
    }
}

/// The row of an output that does not exist.
const OUTSIDE: usize = usize::MAX;

/// A block of tiles into positions.
pub(super) struct Input<'a, R, C> {
    pub conv: &'a Conv,
    pub plan: &'a Plan,
    pub first: usize,
    pub tiles: usize,
    pub x: &'a [f32],
    /// The block's place of the first of these tiles, at the first position.
    pub v: *mut f32,
    pub forms: PhantomData<(R, C)>,
}

impl<R: Form, C: Form> Op for Input<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (conv, plan) = (self.conv, self.plan);
        let ahead = C::OUTPUTS * conv.window.dilations[2] * conv.ldx;
        for tile in 0..self.tiles {
            let corner = Corner::of_tile::<R, C>(conv, plan, self.first + tile);
            for tap in 0..conv.window.kernel[0] {
                let pixels = corner.pixels::<R, C>(conv, self.x.as_ptr(), tap);
                // SAFETY: the scratch has room for `block` tiles of `ldv` floats at each position.
                let to = unsafe { self.v.add(tile * plan.ldv + tap * conv.c) };
                let mut first = 0;
                while first + LANES <= conv.c {
                    // SAFETY: `Conv::run` checked that each pixel of x has `c` channels; positions are `plan.v`
                    // apart, `ldv` leaves room for a vector behind the last whole one.
                    unsafe {
                        scatter::<S, R, C, true>(
                            s,
                            &pixels,
                            first,
                            s.mask_first(LANES),
                            to.add(first),
                            plan.v,
                            ahead,
                        )
                    };
                    first += LANES;
                }
                if first < conv.c {
                    let mask = s.mask_first(conv.c - first);
                    // SAFETY: as above; channels past the last are masked.
                    unsafe {
                        scatter::<S, R, C, false>(s, &pixels, first, mask, to.add(first), plan.v, ahead)
                    };
                }
            }
        }
    }
}

/// One vector of channels of a tile into positions that are `stride` apart.
#[inline(always)]
unsafe fn scatter<S: Simd, R: Form, C: Form, const FULL: bool>(
    s: S,
    pixels: &[[Channels; MOST]; MOST],
    first: usize,
    mask: S::Mask,
    to: *mut f32,
    stride: usize,
    ahead: usize,
) {
    let mut tile = [[const { MaybeUninit::uninit() }; MOST]; MOST];
    for j in 0..C::POSITIONS {
        let mut column = [s.zero(); MOST];
        for i in 0..R::POSITIONS {
            let pixel = pixels[i][j];
            let from = pixel.from.wrapping_add(first & pixel.mask);
            // The next tile's: it starts where the last two columns of this one are.
            if j >= C::TAPS - 1 {
                s.prefetch(from.wrapping_add(ahead));
            }
            // SAFETY: the caller's promise.
            column[i] = unsafe { load::<S, FULL>(s, from, mask) };
        }
        R::input(s, &mut column);
        for i in 0..R::POSITIONS {
            tile[i][j] = MaybeUninit::new(column[i]);
        }
    }
    for (i, row) in tile.iter().enumerate().take(R::POSITIONS) {
        let mut row = row_of::<S, C>(s, row);
        C::input(s, &mut row);
        for (j, &v) in row.iter().enumerate().take(C::POSITIONS) {
            // SAFETY: the caller's promise.
            unsafe { s.store_ptr(v, to.add((i * C::POSITIONS + j) * stride)) };
        }
    }
}

/// A block of products into outputs.
pub(super) struct Output<'a, R, C> {
    pub conv: &'a Conv,
    pub plan: &'a Plan,
    pub first: usize,
    pub tiles: usize,
    /// From the first of these tiles on.
    pub p: &'a [f32],
    pub o: &'a Shared<'a>,
    pub forms: PhantomData<(R, C)>,
}

impl<R: Form, C: Form> Op for Output<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (conv, plan) = (self.conv, self.plan);
        for tile in 0..self.tiles {
            let corner = Corner::of_tile::<R, C>(conv, plan, self.first + tile);
            let rows = corner.outputs::<R, C>(conv);
            let from = self.p[tile * plan.ldp..].as_ptr();
            let mut first = 0;
            while first < conv.m {
                let full = first + LANES <= conv.m;
                let mask = s.mask_first(conv.m - first);
                // SAFETY: the scratch holds `block` tiles of `ldp` floats at each position; y, the residual and
                // the bias have `m` filters (checked by `Conv::run`), those past the last are masked.
                let finite = unsafe {
                    let from = from.add(first);
                    if full {
                        gather::<S, R, C, true>(s, conv, from, plan.p, &rows, self.o, first, mask)
                    } else {
                        gather::<S, R, C, false>(s, conv, from, plan.p, &rows, self.o, first, mask)
                    }
                };
                if !finite {
                    s.outline(Direct::<R, C> { conv, corner, first, o: self.o, forms: PhantomData });
                }
                first += LANES;
            }
            for row in rows.iter().take(R::OUTPUTS) {
                let pixels = row.iter().take(C::OUTPUTS).take_while(|&&at| at != OUTSIDE).count();
                if pixels != 0 {
                    let y = self.o.y.wrapping_add(row[0] * conv.ldy);
                    let ld = conv.window.dilations[2] * conv.ldy;
                    // SAFETY: these outputs have just been stored, all filters of them.
                    unsafe { finish(s, conv.act, y, ld, pixels, conv.m) };
                }
            }
        }
    }
}

/// One vector of filters of a tile from its positions; whether all outputs are finite, else none is written.
#[inline(always)]
#[allow(
    clippy::too_many_arguments,
    reason = "one inner loop, cut out so that it has a fast and a masked form"
)]
unsafe fn gather<S: Simd, R: Form, C: Form, const FULL: bool>(
    s: S,
    conv: &Conv,
    from: *const f32,
    stride: usize,
    rows: &[[usize; MOST_OUTPUTS]; MOST_OUTPUTS],
    o: &Shared,
    first: usize,
    mask: S::Mask,
) -> bool {
    for rows in rows.iter().take(R::OUTPUTS) {
        for &at in rows.iter().take(C::OUTPUTS) {
            s.prefetch(o.y.cast_const().wrapping_add(at.wrapping_mul(conv.ldy).wrapping_add(first)));
        }
    }
    let mut half = [[const { MaybeUninit::uninit() }; MOST]; MOST];
    for j in 0..C::POSITIONS {
        let mut column = [s.zero(); MOST];
        for (i, m) in column.iter_mut().enumerate().take(R::POSITIONS) {
            // SAFETY: the caller's promise.
            *m = unsafe { load::<S, FULL>(s, from.add((i * C::POSITIONS + j) * stride), mask) };
        }
        R::output(s, &mut column);
        for (half, m) in half.iter_mut().zip(column).take(R::OUTPUTS) {
            half[j] = MaybeUninit::new(m);
        }
    }
    let mut sum = s.zero();
    let mut tile = [[s.zero(); MOST_OUTPUTS]; MOST_OUTPUTS];
    for (tile, half) in tile.iter_mut().zip(&half).take(R::OUTPUTS) {
        let mut row = row_of::<S, C>(s, half);
        C::output(s, &mut row);
        for (tile, &y) in tile.iter_mut().zip(&row).take(C::OUTPUTS) {
            *tile = y;
            sum = s.add(sum, y);
        }
    }
    // Of what is not finite the difference with itself is NaN.
    if s.any(s.is_nan(s.sub(sum, sum))) {
        return false;
    }
    if !o.bias.is_empty() {
        // SAFETY: the caller's promise.
        let bias = unsafe { load::<S, FULL>(s, o.bias.as_ptr().add(first), mask) };
        for row in tile.iter_mut().take(R::OUTPUTS) {
            for y in row.iter_mut().take(C::OUTPUTS) {
                *y = s.add(*y, bias);
            }
        }
    }
    for (row, at) in tile.iter_mut().zip(rows).take(R::OUTPUTS) {
        if !o.residual.is_empty() {
            for (y, &at) in row.iter_mut().zip(at).take(C::OUTPUTS) {
                if at != OUTSIDE {
                    // SAFETY: the caller's promise.
                    *y = s.add(*y, unsafe {
                        load::<S, FULL>(s, o.residual.as_ptr().add(at * conv.ldr + first), mask)
                    });
                }
            }
        }
        activate_all(s, conv.act, row);
        for (&y, &at) in row.iter().zip(at).take(C::OUTPUTS) {
            if at != OUTSIDE {
                // SAFETY: the caller's promise.
                unsafe {
                    let to = o.y.add(at * conv.ldy + first);
                    if FULL { s.store_ptr(y, to) } else { s.store_first_ptr(y, to, conv.m - first) }
                };
            }
        }
    }
    true
}

/// A row of a tile whose columns have been transformed.
#[inline(always)]
fn row_of<S: Simd, C: Form>(s: S, row: &[MaybeUninit<S::F32>; MOST]) -> [S::F32; MOST] {
    let mut out = [s.zero(); MOST];
    for (out, x) in out.iter_mut().zip(row).take(C::POSITIONS) {
        // SAFETY: the first loop over columns wrote all of the form's positions.
        *out = unsafe { x.assume_init() };
    }
    out
}

#[inline(always)]
unsafe fn load<S: Simd, const FULL: bool>(s: S, from: *const f32, mask: S::Mask) -> S::F32 {
    // SAFETY: the caller's promise.
    unsafe { if FULL { s.load_ptr(from) } else { s.load_masked_ptr(from, mask, s.zero()) } }
}

/// One vector of filters of a tile from the definition.
struct Direct<'a, R, C> {
    conv: &'a Conv,
    corner: Corner,
    first: usize,
    o: &'a Shared<'a>,
    forms: PhantomData<(R, C)>,
}

impl<R: Form, C: Form> Op for Direct<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Direct { conv, corner, first, o, .. } = self;
        let panel = first / LANES * conv.window.taps() * conv.c * LANES;
        let rows = corner.outputs::<R, C>(conv);
        for (i, rows) in rows.iter().enumerate().take(R::OUTPUTS) {
            for (j, &row) in rows.iter().enumerate().take(C::OUTPUTS) {
                if row == OUTSIDE {
                    continue;
                }
                let mut sum = s.zero();
                if !o.bias.is_empty() {
                    sum = s.load_part(&o.bias[first..conv.m], 0.0);
                }
                let mut w = o.w[panel..].as_ptr();
                for tap in 0..conv.window.kernel[0] {
                    let pixels = corner.pixels::<R, C>(conv, o.x.as_ptr(), tap);
                    for row in &pixels[i..i + R::TAPS] {
                        for pixel in &row[j..j + C::TAPS] {
                            for ch in 0..conv.c {
                                // SAFETY: pixels have `c` channels, the panel has a row for each of them.
                                unsafe {
                                    let x = s.splat(*pixel.from.wrapping_add(ch & pixel.mask));
                                    sum = s.mul_add(x, s.load_ptr(w), sum);
                                    w = w.add(LANES);
                                }
                            }
                        }
                    }
                }
                if !o.residual.is_empty() {
                    let residual = &o.residual[row * conv.ldr..][first..conv.m];
                    sum = s.add(sum, s.load_part(residual, 0.0));
                }
                // SAFETY: y has `m` filters of this row, and they are this tile's.
                unsafe {
                    let to = o.y.add(row * conv.ldy + first);
                    s.store_first_ptr(activate(s, conv.act, sum), to, (conv.m - first).min(LANES));
                }
            }
        }
    }
}

/// The transform of the weights.
pub(super) struct Prepare<'a, R, C> {
    conv: &'a Conv,
    plan: Plan,
    w: &'a [f32],
    prepared: &'a mut [f32],
    forms: PhantomData<(R, C)>,
}

impl<'a, R, C> Prepare<'a, R, C> {
    pub(super) fn new(conv: &'a Conv, plan: Plan, w: &'a [f32], prepared: &'a mut [f32]) -> Self {
        Prepare { conv, plan, w, prepared, forms: PhantomData }
    }
}

impl<R: Form, C: Form> Op for Prepare<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Prepare { conv, plan, w, prepared, .. } = self;
        let (c, plane, weights) = (conv.c, R::TAPS * C::TAPS, plan.weights(conv));
        for panel in 0..conv.m.div_ceil(LANES) {
            for tap in 0..conv.window.kernel[0] {
                for ch in 0..c {
                    let vector = |i: usize, j: usize| {
                        let row = (panel * conv.window.kernel[0] + tap) * plane + i * C::TAPS + j;
                        s.load_part(&w[(row * c + ch) * LANES..][..LANES], 0.0)
                    };
                    let mut half = [[s.zero(); 3]; MOST];
                    for j in 0..C::TAPS {
                        let mut column = [s.zero(); 3];
                        for (i, g) in column.iter_mut().enumerate().take(R::TAPS) {
                            *g = vector(i, j);
                        }
                        for (half, u) in half.iter_mut().zip(R::weights(s, column)) {
                            half[j] = u;
                        }
                    }
                    let to = panel * plan.k + tap * c + ch;
                    for (i, &half) in half.iter().enumerate().take(R::POSITIONS) {
                        for (j, &u) in C::weights(s, half).iter().enumerate().take(C::POSITIONS) {
                            let to = (i * C::POSITIONS + j) * weights + to * LANES;
                            s.store_part(u, &mut prepared[to..][..LANES]);
                        }
                    }
                }
            }
        }
    }
}
