//! Strips of lines: some lines of the first layer's outputs, the lines of the depthwise layer that they suffice for, and these
//! lines' products. Lines that the next strip needs again stay where they are, in a ring. ("Fused-layer CNN accelerators",
//! Alwani et al., MICRO 2016, with lines for tiles.)

use super::Separable;
use crate::conv::{Conv, Operands, Window, depthwise, from, implicit};
use crate::parallel::{self, with_scratch};
use core::ops::Range;

/// Floats between the layers that are there at once: 256 kB.
const STRIP: usize = 64 * 1024;

/// Packed weights of a layer, and its bias or nothing.
#[derive(Clone, Copy)]
pub(super) struct Parameters<'a> {
    pub w: &'a [f32],
    pub bias: &'a [f32],
}

/// How an image is cut.
struct Strips {
    /// Lines of outputs at once.
    lines: usize,
    /// Lines of the depthwise layer's image that are kept.
    ring: usize,
    /// Floats of these lines, 0 where the image is there as a whole.
    wide: usize,
    /// Floats of the depthwise layer's outputs, 0 where they are the result.
    outputs: usize,
}

impl Strips {
    /// So many lines of outputs at once.
    fn of_lines(all: &Separable, lines: usize) -> Strips {
        let (w, c) = (&all.depthwise.window, all.depthwise.c);
        let ring = Window { y: [1, lines, 1], ..*w }.reach(1).min(w.x[1]);
        let floats = |there: bool, lines: usize, pixels: usize| if there { lines * pixels * c } else { 0 };
        Strips {
            lines,
            ring,
            wide: floats(all.before.is_some(), ring, w.x[2]),
            outputs: floats(all.behind.is_some(), lines, w.y[2]),
        }
    }

    fn of(all: &Separable) -> Strips {
        let whole = Strips::of_lines(all, all.depthwise.window.y[1]);
        if is_one_strip(&all.depthwise.window) || whole.floats() <= STRIP {
            return whole;
        }
        let [one, two] = [1, 2].map(|lines| Strips::of_lines(all, lines).floats());
        let lines = STRIP.saturating_sub(one) / (two - one).max(1) + 1;
        Strips::of_lines(all, lines.min(whole.lines))
    }

    fn floats(&self) -> usize {
        self.wide + self.outputs
    }
}

/// Whether an image is not cut: a line of one pixel alone would be a product of one row, which has another order of additions.
fn is_one_strip(w: &Window) -> bool {
    w.x[2] <= 1 || w.y[2] <= 1
}

/// Floats of scratch of [`run`].
pub(super) fn scratch(all: &Separable) -> usize {
    let strips = Strips::of(all);
    let of_first = all.before.as_ref().map_or(0, |conv| {
        let of_lines = |lines: usize| {
            let window = Window { y: [1, lines, conv.window.y[2]], ..conv.window };
            Conv { window, ..conv.clone() }.scratch()
        };
        (1..=strips.ring).map(of_lines).max().unwrap_or(0)
    });
    strips.floats() + of_first
}

/// Floats of scratch that suffice for all images that are not larger, where the first layer needs none.
pub(super) fn most_scratch(all: &Separable) -> usize {
    let w = &all.depthwise.window;
    // The widest image that is one strip.
    let x = ((w.kernel[2].saturating_sub(1)) * w.dilations[2] + w.strides[2]).min(w.x[2]);
    let window = Window { x: [1, w.x[1], x], y: [1, w.y[1], 1], ..*w };
    let narrow = Separable { depthwise: Conv { window, ..all.depthwise.clone() }, ..all.clone() };
    let whole = Strips::of_lines(&narrow, w.y[1]).floats();
    STRIP.max(whole).max(Strips::of_lines(all, 1).floats())
}

/// Runs all layers on operands that have been checked.
pub(super) fn run(all: &Separable, p: [Parameters; 3], o: Operands, scratch: &mut [f32]) {
    let (w, last) = (&all.depthwise.window, all.ends()[1]);
    let layers = all.before.iter().chain([&all.depthwise]).chain(&all.behind);
    let operations = layers.map(Conv::operations).fold(0, usize::saturating_add);
    let cut = if is_one_strip(w) { 1 } else { w.y[1] };
    let (units, lines) = (last.batch * cut, w.y[1] / cut);
    let parts = parallel::parts(operations, units);
    let Operands { y, x, residual, .. } = o;
    let part = |units: Range<usize>, y: &mut [f32], scratch: &mut [f32]| {
        let (mut at, end, start) = (units.start * lines, units.end * lines, units.start * lines);
        while at < end {
            let (image, first) = (at / w.y[1], at % w.y[1]);
            let here = first..w.y[1].min(first + end - at);
            let pixel = |line: usize| line * w.y[2];
            let o = Operands {
                y: &mut y[pixel(at - start) * last.ldy..],
                x: from(x, image * all.ends()[0].window.x_pixels() * all.ends()[0].ldx),
                residual: from(residual, pixel(at) * last.ldr),
                w: &[],
                bias: &[],
            };
            at += here.len();
            some_lines(all, here, p, o, scratch);
        }
    };
    if parts == 1 {
        return part(0..units, y, scratch);
    }
    let floats = scratch.len();
    let at = |unit: usize| unit * lines * w.y[2] * last.ldy;
    parallel::for_each_slice(y, at, units, parts, |units, y| {
        with_scratch(floats, |scratch| part(units.clone(), y, scratch));
    });
}

/// Some lines of outputs of an image; y and the residual begin with the first.
fn some_lines(all: &Separable, lines: Range<usize>, p: [Parameters; 3], o: Operands, scratch: &mut [f32]) {
    let Separable { before, depthwise, behind } = all;
    let w = &depthwise.window;
    let cut = Strips::of(all);
    let (ring, scratch) = scratch.split_at_mut(cut.wide);
    let (between, scratch) = scratch.split_at_mut(cut.outputs);
    let (reach, step) = (Window { y: [1; 3], ..*w }.reach(1), w.strides[1]);
    let mut done = 0;
    for start in lines.clone().step_by(cut.lines) {
        let here = start..lines.end.min(start + cut.lines);
        if let Some(conv) = before {
            let need = w.line_at(here.start * step)..w.line_at((here.end - 1) * step + reach);
            done = need.start.max(done);
            while done < need.end {
                // Up to where the ring begins again.
                let piece = done..need.end.min((done / cut.ring + 1) * cut.ring);
                let (some, first) = conv.lines(&piece);
                let to = &mut ring[piece.start % cut.ring * w.x[2] * conv.m..];
                // Behind the last line there is nothing to read.
                let x = o.x.get(first * conv.window.x[2] * conv.ldx..).unwrap_or_default();
                some.run(to, x, p[0].w, &[], p[0].bias, &[], scratch);
                done = piece.end;
            }
        }
        let at = (here.start - lines.start) * w.y[2];
        let last = all.ends()[1];
        let y = &mut o.y[at * last.ldy..];
        let residual = from(o.residual, at * last.ldr);
        let window = Window {
            y: [1, here.len(), w.y[2]],
            pads_begin: [w.pads_begin[0], w.pads_begin[1].wrapping_sub(here.start * step), w.pads_begin[2]],
            ..*w
        };
        let (x, ldx, kept) =
            if before.is_some() { (&*ring, depthwise.c, cut.ring) } else { (o.x, depthwise.ldx, usize::MAX) };
        let conv = Conv { batch: 1, window, ldx, ..depthwise.clone() };
        let Parameters { w: taps, bias } = p[1];
        match behind {
            None => depthwise::run(&conv, Operands { y, x, w: taps, bias, residual }, kept),
            Some(behind) => {
                let conv = Conv { ldy: depthwise.m, ..conv };
                depthwise::run(&conv, Operands { y: between, x, w: taps, bias, residual: &[] }, kept);
                let window = Window { x: conv.window.y, y: conv.window.y, ..behind.window };
                let product = Conv { batch: 1, window, ldx: depthwise.m, ..behind.clone() };
                let Parameters { w, bias } = p[2];
                implicit::run_pointwise(&product, Operands { y, x: between, w, bias, residual });
            }
        }
    }
}
