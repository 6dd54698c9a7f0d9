//! Convolution as a matrix product whose rows are gathered from the image, without im2col.
//!
//! A pixel of the result is a row; each tap of the window is a segment of `c` contiguous channels, read where
//! it lies. With few channels (first layers) the segments would be a few floats long: there the image is
//! copied once between zeros, so that the taps of a kernel row become one segment.

use core::ops::Range;

use super::window::{Pixel, Window};
use super::{Conv, Operands};
use crate::gemm::{Gemm, GemmRows, Init, RowOffsets, ZEROS};

/// Channels below which the image is copied between zeros: a segment of 8 floats costs a tile about as much in
/// pointers as in products.
const FEW_CHANNELS: usize = 8;

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

/// How the taps of a kernel row become one segment.
enum Merge {
    No,
    /// They lie side by side already.
    InPlace,
    /// After a copy of the image between zeros.
    Copy,
}

const fn merge(conv: &Conv) -> Merge {
    let w = &conv.window;
    if conv.group != 1 || w.kernel[2] == 1 || w.dilations[2] != 1 {
        Merge::No
    } else if w.is_inside() && conv.ldx == conv.c {
        Merge::InPlace
    } else if conv.c < FEW_CHANNELS {
        Merge::Copy
    } else {
        Merge::No
    }
}

/// Floats of scratch: one image between its zeros.
pub(super) const fn scratch(conv: &Conv) -> usize {
    match merge(conv) {
        Merge::Copy => conv.window.reach(0) * conv.window.reach(1) * conv.window.reach(2) * conv.c,
        _ => 0,
    }
}

/// Runs a convolution of any kind, group by group.
pub(super) fn run(conv: &Conv, mut o: Operands, scratch: &mut [f32]) {
    let window = conv.window;
    let rows = Window { kernel: [window.kernel[0], window.kernel[1], 1], ..window };
    match merge(conv) {
        Merge::InPlace => {
            product(conv, conv.batch, conv.c * window.kernel[2], &Taps::new(&rows, conv.ldx), o);
        }
        Merge::Copy => {
            let padded =
                Window { x: [rows.reach(0), rows.reach(1), window.reach(2)], pads_begin: [0; 3], ..rows };
            let scratch = &mut scratch[..padded.x_pixels() * conv.c];
            scratch.fill(0.0);
            for image in 0..conv.batch {
                let mut o = o.image(conv, image);
                copy_between_zeros(conv, &padded, scratch, o.x);
                o.x = scratch;
                product(conv, 1, conv.c * window.kernel[2], &Taps::new(&padded, conv.c), o);
            }
        }
        Merge::No => {
            let c = conv.c / conv.group;
            for group in 0..conv.group {
                product(conv, conv.batch, c, &Taps::new(&window, conv.ldx), o.group(conv, group));
            }
        }
    }
}

/// The pixels of one image to their places in `to`; what lies behind the last window's reach is left out.
fn copy_between_zeros(conv: &Conv, padded: &Window, to: &mut [f32], x: &[f32]) {
    let (w, c, pads) = (&conv.window, conv.c, conv.window.pads_begin);
    let fit = |i: usize| w.x[i].min(padded.x[i].saturating_sub(pads[i]));
    let pixels = fit(2);
    for a in 0..fit(0) {
        for b in 0..fit(1) {
            let from = &x[(a * w.x[1] + b) * w.x[2] * conv.ldx..];
            let to = &mut to[(((a + pads[0]) * padded.x[1] + b + pads[1]) * padded.x[2] + pads[2]) * c..];
            if conv.ldx == c {
                to[..pixels * c].copy_from_slice(&from[..pixels * c]);
            } else {
                for pixel in 0..pixels {
                    to[pixel * c..][..c].copy_from_slice(&from[pixel * conv.ldx..][..c]);
                }
            }
        }
    }
}

/// The product over `images` images, each row of A in segments of `segment` floats.
fn product(conv: &Conv, images: usize, segment: usize, taps: &Taps, o: Operands) {
    GemmRows {
        m: images * conv.window.y_pixels(),
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
        act: conv.act,
        init: Init::Bias,
    };
    for group in 0..conv.group {
        let o = o.group(conv, group);
        gemm.run(o.y, o.x, o.w, o.bias, o.residual);
    }
}
