//! `RoiAlign`: a region of an image averaged (or its maximum taken) over a grid of bins, each sampled between pixels.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src, Unary};
use crate::math::scalar64;

/// `y [R, C, oh, ow] ← x [N, C, H, W], rois [R, 4], batch [R] (i64)`.
#[derive(Clone, Debug, PartialEq)]
pub struct RoiAlign {
    /// Regions.
    pub rois: usize,
    /// Events.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Height and width of `x`.
    pub image: [usize; 2],
    /// Height and width of `y`.
    pub result: [usize; 2],
    /// Samples of a bin along an axis; 0 is as many as it has pixels.
    pub sampling: usize,
    /// From the regions' coordinates to pixels.
    pub scale: f32,
    /// Pixels are half an element off.
    pub half_pixel: bool,
    /// Maximum rather than mean.
    pub max: bool,
}

/// The pixels on either side of a place along an axis, with their weights; none for a place that is outside.
type Place = Option<([usize; 2], [f64; 2])>;

/// Places along an axis of a region that are worked out once for all bins and channels; those beyond are each time.
const TABLE: usize = 64;

/// Channels that a place is sampled in at a time.
const TOGETHER: usize = 8;

fn between(at: f64, extent: usize) -> Place {
    if at < -1.0 || at > extent as f64 {
        return None;
    }
    let at = if at < 0.0 { 0.0 } else { at };
    let low = at as usize;
    if low + 1 >= extent {
        return Some(([extent - 1; 2], [1.0, 0.0]));
    }
    let rest = at - low as f64;
    Some(([low, low + 1], [1.0 - rest, rest]))
}

impl RoiAlign {
    fn typed<T: Real>(&self, y: &mut [T], x: &[T], rois: &[T], batch: &[i64]) {
        let pixels = self.image[0] * self.image[1];
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let mut tables: [[Place; TABLE]; 2] = [[None; TABLE]; 2];
        for r in 0..self.rois {
            let event = batch[r];
            assert!((0..self.batch as i64).contains(&event), "roi align: event {event} of {}", self.batch);
            let edge = |i: usize| rois[4 * r + i].get() * f64::from(self.scale) - offset;
            let starts = [edge(1), edge(0)];
            let mut extents = [edge(3) - starts[0], edge(2) - starts[1]];
            if !self.half_pixel {
                extents = extents.map(|e| if e < 1.0 { 1.0 } else { e });
            }
            let bins = [extents[0] / self.result[0] as f64, extents[1] / self.result[1] as f64];
            let samples = bins.map(|b| match self.sampling {
                0 => scalar64::unary(Unary::Ceil, b).max(0.0) as usize,
                n => n,
            });
            let count = (samples[0] * samples[1]).max(1) as f64;
            let place = |axis: usize, sample: usize| {
                let (bin, i) = (sample / samples[axis], sample % samples[axis]);
                let inside = (i as f64 + 0.5) * bins[axis] / samples[axis] as f64;
                between(starts[axis] + bin as f64 * bins[axis] + inside, self.image[axis])
            };
            for (axis, table) in tables.iter_mut().enumerate() {
                let of_axis = (0..self.result[axis] * samples[axis]).take(TABLE);
                of_axis.for_each(|sample| table[sample] = place(axis, sample));
            }
            let known = |axis: usize, sample: usize| match tables[axis].get(sample) {
                Some(place) => *place,
                None => place(axis, sample),
            };
            let image = &x[event as usize * self.channels * pixels..][..self.channels * pixels];
            for bin in 0..self.result[0] * self.result[1] {
                let at = [bin / self.result[1], bin % self.result[1]];
                for first in (0..self.channels).step_by(TOGETHER) {
                    let together = TOGETHER.min(self.channels - first);
                    let image = &image[first * pixels..][..together * pixels];
                    let (mut sums, mut largest) = ([0.0; TOGETHER], [None; TOGETHER]);
                    for i in 0..samples[0] {
                        let row = known(0, at[0] * samples[0] + i);
                        for j in 0..samples[1] {
                            let around = self.around(row, known(1, at[1] * samples[1] + j));
                            let images = image.chunks_exact(pixels.max(1));
                            if self.max {
                                images.zip(&mut largest).for_each(|(image, largest)| around.larger(image, largest));
                            } else {
                                images.zip(&mut sums).for_each(|(image, sum)| *sum += around.sum(image));
                            }
                        }
                    }
                    for c in 0..together {
                        let value = if self.max { largest[c].unwrap_or(0.0) } else { sums[c] / count };
                        let channel = r * self.channels + first + c;
                        y[channel * self.result[0] * self.result[1] + bin] = T::put(value);
                    }
                }
            }
        }
    }

    /// The pixels around a place, given those along both axes.
    #[inline(always)]
    fn around(&self, row: Place, column: Place) -> Around {
        let (Some((rows, wy)), Some((columns, wx))) = (row, column) else { return Around(None) };
        let corners = [[0, 0], [0, 1], [1, 0], [1, 1]];
        let pixel = |[i, j]: [usize; 2]| rows[i] * self.image[1] + columns[j];
        Around(Some((corners.map(pixel), corners.map(|[i, j]| wy[i] * wx[j]))))
    }
}

/// The four pixels around a place with their weights; none outside, where all is 0.
struct Around(Option<([usize; 4], [f64; 4])>);

impl Around {
    /// The sum of the weighted pixels.
    #[inline(always)]
    fn sum<T: Real>(&self, image: &[T]) -> f64 {
        let Around(Some((pixels, weights))) = self else { return 0.0 };
        (0..4).fold(0.0, |sum, i| sum + weights[i] * image[pixels[i]].get())
    }

    /// The largest of the weighted pixels, which is what ONNX takes the maximum over, where it is larger than others.
    #[inline(always)]
    fn larger<T: Real>(&self, image: &[T], than: &mut Option<f64>) {
        let new = match self {
            Around(None) => 0.0,
            Around(Some((pixels, weights))) => (0..4).fold(f64::NEG_INFINITY, |largest, i| {
                let term = weights[i] * image[pixels[i]].get();
                if term > largest { term } else { largest }
            }),
        };
        *than = Some(than.map_or(new, |old| if new > old { new } else { old }));
    }
}

impl Algorithm for RoiAlign {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let y = &mut ys[0];
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs[0].slice(), xs[1].slice(), xs[2].slice()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{vec, vec::Vec};

    /// The definition: each bin of each channel on its own, each sample from its four pixels.
    fn oracle(k: &RoiAlign, x: &[f32], rois: &[f32], batch: &[i64]) -> Vec<f32> {
        let [h, w] = k.image;
        let offset = if k.half_pixel { 0.5 } else { 0.0 };
        let mut y = Vec::new();
        for r in 0..k.rois {
            let edge = |i: usize| f64::from(rois[4 * r + i]) * f64::from(k.scale) - offset;
            let least = if k.half_pixel { f64::NEG_INFINITY } else { 1.0 };
            let size = [(edge(3) - edge(1)).max(least), (edge(2) - edge(0)).max(least)];
            let bins = [size[0] / k.result[0] as f64, size[1] / k.result[1] as f64];
            let samples = bins.map(|b| if k.sampling == 0 { b.ceil().max(0.0) as usize } else { k.sampling });
            for c in 0..k.channels {
                let image = &x[(batch[r] as usize * k.channels + c) * h * w..];
                for bin in 0..k.result[0] * k.result[1] {
                    let at = [(bin / k.result[1]) as f64, (bin % k.result[1]) as f64];
                    let (mut sum, mut largest) = (0.0, None);
                    for sample in 0..samples[0] * samples[1] {
                        let sample = [sample / samples[1], sample % samples[1]];
                        let p = [0, 1].map(|a| {
                            let within = (sample[a] as f64 + 0.5) * bins[a] / samples[a] as f64;
                            [edge(1), edge(0)][a] + at[a] * bins[a] + within
                        });
                        let mut terms = [0.0; 4];
                        if (0..2).all(|a| p[a] >= -1.0 && p[a] <= k.image[a] as f64) {
                            let p = p.map(|p| p.max(0.0));
                            let low = [0, 1].map(|a| (p[a] as usize).min(k.image[a] - 1));
                            let rest = [0, 1].map(|a| if low[a] + 1 < k.image[a] { p[a] - low[a] as f64 } else { 0.0 });
                            for (i, term) in terms.iter_mut().enumerate() {
                                let far = [i / 2, i % 2];
                                let pixel = [0, 1].map(|a| (low[a] + far[a]).min(k.image[a] - 1));
                                let weight = [0, 1].map(|a| if far[a] == 1 { rest[a] } else { 1.0 - rest[a] });
                                *term = weight[0] * weight[1] * f64::from(image[pixel[0] * w + pixel[1]]);
                            }
                        }
                        sum += terms.iter().sum::<f64>();
                        largest = terms.into_iter().chain(largest).reduce(f64::max);
                    }
                    let count = (samples[0] * samples[1]).max(1) as f64;
                    y.push(if k.max { largest.unwrap_or(0.0) } else { sum / count } as f32);
                }
            }
        }
        y
    }

    #[test]
    fn equals_the_definition() {
        let base = RoiAlign {
            rois: 3,
            batch: 2,
            channels: 11,
            image: [9, 7],
            result: [3, 2],
            sampling: 2,
            scale: 0.5,
            half_pixel: true,
            max: false,
        };
        let x: Vec<f32> = (0..2 * 11 * 63).map(|i| (i * 7919 % 257) as f32 / 64.0 - 2.0).collect();
        let (rois, batch) = ([1.0, 2.0, 9.5, 11.0, -6.0, 3.0, 20.0, 25.0, 4.0, 4.0, 4.5, 4.0], [1, 0, 1]);
        // 70 samples along an axis are more than the tables hold.
        for (sampling, result) in [(2, [3, 2]), (0, [3, 2]), (0, [1, 1]), (35, [2, 2]), (1, [5, 5])] {
            for (half_pixel, max) in [(true, false), (false, false), (true, true), (false, true)] {
                let k = RoiAlign { sampling, result, half_pixel, max, ..base.clone() };
                let expected = oracle(&k, &x, &rois, &batch);
                let mut y = vec![7f32; expected.len()];
                let operands = [(&x[..]).into(), (&rois[..]).into(), (&batch[..]).into()];
                k.run(&mut [y[..].as_mut().into()], &operands);
                for (y, e) in y.iter().zip(&expected) {
                    assert!((y - e).abs() <= 1e-6 * (1.0 + e.abs()), "{k:?}: {y} and not {e}");
                }
            }
        }
    }
}
