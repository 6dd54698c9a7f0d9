//! Convolution over planes: pixels in the lanes, a few filters in registers.
//!
//! Where a group has few filters (one for a density, a handful in grouped layers) vectors of channels are mostly
//! empty. Here the image is taken apart into one plane a channel, between its zeros, and for strides one plane a
//! phase besides; then a tap is one offset, the same for every output, and all outputs of a band are one long
//! line. What the line computes between the images' lines is not stored. The chains are those of the definition.

mod bands;
mod copy;
mod pooled;
mod shuffle;
mod tile;

use self::bands::{Band, Bands};
use self::copy::{Gather, Spread};
pub(super) use self::pooled::{run as run_pooled, scratch as scratch_pooled};
use self::tile::Line;
use super::transpose::{Phase, for_each_phase};
use super::{Conv, ConvTranspose, Operands, Window, from};
use crate::Act;
use crate::gemm::Finish;
use crate::simd::{LANES, dispatch};

/// Floats that the planes of a band and its results may take: they stay in L1 and L2.
const BAND: usize = 12 * 1024;

/// A convolution or a transposed one, as what both are: outputs in phases, `step` elements of x apart.
#[derive(Clone, Copy, Debug)]
struct Shape {
    batch: usize,
    x: [usize; 3],
    y: [usize; 3],
    /// Outputs of the largest phase.
    count: [usize; 3],
    /// Elements of x from an output of a phase to the next.
    step: [usize; 3],
    /// Elements of y from an output of a phase to the next.
    y_step: [usize; 3],
    /// The lowest element of x that an output 0 sees; wraps around below 0.
    low: [usize; 3],
    /// Elements from there to the highest.
    reach: [usize; 3],
    c: usize,
    m: usize,
    group: usize,
    /// Weights of a group.
    weights: usize,
    ldx: usize,
    ldy: usize,
    ldr: usize,
    act: Act,
}

/// How the planes of a band lie: `[channel][phase of x…][rows…]`.
#[derive(Clone, Copy, Debug)]
struct Planes {
    /// Elements of a phase, per axis.
    rows: [usize; 3],
    /// Floats from an element of a phase to the next, per axis.
    row: [usize; 3],
    /// Floats from a phase to the next, per axis.
    phase: [usize; 3],
    /// Floats of a channel.
    plane: usize,
}

/// The taps of one axis as offsets into a plane: each is `add` from the last, and `carry` more whenever `turn`,
/// added up, reaches `phases`.
#[derive(Clone, Copy, Debug)]
struct Taps {
    count: usize,
    first: usize,
    add: usize,
    turn: usize,
    phases: usize,
    carry: usize,
}

impl Taps {
    #[inline(always)]
    fn next(&self, offset: &mut usize, phase: &mut usize) {
        *offset = offset.wrapping_add(self.add);
        *phase += self.turn;
        if *phase >= self.phases {
            *phase -= self.phases;
            *offset = offset.wrapping_add(self.carry);
        }
    }
}

impl Shape {
    const fn new(conv: &Conv) -> Shape {
        let w = &conv.window;
        let (mut low, mut reach) = ([0usize; 3], [0; 3]);
        let mut i = 0;
        while i < 3 {
            low[i] = w.pads_begin[i].wrapping_neg();
            reach[i] = w.kernel[i].saturating_sub(1) * w.dilations[i] + 1;
            i += 1;
        }
        Shape {
            batch: conv.batch,
            x: w.x,
            y: w.y,
            count: w.y,
            step: w.strides,
            y_step: [1; 3],
            low,
            reach,
            c: conv.c,
            m: conv.m,
            group: conv.group,
            weights: w.taps() * (conv.c / conv.group) * (conv.m / conv.group),
            ldx: conv.ldx,
            ldy: conv.ldy,
            ldr: conv.ldr,
            act: conv.act,
        }
    }

    const fn transposed(conv: &ConvTranspose) -> Shape {
        let w = &conv.window;
        let (mut low, mut reach, mut count) = ([0usize; 3], [0; 3], [0; 3]);
        let mut i = 0;
        while i < 3 {
            let (mut least, mut most) = (isize::MAX, isize::MIN);
            let mut first = 0;
            while first < w.strides[i] {
                let phase = Phase::new(w, i, first);
                if phase.taps != 0 && phase.count != 0 {
                    let start = phase.start as isize;
                    let end = start + (phase.taps - 1) as isize * phase.step as isize;
                    least = if end < least { end } else { least };
                    most = if start > most { start } else { most };
                }
                count[i] = if phase.count > count[i] { phase.count } else { count[i] };
                first += 1;
            }
            if least <= most {
                (low[i], reach[i]) = (least as usize, (most - least) as usize + 1);
            } else {
                // No output sees anything.
                (low[i], reach[i]) = (0, 1);
            }
            i += 1;
        }
        Shape {
            batch: conv.batch,
            x: w.x,
            y: w.y,
            count,
            step: [1; 3],
            y_step: w.strides,
            low,
            reach,
            c: conv.c,
            m: conv.m,
            group: conv.group,
            weights: w.taps() * (conv.c / conv.group) * (conv.m / conv.group),
            ldx: conv.ldx,
            ldy: conv.ldy,
            ldr: conv.ldr,
            act: conv.act,
        }
    }

    /// The planes for so many outputs a phase.
    const fn planes(&self, count: [usize; 3]) -> Planes {
        let mut rows = [0; 3];
        let mut i = 0;
        while i < 3 {
            let reach = count[i].saturating_sub(1) * self.step[i] + self.reach[i];
            // Divisions are what a small image would spend its time on.
            rows[i] = if self.step[i] == 1 { reach } else { reach.div_ceil(self.step[i]) };
            i += 1;
        }
        let pixels = rows[0] * rows[1] * rows[2];
        Planes {
            rows,
            row: [rows[1] * rows[2], rows[2], 1],
            phase: [self.step[1] * self.step[2] * pixels, self.step[2] * pixels, pixels],
            plane: self.step[0] * self.step[1] * self.step[2] * pixels,
        }
    }

    /// Whether all that the outputs of a band see lies inside x.
    fn is_inside(&self, band: &Band) -> bool {
        (0..3).all(|i| {
            let at = self.low[i].wrapping_add(band.start[i] * self.step[i]);
            let reach = band.count[i].saturating_sub(1) * self.step[i] + self.reach[i];
            at <= self.x[i] && reach <= self.x[i] - at
        })
    }

    /// Groups that are computed at once: their filters fill a vector when they are stored.
    const fn groups(&self) -> usize {
        if self.group == 1 {
            return 1;
        }
        let filters = self.m / self.group;
        let groups = if filters == 0 { 1 } else { LANES.div_ceil(filters) };
        if groups < self.group { groups } else { self.group }
    }

    /// Floats of scratch for bands of so many outputs.
    const fn floats(&self, count: [usize; 3]) -> usize {
        let (planes, groups) = (self.planes(count), self.groups());
        let channels = groups * (self.c / self.group);
        // The last vector reads, and writes, past the last pixel.
        planes.plane * channels + LANES + groups * (self.m / self.group) * line(&planes, count)
    }

    /// Outputs of a band: as many as [`BAND`] allows, but enough that bands do not copy much twice.
    const fn band(&self) -> [usize; 3] {
        let axis = bands::axis(self.count);
        let mut band = self.count;
        let halo = 3 * (self.reach[axis] / self.step[axis]) + 1;
        while band[axis] > halo && self.floats(band) > BAND {
            band[axis] = band[axis].div_ceil(2);
        }
        band
    }

    /// An estimate in cycles, see [`super::cost`].
    const fn cost(&self, taps: usize) -> usize {
        let (planes, band) = (self.planes(self.count), self.band());
        let axis = bands::axis(self.count);
        let bands = self.count[axis].div_ceil(if band[axis] == 0 { 1 } else { band[axis] });
        let vectors = line(&planes, self.count) / LANES;
        let (c, m) = (self.c / self.group, self.m / self.group);
        // A step of the tile loads vectors of pixels besides.
        let steps = vectors * taps * c * m + vectors * taps * c * m.div_ceil(6) / 2;
        let copied = self.c * planes.plane + self.m * self.y[0] * self.y[1] * self.y[2];
        800 + self.batch * (self.group * steps + copied + 200 * bands * self.group.div_ceil(self.groups()))
    }
}

/// Floats of one filter's results: the outputs in a line, whole vectors.
const fn line(planes: &Planes, count: [usize; 3]) -> usize {
    if count[0] == 0 || count[1] == 0 || count[2] == 0 {
        return 0;
    }
    let last = (count[0] - 1) * planes.row[0] + (count[1] - 1) * planes.row[1] + count[2];
    last.next_multiple_of(LANES)
}

/// Floats of scratch.
pub(super) const fn scratch(conv: &Conv) -> usize {
    let shape = Shape::new(conv);
    shape.floats(shape.band())
}

/// Floats of scratch.
pub(super) const fn scratch_transposed(conv: &ConvTranspose) -> usize {
    let shape = Shape::transposed(conv);
    shape.floats(shape.band())
}

/// An estimate in cycles, see [`super::cost`].
pub(super) const fn cost(conv: &Conv) -> usize {
    Shape::new(conv).cost(conv.window.taps())
}

/// An estimate in cycles, see [`super::cost`].
pub(super) const fn cost_transposed(conv: &ConvTranspose) -> usize {
    // Each phase has its share of the taps.
    Shape::transposed(conv).cost(conv.window.taps())
}

/// Packs weights `[kernel…, c / group, m]` as `[group][tap][c / group][m / group]`.
pub(super) fn pack_into(conv: &Conv, packed: &mut [f32], w: &[f32]) {
    let m = conv.m / conv.group;
    let steps = conv.window.taps() * (conv.c / conv.group);
    for (i, to) in packed.chunks_exact_mut(m.max(1)).enumerate() {
        let (group, step) = (i / steps, i % steps);
        to.copy_from_slice(&w[step * conv.m + group * m..][..m]);
    }
}

/// The taps of a convolution in planes that lie so.
fn taps(w: &Window, planes: &Planes) -> [Taps; 3] {
    [0, 1, 2].map(|i| {
        let (whole, rest) = (w.dilations[i] / w.strides[i], w.dilations[i] % w.strides[i]);
        Taps {
            count: w.kernel[i],
            first: 0,
            add: whole * planes.row[i] + rest * planes.phase[i],
            turn: rest,
            phases: w.strides[i],
            carry: planes.row[i].wrapping_sub(w.strides[i] * planes.phase[i]),
        }
    })
}

/// Runs a convolution whose operands have been checked.
pub(super) fn run(conv: &Conv, o: Operands, scratch: &mut [f32]) {
    let shape = Shape::new(conv);
    Bands::of(&shape).for_each(conv.operations(), o, scratch, |unit, o, scratch| {
        one_band(&shape, unit.band, unit.image, 0, o, scratch, |mut job| {
            let taps = taps(&conv.window, &job.planes);
            job.run(unit.first, unit.band.count, [0; 3], &taps, 0);
        });
    });
}

/// Runs a transposed convolution whose operands have been checked.
pub(super) fn run_transposed(conv: &ConvTranspose, o: Operands, scratch: &mut [f32]) {
    let shape = Shape::transposed(conv);
    let steps = conv.c / conv.group * (conv.m / conv.group);
    Bands::of(&shape).for_each(conv.operations(), o, scratch, |unit, o, scratch| {
        one_band(&shape, unit.band, unit.image, 0, o, scratch, |mut job| {
            let (band, planes, mut weights) = (unit.band, job.planes, 0);
            for_each_phase(&conv.window, |phases| {
                let (mut count, mut first) = ([0; 3], [0; 3]);
                for i in 0..3 {
                    count[i] = phases[i].count.saturating_sub(band.start[i]).min(band.count[i]);
                    first[i] = phases[i].first;
                }
                let taps = [0, 1, 2].map(|i| Taps {
                    count: phases[i].taps,
                    first: phases[i].start.wrapping_sub(shape.low[i]).wrapping_mul(planes.row[i]),
                    add: phases[i].step.wrapping_mul(planes.row[i]),
                    turn: 0,
                    phases: 1,
                    carry: 0,
                });
                job.run(unit.first, count, first, &taps, weights);
                weights += phases.iter().map(|p| p.taps).product::<usize>() * steps;
            });
        });
    });
}

/// Some groups of a band of one image, whose planes are ready.
struct Job<'a, 'o, 'y> {
    shape: &'a Shape,
    band: Band,
    planes: Planes,
    o: &'a mut Operands<'y>,
    image: usize,
    group: usize,
    groups: usize,
    /// The planes; other things may lie there when they have been read for the last time.
    x: &'o mut [f32],
    results: &'o mut [f32],
}

/// Spreads the planes of one band of one image out and calls `f` for each number of groups that are computed at once. The
/// memory of the planes has at least `room` floats.
fn one_band(
    shape: &Shape,
    band: Band,
    image: usize,
    room: usize,
    o: &mut Operands,
    scratch: &mut [f32],
    f: impl Fn(Job),
) {
    let c = shape.c / shape.group;
    let planes = shape.planes(band.count);
    let mut group = 0;
    while group < shape.group {
        let groups = shape.groups().min(shape.group - group);
        let floats = planes.plane * groups * c + LANES;
        let (x, results) = scratch.split_at_mut(floats.max(room));
        dispatch(Spread {
            shape,
            band: &band,
            planes: &planes,
            image,
            channels: group * c..(group + groups) * c,
            x: o.x,
            to: &mut x[..floats],
        });
        f(Job { shape, band, planes, o, image, group, groups, x, results });
        group += groups;
    }
}

impl Job<'_, '_, '_> {
    /// Computes `count` outputs of a phase, filter by filter, and returns the floats of a filter: 0 where there is nothing.
    /// `weights` is where the phase's weights start in those of a group. Without a residual they are activated.
    fn lines(&mut self, count: [usize; 3], taps: &[Taps; 3], weights: usize) -> usize {
        let (shape, planes) = (self.shape, &self.planes);
        let (c, m) = (shape.c / shape.group, shape.m / shape.group);
        let line = line(planes, count);
        if line == 0 || m == 0 {
            return 0;
        }
        let act = if self.o.residual.is_empty() { shape.act } else { Act::None };
        for group in 0..self.groups {
            let filter = (self.group + group) * m;
            dispatch(Line {
                x: &self.x[group * c * planes.plane..],
                plane: planes.plane,
                c,
                taps,
                w: &self.o.w[(self.group + group) * shape.weights + weights..],
                m,
                bias: from(self.o.bias, filter),
                relu: act == Act::Relu,
                to: &mut self.results[group * m * line..],
                line,
            });
        }
        if !matches!(act, Act::None | Act::Relu) {
            // Here they are whole vectors; as pixels they may be a few floats each.
            let results = &mut self.results[..self.groups * m * line];
            let (c, columns) = (results.as_mut_ptr(), results.len());
            dispatch(Finish { c, ldc: columns, rows: 1, columns, alpha: 1.0, act });
        }
        line
    }

    /// Computes `count` outputs of the phase that starts at `first` and stores them in y, which begins with pixel `begin`.
    fn run(&mut self, begin: usize, count: [usize; 3], first: [usize; 3], taps: &[Taps; 3], weights: usize) {
        let line = self.lines(count, taps, weights);
        if line == 0 {
            return;
        }
        let (shape, m) = (self.shape, self.shape.m / self.shape.group);
        let mut start = [0; 3];
        for i in 0..3 {
            start[i] = first[i] + self.band.start[i] * shape.y_step[i];
        }
        dispatch(Gather {
            shape,
            row: self.planes.row,
            image: self.image,
            first: begin,
            start,
            count,
            filter: self.group * m,
            filters: self.groups * m,
            results: self.results,
            line,
            y: self.o.y,
            residual: self.o.residual,
        });
    }
}
