//! `MaxRoiPool`: the largest pixel of each bin of a region, its edges rounded to pixels.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src, Unary};
use crate::math::scalar64;

/// `y [R, C, oh, ow] ← x [N, C, H, W], rois [R, 5]`: event, left, top, right, bottom.
#[derive(Clone, Debug, PartialEq)]
pub struct RoiPool {
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
    /// From the regions' coordinates to pixels.
    pub scale: f32,
}

impl RoiPool {
    fn typed<T: Real>(&self, y: &mut [T], x: &[T], rois: &[T]) {
        let pixels = self.image[0] * self.image[1];
        for r in 0..self.rois {
            let roi = &rois[5 * r..][..5];
            let event = roi[0].get();
            assert!(event >= 0.0 && event < self.batch as f64, "roi pool: event {event} of {}", self.batch);
            // C's `round`: halves away from zero.
            let edge = |i: usize| {
                let x = roi[i].get() * f64::from(self.scale);
                let half = if x < 0.0 { -0.5 } else { 0.5 };
                scalar64::unary(Unary::Trunc, x + half)
            };
            let starts = [edge(2), edge(1)];
            let extents = [edge(4) - starts[0] + 1.0, edge(3) - starts[1] + 1.0];
            let bins: [f64; 2] = core::array::from_fn(|i| extents[i].max(1.0) / self.result[i] as f64);
            for c in 0..self.channels {
                let image = &x[(event as usize * self.channels + c) * pixels..][..pixels];
                for bin in 0..self.result[0] * self.result[1] {
                    let at = [bin / self.result[1], bin % self.result[1]];
                    let edges = |i: usize| {
                        let low = scalar64::unary(Unary::Floor, at[i] as f64 * bins[i]) + starts[i];
                        let high = scalar64::unary(Unary::Ceil, (at[i] + 1) as f64 * bins[i]) + starts[i];
                        let limit = self.image[i] as f64;
                        low.clamp(0.0, limit) as usize..high.clamp(0.0, limit) as usize
                    };
                    let mut largest: Option<f64> = None;
                    for i in edges(0) {
                        for j in edges(1) {
                            let new = image[i * self.image[1] + j].get();
                            if largest.is_none_or(|old| new > old || new.is_nan()) {
                                largest = Some(new);
                            }
                        }
                    }
                    let place = (r * self.channels + c) * self.result[0] * self.result[1] + bin;
                    y[place] = T::put(largest.unwrap_or(0.0));
                }
            }
        }
    }
}

impl Algorithm for RoiPool {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let y = &mut ys[0];
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs[0].slice(), xs[1].slice()));
    }
}
