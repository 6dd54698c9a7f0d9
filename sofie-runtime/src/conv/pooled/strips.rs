//! Strips of lines: some lines of a convolution's outputs, then the windows that they suffice for. What a strip shares with the
//! next is kept, not computed again. (A layer of 111 x 111 x 64 is 3 MB, which would leave the second cache on its way.)

use super::ConvPool;
use crate::conv::{Algo, Conv, Operands, from};
use crate::pool::Pool;
use core::ops::Range;

/// Floats of outputs that are kept at once: 256 kB.
const STRIP: usize = 64 * 1024;

/// Whether the convolution is one that runs line by line with the same bits, whatever the extents, and windows take lines
/// together.
pub(super) fn fits(conv: &Conv, pool: &Pool) -> bool {
    let by_lines = matches!(conv.algo, Algo::Implicit | Algo::Pointwise);
    by_lines && conv.window.is_flat() && pool.window.is_flat() && pool.window.strides[1] > 1
}

/// Some lines of windows, and the outputs that they see.
struct Strip {
    pooled: Range<usize>,
    lines: Range<usize>,
}

/// The strips of an image, one after the other.
fn strips(both: &ConvPool) -> impl Iterator<Item = Strip> {
    let ConvPool { conv, pool } = both;
    let (w, line) = (pool.window, conv.window.y[2] * conv.m);
    let (reach, step) = (w.kernel[1].saturating_sub(1) * w.dilations[1] + 1, w.strides[1]);
    // One output alone would be a product of one row, which has another order of additions.
    let at_once = match conv.window.y[2] {
        1 => w.y[1],
        _ => (STRIP / line.max(1)).saturating_sub(reach) / step + 1,
    };
    let lines = move |pooled: &Range<usize>| {
        w.line_at(pooled.start * step)..w.line_at((pooled.end - 1) * step + reach)
    };
    (0..w.y[1]).step_by(at_once.max(1)).map(move |start| {
        let pooled = start..w.y[1].min(start + at_once.max(1));
        Strip { lines: lines(&pooled), pooled }
    })
}

/// What of a strip's outputs the strip before has left off at.
fn new_lines(strip: &Strip, done: usize) -> Range<usize> {
    done.clamp(strip.lines.start, strip.lines.end)..strip.lines.end
}

/// Floats of outputs of the largest strip, and of scratch for the convolution.
fn floats(both: &ConvPool) -> [usize; 2] {
    let mut done = 0;
    strips(both).fold([0; 2], |[outputs, scratch], strip| {
        let some = both.conv.lines(&new_lines(&strip, done)).0;
        done = strip.lines.end;
        let line = both.conv.window.y[2] * both.conv.m;
        [outputs.max(strip.lines.len() * line), scratch.max(some.scratch())]
    })
}

/// Floats of scratch of [`run`].
pub(super) fn scratch(both: &ConvPool) -> usize {
    floats(both).iter().sum()
}

/// Runs both on operands that have been checked.
pub(super) fn run(both: &ConvPool, o: Operands, scratch: &mut [f32]) {
    let ConvPool { conv, pool } = both;
    let (cw, pw) = (&conv.window, &pool.window);
    let line = cw.y[2] * conv.m;
    let (kept, scratch) = scratch.split_at_mut(floats(both)[0]);
    for image in 0..conv.batch {
        let x = from(o.x, image * cw.x_pixels() * conv.ldx);
        let mut before = 0..0;
        for strip in strips(both) {
            let new = new_lines(&strip, before.end);
            let shared = new.start - strip.lines.start;
            if shared != 0 {
                let at = (strip.lines.start - before.start) * line;
                kept.copy_within(at..at + shared * line, 0);
            }
            if !new.is_empty() {
                let (some, first) = conv.lines(&new);
                let outputs = &mut kept[shared * line..];
                // Behind the last line there is nothing to read.
                let x = x.get(first * cw.x[2] * conv.ldx..).unwrap_or_default();
                some.run(outputs, x, o.w, &[], o.bias, &[], scratch);
            }
            let window = pw.part(&strip.pooled, &strip.lines);
            let y = (image * pw.y[1] + strip.pooled.start) * pw.y[2] * pool.ldy;
            Pool { batch: 1, window, ldx: conv.m, ..pool.clone() }.run(&mut o.y[y..], kept);
            before = strip.lines;
        }
    }
}
