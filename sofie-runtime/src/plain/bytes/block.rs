//! A block of sums of products of bytes on its way into the result. What most quantised layers do to their sums (scale, bias,
//! clips, what was quantised before, a residual, quantising) is done to a vector at a time in registers; anything else by
//! [`Tile`], one step after the other.

use super::finish::{ByteFinish, ByteStep, Steps, Tables, Tile};
use crate::quantise::{Known, Rounding};
use crate::simd::{LANES, Op, Simd};
use crate::{Act, DType};

/// No residual, or one of bytes or of floats.
const NONE: u8 = 0;
const BYTES: u8 = 1;
const FLOATS: u8 = 2;

/// Vectors of a block at most.
pub(super) const VECTORS: usize = 64;

/// Some rows of some panels.
pub(crate) struct Block<'a> {
    /// The products of the bytes as they are, for each row a vector of each panel.
    pub sums: &'a mut [[i32; LANES]],
    pub panels: usize,
    /// The first panel.
    pub panel: usize,
    /// The first row, as a residual counts them.
    pub first: usize,
    /// The zero point of the left operand.
    pub zero: i32,
    /// The sums of the weights' columns.
    pub columns: &'a [[i32; LANES]],
    /// What the shift of the weights adds to each row; nothing where there is none.
    pub shifted: &'a [i32],
    /// Columns of the result.
    pub n: usize,
    /// From row to row of the result.
    pub ldc: usize,
    pub finish: Option<&'a Tables<'a>>,
    /// The result from the first row on.
    pub c: &'a mut [u8],
}

/// Least and most of what is left of numbers, the most first where they are in the wrong order.
type Interval = (f32, f32);

/// All numbers.
const ALL: Interval = (f32::NEG_INFINITY, f32::INFINITY);

/// A clip behind another.
fn clipped((lo, hi): Interval, (to_lo, to_hi): Interval) -> Interval {
    (lo.max(to_lo).min(to_hi), hi.max(to_lo).min(to_hi))
}

/// Numbers held to an interval and put on steps, and what those stand for times one number plus another.
type Requantised = (Known, Option<(f32, f32)>);

/// What most quantised layers do to the scaled sums, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Chain {
    before: Option<Requantised>,
    /// A residual is added.
    add: Option<Steps>,
    behind: Option<Requantised>,
    /// Floats are held to an interval.
    clip: Interval,
    /// Held to an interval and put on steps.
    to: Option<Known>,
}

impl Chain {
    /// What a finish does, if it is such.
    pub fn of(finish: &ByteFinish) -> Option<Self> {
        let (mut chain, mut clip) =
            (Self { before: None, add: None, behind: None, clip: ALL, to: None }, ALL);
        for step in finish.steps {
            let requantised = if chain.add.is_none() { &mut chain.before } else { &mut chain.behind };
            match (step, requantised) {
                (ByteStep::None, _) => break,
                (ByteStep::Act(Act::Relu), _) => clip = clipped(clip, (0.0, f32::INFINITY)),
                (ByteStep::Act(Act::Clip { lo, hi }), _) => clip = clipped(clip, (lo, hi)),
                (ByteStep::Act(Act::FakeQuantize { scale, zero, to }), requantised @ None) => {
                    *requantised = Some((Known::new(to, scale, zero)?.held(clip.0, clip.1), None));
                    clip = ALL;
                }
                (ByteStep::Act(Act::Affine { alpha, beta }), Some((_, affine @ None))) if clip == ALL => {
                    *affine = Some((alpha, beta));
                }
                (ByteStep::Add(steps), _) if chain.add.is_none() && clip == ALL => chain.add = Some(steps),
                _ => return None,
            }
        }
        match finish.to {
            Some(to) => chain.to = Some(Known::new(to.of, to.scale, to.zero)?.held(clip.0, clip.1)),
            None => chain.clip = clip,
        }
        Some(chain)
    }
}

/// The same in all lanes.
#[derive(Clone, Copy)]
struct Requantising<S: Simd> {
    to: Rounding<S>,
    is_scaled: bool,
    alpha: S::F32,
    beta: S::F32,
}

impl<S: Simd> Requantising<S> {
    #[inline(always)]
    fn new(s: S, by: Option<Requantised>) -> Self {
        let (to, affine) = by.unwrap_or_default();
        let (alpha, beta) = affine.unwrap_or_default();
        Self {
            to: Rounding::new(s, to),
            is_scaled: affine.is_some(),
            alpha: s.splat(alpha),
            beta: s.splat(beta),
        }
    }

    #[inline(always)]
    fn of(self, s: S, x: S::F32) -> S::F32 {
        self.scaled(s, self.to.nearest(s, x))
    }

    /// What becomes of a NaN, which is the step 0.
    #[inline(always)]
    fn of_nan(self, s: S, by: Option<Requantised>) -> S::F32 {
        self.scaled(s, s.splat(by.unwrap_or_default().0.nan))
    }

    #[inline(always)]
    fn scaled(self, s: S, x: S::F32) -> S::F32 {
        if self.is_scaled { s.mul_add(x, self.alpha, self.beta) } else { x }
    }
}

/// 16 bytes at most as whole numbers.
#[inline(always)]
pub(crate) fn widened(from: &[u8], signed: bool) -> [i32; LANES] {
    let mut bytes = [0u8; LANES];
    match from.first_chunk() {
        Some(all) => bytes = *all,
        None => bytes[..from.len()].copy_from_slice(from),
    }
    if signed { bytes.map(|b| i32::from(b as i8)) } else { bytes.map(i32::from) }
}

impl Op for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        if !self.shifted.is_empty() {
            self.shift(s);
        }
        let Some(tables) = self.finish else { return self.store_sums(s) };
        if let Some(chain) = tables.chain {
            return self.chain(s, tables, chain);
        }
        let mut tile = [[0f32; LANES]; VECTORS];
        let tile = &mut tile[..self.sums.len()];
        for i in 0..self.panels {
            let less = self.less(s, i);
            let all = tile[i..].iter_mut().zip(&self.sums[i..]);
            for (x, sums) in all.step_by(self.panels) {
                s.store(tables.scaled(s, self.panel + i, s.sub_i32(s.load_i32(sums), less)), x);
            }
        }
        let rows = self.sums.len() / self.panels;
        let Self { first, panel, n, ldc, c, .. } = self;
        Tile { of: tables, tile, rows, first, column: panel * LANES, n, ldc, c }.run(s);
    }
}

impl Block<'_> {
    /// What the zero point of the left operand takes off the sums of a panel.
    #[inline(always)]
    fn less<S: Simd>(&self, s: S, panel: usize) -> S::I32 {
        s.mul_i32(s.splat_i32(self.zero), s.load_i32(&self.columns[self.panel + panel]))
    }

    /// Adds what the shift of the weights adds to each row.
    #[inline(always)]
    fn shift<S: Simd>(&mut self, s: S) {
        for (sums, shifted) in self.sums.chunks_mut(self.panels).zip(self.shifted) {
            for sums in sums {
                s.store_i32(s.add_i32(s.load_i32(sums), s.splat_i32(*shifted)), sums);
            }
        }
    }

    /// The sums as they are.
    #[inline(always)]
    fn store_sums<S: Simd>(&mut self, s: S) {
        for i in 0..self.panels {
            let (less, column) = (self.less(s, i), (self.panel + i) * LANES);
            let len = size_of::<i32>() * LANES.min(self.n - column);
            for (row, sums) in self.sums[i..].iter().step_by(self.panels).enumerate() {
                let sums = s.sub_i32(s.load_i32(sums), less);
                let all = s.to_array_i32(sums).map(i32::to_ne_bytes);
                put(&mut self.c[(row * self.ldc + column) * size_of::<i32>()..][..len], &all);
            }
        }
    }

    /// Does a chain.
    #[inline(always)]
    fn chain<S: Simd>(mut self, s: S, tables: &Tables<'_>, chain: Chain) {
        match (chain.before.is_some(), chain.add.map(|add| add.of), chain.to.is_some()) {
            (false, None, true) => self.panels::<S, false, NONE, true>(s, tables, chain),
            (false, None, false) => self.panels::<S, false, NONE, false>(s, tables, chain),
            (true, None, true) => self.panels::<S, true, NONE, true>(s, tables, chain),
            (true, None, false) => self.panels::<S, true, NONE, false>(s, tables, chain),
            (false, Some(DType::F32), true) => self.panels::<S, false, FLOATS, true>(s, tables, chain),
            (false, Some(DType::F32), false) => self.panels::<S, false, FLOATS, false>(s, tables, chain),
            (true, Some(DType::F32), true) => self.panels::<S, true, FLOATS, true>(s, tables, chain),
            (true, Some(DType::F32), false) => self.panels::<S, true, FLOATS, false>(s, tables, chain),
            (false, Some(_), true) => self.panels::<S, false, BYTES, true>(s, tables, chain),
            (false, Some(_), false) => self.panels::<S, false, BYTES, false>(s, tables, chain),
            (true, Some(_), true) => self.panels::<S, true, BYTES, true>(s, tables, chain),
            (true, Some(_), false) => self.panels::<S, true, BYTES, false>(s, tables, chain),
        }
    }

    #[inline(always)]
    fn panels<S: Simd, const BEFORE: bool, const ADD: u8, const STEPS: bool>(
        &mut self,
        s: S,
        tables: &Tables<'_>,
        chain: Chain,
    ) {
        for i in 0..self.panels {
            let left = self.n - (self.panel + i) * LANES;
            if left >= LANES {
                self.rows::<S, BEFORE, ADD, STEPS>(s, tables, chain, (i, LANES));
            } else {
                self.rows::<S, BEFORE, ADD, STEPS>(s, tables, chain, (i, left));
            }
        }
    }

    /// All rows of a panel, of which some columns are there.
    #[inline(always)]
    fn rows<S: Simd, const BEFORE: bool, const ADD: u8, const STEPS: bool>(
        &mut self,
        s: S,
        tables: &Tables<'_>,
        chain: Chain,
        (i, columns): (usize, usize),
    ) {
        let (before, behind) = (Requantising::new(s, chain.before), Requantising::new(s, chain.behind));
        let of_nan = behind.of_nan(s, chain.behind);
        let is_behind = ADD != NONE && chain.behind.is_some();
        let (is_held, lo, hi) = (chain.clip != ALL, s.splat(chain.clip.0), s.splat(chain.clip.1));
        let to = Rounding::new(s, chain.to.unwrap_or_default());
        let (of, by, zero) = chain.add.map_or((DType::U8, 0.0, 0.0), |add| (add.of, add.scale, add.zero));
        let (signed, by, zero) = (of == DType::I8, s.splat(by), s.splat(zero));
        // 128 more is the highest bit the other way.
        let flip = if tables.finish.above_least { 1 << 7 } else { 0 };
        let (scale, bias) = tables.row(s, self.panel + i);
        let more = s.sub_i32(tables.addend(s, self.panel + i), self.less(s, i));
        let column = (self.panel + i) * LANES;
        let of_residual = if ADD == FLOATS { size_of::<f32>() } else { 1 };
        let residual = if ADD == NONE { &[] } else { &tables.rest[0][self.first * self.n * of_residual..] };
        let of_result = if STEPS { 1 } else { size_of::<f32>() };
        let (mut at, mut c) = (column, &mut self.c[column * of_result..]);
        for sums in self.sums[i..].iter().step_by(self.panels) {
            let mut x = s.mul_add(s.to_f32(s.add_i32(s.load_i32(sums), more)), scale, bias);
            if BEFORE {
                x = before.of(s, x);
            }
            if ADD == FLOATS {
                x = s.add(x, s.load(&floats(&residual[at * of_residual..][..columns * of_residual])));
            } else if ADD == BYTES {
                let y = s.load_i32(&widened(&residual[at..][..columns], signed));
                x = s.add(x, s.mul(s.sub(s.to_f32(y), zero), by));
            }
            if is_behind {
                let is_nan = s.is_nan(x);
                x = behind.of(s, x);
                if ADD == FLOATS {
                    x = s.select(is_nan, of_nan, x);
                }
            }
            if STEPS {
                let mut step = to.step(s, x);
                if ADD == FLOATS {
                    step = s.select_i32(s.is_nan(x), s.zero_i32(), step);
                }
                let bytes = s.to_array_i32(step).map(|step| step as u8 ^ flip);
                match c[..columns].first_chunk_mut() {
                    Some(c) => *c = bytes,
                    None => c[..columns].copy_from_slice(&bytes[..columns]),
                }
            } else {
                if is_held {
                    x = s.clamp(x, lo, hi);
                }
                put(&mut c[..columns * of_result], &s.to_array(x).map(f32::to_ne_bytes));
            }
            at += self.n;
            c = c.get_mut(self.ldc * of_result..).unwrap_or_default();
        }
    }
}

/// At most 16 floats, as their bytes.
#[inline(always)]
pub(super) fn floats(bytes: &[u8]) -> [f32; LANES] {
    let mut all = [[0u8; 4]; LANES];
    let flat = all.as_flattened_mut();
    // Of one length where it can be: a copy of any length is a call.
    if bytes.len() == flat.len() {
        flat.copy_from_slice(bytes)
    } else {
        flat[..bytes.len()].copy_from_slice(bytes)
    }
    all.map(f32::from_ne_bytes)
}

/// Stores the first of 16 elements, as many as there is room for.
#[inline(always)]
pub(super) fn put(c: &mut [u8], all: &[[u8; 4]; LANES]) {
    let all = all.as_flattened();
    if c.len() == all.len() { c.copy_from_slice(all) } else { c.copy_from_slice(&all[..c.len()]) }
}
