//! The register tile: `R` rows of A against `P` panels of B, the only place where products are formed.
//!
//! Each output is one chain of fused multiply-adds in the order of k (but for [`Row`]), whatever the tile's size, so sizes may
//! differ between instruction sets, and between the middle and the edges of a matrix, without changing a bit.
//! Bias, residual and the cheap activations are applied in registers before the only store.

use core::marker::PhantomData;

use super::chains::{Ragged, accumulate, fma, panels};
use super::pack::NR;
use crate::Act;
use crate::simd::{Level, Op, Simd};

/// What all tiles of one block of k share.
#[derive(Clone, Copy)]
pub(super) struct Block {
    /// Steps of k in this block.
    pub k: usize,
    /// Floats from row 0 of A to rows 1, 2, 3, 4 and 8 (not when A is a table of rows).
    pub a_rows: [usize; 5],
    /// Floats between steps of k in A (only when A is strided).
    pub a_step: usize,
    /// Floats in a piece of a row of A (only when A is a table of pieces); `k` is a multiple.
    pub piece: usize,
    /// Floats between panels of B.
    pub panel: usize,
    /// Floats between rows of C.
    pub ldc: usize,
    /// Floats between what the panels of B leave in a row of C.
    pub c_panel: usize,
    /// Floats between rows of the residual.
    pub ldr: usize,
    /// Rows of an event of the residual.
    pub event: usize,
    /// Floats from the residual's row behind the last one of an event to the first one of the next.
    pub jump: usize,
    /// Floats that [`Place::ahead`] moves with each step of k.
    pub ahead_step: usize,
    /// Whether it is in the second cache already.
    pub near: bool,
    /// Whether the chains start from what C holds, instead of the bias.
    pub from_c: bool,
    /// Whether [half vectors](crate::simd::halves_are_faster) take the last columns.
    pub halves: bool,
    /// Applied in registers; those that [`in_registers`] denies are left out here.
    pub act: Act,
}

/// [`Block::a_rows`] of rows at a stride.
#[inline(always)]
pub(super) fn row_offsets(stride: usize) -> [usize; 5] {
    [1, 2, 3, 4, 8].map(|r: usize| r.wrapping_mul(stride))
}

/// Where one tile reads and writes. Null bias: zeros. Null residual: none.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// The first row's first element, or the table `[piece][row]`, or `[piece]`, of pointers.
    pub a: A,
    /// The first panel at the block's first step.
    pub w: *const f32,
    /// What will be needed next and is to be fetched meanwhile; any address.
    pub ahead: *const f32,
    pub bias: *const f32,
    pub residual: *const f32,
    /// Rows up to the end of an event of the residual.
    pub left: usize,
    pub c: *mut f32,
    /// Columns of C from here to its end; the tile writes at most `P * 16` of them.
    pub columns: usize,
}

/// How a tile finds its rows of A.
#[derive(Clone, Copy)]
pub(super) union A {
    /// Element `(r, p)` is at `r * a_row + p * a_step`.
    pub strided: *const f32,
    /// Piece `i` of row `r` starts at the pointer `[i * R + r]`, or `r * a_row` behind the pointer `[i]`.
    pub table: *const *const f32,
}

/// Whether the tile applies `act` itself; the others are a second pass over what it has just stored
/// ([`Finish`](super::finish::Finish)).
pub(crate) const fn in_registers(act: Act) -> bool {
    matches!(act, Act::None | Act::Relu | Act::LeakyRelu { .. } | Act::Clip { .. })
}

/// Which member of [`A`] is meant.
pub(super) trait Mode: 'static {
    const TABLE: bool;
    /// Whether the table has one pointer a piece, the first row's, and the rows lie at a stride.
    const LINE: bool = false;
}
/// Rows of A at a stride.
pub(super) struct StridedRows;
impl Mode for StridedRows {
    const TABLE: bool = false;
}
/// Rows of A through a table of pieces.
pub(super) struct TableRows;
impl Mode for TableRows {
    const TABLE: bool = true;
}
/// Rows at a stride, in pieces through a table.
pub(super) struct LineRows;
impl Mode for LineRows {
    const TABLE: bool = true;
    const LINE: bool = true;
}

/// What the chains of `R` rows start from.
///
/// # Safety
/// As for [`run`].
#[inline(always)]
unsafe fn start<S: Simd, const R: usize, const P: usize>(
    s: S,
    block: &Block,
    place: &Place,
    full: bool,
    edge: S::Mask,
) -> [[S::F32; P]; R] {
    let mut acc = [[s.zero(); P]; R];
    // SAFETY: the caller's promise.
    unsafe {
        if block.from_c {
            for (r, acc) in acc.iter_mut().enumerate() {
                *acc = load(s, place.c.add(r * block.ldc), block.c_panel, full, edge);
            }
        } else if !place.bias.is_null() {
            acc = [load(s, place.bias, NR, full, edge); R];
        }
    }
    acc
}

/// `R` rows against the last `P` panels, of which the last has at most 8 columns: the same chains, there in half the lanes,
/// which takes half the time where a full vector takes two turns of the FMA units (Zen 4 with AVX-512, and AVX2 and NEON,
/// whose vectors are several). `FULL` is `P - 1`.
struct Tail<'a, const R: usize, const P: usize, const FULL: usize, M> {
    block: &'a Block,
    place: Place,
    mode: PhantomData<M>,
}

impl<const R: usize, const P: usize, const FULL: usize, M: Mode> Op for Tail<'_, R, P, FULL, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        const { assert!(FULL + 1 == P) };
        let Tail { block, place, .. } = self;
        let edge = s.mask_first(place.columns - FULL * NR);
        // SAFETY: as for `Tile`.
        unsafe {
            let mut whole: [[S::F32; P]; R] = start(s, block, &place, false, edge);
            // Loops: the closure of an array's `map` would be a function without the instruction set.
            let mut acc = [Ragged([s.zero(); FULL], s.splat_half(0.0)); R];
            for (acc, whole) in acc.iter_mut().zip(&whole) {
                for (to, from) in acc.0.iter_mut().zip(whole) {
                    *to = *from;
                }
                acc.1 = s.lower_half(whole[FULL]);
            }
            accumulate::<S, Ragged<S, FULL>, R, M>(s, block, &place, &mut acc);
            for (acc, whole) in acc.iter().zip(&mut whole) {
                for (from, to) in acc.0.iter().zip(whole.iter_mut()) {
                    *to = *from;
                }
                whole[FULL] = s.widen_half(acc.1);
            }
            store(s, block, &place, whole);
        }
    }
}

/// One call of the kernel.
struct Tile<'a, const R: usize, const P: usize, M> {
    block: &'a Block,
    place: Place,
    mode: PhantomData<M>,
}

impl<const R: usize, const P: usize, M: Mode> Op for Tile<'_, R, P, M> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Tile { block, place, .. } = self;
        let full = place.columns >= P * NR;
        let edge = s.mask_first(place.columns.wrapping_sub((P - 1) * NR));
        // SAFETY: `Problem` (the only maker of tiles) checked that all rows, panels and columns exist; lanes
        // past the last column are masked off.
        unsafe {
            let mut acc = start(s, block, &place, full, edge);
            accumulate::<S, [S::F32; P], R, M>(s, block, &place, &mut acc);
            store(s, block, &place, acc);
        }
    }
}

/// One row against `P` panels of which there are so few that the chains, each step four cycles long, would leave
/// the FMA units waiting: [`CHAINS`] of them take turns, each every so many steps of k, and are added in pairs.
struct Row<'a, const P: usize> {
    block: &'a Block,
    place: Place,
}

/// Chains of an output of [`Row`].
const CHAINS: usize = 4;

/// Whether one row of a product takes several chains an output: on every instruction set, as it changes bits.
pub(super) const fn takes_turns(k: usize, n: usize) -> bool {
    n <= 2 * NR && k >= 8 * CHAINS
}

/// Panels of [`Row`]: a quarter of the accumulators that there are registers for.
pub(super) const fn turning_panels(level: Level) -> usize {
    if is(level, Level::Avx512) { 2 } else { 1 }
}

impl<const P: usize> Op for Row<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Row { block, place } = self;
        let full = place.columns >= P * NR;
        let edge = s.mask_first(place.columns.wrapping_sub((P - 1) * NR));
        // SAFETY: as for `Tile`.
        unsafe {
            let mut acc = [[s.zero(); P]; CHAINS];
            if block.from_c {
                acc[0] = load(s, place.c, block.c_panel, full, edge);
            } else if !place.bias.is_null() {
                acc[0] = load(s, place.bias, NR, full, edge);
            }
            let (mut a, mut w) = (place.a.strided, place.w);
            for _ in 0..block.k / CHAINS {
                for (i, acc) in acc.iter_mut().enumerate() {
                    fma(s, acc, *a.add(i * block.a_step), panels(s, w.add(i * NR), block.panel));
                }
                a = a.add(CHAINS * block.a_step);
                w = w.add(CHAINS * NR);
            }
            for (i, acc) in acc.iter_mut().enumerate().take(block.k % CHAINS) {
                fma(s, acc, *a.add(i * block.a_step), panels(s, w.add(i * NR), block.panel));
            }
            let [x0, x1, x2, x3] = acc;
            let mut sum = [s.zero(); P];
            for (q, sum) in sum.iter_mut().enumerate() {
                *sum = s.add(s.add(x0[q], x1[q]), s.add(x2[q], x3[q]));
            }
            store(s, block, &place, [sum]);
        }
    }
}

/// Finished sums: residual, activation, and to C.
#[inline(always)]
unsafe fn store<S: Simd, const R: usize, const P: usize>(
    s: S,
    block: &Block,
    place: &Place,
    mut acc: [[S::F32; P]; R],
) {
    let full = place.columns >= P * NR;
    let last = place.columns.wrapping_sub((P - 1) * NR);
    let edge = s.mask_first(last);
    // SAFETY: the caller's promise.
    unsafe {
        if !place.residual.is_null() {
            let (mut row, mut left) = (place.residual, place.left);
            for acc in &mut acc {
                let x: [S::F32; P] = load(s, row, NR, full, edge);
                for (acc, x) in acc.iter_mut().zip(x) {
                    *acc = s.add(*acc, x);
                }
                row = row.wrapping_add(block.ldr);
                left -= 1;
                if left == 0 {
                    row = row.wrapping_add(block.jump);
                    left = block.event;
                }
            }
        }
        activate(s, &mut acc, block.act);
        for (r, acc) in acc.iter().enumerate() {
            let c = place.c.add(r * block.ldc);
            for (q, &x) in acc.iter().enumerate() {
                if full || q + 1 < P {
                    s.store_ptr(x, c.add(q * block.c_panel));
                } else {
                    s.store_first_ptr(x, c.add(q * block.c_panel), last);
                }
            }
        }
    }
}

/// `P` vectors of a row, `step` floats apart, of which all columns exist, or all but some of the last vector's.
#[inline(always)]
unsafe fn load<S: Simd, const P: usize>(
    s: S,
    row: *const f32,
    step: usize,
    full: bool,
    edge: S::Mask,
) -> [S::F32; P] {
    let mut x = [s.zero(); P];
    for (q, x) in x.iter_mut().enumerate() {
        // SAFETY: the caller's promise: columns up to the mask's last exist.
        *x = unsafe {
            if full || q + 1 < P {
                s.load_ptr(row.add(q * step))
            } else {
                s.load_masked_ptr(row.add(q * step), edge, s.zero())
            }
        };
    }
    x
}

/// The activations that need nothing but a register or two.
#[inline(always)]
pub(super) fn activate<S: Simd, const R: usize, const P: usize>(s: S, acc: &mut [[S::F32; P]; R], act: Act) {
    macro_rules! each {
        ($x:ident => $y:expr) => {
            for row in acc.iter_mut() {
                for x in row.iter_mut() {
                    let $x = *x;
                    *x = $y;
                }
            }
        };
    }
    match act {
        Act::Relu => {
            let zero = s.zero();
            each!(x => s.max_raw(zero, x));
        }
        Act::LeakyRelu { alpha } => {
            let (zero, alpha) = (s.zero(), s.splat(alpha));
            each!(x => s.select(s.ge(x, zero), x, s.mul(x, alpha)));
        }
        Act::Clip { lo, hi } => {
            let (lo, hi) = (s.splat(lo), s.splat(hi));
            each!(x => s.clamp(x, lo, hi));
        }
        _ => {}
    }
}

/// Rows of the tallest tile of a product of so many panels. AVX-512: 12 rows of 2 vectors, 2 of B and 1 of A are 27 of 32
/// registers, 8 rows of 3 vectors, 3 and 1 are 28; AVX2: 6 rows of 2 half vectors, 2 and 1 are 15 of 16; NEON: 6 rows of 4
/// quarters, 4 and 1 are 29 of 32.
pub(super) const fn max_rows(level: Level, panels: usize) -> usize {
    match level {
        Level::Avx512 if panels == 3 => 8,
        Level::Avx512 => 12,
        Level::Avx2 | Level::Neon => 6,
        Level::Scalar => 2,
    }
}

/// Panels of the widest tile of so many rows. Few rows take more panels: a CPU that starts one or two FMA a
/// cycle and finishes them four cycles later needs four to eight chains to be busy.
pub(super) const fn max_panels(level: Level, rows: usize) -> usize {
    match (level, rows) {
        (Level::Avx512, 1) => 8,
        (Level::Avx512, 2..=4) => 4,
        (Level::Avx512, 5..=8) => 3,
        (Level::Avx512, _) => 2,
        (Level::Avx2 | Level::Neon, 1) => 4,
        (Level::Avx2 | Level::Neon, 2) => 2,
        _ => 1,
    }
}

/// Panels of the [`Tail`] that the last of `columns` are, 0 for none. Few rows have too few chains for half of them to take less
/// time; AVX-512 alone has registers for a panel and a half, and for that the rows must not come from a table. `halves` is
/// [`Block::halves`].
#[inline(always)]
pub(super) fn tail_panels<M: Mode>(level: Level, rows: usize, columns: usize, halves: bool) -> usize {
    let last = columns % NR;
    match level {
        _ if !halves || rows <= 4 || last == 0 || last > NR / 2 => 0,
        Level::Avx512 if columns > NR && !M::TABLE => 2,
        _ => 1,
    }
}

/// Rows of the tallest tile that [`run_tall`] runs.
pub(super) const TALL: usize = 12;

/// The last of `n` columns, 8 at the most, that tiles of [`TALL`] rows meet, 0 for none: half a vector is one register of AVX2
/// (two of NEON), of which six rows have too few to keep the FMA units busy (2080 × 32 × 8: 21 us, 17.5 so).
#[inline(always)]
pub(super) const fn tall_tail(level: Level, n: usize) -> usize {
    let last = n % NR;
    if (is(level, Level::Avx2) || is(level, Level::Neon)) && last <= NR / 2 { last } else { 0 }
}

const fn is(level: Level, other: Level) -> bool {
    level as u8 == other as u8
}

/// Runs the kernel for one row by `panels` in line: a call of a small layer is short enough for the way
/// through two more functions and their arguments in memory to count (25 of 50 ns at 16 × 64).
///
/// # Safety
/// Everything that `place` and `block` describe exists.
#[inline(always)]
pub(super) unsafe fn run_row<S: Simd, const TURNS: bool>(s: S, panels: usize, block: &Block, place: Place) {
    if TURNS {
        return match panels {
            1 => Row::<1> { block, place }.run(s),
            _ => Row::<2> { block, place }.run(s),
        };
    }
    macro_rules! kernels {
        ($($p:literal)*) => {
            match panels {
                $($p => Tile::<1, $p, StridedRows> { block, place, mode: PhantomData }.run(s),)*
                _ => unreachable!("no tile of {panels} panels"),
            }
        };
    }
    if const { is(S::LEVEL, Level::Avx512) } {
        kernels! { 1 2 3 4 5 6 7 8 }
    } else if const { is(S::LEVEL, Level::Scalar) } {
        kernels! { 1 }
    } else {
        kernels! { 1 2 3 4 }
    }
}

/// Runs the kernel for `rows` by `panels`, which [`max_rows`] and [`max_panels`] bound.
///
/// # Safety
/// Everything that `place` and `block` describe exists.
#[inline(always)]
pub(super) unsafe fn run<S: Simd, M: Mode>(s: S, rows: usize, panels: usize, block: &Block, place: Place) {
    macro_rules! kernels {
        ($($r:literal: $($p:literal)*;)*) => {
            match (rows, panels) {
                $($(($r, $p) => s.outline(Tile::<$r, $p, M> { block, place, mode: PhantomData }),)*)*
                _ => unreachable!("no tile of {rows} rows and {panels} panels"),
            }
        };
    }
    // Conditions rather than a match: only what is reachable for `S` is compiled.
    if const { is(S::LEVEL, Level::Avx512) } {
        kernels! {
            1: 1 2 3 4 5 6 7 8; 2: 1 2 3 4; 3: 1 2 3 4; 4: 1 2 3 4;
            5: 1 2 3; 6: 1 2 3; 7: 1 2 3; 8: 1 2 3; 9: 1 2; 10: 1 2; 11: 1 2; 12: 1 2;
        }
    } else if const { is(S::LEVEL, Level::Scalar) } {
        kernels! { 1: 1; 2: 1; }
    } else {
        kernels! { 1: 1 2 3 4; 2: 1 2; 3: 1; 4: 1; 5: 1; 6: 1; }
    }
}

/// Runs the kernel for `rows` by the last `panels`, which [`tail_panels`] says.
///
/// # Safety
/// Everything that `place` and `block` describe exists.
#[inline(always)]
pub(super) unsafe fn run_tail<S: Simd, M: Mode>(
    s: S,
    rows: usize,
    panels: usize,
    block: &Block,
    place: Place,
) {
    macro_rules! kernels {
        ($($panels:literal = 1 + $full:literal: $($r:literal)*;)*) => {
            match (panels, rows) {
                $($(($panels, $r) => {
                    s.outline(Tail::<$r, $panels, $full, M> { block, place, mode: PhantomData })
                })*)*
                _ => unreachable!("no tail of {rows} rows and {panels} panels"),
            }
        };
    }
    if const { is(S::LEVEL, Level::Avx512) } {
        kernels! { 1 = 1 + 0: 5 6 7 8 9 10 11 12; 2 = 1 + 1: 5 6 7 8 9 10 11 12; }
    } else if const { !is(S::LEVEL, Level::Scalar) } {
        kernels! { 1 = 1 + 0: 5 6 7 8 9 10 11 12; }
    }
}

/// Runs the kernel for up to [`TALL`] rows by the columns that [`tall_tail`] says.
///
/// # Safety
/// Everything that `place` and `block` describe exists.
#[inline(always)]
pub(super) unsafe fn run_tall<S: Simd, M: Mode>(s: S, rows: usize, block: &Block, place: Place) {
    // SAFETY: the caller's promise.
    unsafe {
        // Few rows have too few chains for half of them to take less time.
        if rows <= 4 {
            run::<S, M>(s, rows, 1, block, place)
        } else {
            run_tail::<S, M>(s, rows, 1, block, place)
        }
    }
}
