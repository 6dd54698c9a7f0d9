//! `DeformConv`: a convolution whose windows are pulled out of shape by offsets that are computed at run time.

use core::ops::Range;

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src};

/// `y [N, M, H', W'] ← x [N, C, H, W], w [M, C/g, kh, kw], offset [N, o·kh·kw·2, H', W'], bias? [M],
/// mask? [N, o·kh·kw, H', W']`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeformConv {
    /// Events.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Height and width of `x`.
    pub image: [usize; 2],
    /// Filters.
    pub filters: usize,
    /// Height and width of a filter.
    pub kernel: [usize; 2],
    /// Height and width of `y`.
    pub result: [usize; 2],
    /// Steps between windows.
    pub strides: [usize; 2],
    /// Steps between elements of a window.
    pub dilations: [usize; 2],
    /// Elements before each axis.
    pub pads: [usize; 2],
    /// Groups of channels and filters.
    pub group: usize,
    /// Groups of channels that share offsets.
    pub offset_group: usize,
    /// The operand `bias` is there.
    pub bias: bool,
    /// The operand `mask` is there.
    pub mask: bool,
}

/// Places of the result that are worked out together, side by side.
const BLOCK: usize = 8;

/// A place between pixels: the four around it, beyond the image where they are outside, and how far it is from the first.
struct Between {
    pixels: [usize; 4],
    rest: [f64; 2],
}

impl Between {
    fn new([height, width]: [usize; 2], [y, x]: [f64; 2]) -> Between {
        let reaches = |at: f64, extent: usize| at >= -1.0 && at < extent as f64;
        if !(reaches(y, height) && reaches(x, width)) {
            // Nowhere; what is no number or infinite makes a NaN, as it would between pixels.
            let rest = if y.is_finite() && x.is_finite() { 0.0 } else { f64::NAN };
            return Between { pixels: [usize::MAX; 4], rest: [rest; 2] };
        }
        // Numbers that an integer holds are rounded down without a call.
        let down = |at: f64| at as isize - isize::from(at < 0.0 && at != -1.0);
        let (row, column) = (down(y), down(x));
        let at = |row: isize, column: isize| match (usize::try_from(row), usize::try_from(column)) {
            (Ok(row), Ok(column)) if row < height && column < width => row * width + column,
            _ => usize::MAX,
        };
        let pixels = [at(row, column), at(row, column + 1), at(row + 1, column), at(row + 1, column + 1)];
        // Of a negative zero the distance is zero.
        Between { pixels, rest: [y + 0.0 - row as f64, x + 0.0 - column as f64] }
    }

    /// The image there, zero outside.
    #[inline(always)]
    fn of<T: Real>(&self, image: &[T]) -> f64 {
        let [ly, lx] = self.rest;
        let [a, b, c, d] = self.pixels.map(|p| image.get(p).map_or(0.0, |x| x.get()));
        let (upper, lower) = ((1.0 - lx) * a + lx * b, (1.0 - lx) * c + lx * d);
        (1.0 - ly) * upper + ly * lower
    }
}

impl DeformConv {
    fn typed<T: Real>(&self, y: &mut [T], xs: &[Src<'_>], columns: &mut [f64]) {
        let w: &[T] = xs[1].slice();
        let bias: &[T] = if self.bias { xs[3].slice() } else { &[] };
        let results = self.result[0] * self.result[1];
        let filters = self.filters / self.group;
        let terms = self.channels / self.group * self.kernel[0] * self.kernel[1];
        let (columns, _) = columns.as_chunks_mut();
        for n in 0..self.batch {
            for first in (0..results).step_by(BLOCK) {
                let block = first..results.min(first + BLOCK);
                self.windows::<T>(n, block.clone(), xs, columns);
                for m in 0..self.filters {
                    let filter = &w[m * terms..][..terms];
                    let column = &columns[m / filters * terms..][..terms];
                    let mut sums = [bias.get(m).map_or(0.0, |b| b.get()); BLOCK];
                    for (w, x) in filter.iter().zip(column) {
                        let w = w.get();
                        sums.iter_mut().zip(x).for_each(|(sum, x)| *sum += w * x);
                    }
                    let y = &mut y[(n * self.filters + m) * results..][block.clone()];
                    y.iter_mut().zip(sums).for_each(|(y, sum)| *y = T::put(sum));
                }
            }
        }
    }

    /// The windows at a block of places of one result: a row for each element of a window. Where it is in the image is
    /// asked once for all channels that share their offsets.
    fn windows<T: Real>(&self, n: usize, block: Range<usize>, xs: &[Src<'_>], columns: &mut [[f64; BLOCK]]) {
        let (x, offset): (&[T], &[T]) = (xs[0].slice(), xs[2].slice());
        let mask: Option<&[T]> = self.mask.then(|| xs[3 + usize::from(self.bias)].slice());
        let (taps, pixels) = (self.kernel[0] * self.kernel[1], self.image[0] * self.image[1]);
        let results = self.result[0] * self.result[1];
        let of_offset = self.channels / self.offset_group;
        let mut windows = [[0; 2]; BLOCK];
        windows.iter_mut().zip(block.clone()).for_each(|(w, at)| *w = [at / self.result[1], at % self.result[1]]);
        for group in 0..self.offset_group {
            let images = &x[(n * self.channels + group * of_offset) * pixels..][..of_offset * pixels];
            let columns = &mut columns[group * of_offset * taps..][..of_offset * taps];
            for tap in 0..taps {
                let k = [tap / self.kernel[1], tap % self.kernel[1]];
                let tap_of_all = (n * self.offset_group + group) * taps + tap;
                for (lane, (at, window)) in block.clone().zip(windows).enumerate() {
                    let place = [0, 1].map(|axis| {
                        let moved = offset[(tap_of_all * 2 + axis) * results + at].get();
                        let regular = (window[axis] * self.strides[axis] + k[axis] * self.dilations[axis]) as f64;
                        regular - self.pads[axis] as f64 + moved
                    });
                    let between = Between::new(self.image, place);
                    let factor = mask.map_or(1.0, |mask| mask[tap_of_all * results + at].get());
                    for c in 0..of_offset {
                        let image = &images[c * pixels..][..pixels];
                        columns[c * taps + tap][lane] = factor * between.of(image);
                    }
                }
            }
        }
    }
}

impl Algorithm for DeformConv {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("deform conv: a result and scratch") };
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs, scratch.slice()));
    }

    fn scratch(&self) -> usize {
        (self.channels * self.kernel[0] * self.kernel[1] * BLOCK).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    /// The definition: each result on its own.
    fn oracle(k: &DeformConv, x: &[f32], w: &[f32], offset: &[f32], bias: &[f32], mask: &[f32]) -> Vec<f32> {
        let ([h, width], [kh, kw], [oh, ow]) = (k.image, k.kernel, k.result);
        let (of_group, taps) = (k.channels / k.group, kh * kw);
        let at = |n: usize, c: usize, y: f64, x_: f64| {
            let inside = y >= 0.0 && x_ >= 0.0 && y < h as f64 && x_ < width as f64;
            if !inside { 0.0 } else { f64::from(x[((n * k.channels + c) * h + y as usize) * width + x_ as usize]) }
        };
        let mut out = Vec::new();
        for i in 0..k.batch * k.filters * oh * ow {
            let (n, m, r) = (i / (k.filters * oh * ow), i / (oh * ow) % k.filters, i % (oh * ow));
            let mut sum = bias.get(m).map_or(0.0, |b| f64::from(*b));
            for term in 0..of_group * taps {
                let (c, tap) = (m / (k.filters / k.group) * of_group + term / taps, term % taps);
                let of_tap = (n * k.offset_group + c / (k.channels / k.offset_group)) * taps + tap;
                let place = [(r / ow, tap / kw), (r % ow, tap % kw)].into_iter().enumerate().map(|(a, (o, t))| {
                    let moved = f64::from(offset[(of_tap * 2 + a) * oh * ow + r]);
                    (o * k.strides[a] + t * k.dilations[a]) as f64 - k.pads[a] as f64 + moved
                });
                let place: Vec<f64> = place.collect();
                let low = [place[0].floor(), place[1].floor()];
                let mut value = 0.0;
                for corner in 0..4 {
                    let p = [0, 1].map(|a| low[a] + [corner / 2, corner % 2][a] as f64);
                    let weight = [0, 1].map(|a| 1.0 - (place[a] - p[a]).abs());
                    value += weight[0] * weight[1] * at(n, c, p[0], p[1]);
                }
                let factor = mask.get(of_tap * oh * ow + r).map_or(1.0, |f| f64::from(*f));
                sum += f64::from(w[m * of_group * taps + term]) * factor * value;
            }
            out.push(sum as f32);
        }
        out
    }

    #[test]
    fn equals_the_definition() {
        let numbers = |n: usize, range: f32| -> Vec<f32> {
            (0..n).map(|i| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * range).collect()
        };
        let base = DeformConv {
            batch: 2,
            channels: 4,
            image: [6, 7],
            filters: 6,
            kernel: [3, 2],
            result: [5, 3],
            strides: [1, 2],
            dilations: [1, 2],
            pads: [1, 0],
            group: 2,
            offset_group: 1,
            bias: true,
            mask: true,
        };
        for (group, offset_group, bias, mask) in
            [(2, 1, true, true), (1, 2, false, true), (1, 4, true, false), (2, 2, false, false)]
        {
            let k = DeformConv { group, offset_group, bias, mask, ..base.clone() };
            let (taps, results) = (6, 15);
            let x = numbers(2 * 4 * 42, 2.0);
            let w = numbers(6 * 4 / group * taps, 1.0);
            let offset = numbers(2 * offset_group * taps * 2 * results, 4.0);
            let (of_bias, of_mask) = (numbers(6, 1.0), numbers(2 * offset_group * taps * results, 1.0));
            let (of_bias, of_mask) =
                (if bias { &of_bias[..] } else { &[] }, if mask { &of_mask[..] } else { &[] });
            let expected = oracle(&k, &x, &w, &offset, of_bias, of_mask);
            let mut operands: Vec<Src<'_>> = vec![(&x[..]).into(), (&w[..]).into(), (&offset[..]).into()];
            operands.extend(bias.then(|| Src::from(of_bias)));
            operands.extend(mask.then(|| Src::from(of_mask)));
            let (mut y, mut scratch) = (vec![7f32; expected.len()], vec![f64::NAN; k.scratch()]);
            k.run(&mut [y[..].as_mut().into(), scratch[..].as_mut().into()], &operands);
            for (y, e) in y.iter().zip(&expected) {
                assert!((y - e).abs() <= 1e-6 * (1.0 + e.abs()), "{k:?}: {y} and not {e}");
            }
        }
    }
}
