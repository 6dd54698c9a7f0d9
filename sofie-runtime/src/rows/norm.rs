//! Layer and root-mean-square normalisation: the mean first, then the squares of what is left, as the
//! one-pass formula loses digits where the mean is large.

use super::{Tail, load, store, vectors};
use crate::simd::{LANES, Simd};

/// Sums of a row that run side by side, so that one addition need not wait for the other: vector `i` goes to sum
/// `i % SUMS`, what is left over at the end to the first.
const SUMS: usize = 4;

/// Runs `$body` for each vector of a row of `$n` with its position, its tail and the sum that it goes to.
macro_rules! summed {
    ($s:expr, $n:expr, |$i:ident, $tail:ident, $sum:ident of $sums:ident| $body:expr) => {{
        let mut at = 0;
        while at + SUMS * LANES <= $n {
            for (j, $sum) in $sums.iter_mut().enumerate() {
                let ($i, $tail) = (at + j * LANES, None::<Tail<S>>);
                $body;
            }
            at += SUMS * LANES;
        }
        let $sum = &mut $sums[0];
        let left = $n - at;
        vectors!($s, left, |j, $tail| {
            let $i = at + j;
            $body
        });
    }};
}

/// Rows that are normalised together: their sums are combined for all at once, and one root and one division serve
/// them all (64 rows of 64: 1.0 us instead of 1.25). Longer rows would not stay in L1 and go one by one.
pub(super) const fn together(n: usize) -> usize {
    if n <= 256 { LANES } else { 1 }
}

/// A few rows.
pub(super) struct Norm {
    /// Up to [`together`].
    pub rows: usize,
    pub n: usize,
    pub epsilon: f32,
    pub y: *mut f32,
    pub ldy: usize,
    pub x: *const f32,
    pub ldx: usize,
    /// Null: ones.
    pub scale: *const f32,
    /// Null: zeros.
    pub bias: *const f32,
}

impl Norm {
    /// Normalises the rows, each about its mean if they are `CENTRED`, else about 0.
    ///
    /// # Safety
    /// `y` and `x` hold the rows and may be the same; `scale` and `bias` hold `n` floats or are null.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd, const CENTRED: bool>(&self, s: S) {
        let (n, count, zero) = (self.n, s.splat(self.n as f32), s.zero());
        let (mut parts, mut means) = ([zero; LANES], [0.0; LANES]);
        // SAFETY: positions are below `n`, tails are masked.
        unsafe {
            if CENTRED {
                for (r, part) in parts.iter_mut().enumerate().take(self.rows) {
                    let x = self.x.add(r * self.ldx);
                    let mut sums = [zero; SUMS];
                    summed!(s, n, |i, tail, sum of sums| *sum = s.add(*sum, load(s, x.add(i), tail, zero)));
                    *part = folded(s, &sums);
                }
                means = s.to_array(s.div(totals(s, &mut parts, self.rows), count));
            }
            for (r, part) in parts.iter_mut().enumerate().take(self.rows) {
                let (x, mean) = (self.x.add(r * self.ldx), s.splat(means[r]));
                let mut sums = [zero; SUMS];
                summed!(s, n, |i, tail, sum of sums| {
                    // Lanes behind the row read the mean, and add nothing (NaN where it is NaN anyway).
                    let d = s.sub(load(s, x.add(i), tail, mean), mean);
                    *sum = s.mul_add(d, d, *sum);
                });
                *part = folded(s, &sums);
            }
            let variances = s.add(s.div(totals(s, &mut parts, self.rows), count), s.splat(self.epsilon));
            let factors = s.to_array(s.div(s.splat(1.0), s.sqrt(variances)));
            for r in 0..self.rows {
                let (y, x) = (self.y.add(r * self.ldy), self.x.add(r * self.ldx));
                let (mean, factor) = (s.splat(means[r]), s.splat(factors[r]));
                vectors!(s, n, |i, tail| {
                    let d = s.mul(s.sub(load(s, x.add(i), tail, zero), mean), factor);
                    store(s, affine(s, d, i, tail, self.scale, self.bias), y.add(i), tail);
                });
            }
        }
    }
}

/// The sum of the sums that ran side by side.
#[inline(always)]
fn folded<S: Simd>(s: S, [a, b, c, d]: &[S::F32; SUMS]) -> S::F32 {
    s.add(s.add(*a, *b), s.add(*c, *d))
}

/// The sum of all lanes of each row's part, in the rows' lanes: the tree of [`Simd::reduce_add`].
#[inline(always)]
fn totals<S: Simd>(s: S, parts: &mut [S::F32; LANES], rows: usize) -> S::F32 {
    if rows < 4 {
        let mut sums = [0.0; LANES];
        for (sum, part) in sums.iter_mut().zip(parts.iter()).take(rows) {
            *sum = s.reduce_add(*part);
        }
        return s.load(&sums);
    }
    s.transpose(parts);
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            parts[j] = s.add(parts[j], parts[j + half]);
        }
        half /= 2;
    }
    parts[0]
}

/// `v · scale + bias` with what is there of both.
///
/// # Safety
/// `scale` and `bias` hold the row's floats or are null.
#[inline(always)]
unsafe fn affine<S: Simd>(
    s: S,
    v: S::F32,
    i: usize,
    tail: Option<Tail<S>>,
    scale: *const f32,
    bias: *const f32,
) -> S::F32 {
    // SAFETY: the caller's promise.
    unsafe {
        match (scale.is_null(), bias.is_null()) {
            (true, true) => v,
            (false, true) => s.mul(v, load(s, scale.add(i), tail, s.zero())),
            (true, false) => s.add(v, load(s, bias.add(i), tail, s.zero())),
            (false, false) => {
                s.mul_add(v, load(s, scale.add(i), tail, s.zero()), load(s, bias.add(i), tail, s.zero()))
            }
        }
    }
}
