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
fn between(at: f64, extent: usize) -> Option<([usize; 2], [f64; 2])> {
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
            for c in 0..self.channels {
                let image = &x[(event as usize * self.channels + c) * pixels..][..pixels];
                for bin in 0..self.result[0] * self.result[1] {
                    let at = [bin / self.result[1], bin % self.result[1]];
                    let place = |axis: usize, i: usize| {
                        let inside = (i as f64 + 0.5) * bins[axis] / samples[axis] as f64;
                        starts[axis] + at[axis] as f64 * bins[axis] + inside
                    };
                    let (mut sum, mut largest) = (0.0, None);
                    for i in 0..samples[0] {
                        for j in 0..samples[1] {
                            let value = self.sample(image, place(0, i), place(1, j));
                            sum += value.0;
                            let new = value.1;
                            largest = Some(largest.map_or(new, |old: f64| if new > old { new } else { old }));
                        }
                    }
                    let value = if self.max { largest.unwrap_or(0.0) } else { sum / count };
                    y[(r * self.channels + c) * self.result[0] * self.result[1] + bin] = T::put(value);
                }
            }
        }
    }

    /// The sum of the four weighted pixels around a place, and the largest of them, which is what ONNX takes the
    /// maximum over.
    fn sample<T: Real>(&self, image: &[T], y: f64, x: f64) -> (f64, f64) {
        let (Some((rows, wy)), Some((columns, wx))) = (between(y, self.image[0]), between(x, self.image[1]))
        else {
            return (0.0, 0.0);
        };
        let (mut sum, mut largest) = (0.0, f64::NEG_INFINITY);
        for i in 0..2 {
            for j in 0..2 {
                let term = wy[i] * wx[j] * image[rows[i] * self.image[1] + columns[j]].get();
                sum += term;
                largest = if term > largest { term } else { largest };
            }
        }
        (sum, largest)
    }
}

impl Algorithm for RoiAlign {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let y = &mut ys[0];
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs[0].slice(), xs[1].slice(), xs[2].slice()));
    }
}
