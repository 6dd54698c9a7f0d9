//! `NonZero` and `Compress`: where elements are not zero, and how many they are.

use super::Algorithm;
use crate::Element;
use crate::map::{Dst, Src};

/// `index [capacity] (i64), count [1] (i64) ← x [len]`: positions in order, zeros behind them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Positions {
    /// Elements of `x`.
    pub len: usize,
    /// The most positions that are written; `count` counts all.
    pub capacity: usize,
}

impl Positions {
    fn typed<T: Element>(&self, x: &[T], index: &mut [i64]) -> i64 {
        let mut n = 0;
        index[..self.capacity].fill(0);
        for (i, _) in x[..self.len].iter().enumerate().filter(|(_, x)| **x != T::default()) {
            if n < self.capacity {
                index[n] = i as i64;
            }
            n += 1;
        }
        n as i64
    }
}

impl Algorithm for Positions {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [index, count] = ys else { panic!("positions: two results") };
        let n = numbers!(xs[0].dtype(), T => self.typed::<T>(xs[0].slice(), index.slice()));
        count.slice::<i64>()[0] = n;
    }
}
