//! Floats on the steps of an integer type, as a quantised network has them between its layers: ONNX's `QuantizeLinear`
//! and `DequantizeLinear` in floats, with the bits that storing the integers would give.

use crate::DType;
use crate::simd::{Simd, float};

/// The ends of an integer type that `f32` holds.
#[inline(always)]
fn ends(to: DType) -> [f32; 2] {
    match to {
        DType::I8 => [f32::from(i8::MIN), f32::from(i8::MAX)],
        DType::U8 => [0.0, f32::from(u8::MAX)],
        DType::I16 => [f32::from(i16::MIN), f32::from(i16::MAX)],
        _ => [0.0, f32::from(u16::MAX)],
    }
}

/// The ends of a type in all lanes, for a loop.
#[derive(Clone, Copy)]
pub(crate) struct Range<S: Simd> {
    lo: S::F32,
    hi: S::F32,
    /// What is taken for a NaN by the maximum with the least end: without it, 0 is put there first.
    from_zero: bool,
    /// Zero points are whole numbers other than -0: sums with what was rounded are, too, or beyond the ends.
    whole: bool,
}

/// The same in all lanes, for a loop; `zero` where the zero point is known to be the same in all of it.
#[inline(always)]
pub(crate) fn range<S: Simd>(s: S, to: DType, zero: Option<f32>) -> Range<S> {
    let [lo, hi] = ends(to);
    let whole = zero.is_some_and(is_whole);
    Range { lo: s.splat(lo), hi: s.splat(hi), from_zero: lo == 0.0, whole }
}

/// Whether a zero point is a whole number other than -0.
#[inline(always)]
fn is_whole(zero: f32) -> bool {
    zero.to_bits() != (-0.0f32).to_bits() && float::trunc(zero) == zero
}

/// `round(x) + zero` as by a cast to an integer type and back: truncated, within the range, NaN 0, no negative zero.
#[inline(always)]
pub(crate) fn saturate<S: Simd>(s: S, range: Range<S>, x: S::F32, zero: S::F32) -> S::F32 {
    let Range { lo, hi, from_zero, whole } = range;
    let y = s.add(s.round_ties_even(x), zero);
    // The larger of NaN and the end is the end.
    let y = if from_zero { y } else { s.select(s.is_nan(y), s.zero(), y) };
    let y = s.min_raw(s.max_raw(y, lo), hi);
    // -0 and 0 are 0, as are opposite numbers, and the end is 0 where it is not below.
    if whole { y } else { s.add(s.trunc(y), s.zero()) }
}

/// How to quantise by a scale and a zero point, for a loop.
///
/// Where both are one number, `1 / scale` in two parts gives a quotient within an ulp, and the remainder, which is exact,
/// corrects it to what a division rounds to (Markstein, 1990): four multiplications, which take a quarter of its time.
#[derive(Clone, Copy)]
pub(crate) struct Quantizer<S: Simd> {
    range: Range<S>,
    high: S::F32,
    low: S::F32,
    /// What the ends of the range stand for, beyond which nothing but the ends is left.
    least: S::F32,
    most: S::F32,
    /// What the integer 0 stands for, which NaN becomes.
    nan: S::F32,
    known: bool,
}

/// How to quantise to a type, where the scale and the zero point are known to be the same in all of the loop.
#[inline(always)]
pub(crate) fn quantizer<S: Simd>(s: S, to: DType, scale: Option<f32>, zero: Option<f32>) -> Quantizer<S> {
    let range = range(s, to, zero);
    let known = scale.zip(zero).and_then(|(scale, zero)| Known::new(to, scale, zero));
    let Known { high, low, least, most, nan, .. } = known.unwrap_or_default();
    let (high, low, nan) = (s.splat(high), s.splat(low), s.splat(nan));
    Quantizer { range, high, low, least: s.splat(least), most: s.splat(most), nan, known: known.is_some() }
}

/// A scale and a zero point that need no division.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Known {
    scale: f32,
    zero: f32,
    /// `1 / scale` and what is left of it.
    high: f32,
    low: f32,
    /// What the ends of the range stand for.
    least: f32,
    most: f32,
    /// What the integer 0 stands for, which NaN becomes.
    pub nan: f32,
}

impl Known {
    /// The steps of a type, if they are such.
    #[inline(always)]
    pub fn new(to: DType, scale: f32, zero: f32) -> Option<Self> {
        // Within these nothing that decides a step over- or underflows.
        let scale = Some(scale).filter(|d| (1e-18..=1e18).contains(d))?;
        let zero = Some(zero).filter(|z| is_whole(*z) && z.abs() <= 65_536.0)?;
        let high = 1.0 / scale;
        let low = (1.0 / f64::from(scale) - f64::from(high)) as f32;
        let of = |step: f32| (step - zero) * scale;
        let [lo, hi] = ends(to);
        Some(Self { scale, zero, high, low, least: of(lo), most: of(hi), nan: of(0.0) })
    }

    /// The same for numbers that are held to an interval before.
    pub fn held(self, lo: f32, hi: f32) -> Self {
        let of = |end: f32| end.max(self.least).min(self.most);
        Self { least: of(lo), most: of(hi), ..self }
    }
}

/// How numbers that are none but numbers get on steps of a [`Known`] scale.
#[derive(Clone, Copy)]
pub(crate) struct Rounding<S: Simd> {
    least: S::F32,
    most: S::F32,
    high: S::F32,
    low: S::F32,
    scale: S::F32,
    zero: S::I32,
}

impl<S: Simd> Rounding<S> {
    #[inline(always)]
    pub fn new(s: S, by: Known) -> Self {
        // No closure: those are compiled without the kernel's instruction set.
        let (least, most) = (s.splat(by.least), s.splat(by.most));
        let (high, low, scale) = (s.splat(by.high), s.splat(by.low), s.splat(by.scale));
        Self { least, most, high, low, scale, zero: s.splat_i32(by.zero as i32) }
    }

    #[inline(always)]
    fn quotient(self, s: S, x: S::F32) -> S::F32 {
        let x = s.min_raw(s.max_raw(x, self.least), self.most);
        quotient(s, x, self.scale, self.high, self.low)
    }

    /// The nearest number that a step stands for.
    #[inline(always)]
    pub fn nearest(self, s: S, x: S::F32) -> S::F32 {
        s.mul(s.round_ties_even(self.quotient(s, x)), self.scale)
    }

    /// The step.
    #[inline(always)]
    pub fn step(self, s: S, x: S::F32) -> S::I32 {
        s.add_i32(s.round_i32(self.quotient(s, x)), self.zero)
    }
}

/// `x / scale` as a division rounds it, by `1 / scale` in two parts.
#[inline(always)]
fn quotient<S: Simd>(s: S, x: S::F32, scale: S::F32, high: S::F32, low: S::F32) -> S::F32 {
    let near = s.mul_add(x, high, s.mul(x, low));
    s.mul_add(s.neg_mul_add(near, scale, x), high, near)
}

impl<S: Simd> Quantizer<S> {
    /// `x / scale` for numbers within the range, as a division rounds it, or those at its ends.
    #[inline(always)]
    fn quotient(self, s: S, x: S::F32, scale: S::F32) -> S::F32 {
        // The larger of NaN and the least is the least.
        let x = if self.range.from_zero { x } else { s.select(s.is_nan(x), self.nan, x) };
        let x = s.min_raw(s.max_raw(x, self.least), self.most);
        quotient(s, x, scale, self.high, self.low)
    }

    /// `round(x / scale) + zero` as by a cast to the integer type and back.
    #[inline(always)]
    pub(crate) fn steps(self, s: S, x: S::F32, scale: S::F32, zero: S::F32) -> S::F32 {
        if self.known {
            // A negative zero is none after the sum.
            s.add(s.round_ties_even(self.quotient(s, x, scale)), zero)
        } else {
            saturate(s, self.range, s.div(x, scale), zero)
        }
    }

    /// The same as integers.
    #[inline(always)]
    pub(crate) fn integers(self, s: S, x: S::F32, scale: S::F32, zero: S::F32) -> S::I32 {
        if self.known {
            s.add_i32(s.round_i32(self.quotient(s, x, scale)), s.round_i32(zero))
        } else {
            s.trunc_i32(saturate(s, self.range, s.div(x, scale), zero))
        }
    }

    /// The nearest number that a step stands for.
    #[inline(always)]
    pub(crate) fn nearest(self, s: S, x: S::F32, scale: S::F32, zero: S::F32) -> S::F32 {
        s.mul(s.sub(self.steps(s, x, scale, zero), zero), scale)
    }
}

/// [`Quantizer::nearest`] of one number.
pub(crate) fn fake_quantize_one(to: DType, x: f32, scale: f32, zero: f32) -> f32 {
    let y = float::round_ties_even(x / scale) + zero;
    let [lo, hi] = ends(to);
    let steps = if y.is_nan() { 0.0 } else { float::trunc(y.max(lo).min(hi)) + 0.0 };
    (steps - zero) * scale
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{LANES, Op, dispatch, for_each_level};

    struct Lane {
        to: DType,
        x: f32,
        zero: f32,
        known: bool,
    }

    impl Op for Lane {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> f32 {
            let range = range(s, self.to, self.known.then_some(self.zero));
            s.to_array(saturate(s, range, s.splat(self.x), s.splat(self.zero)))[7]
        }
    }

    /// `quantize` of some numbers, by one scale that is known.
    struct Row<'a> {
        to: DType,
        x: &'a [f32; LANES],
        scale: f32,
        zero: f32,
    }

    impl Op for Row<'_> {
        type Output = [f32; LANES];
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [f32; LANES] {
            let Row { to, x, scale, zero } = self;
            let by = quantizer(s, to, Some(scale), Some(zero));
            let (x, scale, zero) = (s.load(x), s.splat(scale), s.splat(zero));
            let steps = s.to_array(by.steps(s, x, scale, zero));
            assert_eq!(s.to_array_i32(by.integers(s, x, scale, zero)), steps.map(|step| step as i32));
            steps
        }
    }

    #[test]
    fn a_quotient_is_what_a_division_rounds_to() {
        let mut state = 7u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 8
        };
        let odd = [0.0, -0.0, 1e-45, -1e-40, 1e30, -3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        let ends = [1e-18f32, 1e18, 1e-25, 1e25, 0.0, f32::INFINITY, f32::NAN, 1.0, 0.125, -0.3];
        let cases = if cfg!(miri) { 3 } else { 4000 };
        for case in 0..cases + ends.len() {
            let scale = match ends.get(case) {
                Some(scale) => *scale,
                None => f32::from_bits(0x3000_0000 + (random() << 5) % 0x1000_0000),
            };
            let to = [DType::I8, DType::U8, DType::I16, DType::U16][case % 4];
            let zero = [0.0, 3.0, 128.0, -7.0][case / 4 % 4];
            // Quotients at and beside the middles between steps.
            let xs: [f32; LANES] = core::array::from_fn(|i| {
                let middle = (random() % 512) as f32 - 255.5;
                let x = (f64::from(middle) * f64::from(scale)) as f32;
                match i % 4 {
                    0 => x,
                    1 => x.next_up(),
                    2 => x.next_down(),
                    _ => odd[(case + i / 4) % odd.len()],
                }
            });
            for_each_level(|level| {
                let quotients = dispatch(Row { to, x: &xs, scale, zero });
                for (x, y) in xs.into_iter().zip(quotients) {
                    let expected = dispatch(Lane { to, x: x / scale, zero, known: true });
                    assert_eq!(y.to_bits(), expected.to_bits(), "{x} / {scale} + {zero}, {}", level.name());
                }
            });
        }
    }

    #[test]
    fn saturates_as_casts_do() {
        let xs = [0.0f32, 0.5, 1.5, 2.5, 0.49, 100.7, 127.5, 128.0, 254.5, 255.5, 300.0, 40000.0, 70000.0];
        let odd = [8_388_607.5, 16_777_217.0, 3e9, 1e30, f32::INFINITY, f32::NAN, 1e-40];
        let zeros =
            [0.0f32, -0.0, 1.0, 100.0, -128.0, 255.0, 0.5, -0.25, 100.75, 1e9, f32::INFINITY, f32::NAN];
        for_each_level(|level| {
            for x in xs.into_iter().chain(odd).flat_map(|x| [x, -x]) {
                for zero in zeros {
                    let sum = x.round_ties_even() + zero;
                    let of = |to| match to {
                        DType::I8 => f32::from(sum as i8),
                        DType::U8 => f32::from(sum as u8),
                        DType::I16 => f32::from(sum as i16),
                        _ => f32::from(sum as u16),
                    };
                    for to in [DType::I8, DType::U8, DType::I16, DType::U16] {
                        for known in [false, true] {
                            let y = dispatch(Lane { to, x, zero, known });
                            assert_eq!(
                                y.to_bits(),
                                of(to).to_bits(),
                                "{to}({x} + {zero}), {known}, {}",
                                level.name()
                            );
                        }
                    }
                }
            }
        });
    }
}
