//! Many queries: sixteen at a time, one a lane. Their scores are a panel `[keys, 16]`, so that the softmax runs down
//! the lanes with nothing to reduce or to mask at its edges, and is itself the packed right side of the product with
//! the values, `yᵀ = vᵀ pᵀ`. Keys and values are read where they lie; only queries and results change sides.

use super::{Attention, Part, columns};
use crate::gemm::{PackPanels, Product};
use crate::simd::{LANES, Op, Simd};

pub(super) struct Blocks<'a>(pub(super) Part<'a>);

impl Op for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part { heads, units, scratch: queries } = self.0;
        let at = heads.at;
        let scores = queries.wrapping_add(at.depth * LANES);
        let sums = scores.wrapping_add(at.keys * LANES);
        let rows = sums.wrapping_add(at.width.next_multiple_of(LANES) * LANES);
        let (shared, blocks) = (at.heads / at.groups, at.blocks());
        // The keys that lie in the scratch.
        let mut copied = None;
        let mut unit = units.start;
        while unit < units.end {
            let (head, first) = (unit / blocks, unit % blocks);
            let (b, h) = (head / at.heads, head % at.heads);
            let place = heads.head(b, h);
            let (mut keys, mut key_row) = (place.k, at.k[2]);
            if at.copies_keys() {
                if copied != Some((b, h / shared)) {
                    // SAFETY: `Attention::run` checked the strides; the scratch has this part.
                    unsafe { copy_rows(rows, at.depth, place.k, at.k[2], at.keys) };
                    copied = Some((b, h / shared));
                }
                (keys, key_row) = (rows, at.depth);
            }
            let end = blocks.min(first + units.end - unit);
            unit += end - first;
            for block in first..end {
                let first = block * LANES;
                let n = LANES.min(at.queries - first);
                // The last query sees most.
                let visible = at.visible(first + n - 1);
                let (from, row, column) = (place.q.wrapping_add(first * at.q[2]), at.q[3], at.q[2]);
                s.outline(PackPanels { to: queries, from, k: at.depth, n, row, column });
                let products = Product {
                    m: visible,
                    k: at.depth,
                    n: LANES,
                    a: keys,
                    a_row: key_row,
                    a_step: at.k[3],
                    w: queries,
                    bias: core::ptr::null(),
                    c: scores,
                    ldc: LANES,
                    from_c: false,
                };
                s.outline(products);
                let mask = place.mask.wrapping_add(first * at.mask.unwrap_or([0; 4])[2]);
                let sum = s.outline(columns::Softmax { at, scores, mask, keys: visible, first, n });
                s.outline(Product {
                    m: at.width,
                    k: visible,
                    a: place.v,
                    a_row: at.v[3],
                    a_step: at.v[2],
                    w: scores,
                    c: sums,
                    ..products
                });
                let y = place.y.wrapping_add(first * at.y[2]);
                s.outline(Divide { y, row: at.y[2], n, sums, width: at.width, sum: &sum, at });
            }
        }
    }
}

/// Copies `n` rows of `len` floats, `stride` apart, so that they lie side by side.
///
/// # Safety
/// The rows exist, and `to` has room for them.
unsafe fn copy_rows(to: *mut f32, len: usize, from: *const f32, stride: usize, n: usize) {
    for row in 0..n {
        // SAFETY: the caller's promise.
        unsafe { core::ptr::copy_nonoverlapping(from.add(row * stride), to.add(row * len), len) };
    }
}

/// Writes rows of y from sums whose lanes are queries, divided by the sums of the softmax; no keys leave zeros.
struct Divide<'a> {
    y: *mut f32,
    row: usize,
    n: usize,
    sums: *const f32,
    width: usize,
    sum: &'a [f32; LANES],
    at: &'a Attention,
}

impl Op for Divide<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let sum = s.load(self.sum);
        let factor = if self.at.keys == 0 { s.zero() } else { s.div(s.splat(1.0), sum) };
        // What sees no key in a causal block has the sum 0, what a mask hides them from NaN.
        let nothing = s.mask_or(s.is_nan(sum), s.eq(sum, s.zero()));
        let mut e = 0;
        while e < self.width {
            let columns = LANES.min(self.width - e);
            let mask = s.mask_first(columns);
            let mut block = [s.zero(); LANES];
            // SAFETY: the sums have whole blocks of rows, of which those behind the width are never stored; y has
            // `n` rows of `width` floats.
            unsafe {
                for (i, x) in block.iter_mut().enumerate().take(columns) {
                    *x = s.mul(s.load_ptr(self.sums.add((e + i) * LANES)), factor);
                    if self.at.guarded {
                        *x = s.select(nothing, s.zero(), *x);
                    }
                }
                s.transpose(&mut block);
                for (i, &x) in block.iter().enumerate().take(self.n) {
                    let y = self.y.add(i * self.row + e);
                    if columns == LANES { s.store_ptr(x, y) } else { s.store_masked_ptr(x, y, mask) }
                }
            }
            e += LANES;
        }
    }
}
