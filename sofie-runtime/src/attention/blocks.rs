//! Many queries: one a lane, in one or two vectors. The scores of a vector are a panel `[keys, 16]`, so that the softmax
//! runs down the lanes with nothing to reduce or to mask at its edges, and is itself the packed right side of the product
//! with the values, `yᵀ = vᵀ pᵀ`. Keys and values are read where they lie; only queries and results change sides.

use super::{Attention, BLOCK, Part, columns};
use crate::gemm::{PackPanels, Product};
use crate::simd::{LANES, Op, Simd};

pub(super) struct Blocks<'a>(pub(super) Part<'a>);

impl Op for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Part { heads, units, scratch: queries } = self.0;
        let at = heads.at;
        let block = at.block() * LANES;
        let scores = queries.wrapping_add(at.depth * block);
        let sums = scores.wrapping_add(at.keys * block);
        // Whole blocks of rows, since results change sides in such.
        let sums_panel = at.width.next_multiple_of(LANES) * LANES;
        let rows = sums.wrapping_add(at.block() * sums_panel);
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
            for first in (first..end).map(|i| i * block) {
                let n = block.min(at.queries - first);
                let panels = n.div_ceil(LANES);
                // The last query sees most.
                let visible = at.visible(first + n - 1);
                let (from, row, column) = (place.q.wrapping_add(first * at.q[2]), at.q[3], at.q[2]);
                s.outline(PackPanels { to: queries, from, k: at.depth, n, row, column });
                let scores_panel = visible * LANES;
                let products = Product {
                    m: visible,
                    k: at.depth,
                    n: panels * LANES,
                    a: keys,
                    a_row: key_row,
                    a_step: at.k[3],
                    w: queries,
                    bias: core::ptr::null(),
                    c: scores,
                    ldc: LANES,
                    c_panel: scores_panel,
                    from_c: false,
                };
                s.outline(products);
                let mut sum = [[0.0; LANES]; BLOCK];
                for (i, sum) in sum.iter_mut().enumerate().take(panels) {
                    let (first, n) = (first + i * LANES, LANES.min(n - i * LANES));
                    let scores = scores.wrapping_add(i * scores_panel);
                    let mask = place.mask.wrapping_add(first * at.mask.unwrap_or([0; 4])[2]);
                    *sum = s.outline(columns::Softmax { at, scores, mask, keys: visible, first, n });
                }
                s.outline(Product {
                    m: at.width,
                    k: visible,
                    a: place.v,
                    a_row: at.v[3],
                    a_step: at.v[2],
                    w: scores,
                    c: sums,
                    c_panel: sums_panel,
                    ..products
                });
                for (i, sum) in sum.iter().enumerate().take(panels) {
                    let (first, n) = (first + i * LANES, LANES.min(n - i * LANES));
                    let y = place.y.wrapping_add(first * at.y[2]);
                    let sums = sums.wrapping_add(i * sums_panel);
                    s.outline(Divide { y, row: at.y[2], n, sums, width: at.width, sum, at });
                }
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
                    s.store_first_ptr(x, y, columns);
                }
            }
            e += LANES;
        }
    }
}
