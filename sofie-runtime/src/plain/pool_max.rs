//! `MaxPool` with its second output: the largest element of each window and where it stands.

use super::Algorithm;
use crate::Element;
use crate::map::{Dst, Src};

/// The most spatial axes.
const SPATIAL: usize = 3;

/// `y [outer, windows…], index [outer, windows…] (i64) ← x [outer, image…]`: positions in the whole of `x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolMax {
    /// Events times channels.
    pub outer: usize,
    /// Extents of the image; 1 along axes that are not in use.
    pub image: [usize; SPATIAL],
    /// Extents of a window.
    pub kernel: [usize; SPATIAL],
    /// Windows along each axis.
    pub windows: [usize; SPATIAL],
    /// Steps between windows.
    pub strides: [usize; SPATIAL],
    /// Steps between elements of a window.
    pub dilations: [usize; SPATIAL],
    /// Elements before each axis.
    pub pads: [usize; SPATIAL],
    /// Positions count along the first axis of the image first.
    pub column_major: bool,
}

impl PoolMax {
    /// The largest element that `windows` covers; the first of equals, a NaN before all.
    fn largest<T: Copy + PartialOrd>(&self, x: &[T], window: [usize; SPATIAL]) -> Option<(T, usize)> {
        let place = |i: usize, k: usize| {
            let at = (window[i] * self.strides[i] + k * self.dilations[i]).wrapping_sub(self.pads[i]);
            (at < self.image[i]).then_some(at)
        };
        let [d, h, w] = self.image;
        let mut best: Option<(T, usize)> = None;
        for i in (0..self.kernel[0]).filter_map(|k| place(0, k)) {
            for j in (0..self.kernel[1]).filter_map(|k| place(1, k)) {
                for l in (0..self.kernel[2]).filter_map(|k| place(2, k)) {
                    let new = x[(i * h + j) * w + l];
                    // Neither less nor equal to itself: not a number.
                    let nan = |x: T| x.partial_cmp(&x).is_none();
                    if best.is_none_or(|(old, _)| new > old || nan(new) && !nan(old)) {
                        let at = if self.column_major { (l * h + j) * d + i } else { (i * h + j) * w + l };
                        best = Some((new, at));
                    }
                }
            }
        }
        best
    }

    fn typed<T: Element + PartialOrd>(&self, y: &mut [T], index: &mut [i64], x: &[T]) {
        let (pixels, windows): (usize, usize) = (self.image.iter().product(), self.windows.iter().product());
        let [_, rows, columns] = self.windows;
        for o in 0..self.outer {
            let image = &x[o * pixels..][..pixels];
            for at in 0..windows {
                let window = [at / (rows * columns), at / columns % rows, at % columns];
                if let Some((value, place)) = self.largest(image, window) {
                    y[o * windows + at] = value;
                    index[o * windows + at] = (o * pixels + place) as i64;
                } else {
                    panic!("max pool: a window without elements");
                }
            }
        }
    }
}

impl Algorithm for PoolMax {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, index] = ys else { panic!("max pool: two results") };
        numbers!(xs[0].dtype(), T => self.typed::<T>(y.slice(), index.slice(), xs[0].slice()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_in_either_order() {
        let x = [1f32, 5.0, 2.0, 7.0, 0.0, 7.0];
        let run = |column_major| {
            let (mut y, mut index) = ([0f32; 2], [0i64; 2]);
            let pool = PoolMax {
                outer: 1,
                image: [1, 2, 3],
                kernel: [1, 2, 2],
                windows: [1, 1, 2],
                strides: [1; 3],
                dilations: [1; 3],
                pads: [0; 3],
                column_major,
            };
            pool.run(&mut [y[..].as_mut().into(), index[..].as_mut().into()], &[(&x[..]).into()]);
            (y, index)
        };
        assert_eq!(run(false), ([7.0, 7.0], [3, 5]));
        assert_eq!(run(true), ([7.0, 7.0], [1, 5]));
    }
}
