//! The softmax of a panel of scores, queries in the lanes and keys down the rows, in place and not yet divided by its
//! sums, which is left to the product's result: that has fewer elements.

use super::Attention;
use crate::math;
use crate::simd::{LANES, Op, Simd};

/// Turns the panel's scores into `e^(scale · score + mask - max)` and gives back the sums.
pub(super) struct Softmax<'a> {
    pub at: &'a Attention,
    /// `[keys, 16]`.
    pub scores: *mut f32,
    /// The mask of the first query and key.
    pub mask: *const f32,
    /// Keys that the last query sees.
    pub keys: usize,
    /// The number of the first query.
    pub first: usize,
    /// Queries that exist, up to 16.
    pub n: usize,
}

/// How the mask lies.
#[derive(Clone, Copy)]
enum Mask {
    None,
    /// The same for all queries: the stride from a key to the next.
    Keys(usize),
    /// Queries side by side: the stride from a key to the next.
    Queries(usize),
    /// Keys side by side: the stride from a query to the next.
    Rows(usize),
    /// Neither: strides along queries and keys.
    Apart(usize, usize),
}

impl Op for Softmax<'_> {
    type Output = [f32; LANES];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f32; LANES] {
        let mask = match self.at.mask {
            None => Mask::None,
            Some([.., 0, key]) => Mask::Keys(key),
            Some([.., 1, key]) => Mask::Queries(key),
            Some([.., query, 1]) => Mask::Rows(query),
            Some([.., query, key]) => Mask::Apart(query, key),
        };
        // Keys that nothing hides.
        let open = match self.at {
            Attention { replace: true, .. } => 0,
            Attention { causal: true, .. } => self.at.visible(self.first),
            _ => self.keys,
        };
        let mut max = s.splat(f32::NEG_INFINITY);
        let mut key = 0;
        while key < self.keys {
            let rows = LANES.min(self.keys - key);
            // SAFETY: the panel has `keys` rows of 16, the mask `n` queries of so many keys.
            unsafe {
                max = match mask {
                    Mask::None if key + rows <= open => self.plain::<S, 0>(s, key, rows, 0, max),
                    Mask::Keys(stride) if key + rows <= open => self.plain::<S, 1>(s, key, rows, stride, max),
                    Mask::Rows(stride) if key + LANES <= open => self.block(s, key, stride, max),
                    _ => self.scaled(s, key, rows, mask, max),
                };
            }
            key += rows;
        }
        // Four sums, so that their rounding stays small where keys are many.
        let mut sums = [s.zero(); 4];
        let mut key = 0;
        while key < self.keys {
            let rows = 4.min(self.keys - key);
            for (i, sum) in sums.iter_mut().enumerate().take(rows) {
                let at = self.scores.wrapping_add((key + i) * LANES);
                // SAFETY: the panel has `keys` rows of 16.
                unsafe {
                    let e = math::exp_of_negative(s, s.sub(s.load_ptr(at), max));
                    s.store_ptr(e, at);
                    *sum = s.add(*sum, e);
                }
            }
            key += rows;
        }
        let [a, b, c, d] = sums;
        s.to_array(s.add(s.add(a, b), s.add(c, d)))
    }
}

impl Softmax<'_> {
    /// What [`Softmax::scaled`] does to 16 keys, whose mask changes sides in registers.
    ///
    /// # Safety
    /// The keys exist in the panel, and in the mask side by side.
    #[inline(always)]
    unsafe fn block<S: Simd>(&self, s: S, key: usize, stride: usize, mut max: S::F32) -> S::F32 {
        let scale = s.splat(self.at.scale);
        let mut block = [s.zero(); LANES];
        // SAFETY: the caller's promise; queries that do not exist are read as the last one.
        unsafe {
            for (i, x) in block.iter_mut().enumerate() {
                *x = s.load_ptr(self.mask.add(i.min(self.n - 1) * stride + key));
            }
            s.transpose(&mut block);
            for (i, &m) in block.iter().enumerate() {
                let at = self.scores.add((key + i) * LANES);
                let x = s.mul_add(s.load_ptr(at), scale, m);
                s.store_ptr(x, at);
                max = s.max_raw(x, max);
            }
        }
        max
    }

    /// What [`Softmax::scaled`] does to keys without a mask (`KIND` 0) or with one number each (1).
    ///
    /// # Safety
    /// The keys exist in the panel and in the mask.
    #[inline(always)]
    unsafe fn plain<S: Simd, const KIND: usize>(
        &self,
        s: S,
        key: usize,
        rows: usize,
        stride: usize,
        mut max: S::F32,
    ) -> S::F32 {
        let scale = s.splat(self.at.scale);
        for i in key..key + rows {
            let at = self.scores.wrapping_add(i * LANES);
            // SAFETY: the caller's promise.
            unsafe {
                let score = s.load_ptr(at);
                let x = match KIND {
                    0 => s.mul(score, scale),
                    _ => s.mul_add(score, scale, s.splat(*self.mask.add(i * stride))),
                };
                s.store_ptr(x, at);
                max = s.max_raw(x, max);
            }
        }
        max
    }

    /// Scales and masks up to 16 keys; gives the largest so far, NaN passed over (it comes back in the sum).
    ///
    /// # Safety
    /// The keys exist in the panel and in the mask.
    #[inline(always)]
    unsafe fn scaled<S: Simd>(&self, s: S, key: usize, rows: usize, mask: Mask, mut max: S::F32) -> S::F32 {
        let scale = s.splat(self.at.scale);
        let mut block = [s.zero(); LANES];
        // SAFETY: the caller's promise.
        unsafe {
            self.mask_block(s, key, rows, mask, &mut block);
            for (i, &m) in block.iter().enumerate().take(rows) {
                let at = self.scores.add((key + i) * LANES);
                let score = s.load_ptr(at);
                let x = match mask {
                    Mask::None => s.mul(score, scale),
                    _ if self.at.replace => s.select(s.eq(m, s.zero()), s.mul(score, scale), m),
                    _ => s.mul_add(score, scale, m),
                };
                let x = if self.at.causal { self.seen(s, key + i, x) } else { x };
                s.store_ptr(x, at);
                max = s.max_raw(x, max);
            }
        }
        max
    }

    /// The score of a key where the queries see it, else minus infinity.
    #[inline(always)]
    fn seen<S: Simd>(&self, s: S, key: usize, x: S::F32) -> S::F32 {
        // Query i sees the keys below i + 1 + S - L.
        let hidden = (key + self.at.queries).saturating_sub(self.first + self.at.keys).min(LANES);
        s.select(s.mask_first(hidden), s.splat(f32::NEG_INFINITY), x)
    }

    /// The mask of up to 16 keys, queries in the lanes.
    ///
    /// # Safety
    /// The keys exist in the mask.
    #[inline(always)]
    unsafe fn mask_block<S: Simd>(
        &self,
        s: S,
        key: usize,
        rows: usize,
        mask: Mask,
        block: &mut [S::F32; LANES],
    ) {
        let n = self.n;
        // SAFETY: the caller's promise; queries that do not exist are read as the last one, or not at all.
        unsafe {
            match mask {
                Mask::None => {}
                Mask::Keys(stride) => {
                    for (i, x) in block.iter_mut().enumerate().take(rows) {
                        *x = s.splat(*self.mask.add((key + i) * stride));
                    }
                }
                Mask::Queries(stride) => {
                    let queries = s.mask_first(n);
                    for (i, x) in block.iter_mut().enumerate().take(rows) {
                        *x = s.load_masked_ptr(self.mask.add((key + i) * stride), queries, s.zero());
                    }
                }
                Mask::Rows(stride) => {
                    let keys = s.mask_first(rows);
                    for (i, x) in block.iter_mut().enumerate() {
                        let at = self.mask.add(i.min(n - 1) * stride + key);
                        *x = s.load_masked_ptr(at, keys, s.zero());
                    }
                    s.transpose(block);
                }
                Mask::Apart(query, stride) => {
                    for (i, x) in block.iter_mut().enumerate().take(rows) {
                        let mut lanes = [0.0; LANES];
                        for (j, lane) in lanes.iter_mut().enumerate().take(n) {
                            *lane = *self.mask.add(j * query + (key + i) * stride);
                        }
                        *x = s.load(&lanes);
                    }
                }
            }
        }
    }
}
