//! Recurrent layers whose weights are not known while compiling, or are no `f32`: ONNX's RNN, GRU and LSTM step by
//! step, weights as the file has them.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src};
use crate::recurrent::Cell;
use crate::Act;

/// `y [T, B, H], h [B, H], c [B, H] (LSTM) ← x [T, B, I], w [G·H, I], r [G·H, H], bias [2·G·H], lens? [B] (i32),
/// h0? [B, H], c0? [B, H], peepholes? [3·H]`.
///
/// Behind a sequence's end the results are 0; a sequence of length 0 has final states of 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentPlain {
    /// The cell.
    pub cell: Cell,
    /// T: steps.
    pub steps: usize,
    /// B: sequences.
    pub batch: usize,
    /// I: extent of an input.
    pub input: usize,
    /// H: extent of a state.
    pub hidden: usize,
    /// Time runs backwards (each sequence within its own length).
    pub reverse: bool,
    /// Gate inputs are clipped to ± this.
    pub clip: Option<f32>,
    /// The operand `lens` is there.
    pub lens: bool,
    /// The operand `h0` is there.
    pub h0: bool,
    /// The operand `c0` is there.
    pub c0: bool,
    /// The operand `peepholes` is there.
    pub peepholes: bool,
}

/// The operands as floats of one type.
struct Weights<'a, T> {
    p: &'a RecurrentPlain,
    w: &'a [T],
    r: &'a [T],
    bias: &'a [T],
    peepholes: &'a [T],
}

fn activate(act: Act, x: f64) -> f64 {
    crate::conv::number::activate64(act, x)
}

impl<T: Real> Weights<'_, T> {
    fn of_input(&self, gate: usize, j: usize, x: &[T]) -> f64 {
        let row = gate * self.p.hidden + j;
        let w = &self.w[row * self.p.input..][..self.p.input];
        w.iter().zip(x).map(|(w, x)| w.get() * x.get()).sum::<f64>() + self.bias[row].get()
    }

    fn of_state(&self, gate: usize, j: usize, h: &[f64]) -> f64 {
        let row = gate * self.p.hidden + j;
        let r = &self.r[row * self.p.hidden..][..self.p.hidden];
        let bias = self.bias[self.p.cell.gates() * self.p.hidden + row].get();
        r.iter().zip(h).map(|(r, h)| r.get() * h).sum::<f64>() + bias
    }

    fn peephole(&self, which: usize, j: usize, c: f64) -> f64 {
        if self.peepholes.is_empty() { 0.0 } else { self.peepholes[which * self.p.hidden + j].get() * c }
    }

    fn clipped(&self, x: f64) -> f64 {
        match self.p.clip.map(f64::from) {
            Some(limit) if x > limit => limit,
            Some(limit) if x < -limit => -limit,
            _ => x,
        }
    }

    /// One step of one sequence: `next` and `c` become the next state; `gates` is scratch of two states.
    fn step(&self, x: &[T], h: &[f64], next: &mut [f64], c: &mut [f64], gates: &mut [f64]) {
        let n = self.p.hidden;
        let both = |gate: usize, j: usize| self.of_input(gate, j, x) + self.of_state(gate, j, h);
        match self.p.cell {
            Cell::Rnn { f } => (0..n).for_each(|j| next[j] = activate(f, self.clipped(both(0, j)))),
            Cell::Gru { f, g, linear_before_reset } => {
                let (z, reset) = gates.split_at_mut(n);
                for j in 0..n {
                    z[j] = activate(f, self.clipped(both(0, j)));
                    let r = activate(f, self.clipped(both(1, j)));
                    reset[j] = if linear_before_reset { r } else { r * h[j] };
                }
                for j in 0..n {
                    let state = match linear_before_reset {
                        true => reset[j] * self.of_state(2, j, h),
                        false => self.of_state(2, j, reset),
                    };
                    let new = activate(g, self.clipped(self.of_input(2, j, x) + state));
                    next[j] = (1.0 - z[j]) * new + z[j] * h[j];
                }
            }
            Cell::Lstm { f, g, h: out, input_forget } => {
                for j in 0..n {
                    let old = c[j];
                    let i = activate(f, self.clipped(both(0, j) + self.peephole(0, j, old)));
                    let forget = match input_forget {
                        true => 1.0 - i,
                        false => activate(f, self.clipped(both(2, j) + self.peephole(2, j, old))),
                    };
                    c[j] = forget * old + i * activate(g, self.clipped(both(3, j)));
                    let o = activate(f, self.clipped(both(1, j) + self.peephole(1, j, c[j])));
                    next[j] = o * activate(out, c[j]);
                }
            }
        }
    }
}

impl RecurrentPlain {
    fn typed<T: Real>(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let mut rest = xs[4..].iter();
        let mut optional = |there: bool| if there { rest.next() } else { None };
        let lens: &[i32] = optional(self.lens).map_or(&[], |x| x.slice());
        let h0: &[T] = optional(self.h0).map_or(&[], |x| x.slice());
        let c0: &[T] = optional(self.c0).map_or(&[], |x| x.slice());
        let peepholes: &[T] = optional(self.peepholes).map_or(&[], |x| x.slice());
        let weights =
            Weights { p: self, w: xs[1].slice(), r: xs[2].slice(), bias: xs[3].slice(), peepholes };
        let x: &[T] = xs[0].slice();
        let (scratch, ys) = match ys.split_last_mut() {
            Some((scratch, ys)) => (scratch.slice::<f64>(), ys),
            None => return,
        };
        let n = self.hidden;
        let (states, gates) = scratch.split_at_mut(3 * n);
        let (mut h, rest) = states.split_at_mut(n);
        let (mut next, c) = rest.split_at_mut(n);
        ys[0].slice::<T>().fill(T::put(0.0));
        for b in 0..self.batch {
            let len = lens.get(b).map_or(self.steps as i64, |&len| len.into());
            assert!((0..=self.steps as i64).contains(&len), "recurrent: a sequence of length {len}");
            let initial = |from: &[T], to: &mut [f64]| {
                for (j, to) in to.iter_mut().enumerate() {
                    *to = if len == 0 || from.is_empty() { 0.0 } else { from[b * n + j].get() };
                }
            };
            initial(h0, h);
            initial(c0, c);
            for step in 0..len as usize {
                let t = if self.reverse { len as usize - 1 - step } else { step };
                let row = t * self.batch + b;
                weights.step(&x[row * self.input..][..self.input], h, next, c, gates);
                core::mem::swap(&mut h, &mut next);
                let y = &mut ys[0].slice::<T>()[row * n..][..n];
                y.iter_mut().zip(h.iter()).for_each(|(y, h)| *y = T::put(*h));
            }
            let last = |to: &mut [T], from: &[f64]| {
                to[b * n..][..n].iter_mut().zip(from).for_each(|(y, x)| *y = T::put(*x));
            };
            last(ys[1].slice(), h);
            if ys.len() > 2 {
                last(ys[2].slice(), c);
            }
        }
    }
}

impl Algorithm for RecurrentPlain {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        reals!(xs[0].dtype(), T => self.typed::<T>(ys, xs));
    }

    fn scratch(&self) -> usize {
        5 * self.hidden.max(1)
    }
}
