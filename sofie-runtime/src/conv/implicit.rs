//! Convolution as a matrix product whose rows are gathered from the image, without im2col.
//!
//! A pixel of the result is a row; each tap of the window is a segment of `c` contiguous channels, read where
//! it lies. With few channels (first layers) the segments would be a few floats long, and a tile would spend more
//! on pointers than on products: there some lines at a time are copied between zeros, along which the windows
//! slide at a stride. (Copying each window to a row of its own was tried: overlapping stores cost as much as the
//! products of 32 filters.)

use core::ops::Range;

use super::window::{Pixel, Window};
use super::{Conv, Operands};
use crate::gemm::{Gemm, GemmLines, GemmRows, Init, RowOffsets, ZEROS};
use crate::parallel::{self, with_scratch};

/// Floats of a row of taps up to which windows slide along lines.
const SLIDING: usize = 96;
/// Floats that the lines of a band may take.
const BAND: usize = 8 * 1024;

/// Where the segments of a product's rows start: rows are pixels of `[images, y…]`, segments the taps of a
/// window, along each axis `start + stride * pixel + step * tap`. Negative numbers are wrapped around zero.
pub(super) struct Taps {
    pub x: [usize; 3],
    pub y: [usize; 3],
    pub kernel: [usize; 3],
    pub start: [usize; 3],
    pub strides: [usize; 3],
    pub steps: [usize; 3],
    /// Floats between pixels of x.
    pub ldx: usize,
    /// The row of `[images, y…]` that the product's first one is.
    pub first_row: usize,
}

impl Taps {
    pub(super) fn new(window: &Window, ldx: usize) -> Taps {
        Taps {
            x: window.x,
            y: window.y,
            kernel: window.kernel,
            start: window.pads_begin.map(usize::wrapping_neg),
            strides: window.strides,
            steps: window.dilations,
            ldx,
            first_row: 0,
        }
    }

    /// The elements of x that the pixel's window starts at.
    #[inline(always)]
    fn start(&self, pixel: &Pixel, i: usize) -> usize {
        self.start[i].wrapping_add(pixel.at[i] * self.strides[i])
    }
}

impl RowOffsets for Taps {
    #[inline]
    fn locate(&self, row: usize, rows: usize, segments: Range<usize>, out: &mut [usize]) {
        let [x0, x1, x2] = self.x;
        let first = Pixel::of_row(segments.start, &self.kernel).at;
        let mut pixel = Pixel::of_row(self.first_row + row, &self.y);
        let end = segments.len() * rows;
        for r in 0..rows {
            let start = [self.start(&pixel, 0), self.start(&pixel, 1), self.start(&pixel, 2)];
            let [mut a, mut b, mut c] = first;
            let mut to = r;
            while to < end {
                let at0 = start[0].wrapping_add(a.wrapping_mul(self.steps[0]));
                let at1 = start[1].wrapping_add(b.wrapping_mul(self.steps[1]));
                let outside = at0 >= x0 || at1 >= x1;
                // What wraps around is outside and not used.
                let line =
                    (pixel.image * x0).wrapping_add(at0).wrapping_mul(x1).wrapping_add(at1).wrapping_mul(x2);
                let mut at2 = start[2].wrapping_add(c.wrapping_mul(self.steps[2]));
                while c < self.kernel[2] && to < end {
                    let offset = line.wrapping_add(at2).wrapping_mul(self.ldx);
                    out[to] = if outside || at2 >= x2 { ZEROS } else { offset };
                    at2 = at2.wrapping_add(self.steps[2]);
                    to += rows;
                    c += 1;
                }
                c = 0;
                b += 1;
                if b == self.kernel[1] {
                    b = 0;
                    a += 1;
                }
            }
            pixel.advance(&self.y);
        }
    }
}

/// How windows slide along lines.
#[derive(Clone, Copy)]
struct Sliding {
    /// Whether the lines are those of the image: nothing is copied.
    in_place: bool,
    /// The axis that bands divide, and its outputs in a band.
    axis: usize,
    band: usize,
}

impl Sliding {
    /// For few channels; with many, a segment a tap is as good.
    const fn new(conv: &Conv) -> Option<Sliding> {
        let w = &conv.window;
        if conv.group != 1 || w.kernel[2] * conv.c > SLIDING || conv.c == 0 || w.taps() == 0 {
            return None;
        }
        if w.is_inside() {
            return Some(Sliding { in_place: true, axis: 1, band: w.y[1] });
        }
        let axis = if w.y[1] > 1 { 1 } else { 2 };
        let mut sliding = Sliding { in_place: false, axis, band: w.y[axis] };
        // What windows of two bands share is copied twice.
        let least = 2 * w.kernel[axis] * w.dilations[axis];
        while sliding.band > least && sliding.floats(conv) > BAND {
            sliding.band = sliding.band.div_ceil(2);
        }
        Some(sliding)
    }

    /// Outputs of a band, per axis; bands have one plane.
    const fn outputs(&self, conv: &Conv) -> [usize; 3] {
        let mut y = [1, conv.window.y[1], conv.window.y[2]];
        y[self.axis] = self.band;
        y
    }

    /// Floats of the lines of a band.
    const fn floats(&self, conv: &Conv) -> usize {
        if self.in_place {
            return 0;
        }
        let w = Window { y: self.outputs(conv), ..conv.window };
        w.kernel[0] * w.reach(1) * w.reach(2) * conv.c
    }
}

/// Whether pieces of a kernel's row are what rows are made of, and not single taps.
pub(super) const fn is_sliding(conv: &Conv) -> bool {
    Sliding::new(conv).is_some()
}

/// Floats of scratch: the lines of a band.
pub(super) const fn scratch(conv: &Conv) -> usize {
    match Sliding::new(conv) {
        Some(sliding) => sliding.floats(conv),
        None => 0,
    }
}

/// Runs a convolution of any kind, group by group.
pub(super) fn run(conv: &Conv, o: Operands, scratch: &mut [f32]) {
    match Sliding::new(conv) {
        Some(sliding) => slide(conv, sliding, o, scratch),
        // One product is cut into parts by itself.
        None if conv.group == 1 => product(conv, conv.c, &Taps::new(&conv.window, conv.ldx), o),
        None => {
            let rows = conv.batch * conv.window.y_pixels();
            let parts = parallel::parts(conv.operations(), rows.div_ceil(ROWS));
            let Operands { y, x, w, bias, residual } = o;
            parallel::for_each_slice(
                y,
                |row| row * conv.ldy,
                rows,
                parts,
                |rows, y| {
                    let residual = super::from(residual, rows.start * conv.ldr);
                    let mut o = Operands { y, x, w, bias, residual };
                    let taps = Taps { first_row: rows.start, ..Taps::new(&conv.window, conv.ldx) };
                    for group in 0..conv.group {
                        product_of_rows(conv, rows.len(), conv.c / conv.group, &taps, o.group(conv, group));
                    }
                },
            );
        }
    }
}

/// Rows of a part of a grouped convolution at least.
const ROWS: usize = 48;

/// Windows along lines, band by band.
fn slide(conv: &Conv, sliding: Sliding, o: Operands, scratch: &mut [f32]) {
    let (w, axis) = (&conv.window, sliding.axis);
    let bands = w.y[axis].div_ceil(sliding.band);
    let units = conv.batch * w.y[0] * bands;
    let parts = if sliding.in_place { 1 } else { parallel::parts(conv.operations(), units) };
    // The row of the result that a band begins with.
    let row = |unit: usize| {
        let mut at = [0; 3];
        at[axis] = unit % bands * sliding.band;
        (unit / bands * w.y[1] + at[1]) * w.y[2] + at[2]
    };
    if parts == 1 {
        for unit in 0..units {
            let at = row(unit);
            let (y, residual) = (&mut o.y[at * conv.ldy..], super::from(o.residual, at * conv.ldr));
            band(conv, &sliding, unit, Operands { y, residual, ..o }, scratch);
        }
        return;
    }
    let Operands { y, x, w, bias, residual } = o;
    parallel::for_each_slice(
        y,
        |unit| row(unit) * conv.ldy,
        units,
        parts,
        |units, y| {
            with_scratch(scratch.len(), |scratch| {
                for unit in units.clone() {
                    let (first, at) = (row(units.start), row(unit));
                    let (y, residual) =
                        (&mut y[(at - first) * conv.ldy..], super::from(residual, at * conv.ldr));
                    band(conv, &sliding, unit, Operands { y, x, w, bias, residual }, scratch);
                }
            });
        },
    );
}

/// One band; y and the residual begin with its first pixel.
fn band(conv: &Conv, sliding: &Sliding, unit: usize, o: Operands, scratch: &mut [f32]) {
    let (w, c, axis) = (&conv.window, conv.c, sliding.axis);
    let bands = w.y[axis].div_ceil(sliding.band);
    let (plane, first) = (unit / bands, unit % bands * sliding.band);
    let (image, a) = (plane / w.y[0], plane % w.y[0]);
    let mut y = [1, w.y[1], w.y[2]];
    y[axis] = sliding.band.min(w.y[axis] - first);
    let part = Window { y, ..*w };
    let mut at = [a, 0, 0];
    at[axis] = first;
    let start = [0, 1, 2].map(|i| (at[i] * w.strides[i]).wrapping_sub(w.pads_begin[i]));
    // Floats between pixels, lines and planes of what the windows slide over.
    let (from, pixel, line, tap_plane) = if sliding.in_place {
        let line = w.x[2] * conv.ldx;
        let from = image * w.x_pixels() * conv.ldx + start[0] * w.x[1] * line;
        (&o.x[from..], conv.ldx, line, w.dilations[0] * w.x[1] * line)
    } else {
        let line = part.reach(2) * c;
        let plane = part.reach(1) * line;
        let lines = &mut scratch[..w.kernel[0] * plane];
        copy_between_zeros(conv, &part, from_image(conv, o.x, image), start, lines);
        (&*lines, c, line, plane)
    };
    // Taps side by side are one piece.
    let (last, piece) =
        if w.dilations[2] == 1 && pixel == c { (1, w.kernel[2] * c) } else { (w.kernel[2], c) };
    let product = GemmLines {
        lines: y[1],
        rows: y[2],
        n: conv.m,
        pieces: [
            (w.kernel[0], tap_plane),
            (w.kernel[1], w.dilations[1] * line),
            (last, w.dilations[2] * pixel),
        ],
        piece,
        line: w.strides[1] * line,
        row: w.strides[2] * pixel,
        ldc: (conv.ldy, w.y[2] * conv.ldy),
        ldr: (conv.ldr, w.y[2] * conv.ldr),
        act: conv.act,
    };
    product.run(o.y, from, o.w, o.bias, o.residual);
}

/// The pixels of one image.
fn from_image<'a>(conv: &Conv, x: &'a [f32], image: usize) -> &'a [f32] {
    super::from(x, image * conv.window.x_pixels() * conv.ldx)
}

/// The lines that the windows of a band reach over, from `start` on, one plane a tap of the first axis.
fn copy_between_zeros(conv: &Conv, part: &Window, x: &[f32], start: [usize; 3], to: &mut [f32]) {
    let (c, ldx) = (conv.c, conv.ldx);
    let [x0, x1, x2] = part.x;
    let (lines, pixels) = (part.reach(1), part.reach(2));
    // Pixels of a line before the first and behind the last.
    let before = if (start[2] as isize) < 0 { start[2].wrapping_neg().min(pixels) } else { 0 };
    let first = start[2].wrapping_add(before);
    let count = x2.saturating_sub(first).min(pixels - before);
    for (i, to) in to.chunks_exact_mut(pixels * c).enumerate() {
        let at0 = start[0].wrapping_add(i / lines * part.dilations[0]);
        let at1 = start[1].wrapping_add(i % lines);
        if at0 >= x0 || at1 >= x1 || count == 0 {
            to.fill(0.0);
            continue;
        }
        let from = &x[((at0 * x1 + at1) * x2 + first) * ldx..];
        let (zeros, to) = to.split_at_mut(before * c);
        let (to, more) = to.split_at_mut(count * c);
        zeros.fill(0.0);
        more.fill(0.0);
        if ldx == c {
            to.copy_from_slice(&from[..count * c]);
        } else {
            for (i, to) in to.chunks_exact_mut(c).enumerate() {
                to.copy_from_slice(&from[i * ldx..][..c]);
            }
        }
    }
}

/// The product over all pixels, each row of A in segments of `segment` floats.
fn product(conv: &Conv, segment: usize, taps: &Taps, o: Operands) {
    product_of_rows(conv, conv.batch * conv.window.y_pixels(), segment, taps, o);
}

/// The product over so many pixels from the taps' first row on.
fn product_of_rows(conv: &Conv, rows: usize, segment: usize, taps: &Taps, o: Operands) {
    GemmRows {
        m: rows,
        n: conv.m / conv.group,
        segments: taps.kernel.iter().product(),
        segment,
        ldc: conv.ldy,
        ldr: conv.ldr,
        act: conv.act,
        init: Init::Bias,
    }
    .run(o.y, o.x, taps, o.w, o.bias, o.residual);
}

/// Runs a convolution whose windows are the pixels: products on the image as it lies.
pub(super) fn run_pointwise(conv: &Conv, mut o: Operands) {
    let gemm = Gemm {
        m: conv.batch * conv.window.y_pixels(),
        k: conv.c / conv.group,
        n: conv.m / conv.group,
        lda: conv.ldx,
        ldc: conv.ldy,
        ldr: conv.ldr,
        event: 0,
        lde: 0,
        act: conv.act,
        init: Init::Bias,
    };
    for group in 0..conv.group {
        let o = o.group(conv, group);
        gemm.run(o.y, o.x, o.w, o.bias, o.residual);
    }
}
