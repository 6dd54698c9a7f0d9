//! `DeformConv`: a convolution whose windows are pulled out of shape by offsets that are computed at run time.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src, Unary};
use crate::math::scalar64;

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

/// The image at a place between pixels, zero outside.
fn bilinear<T: Real>(image: &[T], [height, width]: [usize; 2], y: f64, x: f64) -> f64 {
    let (y0, x0) = (scalar64::unary(Unary::Floor, y), scalar64::unary(Unary::Floor, x));
    let (ly, lx) = (y - y0, x - x0);
    let at = |y: f64, x: f64| {
        let inside = y >= 0.0 && x >= 0.0 && y < height as f64 && x < width as f64;
        if inside { image[y as usize * width + x as usize].get() } else { 0.0 }
    };
    let upper = (1.0 - lx) * at(y0, x0) + lx * at(y0, x0 + 1.0);
    let lower = (1.0 - lx) * at(y0 + 1.0, x0) + lx * at(y0 + 1.0, x0 + 1.0);
    (1.0 - ly) * upper + ly * lower
}

impl DeformConv {
    fn typed<T: Real>(&self, y: &mut [T], xs: &[Src<'_>], columns: &mut [f64]) {
        let (x, w, offset): (&[T], &[T], &[T]) = (xs[0].slice(), xs[1].slice(), xs[2].slice());
        let bias: &[T] = if self.bias { xs[3].slice() } else { &[] };
        let mask: &[T] = if self.mask { xs[3 + usize::from(self.bias)].slice() } else { &[] };
        let (taps, pixels) = (self.kernel[0] * self.kernel[1], self.image[0] * self.image[1]);
        let results = self.result[0] * self.result[1];
        let (of_group, filters) = (self.channels / self.group, self.filters / self.group);
        let of_offset = self.channels / self.offset_group;
        for n in 0..self.batch {
            for at in 0..results {
                let (row, column) = (at / self.result[1], at % self.result[1]);
                for c in 0..self.channels {
                    let image = &x[(n * self.channels + c) * pixels..][..pixels];
                    let group = n * self.offset_group + c / of_offset;
                    for tap in 0..taps {
                        let place = |axis: usize, window: usize, k: usize| {
                            let moved = offset[((group * taps + tap) * 2 + axis) * results + at].get();
                            let regular = (window * self.strides[axis] + k * self.dilations[axis]) as f64;
                            regular - self.pads[axis] as f64 + moved
                        };
                        let (i, j) = (tap / self.kernel[1], tap % self.kernel[1]);
                        let value = bilinear(image, self.image, place(0, row, i), place(1, column, j));
                        let factor = if self.mask { mask[(group * taps + tap) * results + at].get() } else { 1.0 };
                        columns[c * taps + tap] = factor * value;
                    }
                }
                for m in 0..self.filters {
                    let terms = of_group * taps;
                    let filter = &w[m * terms..][..terms];
                    let column = &columns[m / filters * terms..][..terms];
                    let start = bias.get(m).map_or(0.0, |b| b.get());
                    let sum = filter.iter().zip(column).fold(start, |sum, (w, x)| sum + w.get() * x);
                    y[(n * self.filters + m) * results + at] = T::put(sum);
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
        (self.channels * self.kernel[0] * self.kernel[1]).max(1)
    }
}
