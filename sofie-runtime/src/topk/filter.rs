//! Rows of `f32` with small k, sixteen rows at a time:
//! 1. Cut each row into 16, 32, 64 or 256 groups (columns modulo that) and take each group's best.
//! 2. Turn the sixteen rows into lanes and sort their group bests by a network: the k-th of them is a bound
//!    that at least k elements of the row reach, and on long random rows few more (11 expected for k = 8, 24
//!    for 17: the draws until so many groups have been hit).
//! 3. Collect the elements that reach the bound and count, for each, how many of them come before it: that is
//!    its place in the result.
//!
//! No step branches on the data but the loop over the candidates' bits, and where many columns are candidates: of
//! those that equal the bound (padded particles are all alike) the first k are enough. Rows with NaN or with too many
//! candidates still go through the heap. 128 rows of 128 with k = 17 take 27 µs (Zen 4, AVX-512), in ONNX Runtime 64 µs.

use super::{TopK, heap};
use crate::simd::{self, LANES, Op, Simd};

/// Vectors of groups for a given k, so that about k of the groups hold one of the k best; `None` where the
/// heap is better.
fn vectors(k: usize) -> Option<usize> {
    match k {
        0..=9 => Some(1),
        10..=20 => Some(2),
        21..=40 => Some(4),
        41..=160 => Some(16),
        _ => None,
    }
}

/// Whether this form covers the descriptor.
pub(super) fn suits(top: &TopK) -> bool {
    vectors(top.k).is_some() && i32::try_from(top.n).is_ok()
}

/// All rows.
/// # Safety
/// [`TopK::check`] must have passed for `x` and, unless it is null, `values`; [`suits`] must hold.
pub(super) unsafe fn rows(top: &TopK, values: *mut f32, indices: &mut [i64], x: *const f32) {
    simd::dispatch(Filter { top, values, indices, x });
}

struct Filter<'a> {
    top: &'a TopK,
    values: *mut f32,
    indices: &'a mut [i64],
    x: *const f32,
}

impl Op for Filter<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: whoever made `Filter` checked the slices.
        unsafe {
            match (vectors(self.top.k), self.top.largest) {
                (Some(1), true) => self.run_with::<S, 1, 64, true>(s),
                (Some(1), false) => self.run_with::<S, 1, 64, false>(s),
                (Some(2), true) => self.run_with::<S, 2, 64, true>(s),
                (Some(2), false) => self.run_with::<S, 2, 64, false>(s),
                (Some(4), true) => self.run_with::<S, 4, 128, true>(s),
                (Some(4), false) => self.run_with::<S, 4, 128, false>(s),
                (_, true) => self.run_with::<S, 16, 512, true>(s),
                (_, false) => self.run_with::<S, 16, 512, false>(s),
            }
        }
    }
}

impl Filter<'_> {
    /// `V` vectors of groups a row; `M` candidates at most, as with more of them (ties) the heap is faster.
    /// # Safety
    /// The slices must hold what the descriptor reaches.
    #[inline(always)]
    unsafe fn run_with<S: Simd, const V: usize, const M: usize, const LARGEST: bool>(self, s: S) {
        let TopK { rows, n, k, ldx, .. } = *self.top;
        for first in (0..rows).step_by(LANES) {
            let block = LANES.min(rows - first);
            let mut nan = 0u16;
            let mut best = [[s.splat(f32::NEG_INFINITY); LANES]; V];
            for r in 0..block {
                // SAFETY: row `first + r`.
                let x = unsafe { core::slice::from_raw_parts(self.x.add((first + r) * ldx), n) };
                let (row, has_nan) = group_bests::<S, V, LARGEST>(s, x);
                for (best, row) in best.iter_mut().zip(row) {
                    best[r] = row;
                }
                nan |= (has_nan as u16) << r;
            }
            // From here on a vector is a group and a lane is a row.
            for best in &mut best {
                s.transpose(best);
            }
            let groups = best.as_flattened_mut();
            match V {
                1 => sort(s, groups, &NET16),
                2 => sort(s, groups, &NET32),
                4 => sort(s, groups, &NET64),
                _ => sort(s, groups, &NET256),
            }
            let bounds = s.to_array(groups[k - 1]);
            for (r, &bound) in bounds.iter().enumerate().take(block) {
                let at = first + r;
                // SAFETY: row `at` of each.
                let x = unsafe { core::slice::from_raw_parts(self.x.add(at * ldx), n) };
                let indices = &mut self.indices[at * k..][..k];
                if nan >> r & 1 == 1 || !rank::<S, M, LARGEST>(s, x, bound, indices) {
                    heap::row(x, indices, LARGEST);
                }
                if !self.values.is_null() {
                    // SAFETY: `at < rows`; indices are below `n`.
                    let values = unsafe { core::slice::from_raw_parts_mut(self.values.add(at * k), k) };
                    for (v, &i) in values.iter_mut().zip(&*indices) {
                        // SAFETY: as above.
                        *v = unsafe { *x.get_unchecked(i as usize) };
                    }
                }
            }
        }
    }
}

/// 16 elements from column `c` on, negated when the smallest are wanted; −∞ past the end of the row.
#[inline(always)]
fn load<S: Simd, const LARGEST: bool>(s: S, x: &[f32], c: usize) -> S::F32 {
    if x.len() - c >= LANES {
        // SAFETY: 16 elements are left.
        let v = unsafe { s.load_ptr(x.as_ptr().add(c)) };
        if LARGEST { v } else { s.neg(v) }
    } else if LARGEST {
        s.load_part(&x[c..], f32::NEG_INFINITY)
    } else {
        s.neg(s.load_part(&x[c..], f32::INFINITY))
    }
}

/// The best element of each group of columns, and whether the row has a NaN.
#[inline(always)]
fn group_bests<S: Simd, const V: usize, const LARGEST: bool>(s: S, x: &[f32]) -> ([S::F32; V], bool) {
    let mut best = [s.splat(f32::NEG_INFINITY); V];
    let mut nan = s.mask_first(0);
    for c in (0..x.len()).step_by(V * LANES) {
        for (i, best) in best.iter_mut().enumerate() {
            let c = c + i * LANES;
            if c < x.len() {
                let v = load::<S, LARGEST>(s, x, c);
                nan = s.mask_or(nan, s.is_nan(v));
                *best = s.max_raw(*best, v);
            }
        }
    }
    (best, s.any(nan))
}

/// A bit for each of the 64 columns from `first` on that `test` holds for.
#[inline(always)]
fn bits_of<S: Simd, const LARGEST: bool>(
    s: S,
    x: &[f32],
    first: usize,
    test: impl Fn(S::F32) -> S::Mask,
) -> u64 {
    let mut bits = 0u64;
    for v in 0..4 {
        let c = first + v * LANES;
        if c < x.len() {
            bits |= (s.mask_bits(test(load::<S, LARGEST>(s, x, c))) as u64) << (v * LANES);
        }
    }
    if x.len() - first < 64 { bits & ((1 << (x.len() - first)) - 1) } else { bits }
}

/// The lowest `n` of the bits.
fn lowest(bits: u64, n: usize) -> u64 {
    let mut rest = bits;
    for _ in 0..n.min(64) {
        rest &= rest.wrapping_sub(1);
    }
    bits ^ rest
}

/// Candidates among 64 columns from which on those that equal the bound are counted: few of them reach it otherwise.
const MANY: usize = 12;

/// Puts the columns that reach `bound` in their order; `false` when they are too many.
#[inline(always)]
fn rank<S: Simd, const M: usize, const LARGEST: bool>(
    s: S,
    x: &[f32],
    bound: f32,
    indices: &mut [i64],
) -> bool {
    let mut columns = [0u32; M];
    let mut keys = [f32::NEG_INFINITY; M];
    let (mut m, mut equal) = (0, 0);
    let limit = s.splat(bound);
    // 64 columns a step, so that the loop over bits, whose length nobody can predict, starts seldom.
    for first in (0..x.len()).step_by(4 * LANES) {
        let mut bits = bits_of::<S, LARGEST>(s, x, first, |v| s.ge(v, limit));
        if bits.count_ones() as usize > MANY {
            let ties = bits_of::<S, LARGEST>(s, x, first, |v| s.eq(v, limit));
            let kept = lowest(ties, indices.len() - equal);
            equal += kept.count_ones() as usize;
            bits ^= ties ^ kept;
        }
        if m + bits.count_ones() as usize > M {
            return false;
        }
        while bits != 0 {
            let c = first + bits.trailing_zeros() as usize;
            // SAFETY: bits are set below the row's end, and `m` stays below `M` as just checked.
            unsafe {
                let v = *x.get_unchecked(c);
                *columns.get_unchecked_mut(m) = c as u32;
                *keys.get_unchecked_mut(m) = if LARGEST { v } else { -v };
            }
            m += 1;
            bits &= bits - 1;
        }
    }
    let vectors = m.div_ceil(LANES);
    for i in 0..m {
        let key = s.splat(keys[i]);
        let mut place = 0;
        for v in 0..vectors {
            // SAFETY: `v * 16 + 16 <= M`.
            let others = unsafe { s.load_ptr(keys.as_ptr().add(v * LANES)) };
            // Equal ones come first if they stand before this one.
            let before = s.mask_first(i.saturating_sub(v * LANES));
            let better = s.mask_or(s.lt(key, others), s.mask_and(s.eq(key, others), before));
            place += s.mask_bits(better).count_ones() as usize;
        }
        if let Some(index) = indices.get_mut(place) {
            *index = columns[i] as i64;
        }
    }
    true
}

/// Sorts vectors lane by lane, largest first.
#[inline(always)]
fn sort<S: Simd>(s: S, v: &mut [S::F32], network: &[(u8, u8)]) {
    for &(i, j) in network {
        let (i, j) = (i as usize, j as usize);
        let (a, b) = (v[i], v[j]);
        v[i] = s.max_raw(a, b);
        v[j] = s.min_raw(a, b);
    }
}

static NET16: [(u8, u8); 63] = batcher(16);
static NET32: [(u8, u8); 191] = batcher(32);
static NET64: [(u8, u8); 543] = batcher(64);
static NET256: [(u8, u8); 3839] = batcher(256);

/// Batcher's odd-even merge sort of `n` elements (a power of two): Knuth, TAOCP 3, 5.2.2, algorithm M.
const fn batcher<const C: usize>(n: usize) -> [(u8, u8); C] {
    let mut net = [(0, 0); C];
    let mut len = 0;
    let mut p = 1;
    while p < n {
        let mut k = p;
        while k >= 1 {
            let mut j = k % p;
            while j + k < n {
                let mut i = 0;
                while i < k && i + j + k < n {
                    if (i + j) / (2 * p) == (i + j + k) / (2 * p) {
                        net[len] = ((i + j) as u8, (i + j + k) as u8);
                        len += 1;
                    }
                    i += 1;
                }
                j += 2 * k;
            }
            k /= 2;
        }
        p *= 2;
    }
    assert!(len == C);
    net
}
