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
    let whole = zero.is_some_and(|z| z.to_bits() != (-0.0f32).to_bits() && float::trunc(z) == z);
    Range { lo: s.splat(lo), hi: s.splat(hi), from_zero: lo == 0.0, whole }
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

/// Quotients beyond which nothing but an end of a type's range is left, whatever the zero point.
const FAR: f32 = 1_048_576.0;

/// How to divide by a scale, for a loop.
///
/// Where the scale is one number, `1 / scale` in two parts gives a quotient within an ulp, and the remainder, which is exact,
/// corrects it to what a division rounds to (Markstein, 1990): four multiplications, which take a quarter of its time.
#[derive(Clone, Copy)]
pub(crate) struct Divisor<S: Simd> {
    high: S::F32,
    low: S::F32,
    /// Numbers beyond it have quotients beyond [`FAR`].
    most: S::F32,
    known: bool,
}

/// How to divide by `scale`, where that is known to be the same in all of the loop, as is `zero`.
#[inline(always)]
pub(crate) fn divisor<S: Simd>(s: S, scale: Option<f32>, zero: Option<f32>) -> Divisor<S> {
    // Within these nothing that decides a step over- or underflows.
    let scale = scale.filter(|d| (1e-18..=1e18).contains(&d.abs()));
    let known = scale.is_some() && zero.is_some_and(|z| z.abs() <= 65_536.0);
    let scale = scale.unwrap_or(1.0);
    let high = 1.0 / scale;
    let low = (1.0 / f64::from(scale) - f64::from(high)) as f32;
    let most = scale.abs() * FAR;
    Divisor { high: s.splat(high), low: s.splat(low), most: s.splat(most), known }
}

/// `round(x / scale) + zero` as by a cast to an integer type and back.
#[inline(always)]
pub(crate) fn quantize<S: Simd>(
    s: S,
    range: Range<S>,
    by: Divisor<S>,
    x: S::F32,
    scale: S::F32,
    zero: S::F32,
) -> S::F32 {
    let quotient = if by.known {
        let x = s.min_raw(by.most, s.max_raw(s.neg(by.most), x));
        let near = s.mul_add(x, by.high, s.mul(x, by.low));
        s.mul_add(s.neg_mul_add(near, scale, x), by.high, near)
    } else {
        s.div(x, scale)
    };
    saturate(s, range, quotient, zero)
}

/// The nearest number that a step stands for.
#[inline(always)]
pub(crate) fn fake_quantize<S: Simd>(
    s: S,
    range: Range<S>,
    by: Divisor<S>,
    x: S::F32,
    scale: S::F32,
    zero: S::F32,
) -> S::F32 {
    let steps = quantize(s, range, by, x, scale, zero);
    s.mul(s.sub(steps, zero), scale)
}

/// [`fake_quantize`] of one number.
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
            let (range, by) = (range(s, to, Some(zero)), divisor(s, Some(scale), Some(zero)));
            s.to_array(quantize(s, range, by, s.load(x), s.splat(scale), s.splat(zero)))
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
