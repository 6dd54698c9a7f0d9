//! `Col2Im`: columns of windows added up to an image, the adjoint of taking the windows out of it.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src};

/// The most spatial axes.
pub const SPATIAL: usize = 3;

/// `y [outer, image…] ← x [outer, kernel…, windows…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Col2Im {
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
    /// Elements before each axis that are cut.
    pub pads: [usize; SPATIAL],
}

/// All indices below `extents`, in row-major order.
fn each(extents: [usize; SPATIAL], mut f: impl FnMut([usize; SPATIAL])) {
    for a in 0..extents[0] {
        for b in 0..extents[1] {
            for c in 0..extents[2] {
                f([a, b, c]);
            }
        }
    }
}

fn flat(i: [usize; SPATIAL], extents: [usize; SPATIAL]) -> usize {
    (i[0] * extents[1] + i[1]) * extents[2] + i[2]
}

impl Col2Im {
    fn typed<T: Real>(&self, y: &mut [T], x: &[T], sums: &mut [f64]) {
        let pixels: usize = self.image.iter().product();
        let (taps, windows): (usize, usize) = (self.kernel.iter().product(), self.windows.iter().product());
        let sums = &mut sums[..pixels];
        for o in 0..self.outer {
            sums.fill(0.0);
            each(self.kernel, |k| {
                let row = &x[(o * taps + flat(k, self.kernel)) * windows..][..windows];
                each(self.windows, |w| {
                    let mut at = [0; SPATIAL];
                    for i in 0..SPATIAL {
                        let place = (w[i] * self.strides[i] + k[i] * self.dilations[i]).wrapping_sub(self.pads[i]);
                        if place >= self.image[i] {
                            return;
                        }
                        at[i] = place;
                    }
                    sums[flat(at, self.image)] += row[flat(w, self.windows)].get();
                });
            });
            let y = &mut y[o * pixels..][..pixels];
            y.iter_mut().zip(sums.iter()).for_each(|(y, s)| *y = T::put(*s));
        }
    }
}

impl Algorithm for Col2Im {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, scratch] = ys else { panic!("col2im: a result and scratch") };
        reals!(xs[0].dtype(), T => self.typed::<T>(y.slice(), xs[0].slice(), scratch.slice()));
    }

    fn scratch(&self) -> usize {
        self.image.iter().product::<usize>().max(1)
    }
}
