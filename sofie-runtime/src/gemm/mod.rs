//! Matrix products with a right-hand side that was packed ahead of time: dense layers, 1×1 and k×k
//! convolutions (as implicit GEMM), recurrent cells.
//!
//! The weights are packed once ([`pack`]); the rows of A are read where they lie; bias, residual and
//! activation are applied before the only store. Every output is one chain of fused multiply-adds in the
//! order of k that starts from the bias (of one row by at most 32 columns four chains, which take turns and are
//! added in pairs), so all instruction sets give the same bits.

mod batched;
mod chains;
mod drive;
mod finish;
mod lines;
mod narrow;
mod pack;
mod parts;
mod rows;
#[cfg(test)]
mod tests;
mod tile;

pub use self::batched::BatchedGemm;
pub(crate) use self::drive::Lines;
use self::drive::{Events, Problem, Strided};
pub(crate) use self::finish::Finish;
pub(crate) use self::lines::GemmLines;
pub(crate) use self::pack::PackPanels;
pub use self::pack::{Layout, NR, pack, pack_into, packed_len};
pub use self::rows::{GemmRows, OffsetTable, RowOffsets, ZEROS};
pub(crate) use self::tile::in_registers;
use crate::Act;
use crate::simd::{Op, Simd, dispatch};

/// What the chains of a product start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// The bias, or 0 where none is given.
    Bias,
    /// What C holds (`C += A B`); the bias must be empty.
    C,
}

/// `C = act(A B + bias + residual)`: A is `[m, k]` with rows `lda` floats apart, B is packed `[k, n]`, C is
/// `[m, n]` with rows `ldc` floats apart.
///
/// ```
/// use sofie_infer_runtime::{Act, gemm::{Gemm, Init, Layout, pack}};
/// let weights = pack(&[1.0, 2.0, 3.0, 4.0], 2, 2, Layout::KN);
/// let layer = Gemm { m: 1, k: 2, n: 2, lda: 2, ldc: 2, ldr: 0, event: 0, lde: 0, act: Act::Relu, init: Init::Bias };
/// let mut c = [0.0; 2];
/// layer.run(&mut c, &[1.0, -1.0], &weights, &[0.5, 3.0], &[]);
/// assert_eq!(c, [0.0, 1.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Rows of A and C.
    pub m: usize,
    /// Columns of A, rows of B.
    pub k: usize,
    /// Columns of B and C.
    pub n: usize,
    /// Floats from a row of A to the next.
    pub lda: usize,
    /// Floats from a row of C to the next.
    pub ldc: usize,
    /// Floats from a row of the residual to the next, within an event; 0 adds the same row everywhere.
    pub ldr: usize,
    /// Rows of an event, of which `m` is a multiple; 0 where all rows are one.
    pub event: usize,
    /// Floats from the residual of an event to that of the next.
    pub lde: usize,
    /// Applied to the sums before they are stored.
    pub act: Act,
    /// What the sums start from.
    pub init: Init,
}

impl Gemm {
    /// Runs the product. `w` is [`pack`]'s result for `[k, n]`, `bias` has `n` elements or none, `residual` is
    /// `[m, n]` (rows `ldr` apart, events `lde`) or empty; it is added to the finished sum, before the activation.
    ///
    /// # Panics
    /// When a slice is too short for the shape.
    pub fn run(&self, c: &mut [f32], a: &[f32], w: &[f32], bias: &[f32], residual: &[f32]) {
        assert!(a.len() >= extent(self.m, self.lda, self.k), "A is too short for {self:?}");
        let problem = Problem::new(self, Lines::ONE, c, w, bias, residual);
        if self.m == 1 && tile::takes_turns(self.k, self.n) {
            let a = Strided { a: a.as_ptr(), row: self.lda, step: 1 };
            return dispatch(TurningRow(StridedProduct { problem: &problem, a }));
        }
        parts::run(&problem, |problem, first| {
            let a = Strided { a: a[first * self.lda..].as_ptr(), row: self.lda, step: 1 };
            dispatch(StridedProduct { problem, a });
        });
    }

    /// The product alone, inside a kernel whose instruction set is known.
    #[inline(always)]
    pub(crate) fn run_at<S: Simd>(&self, s: S, c: &mut [f32], a: &[f32], w: &[f32]) {
        assert!(a.len() >= extent(self.m, self.lda, self.k), "A is too short for {self:?}");
        let problem = Problem::new(self, Lines::ONE, c, w, &[], &[]);
        s.outline(StridedProduct { problem: &problem, a: Strided { a: a.as_ptr(), row: self.lda, step: 1 } });
    }
}

impl Problem {
    /// Checks everything but A.
    #[inline(always)]
    fn new(g: &Gemm, lines: Lines, c: &mut [f32], w: &[f32], bias: &[f32], residual: &[f32]) -> Problem {
        assert!(lines.count != 0 && g.m.is_multiple_of(lines.count), "{lines:?} do not divide {g:?}");
        let rows = g.m / lines.count;
        let reach = |ld: usize, line: usize| extent(lines.count, line, extent(rows, ld, g.n));
        assert!(g.ldc >= g.n || g.m <= 1, "rows of C overlap in {g:?}");
        assert!(c.len() >= reach(g.ldc, lines.ldc), "C is too short for {g:?}");
        assert!(w.len() >= packed_len(g.k, g.n), "the packed weights are too short for {g:?}");
        assert!(bias.is_empty() || bias.len() >= g.n && g.init == Init::Bias, "the bias does not fit {g:?}");
        assert!(
            g.event == 0 || lines.count == 1 && g.m.is_multiple_of(g.event),
            "the rows are no whole events in {g:?}"
        );
        let residual_reach = match g.event {
            0 => reach(g.ldr, lines.ldr),
            rows => extent(g.m / rows, g.lde, extent(rows, g.ldr, g.n)),
        };
        assert!(
            residual.is_empty() || residual.len() >= residual_reach,
            "the residual is too short for {g:?}"
        );
        Problem {
            m: g.m,
            k: g.k,
            n: g.n,
            ldc: g.ldc,
            c_panel: NR,
            ldr: g.ldr,
            events: if g.event == 0 { Events::NONE } else { Events { rows: g.event, lde: g.lde, begun: 0 } },
            lines,
            alpha: 1.0,
            act: g.act,
            from_c: g.init == Init::C,
            c: c.as_mut_ptr(),
            w: w.as_ptr(),
            bias: if bias.is_empty() { core::ptr::null() } else { bias.as_ptr() },
            residual: if residual.is_empty() { core::ptr::null() } else { residual.as_ptr() },
        }
    }
}

/// Elements from the first to the last of `[rows, columns]` with rows `stride` apart; huge if it overflows.
#[inline(always)]
const fn extent(rows: usize, stride: usize, columns: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1).saturating_mul(stride).saturating_add(columns) }
}

/// A checked product with A at strides.
#[derive(Clone, Copy)]
struct StridedProduct<'a> {
    problem: &'a Problem,
    a: Strided,
}

impl Op for StridedProduct<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.problem.m {
            // SAFETY: `Gemm::run` checked A, `Problem::new` the rest; C is borrowed mutably, so nothing overlaps it.
            1 => unsafe { drive::drive_row::<S, false>(s, self.problem, &self.a) },
            _ => s.outline(ManyRows(self)),
        }
    }
}

/// A function of its own, so that one row does not pay for the frame that copies of rows need.
struct ManyRows<'a>(StridedProduct<'a>);

impl Op for ManyRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: as for one row.
        unsafe { drive::drive_strided(s, self.0.problem, self.0.a) }
    }
}

/// One row whose chains take turns. (Products inside recurrent cells are bound by their activations, and a little
/// slower for the choice.)
struct TurningRow<'a>(StridedProduct<'a>);

impl Op for TurningRow<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: as for any product.
        unsafe { drive::drive_row::<S, true>(s, self.0.problem, &self.0.a) }
    }
}

/// An unchecked product inside another kernel's dispatch (run it by [`Simd::outline`]). Null bias: zeros.
#[derive(Clone, Copy)]
pub(crate) struct Product {
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) a: *const f32,
    /// Floats between rows of A.
    pub(crate) a_row: usize,
    /// Floats between steps of k in A.
    pub(crate) a_step: usize,
    pub(crate) w: *const f32,
    pub(crate) bias: *const f32,
    pub(crate) c: *mut f32,
    pub(crate) ldc: usize,
    /// Floats between what the panels of B leave in a row of C: [`NR`] where rows are whole.
    pub(crate) c_panel: usize,
    /// Whether the sums start from what C holds, instead of the bias.
    pub(crate) from_c: bool,
}

impl Op for Product {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Product { m, k, n, ldc, c_panel, from_c, c, w, bias, .. } = self;
        let residual = core::ptr::null();
        let (lines, act) = (Lines::ONE, Act::None);
        let events = Events::NONE;
        let (ldr, alpha) = (0, 1.0);
        let problem =
            Problem { m, k, n, ldc, c_panel, ldr, events, lines, alpha, act, from_c, c, w, bias, residual };
        let a = Strided { a: self.a, row: self.a_row, step: self.a_step };
        StridedProduct { problem: &problem, a }.run(s);
    }
}
