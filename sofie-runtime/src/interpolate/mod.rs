//! Resampling along one axis by a table of taps: nearest, linear, cubic and antialiased resizing alike.

mod plain;
#[cfg(test)]
mod tests;

pub use self::plain::PlainInterpolate;
use crate::Element;
use crate::simd::{LANES, Op, Simd, dispatch, float};

/// `y[o, j, i] = Σ_t weight[j, t] · x[o, index[j, t], i]`: x is `[outer, x, inner]`, y is `[outer, y, inner]`, the
/// tables are `[y, taps]`. The sum starts as the first product and goes on as a chain of fused multiply-adds in
/// the order of t.
///
/// ```
/// use sofie_infer_runtime::interpolate::Interpolate;
/// let half = Interpolate { outer: 1, x: 4, y: 2, inner: 1, taps: 2 };
/// let mut y = [0.0; 2];
/// half.run(&mut y, &[1.0, 3.0, 5.0, 9.0], &[0, 1, 2, 3], &[0.5; 4]);
/// assert_eq!(y, [2.0, 7.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Interpolate {
    /// Elements of the axes before.
    pub outer: usize,
    /// Extent of the axis that is read.
    pub x: usize,
    /// Extent of the axis that is written.
    pub y: usize,
    /// Elements of the axes behind.
    pub inner: usize,
    /// Taps an element; at least 1.
    pub taps: usize,
}

impl Interpolate {
    /// Resamples.
    ///
    /// # Panics
    /// When a slice does not have the length that the shape says, or an index is outside.
    pub fn run(&self, y: &mut [f32], x: &[f32], index: &[u32], weight: &[f32]) {
        self.check(y.len(), x.len(), index, Some(weight));
        if !y.is_empty() {
            dispatch(Rows { shape: self, y, x, index, weight });
        }
    }

    /// Copies for each element its one tap, of weight 1.
    ///
    /// # Panics
    /// As [`Interpolate::run`], and when there are more taps.
    pub fn run_copy<T: Element>(&self, y: &mut [T], x: &[T], index: &[u32]) {
        assert_eq!(self.taps, 1, "a copy has one tap");
        self.check(y.len(), x.len(), index, None);
        // SAFETY: elements are plain data without padding (`Element`), and only whole ones are copied.
        let (y, x) = unsafe {
            (
                core::slice::from_raw_parts_mut(y.as_mut_ptr().cast(), size_of_val(y)),
                core::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)),
            )
        };
        self.copy_bytes(y, x, size_of::<T>(), index);
    }

    /// Not generic, so that it is compiled here; elements of `size` bytes.
    fn copy_bytes(&self, y: &mut [u8], x: &[u8], size: usize, index: &[u32]) {
        match size {
            1 => self.copy(y, x, index),
            2 => self.copy(y.as_chunks_mut::<2>().0, x.as_chunks().0, index),
            4 => self.copy(y.as_chunks_mut::<4>().0, x.as_chunks().0, index),
            8 => self.copy(y.as_chunks_mut::<8>().0, x.as_chunks().0, index),
            _ => unreachable!("elements of {size} bytes"),
        }
    }

    fn copy<E: Copy>(&self, y: &mut [E], x: &[E], index: &[u32]) {
        if y.is_empty() {
            return;
        }
        for (y, x) in y.chunks_exact_mut(self.y * self.inner).zip(x.chunks_exact(self.x * self.inner)) {
            if self.inner == 1 {
                for (y, &i) in y.iter_mut().zip(index) {
                    *y = x[i as usize];
                }
            } else {
                for (y, &i) in y.chunks_exact_mut(self.inner).zip(index) {
                    y.copy_from_slice(&x[i as usize * self.inner..][..self.inner]);
                }
            }
        }
    }

    fn check(&self, y: usize, x: usize, index: &[u32], weight: Option<&[f32]>) {
        let table = self.y * self.taps;
        assert!(self.taps != 0, "no taps in {self:?}");
        assert_eq!(x, self.outer * self.x * self.inner, "x of {self:?}");
        assert_eq!(y, self.outer * self.y * self.inner, "y of {self:?}");
        assert_eq!(index.len(), table, "the indices of {self:?}");
        assert_eq!(weight.map_or(table, <[f32]>::len), table, "the weights of {self:?}");
        assert!(y == 0 || index.iter().all(|&i| (i as usize) < self.x), "an index is outside {self:?}");
    }
}

/// Checked operands that are not empty.
struct Rows<'a> {
    shape: &'a Interpolate,
    y: &'a mut [f32],
    x: &'a [f32],
    index: &'a [u32],
    weight: &'a [f32],
}

/// Vectors in flight: enough to hide the latency of the chains.
const WIDE: usize = 4;

impl Op for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Rows { shape, y, x, index, weight } = self;
        let &Interpolate { inner, taps, .. } = shape;
        for (y, x) in y.chunks_exact_mut(shape.y * inner).zip(x.chunks_exact(shape.x * inner)) {
            let table = index.chunks_exact(taps).zip(weight.chunks_exact(taps));
            for (y, (index, weight)) in y.chunks_exact_mut(inner).zip(table) {
                if inner == 1 {
                    y[0] = one(x, index, weight);
                    continue;
                }
                let mut first = 0;
                while first + WIDE * LANES <= inner {
                    row::<S, WIDE>(s, y, x, index, weight, first);
                    first += WIDE * LANES;
                }
                while first < inner {
                    row::<S, 1>(s, y, x, index, weight, first);
                    first += LANES;
                }
            }
        }
    }
}

/// The sum of one element where each is a row of its own.
#[inline(always)]
fn one(x: &[f32], index: &[u32], weight: &[f32]) -> f32 {
    let mut sum = weight[0] * x[index[0] as usize];
    for (&i, &w) in index.iter().zip(weight).skip(1) {
        sum = float::mul_add(w, x[i as usize], sum);
    }
    sum
}

/// Up to `V` vectors of a row from `first` on.
#[inline(always)]
fn row<S: Simd, const V: usize>(s: S, y: &mut [f32], x: &[f32], index: &[u32], weight: &[f32], first: usize) {
    let inner = y.len();
    let len = (inner - first).min(V * LANES);
    let mask = s.mask_first(len - (V - 1) * LANES);
    let mut acc = [s.zero(); V];
    for (t, (&i, &w)) in index.iter().zip(weight).enumerate() {
        let x = x[i as usize * inner + first..][..len].as_ptr();
        let w = s.splat(w);
        for (v, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the slice has `len` elements; lanes of the last vector past it are masked.
            let x = unsafe {
                if v + 1 < V {
                    s.load_ptr(x.add(v * LANES))
                } else {
                    s.load_masked_ptr(x.add(v * LANES), mask, s.zero())
                }
            };
            *acc = if t == 0 { s.mul(w, x) } else { s.mul_add(w, x, *acc) };
        }
    }
    let y = y[first..][..len].as_mut_ptr();
    for (v, &acc) in acc.iter().enumerate() {
        // SAFETY: as above.
        unsafe {
            if v + 1 < V {
                s.store_ptr(acc, y.add(v * LANES));
            } else {
                s.store_first_ptr(acc, y.add(v * LANES), len - v * LANES);
            }
        }
    }
}
