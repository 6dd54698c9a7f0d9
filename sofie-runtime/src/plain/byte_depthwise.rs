//! Depthwise convolutions of bytes with weights of bytes, channels last: a sum over its window for each channel. The sums are
//! whole numbers below 2²⁴, so floats hold them, and what becomes of them is what becomes of a product's
//! ([`ByteProduct`](super::ByteProduct)).

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod quads;

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::Algorithm;
use super::byte_conv::pad;
use super::bytes::{Block, ByteFinish, Tables, widened};
use crate::map::{Dst, Src};
#[cfg(all(target_arch = "x86_64", not(miri)))]
use crate::simd::quads::dispatch_quads;
use crate::simd::{LANES, Op, Simd, dispatch};
use crate::{DType, parallel};

/// Pixels of a line that are computed together.
const PIXELS: usize = 4;

/// Pixels whose sums are finished together.
const CHUNK: usize = 16;

/// Panels whose sums are finished together.
const PANELS: usize = 4;

/// `c [batch, result…, channels] ← x [batch, image…, channels] (u8), zero [1] (u8), w [⌈channels/16⌉, taps, 16] (f32: whole
/// numbers within a byte), sums [⌈channels/16⌉, 16] (i32: of each channel's weights)` and what a finish reads, as
/// [`ByteProduct`](super::ByteProduct)'s.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteDepthwise {
    /// Images.
    pub batch: usize,
    /// Rows and columns of an image.
    pub image: [usize; 2],
    /// Channels of the image and of the result.
    pub channels: usize,
    /// Extents of the window.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub strides: [usize; 2],
    /// Steps between the taps of a window.
    pub dilations: [usize; 2],
    /// What is added before and behind the rows, and before and behind the columns.
    pub pads: [usize; 4],
    /// Rows and columns of the result.
    pub result: [usize; 2],
    /// From pixel to pixel of the result: its channels, or more where they are some of a wider image's.
    pub ldc: usize,
    /// What is stored instead of the sums.
    pub finish: Option<ByteFinish>,
}

impl ByteDepthwise {
    /// Taps of the largest window whose sums floats hold.
    pub const MOST_TAPS: usize = 256;

    fn is_padded(&self) -> bool {
        self.pads != [0; 4]
    }

    /// Rows and columns of a padded image.
    fn padded(&self) -> [usize; 2] {
        let [top, bottom, left, right] = self.pads;
        [top + self.image[0] + bottom, left + self.image[1] + right]
    }
}

/// Some lines of an image's result.
struct Lines<'a> {
    of: &'a ByteDepthwise,
    /// The padded image.
    a: &'a [u8],
    zero: i32,
    w: &'a [[f32; LANES]],
    sums: &'a [[i32; LANES]],
    finish: Option<&'a Tables<'a>>,
    lines: Range<usize>,
    /// The first line, as a residual counts them.
    first: usize,
    c: &'a mut [u8],
    size: usize,
}

impl Op for Lines<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let ByteDepthwise { channels, kernel, strides, dilations, .. } = *self.of;
        let panels = channels.div_ceil(LANES);
        for first in (0..panels).step_by(PANELS) {
            let some = first..panels.min(first + PANELS);
            for line in self.lines.clone() {
                match (kernel[1], strides[1], dilations[1]) {
                    (3, 1, 1) => self.line(Windows::<S, 3>(s), line, some.clone()),
                    (5, 1, 1) => self.line(Windows::<S, 5>(s), line, some.clone()),
                    (7, 1, 1) => self.line(Windows::<S, 7>(s), line, some.clone()),
                    _ => self.line(Windows::<S, 0>(s), line, some.clone()),
                }
            }
        }
    }
}

/// How the sums of pixels come about.
trait Sums: Copy {
    type Simd: Simd;

    fn simd(self) -> Self::Simd;

    /// Those of `N` pixels, from a line's column on, of a panel, which is the `i`th of those that the line is computed for.
    fn add<'s, const N: usize>(
        self,
        of: &Lines<'_>,
        at: (usize, usize),
        i_panel: (usize, usize),
        sums: impl Iterator<Item = &'s mut [i32; LANES]>,
    );
}

/// By windows of `K` neighbouring columns, or of any where `K` is 0.
#[derive(Clone, Copy)]
struct Windows<S, const K: usize>(S);

impl<S: Simd, const K: usize> Sums for Windows<S, K> {
    type Simd = S;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn add<'s, const N: usize>(
        self,
        of: &Lines<'_>,
        (line, column): (usize, usize),
        (_, panel): (usize, usize),
        sums: impl Iterator<Item = &'s mut [i32; LANES]>,
    ) {
        let (s, taps) = (self.0, of.of.kernel[0] * of.of.kernel[1]);
        let w = &of.w[panel * taps..][..taps];
        let acc: [S::F32; N] = if K > 0 && N > 1 {
            of.neighbours::<S, K, N>(s, w, line, column, panel)
        } else {
            of.windows::<S, N>(s, w, line, column, panel)
        };
        for (sums, acc) in sums.zip(acc) {
            s.store_i32(s.round_i32(acc), sums);
        }
    }
}

impl Lines<'_> {
    /// A line of some panels.
    #[inline(always)]
    fn line<F: Sums>(&mut self, by: F, line: usize, panels: Range<usize>) {
        let ByteDepthwise { channels, result: [_, columns], ldc, .. } = *self.of;
        let of_part = line - self.lines.start;
        let mut sums = [[0; LANES]; CHUNK * PANELS];
        let mut from = 0;
        while from < columns {
            // The last pixels of a line begin before those that are left.
            let end = columns.min(from + CHUNK);
            let first = if end - from < PIXELS { end.saturating_sub(PIXELS) } else { from };
            for (i, panel) in panels.clone().enumerate() {
                let mut column = first;
                while column < end {
                    let to = sums[(column - first) * panels.len() + i..].iter_mut().step_by(panels.len());
                    if end - first < PIXELS {
                        by.add::<1>(self, (line, column), (i, panel), to);
                        column += 1;
                    } else {
                        by.add::<PIXELS>(self, (line, column), (i, panel), to);
                        column += PIXELS;
                        if column < end {
                            column = column.min(end - PIXELS);
                        }
                    }
                }
            }
            by.simd().outline(Block {
                sums: &mut sums[(from - first) * panels.len()..(end - first) * panels.len()],
                panels: panels.len(),
                panel: panels.start,
                first: (self.first + of_part) * columns + from,
                zero: self.zero,
                columns: self.sums,
                shifted: &[],
                n: channels,
                ldc,
                finish: self.finish,
                c: &mut self.c[(of_part * columns + from) * ldc * self.size..],
            });
            from = end;
        }
    }

    /// The first byte of a panel of a row of taps of a pixel.
    #[inline(always)]
    fn at(&self, line: usize, column: usize, tap: usize, panel: usize) -> usize {
        let ByteDepthwise { channels, strides, dilations, .. } = *self.of;
        let row = line * strides[0] + tap * dilations[0];
        (row * self.of.padded()[1] + column * strides[1]) * channels + panel * LANES
    }

    /// 16 bytes as floats.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, at: usize) -> S::F32 {
        match self.a.get(at..).unwrap_or_default().first_chunk::<LANES>() {
            Some(bytes) => s.to_f32(s.load_i32(&bytes.map(i32::from))),
            None => s.to_f32(s.load_i32(&last(self.a, at))),
        }
    }

    /// Sums of some pixels, each by all of its taps.
    #[inline(always)]
    fn windows<S: Simd, const N: usize>(
        &self,
        s: S,
        w: &[[f32; LANES]],
        line: usize,
        column: usize,
        panel: usize,
    ) -> [S::F32; N] {
        let ByteDepthwise { channels, kernel, strides, dilations, .. } = *self.of;
        let mut acc = [s.zero(); N];
        for (y, w) in w.chunks_exact(kernel[1]).enumerate() {
            let mut first = self.at(line, column, y, panel);
            for w in w {
                let (w, mut at) = (s.load(w), first);
                for acc in &mut acc {
                    *acc = s.mul_add(self.load(s, at), w, *acc);
                    at += strides[1] * channels;
                }
                first += dilations[1] * channels;
            }
        }
        acc
    }

    /// Sums of neighbouring pixels, whose columns are read once.
    #[inline(always)]
    fn neighbours<S: Simd, const K: usize, const N: usize>(
        &self,
        s: S,
        w: &[[f32; LANES]],
        line: usize,
        column: usize,
        panel: usize,
    ) -> [S::F32; N] {
        let mut acc = [s.zero(); N];
        for (y, w) in w.as_chunks::<K>().0.iter().enumerate() {
            let mut at = self.at(line, column, y, panel);
            let mut weights = [s.zero(); K];
            for (to, w) in weights.iter_mut().zip(w) {
                *to = s.load(w);
            }
            for x in 0..N + K - 1 {
                let read = self.load(s, at);
                at += self.of.channels;
                for (i, acc) in acc.iter_mut().enumerate() {
                    if i <= x && x - i < K {
                        *acc = s.mul_add(read, weights[x - i], *acc);
                    }
                }
            }
        }
        acc
    }
}

/// The bytes that are left, and zeros.
#[cold]
#[inline(never)]
fn last(a: &[u8], at: usize) -> [i32; LANES] {
    widened(a.get(at..).unwrap_or_default(), false)
}

impl Algorithm for ByteDepthwise {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let ByteDepthwise { batch, channels, result, ldc, ref finish, .. } = *self;
        let (c, scratch) = match ys {
            [c] => (c, &mut [][..]),
            [c, scratch] => (c, scratch.slice::<f64>()),
            _ => panic!("a depthwise convolution of bytes: a result and perhaps scratch"),
        };
        // SAFETY: all bits are bytes, and there is no padding between the floats.
        let scratch = unsafe { scratch.align_to_mut::<u8>() }.1;
        let (x, zero) = (xs[0].slice::<u8>(), xs[1].slice::<u8>()[0]);
        let (w, _) = xs[2].slice::<f32>().as_chunks();
        let (sums, _) = xs[3].slice::<i32>().as_chunks();
        let tables = finish.as_ref().map(|f| f.tables(&xs[4..]));
        let size = finish.as_ref().map_or(DType::I32, ByteFinish::stored).size();
        let [of_image, of_result] = [self.image, result].map(|[rows, columns]| rows * columns);
        let line = result[1] * ldc * size;
        for i in 0..batch {
            let mut a = &x[i * of_image * channels..][..of_image * channels];
            if self.is_padded() {
                let to = &mut scratch[..self.padded().iter().product::<usize>() * channels];
                pad(a, self.image, self.pads, channels, zero, to);
                a = to;
            }
            let len = if of_result == 0 { 0 } else { ((of_result - 1) * ldc + channels) * size };
            let c = &mut c.bytes()[i * of_result * ldc * size..][..len];
            let work = of_result.saturating_mul(channels * self.kernel[0] * self.kernel[1]);
            let parts = parallel::parts(work, result[0]);
            parallel::for_each_slice(
                c,
                |row| len.min(row * line),
                result[0],
                parts,
                |lines, c| {
                    let (finish, first) = (tables.as_ref(), i * result[0] + lines.start);
                    let zero = i32::from(zero);
                    let lines = Lines { of: self, a, zero, w, sums, finish, lines, first, c, size };
                    #[cfg(all(target_arch = "x86_64", not(miri)))]
                    if lines.fits_quads() {
                        if let Some(lines) = dispatch_quads(lines) {
                            dispatch(lines);
                        }
                        return;
                    }
                    dispatch(lines);
                },
            );
        }
    }

    fn scratch(&self) -> usize {
        let len = self.padded().iter().product::<usize>() * self.channels;
        if self.is_padded() { len.div_ceil(size_of::<f64>()).max(1) } else { 0 }
    }
}

/// The weights of [`ByteDepthwise`] and their sums, of `w [taps, channels]`.
#[must_use]
pub fn byte_depthwise_tables(w: &[i8], channels: usize) -> (Vec<f32>, Vec<i32>) {
    let (panels, taps) = (channels.div_ceil(LANES), w.len() / channels.max(1));
    let mut packed = vec![0f32; panels * taps * LANES];
    let mut sums = vec![0i32; panels * LANES];
    for (i, &x) in w.iter().enumerate() {
        let (tap, channel) = (i / channels, i % channels);
        packed[(channel / LANES * taps + tap) * LANES + channel % LANES] = f32::from(x);
        sums[channel] += i32::from(x);
    }
    (packed, sums)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::for_each_level;

    /// Against the sum over taps.
    fn check(k: ByteDepthwise) {
        let mut state = (k.channels * 31 + k.kernel[1]) as u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let ByteDepthwise { batch, image: [h, w], channels, kernel: [kh, kw], result: [oh, ow], .. } = k;
        let x: Vec<u8> = (0..batch * h * w * channels).map(|_| random()).collect();
        let weights: Vec<i8> = (0..kh * kw * channels).map(|_| random() as i8).collect();
        let zero = [random()];
        let mut expected = vec![0i32; batch * oh * ow * channels];
        for (i, y) in expected.iter_mut().enumerate() {
            let (c, at) = (i % channels, i / channels);
            let (ox, oy, b) = (at % ow, at / ow % oh, at / ow / oh);
            for tap in 0..kh * kw {
                let iy = (oy * k.strides[0] + tap / kw * k.dilations[0]).checked_sub(k.pads[0]);
                let ix = (ox * k.strides[1] + tap % kw * k.dilations[1]).checked_sub(k.pads[2]);
                if let (Some(iy), Some(ix)) = (iy, ix)
                    && iy < h
                    && ix < w
                {
                    let x = i32::from(x[((b * h + iy) * w + ix) * channels + c]) - i32::from(zero[0]);
                    *y += x * i32::from(weights[tap * channels + c]);
                }
            }
        }
        let (packed, sums) = byte_depthwise_tables(&weights, channels);
        for ldc in [channels, channels + 3] {
            for_each_level(|level| {
                let k = ByteDepthwise { ldc, ..k.clone() };
                let mut c = vec![7i32; batch * oh * ow * ldc - (ldc - channels)];
                let mut scratch = vec![0f64; k.scratch()];
                let operands =
                    [(&x[..]).into(), (&zero[..]).into(), (&packed[..]).into(), (&sums[..]).into()];
                k.run(&mut [c[..].as_mut().into(), scratch[..].as_mut().into()], &operands);
                for (y, expected) in c.chunks(ldc).zip(expected.chunks(channels)) {
                    assert_eq!(&y[..channels], expected, "{k:?}, {}", level.name());
                    assert!(y[channels..].iter().all(|y| *y == 7), "{k:?}, {}", level.name());
                }
            });
        }
    }

    #[test]
    fn the_sum_over_taps() {
        let base = ByteDepthwise {
            batch: 2,
            image: [5, 9],
            channels: 24,
            kernel: [3, 3],
            strides: [1, 1],
            dilations: [1, 1],
            pads: [1; 4],
            result: [5, 9],
            ldc: 24,
            finish: None,
        };
        check(base.clone());
        check(ByteDepthwise { channels: 100, strides: [2, 2], result: [3, 5], ..base.clone() });
        check(ByteDepthwise { kernel: [5, 5], pads: [2; 4], channels: 16, ..base.clone() });
        check(ByteDepthwise {
            kernel: [5, 5],
            pads: [2; 4],
            strides: [2, 2],
            result: [3, 5],
            ..base.clone()
        });
        check(ByteDepthwise {
            kernel: [7, 7],
            pads: [3; 4],
            strides: [2, 2],
            result: [3, 5],
            ..base.clone()
        });
        check(ByteDepthwise { kernel: [1, 5], pads: [0, 0, 2, 2], channels: 70, ..base.clone() });
        check(ByteDepthwise {
            kernel: [3, 3],
            dilations: [2, 1],
            pads: [2, 2, 1, 1],
            channels: 64,
            ..base.clone()
        });
        check(ByteDepthwise { image: [5, 2], result: [5, 2], channels: 48, ..base.clone() });
        check(ByteDepthwise { image: [3, 35], result: [3, 35], channels: 70, ..base.clone() });
        check(ByteDepthwise {
            image: [3, 37],
            strides: [1, 2],
            result: [3, 19],
            channels: 48,
            ..base.clone()
        });
        check(ByteDepthwise { kernel: [7, 7], pads: [3; 4], channels: 33, ..base.clone() });
        check(ByteDepthwise { pads: [0; 4], result: [3, 7], channels: 5, ..base.clone() });
        check(ByteDepthwise { pads: [2, 2, 0, 4], dilations: [2, 2], result: [5, 9], ..base.clone() });
        check(ByteDepthwise { image: [1, 9], kernel: [1, 4], pads: [0, 0, 3, 0], result: [1, 9], ..base });
    }
}
