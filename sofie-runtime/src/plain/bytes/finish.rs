//! What becomes of the sums of a block of a product of bytes before they are stored: scaled, an activation, what a quantised
//! network adds there, and quantised again. The sums never leave the first-level cache as the integers that they are.

use super::block::{Chain, floats, put, widened};
use crate::gemm::Finish;
use crate::map::Src;
use crate::quantise;
use crate::simd::{LANES, Op, Simd};
use crate::{Act, DType};

/// Numbers on the steps of an integer type: `(step - zero) * scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Steps {
    /// `u8` or `i8`, or `f32` for numbers that are none such, whose scale is 1 and whose zero point is 0.
    pub of: DType,
    /// From one step to the next.
    pub scale: f32,
    /// The step of 0.
    pub zero: f32,
}

/// Something that is done to each number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ByteStep {
    /// Nothing: the list has ended.
    None,
    /// A function.
    Act(Act),
    /// An operand with a float a column is added.
    AddRow,
    /// An operand like the result is added.
    Add(Steps),
}

/// What becomes of sums: `(sum + addend) * scale + bias` with one addend, one scale and one bias a column, then some steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByteFinish {
    /// An operand has the whole numbers to add to each column's sums.
    pub addend: bool,
    /// An operand has the floats to add to each column's scaled sums.
    pub bias: bool,
    /// What is done then, in order; operands stand in that order, too.
    pub steps: [ByteStep; ByteFinish::STEPS],
    /// What is stored: steps of an integer type, or floats.
    pub to: Option<Steps>,
    /// Signed steps are stored as the `u8` that they are above the least.
    pub above_least: bool,
}

impl ByteFinish {
    /// Steps that there can be.
    pub const STEPS: usize = 8;

    /// The type of the result's elements.
    #[must_use]
    pub fn stored(&self) -> DType {
        match self.to {
            None => DType::F32,
            Some(_) if self.above_least => DType::U8,
            Some(to) => to.of,
        }
    }

    /// What the operands behind the product's own are, in order.
    pub(crate) fn tables<'a>(&'a self, xs: &[Src<'a>]) -> Tables<'a> {
        let mut rest = xs.iter();
        let next = |rest: &mut core::slice::Iter<'_, Src<'a>>| match rest.next() {
            Some(x) => *x,
            None => panic!("a product of bytes: too few operands"),
        };
        let addend = if self.addend { next(&mut rest).slice().as_chunks().0 } else { &[] };
        let scale = next(&mut rest).slice().as_chunks().0;
        let bias = if self.bias { next(&mut rest).slice().as_chunks().0 } else { &[] };
        let rest = core::array::from_fn(|_| rest.next().map_or(&[][..], Src::bytes));
        // What is no number would be held to an end of an interval.
        let is_finite = is_finite(scale) && is_finite(bias);
        let chain = if is_finite { Chain::of(self) } else { None };
        Tables { finish: self, chain, addend, scale, bias, rest }
    }
}

/// Whether all of some rows are.
fn is_finite(rows: &[[f32; LANES]]) -> bool {
    rows.as_flattened().iter().fold(true, |all, x| all & x.is_finite())
}

/// A finish with its operands; those by column in panels of 16, filled up.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub finish: &'a ByteFinish,
    /// The same as what a block does in registers.
    pub chain: Option<Chain>,
    addend: &'a [[i32; LANES]],
    scale: &'a [[f32; LANES]],
    bias: &'a [[f32; LANES]],
    /// The bytes of what the steps read.
    pub rest: [&'a [u8]; ByteFinish::STEPS],
}

impl Tables<'_> {
    /// What is added to a panel's sums.
    #[inline(always)]
    pub fn addend<S: Simd>(&self, s: S, panel: usize) -> S::I32 {
        // No closures: those are compiled without the kernel's instruction set.
        match self.addend.get(panel) {
            Some(addend) => s.load_i32(addend),
            None => s.zero_i32(),
        }
    }

    /// A panel's scales and biases.
    #[inline(always)]
    pub fn row<S: Simd>(&self, s: S, panel: usize) -> (S::F32, S::F32) {
        let scale = s.load(&self.scale[panel]);
        match self.bias.get(panel) {
            Some(bias) => (scale, s.load(bias)),
            None => (scale, s.splat(-0.0)),
        }
    }

    /// A panel's sums as floats.
    #[inline(always)]
    pub fn scaled<S: Simd>(&self, s: S, panel: usize, sums: S::I32) -> S::F32 {
        let (scale, bias) = self.row(s, panel);
        s.mul_add(s.to_f32(s.add_i32(sums, self.addend(s, panel))), scale, bias)
    }
}

/// A block of scaled sums on its way into the result.
pub(crate) struct Tile<'a> {
    pub of: &'a Tables<'a>,
    /// Some rows of some panels.
    pub tile: &'a mut [[f32; LANES]],
    pub rows: usize,
    /// The first row, as a residual counts them.
    pub first: usize,
    /// The first column.
    pub column: usize,
    /// Columns of the result.
    pub n: usize,
    /// From row to row of the result.
    pub ldc: usize,
    /// The result from the first row on.
    pub c: &'a mut [u8],
}

/// Runs `$f` for each vector `$x` of a tile: its element (0, 0) is element `$at` of a matrix with rows of `$ld`, in which
/// the tile's first row is row `$first`, and `$columns` of its columns are there. The number of them is known while compiling
/// where all are. No closure: those are compiled without the kernel's instruction set.
macro_rules! each {
    ($tile:expr, $first:expr, $ld:expr, |$x:ident, $at:ident, $columns:ident| $f:expr) => {{
        let panels = $tile.tile.len() / $tile.rows.max(1);
        for i in 0..panels {
            let column = $tile.column + i * LANES;
            let left = $tile.n - column;
            if left >= LANES {
                each!($tile, $first, $ld, panels, i, column, LANES, |$x, $at, $columns| $f);
            } else {
                each!($tile, $first, $ld, panels, i, column, left, |$x, $at, $columns| $f);
            }
        }
    }};
    ($tile:expr, $first:expr, $ld:expr, $panels:ident, $i:ident, $column:ident, $n:expr, |$x:ident, $at:ident, $columns:ident| $f:expr) => {
        for row in 0..$tile.rows {
            let $x = &mut $tile.tile[row * $panels + $i];
            let ($at, $columns) = (($first + row) * $ld + $column, $n);
            $f;
        }
    };
}

impl Op for Tile<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let mut rest = self.of.rest.iter();
        for step in self.of.finish.steps {
            match step {
                ByteStep::None => break,
                ByteStep::Act(act) => {
                    let (c, columns) = (self.tile.as_mut_ptr().cast(), self.tile.len() * LANES);
                    s.outline(Finish { c, ldc: columns, rows: 1, columns, alpha: 1.0, act });
                }
                ByteStep::AddRow => {
                    let row = rest.next().copied().unwrap_or_default();
                    self.add_row(s, row);
                }
                ByteStep::Add(steps) => {
                    let residual = rest.next().copied().unwrap_or_default();
                    self.add(s, residual, steps);
                }
            }
        }
        match self.of.finish.to {
            None => self.store_floats(),
            Some(to) => self.store_steps(s, to),
        }
    }
}

impl Tile<'_> {
    /// Adds one number a column, of which whole panels are there.
    #[inline(always)]
    fn add_row<S: Simd>(&mut self, s: S, row: &[u8]) {
        let panels = self.tile.len() / self.rows.max(1);
        for i in 0..panels {
            let y = s.load(&floats(&row[(self.column + i * LANES) * 4..][..LANES * 4]));
            for x in self.tile[i..].iter_mut().step_by(panels) {
                s.store(s.add(s.load(x), y), x);
            }
        }
    }

    /// Adds a residual.
    #[inline(always)]
    fn add<S: Simd>(&mut self, s: S, residual: &[u8], steps: Steps) {
        if steps.of == DType::F32 {
            let first = self.first;
            each!(self, first, self.n, |x, at, columns| {
                s.store(s.add(s.load(x), s.load(&floats(&residual[at * 4..][..columns * 4]))), x);
            });
            return;
        }
        let signed = steps.of == DType::I8;
        let (scale, zero, first) = (s.splat(steps.scale), s.splat(steps.zero), self.first);
        each!(self, first, self.n, |x, at, columns| {
            let wide = widened(&residual[at..][..columns], signed);
            let y = s.mul(s.sub(s.to_f32(s.load_i32(&wide)), zero), scale);
            s.store(s.add(s.load(x), y), x);
        });
    }

    #[inline(always)]
    fn store_floats(&mut self) {
        each!(self, 0, self.ldc, |x, at, columns| {
            put(&mut self.c[at * 4..][..columns * 4], &x.map(f32::to_ne_bytes));
        });
    }

    #[inline(always)]
    fn store_steps<S: Simd>(&mut self, s: S, to: Steps) {
        let by = quantise::quantizer(s, to.of, Some(to.scale), Some(to.zero));
        let (scale, zero) = (s.splat(to.scale), s.splat(to.zero));
        // 128 more is the highest bit the other way.
        let flip = if self.of.finish.above_least { 1 << 7 } else { 0 };
        each!(self, 0, self.ldc, |x, at, columns| {
            let bytes = s.to_array_i32(by.integers(s, s.load(x), scale, zero)).map(|step| step as u8 ^ flip);
            let c = &mut self.c[at..][..columns];
            match c.first_chunk_mut() {
                Some(c) => *c = bytes,
                None => c.copy_from_slice(&bytes[..columns]),
            }
        });
    }
}
