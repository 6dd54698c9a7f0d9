//! Windows by columns: four rows of a column side by side are a group of bytes for each channel, which one instruction adds,
//! and which all windows share that have the column.

use super::{Lines, PANELS, Sums, Windows};
use crate::simd::quads::{Quads, QuadsOp, Words};
use crate::simd::{Avx512, LANES, Simd};
use core::ops::Range;

/// Rows of a group.
const ROWS: usize = 4;

/// Groups of a column, at most.
const GROUPS: usize = 2;

/// Groups of a window, at most: 7 columns.
const MOST: usize = 7 * GROUPS;

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

    /// The first byte of each of the rows of a line's windows, group by group.
    #[inline(always)]
    fn starts(&self, line: usize, panel: usize) -> [[usize; ROWS]; GROUPS] {
        let mut starts = [[0; ROWS]; GROUPS];
        for (row, start) in starts.as_flattened_mut().iter_mut().enumerate() {
            // A row that is not there has weights of 0.
            *start = self.at(line, 0, row.min(self.of.kernel[0] - 1), panel);
        }
        starts
    }
}

/// By columns of windows of `K`, `STEP` apart.
#[derive(Clone, Copy)]
struct Columns<'a, const K: usize, const STEP: usize> {
    q: Quads,
    weights: &'a Weights,
    starts: &'a [[usize; ROWS]],
}

impl<const K: usize, const STEP: usize> Sums for Columns<'_, K, STEP> {
    type Simd = Avx512;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.q.simd()
    }

    #[inline(always)]
    fn add<'s, const N: usize>(
        self,
        of: &Lines<'_>,
        (line, column): (usize, usize),
        (i, panel): (usize, usize),
        sums: impl Iterator<Item = &'s mut [i32; LANES]>,
    ) {
        let first = column * STEP * of.of.channels + i * LANES;
        match of.by_columns::<K, STEP, N>(self.q, &self.weights[i], self.starts, first) {
            Some(found) => {
                for (to, found) in sums.zip(found) {
                    self.simd().store_i32(found, to);
                }
            }
            None => Windows::<_, 0>(self.simd()).add::<N>(of, (line, column), (i, panel), sums),
        }
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
                let starts = &self.starts(line, first)[..self.of.kernel[0].div_ceil(ROWS)];
                let some = some.clone();
                match (self.of.kernel[1], self.of.strides[1]) {
                    (3, 1) => self.line(Columns::<3, 1> { q, weights, starts }, line, some),
                    (3, _) => self.line(Columns::<3, 2> { q, weights, starts }, line, some),
                    (5, 1) => self.line(Columns::<5, 1> { q, weights, starts }, line, some),
                    (5, _) => self.line(Columns::<5, 2> { q, weights, starts }, line, some),
                    (_, 1) => self.line(Columns::<7, 1> { q, weights, starts }, line, some),
                    _ => self.line(Columns::<7, 2> { q, weights, starts }, line, some),
                }
            }
        }
    }
}
