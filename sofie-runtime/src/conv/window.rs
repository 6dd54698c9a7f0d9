//! The window of a convolution or a pooling: extents, strides, dilations and pads over three spatial axes.
//! Fewer axes are written as three whose first ones have extent 1, so that every kernel has one form.

use crate::simd::LANES;
use core::ops::Range;

/// A window that moves over the spatial axes of `[batch, x…, channels]` and makes `[batch, y…, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Spatial extents that are read.
    pub x: [usize; 3],
    /// Spatial extents that are written.
    pub y: [usize; 3],
    /// Extents of the window.
    pub kernel: [usize; 3],
    /// Steps between windows.
    pub strides: [usize; 3],
    /// Steps between elements of a window.
    pub dilations: [usize; 3],
    /// Elements before the first, per axis. What lies behind the last follows from `y`.
    pub pads_begin: [usize; 3],
}

/// `values` behind as many `fill` as are missing.
const fn three(values: &[usize], fill: usize) -> [usize; 3] {
    assert!(values.len() <= 3, "at most three spatial axes");
    let mut out = [fill; 3];
    let mut i = 0;
    while i < values.len() {
        out[3 - values.len() + i] = values[i];
        i += 1;
    }
    out
}

impl Window {
    /// A window over at most three axes; each list has one entry an axis.
    ///
    /// # Panics
    /// When there are more than three axes.
    pub const fn new(
        x: &[usize],
        y: &[usize],
        kernel: &[usize],
        strides: &[usize],
        dilations: &[usize],
        pads_begin: &[usize],
    ) -> Window {
        Window {
            x: three(x, 1),
            y: three(y, 1),
            kernel: three(kernel, 1),
            strides: three(strides, 1),
            dilations: three(dilations, 1),
            pads_begin: three(pads_begin, 0),
        }
    }

    /// Elements of the window.
    pub const fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1] * self.kernel[2]
    }

    /// Pixels of an image that is read.
    pub const fn x_pixels(&self) -> usize {
        self.x[0] * self.x[1] * self.x[2]
    }

    /// Pixels of an image that is written.
    pub const fn y_pixels(&self) -> usize {
        self.y[0] * self.y[1] * self.y[2]
    }

    /// Elements of axis `i`, pads included, that the windows reach over.
    pub(crate) const fn reach(&self, i: usize) -> usize {
        if self.y[i] == 0 || self.kernel[i] == 0 {
            0
        } else {
            (self.y[i] - 1) * self.strides[i] + (self.kernel[i] - 1) * self.dilations[i] + 1
        }
    }

    /// The line of the image at so many lines behind the first of the pads, or the nearest.
    pub(crate) fn line_at(&self, at: usize) -> usize {
        at.saturating_sub(self.pads_begin[1]).min(self.x[1])
    }

    /// The lines `y` of windows, over an image of the lines `x` alone.
    pub(crate) fn part(&self, y: &Range<usize>, x: &Range<usize>) -> Window {
        let start = y.start * self.strides[1];
        Window {
            x: [1, x.len(), self.x[2]],
            y: [1, y.len(), self.y[2]],
            pads_begin: [0, (x.start + self.pads_begin[1]).saturating_sub(start), self.pads_begin[2]],
            ..*self
        }
    }

    /// Whether there is one plane of lines.
    pub(crate) fn is_flat(&self) -> bool {
        (self.x[0], self.y[0], self.kernel[0]) == (1, 1, 1)
    }

    /// Whether every element of every window lies inside.
    pub(crate) const fn is_inside(&self) -> bool {
        let mut i = 0;
        while i < 3 {
            if self.pads_begin[i] != 0 || self.reach(i) > self.x[i] {
                return false;
            }
            i += 1;
        }
        true
    }

    /// Whether each window is one pixel and the windows are the pixels, one after the other.
    pub(crate) const fn is_pointwise(&self) -> bool {
        let mut i = 0;
        while i < 3 {
            if self.kernel[i] != 1
                || self.strides[i] != 1
                || self.pads_begin[i] != 0
                || self.y[i] != self.x[i]
            {
                return false;
            }
            i += 1;
        }
        true
    }

    /// The elements of axis `i` that the window at `at` reads, as a range of its taps.
    #[inline(always)]
    pub(crate) const fn taps_inside(&self, i: usize, at: usize) -> (usize, usize) {
        let (start, dilation, pad) = (at * self.strides[i], self.dilations[i], self.pads_begin[i]);
        if start >= pad && self.kernel[i] != 0 && start - pad + (self.kernel[i] - 1) * dilation < self.x[i] {
            // All of them, without a division.
            return (0, self.kernel[i]);
        }
        let first = if start < pad { (pad - start).div_ceil(dilation) } else { 0 };
        let room = (self.x[i] + pad).saturating_sub(start).div_ceil(dilation);
        let end = if room < self.kernel[i] { room } else { self.kernel[i] };
        if first < end { (first, end) } else { (0, 0) }
    }
}

/// A place among pixels: image, then the three axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pixel {
    pub image: usize,
    pub at: [usize; 3],
}

impl Pixel {
    /// The pixel of a row number in `[images, extents…]`, which must not be empty.
    #[inline(always)]
    pub(crate) const fn of_row(row: usize, extents: &[usize; 3]) -> Pixel {
        let (rest, c) = (row / extents[2], row % extents[2]);
        let (rest, b) = (rest / extents[1], rest % extents[1]);
        Pixel { image: rest / extents[0], at: [rest % extents[0], b, c] }
    }

    /// The next one in row-major order.
    #[inline(always)]
    pub(crate) const fn advance(&mut self, extents: &[usize; 3]) {
        let mut i = 3;
        while i > 0 {
            i -= 1;
            self.at[i] += 1;
            if self.at[i] < extents[i] {
                return;
            }
            self.at[i] = 0;
        }
        self.image += 1;
    }
}

/// The lanes of a vector that starts with element `at` of a line, below 0 wrapped around, which lie before `end`.
#[inline(always)]
pub(crate) fn between(at: usize, end: usize) -> u16 {
    let at = at as isize;
    let first = at.saturating_neg().clamp(0, LANES as isize) as u32;
    let end = (end as isize).saturating_sub(at).clamp(0, LANES as isize) as u32;
    (((1u32 << end) - 1) & !((1u32 << first) - 1)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn missing_axes_have_extent_one() {
        let w = Window::new(&[7], &[3], &[3], &[2], &[1], &[0]);
        assert_eq!((w.x, w.y, w.kernel, w.pads_begin), ([1, 1, 7], [1, 1, 3], [1, 1, 3], [0, 0, 0]));
        assert!(w.is_inside());
        assert_eq!(Window::new(&[], &[], &[], &[], &[], &[]).taps(), 1);
    }

    #[test]
    fn pixels_count_in_row_major_order() {
        let extents = [2, 3, 4];
        let mut p = Pixel::of_row(0, &extents);
        for row in 0..60 {
            assert_eq!(p, Pixel::of_row(row, &extents));
            p.advance(&extents);
        }
    }

    #[test]
    fn taps_inside_are_those_that_meet_an_element() {
        for (x, kernel, stride, dilation, pad) in
            [(5, 3, 1, 1, 1), (4, 3, 2, 2, 2), (1, 4, 1, 3, 3), (6, 2, 3, 1, 5), (3, 2, 4, 1, 0)]
        {
            let w = Window::new(&[x], &[4], &[kernel], &[stride], &[dilation], &[pad]);
            for at in 0..4 {
                let inside = (0..kernel).filter(|t| {
                    let i = (at * stride + t * dilation) as isize - pad as isize;
                    (0..x as isize).contains(&i)
                });
                let (first, end) = w.taps_inside(2, at);
                assert_eq!(inside.collect::<Vec<_>>(), (first..end).collect::<Vec<_>>());
            }
        }
    }
}
