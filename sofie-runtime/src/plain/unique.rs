//! `Unique`: which slices along an axis differ, where they first stand, and how often they are there.

use super::Algorithm;
use crate::Element;
use crate::map::{Dst, Src};
use core::cmp::Ordering;

/// `indices [capacity], inverse [n], counts [capacity], count [1] (all i64) ← x [outer, n, inner]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// Extents before the axis, multiplied.
    pub outer: usize,
    /// Slices.
    pub n: usize,
    /// Extents behind the axis, multiplied.
    pub inner: usize,
    /// In the order of their values rather than of their first occurrence.
    pub sorted: bool,
    /// The most that are written; `count` counts all.
    pub capacity: usize,
}

impl Unique {
    /// The order of two slices, element by element; NaN stands last and equals itself.
    fn order<T: Element + PartialOrd>(&self, x: &[T], a: usize, b: usize) -> Ordering {
        for o in 0..self.outer {
            for i in 0..self.inner {
                let at = |j: usize| x[(o * self.n + j) * self.inner + i];
                let (p, q) = (at(a), at(b));
                let nan = |x: T| x.partial_cmp(&x).is_none();
                match p.partial_cmp(&q).unwrap_or_else(|| nan(p).cmp(&nan(q))) {
                    Ordering::Equal => {}
                    other => return other,
                }
            }
        }
        Ordering::Equal
    }

    fn typed<T: Element + PartialOrd>(&self, x: &[T], ys: [&mut [i64]; 4], order: &mut [f64]) {
        let [indices, inverse, counts, count] = ys;
        let (n, order) = (self.n, &mut order[..self.n]);
        order.iter_mut().enumerate().for_each(|(i, at)| *at = i as f64);
        let by_value = |a: &f64, b: &f64| self.order(x, *a as usize, *b as usize).then(a.total_cmp(b));
        order.sort_unstable_by(by_value);
        // The first of each run of equals stands for all of them.
        let mut groups = 0;
        let mut first = 0;
        for k in 0..n {
            let j = order[k] as usize;
            if k == 0 || self.order(x, order[k - 1] as usize, j) != Ordering::Equal {
                first = j;
                groups += 1;
            }
            inverse[j] = first as i64;
        }
        // Representatives, in the order that is asked for, at the front of `order`.
        let mut m = 0;
        for k in 0..n {
            let j = order[k] as usize;
            if inverse[j] == j as i64 {
                order[m] = j as f64;
                m += 1;
            }
        }
        let order = &mut order[..groups];
        if !self.sorted {
            order.sort_unstable_by(f64::total_cmp);
        }
        indices[..self.capacity].fill(0);
        counts[..self.capacity].fill(0);
        for (g, at) in order.iter().enumerate().take(self.capacity) {
            indices[g] = *at as i64;
        }
        for at in inverse[..n].iter_mut() {
            let representative = *at as usize;
            let place = if self.sorted {
                order.partition_point(|first| self.order(x, *first as usize, representative).is_lt())
            } else {
                order.partition_point(|first| (*first as usize) < representative)
            };
            *at = place as i64;
            if place < self.capacity {
                counts[place] += 1;
            }
        }
        count[0] = groups as i64;
    }
}

impl Algorithm for Unique {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [indices, inverse, counts, count, scratch] = ys else { panic!("unique: four results and scratch") };
        let results = [indices.slice(), inverse.slice(), counts.slice(), count.slice()];
        numbers!(xs[0].dtype(), T => self.typed::<T>(xs[0].slice(), results, scratch.slice()));
    }

    fn scratch(&self) -> usize {
        self.n.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sorted: bool) -> ([i64; 6], [i64; 6], [i64; 6], i64) {
        let x = [2f32, 1.0, 1.0, 3.0, 4.0, 3.0];
        let (mut indices, mut inverse, mut counts, mut count) = ([0; 6], [0; 6], [0; 6], [0i64]);
        let mut scratch = [0f64; 6];
        Unique { outer: 1, n: 6, inner: 1, sorted, capacity: 6 }.run(
            &mut [
                indices[..].as_mut().into(),
                inverse[..].as_mut().into(),
                counts[..].as_mut().into(),
                count[..].as_mut().into(),
                scratch[..].as_mut().into(),
            ],
            &[(&x[..]).into()],
        );
        (indices, inverse, counts, count[0])
    }

    #[test]
    fn by_value_and_by_occurrence() {
        assert_eq!(run(true), ([1, 0, 3, 4, 0, 0], [1, 0, 0, 2, 3, 2], [2, 1, 2, 1, 0, 0], 4));
        assert_eq!(run(false), ([0, 1, 3, 4, 0, 0], [0, 1, 1, 2, 3, 2], [1, 2, 2, 1, 0, 0], 4));
    }
}
