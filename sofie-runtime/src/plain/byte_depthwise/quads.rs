//! Windows by columns: four rows of a column side by side are a group of bytes for each channel, which one instruction adds,
//! and which all windows share that have the column.

use super::{Lines, PANELS, PIXELS};
use crate::simd::quads::{Quads, QuadsOp, Words};
use crate::simd::{LANES, Simd};
use core::ops::Range;

/// Rows of a group.
const ROWS: usize = 4;

/// Groups of a column, at most.
const GROUPS: usize = 2;

/// Groups of a window, at most: 7 columns.
const MOST: usize = 7 * GROUPS;

/// Pixels whose sums are finished together.
const CHUNK: usize = 16;

/// The weights of some panels, group by group: those of a column stand together.
type Weights = [[[u32; LANES]; MOST]; PANELS];

impl Lines<'_> {
    /// Whether the windows have columns next to each other, few enough and of few rows.
    pub(super) fn fits_quads(&self) -> bool {
        let [rows, columns] = self.of.kernel;
        (1..=GROUPS * ROWS).contains(&rows)
            && self.of.dilations[1] == 1
            && matches!((columns, self.of.strides[1]), (3 | 5 | 7, 1 | 2))
    }

    /// The weights of a group of panels as bytes.
    #[inline(always)]
    fn weights(&self, q: Quads, panels: Range<usize>) -> Weights {
        let s = q.simd();
        let ([rows, columns], mut all) = (self.of.kernel, [[[0; LANES]; MOST]; PANELS]);
        for (panel, all) in panels.zip(&mut all) {
            let w = &self.w[panel * rows * columns..][..rows * columns];
            let groups = rows.div_ceil(ROWS);
            for (at, to) in all.iter_mut().enumerate().take(columns * groups) {
                let (column, first) = (at / groups, at % groups * ROWS);
                let mut group = s.zero_i32();
                for row in first..rows.min(first + ROWS) {
                    let byte = s.and(s.round_i32(s.load(&w[row * columns + column])), s.splat_i32(0xff));
                    group = s.or(group, s.shl(byte, 8 * (row - first) as u32));
                }
                *to = q.store(group);
            }
        }
        all
    }

    /// The sums of `N` neighbouring pixels of a panel, `STEP` columns apart, whose windows have `K` columns, which begin `first`
    /// bytes behind the rows; nothing where the last of them is behind the image.
    #[inline(always)]
    fn by_columns<const K: usize, const STEP: usize, const N: usize>(
        &self,
        q: Quads,
        w: &[[u32; LANES]; MOST],
        rows: &[[usize; ROWS]],
        first: usize,
    ) -> Option<[Words; N]> {
        let (channels, groups) = (self.of.channels, rows.len());
        let last = rows.last()?[ROWS - 1] + first + ((N - 1) * STEP + K - 1) * channels;
        if last + LANES > self.a.len() {
            return None;
        }
        let mut sums = [q.none(); N];
        for (group, rows) in rows.iter().enumerate() {
            let a = self.a.as_ptr().wrapping_add(first);
            let mut at = [
                a.wrapping_add(rows[0]),
                a.wrapping_add(rows[1]),
                a.wrapping_add(rows[2]),
                a.wrapping_add(rows[3]),
            ];
            for x in 0..(N - 1) * STEP + K {
                // SAFETY: the last column of the last row ends within the image, as was asked, and the others are before it.
                let column = unsafe { q.interleave(at) };
                for at in &mut at {
                    *at = at.wrapping_add(channels);
                }
                for (i, sums) in sums.iter_mut().enumerate() {
                    if i * STEP <= x && x - i * STEP < K {
                        *sums = q.add(*sums, column, &w[(x - i * STEP) * groups + group]);
                    }
                }
            }
        }
        Some(sums)
    }

    /// As [`Lines::line`].
    #[inline(always)]
    fn line_of_columns<const K: usize, const STEP: usize>(
        &mut self,
        q: Quads,
        weights: &Weights,
        line: usize,
        panels: Range<usize>,
    ) {
        let (rows, columns) = (self.of.kernel[0], self.of.result[1]);
        let mut starts = [[0; ROWS]; GROUPS];
        for (row, start) in starts.as_flattened_mut().iter_mut().enumerate() {
            // A row that is not there has weights of 0.
            *start = self.at(line, 0, row.min(rows - 1), panels.start);
        }
        let starts = &starts[..rows.div_ceil(ROWS)];
        let mut sums = [[0; LANES]; CHUNK * PANELS];
        let mut from = 0;
        while from < columns {
            // The last pixels of a line begin before those that are left.
            let end = columns.min(from + CHUNK);
            let first = if end - from < PIXELS { end.saturating_sub(PIXELS) } else { from };
            for (i, panel) in panels.clone().enumerate() {
                let mut column = first;
                while column < end {
                    let at = column * STEP * self.of.channels + i * LANES;
                    let to = sums[(column - first) * panels.len() + i..].iter_mut().step_by(panels.len());
                    let w = &weights[i];
                    if end - first < PIXELS {
                        match self.by_columns::<K, STEP, 1>(q, w, starts, at) {
                            Some(found) => store(q, found, to),
                            None => self.sums_of_windows::<_, 0, 1>(q.simd(), (line, column), panel, to),
                        }
                        column += 1;
                    } else {
                        match self.by_columns::<K, STEP, PIXELS>(q, w, starts, at) {
                            Some(found) => store(q, found, to),
                            None => self.sums_of_windows::<_, 0, PIXELS>(q.simd(), (line, column), panel, to),
                        }
                        column += PIXELS;
                        if column < end {
                            column = column.min(end - PIXELS);
                        }
                    }
                }
            }
            self.finish(q.simd(), &mut sums, line, (first, from, end - first), panels.clone());
            from = end;
        }
    }
}

#[inline(always)]
fn store<'s, const N: usize>(q: Quads, found: [Words; N], to: impl Iterator<Item = &'s mut [i32; LANES]>) {
    for (to, found) in to.zip(found) {
        q.simd().store_i32(found, to);
    }
}

impl QuadsOp for Lines<'_> {
    #[inline(always)]
    fn run(mut self, q: Quads) {
        let panels = self.of.channels.div_ceil(LANES);
        for first in (0..panels).step_by(PANELS) {
            let some = first..panels.min(first + PANELS);
            let weights = &self.weights(q, some.clone());
            for line in self.lines.clone() {
                let some = some.clone();
                match (self.of.kernel[1], self.of.strides[1]) {
                    (3, 1) => self.line_of_columns::<3, 1>(q, weights, line, some),
                    (3, _) => self.line_of_columns::<3, 2>(q, weights, line, some),
                    (5, 1) => self.line_of_columns::<5, 1>(q, weights, line, some),
                    (5, _) => self.line_of_columns::<5, 2>(q, weights, line, some),
                    (_, 1) => self.line_of_columns::<7, 1>(q, weights, line, some),
                    _ => self.line_of_columns::<7, 2>(q, weights, line, some),
                }
            }
        }
    }
}
