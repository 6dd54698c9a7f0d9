//! The register tile: a few vectors of outputs in a line, a few filters.

use super::Taps;
use crate::simd::{LANES, Level, Op, Simd};

/// All filters of one group over a line of outputs.
pub(super) struct Line<'a> {
    /// The planes of the group's channels, a vector more than the line needs.
    pub x: &'a [f32],
    /// Floats from a channel to the next.
    pub plane: usize,
    pub c: usize,
    pub taps: &'a [Taps; 3],
    /// `[tap][c][m]`.
    pub w: &'a [f32],
    pub m: usize,
    /// May be empty: zeros.
    pub bias: &'a [f32],
    /// Applied last; others would be compiled into each tile.
    pub relu: bool,
    /// `[m][line]`.
    pub to: &'a mut [f32],
    /// Outputs, whole vectors.
    pub line: usize,
}

impl Taps {
    /// The largest offset.
    fn last(&self) -> usize {
        let (mut offset, mut phase, mut last) = (self.first, 0, 0);
        for _ in 0..self.count {
            last = last.max(offset);
            self.next(&mut offset, &mut phase);
        }
        last
    }
}

impl Op for Line<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let steps = self.taps.iter().map(|t| t.count).product::<usize>() * self.c;
        if steps != 0 {
            let reach = self.taps.iter().map(Taps::last).sum::<usize>() + (self.c - 1) * self.plane;
            assert!(self.x.len() >= reach + self.line, "planes that are too short");
        }
        assert!(self.w.len() >= steps * self.m && self.to.len() >= self.m * self.line, "too short");
        assert!(self.bias.is_empty() || self.bias.len() >= self.m, "a bias that is too short");
        let vectors = self.line / LANES;
        let tiles = self.m.div_ceil(max_filters(S::LEVEL));
        let (mut filter, to) = (0, self.to.as_mut_ptr());
        for tile in 0..tiles {
            let filters = (self.m - filter).div_ceil(tiles - tile);
            let place = Place {
                line: &self,
                w: self.w.as_ptr().wrapping_add(filter),
                bias: if self.bias.is_empty() {
                    core::ptr::null()
                } else {
                    self.bias.as_ptr().wrapping_add(filter)
                },
                to: to.wrapping_add(filter * self.line),
            };
            let wide = wide(S::LEVEL, filters, vectors);
            // SAFETY: checked above.
            unsafe { run(s, filters, wide, place) };
            filter += filters;
        }
    }
}

/// Where a tile's filters are.
#[derive(Clone, Copy)]
struct Place<'a> {
    line: &'a Line<'a>,
    w: *const f32,
    /// Null: zeros.
    bias: *const f32,
    to: *mut f32,
}

/// `M` filters, `V` vectors of outputs at a time.
struct Tile<'a, const M: usize, const V: usize>(Place<'a>);

impl<const M: usize, const V: usize> Op for Tile<'_, M, V> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Place { line, w: first_w, bias, to } = self.0;
        let [t0, t1, t2] = line.taps;
        let (x, c, plane, m) = (line.x.as_ptr(), line.c, line.plane, line.m);
        let vectors = line.line / LANES;
        let mut at = 0;
        while at < vectors {
            // The last tile moves back over the one before.
            let first = at.min(vectors - V) * LANES;
            // SAFETY: `Line::run` checked the lengths; a line has at least `V` vectors.
            unsafe {
                let mut acc = [[s.zero(); V]; M];
                if !bias.is_null() {
                    for (f, acc) in acc.iter_mut().enumerate() {
                        *acc = [s.splat(*bias.add(f)); V];
                    }
                }
                let mut w = first_w;
                let (mut offset0, mut phase0) = (t0.first.wrapping_add(first), 0);
                for _ in 0..t0.count {
                    let (mut offset1, mut phase1) = (offset0.wrapping_add(t1.first), 0);
                    for _ in 0..t1.count {
                        let (mut offset2, mut phase2) = (offset1.wrapping_add(t2.first), 0);
                        for _ in 0..t2.count {
                            let mut x = x.add(offset2);
                            for _ in 0..c {
                                let mut pixels = [s.zero(); V];
                                for (v, p) in pixels.iter_mut().enumerate() {
                                    *p = s.load_ptr(x.add(v * LANES));
                                }
                                for (f, acc) in acc.iter_mut().enumerate() {
                                    let w = s.splat(*w.add(f));
                                    for (acc, x) in acc.iter_mut().zip(pixels) {
                                        *acc = s.mul_add(x, w, *acc);
                                    }
                                }
                                w = w.add(m);
                                x = x.wrapping_add(plane);
                            }
                            t2.next(&mut offset2, &mut phase2);
                        }
                        t1.next(&mut offset1, &mut phase1);
                    }
                    t0.next(&mut offset0, &mut phase0);
                }
                // Two loops that are unrolled: sums that one loop changes and another stores are kept in memory all along.
                if line.relu {
                    for (f, acc) in acc.iter().enumerate() {
                        for (v, &x) in acc.iter().enumerate() {
                            let x = s.max_raw(s.zero(), x);
                            s.store_ptr(x, to.add(f * line.line + first + v * LANES));
                        }
                    }
                } else {
                    for (f, acc) in acc.iter().enumerate() {
                        for (v, &x) in acc.iter().enumerate() {
                            s.store_ptr(x, to.add(f * line.line + first + v * LANES));
                        }
                    }
                }
            }
            at += V;
        }
    }
}

/// Filters of the tallest tile.
const fn max_filters(level: Level) -> usize {
    match level {
        Level::Scalar => 1,
        _ => 6,
    }
}

/// Vectors of the tile for so many filters, at most `vectors`: what wastes least. AVX-512 has 32 registers, the
/// other two room for 6 accumulators.
fn wide(level: Level, filters: usize, vectors: usize) -> usize {
    let sizes: &[usize] = match (level, filters) {
        (Level::Avx512, 1 | 2) => &[8, 4, 2, 1],
        (Level::Avx512, 3 | 4) => &[6, 3, 1],
        (Level::Avx512, _) => &[4, 2, 1],
        (Level::Scalar, _) => &[1],
        (_, 1) => &[4, 2, 1],
        (_, 2) => &[3, 1],
        (_, 3) => &[2, 1],
        _ => &[1],
    };
    // Fewer than four or five chains wait for themselves.
    let cost = |v: usize| vectors.div_ceil(v) * (v * filters).max(5);
    sizes.iter().copied().filter(|&v| v <= vectors).min_by_key(|&v| cost(v)).unwrap_or(1)
}

/// Runs a tile of the sizes that [`max_filters`] and [`wide`] give.
///
/// # Safety
/// Everything that `place` describes exists.
#[inline(always)]
unsafe fn run<S: Simd>(s: S, filters: usize, wide: usize, place: Place) {
    macro_rules! tiles {
        ($($m:literal: $($v:literal)*;)*) => {
            match (filters, wide) {
                $($(($m, $v) => s.outline(Tile::<$m, $v>(place)),)*)*
                _ => unreachable!("no tile of {filters} filters and {wide} vectors"),
            }
        };
    }
    // Conditions rather than a match: only what is reachable for `S` is compiled.
    if const { S::LEVEL as u8 == Level::Avx512 as u8 } {
        tiles! { 1: 8 4 2 1; 2: 8 4 2 1; 3: 6 3 1; 4: 6 3 1; 5: 4 2 1; 6: 4 2 1; }
    } else if const { S::LEVEL as u8 == Level::Scalar as u8 } {
        tiles! { 1: 1; }
    } else {
        tiles! { 1: 4 2 1; 2: 3 1; 3: 2 1; 4: 1; 5: 1; 6: 1; }
    }
}
