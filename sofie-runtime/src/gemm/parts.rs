//! A product in parts for several cores: blocks of rows and columns, never of k, so that each output stays one chain.

use core::ops::Range;

use super::drive::Problem;
use super::pack::NR;
use crate::parallel;

/// Rows of a part at least: each part reads all of its columns of B.
const ROWS: usize = 48;
/// Columns of a part at least: those of the widest tile.
const COLUMNS: usize = 2 * NR;

// SAFETY: a problem is a description whose operands were checked; who runs it or parts of it promises anew that what
// they write is written by nobody else.
unsafe impl Sync for Problem {}

/// Runs a product, or parts of it at once; `run` is given each part and the row of the product that it begins with.
pub(super) fn run(p: &Problem, run: impl Fn(&Problem, usize) + Sync) {
    // Of a few rows it is the weights that take the time.
    let operations = 2usize.saturating_mul(p.m.max(4)).saturating_mul(p.k).saturating_mul(p.n);
    let (lines, columns) = (p.lines.count, p.n / COLUMNS);
    // Tiles do not reach over the end of a line, nor parts.
    let most = if lines > 1 { lines.min(p.m / ROWS) } else { p.m / ROWS };
    let parts = parallel::parts(operations, most.max(1).saturating_mul(columns.max(1)));
    if parts == 1 {
        return run(p, 0);
    }
    let down = most.clamp(1, parts);
    let across = (parts / down).clamp(1, columns.max(1));
    parallel::for_each(down * across, |i| {
        let rows = match lines {
            1 => parallel::share(p.m, 12, down, i / across),
            lines => {
                let (part, rows) = (parallel::share(lines, 1, down, i / across), p.m / lines);
                part.start * rows..part.end * rows
            }
        };
        let columns = parallel::share(p.n, COLUMNS, across, i % across);
        run(&p.part(rows.clone(), columns), rows.start);
    });
}

impl Problem {
    /// Some of the rows, whole lines where there are several, and some of the columns, from a whole panel on.
    fn part(&self, rows: Range<usize>, columns: Range<usize>) -> Problem {
        let mut part = Problem { m: rows.len(), n: columns.len(), ..*self };
        let (mut c, mut residual) = (rows.start * self.ldc, rows.start * self.ldr);
        if self.events.rows != usize::MAX {
            (part.events.begun, residual) = (self.events.begun + rows.start, 0);
        }
        if self.lines.count > 1 {
            let rows_of_line = self.m / self.lines.count;
            let line = rows.start / rows_of_line;
            part.lines.count = rows.len() / rows_of_line;
            (c, residual) = (line * self.lines.ldc, line * self.lines.ldr);
        }
        part.c = self.c.wrapping_add(c + columns.start);
        part.w = self.w.wrapping_add(columns.start * self.k);
        if !self.bias.is_null() {
            part.bias = self.bias.wrapping_add(columns.start);
        }
        if !self.residual.is_null() {
            part.residual = self.residual.wrapping_add(residual + columns.start);
        }
        part
    }
}
