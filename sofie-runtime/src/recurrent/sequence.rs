//! The loop over time: chunks of steps whose inputs are multiplied at once, then step by step.

use super::{Cell, Recurrent, Results, State, Weights, pack};
use crate::gemm::{NR, Product, packed_len};
use crate::simd::{Op, Simd};

/// Panels of the state's weights that are multiplied together.
const PIECE: usize = 8;

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
            from_c: false,
        };
        // SAFETY: the caller's promise: all steps and sequences of x, and a chunk of gates, exist.
        unsafe {
            if batch == 1 {
                s.outline(Product { m: count, a_row: x_step, ..product });
            } else if x_step == batch * x_row {
                s.outline(Product { m: count * batch, a_row: x_row, ..product });
            } else if count >= batch {
                for b in 0..batch {
                    let (a, c) = (product.a.add(b * x_row), product.c.add(b * n));
                    s.outline(Product { m: count, a, a_row: x_step, c, ldc: batch * n, ..product });
                }
            } else {
                for t in 0..count {
                    let (a, c) = (product.a.add(t * x_step), product.c.add(t * batch * n));
                    s.outline(Product { m: batch, a, a_row: x_row, c, ..product });
                }
            }
        }
    }

    /// Rows of `a` (`[B, H]`) times packed weights of `n` columns, into rows `ldc` apart: onto what stands there,
    /// or from a bias.
    ///
    /// Weights between one and a few sizes of L1 are walked forwards in one step and backwards in the next, so
    /// that what one step read last, the next finds in L1. No sum changes by that.
    /// # Safety
    /// The slices must have been checked against the layer.
    #[inline(always)]
    #[allow(clippy::too_many_arguments, reason = "a product has these operands")]
    unsafe fn times<S: Simd>(
        &self,
        s: S,
        backwards: bool,
        a: *const f32,
        w: *const f32,
        n: usize,
        c: *mut f32,
        ldc: usize,
        bias: Option<&[f32]>,
    ) {
        let &Recurrent { batch, hidden, .. } = self.layer;
        let pieces = n.div_ceil(NR * PIECE);
        let columns = n.div_ceil(NR).div_ceil(pieces) * NR;
        for i in 0..pieces {
            let first = columns * if backwards { pieces - 1 - i } else { i };
            s.outline(Product {
                m: batch,
                k: hidden,
                n: columns.min(n - first),
                a,
                a_row: hidden,
                a_step: 1,
                w: w.wrapping_add(first * hidden),
                bias: bias.map_or(core::ptr::null(), |bias| bias.as_ptr().wrapping_add(first)),
                c: c.wrapping_add(first),
                ldc,
                from_c: bias.is_none(),
            });
        }
    }

    /// Step `t`, whose gate inputs from x stand at `gates`.
    /// # Safety
    /// The slices must have been checked against the layer.
    #[inline(always)]
    unsafe fn step<S: Simd>(&mut self, s: S, t: usize, backwards: bool, gates: *mut f32) {
        let &Recurrent { cell, batch, hidden, .. } = self.layer;
        let n = cell.gates() * hidden;
        let (h, r) = (self.h.as_ptr(), self.weights.r.as_ptr());
        // SAFETY: the caller's promise; the scratch has the parts that the cell needs.
        unsafe {
            match cell {
                Cell::Gru { linear_before_reset: true, .. } => {
                    let bias = self.weights.bias.get_unchecked(n..);
                    let beside = self.beside.as_mut_ptr();
                    self.times(s, backwards, h, r, n, beside, n, Some(bias));
                }
                Cell::Gru { .. } => self.times(s, backwards, h, r, 2 * hidden, gates, n, None),
                _ => self.times(s, backwards, h, r, n, gates, n, None),
            }
            if pack::two_products(cell) {
                for b in 0..batch {
                    self.reset(s, b, gates.add(b * n));
                }
                let r = r.add(packed_len(hidden, 2 * hidden));
                self.times(s, backwards, self.beside.as_ptr(), r, hidden, gates.add(2 * hidden), n, None);
            }
            for b in 0..batch {
                if t < self.len(b) {
                    self.finish(s, b, gates.add(b * n));
                }
                if !self.out.y.is_empty() {
                    let y = self.out.y.as_mut_ptr().add(t * self.layer.y_step + b * self.layer.y_row);
                    if t < self.len(b) {
                        crate::copy::copy_row(
                            s,
                            y.cast(),
                            self.h.as_ptr().add(b * hidden).cast(),
                            4 * hidden,
                        );
                    } else {
                        core::slice::from_raw_parts_mut(y, hidden).fill(0.0);
                    }
                }
            }
        }
    }
}

impl Op for Sequence<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        self.start();
        let (steps, chunk) = (self.layer.steps, self.layer.chunk());
        let row = self.layer.batch * self.layer.cell.gates() * self.layer.hidden;
        let mut done = 0;
        while done < steps {
            let count = chunk.min(steps - done);
            let first = if self.layer.reverse { steps - done - count } else { done };
            // SAFETY: `Recurrent::run` checked every slice.
            unsafe {
                self.project(s, first, count);
                for i in 0..count {
                    let i = if self.layer.reverse { count - 1 - i } else { i };
                    let gates = self.gates.as_mut_ptr().add(i * row);
                    self.step(s, first + i, i % 2 == 1, gates);
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
