//! Transposed convolution as ordinary products, without scattering.
//!
//! With strides s, the outputs at `o + pad = r (mod s)` see the same taps of the kernel and form an image of
//! their own: a *phase*. Each phase is a convolution with stride 1, whose rows are written s pixels apart; so
//! every output is one chain of fused multiply-adds and is stored once. Where kernel and strides are equal
//! each phase has one tap and is a plain product.

use alloc::vec;
use alloc::vec::Vec;

use super::implicit::Taps;
use super::window::{Pixel, Window};
use super::{Algo, Operands, direct_cost, extent, from, planar};
use crate::Act;
use crate::gemm::{GemmRows, Init, Lines, NR, packed_len};

/// `y = act(conv_transpose(x, w) + bias + residual)`: x is `[batch, x…, c]`, y and the residual are
/// `[batch, y…, m]`, the weights `[kernel…, c, m / group]` in packed form. Element `i` of an axis of x goes
/// through tap `t` to element `i * stride + t * dilation - pad_begin` of y; pads behind and output padding are
/// said by `window.y`.
///
/// ```
/// use sofie_infer_runtime::conv::{ConvTranspose, Window};
/// // Two pixels become four: each is multiplied by 1 and by 10.
/// let up = ConvTranspose::new(1, Window::new(&[2], &[4], &[2], &[2], &[1], &[0]), 1, 1, 1);
/// let weights = up.pack(&[1.0, 10.0]);
/// let mut y = [0.0; 4];
/// up.run(&mut y, &[3.0, 5.0], &weights, &[], &[], &mut vec![0.0; up.scratch()]);
/// assert_eq!(y, [3.0, 30.0, 5.0, 50.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConvTranspose {
    /// Images.
    pub batch: usize,
    /// The window and the spatial extents.
    pub window: Window,
    /// Channels of x, a multiple of `group`.
    pub c: usize,
    /// Channels of y, a multiple of `group`.
    pub m: usize,
    /// Groups of channels that do not see each other.
    pub group: usize,
    /// Floats from a pixel of x to the next.
    pub ldx: usize,
    /// Floats from a pixel of y to the next.
    pub ldy: usize,
    /// Floats from a pixel of the residual to the next.
    pub ldr: usize,
    /// Applied last.
    pub act: Act,
    /// [`Algo::Implicit`] or [`Algo::Planar`]; [`ConvTranspose::new`] chooses.
    pub algo: Algo,
}

/// The outputs of one axis that see the same taps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    /// The first of them.
    pub first: usize,
    /// How many.
    pub count: usize,
    /// The first tap.
    tap: usize,
    /// From a tap to the next.
    tap_step: usize,
    pub taps: usize,
    /// The element of x that output 0 sees through the first tap; wraps around below 0.
    pub start: usize,
    /// From there to what the next tap sees; wraps around below 0.
    pub step: usize,
}

const fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

impl Phase {
    /// The phase of axis `i` that output `first` begins; `first` is below the stride.
    pub(super) const fn new(w: &Window, i: usize, first: usize) -> Phase {
        let (stride, dilation) = (w.strides[i], w.dilations[i]);
        let count = w.y[i].saturating_sub(first).div_ceil(stride);
        let place = first + w.pads_begin[i];
        let common = gcd(stride, dilation);
        let tap_step = stride / common;
        let mut tap = 0;
        while !place.abs_diff(tap * dilation).is_multiple_of(stride) {
            tap += 1;
            if tap == tap_step {
                // No tap meets these outputs.
                return Phase { first, count, tap: 0, tap_step, taps: 0, start: 0, step: 0 };
            }
        }
        let taps = w.kernel[i].saturating_sub(tap).div_ceil(tap_step);
        let reach = tap * dilation;
        let start =
            if place >= reach { (place - reach) / stride } else { ((reach - place) / stride).wrapping_neg() };
        Phase { first, count, tap, tap_step, taps, start, step: (dilation / common).wrapping_neg() }
    }
}

/// Calls `f` with the three axes' phases, in the order in which weights are packed.
pub(super) fn for_each_phase(w: &Window, mut f: impl FnMut(&[Phase; 3])) {
    for a in 0..w.strides[0] {
        for b in 0..w.strides[1] {
            for c in 0..w.strides[2] {
                f(&[Phase::new(w, 0, a), Phase::new(w, 1, b), Phase::new(w, 2, c)]);
            }
        }
    }
}

impl ConvTranspose {
    /// A transposed convolution over dense tensors without activation.
    ///
    /// # Panics
    /// When `group` does not divide the channels.
    pub const fn new(batch: usize, window: Window, c: usize, m: usize, group: usize) -> ConvTranspose {
        assert!(group != 0 && c.is_multiple_of(group) && m.is_multiple_of(group), "groups divide channels");
        let algo = Algo::Implicit;
        let conv = ConvTranspose { batch, window, c, m, group, ldx: c, ldy: m, ldr: m, act: Act::None, algo };
        // Each output sees its phase's share of the taps.
        let phases = window.strides[0] * window.strides[1] * window.strides[2];
        let taps = window.taps().div_ceil(phases);
        let direct = direct_cost(batch * window.y_pixels(), taps, 36 * taps, c / group, m / group, group);
        let planar = planar::cost_transposed(&conv) < direct - direct / 5;
        ConvTranspose { algo: if planar { Algo::Planar } else { algo }, ..conv }
    }

    /// Operations, those on pads too.
    pub(super) const fn operations(&self) -> usize {
        let k = self.window.taps().saturating_mul(self.c / self.group);
        2usize.saturating_mul(self.batch * self.window.x_pixels()).saturating_mul(k).saturating_mul(self.m)
    }

    /// Floats of scratch that [`ConvTranspose::run`] needs.
    pub const fn scratch(&self) -> usize {
        match self.algo {
            Algo::Planar => planar::scratch_transposed(self),
            _ => 0,
        }
    }

    /// Floats of scratch that suffice for all extents from those of `least` to these: blocks are chosen by the extents, so
    /// that smaller ones may need more.
    /// `None` where it depends on the extents of the image.
    #[must_use]
    pub fn scratch_within(&self, least: &ConvTranspose) -> Option<usize> {
        let alike = (self.window, self.ldx, self.ldy) == (least.window, least.ldx, least.ldy);
        alike.then(|| self.scratch())
    }

    /// Floats of packed weights.
    pub const fn packed_len(&self) -> usize {
        if let Algo::Planar = self.algo {
            return self.window.taps() * (self.c / self.group) * self.m;
        }
        // Each tap belongs to one phase, so the phases' panels add up to those of the whole kernel.
        self.group * packed_len(self.window.taps() * (self.c / self.group), self.m / self.group)
    }

    /// Packs weights `[kernel…, c, m / group]`.
    ///
    /// # Panics
    /// When `w` has another length.
    pub fn pack(&self, w: &[f32]) -> Vec<f32> {
        let mut packed = vec![0.0; self.packed_len()];
        self.pack_into(&mut packed, w);
        packed
    }

    /// [`ConvTranspose::pack`] for weights that are not known before the program runs.
    ///
    /// # Panics
    /// When `w` or `packed` has another length.
    pub fn pack_into(&self, packed: &mut [f32], w: &[f32]) {
        let (c, m) = (self.c / self.group, self.m / self.group);
        assert_eq!(w.len(), self.window.taps() * self.c * m, "the weights of {self:?}");
        assert_eq!(packed.len(), self.packed_len(), "the packed weights of {self:?}");
        // Columns side by side: a panel, or all filters of a group.
        let width = if let Algo::Planar = self.algo { m.max(1) } else { NR };
        let mut out = packed.chunks_exact_mut(width);
        for group in 0..self.group {
            for_each_phase(&self.window, |phases| {
                let taps: usize = phases.iter().map(|p| p.taps).product();
                for panel in 0..m.div_ceil(width) {
                    for tap in 0..taps {
                        let at = Pixel::of_row(tap, &[phases[0].taps, phases[1].taps, phases[2].taps]).at;
                        let mut tap = 0;
                        for i in 0..3 {
                            tap = tap * self.window.kernel[i] + phases[i].tap + at[i] * phases[i].tap_step;
                        }
                        for ch in group * c..(group + 1) * c {
                            let row = &w[(tap * self.c + ch) * m..][..m];
                            // As many rows are written as `packed_len` counts.
                            let Some(out) = out.next() else { return };
                            for (j, out) in out.iter_mut().enumerate() {
                                *out = row.get(panel * width + j).copied().unwrap_or(0.0);
                            }
                        }
                    }
                }
            });
        }
    }

    /// Runs the transposed convolution. `w` is [`ConvTranspose::pack`]'s result; `bias` has `m` elements or
    /// none, `residual` is like y or empty.
    ///
    /// # Panics
    /// When a slice is too short for the shape.
    pub fn run(
        &self,
        y: &mut [f32],
        x: &[f32],
        w: &[f32],
        bias: &[f32],
        residual: &[f32],
        scratch: &mut [f32],
    ) {
        if self.batch == 0 || self.m == 0 || self.window.y_pixels() == 0 {
            return;
        }
        let (x_pixels, y_pixels) = (self.batch * self.window.x_pixels(), self.batch * self.window.y_pixels());
        assert!(self.ldx >= self.c && self.ldy >= self.m, "pixels overlap in {self:?}");
        assert!(x.len() >= extent(x_pixels, self.ldx, self.c), "x is too short for {self:?}");
        assert!(y.len() >= extent(y_pixels, self.ldy, self.m), "y is too short for {self:?}");
        assert!(w.len() >= self.packed_len(), "the packed weights are too short for {self:?}");
        assert!(bias.is_empty() || bias.len() >= self.m, "the bias is too short for {self:?}");
        assert!(
            residual.is_empty() || residual.len() >= extent(y_pixels, self.ldr, self.m),
            "the residual is too short for {self:?}"
        );
        assert!(scratch.len() >= self.scratch(), "the scratch is too short for {self:?}");
        if let Algo::Planar = self.algo {
            return planar::run_transposed(self, Operands { y, x, w, bias, residual }, scratch);
        }
        let (c, m) = (self.c / self.group, self.m / self.group);
        let mut w = w;
        for group in 0..self.group {
            for_each_phase(&self.window, |phases| {
                let taps: usize = phases.iter().map(|p| p.taps).product();
                self.run_phase(phases, group, y, from(x, group * c), w, bias, residual);
                w = &w[packed_len(taps * c, m)..];
            });
        }
    }

    /// One phase of one group: a product for each plane of each image.
    #[allow(clippy::too_many_arguments, reason = "the operands and the phase")]
    fn run_phase(
        &self,
        phases: &[Phase; 3],
        group: usize,
        y: &mut [f32],
        x: &[f32],
        w: &[f32],
        bias: &[f32],
        residual: &[f32],
    ) {
        let (window, m) = (&self.window, self.m / self.group);
        let counts = [phases[0].count, phases[1].count, phases[2].count];
        let gemm = GemmRows {
            m: counts[1] * counts[2],
            n: m,
            segments: phases.iter().map(|p| p.taps).product(),
            segment: self.c / self.group,
            ldc: window.strides[2] * self.ldy,
            ldr: window.strides[2] * self.ldr,
            act: self.act,
            init: Init::Bias,
        };
        if gemm.m == 0 {
            return;
        }
        let line = window.strides[1] * window.y[2];
        let lines = Lines { count: counts[1], ldc: line * self.ldy, ldr: line * self.ldr };
        let mut rows = Taps {
            x: window.x,
            y: counts,
            kernel: phases.map(|p| p.taps),
            start: phases.map(|p| p.start),
            strides: [1; 3],
            steps: phases.map(|p| p.step),
            ldx: self.ldx,
            first_row: 0,
        };
        for image in 0..self.batch {
            for plane in 0..counts[0] {
                let plane_of_y = image * window.y[0] + phases[0].first + plane * window.strides[0];
                let at = (plane_of_y * window.y[1] + phases[1].first) * window.y[2] + phases[2].first;
                let y = &mut y[at * self.ldy + group * m..];
                let (bias, residual) = (from(bias, group * m), from(residual, at * self.ldr + group * m));
                gemm.run_lines(lines, y, x, &rows, w, bias, residual);
                rows.first_row += gemm.m;
            }
        }
    }
}
