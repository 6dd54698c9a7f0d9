//! Convolutions of bytes with weights of bytes, channels last: products as [`ByteProduct`](super::ByteProduct)'s, whose rows
//! are read from the image where they stand. A row of the window is one run of bytes, so nothing is copied but an image
//! that is padded, whose pads are its zero point.

use super::Algorithm;
use super::bytes::{ByteFinish, GROUP, Operands, Rows};
use crate::DType;
use crate::map::{Dst, Src};

/// `c [batch, result…, filters] (i32) ← x [batch, image…, channels] (u8), zero [1] (u8), w, sums`: the weights as
/// [`byte_tables`](super::byte_tables) packs `[kernel[0], kernel[1] · channels, filters]`, each row of the window filled up
/// with zeros to whole groups. Behind them stands what a finish reads, as [`ByteProduct`](super::ByteProduct)'s.
#[derive(Clone, Debug, PartialEq)]
pub struct ByteConv {
    /// Images.
    pub batch: usize,
    /// Rows and columns of an image.
    pub image: [usize; 2],
    /// Channels of the image.
    pub channels: usize,
    /// Channels of the result.
    pub filters: usize,
    /// Extents of the window, whose columns are next to each other.
    pub kernel: [usize; 2],
    /// Steps between windows.
    pub strides: [usize; 2],
    /// Steps between rows of a window.
    pub dilation: usize,
    /// What is added before and behind the rows, and before and behind the columns.
    pub pads: [usize; 4],
    /// Rows and columns of the result.
    pub result: [usize; 2],
    /// From pixel to pixel of the result: its channels, or more where they are some of a wider image's.
    pub ldc: usize,
    /// What is stored instead of the sums.
    pub finish: Option<ByteFinish>,
}

/// The windows of an image.
#[derive(Clone, Copy)]
struct Windows {
    columns: usize,
    /// From row to row and from column to column of windows, and from row to row inside, in bytes.
    steps: [usize; 2],
    stride: usize,
    runs: usize,
    len: usize,
}

impl Rows for Windows {
    #[inline(always)]
    fn start(&self, row: usize) -> usize {
        let [start] = self.starts(row);
        start
    }
    #[inline(always)]
    fn starts<const R: usize>(&self, row: usize) -> [usize; R] {
        // One division for all.
        let (mut line, mut column) = (row / self.columns, row % self.columns);
        core::array::from_fn(|_| {
            let start = line * self.steps[0] + column * self.steps[1];
            column += 1;
            if column == self.columns {
                (line, column) = (line + 1, 0);
            }
            start
        })
    }
    #[inline(always)]
    fn line(&self) -> Option<usize> {
        (self.steps[0] != self.columns * self.steps[1]).then_some(self.columns)
    }
    #[inline(always)]
    fn step(&self) -> usize {
        self.steps[1]
    }
    #[inline(always)]
    fn runs(&self) -> usize {
        self.runs
    }
    #[inline(always)]
    fn stride(&self) -> usize {
        self.stride
    }
    #[inline(always)]
    fn run_len(&self) -> usize {
        self.len
    }
}

impl ByteConv {
    /// Rows and bytes a row of a padded image.
    fn padded(&self) -> [usize; 2] {
        let [top, bottom, left, right] = self.pads;
        [top + self.image[0] + bottom, (left + self.image[1] + right) * self.channels]
    }

    fn is_padded(&self) -> bool {
        self.pads != [0; 4]
    }
}

/// An image inside its pads, which are its zero point.
pub(super) fn pad(
    image: &[u8],
    [_, columns]: [usize; 2],
    pads: [usize; 4],
    channels: usize,
    zero: u8,
    to: &mut [u8],
) {
    let [top, _, left, right] = pads;
    let (from, line) = (columns * channels, (left + columns + right) * channels);
    if from == 0 {
        to.fill(zero);
        return;
    }
    let (above, rest) = to.split_at_mut(top * line);
    above.fill(zero);
    let (rows, below) = rest.split_at_mut(image.len() / from * line);
    below.fill(zero);
    for (to, from) in rows.chunks_exact_mut(line).zip(image.chunks_exact(from)) {
        let (before, rest) = to.split_at_mut(left * channels);
        let (middle, behind) = rest.split_at_mut(from.len());
        before.fill(zero);
        middle.copy_from_slice(from);
        behind.fill(zero);
    }
}

impl Algorithm for ByteConv {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let ByteConv { batch, channels, filters, kernel, strides, dilation, result, ldc, ref finish, .. } =
            *self;
        let (c, scratch) = match ys {
            [c] => (c, &mut [][..]),
            [c, scratch] => (c, scratch.slice::<f64>()),
            _ => panic!("a convolution of bytes: a result and perhaps scratch"),
        };
        // SAFETY: all bits are bytes, and there is no padding between the floats.
        let scratch = unsafe { scratch.align_to_mut::<u8>() }.1;
        let (x, zero) = (xs[0].slice::<u8>(), xs[1].slice::<u8>()[0]);
        let (w, _) = xs[2].slice::<u32>().as_chunks();
        let (sums, _) = xs[3].slice::<i32>().as_chunks();
        let [lines, line] = self.padded();
        let rows = Windows {
            columns: result[1].max(1),
            steps: [strides[0] * line, strides[1] * channels],
            stride: dilation * line,
            runs: kernel[0],
            len: kernel[1] * channels,
        };
        let (of_image, of_result) = (self.image[0] * self.image[1] * channels, result[0] * result[1]);
        let (c, of_row) = (c.bytes(), ldc * finish.as_ref().map_or(DType::I32, ByteFinish::stored).size());
        let finish = finish.as_ref().map(|f| f.tables(&xs[4..]));
        for i in 0..batch {
            // Behind an image is what the last group of its last run may read.
            let mut a = &x[i * of_image..];
            if self.is_padded() {
                pad(&a[..of_image], self.image, self.pads, channels, zero, &mut scratch[..lines * line]);
                a = &scratch[..lines * line + GROUP];
            }
            let of = Operands { a, rows, zero: i32::from(zero), w, sums, n: filters, ldc, shift: 0, finish };
            of.run(&mut c[i * of_result * of_row..], of_result, i * of_result);
        }
    }

    fn scratch(&self) -> usize {
        let [lines, line] = self.padded();
        if self.is_padded() { (lines * line + GROUP).div_ceil(size_of::<f64>()) } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::byte_tables;
    use super::*;
    use crate::simd::for_each_level;
    use std::{vec, vec::Vec};

    /// Against the sum over taps.
    fn check(k: ByteConv) {
        let mut state = (k.channels * 31 + k.filters * 7 + k.kernel[1]) as u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let ByteConv { batch, image: [h, w], channels, filters, kernel: [kh, kw], result: [oh, ow], .. } = k;
        let x: Vec<u8> = (0..batch * h * w * channels).map(|_| random()).collect();
        let weights: Vec<i8> = (0..kh * kw * channels * filters).map(|_| random() as i8).collect();
        let zero = random();
        let mut expected = vec![0i32; batch * oh * ow * filters];
        for (i, y) in expected.iter_mut().enumerate() {
            let (f, at) = (i % filters, i / filters);
            let (ox, oy, b) = (at % ow, at / ow % oh, at / ow / oh);
            for tap in 0..kh * kw * channels {
                let (c, kx, ky) = (tap % channels, tap / channels % kw, tap / channels / kw);
                let (iy, ix) = (oy * k.strides[0] + ky * k.dilation, ox * k.strides[1] + kx);
                let (Some(iy), Some(ix)) = (iy.checked_sub(k.pads[0]), ix.checked_sub(k.pads[2])) else {
                    continue;
                };
                if iy < h && ix < w {
                    let x = i32::from(x[((b * h + iy) * w + ix) * channels + c]) - i32::from(zero);
                    *y += x * i32::from(weights[tap * filters + f]);
                }
            }
        }
        let (run, whole) = (kw * channels, (kw * channels).next_multiple_of(4));
        let mut filled = vec![0; kh * whole * filters];
        for (to, from) in filled.chunks_exact_mut(whole * filters).zip(weights.chunks_exact(run * filters)) {
            to[..from.len()].copy_from_slice(from);
        }
        let (packed, sums) = byte_tables(&filled, kh * whole, filters);
        for ldc in [filters, filters + 5] {
            for_each_level(|level| {
                let k = ByteConv { ldc, ..k.clone() };
                let (mut c, mut scratch) =
                    (vec![7i32; batch * oh * ow * ldc - (ldc - filters)], vec![0f64; k.scratch()]);
                let of_zero = [zero];
                let operands =
                    [(&x[..]).into(), (&of_zero[..]).into(), (&packed[..]).into(), (&sums[..]).into()];
                k.run(&mut [c[..].as_mut().into(), scratch[..].as_mut().into()], &operands);
                for (y, expected) in c.chunks(ldc).zip(expected.chunks(filters)) {
                    assert_eq!(&y[..filters], expected, "{k:?}, {}", level.name());
                    assert!(y[filters..].iter().all(|y| *y == 7), "{k:?}, {}", level.name());
                }
            });
        }
    }

    #[test]
    fn the_sum_over_taps() {
        let base = ByteConv {
            batch: 2,
            image: [5, 6],
            channels: 4,
            filters: 18,
            kernel: [3, 3],
            strides: [1, 1],
            dilation: 1,
            pads: [1, 1, 1, 1],
            result: [5, 6],
            ldc: 18,
            finish: None,
        };
        check(base.clone());
        check(ByteConv { channels: 3, strides: [2, 2], result: [3, 3], ..base.clone() });
        check(ByteConv { pads: [0; 4], result: [3, 4], filters: 70, ..base.clone() });
        check(ByteConv { pads: [2, 2, 0, 2], dilation: 2, result: [5, 6], channels: 5, ..base.clone() });
        check(ByteConv { kernel: [1, 1], pads: [0; 4], channels: 9, ..base.clone() });
        check(ByteConv { image: [1, 9], kernel: [1, 4], pads: [0, 0, 3, 0], result: [1, 9], ..base.clone() });
        // By tiles: lines of one and of several, some beginning before the rows that are left; windows of no pads, whose last
        // rows end inside a group; rows that are all at one distance.
        let wide = ByteConv { image: [9, 35], channels: 16, result: [9, 35], ..base.clone() };
        check(wide.clone());
        check(ByteConv {
            channels: 7,
            filters: 40,
            kernel: [3, 3],
            pads: [0; 4],
            result: [7, 33],
            ..wide.clone()
        });
        check(ByteConv { kernel: [1, 1], pads: [0; 4], channels: 18, filters: 33, ..wide.clone() });
        check(ByteConv { strides: [2, 2], result: [5, 18], channels: 23, ..wide.clone() });
        check(ByteConv { image: [20, 5], result: [20, 5], channels: 23, ..wide });
    }
}
