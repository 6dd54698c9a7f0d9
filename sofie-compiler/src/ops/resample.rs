//! The taps of a resize along one axis: which elements count for each result, and how much.
//!
//! Coordinates are worked out in f32, step by step as ONNX Runtime does, since "nearest" hangs on the
//! last bit where a coordinate falls between two elements.

use crate::error::{Error, Result};

/// How a place in the result becomes one in the operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Transform {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    /// Opset 11 alone.
    TfHalfPixelForNn,
    /// Between two relative places of the operand.
    TfCropAndResize {
        start: f32,
        end: f32,
    },
}

/// Which of two neighbours is the nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
    /// Opsets 7 to 10: down where it grows, up where it shrinks.
    Simple,
}

/// The weights around a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    Nearest(Nearest),
    Linear,
    /// With the coefficient a.
    Cubic(f32),
}

/// A resize along one axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Resample {
    /// Elements of the operand, at least 1.
    pub from: usize,
    /// Elements of the result.
    pub to: usize,
    /// Their ratio, as given: not always `to / from`.
    pub scale: f32,
    pub transform: Transform,
    pub filter: Filter,
    /// Shrinking averages over all that lies between two results.
    pub antialias: bool,
    /// Places outside the operand do not count, rather than count as its border.
    pub exclude_outside: bool,
}

/// The taps of every result.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Taps {
    /// Taps a result.
    pub taps: usize,
    /// `[to, taps]`.
    pub index: Vec<u32>,
    /// `[to, taps]`.
    pub weight: Vec<f32>,
    /// Results whose place lies outside the operand.
    pub outside: Vec<bool>,
}

impl Resample {
    /// The place in the operand of element `i` of the result.
    fn place(&self, i: usize) -> f32 {
        let (x, n, m) = (i as f32, self.from as f32, self.to as f32);
        match self.transform {
            Transform::HalfPixel => (x + 0.5) / self.scale - 0.5,
            Transform::HalfPixelSymmetric => {
                let adjustment = m / (self.scale * n);
                let offset = n / 2.0 * (1.0 - adjustment);
                offset + (x + 0.5) / self.scale - 0.5
            }
            Transform::PytorchHalfPixel if self.to > 1 => (x + 0.5) / self.scale - 0.5,
            Transform::PytorchHalfPixel => 0.0,
            Transform::AlignCorners if self.to > 1 => x * (n - 1.0) / (m - 1.0),
            Transform::AlignCorners => 0.0,
            Transform::Asymmetric => x / self.scale,
            Transform::TfHalfPixelForNn => (x + 0.5) / self.scale,
            Transform::TfCropAndResize { start, end } if self.to > 1 => {
                start * (n - 1.0) + x * (end - start) * (n - 1.0) / (m - 1.0)
            }
            Transform::TfCropAndResize { start, end } => 0.5 * (start + end) * (n - 1.0),
        }
    }

    /// The taps.
    ///
    /// # Errors
    /// A place is no number.
    pub(super) fn taps(&self) -> Result<Taps> {
        let mut rows = Vec::new();
        let mut outside = Vec::new();
        for i in 0..self.to {
            let place = self.place(i);
            if !place.is_finite() {
                return Err(Error::new(format!(
                    "element {i} of an axis resized by {} has no place",
                    self.scale
                )));
            }
            outside.push(place < 0.0 || place > (self.from - 1) as f32);
            rows.push(self.row(place));
        }
        let taps = rows.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let (mut index, mut weight) = (Vec::new(), Vec::new());
        for row in rows {
            let first = row.first().map_or(0, |(i, _)| *i);
            for t in 0..taps {
                let (i, w) = row.get(t).copied().unwrap_or((first, 0.0));
                index.push(i);
                weight.push(w);
            }
        }
        Ok(Taps { taps, index, weight, outside })
    }

    /// Indices, each once, and weights around a place.
    fn row(&self, place: f32) -> Vec<(u32, f32)> {
        let last = self.from as i64 - 1;
        if let Filter::Nearest(mode) = self.filter {
            return vec![(self.nearest(mode, place).clamp(0, last) as u32, 1.0)];
        }
        let stretch = if self.antialias { self.scale.min(1.0) } else { 1.0 };
        let reach = match self.filter {
            Filter::Cubic(_) => 2.0,
            _ => 1.0,
        };
        let place = if self.antialias || reach == 2.0 { place } else { place.clamp(0.0, last as f32) };
        let floor = place.floor();
        let first = (-reach / stretch).floor() as i64 + 1;
        let mut row: Vec<(u32, f32)> = Vec::new();
        let mut sum = 0f32;
        for offset in first..2 - first {
            let weight = self.kernel((offset as f32 - (place - floor)) * stretch);
            let at = floor as i64 + offset;
            if self.exclude_outside && !(0..=last).contains(&at) {
                continue;
            }
            sum += weight;
            let at = at.clamp(0, last) as u32;
            match row.last_mut() {
                Some((i, w)) if *i == at => *w += weight,
                _ => row.push((at, weight)),
            }
        }
        if (self.antialias || self.exclude_outside) && sum != 0.0 {
            row.iter_mut().for_each(|(_, w)| *w /= sum);
        }
        row.retain(|(_, w)| *w != 0.0);
        row
    }

    fn nearest(&self, mode: Nearest, place: f32) -> i64 {
        let floor = place.floor();
        let at = match mode {
            Nearest::RoundPreferFloor if place - floor == 0.5 => floor,
            Nearest::RoundPreferFloor | Nearest::RoundPreferCeil => place.round(),
            Nearest::Floor => floor,
            Nearest::Ceil => place.ceil(),
            Nearest::Simple if self.scale < 1.0 => place.ceil(),
            Nearest::Simple => place.trunc(),
        };
        at as i64
    }

    /// The weight of an element at a distance.
    fn kernel(&self, distance: f32) -> f32 {
        let d = distance.abs();
        match self.filter {
            // Keys, "Cubic convolution interpolation for digital image processing", 1981, equation 4.
            Filter::Cubic(a) if d <= 1.0 => ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0,
            Filter::Cubic(a) if d < 2.0 => ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a,
            Filter::Cubic(_) => 0.0,
            _ => (1.0 - d).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resample(from: usize, to: usize, transform: Transform, filter: Filter) -> Resample {
        let scale = to as f32 / from as f32;
        Resample { from, to, scale, transform, filter, antialias: false, exclude_outside: false }
    }

    #[test]
    fn nearest_neighbours() {
        let index = |r: Resample| r.taps().unwrap().index;
        let floor = Filter::Nearest(Nearest::Floor);
        assert_eq!(index(resample(2, 4, Transform::Asymmetric, floor)), [0, 0, 1, 1]);
        assert_eq!(
            index(resample(4, 2, Transform::HalfPixel, Filter::Nearest(Nearest::RoundPreferFloor))),
            [0, 2]
        );
        assert_eq!(
            index(resample(4, 2, Transform::HalfPixel, Filter::Nearest(Nearest::RoundPreferCeil))),
            [1, 3]
        );
        assert_eq!(index(resample(4, 3, Transform::Asymmetric, Filter::Nearest(Nearest::Simple))), [0, 2, 3]);
        assert_eq!(
            index(resample(3, 5, Transform::AlignCorners, Filter::Nearest(Nearest::Ceil))),
            [0, 1, 1, 2, 2]
        );
    }

    #[test]
    fn linear_weights_sum_to_one() {
        let t = resample(2, 4, Transform::HalfPixel, Filter::Linear).taps().unwrap();
        assert_eq!((t.taps, &t.index[2..6]), (2, &[0, 1, 0, 1][..]));
        assert_eq!(t.weight, [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 1.0, 0.0]);
    }

    #[test]
    fn cubic_and_antialiased_weights_sum_to_one() {
        for (from, to) in [(5, 3), (3, 8), (7, 7), (9, 2)] {
            for filter in [Filter::Linear, Filter::Cubic(-0.75), Filter::Cubic(-0.5)] {
                for (antialias, exclude_outside) in
                    [(false, false), (true, false), (false, true), (true, true)]
                {
                    let r = Resample {
                        antialias,
                        exclude_outside,
                        ..resample(from, to, Transform::HalfPixel, filter)
                    };
                    let t = r.taps().unwrap();
                    assert!(t.index.iter().all(|&i| (i as usize) < from));
                    for row in t.weight.chunks(t.taps) {
                        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6, "{r:?}: {row:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn places_outside_are_known() {
        let crop = Transform::TfCropAndResize { start: -0.5, end: 1.0 };
        let t = resample(3, 4, crop, Filter::Linear).taps().unwrap();
        assert_eq!(t.outside, [true, false, false, false]);
    }
}
