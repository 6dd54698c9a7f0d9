//! Pooling of any element type as plain loops.

use super::{Pool, PoolKind};
use crate::conv::number::{Arithmetic, Kernel};
use crate::conv::window::Pixel;

/// Checked operands of a [`Pool`].
pub(crate) struct Windows<'a, T> {
    pub pool: &'a Pool,
    pub y: &'a mut [T],
    pub x: &'a [T],
}

impl<T: Arithmetic> Kernel for Windows<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Windows { pool, y, x } = self;
        for row in 0..pool.batch * pool.window.y_pixels() {
            let pixel = Pixel::of_row(row, &pool.window.y);
            let inside = pool.inside(&pixel);
            let [(a0, a1), (b0, b1), (c0, c1)] = inside.taps;
            for ch in 0..pool.c {
                let (mut largest, mut sum) = (T::LOWEST, T::ZERO);
                for a in a0..a1 {
                    for b in b0..b1 {
                        for c in c0..c1 {
                            let x = x[pool.row(pixel.image, &inside, [a, b, c]) * pool.ldx + ch];
                            largest = T::max(largest, x);
                            sum = T::add(sum, x.widen());
                        }
                    }
                }
                y[row * pool.ldy + ch] = match pool.kind {
                    PoolKind::Max => largest,
                    _ => T::narrow(T::divide(sum, inside.count)),
                };
            }
        }
    }
}
