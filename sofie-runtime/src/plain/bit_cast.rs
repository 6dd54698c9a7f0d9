//! `BitCast`: the same bits as another type of the same size.

use super::Algorithm;
use crate::DType;
use crate::map::{Dst, Src};

/// `y ← x`, byte by byte; a bool is any byte but 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BitCast {
    /// The number of elements.
    pub len: usize,
}

impl Algorithm for BitCast {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let (y, x) = (&mut ys[0], xs[0]);
        assert!(y.len() >= self.len && x.len() >= self.len, "bit cast: too few elements");
        if y.dtype() == DType::Bool {
            x.bytes()[..self.len].iter().enumerate().for_each(|(i, b)| y.set_bool(i, *b != 0));
        } else {
            let n = self.len * y.dtype().size();
            y.bytes()[..n].copy_from_slice(&x.bytes()[..n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_stay() {
        let mut y = [0i32; 2];
        BitCast { len: 2 }.run(&mut [y[..].as_mut().into()], &[(&[1f32, -0.0][..]).into()]);
        assert_eq!(y, [0x3f80_0000, i32::MIN]);
    }
}
