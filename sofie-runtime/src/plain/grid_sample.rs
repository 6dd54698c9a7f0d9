//! `GridSample`: elements of an image at places that a grid says, interpolated.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src, Unary};
use crate::math::scalar64;

/// The most spatial axes.
const SPATIAL: usize = 3;

/// How elements between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// The nearest pixel, ties to even.
    Nearest,
    /// Between two pixels along each axis.
    Linear,
    /// Between four pixels along each axis, by Keys' kernel with a = -0.75.
    Cubic,
}

/// What is outside an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// Zeros.
    Zeros,
    /// The nearest pixel inside.
    Border,
    /// The image mirrored at its border.
    Reflection,
}

/// `y [N, C, points…] ← x [N, C, image…], grid [N, points…, axes]`, the last axis first within a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// Events.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Axes in use; the first ones of `image` are 1.
    pub axes: usize,
    /// Extents of the image.
    pub image: [usize; SPATIAL],
    /// Points of an event.
    pub points: usize,
    /// The interpolation.
    pub sampling: Sampling,
    /// What is outside.
    pub outside: Outside,
    /// -1 and 1 are the centres of the outermost pixels rather than their outer edges.
    pub align_corners: bool,
}

/// Pixels along one axis and their weights; a pixel outside has none.
#[derive(Clone, Copy, Default)]
struct Taps {
    count: usize,
    pixel: [Option<usize>; 4],
    weight: [f64; 4],
}

/// Mirrored at `low` and `high` until it is between them.
fn reflect(x: f64, low: f64, high: f64) -> f64 {
    let range = high - low;
    if range <= 0.0 {
        return low;
    }
    let past = if x < low {
        low - x
    } else if x > high {
        x - high
    } else {
        return x;
    };
    let times = scalar64::unary(Unary::Trunc, past / range);
    let rest = past - times * range;
    let even = times % 2.0 == 0.0;
    if (x < low) == even { low + rest } else { high - rest }
}

/// Keys' kernel at distance `t` behind the second of four pixels.
fn cubic(t: f64) -> [f64; 4] {
    let a = -0.75;
    let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
    let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
    [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
}

impl GridSample {
    fn taps(&self, x: f64, extent: usize) -> Taps {
        let n = extent as f64;
        let (low, high) = if self.align_corners { (0.0, n - 1.0) } else { (-0.5, n - 0.5) };
        let mut at = if self.align_corners { (x + 1.0) / 2.0 * (n - 1.0) } else { ((x + 1.0) * n - 1.0) / 2.0 };
        if self.sampling == Sampling::Nearest {
            at = scalar64::unary(Unary::Round, at);
        }
        if at < low || at > high {
            at = match self.outside {
                // Each of four pixels is kept inside, not the place between them, as in PyTorch and ONNX Runtime.
                Outside::Border if self.sampling == Sampling::Cubic => at.clamp(-1e9, n + 1e9),
                Outside::Zeros => at.clamp(-1e9, n + 1e9),
                Outside::Border => at.clamp(0.0, n - 1.0),
                Outside::Reflection => reflect(at, low, high),
            };
        }
        let pixel = |i: f64| -> Option<usize> {
            let inside = i >= 0.0 && i < n;
            match self.outside {
                _ if inside => Some(i as usize),
                Outside::Zeros => None,
                Outside::Border => Some(i.clamp(0.0, n - 1.0) as usize),
                Outside::Reflection => Some((reflect(i, low, high).max(0.0) as usize).min(extent - 1)),
            }
        };
        let first = scalar64::unary(Unary::Floor, at);
        let mut taps = Taps::default();
        let mut push = |i: f64, w: f64| {
            taps.pixel[taps.count] = pixel(i);
            taps.weight[taps.count] = w;
            taps.count += 1;
        };
        match self.sampling {
            Sampling::Nearest => push(scalar64::unary(Unary::Trunc, at), 1.0),
            Sampling::Linear => {
                push(first, 1.0 - (at - first));
                push(first + 1.0, at - first);
            }
            Sampling::Cubic => {
                for (i, w) in cubic(at - first).into_iter().enumerate() {
                    push(first - 1.0 + i as f64, w);
                }
            }
        }
        taps
    }

    fn typed<T: Real, G: Real>(&self, y: &mut [T], x: &[T], grid: &[G]) {
        let pixels: usize = self.image.iter().product();
        for n in 0..self.batch {
            for p in 0..self.points {
                let place = &grid[(n * self.points + p) * self.axes..][..self.axes];
                let mut taps = [Taps { count: 1, pixel: [Some(0); 4], weight: [1.0; 4] }; SPATIAL];
                for (i, g) in place.iter().enumerate() {
                    let axis = SPATIAL - 1 - i;
                    taps[axis] = self.taps(g.get(), self.image[axis]);
                }
                for c in 0..self.channels {
                    let image = &x[(n * self.channels + c) * pixels..][..pixels];
                    y[(n * self.channels + c) * self.points + p] = T::put(self.value(&taps, image));
                }
            }
        }
    }

    fn value<T: Real>(&self, taps: &[Taps; SPATIAL], image: &[T]) -> f64 {
        let mut sum = 0.0;
        for a in 0..taps[0].count {
            for b in 0..taps[1].count {
                for c in 0..taps[2].count {
                    let (Some(i), Some(j), Some(k)) = (taps[0].pixel[a], taps[1].pixel[b], taps[2].pixel[c])
                    else {
                        continue;
                    };
                    let weight = taps[0].weight[a] * taps[1].weight[b] * taps[2].weight[c];
                    sum += weight * image[(i * self.image[1] + j) * self.image[2] + k].get();
                }
            }
        }
        sum
    }
}

impl Algorithm for GridSample {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let (y, x, grid) = (&mut ys[0], xs[0], xs[1]);
        reals!(x.dtype(), T => reals!(grid.dtype(), G => self.typed::<T, G>(y.slice(), x.slice(), grid.slice())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(sampling: Sampling, outside: Outside, align_corners: bool, at: &[f32]) -> Vec<f32> {
        let x = [0f32, 1.0, 2.0, 3.0];
        let mut y = vec![0f32; at.len()];
        let shape = GridSample {
            batch: 1,
            channels: 1,
            axes: 1,
            image: [1, 1, 4],
            points: at.len(),
            sampling,
            outside,
            align_corners,
        };
        shape.run(&mut [y[..].as_mut().into()], &[(&x[..]).into(), at.into()]);
        y
    }

    #[test]
    fn along_one_axis() {
        use Outside::*;
        use Sampling::*;
        let at = [-1.0, 0.0, 1.0, 1.5];
        assert_eq!(sample(Linear, Zeros, true, &at), [0.0, 1.5, 3.0, 0.75]);
        assert_eq!(sample(Linear, Zeros, false, &at), [0.0, 1.5, 1.5, 0.0]);
        assert_eq!(sample(Linear, Border, false, &at), [0.0, 1.5, 3.0, 3.0]);
        assert_eq!(sample(Linear, Reflection, true, &at), [0.0, 1.5, 3.0, 2.25]);
        assert_eq!(sample(Nearest, Border, true, &at), [0.0, 2.0, 3.0, 3.0]);
        assert_eq!(sample(Cubic, Border, true, &at), [0.0, 1.5, 3.0, 3.0 + 9.0 / 256.0]);
    }

    #[test]
    fn reflections_end_between_the_borders() {
        for i in -40..40 {
            let x = reflect(f64::from(i) * 0.25, -0.5, 2.5);
            assert!((-0.5..=2.5).contains(&x), "{i}: {x}");
        }
        assert_eq!(reflect(4.0, 0.0, 0.0), 0.0);
    }
}
