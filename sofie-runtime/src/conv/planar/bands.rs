//! Results band by band, so that what a band needs stays in the caches, and in parts for several cores.

use core::ops::Range;

use super::super::Operands;
use super::Shape;
use crate::parallel::{self, with_scratch};

/// Results of every phase: so many, from there on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Band {
    pub start: [usize; 3],
    pub count: [usize; 3],
}

/// The results of all images.
pub(super) struct Bands {
    pub batch: usize,
    /// Results of the largest phase.
    pub count: [usize; 3],
    /// Those of a band, which has all of every axis but one.
    pub whole: [usize; 3],
    pub axis: usize,
    pub y: [usize; 3],
    /// Elements of y from a result of a phase to the next.
    pub y_step: [usize; 3],
    pub ldy: usize,
}

/// One band of one image.
pub(super) struct Unit {
    pub band: Band,
    pub image: usize,
    /// The pixel that y begins with.
    pub first: usize,
}

/// The axis that bands divide: the first that is one.
pub(super) const fn axis(count: [usize; 3]) -> usize {
    if count[0] > 1 {
        0
    } else if count[1] > 1 {
        1
    } else {
        2
    }
}

impl Bands {
    /// The outputs of a convolution.
    pub(super) fn of(shape: &Shape) -> Bands {
        Bands {
            batch: shape.batch,
            count: shape.count,
            whole: shape.band(),
            axis: axis(shape.count),
            y: shape.y,
            y_step: shape.y_step,
            ldy: shape.ldy,
        }
    }

    /// Calls `f` for each, in parts as `operations` allow.
    pub(super) fn for_each(
        &self,
        operations: usize,
        o: Operands,
        scratch: &mut [f32],
        f: impl Fn(Unit, &mut Operands, &mut [f32]) + Sync,
    ) {
        let (axis, whole) = (self.axis, self.whole);
        let bands = self.count[axis].div_ceil(whole[axis].max(1));
        let units = self.batch * bands;
        // The pixel that a band begins with; bands of an axis behind others do not follow on each other in y.
        let pixel = |unit: usize| {
            let mut at = [unit / bands.max(1) * self.y[0], 0, 0];
            at[axis] += unit % bands.max(1) * whole[axis] * self.y_step[axis];
            (at[0] * self.y[1] + at[1]) * self.y[2] + at[2]
        };
        let apart = self.y[..axis].iter().all(|&n| n == 1);
        let parts = if apart { parallel::parts(operations, units) } else { 1 };
        let Operands { y, x, w, bias, residual } = o;
        let run = |units: Range<usize>, y: &mut [f32], scratch: &mut [f32]| {
            let first = if units.start == 0 { 0 } else { pixel(units.start) };
            let mut o = Operands { y, x, w, bias, residual };
            for unit in units {
                let (image, mut start) = (unit / bands, [0; 3]);
                start[axis] = unit % bands * whole[axis];
                let mut band = Band { start, count: whole };
                band.count[axis] = whole[axis].min(self.count[axis] - start[axis]);
                f(Unit { band, image, first }, &mut o, scratch);
            }
        };
        if parts == 1 {
            return run(0..units, y, scratch);
        }
        parallel::for_each_slice(
            y,
            |unit| pixel(unit) * self.ldy,
            units,
            parts,
            |units, y| {
                with_scratch(scratch.len(), |scratch| run(units.clone(), y, scratch));
            },
        );
    }
}
