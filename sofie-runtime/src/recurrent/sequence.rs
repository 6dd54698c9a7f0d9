//! The loop over time: chunks of steps whose inputs are multiplied at once, then step by step.

use super::{Cell, ROWS, Recurrent, Results, State, Weights, pack};
use crate::gemm::{NR, Product, packed_len};
use crate::simd::{Op, Simd};

/// Floats of packed weights that L1 keeps from one step to the next, beside what else a step touches.
const RESIDENT: usize = 6 * 1024;

/// A checked run of a [`Recurrent`].
pub(super) struct Sequence<'a> {
    pub(super) layer: &'a Recurrent,
    pub(super) out: Results<'a>,
    pub(super) x: &'a [f32],
    pub(super) weights: Weights<'a>,
    pub(super) state: State<'a>,
    /// `[chunk, B, G·H]`: what comes before the gates' activations, and the gates after them.
    pub(super) gates: &'a mut [f32],
    /// `[B, H]`.
    pub(super) h: &'a mut [f32],
    /// `[B, H]`.
    pub(super) c: &'a mut [f32],
    /// GRU: `[B, 3·H]` or `[B, H]`, LSTM: `[H]`.
    pub(super) beside: &'a mut [f32],
}

impl<'a> Sequence<'a> {
    pub(super) fn new(
        layer: &'a Recurrent,
        out: Results<'a>,
        x: &'a [f32],
        weights: Weights<'a>,
        state: State<'a>,
        scratch: &'a mut [f32],
    ) -> Self {
        let [gates, h, c, beside] = layer.parts();
        let (gates, scratch) = scratch.split_at_mut(gates);
        let (h, scratch) = scratch.split_at_mut(h);
        let (c, scratch) = scratch.split_at_mut(c);
        Sequence { layer, out, x, weights, state, gates, h, c, beside: &mut scratch[..beside] }
    }

    /// The length of sequence `b`.
    #[inline(always)]
    fn len(&self, b: usize) -> usize {
        self.state.lens.get(b).map_or(self.layer.steps, |&len| len as usize)
    }

    /// How many of the first sequences go on at step `t` or later: those behind are at their end.
    #[inline(always)]
    fn active(&self, t: usize) -> usize {
        let mut active = self.layer.batch;
        while active > 0 && self.len(active - 1) <= t {
            active -= 1;
        }
        active
    }

    /// Sets the initial states, and the results behind the ends of sequences.
    fn start(&mut self) {
        let hidden = self.layer.hidden;
        for (to, from) in [(&mut *self.h, self.state.h), (&mut *self.c, self.state.c)] {
            match from.get(..to.len()) {
                Some(from) if !from.is_empty() => to.copy_from_slice(from),
                _ => to.fill(0.0),
            }
        }
        for b in 0..self.layer.batch {
            if self.len(b) == 0 {
                self.h[b * hidden..][..hidden].fill(0.0);
                if !self.c.is_empty() {
                    self.c[b * hidden..][..hidden].fill(0.0);
                }
            }
            if !self.out.y.is_empty() {
                for t in self.len(b)..self.layer.steps {
                    self.out.y[t * self.layer.y_step + b * self.layer.y_row..][..hidden].fill(0.0);
                }
            }
        }
    }

    /// The inputs of steps `first..first + count` times W, plus the bias.
    /// # Safety
    /// The slices must have been checked against the layer.
    #[inline(always)]
    unsafe fn project<S: Simd>(&mut self, s: S, first: usize, count: usize) {
        let &Recurrent { batch, input, hidden, x_step, x_row, cell, .. } = self.layer;
        let n = cell.gates() * hidden;
        let product = Product {
            m: 0,
            k: input,
            n,
            a: self.x.as_ptr().wrapping_add(first * x_step),
            a_row: 0,
            a_step: 1,
            w: self.weights.w.as_ptr(),
            bias: self.weights.bias.as_ptr(),
            c: self.gates.as_mut_ptr(),
            ldc: n,
            c_panel: NR,
            from_c: false,
        };
        // SAFETY: the caller's promise: all steps and sequences of x, and a chunk of gates, exist.
        unsafe {
            let uneven = !self.state.lens.is_empty();
            if batch == 1 {
                s.outline(Product { m: count, a_row: x_step, ..product });
            } else if !uneven && x_step == batch * x_row {
                s.outline(Product { m: count * batch, a_row: x_row, ..product });
            } else if count >= batch || uneven && count >= ROWS {
                for b in 0..batch {
                    let m = count.min(self.len(b).saturating_sub(first));
                    let (a, c) = (product.a.wrapping_add(b * x_row), product.c.add(b * n));
                    s.outline(Product { m, a, a_row: x_step, c, ldc: batch * n, ..product });
                }
            } else {
                for t in 0..count {
                    let m = self.active(first + t);
                    let (a, c) = (product.a.wrapping_add(t * x_step), product.c.add(t * batch * n));
                    s.outline(Product { m, a, a_row: x_row, c, ..product });
                }
            }
        }
    }

    /// The first `m` rows of `a` (`[B, H]`) times packed weights of `n` columns, into rows of `G·H` at `c`: onto
    /// what stands there, or from a bias.
    ///
    /// Weights that L1 cannot hold are walked forwards in one step and backwards in the next, so that what one
    /// step read last, the next finds in L1 (measured at `[50, 200]`: 0.35 µs a product without, 0.29 with).
    /// # Safety
    /// The slices must have been checked against the layer.
    #[inline(always)]
    unsafe fn times<S: Simd>(&self, s: S, run: Run, a: *const f32, c: *mut f32, bias: Option<&[f32]>) {
        let Run { m, backwards, w, n } = run;
        let &Recurrent { hidden, cell, .. } = self.layer;
        let panels = n.div_ceil(NR);
        let pieces = if panels * NR * hidden <= RESIDENT { 1 } else { (panels / 4).max(1) };
        for i in 0..pieces {
            let i = if backwards { pieces - 1 - i } else { i };
            let first = panels * i / pieces * NR;
            let end = n.min(panels * (i + 1) / pieces * NR);
            s.outline(Product {
                m,
                k: hidden,
                n: end - first,
                a,
                a_row: hidden,
                a_step: 1,
                w: w.wrapping_add(first * hidden),
                bias: bias.map_or(core::ptr::null(), |bias| bias.as_ptr().wrapping_add(first)),
                c: c.wrapping_add(first),
                ldc: cell.gates() * hidden,
                c_panel: NR,
                from_c: bias.is_none(),
            });
        }
    }

    /// Step `t`, whose gate inputs from x stand at `gates`.
    /// # Safety
    /// The slices must have been checked against the layer.
    #[inline(always)]
    unsafe fn step<S: Simd>(&mut self, s: S, t: usize, backwards: bool, gates: *mut f32) {
        let &Recurrent { cell, hidden, y_step, y_row, .. } = self.layer;
        let (m, n) = (self.active(t), cell.gates() * hidden);
        let (h, w) = (self.h.as_ptr(), self.weights.r.as_ptr());
        let run = Run { m, backwards, w, n };
        // SAFETY: the caller's promise; the scratch has the parts that the cell needs.
        unsafe {
            match cell {
                Cell::Gru { linear_before_reset: true, .. } => {
                    let beside = self.beside.as_mut_ptr();
                    self.times(s, run, h, beside, Some(&self.weights.bias[n..]));
                }
                Cell::Gru { .. } => self.times(s, Run { n: 2 * hidden, ..run }, h, gates, None),
                _ => self.times(s, run, h, gates, None),
            }
            if pack::two_products(cell) {
                for b in 0..m {
                    self.reset(s, b, gates.add(b * n));
                }
                let w = w.add(packed_len(hidden, 2 * hidden));
                self.times(s, Run { n: hidden, w, ..run }, self.beside.as_ptr(), gates.add(2 * hidden), None);
            }
            for b in 0..m {
                if t < self.len(b) {
                    self.finish(s, b, gates.add(b * n));
                    if !self.out.y.is_empty() {
                        let y = self.out.y.as_mut_ptr().add(t * y_step + b * y_row);
                        let h = self.h.as_ptr().add(b * hidden);
                        crate::copy::copy_row(s, y.cast(), h.cast(), 4 * hidden);
                    }
                }
            }
        }
    }
}

/// What a product with the state's weights depends on.
#[derive(Clone, Copy)]
struct Run {
    m: usize,
    backwards: bool,
    w: *const f32,
    n: usize,
}

impl Op for Sequence<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.start();
        let &Recurrent { batch, cell, hidden, reverse, .. } = self.layer;
        let row = batch * cell.gates() * hidden;
        let chunk = self.layer.chunk();
        let mut steps = 0;
        for b in 0..batch {
            steps = self.len(b).max(steps);
        }
        let mut done = 0;
        while done < steps {
            let count = chunk.min(steps - done);
            let first = if reverse { steps - done - count } else { done };
            // SAFETY: `Recurrent::run` checked every slice.
            unsafe {
                self.project(s, first, count);
                for i in 0..count {
                    let i = if reverse { count - 1 - i } else { i };
                    let gates = self.gates.as_mut_ptr().add(i * row);
                    self.step(s, first + i, (first + i) % 2 == 1, gates);
                }
            }
            done += count;
        }
        for (to, from) in [(self.out.h, self.h), (self.out.c, self.c)] {
            if let Some(to) = to.get_mut(..from.len()) {
                to.copy_from_slice(from);
            }
        }
    }
}
