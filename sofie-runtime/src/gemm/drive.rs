//! The loops around the tile: blocks of k and n that fit the caches, rows shared out evenly over tiles.
//!
//! Order: block of k, block of n, tile of rows, tile of panels. The A rows of a tile stay in L1 while the
//! block of B streams past them from L2; sums travel between blocks of k through C, so the order of the
//! additions, and with it every bit, is that of one chain.

use core::mem::MaybeUninit;
use core::ops::Range;

use super::finish::Finish;
use super::narrow::{self, Narrow};
use super::pack::NR;
use super::tile::{self, A, Block, Mode, Place, StridedRows};
use crate::Act;
use crate::simd::{Level, Simd, halves_are_faster};

/// Steps of k in a block: 12 rows of A at this length are 24 kB.
pub(super) const KC: usize = 512;
/// Floats of B in a block of k and n: 256 kB, a quarter of L2 on current server cores.
const B_BLOCK: usize = 64 * 1024;

/// Floats of A that L1 holds beside a block of B.
const IN_L1: usize = 8 * 1024;

/// Floats of C that may wait for their activation: 8 kB, a quarter of L1.
const TOGETHER: usize = 2048;

/// A product whose operands have been checked: every row, panel and column that it describes exists.
pub(super) struct Problem {
    pub m: usize,
    pub k: usize,
    pub n: usize,
    pub ldc: usize,
    /// [`Block::c_panel`]; `NR` where rows of C are whole, as they must be for what comes [later](Problem::later).
    pub c_panel: usize,
    pub ldr: usize,
    pub events: Events,
    pub lines: Lines,
    /// Multiplies the finished sums, residual and all.
    pub alpha: f32,
    pub act: Act,
    pub from_c: bool,
    pub c: *mut f32,
    pub w: *const f32,
    /// Null: zeros.
    pub bias: *const f32,
    /// Null: none.
    pub residual: *const f32,
}

impl Problem {
    /// What tiles do to finished sums in registers.
    #[inline(always)]
    pub(super) fn in_tile(&self) -> Act {
        if self.alpha == 1.0 && tile::in_registers(self.act) { self.act } else { Act::None }
    }

    /// The residual of a row of a product of one line, and how many rows there are from it to the end of its event.
    #[inline(always)]
    pub(super) fn residual_of(&self, row: usize) -> (*const f32, usize) {
        let Events { rows, lde, begun } = self.events;
        if self.residual.is_null() || rows == usize::MAX {
            return (offset(self.residual, row * self.ldr), usize::MAX);
        }
        let (event, row) = ((begun + row) / rows, (begun + row) % rows);
        (self.residual.wrapping_add(event * lde + row * self.ldr), rows - row)
    }

    /// Where the tile begins whose rows of A are `a`: at `row`, which is `at` as line and row of the line, and at the first of the
    /// columns that are left. Nothing is fetched ahead.
    #[inline(always)]
    fn place(
        &self,
        a: A,
        row: usize,
        [line, row_of_line]: [usize; 2],
        columns: Range<usize>,
        steps: &Range<usize>,
    ) -> Place {
        let column = columns.start;
        let (residual, left) = match self.lines.count {
            _ if steps.end != self.k => (core::ptr::null(), usize::MAX),
            1 => self.residual_of(row),
            _ => (offset(self.residual, line * self.lines.ldr + row_of_line * self.ldr), usize::MAX),
        };
        let w = self.w.wrapping_add(column * self.k + steps.start * NR);
        let c = line * self.lines.ldc + row_of_line * self.ldc + column / NR * self.c_panel;
        Place {
            a,
            w,
            ahead: w,
            bias: offset(self.bias, column),
            residual: offset(residual, column),
            left,
            c: self.c.wrapping_add(c),
            columns: columns.len(),
        }
    }

    /// What is done to finished sums after they have been stored.
    #[inline(always)]
    pub(super) fn later(&self) -> Option<(f32, Act)> {
        let all_done = self.alpha == 1.0 && tile::in_registers(self.act);
        (!all_done).then_some((self.alpha, self.act))
    }
}

/// Rows of C and the residual at two strides: equally many rows a line, lines at a stride of their own. Tiles do
/// not reach over the end of a line. A transposed convolution writes every other row of every other line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lines {
    /// Lines.
    pub count: usize,
    /// Floats from a line of C to the next.
    pub ldc: usize,
    /// Floats from a line of the residual to the next.
    pub ldr: usize,
}

impl Lines {
    /// All rows are one line.
    pub(crate) const ONE: Lines = Lines { count: 1, ldc: 0, ldr: 0 };
}

/// Rows of the residual at two strides, as rows of events: a row that all rows of an event add, or a table that all events
/// add. Tiles reach over the end of an event.
#[derive(Clone, Copy)]
pub(super) struct Events {
    /// Rows of an event, at least 1.
    pub rows: usize,
    /// Floats from the residual of an event to that of the next.
    pub lde: usize,
    /// Rows of the first event that stand before the problem's first row.
    pub begun: usize,
}

impl Events {
    /// One stride leads through all rows.
    pub(super) const NONE: Events = Events { rows: usize::MAX, lde: 0, begun: 0 };
}

/// Where the rows of A are.
pub(super) trait Source {
    /// How tiles read them.
    type Mode: Mode;
    /// Whether rows may be located again for [tall tails](tile::tall_tail).
    const TALL_TAILS: bool = true;

    /// The block of k that starts at `start`, at most [`KC`] long or so.
    fn block(&self, start: usize, k: usize) -> Range<usize>;
    /// The strides and pieces of that block.
    fn describe(&self, block: &mut Block);
    /// The rows from `row` on at the block's steps.
    fn locate(&mut self, row: usize, rows: usize, steps: &Range<usize>) -> A;
    /// Where row `row` begins, if rows of `k` steps follow each other nearly without gaps, and the stride between them.
    #[inline(always)]
    fn dense(&self, _row: usize, _k: usize) -> Option<(*const f32, usize)> {
        None
    }
}

/// Rows of A at one stride, steps of k at another.
#[derive(Clone, Copy)]
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
        (block.a_rows, block.a_step) = (tile::row_offsets(self.row), self.step);
    }
    #[inline(always)]
    fn locate(&mut self, row: usize, _: usize, steps: &Range<usize>) -> A {
        A { strided: self.a.wrapping_add(row * self.row + steps.start * self.step) }
    }
    #[inline(always)]
    fn dense(&self, row: usize, k: usize) -> Option<(*const f32, usize)> {
        (self.step == 1 && self.row <= 2 * k).then_some((self.a.wrapping_add(row * self.row), self.row))
    }
}

/// Rows at a stride that is a multiple of 4 KiB: all rows of a tile fall into one set of L1, which has fewer
/// ways than the tile has rows, so each step of k would evict what the next one needs (measured at 1024³: 97
/// GFLOP/s, 111 with the copy). The rows of a tile are copied to the stack, at a better stride, for each block.
struct Copied {
    a: Strided,
    rows: [MaybeUninit<f32>; COPIED_ROWS * COPIED_STRIDE],
}

/// Rows that there is room for: those of the tallest tile.
const COPIED_ROWS: usize = 12;
/// Steps of k in a block.
const COPIED_STEPS: usize = 256;
/// A line more than a row, so that neighbours lie in different sets.
const COPIED_STRIDE: usize = COPIED_STEPS + 16;

impl Copied {
    /// Whether the copy is worth its while.
    #[inline(always)]
    fn pays(a: &Strided, m: usize, n: usize, k: usize) -> bool {
        a.step == 1 && a.row.is_multiple_of(1024) && a.row != 0 && m > 8 && n >= 128 && k >= 64
    }
}

impl Source for Copied {
    type Mode = StridedRows;
    const TALL_TAILS: bool = false;

    #[inline(always)]
    fn block(&self, start: usize, k: usize) -> Range<usize> {
        start..k.min(start + COPIED_STEPS)
    }
    #[inline(always)]
    fn describe(&self, block: &mut Block) {
        (block.a_rows, block.a_step) = (tile::row_offsets(COPIED_STRIDE), 1);
    }
    #[inline(always)]
    fn locate(&mut self, row: usize, rows: usize, steps: &Range<usize>) -> A {
        assert!(rows <= COPIED_ROWS && steps.len() <= COPIED_STEPS);
        let to = self.rows.as_mut_ptr().cast::<f32>();
        for r in 0..rows {
            let from = self.a.a.wrapping_add((row + r) * self.a.row + steps.start);
            // SAFETY: the rows of A exist; the buffer has room for this many rows of this length.
            unsafe { core::ptr::copy_nonoverlapping(from, to.add(r * COPIED_STRIDE), steps.len()) };
        }
        A { strided: to }
    }
}

/// Runs the first `n` columns of the product.
///
/// # Safety
/// Everything that `problem` and `source` describe exists and `c` overlaps nothing else.
#[inline(always)]
pub(super) unsafe fn drive<S: Simd, Src: Source>(s: S, problem: &Problem, n: usize, source: &mut Src) {
    let p = problem;
    if p.m == 0 || n == 0 {
        return;
    }
    // An even share for each tile: 13 rows are 7 + 6 and not 12 + 1, which would leave the FMA units waiting.
    let rows = p.m / p.lines.count;
    // Columns that twice the rows of the others meet at once.
    let rest = if Src::TALL_TAILS { tile::tall_tail(S::LEVEL, n) } else { 0 };
    let most = if rest == n { tile::TALL } else { tile::max_rows(S::LEVEL, n.div_ceil(NR)) };
    let line_tiles = rows.div_ceil(most);
    let (share, taller) = if line_tiles == 1 { (rows, 0) } else { (rows / line_tiles, rows % line_tiles) };
    let tiles = p.lines.count * line_tiles;

    let mut steps = source.block(0, p.k);
    loop {
        let (first, last) = (steps.start == 0, steps.end == p.k);
        let mut block = Block {
            k: steps.end - steps.start,
            a_rows: [0; 5],
            a_step: 0,
            piece: 0,
            ahead_step: 0,
            near: false,
            panel: p.k * NR,
            ldc: p.ldc,
            c_panel: p.c_panel,
            ldr: p.ldr,
            event: p.events.rows,
            // From the row behind an event's last one.
            jump: p.events.lde.wrapping_sub(p.events.rows.wrapping_mul(p.ldr)),
            from_c: p.from_c || !first,
            halves: halves_are_faster(S::LEVEL),
            act: if last { p.in_tile() } else { Act::None },
        };
        source.describe(&mut block);
        let later = if last { p.later() } else { None };
        // With one tile of rows nothing of B is read twice.
        let columns = if tiles == 1 { n } else { columns_of_block(block.k) };
        let mut column = 0;
        while column < n {
            let columns = columns.min(n - column);
            // Each tile of rows fetches its share of the next block of B. Else the first one would wait for
            // memory alone (measured at 64 × 3072 × 768, AVX2: 20 to 90 GFLOP/s, as busy as L3 is; 100 so).
            let next = if column + columns < n {
                p.w.wrapping_add((column + columns) * p.k + steps.start * NR)
            } else if last {
                // What lies behind is the next matrix of a batch, or the weights of the next layer.
                p.w.wrapping_add(p.n.div_ceil(NR) * NR * p.k)
            } else {
                p.w.wrapping_add(steps.end * NR)
            };
            let wide = tile::max_panels(S::LEVEL, share);
            let streams = n <= 2 * NR && block.k == p.k && p.m * p.k > IN_L1;
            block.ahead_step = if tiles == 1 { 0 } else { wide * NR / tiles };
            // Whole rows can wait for each other: what was stored with a mask a moment ago is slow to read, and
            // short rows make better vectors together.
            let together = later.filter(|_| columns == n && p.lines.count == 1 && n < TOGETHER);
            let alone = if together.is_some() { None } else { later };
            // The rest is part of the last block.
            let rest = if column + columns == n { rest } else { 0 };
            let columns = columns - rest;
            let (mut finished, mut waiting) = (0, 0);
            let (mut row, mut line, mut row_of_line) = (0, 0, 0);
            for tile in 0..tiles {
                let rows = share + usize::from(tile - line * line_tiles < taller);
                if columns != 0 {
                    let a = source.locate(row, rows, &steps);
                    let mut place = p.place(a, row, [line, row_of_line], column..n, &steps);
                    place.ahead = next.wrapping_add(tile * wide * block.k / tiles * NR);
                    // Few columns leave no time for rows to come from L2 on demand (3025 × 128 × 16: 113 GFLOP/s, 135 so).
                    if streams && let Some((next, stride)) = source.dense(row + rows, p.k) {
                        place.ahead = next;
                        block.near = true;
                        block.ahead_step = rows * stride / p.k;
                    }
                    // SAFETY: the caller's promise.
                    unsafe { tile_row::<S, Src>(s, rows, columns, &block, place, alone) };
                }
                (row, row_of_line) = (row + rows, row_of_line + rows);
                let line_ends = row_of_line * p.lines.count == p.m;
                if rest != 0 {
                    waiting += rows;
                    if line_ends || waiting + share + usize::from(taller != 0) > tile::TALL {
                        let a = source.locate(row - waiting, waiting, &steps);
                        let at = [line, row_of_line - waiting];
                        let place = p.place(a, row - waiting, at, column + columns..n, &steps);
                        // SAFETY: the caller's promise.
                        unsafe { tile::run_tall::<S, Src::Mode>(s, waiting, &block, place) };
                        if let Some(later) = alone {
                            finish(s, waiting, 1, &block, &place, later);
                        }
                        waiting = 0;
                    }
                }
                if let Some((alpha, act)) = together
                    && waiting == 0
                    && (row == p.m || (row - finished) * n >= TOGETHER)
                {
                    let (c, rows) = (p.c.wrapping_add(finished * p.ldc), row - finished);
                    s.outline(Finish { c, ldc: p.ldc, rows, columns: n, alpha, act });
                    finished = row;
                }
                if line_ends {
                    (line, row_of_line) = (line + 1, 0);
                }
            }
            column += columns + rest;
        }
        if last {
            return;
        }
        steps = source.block(steps.end, p.k);
    }
}

/// Many rows at a stride.
///
/// # Safety
/// Everything that `problem` and `a` describe exists and `c` overlaps nothing else.
#[inline(always)]
pub(super) unsafe fn drive_strided<S: Simd>(s: S, problem: &Problem, mut a: Strided) {
    let mut n = problem.n;
    let narrow = if a.step == 1 { narrow::columns(S::LEVEL, problem.m, n, problem.k) } else { 0 };
    macro_rules! narrow {
        ($($n:literal)*) => {
            match narrow {
                $($n => s.outline(Narrow::<$n> { problem, a: &a }),)*
                _ => {}
            }
        };
    }
    if const { matches!(S::LEVEL, Level::Avx512) } {
        narrow! { 1 2 3 4 5 6 7 8 }
    } else {
        narrow! { 1 2 3 4 }
    }
    n -= narrow;
    // SAFETY: the caller's promise.
    unsafe {
        if Copied::pays(&a, problem.m, n, problem.k) {
            let rows = [MaybeUninit::uninit(); COPIED_ROWS * COPIED_STRIDE];
            drive(s, problem, n, &mut Copied { a, rows })
        } else {
            drive(s, problem, n, &mut a)
        }
    }
}

/// One row: B is read once, so there is nothing to block. `TURNS` says whether chains take turns.
///
/// # Safety
/// Everything that `problem` and `a` describe exists and `c` overlaps nothing else.
#[inline(always)]
pub(super) unsafe fn drive_row<S: Simd, const TURNS: bool>(s: S, p: &Problem, a: &Strided) {
    let block = Block {
        k: p.k,
        a_rows: [0; 5],
        a_step: a.step,
        piece: 0,
        ahead_step: 0,
        near: false,
        panel: p.k * NR,
        ldc: 0,
        c_panel: p.c_panel,
        ldr: 0,
        event: usize::MAX,
        jump: 0,
        from_c: p.from_c,
        halves: false,
        act: p.in_tile(),
    };
    let later = p.later();
    let a = A { strided: a.a };
    let (residual, left) = p.residual_of(0);
    let mut place = Place { a, w: p.w, ahead: p.w, bias: p.bias, residual, left, c: p.c, columns: p.n };
    let mut left = p.n.div_ceil(NR);
    while left != 0 {
        let panels = share_of(
            left,
            if TURNS { tile::turning_panels(S::LEVEL) } else { tile::max_panels(S::LEVEL, 1) },
        );
        // SAFETY: the caller's promise.
        unsafe { tile::run_row::<S, TURNS>(s, panels, &block, place) };
        if let Some(later) = later {
            finish(s, 1, panels, &block, &place, later);
        }
        left -= panels;
        place.advance(panels, &block);
    }
}

/// One tile's rows against the panels of a block, `columns` wide.
#[inline(always)]
unsafe fn tile_row<S: Simd, Src: Source>(
    s: S,
    rows: usize,
    columns: usize,
    block: &Block,
    mut place: Place,
    later: Option<(f32, Act)>,
) {
    let most = tile::max_panels(S::LEVEL, rows);
    let tail = tile::tail_panels::<Src::Mode>(S::LEVEL, rows, columns, block.halves);
    let mut left = columns.div_ceil(NR) - tail;
    while left != 0 {
        let panels = share_of(left, most);
        // SAFETY: the caller's promise; `panels` is at most `most`.
        unsafe { tile::run::<S, Src::Mode>(s, rows, panels, block, place) };
        if let Some(later) = later {
            finish(s, rows, panels, block, &place, later);
        }
        left -= panels;
        place.advance(panels, block);
    }
    if tail != 0 {
        // SAFETY: the caller's promise.
        unsafe { tile::run_tail::<S, Src::Mode>(s, rows, tail, block, place) };
        if let Some(later) = later {
            finish(s, rows, tail, block, &place, later);
        }
    }
}

/// The rest of the way for the sums that a tile has stored.
#[inline(always)]
fn finish<S: Simd>(s: S, rows: usize, panels: usize, block: &Block, place: &Place, (alpha, act): (f32, Act)) {
    let columns = (panels * NR).min(place.columns);
    s.outline(Finish { c: place.c, ldc: block.ldc, rows, columns, alpha, act });
}

/// How many of the panels left the next tile takes: two tiles of middling width rather than a full one and a
/// single panel.
#[inline(always)]
fn share_of(left: usize, most: usize) -> usize {
    if left <= most {
        left
    } else if left < 2 * most {
        left.div_ceil(2)
    } else {
        most
    }
}

impl Place {
    /// To the tile on the right.
    #[inline(always)]
    fn advance(&mut self, panels: usize, block: &Block) {
        let done = panels * NR;
        self.w = self.w.wrapping_add(panels * block.panel);
        self.ahead = self.ahead.wrapping_add(panels * block.panel);
        self.bias = offset(self.bias, done);
        self.residual = offset(self.residual, done);
        self.c = self.c.wrapping_add(panels * block.c_panel);
        self.columns = self.columns.wrapping_sub(done);
    }
}

/// Columns of B in a block of so many steps of k: whole pairs of panels, as many as [`B_BLOCK`] allows.
pub(super) const fn columns_of_block(k: usize) -> usize {
    let k = if k == 0 { 1 } else { k };
    let pairs = B_BLOCK / k / (2 * NR);
    (if pairs == 0 { 1 } else { pairs }) * (2 * NR)
}

/// `p + n`, null staying null.
#[inline(always)]
fn offset(p: *const f32, n: usize) -> *const f32 {
    if p.is_null() { p } else { p.wrapping_add(n) }
}
