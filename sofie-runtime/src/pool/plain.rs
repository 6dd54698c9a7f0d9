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

/// A type's maxima and means are functions of their own, over channels side by side, so that the compiler makes vectors
/// of them.
fn windows<T: Arithmetic>(pool: &Pool, y: &mut [T], x: &[T]) {
    match pool.kind {
        PoolKind::Max => lines(pool, y, x, &Maxima),
        PoolKind::Average | PoolKind::AverageWithPads => lines(pool, y, x, &Means),
    }
}

/// Several channels of a window.
trait Block<T> {
    /// `N` channels of a pixel of y: of the taps that count, those of x begin with the first.
    fn run<const N: usize>(&self, y: &mut [T; N], x: &[T], taps: &Taps, count: usize);
}

/// Where the taps of a window that count are in x: extents and steps.
struct Taps {
    counts: [usize; 3],
    steps: [usize; 3],
}

impl Taps {
    /// Calls `f` with `N` channels of each tap.
    #[inline(always)]
    fn each<T, const N: usize>(&self, x: &[T], mut f: impl FnMut(&[T; N])) {
        let ([planes, rows, columns], steps) = (self.counts, self.steps);
        for a in 0..planes {
            for b in 0..rows {
                let mut x = &x[a * steps[0] + b * steps[1]..];
                for _ in 0..columns {
                    if let Some(channels) = x.first_chunk() {
                        f(channels);
                    }
                    x = x.get(steps[2]..).unwrap_or_default();
                }
            }
        }
    }
}

struct Maxima;

impl<T: Arithmetic> Block<T> for Maxima {
    #[inline(always)]
    fn run<const N: usize>(&self, y: &mut [T; N], x: &[T], taps: &Taps, _: usize) {
        let mut largest = [T::LOWEST; N];
        taps.each(x, |x: &[T; N]| {
            for (largest, x) in largest.iter_mut().zip(x) {
                *largest = T::max(*largest, *x);
            }
        });
        *y = largest;
    }
}

struct Means;

impl<T: Arithmetic> Block<T> for Means {
    #[inline(always)]
    fn run<const N: usize>(&self, y: &mut [T; N], x: &[T], taps: &Taps, count: usize) {
        let mut sums = [T::ZERO; N];
        taps.each(x, |x: &[T; N]| {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum = T::add(*sum, x.widen());
            }
        });
        *y = sums.map(|sum| T::narrow(T::divide(sum, count)));
    }
}

fn lines<T: Arithmetic>(pool: &Pool, y: &mut [T], x: &[T], block: &impl Block<T>) {
    let (w, c) = (&pool.window, pool.c);
    let line = w.x[2] * pool.ldx;
    let steps = [w.dilations[0] * w.x[1] * line, w.dilations[1] * line, w.dilations[2] * pool.ldx];
    for row in 0..pool.batch * w.y_pixels() {
        let pixel = Pixel::of_row(row, &w.y);
        let inside = pool.inside(&pixel);
        let counts = inside.taps.map(|(first, end)| end - first);
        let (taps, x) = if counts.contains(&0) {
            (Taps { counts: [0; 3], steps }, &[][..])
        } else {
            let first = inside.taps.map(|(first, _)| first);
            (Taps { counts, steps }, &x[pool.row(pixel.image, &inside, first) * pool.ldx..])
        };
        let y = &mut y[row * pool.ldy..][..c];
        let count = inside.count();
        match c {
            64.. => channels::<T, 64>(y, x, &taps, count, block),
            16.. => channels::<T, 16>(y, x, &taps, count, block),
            4.. => channels::<T, 4>(y, x, &taps, count, block),
            _ => channels::<T, 1>(y, x, &taps, count, block),
        }
    }
}

/// All channels, `N` at a time and at least so many: the last are aligned with the end, and some of them done twice.
fn channels<T: Arithmetic, const N: usize>(
    y: &mut [T],
    x: &[T],
    taps: &Taps,
    count: usize,
    block: &impl Block<T>,
) {
    let mut first = 0;
    while first < y.len() {
        let from = first.min(y.len() - N);
        if let Some(y) = y[from..].first_chunk_mut() {
            block.run::<N>(y, x.get(from..).unwrap_or_default(), taps, count);
        }
        first = from + N;
    }
}
