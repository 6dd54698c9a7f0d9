//! `TfIdfVectorizer` over integers: how often each n-gram of a pool occurs in a row, with gaps of up to a number of
//! elements.

use super::Algorithm;
use crate::DType;
use crate::map::{Dst, Src};
use alloc::borrow::Cow;

/// `y [rows, columns] (f32) ← x [rows, extent]`.
#[derive(Clone, Debug, PartialEq)]
pub struct TfIdf {
    /// Rows.
    pub rows: usize,
    /// Elements of a row of `x`.
    pub extent: usize,
    /// Elements of a row of `y`.
    pub columns: usize,
    /// The elements of all n-grams, one behind the other.
    pub pool: Cow<'static, [i64]>,
    /// Of each n-gram its length and its column.
    pub grams: Cow<'static, [[usize; 2]]>,
    /// The most elements between two of an n-gram.
    pub skips: usize,
}

impl TfIdf {
    fn count(&self, y: &mut [f32], at: impl Fn(usize) -> i64) {
        y.fill(0.0);
        for distance in 1..=self.skips + 1 {
            let mut start = 0;
            for &[len, column] in self.grams.iter() {
                let gram = &self.pool[start..][..len];
                start += len;
                // A single element has no gaps.
                if len == 0 || len == 1 && distance > 1 {
                    continue;
                }
                let span = (len - 1) * distance;
                for first in 0..self.extent.saturating_sub(span) {
                    if gram.iter().enumerate().all(|(i, g)| at(first + i * distance) == *g) {
                        y[column] += 1.0;
                    }
                }
            }
        }
    }
}

impl Algorithm for TfIdf {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let (y, x) = (ys[0].slice::<f32>(), xs[0]);
        for row in 0..self.rows {
            let y = &mut y[row * self.columns..][..self.columns];
            let start = row * self.extent;
            match x.dtype() {
                DType::I32 => self.count(y, |i| x.slice::<i32>()[start + i].into()),
                _ => self.count(y, |i| x.slice::<i64>()[start + i]),
            }
        }
    }
}
