//! Element types of 8 bits and less that numbers are only stored in. A tensor of one of them has a byte an element: floats
//! are `u8` that hold the bits, integers are `i8` or `u8` in the type's range. What is computed is computed in other types.

use crate::DType;
use core::fmt;

/// A type that numbers are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// 4 bits of exponent, 3 of mantissa; NaN, no infinities.
    F8E4M3Fn,
    /// 4 bits of exponent, 3 of mantissa; NaN, no infinities, no -0.
    F8E4M3FnUz,
    /// 5 bits of exponent, 2 of mantissa, as IEEE 754.
    F8E5M2,
    /// 5 bits of exponent, 2 of mantissa; NaN, no infinities, no -0.
    F8E5M2FnUz,
    /// A power of two, or NaN.
    F8E8M0,
    /// 6 bits: 2 of exponent, 3 of mantissa; finite numbers alone.
    F6E2M3,
    /// 6 bits: 3 of exponent, 2 of mantissa; finite numbers alone.
    F6E3M2,
    /// 4 bits: 2 of exponent, 1 of mantissa; finite numbers alone.
    F4E2M1,
    /// -8 to 7, in an `i8`.
    I4,
    /// 0 to 15, in a `u8`.
    U4,
    /// -2 to 1, in an `i8`.
    I2,
    /// 0 to 3, in a `u8`.
    U2,
}

/// How a number that is no power of two becomes one ([`Storage::F8E8M0`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// To the next larger.
    Up,
    /// To the next smaller.
    Down,
    /// To the nearer one, halfway up.
    Nearest,
}

/// A float of sign, exponent and mantissa.
struct Float {
    mantissa: u32,
    bias: i32,
    sign: u8,
    /// The largest finite number.
    max: u8,
    /// What is beyond it where that does not saturate, without its sign.
    beyond: u8,
    nan: u8,
    /// Whether there is one zero, and one NaN in place of the other.
    unsigned: bool,
}

impl Storage {
    /// Its name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Storage::F8E4M3Fn => "float8e4m3fn",
            Storage::F8E4M3FnUz => "float8e4m3fnuz",
            Storage::F8E5M2 => "float8e5m2",
            Storage::F8E5M2FnUz => "float8e5m2fnuz",
            Storage::F8E8M0 => "float8e8m0",
            Storage::F6E2M3 => "float6e2m3",
            Storage::F6E3M2 => "float6e3m2",
            Storage::F4E2M1 => "float4e2m1",
            Storage::I4 => "int4",
            Storage::U4 => "uint4",
            Storage::I2 => "int2",
            Storage::U2 => "uint2",
        }
    }

    /// The type of the byte that holds an element.
    pub const fn holder(self) -> DType {
        match self {
            Storage::I4 | Storage::I2 => DType::I8,
            _ => DType::U8,
        }
    }

    /// The smallest and the largest number, where it holds integers.
    pub const fn range(self) -> Option<(i8, i8)> {
        match self {
            Storage::I4 => Some((-8, 7)),
            Storage::U4 => Some((0, 15)),
            Storage::I2 => Some((-2, 1)),
            Storage::U2 => Some((0, 3)),
            _ => None,
        }
    }

    fn float(self) -> Float {
        let f = |mantissa, bias, sign, max, beyond, nan, unsigned| Float {
            mantissa,
            bias,
            sign,
            max,
            beyond,
            nan,
            unsigned,
        };
        match self {
            Storage::F8E4M3Fn => f(3, 7, 0x80, 0x7e, 0x7f, 0x7f, false),
            Storage::F8E4M3FnUz => f(3, 8, 0x80, 0x7f, 0x80, 0x80, true),
            Storage::F8E5M2 => f(2, 15, 0x80, 0x7b, 0x7c, 0x7e, false),
            Storage::F8E5M2FnUz => f(2, 16, 0x80, 0x7f, 0x80, 0x80, true),
            Storage::F6E2M3 => f(3, 1, 0x20, 0x1f, 0x1f, 0x20, false),
            Storage::F6E3M2 => f(2, 3, 0x20, 0x1f, 0x1f, 0x20, false),
            // What has no NaN stores one as -0, as `ml_dtypes` does.
            _ => f(1, 1, 0x08, 0x07, 0x07, 0x08, false),
        }
    }

    /// The number that a byte stands for.
    ///
    /// ```
    /// # use sofie_infer_runtime::Storage;
    /// assert_eq!(Storage::F8E4M3Fn.decode(0x7e), 448.0);
    /// assert_eq!(Storage::I4.decode(0xf8), -8.0);
    /// ```
    pub fn decode(self, code: u8) -> f32 {
        match self {
            Storage::I4 | Storage::I2 => return code as i8 as f32,
            Storage::U4 | Storage::U2 => return code as f32,
            Storage::F8E8M0 if code == 0xff => return f32::NAN,
            Storage::F8E8M0 if code == 0 => return f32::from_bits(1 << 22),
            Storage::F8E8M0 => return f32::from_bits((code as u32) << 23),
            _ => {}
        }
        let f = self.float();
        if f.unsigned && code == f.nan {
            return f32::NAN;
        }
        let magnitude = code & (f.sign - 1);
        if magnitude > f.max {
            if f.beyond != f.nan && magnitude == f.beyond {
                return if code & f.sign != 0 { f32::NEG_INFINITY } else { f32::INFINITY };
            }
            return f32::NAN;
        }
        let exponent = (magnitude >> f.mantissa) as i32;
        let fraction = (magnitude & ((1 << f.mantissa) - 1)) as u32;
        let (digits, exponent) =
            if exponent == 0 { (fraction, 1) } else { (fraction | 1 << f.mantissa, exponent) };
        // A power of two, and digits of few bits: exact.
        let unit = f32::from_bits(((exponent - f.bias - f.mantissa as i32 + 127) as u32) << 23);
        let value = digits as f32 * unit;
        if code & f.sign != 0 { -value } else { value }
    }

    /// The byte that stands for the number next to `x`, ties to even. Beyond the largest one is the largest one where
    /// `saturate` says so, else infinity or NaN. Integers are cut towards zero and lose their high bits.
    pub fn encode(self, x: f64, saturate: bool, round: Round) -> u8 {
        match self {
            Storage::F8E8M0 => return power(x, saturate, round),
            Storage::I4 => return ((x as i64 as i8) << 4 >> 4) as u8,
            Storage::I2 => return ((x as i64 as i8) << 6 >> 6) as u8,
            Storage::U4 => return x as i64 as u8 & 15,
            Storage::U2 => return x as i64 as u8 & 3,
            _ => {}
        }
        let f = self.float();
        let sign = if x.is_sign_negative() { f.sign } else { 0 };
        let signed = |code: u8| if f.unsigned && (code == 0 || code == f.nan) { code } else { code | sign };
        if x.is_nan() {
            return if f.nan == f.sign { f.nan } else { signed(f.nan) };
        }
        let bits = x.to_bits() & !(1 << 63);
        // Numbers below the smallest of full precision count in its unit.
        let exponent = ((bits >> 52) as i32 - 1023).max(1 - f.bias);
        let unit = f64::from_bits(((exponent - f.mantissa as i32 + 1023) as u64) << 52);
        let digits = f64::from_bits(bits) / unit;
        let past = if saturate { f.max } else { f.beyond };
        if digits > 1024.0 {
            return signed(past);
        }
        let whole = digits as u32;
        let rest = digits - f64::from(whole);
        let up = rest > 0.5 || (rest == 0.5 && whole % 2 == 1);
        // A carry out of the digits is one into the exponent.
        let code = (((exponent + f.bias - 1) as u32) << f.mantissa) + whole + u32::from(up);
        signed(if code > u32::from(f.max) { past } else { code as u8 })
    }
}

/// The exponent of the power of two next to the magnitude of `x`.
fn power(x: f64, saturate: bool, round: Round) -> u8 {
    const NAN: u8 = 0xff;
    let bits = x.to_bits() & !(1 << 63);
    if x.is_nan() {
        return NAN;
    }
    let fraction = bits & ((1 << 52) - 1);
    let up = match round {
        Round::Up => fraction > 0,
        Round::Down => false,
        Round::Nearest => fraction >= 1 << 51,
    };
    // Of f64, everything that is not normal is far below 2^-127.
    match (bits >> 52) as i32 - 1023 + i32::from(up) + 127 {
        code @ 0..=254 => code as u8,
        ..0 if saturate => 0,
        255.. if saturate => 254,
        _ => NAN,
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOATS: [Storage; 8] = [
        Storage::F8E4M3Fn,
        Storage::F8E4M3FnUz,
        Storage::F8E5M2,
        Storage::F8E5M2FnUz,
        Storage::F8E8M0,
        Storage::F6E2M3,
        Storage::F6E3M2,
        Storage::F4E2M1,
    ];

    #[test]
    fn every_code_comes_back() {
        for s in FLOATS {
            let codes = match s {
                Storage::F4E2M1 => 0..=15,
                Storage::F6E2M3 | Storage::F6E3M2 => 0..=63,
                _ => 0..=255u8,
            };
            for code in codes {
                let x = s.decode(code);
                let back = s.encode(x.into(), false, Round::Nearest);
                if x.is_nan() {
                    assert!(s.decode(back).is_nan(), "{s} {code:#x}");
                } else {
                    assert_eq!(back, code, "{s} {x}");
                }
            }
        }
    }

    /// Each number between two neighbours goes to the nearer one, a tie to the even code.
    #[test]
    fn between_neighbours() {
        for s in FLOATS.into_iter().filter(|s| *s != Storage::F8E8M0) {
            let max = s.float().max;
            for code in 0..max {
                let (a, b) = (f64::from(s.decode(code)), f64::from(s.decode(code + 1)));
                let at = |t: f64| s.encode(a + (b - a) * t, true, Round::Nearest);
                assert_eq!((at(0.499), at(0.501)), (code, code + 1), "{s} {a} {b}");
                assert_eq!(at(0.5), code + code % 2, "{s} {a} {b}");
            }
            assert_eq!(s.encode(f64::INFINITY, true, Round::Up), max);
            assert_eq!(s.decode(s.encode(-1e300, true, Round::Up)), -s.decode(max));
        }
    }

    #[test]
    fn beyond_the_largest() {
        let cast = |s: Storage, x: f64| s.decode(s.encode(x, false, Round::Up));
        assert_eq!(cast(Storage::F8E5M2, -1e6), f32::NEG_INFINITY);
        assert!(cast(Storage::F8E4M3Fn, 465.0).is_nan() && cast(Storage::F8E4M3Fn, 464.0) == 448.0);
        assert!(cast(Storage::F8E5M2FnUz, f64::INFINITY).is_nan());
        assert_eq!(cast(Storage::F4E2M1, f64::INFINITY), 6.0);
        assert_eq!(Storage::F8E4M3FnUz.encode(-1e-9, true, Round::Up), 0);
        assert_eq!(Storage::F8E4M3Fn.encode(-1e-9, true, Round::Up), 0x80);
    }

    #[test]
    fn powers_of_two() {
        let cast =
            |x: f64, saturate, round| Storage::F8E8M0.decode(Storage::F8E8M0.encode(x, saturate, round));
        assert_eq!([Round::Up, Round::Down, Round::Nearest].map(|r| cast(1.1, true, r)), [2.0, 1.0, 1.0]);
        assert_eq!(cast(3.0, false, Round::Nearest), 4.0);
        assert_eq!(cast(0.0, true, Round::Up), 2f32.powi(-127));
        assert!(cast(0.0, false, Round::Nearest).is_nan() && cast(f64::NAN, true, Round::Up).is_nan());
        assert_eq!(cast(f64::INFINITY, true, Round::Up), 2f32.powi(127));
        assert_eq!(cast(1e-40, true, Round::Up), 2f32.powi(-127));
    }

    #[test]
    fn integers_lose_their_high_bits() {
        let cast = |s: Storage, x: f64| s.decode(s.encode(x, true, Round::Up));
        assert_eq!([-9.0, -8.5, 7.9, 8.0].map(|x| cast(Storage::I4, x)), [7.0, -8.0, 7.0, -8.0]);
        assert_eq!([-3.0, 5.0].map(|x| cast(Storage::U2, x)), [1.0, 1.0]);
    }
}
