//! Rows of A in pieces: implicit GEMM, where a row is gathered from segments that lie apart.
//!
//! A convolution's output pixel reads one contiguous run of channels for each tap of the kernel. Copying those
//! runs together (im2col) costs as much traffic as the product itself when there are few output channels;
//! here the tile reads them in place, through a table of pointers made once for each tile of rows.

use core::ops::Range;

use super::drive::{self, KC, Problem, Source};
use super::tile::{A, Block, TableRows};
use super::{Gemm, Init, Lines, parts};
use crate::Act;
use crate::simd::{Op, Simd, dispatch};

/// The offset of a segment that is not in memory and counts as zeros (padding).
pub const ZEROS: usize = usize::MAX;

/// Where the segments of A's rows start.
pub trait RowOffsets: Sync {
    /// Writes the offsets in floats of the given segments of `rows` rows from `row` on, `[segment][row]`:
    /// `out[i * rows + r]` is segment `segments.start + i` of row `row + r`, or [`ZEROS`].
    ///
    /// Called once for each tile of at most 12 rows and each block of k and n, so it may divide to find the
    /// pixel, but should do it once a row and not once a segment. Offsets are checked afterwards.
    fn locate(&self, row: usize, rows: usize, segments: Range<usize>, out: &mut [usize]);
}

/// A table `[row][segment]` of offsets; `u32::MAX` stands for zeros.
#[derive(Clone, Copy, Debug)]
pub struct OffsetTable<'a> {
    /// The offsets.
    pub offsets: &'a [u32],
    /// Segments of a row.
    pub segments: usize,
}

impl RowOffsets for OffsetTable<'_> {
    #[inline]
    fn locate(&self, row: usize, rows: usize, segments: Range<usize>, out: &mut [usize]) {
        for r in 0..rows {
            let from = &self.offsets[(row + r) * self.segments..][segments.clone()];
            for (i, &offset) in from.iter().enumerate() {
                out[i * rows + r] = if offset == u32::MAX { ZEROS } else { offset as usize };
            }
        }
    }
}

/// `C = act(A B + bias + residual)` where each row of A is `segments` pieces of `segment` floats that lie
/// apart: k is `segments * segment`, in the order of the segments. Everything else is [`Gemm`]'s.
///
/// ```
/// use sofie_infer_runtime::{Act, gemm::{GemmRows, Init, Layout, OffsetTable, pack}};
/// // A 1-D convolution with 2 taps over 3 pixels of 2 channels, padded by one pixel on the left.
/// let pixels = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let rows = OffsetTable { offsets: &[u32::MAX, 0, 0, 2, 2, 4], segments: 2 };
/// let weights = pack(&[1.0, 10.0, 100.0, 1000.0], 4, 1, Layout::KN);
/// let conv = GemmRows { m: 3, n: 1, segments: 2, segment: 2, ldc: 1, ldr: 0, act: Act::None, init: Init::Bias };
/// let mut c = [0.0; 3];
/// conv.run(&mut c, &pixels, &rows, &weights, &[], &[]);
/// assert_eq!(c, [2100.0, 4321.0, 6543.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct GemmRows {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Pieces of a row of A.
    pub segments: usize,
    /// Floats in a piece.
    pub segment: usize,
    /// Floats from a row of C to the next.
    pub ldc: usize,
    /// Floats from a row of the residual to the next.
    pub ldr: usize,
    /// Applied to the sums before they are stored.
    pub act: Act,
    /// What the sums start from.
    pub init: Init,
}

impl GemmRows {
    /// Runs the product; `rows` says where in `a` the segments are. Operands as for [`Gemm::run`].
    ///
    /// # Panics
    /// When a slice is too short for the shape, or a segment lies outside `a`.
    pub fn run<R: RowOffsets>(
        &self,
        c: &mut [f32],
        a: &[f32],
        rows: &R,
        w: &[f32],
        bias: &[f32],
        residual: &[f32],
    ) {
        self.run_lines(Lines::ONE, c, a, rows, w, bias, residual);
    }

    /// The product with rows of C and the residual in lines.
    #[allow(clippy::too_many_arguments, reason = "operands as for `run`")]
    pub(crate) fn run_lines<R: RowOffsets>(
        &self,
        lines: Lines,
        c: &mut [f32],
        a: &[f32],
        rows: &R,
        w: &[f32],
        bias: &[f32],
        residual: &[f32],
    ) {
        let &GemmRows { m, n, segments, segment, ldc, ldr, act, init } = self;
        let k = segments.checked_mul(segment).expect("the columns of A fit an address space");
        let problem = Problem::new(
            &Gemm { m, k, n, lda: k, ldc, ldr, event: 0, lde: 0, act, init },
            lines,
            c,
            w,
            bias,
            residual,
        );
        parts::run(&problem, |problem, first| dispatch(RowsProduct { problem, first, rows, a, segment }));
    }
}

/// A checked product with A in segments.
struct RowsProduct<'a, R> {
    problem: &'a Problem,
    /// The row of `rows` that the product's first one is.
    first: usize,
    rows: &'a R,
    a: &'a [f32],
    segment: usize,
}

impl<R: RowOffsets> Op for RowsProduct<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut table = Table {
            first: self.first,
            rows: self.rows,
            a: self.a,
            segment: self.segment,
            offsets: [0; TABLE],
            pointers: [core::ptr::null(); TABLE],
        };
        // SAFETY: `Problem::new` checked B and C, `Table::locate` checks each piece of A; C is borrowed mutably.
        unsafe { drive::drive(s, self.problem, self.problem.n, &mut table) }
    }
}

/// Pieces in the table of a tile: 12 rows of 42.
const TABLE: usize = 512;
/// Rows that the table must have room for at the very least.
const MOST_ROWS: usize = 16;

/// What padding reads. Longer segments are cut into pieces of this length.
static ZERO_PIECE: [f32; 1024] = [0.0; 1024];

/// The rows of one tile in one block of k.
struct Table<'a, R> {
    first: usize,
    rows: &'a R,
    a: &'a [f32],
    segment: usize,
    offsets: [usize; TABLE],
    pointers: [*const f32; TABLE],
}

impl<R: RowOffsets> Source for Table<'_, R> {
    type Mode = TableRows;

    /// Whole segments, or for very long ones a part of one.
    #[inline(always)]
    fn block(&self, start: usize, k: usize) -> Range<usize> {
        let length = if self.segment > ZERO_PIECE.len() {
            ZERO_PIECE.len().min(self.segment - start % self.segment)
        } else {
            (KC / self.segment.max(1)).clamp(1, TABLE / MOST_ROWS) * self.segment
        };
        start..k.min(start + length)
    }

    #[inline(always)]
    fn describe(&self, block: &mut Block) {
        block.piece = self.segment.min(block.k);
    }

    #[inline(always)]
    fn locate(&mut self, row: usize, rows: usize, steps: &Range<usize>) -> A {
        if !steps.is_empty() {
            let segments = steps.start / self.segment..steps.end.div_ceil(self.segment);
            let (within, length) = (steps.start % self.segment, self.segment.min(steps.len()));
            let offsets = &mut self.offsets[..segments.len() * rows];
            self.rows.locate(self.first + row, rows, segments, offsets);
            for (pointer, &offset) in self.pointers.iter_mut().zip(&*offsets) {
                *pointer = if offset == ZEROS {
                    ZERO_PIECE.as_ptr()
                } else {
                    self.a[offset..][within..][..length].as_ptr()
                };
            }
        }
        A { table: self.pointers.as_ptr() }
    }
}
