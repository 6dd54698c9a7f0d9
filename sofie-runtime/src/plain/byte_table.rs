//! A function of a byte by its 256 results: between two quantisers an activation, however many steps a model writes it
//! in, is a table.

use super::Algorithm;
use crate::DType;
use crate::map::{Dst, Src};
use crate::simd::lookup_bytes;

/// `y ← x, table [256]`, whose results stand in the order of the bytes as unsigned numbers. `x` is u8 or i8, `y` one of
/// them or f32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByteTable {
    /// The number of elements.
    pub len: usize,
}

impl Algorithm for ByteTable {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let (y, x) = (&mut ys[0], &xs[0].bytes()[..self.len]);
        assert_eq!(y.dtype(), xs[1].dtype(), "byte table: results of another type");
        if y.dtype() == DType::F32 {
            let (table, _) = xs[1].slice::<f32>().as_chunks::<256>();
            let y = &mut y.slice::<f32>()[..self.len];
            y.iter_mut().zip(x).for_each(|(y, x)| *y = table[0][usize::from(*x)]);
        } else {
            let (table, _) = xs[1].bytes().as_chunks::<256>();
            lookup_bytes(&mut y.bytes()[..self.len], x, &table[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::for_each_level;
    use std::vec::Vec;

    #[test]
    fn each_byte_has_its_result() {
        let table: [i8; 256] = core::array::from_fn(|b| (b * 37 + 11) as u8 as i8);
        let floats: [f32; 256] = core::array::from_fn(|b| b as f32 * 0.5);
        let x: Vec<u8> = (0..1000).map(|i| (i * 91 + i / 256) as u8).collect();
        for len in [0, 1, 63, 64, 65, 200, 1000] {
            for_each_level(|level| {
                let (mut y, mut z) = ([-7i8; 1000], [0.25f32; 1000]);
                let x: Src<'_> = (&x[..]).into();
                ByteTable { len }.run(&mut [y[..].as_mut().into()], &[x, (&table[..]).into()]);
                ByteTable { len }.run(&mut [z[..].as_mut().into()], &[x, (&floats[..]).into()]);
                for i in 0..1000 {
                    let b = usize::from((i * 91 + i / 256) as u8);
                    let want = if i < len { (table[b], floats[b]) } else { (-7, 0.25) };
                    assert_eq!((y[i], z[i]), want, "{} of {len}, {}", i, level.name());
                }
            });
        }
    }
}
