//! How far an output is from its reference.
//!
//! Two measures: the max-normalised error, which a reader can compare between models, and the distance in tolerances
//! (`numpy.isclose`'s rule), which decides. NaN agrees with NaN and an infinity with itself; integers and bools agree
//! when they are equal.

use super::{Array, Error};

/// What counts as agreement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// `|a - b| <= atol + rtol * |b|` for each element.
    Close {
        /// Of the reference's own size.
        rtol: f64,
        /// Whatever the reference's size.
        atol: f64,
    },
    /// `max |a - b| <= limit * max |b|` over the array.
    MaxNormalised(f64),
}

impl Default for Tolerance {
    fn default() -> Self {
        Tolerance::MaxNormalised(1e-4)
    }
}

/// The distance of one array from its reference.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Distance {
    /// `max |a - b| / max |b|`; infinite where one alone is not finite.
    pub max_normalised: f64,
    /// The largest error in units of the tolerance: up to 1 agrees.
    pub in_tolerances: f64,
}

impl Distance {
    /// Whether the arrays agree.
    pub fn agrees(&self) -> bool {
        self.in_tolerances <= 1.0
    }

    /// The larger of two distances, measure by measure.
    pub fn max(self, other: Distance) -> Distance {
        Distance {
            max_normalised: self.max_normalised.max(other.max_normalised),
            in_tolerances: self.in_tolerances.max(other.in_tolerances),
        }
    }
}

/// The distance of `got` from `want`; an error when type or shape differ.
pub fn distance(got: &Array, want: &Array, tolerance: Tolerance) -> Result<Distance, Error> {
    if (got.dtype, &got.shape) != (want.dtype, &want.shape) {
        let of = |a: &Array| format!("{} of shape {:?}", a.dtype, a.shape);
        return Err(Error::new(format!("{}, expected {}", of(got), of(want))));
    }
    if !got.dtype.is_float() {
        let error = if got.bytes == want.bytes { 0.0 } else { f64::INFINITY };
        return Ok(Distance { max_normalised: error, in_tolerances: error });
    }
    let (got, want) = (got.to_f64(), want.to_f64());
    let largest = want.iter().filter(|w| w.is_finite()).fold(0.0, |m: f64, w| m.max(w.abs()));
    let mut distance = Distance::default();
    for (g, w) in got.into_iter().zip(want) {
        let error = (g - w).abs();
        if g == w || (g.is_nan() && w.is_nan()) {
            continue;
        }
        let error = if error.is_nan() { f64::INFINITY } else { error };
        let one = |allowed: f64| if allowed > 0.0 { error / allowed } else { f64::INFINITY };
        let allowed = match tolerance {
            Tolerance::Close { rtol, atol } if w.is_finite() => atol + rtol * w.abs(),
            Tolerance::Close { .. } => 0.0,
            Tolerance::MaxNormalised(limit) => limit * largest,
        };
        distance = distance.max(Distance { max_normalised: one(largest), in_tolerances: one(allowed) });
    }
    Ok(distance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;

    fn array(values: &[f32]) -> Array {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Array { dtype: DType::F32, shape: vec![values.len()], bytes }
    }

    fn agrees(got: &[f32], want: &[f32], tolerance: Tolerance) -> bool {
        distance(&array(got), &array(want), tolerance).is_ok_and(|d| d.agrees())
    }

    #[test]
    fn each_rule_at_its_edge() {
        let close = Tolerance::Close { rtol: 0.5, atol: 1.0 };
        assert!(agrees(&[4.0, 1.0], &[2.0, 0.0], close));
        assert!(!agrees(&[4.1], &[2.0], close));
        assert!(agrees(&[1.0, 8.5], &[0.0, 8.0], Tolerance::MaxNormalised(0.125)));
        assert!(!agrees(&[1.1, 8.0], &[0.0, 8.0], Tolerance::MaxNormalised(0.125)));
        assert!(!agrees(&[1e-30], &[0.0], Tolerance::default()));
        assert!(agrees(&[-0.0], &[0.0], Tolerance::default()));
        assert!(agrees(&[], &[], Tolerance::default()));
    }

    #[test]
    fn not_finite_agrees_with_itself_alone() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        for tolerance in [Tolerance::default(), Tolerance::Close { rtol: 1e-4, atol: 1e-5 }] {
            assert!(agrees(&[nan, inf, -inf, 1.0], &[nan, inf, -inf, 1.0], tolerance));
            for (got, want) in [(nan, 1.0), (1.0, nan), (inf, 1.0), (1.0, inf), (-inf, inf), (nan, inf)] {
                assert!(!agrees(&[got, 1.0], &[want, 1.0], tolerance), "{got} {want} {tolerance:?}");
            }
        }
    }

    #[test]
    fn integers_are_exact_and_shapes_must_fit() {
        let ints = |v: [u8; 2]| Array { dtype: DType::U8, shape: vec![2], bytes: v.to_vec() };
        let lax = Tolerance::Close { rtol: 1.0, atol: 9.0 };
        assert_eq!(distance(&ints([1, 2]), &ints([1, 2]), lax), Ok(Distance::default()));
        assert!(distance(&ints([1, 3]), &ints([1, 2]), lax).is_ok_and(|d| !d.agrees()));
        let flat = Array { shape: vec![1, 2], ..ints([1, 2]) };
        assert!(distance(&flat, &ints([1, 2]), lax).is_err_and(|e| e.to_string().contains("[1, 2]")));
    }
}
