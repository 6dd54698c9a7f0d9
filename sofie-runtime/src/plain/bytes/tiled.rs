//! Products of bytes by tiles of rows, where the CPU has registers for such: two tiles by two panels of the weights, whose
//! sums are stored together.

use super::block::VECTORS;
use super::{GROUP, Operands, Part, Rows};
use crate::simd::bytes::Bytes;
use crate::simd::tiles::{self, Product, Shaped, Tiles};
use crate::simd::{LANES, Simd};

/// Rows of a tile, and groups of a piece of a row, below which one row after the other takes less time.
const LEAST: usize = 4;

/// Multiplications below which the registers' shape is not worth its time.
const LEAST_WORK: usize = 1 << 14;

/// Rows up to which a product's weights take as long to come as to multiply.
const FEW_ROWS: usize = 256;

/// How rows are cut into tiles. All tiles are of one height: the last one of a line begins before those that are left.
#[derive(Clone, Copy)]
struct Cut {
    height: usize,
    /// The first row.
    first: usize,
    /// Rows of a line, of which neighbours are at one distance; none where all are.
    line: Option<usize>,
    /// The first row that is no longer read, of all rows.
    end: usize,
}

impl Cut {
    /// The rows from the first of a part up to `whole`, counted as all rows are.
    fn new(line: Option<usize>, first: usize, whole: usize) -> Option<Self> {
        let height = match line {
            Some(line) => line.div_ceil(line.div_ceil(tiles::ROWS)),
            None => (whole - first).min(tiles::ROWS),
        };
        let of_last = line.map_or(whole, |line| (whole - 1) % line + 1);
        // A line that ends before a tile does is left.
        let end = if of_last < height { whole - of_last } else { whole };
        (height >= LEAST && end > first).then_some(Self { height, first, line, end })
    }

    /// The first row of the tile that has a row, and how many of the tile are left from that row on.
    #[inline(always)]
    fn tile(&self, row: usize) -> (usize, usize) {
        let behind = self.line.map_or(self.end, |line| self.end.min((row / line + 1) * line));
        let begin = row.min(behind - self.height);
        (begin, begin + self.height - row)
    }
}

impl<L: Rows> Part<'_, L> {
    /// The first of some rows, by all panels; the row behind them. The rows before `whole` are read to the end of a group.
    #[inline(always)]
    pub(super) fn by_tiles<B: Bytes>(
        &mut self,
        b: B,
        tiles: Tiles,
        (first, rows): (usize, usize),
        whole: usize,
        shifted: &[i32],
    ) -> usize {
        let Operands { rows: at, n, .. } = *self.of;
        let groups = at.run_len().div_ceil(GROUP);
        let chunks = groups.div_ceil(tiles::ROWS);
        let work = rows.saturating_mul(n).saturating_mul(groups * at.runs() * GROUP);
        if whole <= first || groups < LEAST * chunks || work < LEAST_WORK {
            return first;
        }
        let (from, to) = (self.start + first, self.start + whole.min(first + rows));
        let Some(cut) = Cut::new(at.line(), from, to) else { return first };
        let shape = Shaped::new(tiles, cut.height, groups / chunks);
        let (panels, mut panel) = (n.div_ceil(LANES), 0);
        while panel < panels {
            let mut row = from;
            while row < cut.end {
                row = if panel + 1 < panels {
                    self.pair::<B, 2>(
                        b,
                        &shape,
                        cut,
                        (row, panel),
                        shifted.get(row - from..).unwrap_or_default(),
                    )
                } else {
                    self.pair::<B, 1>(
                        b,
                        &shape,
                        cut,
                        (row, panel),
                        shifted.get(row - from..).unwrap_or_default(),
                    )
                };
            }
            panel += 2;
        }
        cut.end - self.start
    }

    /// Two tiles by `P` panels; the row behind them.
    #[inline(always)]
    fn pair<B: Bytes, const P: usize>(
        &mut self,
        b: B,
        shape: &Shaped,
        cut: Cut,
        (row, panel): (usize, usize),
        shifted: &[i32],
    ) -> usize {
        let Operands { a, rows: at, w, .. } = *self.of;
        let Cut { height, first, end, .. } = cut;
        let (runs, of_run) = (at.runs(), at.run_len().div_ceil(GROUP));
        let chunks = of_run.div_ceil(tiles::ROWS);
        let (begin, left) = cut.tile(row);
        let next = row + left;
        // Without a second tile the first one is computed twice.
        let (other, others) = if next < end { cut.tile(next) } else { (begin, 0) };
        let starts = [at.start(begin), at.start(other)];
        let steps = [at.step(), at.stride()];
        let w = &w[panel * runs * of_run..];
        // Each pair of tiles fetches its share of the next panels' weights, which else the first one would wait for. Behind the
        // last ones are what else this product reads, and the weights of the next.
        let share = 2 * runs * of_run * (row - first) / (end - first);
        let next_panels = w.as_ptr().wrapping_add(2 * runs * of_run + share).cast();
        let ahead = (P == 2 && end - first <= FEW_ROWS).then_some(next_panels);
        let mut all = [[0i32; LANES]; VECTORS];
        let sums = &mut all[..2 * height * P];
        shape.product::<P>(
            &Product { a, starts, steps, chunks, runs, w, panel: runs * of_run, run: of_run, ahead },
            sums,
        );
        let done = of_run / chunks * chunks;
        if done < of_run {
            let s = b.simd();
            for (i, sums) in sums.iter_mut().enumerate() {
                let (row, panel) = (i / P, i % P);
                let start = starts[row / height] + row % height * steps[0];
                let mut more = b.none();
                for run in 0..runs {
                    let groups = a[start + run * steps[1]..][done * GROUP..of_run * GROUP].as_chunks().0;
                    let w = &w[(panel * runs + run) * of_run..][done..of_run];
                    for (a, w) in groups.iter().zip(w) {
                        more = b.add(more, u32::from_le_bytes(*a), w);
                    }
                }
                s.store_i32(s.add_i32(s.load_i32(sums), b.sums(more)), sums);
            }
        }
        let s = b.simd();
        let (from, of_next) = (row - self.start, next - self.start);
        if left == height && others == height {
            self.store(s, sums, P, from, panel, shifted);
        } else {
            self.store(s, &mut sums[(height - left) * P..height * P], P, from, panel, shifted);
            if others > 0 {
                let shifted = shifted.get(left..).unwrap_or_default();
                self.store(s, &mut sums[(2 * height - others) * P..], P, of_next, panel, shifted);
            }
        }
        next + others
    }
}
