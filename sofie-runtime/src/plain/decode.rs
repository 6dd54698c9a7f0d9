//! Floats of 8 bits and less, one a byte, as f32.

use super::Algorithm;
use crate::map::{Dst, Src};
use crate::storage::Storage;

/// `y ← x`: bytes as f32.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decode {
    /// The number of elements.
    pub len: usize,
    /// The type of `x`.
    pub storage: Storage,
}

impl Algorithm for Decode {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let mut table = [0f32; 256];
        for (code, value) in (0..=255).zip(&mut table) {
            *value = self.storage.decode(code);
        }
        let y = &mut ys[0].slice::<f32>()[..self.len];
        y.iter_mut().zip(&xs[0].bytes()[..self.len]).for_each(|(y, x)| *y = table[usize::from(*x)]);
    }
}
