//! Numbers as floats of 8 bits and less, one a byte.

use super::Algorithm;
use crate::map::{Dst, Src};
use crate::storage::{Round, Storage};

/// `y ← x`: any numbers as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encode {
    /// The number of elements.
    pub len: usize,
    /// The type of `y`.
    pub storage: Storage,
    /// Whether what is beyond the largest number is that one.
    pub saturate: bool,
    /// How powers of two are rounded.
    pub round: Round,
}

impl Algorithm for Encode {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let (y, x) = (&mut ys[0].bytes()[..self.len], xs[0]);
        let code = |x: f64| self.storage.encode(x, self.saturate, self.round);
        macro_rules! run {
            ($t:ty, $wide:expr) => {{
                let x = &x.slice::<$t>()[..self.len];
                y.iter_mut().zip(x).for_each(|(y, x)| *y = code($wide(*x)));
            }};
        }
        use crate::DType::*;
        match x.dtype() {
            F32 => run!(f32, f64::from),
            F64 => run!(f64, |x| x),
            F16 => run!(crate::f16, |x: crate::f16| x.to_f64()),
            BF16 => run!(crate::bf16, |x: crate::bf16| x.to_f64()),
            I8 => run!(i8, f64::from),
            I16 => run!(i16, f64::from),
            I32 => run!(i32, f64::from),
            I64 => run!(i64, |x| x as f64),
            U8 => run!(u8, f64::from),
            U16 => run!(u16, f64::from),
            U32 => run!(u32, f64::from),
            U64 => run!(u64, |x| x as f64),
            Bool => y.iter_mut().zip(x.bytes()).for_each(|(y, x)| *y = code((*x != 0).into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain::Decode;

    #[test]
    fn there_and_back() {
        let (mut codes, mut back) = ([0u8; 3], [0f32; 3]);
        let (storage, round) = (Storage::F8E5M2, Round::Nearest);
        let encode = Encode { len: 3, storage, saturate: true, round };
        encode.run(&mut [codes[..].as_mut().into()], &[(&[1.0f64, -3.2, 1e9][..]).into()]);
        Decode { len: 3, storage }.run(&mut [back[..].as_mut().into()], &[(&codes[..]).into()]);
        assert_eq!(back, [1.0, -3.0, 57344.0]);
        encode.run(&mut [codes[..].as_mut().into()], &[Src::bools(&[0, 1, 2])]);
        assert_eq!(codes, [0, 0x3c, 0x3c]);
    }
}
