//! The loops around the tile: blocks of k and n that fit the caches, rows shared out evenly over tiles.
//!
//! Order: block of k, block of n, tile of rows, tile of panels. The A rows of a tile stay in L1 while the
//! block of B streams past them from L2; sums travel between blocks of k through C, so the order of the
//! additions, and with it every bit, is that of one chain.

use core::ops::Range;

use super::pack::NR;
use super::tile::{self, A, Block, Mode, Place, StridedRows};
use crate::Act;
use crate::simd::Simd;

/// Steps of k in a block: 12 rows of A at this length are 24 kB.
pub(super) const KC: usize = 512;
/// Floats of B in a block of k and n: 256 kB, a quarter of L2 on current server cores.
const B_BLOCK: usize = 64 * 1024;

/// A product whose operands have been checked: every row, panel and column that it describes exists.
pub(super) struct Problem {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub ldc: usize,
    pub ldr: usize,
    pub act: Act,
    pub from_c: bool,
    pub c: *mut f32,
    pub w: *const f32,
    /// Null: zeros.
    pub bias: *const f32,
    /// Null: none.
    pub residual: *const f32,
}

/// Where the rows of A are.
pub(super) trait Source {
    /// How tiles read them.
    type Mode: Mode;

    /// The block of k that starts at `start`, at most [`KC`] long or so.
    fn block(&self, start: usize, k: usize) -> Range<usize>;
    /// The strides and pieces of that block.
    fn describe(&self, block: &mut Block);
    /// The rows from `row` on at the block's steps.
    fn locate(&mut self, row: usize, rows: usize, steps: &Range<usize>) -> A;
}

/// Rows of A at one stride, steps of k at another.
pub(super) struct Strided {
    pub a: *const f32,
    pub row: usize,
    pub step: usize,
}

impl Source for Strided {
    type Mode = StridedRows;

    #[inline(always)]
    fn block(&self, start: usize, k: usize) -> Range<usize> {
        start..k.min(start + KC)
    }
    #[inline(always)]
    fn describe(&self, block: &mut Block) {
        (block.a_row, block.a_step) = (self.row, self.step);
    }
    #[inline(always)]
    fn locate(&mut self, row: usize, _: usize, steps: &Range<usize>) -> A {
        A { strided: self.a.wrapping_add(row * self.row + steps.start * self.step) }
    }
}

/// Runs the whole product.
///
/// # Safety
/// Everything that `problem` and `source` describe exists and `c` overlaps nothing else.
#[inline(always)]
pub(super) unsafe fn drive<S: Simd, Src: Source>(s: S, problem: &Problem, source: &mut Src) {
    let p = problem;
    if p.m == 0 || p.n == 0 {
        return;
    }
    // An even share for each tile: 13 rows are 7 + 6 and not 12 + 1, which would leave the FMA units waiting.
    let tiles = p.m.div_ceil(tile::max_rows(S::LEVEL));
    let (share, taller) = if tiles == 1 { (p.m, 0) } else { (p.m / tiles, p.m % tiles) };

    let mut steps = source.block(0, p.k);
    loop {
        let (first, last) = (steps.start == 0, steps.end == p.k);
        let mut block = Block {
            k: steps.end - steps.start,
            a_row: 0,
            a_step: 0,
            piece: 0,
            panel: p.k * NR,
            ldc: p.ldc,
            ldr: p.ldr,
            from_c: p.from_c || !first,
            act: if last { p.act } else { Act::None },
        };
        source.describe(&mut block);
        let (bias, residual) = (p.bias, if last { p.residual } else { core::ptr::null() });
        // With one tile of rows nothing of B is read twice.
        let columns = if tiles == 1 { p.n } else { columns_of_block(block.k) };
        let mut column = 0;
        while column < p.n {
            let columns = columns.min(p.n - column);
            let mut row = 0;
            for tile in 0..tiles {
                let rows = share + usize::from(tile < taller);
                let a = source.locate(row, rows, &steps);
                let place = Place {
                    a,
                    w: p.w.wrapping_add(column * p.k + steps.start * NR),
                    bias: offset(bias, column),
                    residual: offset(residual, row * p.ldr + column),
                    c: p.c.wrapping_add(row * p.ldc + column),
                    columns: p.n - column,
                };
                // SAFETY: the caller's promise.
                unsafe { tile_row::<S, Src>(s, rows, columns, &block, place) };
                row += rows;
            }
            column += columns;
        }
        if last {
            return;
        }
        steps = source.block(steps.end, p.k);
    }
}

/// One tile's rows against the panels of a block, `columns` wide.
#[inline(always)]
unsafe fn tile_row<S: Simd, Src: Source>(s: S, rows: usize, columns: usize, block: &Block, mut place: Place) {
    let most = tile::max_panels(S::LEVEL, rows);
    let mut left = columns.div_ceil(NR);
    while left != 0 {
        // Two tiles of middling width rather than a full one and a single panel.
        let panels = if left <= most {
            left
        } else if left < 2 * most {
            left.div_ceil(2)
        } else {
            most
        };
        // SAFETY: the caller's promise; `panels` is at most `most`.
        unsafe { tile::run::<S, Src::Mode>(s, rows, panels, block, place) };
        let done = panels * NR;
        left -= panels;
        place.w = place.w.wrapping_add(panels * block.panel);
        place.bias = offset(place.bias, done);
        place.residual = offset(place.residual, done);
        place.c = place.c.wrapping_add(done);
        place.columns = place.columns.wrapping_sub(done);
    }
}

/// Columns of B in a block of so many steps of k: whole pairs of panels, as many as [`B_BLOCK`] allows.
fn columns_of_block(k: usize) -> usize {
    (B_BLOCK / k.max(1) / (2 * NR)).max(1) * (2 * NR)
}

/// `p + n`, null staying null.
#[inline(always)]
fn offset(p: *const f32, n: usize) -> *const f32 {
    if p.is_null() { p } else { p.wrapping_add(n) }
}
