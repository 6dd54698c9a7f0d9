//! Products whose rows of A are windows that slide along lines: row and row are a step apart, and so many pieces,
//! one a row of a convolution's kernel, lie apart at strides.
//!
//! Neighbouring rows may share floats, so nothing is copied; a tile needs one pointer a piece instead of one a
//! piece and row. Tiles do not reach over the end of a line.

use core::ops::Range;

use super::drive::{self, KC, Problem, Source};
use super::tile::{self, A, Block, LineRows};
use super::{Gemm, Init, Lines, parts};
use crate::Act;
use crate::simd::{Op, Simd, dispatch};

/// `C = act(A B + bias + residual)`, see the module.
#[derive(Clone, Debug)]
pub(crate) struct GemmLines {
    /// Lines of rows.
    pub lines: usize,
    /// Rows in a line.
    pub rows: usize,
    /// Columns of C.
    pub n: usize,
    /// Pieces of a row of A, over three axes, each axis at its stride.
    pub pieces: [(usize, usize); 3],
    /// Floats in a piece.
    pub piece: usize,
    /// Floats from a line of A to the next.
    pub line: usize,
    /// Floats from a row of A to the next.
    pub row: usize,
    /// Floats from a row of C, and from a line of C, to the next.
    pub ldc: (usize, usize),
    /// The same of the residual.
    pub ldr: (usize, usize),
    pub act: Act,
}

impl GemmLines {
    /// Runs the product; operands as for [`Gemm::run`].
    pub(crate) fn run(&self, c: &mut [f32], a: &[f32], w: &[f32], bias: &[f32], residual: &[f32]) {
        if self.lines == 0 || self.rows == 0 {
            return;
        }
        let (m, k) =
            (self.lines * self.rows, self.pieces.iter().map(|p| p.0).product::<usize>() * self.piece);
        let (ldc, ldr) = (self.ldc.0, self.ldr.0);
        let gemm =
            Gemm { m, k, n: self.n, lda: k, ldc, ldr, event: 0, lde: 0, act: self.act, init: Init::Bias };
        let lines = Lines { count: self.lines, ldc: self.ldc.1, ldr: self.ldr.1 };
        let problem = Problem::new(&gemm, lines, c, w, bias, residual);
        parts::run(&problem, |problem, first| dispatch(LinesProduct { problem, first, product: self, a }));
    }
}

struct LinesProduct<'a> {
    problem: &'a Problem,
    /// The row of A that the problem's first one is.
    first: usize,
    product: &'a GemmLines,
    a: &'a [f32],
}

impl Op for LinesProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { first, product, a, .. } = self;
        let mut table = Table { first, product, a, pointers: [core::ptr::null(); TABLE] };
        // SAFETY: `Problem::new` checked B and C, `Table::locate` checks each piece of A; C is borrowed mutably.
        unsafe { drive::drive(s, self.problem, self.problem.n, &mut table) }
    }
}

/// Pieces in a block of k at most.
const TABLE: usize = 128;

/// The pieces of the first row of a tile.
struct Table<'a> {
    first: usize,
    product: &'a GemmLines,
    a: &'a [f32],
    pointers: [*const f32; TABLE],
}

impl Source for Table<'_> {
    type Mode = LineRows;

    /// Whole pieces.
    #[inline(always)]
    fn block(&self, start: usize, k: usize) -> Range<usize> {
        let piece = self.product.piece;
        start..k.min(start + (KC / piece.max(1)).clamp(1, TABLE) * piece)
    }

    #[inline(always)]
    fn describe(&self, block: &mut Block) {
        (block.piece, block.a_rows) = (self.product.piece, tile::row_offsets(self.product.row));
    }

    #[inline(always)]
    fn locate(&mut self, row: usize, rows: usize, steps: &Range<usize>) -> A {
        let &GemmLines { rows: in_line, pieces, piece, line, row: step, .. } = self.product;
        if !steps.is_empty() {
            let row = self.first + row;
            let start = row / in_line * line + row % in_line * step;
            let reach = (rows - 1) * step + piece;
            let (first, count) = (steps.start / piece, steps.len() / piece);
            let [_, (n1, s1), (n2, s2)] = pieces;
            let (mut i2, mut i1, mut i0) = (first % n2, first / n2 % n1, first / n2 / n1);
            for pointer in &mut self.pointers[..count] {
                *pointer = self.a[start + i0 * pieces[0].1 + i1 * s1 + i2 * s2..][..reach].as_ptr();
                i2 += 1;
                if i2 == n2 {
                    (i2, i1) = (0, i1 + 1);
                    if i1 == n1 {
                        (i1, i0) = (0, i0 + 1);
                    }
                }
            }
        }
        A { table: self.pointers.as_ptr() }
    }
}
