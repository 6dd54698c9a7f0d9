//! Pooling of any element type as plain loops.

use super::{Pool, PoolKind};
use crate::conv::number::Arithmetic;
use crate::conv::window::Pixel;
use crate::{Element, bf16, f16};

/// An element type whose poolings are plain loops.
pub trait PlainPool: Element + Arithmetic {
    #[doc(hidden)]
    fn pool(pool: &Pool, y: &mut [Self], x: &[Self]);
}

macro_rules! plain_pool {
    ($($t:ty)*) => {$(
        // The methods of a trait for one type are compiled here and not where they are called.
        impl PlainPool for $t {
            fn pool(pool: &Pool, y: &mut [$t], x: &[$t]) {
                windows(pool, y, x);
            }
        }
    )*};
}

plain_pool! { f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64 }

impl Pool {
    /// The pooling of the types that have no kernels of their own. `f16` and `bf16` are summed in `f32`;
    /// averages of integers are rounded towards zero.
    ///
    /// # Panics
    /// When a slice is too short for the shape.
    pub fn run_plain<T: PlainPool>(&self, y: &mut [T], x: &[T]) {
        self.check(y.len(), x.len());
        T::pool(self, y, x);
    }
}

fn windows<T: Arithmetic>(pool: &Pool, y: &mut [T], x: &[T]) {
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
                _ => T::narrow(T::divide(sum, inside.count())),
            };
        }
    }
}
