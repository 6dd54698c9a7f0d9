//! Scaled dot-product attention, `softmax(scale · q·kᵀ + mask) · v`, head by head, without ever holding more
//! scores than a block of rows has.
//!
//! Every tensor has a stride for each of its axes, so heads are read where a projection `[B, L, H·D]` left them,
//! 32 queries at a time; a few queries alone, as when a language model makes its next token, go one by one.

mod blocks;
mod columns;
mod direct;
mod softmax;
#[cfg(test)]
mod tests;

use core::ops::Range;

use crate::parallel::{self, share, with_scratch};
use crate::simd::{self, LANES};

/// `q [B, H, L, D], k [B, G, S, D], v [B, G, S, E], mask [b, h, L, S] → y [B, H, L, E]`; H is a multiple of G,
/// and H / G heads in a row share keys and values. Strides count floats.
///
/// Terms of a softmax below e^-87.7 of its largest are 0. A query that the mask hides every key from is NaN, as a
/// softmax of nothing but −∞ is (ONNX Runtime's decomposed graph says so too); with no keys at all y is 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// B.
    pub batch: usize,
    /// H: heads of queries.
    pub heads: usize,
    /// G: heads of keys and values.
    pub groups: usize,
    /// L: queries of a head.
    pub queries: usize,
    /// S: keys of a head.
    pub keys: usize,
    /// D: extent of a query and of a key.
    pub depth: usize,
    /// E: extent of a value.
    pub width: usize,
    /// Factor of the products before the mask.
    pub scale: f32,
    /// Query i sees keys up to `i + S - L` alone.
    pub causal: bool,
    /// A query whose softmax is NaN, as where it sees no key, gives zeros.
    pub guarded: bool,
    /// Strides of q along B, H, L, D.
    pub q: [usize; 4],
    /// Strides of k along B, G, S, D.
    pub k: [usize; 4],
    /// Strides of v along B, G, S, E.
    pub v: [usize; 4],
    /// Strides of the mask along B, H, L, S, 0 where it is broadcast; none where there is no mask.
    pub mask: Option<[usize; 4]>,
    /// The mask is not added: where it is not 0, it stands in place of the score.
    pub replace: bool,
    /// Strides of y along B, H, L; along E it is dense.
    pub y: [usize; 3],
}

/// Up to so many queries go one by one: sixteen lanes would be mostly empty.
const FEW: usize = 3;

/// Vectors of queries that meet a key at once, since reading a key takes as long as one product with it.
const BLOCK: usize = 2;

impl Attention {
    /// Runs the attention. `mask` is empty where the descriptor has none.
    ///
    /// # Panics
    /// When a slice is too short for the descriptor.
    pub fn run(&self, y: &mut [f32], q: &[f32], k: &[f32], v: &[f32], mask: &[f32], scratch: &mut [f32]) {
        let &Attention { batch, heads, groups, queries, keys, depth, width, .. } = self;
        assert!(
            groups != 0 && heads.is_multiple_of(groups) || heads == 0,
            "attention: heads do not share evenly"
        );
        assert!(q.len() >= extent([batch, heads, queries, depth], self.q), "attention: q is too short");
        assert!(k.len() >= extent([batch, groups, keys, depth], self.k), "attention: k is too short");
        assert!(v.len() >= extent([batch, groups, keys, width], self.v), "attention: v is too short");
        if let Some(strides) = self.mask {
            assert!(
                mask.len() >= extent([batch, heads, queries, keys], strides),
                "attention: the mask is too short"
            );
        }
        let [b, h, l] = self.y;
        assert!(y.len() >= extent([batch, heads, queries, width], [b, h, l, 1]), "attention: y is too short");
        assert!(scratch.len() >= self.scratch(), "attention: too little scratch");
        if batch == 0 || heads == 0 || queries == 0 || width == 0 {
            return;
        }
        let (q, k, v, mask) = (q.as_ptr(), k.as_ptr(), v.as_ptr(), mask.as_ptr());
        let heads = Heads { at: self, y: y.as_mut_ptr(), q, k, v, mask };
        let units = batch * self.heads * self.blocks();
        let products = 2usize.saturating_mul(batch * self.heads).saturating_mul(queries).saturating_mul(keys);
        let parts = parallel::parts(products.saturating_mul(depth + width), units);
        if parts == 1 {
            return heads.run(0..units, scratch);
        }
        parallel::for_each(parts, |i| {
            with_scratch(self.scratch(), |scratch| heads.run(share(units, 1, parts, i), scratch));
        });
    }

    /// Blocks of queries of a head that are computed apart from each other.
    const fn blocks(&self) -> usize {
        if self.is_direct() { 1 } else { self.queries.div_ceil(BLOCK * LANES) }
    }

    /// Vectors of a block of queries.
    const fn block(&self) -> usize {
        if self.queries > LANES { BLOCK } else { 1 }
    }

    /// Floats of scratch that [`Attention::run`] needs.
    #[must_use]
    pub const fn scratch(&self) -> usize {
        if self.is_direct() {
            return self.row();
        }
        let copied = if self.copies_keys() { self.keys * self.depth } else { 0 };
        (self.depth + self.keys + self.width.next_multiple_of(LANES)) * self.block() * LANES + copied
    }

    /// Floats of scratch that suffice for all extents from those of `least` to these: blocks are chosen by the extents, so
    /// that smaller ones may need more.
    #[must_use]
    pub fn scratch_within(&self, least: &Attention) -> usize {
        // More than a few queries need more than few do, and copied keys more than others.
        let copied = if least.k[2] == self.k[2] { self.k[2] } else { 1024 };
        let strides = [self.k, [self.k[0], self.k[1], copied, self.k[3]]];
        let queries = [self.queries, self.queries.max(4 * FEW)];
        let all =
            queries.into_iter().flat_map(|queries| strides.map(|k| Attention { queries, k, ..self.clone() }));
        all.map(|attention| attention.scratch()).max().unwrap_or(0)
    }

    /// Whether keys are copied side by side first: at a stride that is a multiple of 4 KiB the rows of a tile fall
    /// into one set of L1 and evict each other.
    const fn copies_keys(&self) -> bool {
        self.k[3] == 1 && self.k[2] != 0 && self.k[2].is_multiple_of(1024) && self.keys > 8
    }

    /// Floats of a row of scores: whole vectors.
    const fn row(&self) -> usize {
        self.keys.next_multiple_of(LANES)
    }

    const fn is_direct(&self) -> bool {
        self.queries <= FEW && self.k[3] == 1 && self.v[3] == 1 && self.q[3] == 1
    }

    /// Keys that query `i` sees.
    #[inline(always)]
    fn visible(&self, i: usize) -> usize {
        if self.causal { (i + 1 + self.keys).saturating_sub(self.queries).min(self.keys) } else { self.keys }
    }
}

/// A checked run.
struct Heads<'a> {
    at: &'a Attention,
    y: *mut f32,
    q: *const f32,
    k: *const f32,
    v: *const f32,
    mask: *const f32,
}

// SAFETY: the pointers are those of checked slices that are borrowed while the parts run, and no two parts write the
// same rows of y.
unsafe impl Sync for Heads<'_> {}

/// Some blocks of queries, head by head, with scratch of their own.
struct Part<'a> {
    heads: &'a Heads<'a>,
    units: Range<usize>,
    scratch: *mut f32,
}

/// Where one head of one batch element stands.
#[derive(Clone, Copy)]
struct Head {
    y: *mut f32,
    q: *const f32,
    k: *const f32,
    v: *const f32,
    mask: *const f32,
}

impl Heads<'_> {
    fn run(&self, units: Range<usize>, scratch: &mut [f32]) {
        let part = Part { heads: self, units, scratch: scratch.as_mut_ptr() };
        if self.at.is_direct() {
            simd::dispatch(direct::Direct(part))
        } else {
            simd::dispatch(blocks::Blocks(part))
        }
    }

    /// Head `h` of element `b`.
    #[inline(always)]
    fn head(&self, b: usize, h: usize) -> Head {
        let at = self.at;
        let g = h / (at.heads / at.groups);
        let [mb, mh, ..] = at.mask.unwrap_or([0; 4]);
        Head {
            y: self.y.wrapping_add(b * at.y[0] + h * at.y[1]),
            q: self.q.wrapping_add(b * at.q[0] + h * at.q[1]),
            k: self.k.wrapping_add(b * at.k[0] + g * at.k[1]),
            v: self.v.wrapping_add(b * at.v[0] + g * at.v[1]),
            mask: self.mask.wrapping_add(b * mb + h * mh),
        }
    }
}

/// Floats from the first to the last element; huge if it overflows.
fn extent(dims: [usize; 4], strides: [usize; 4]) -> usize {
    if dims.contains(&0) {
        return 0;
    }
    dims.iter()
        .zip(strides)
        .fold(1usize, |n, (&dim, stride)| n.saturating_add((dim - 1).saturating_mul(stride)))
}
