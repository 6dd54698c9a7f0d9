//! One direction of RNN, GRU or LSTM, step by step in `f64`, from the operators' ONNX definitions.
//! Behind a sequence's end the results are 0; a sequence of length 0 leaves final states of 0 (as ONNX
//! Runtime has it, whatever the initial state).

use super::product::activation;
use super::wide::Wide;
use crate::ir::{Cell, Invalid, Recurrent, Tensor};
use sofie_infer_runtime::DType;

/// The weights, row-major.
struct Weights {
    /// Extents of an input and of a state.
    inputs: usize,
    hidden: usize,
    /// `[G·H, I]`, `[G·H, H]`, `[G·H]`, `[G·H]`, `[3·H]`.
    w: Vec<f64>,
    r: Vec<f64>,
    w_bias: Vec<f64>,
    r_bias: Vec<f64>,
    peepholes: Option<Vec<f64>>,
}

pub(super) fn recurrent(
    op: &Recurrent,
    x: &[&Tensor],
    results: &[(DType, Vec<usize>)],
) -> Result<Vec<Tensor>, Invalid> {
    let [steps, batch, inputs] = *x[0].dims() else { return Err(Invalid::new("a recurrent layer's input")) };
    let hidden = x[2].dims()[1];
    let mut rest = x[4..].iter();
    let mut operand = |there: bool| if there { rest.next() } else { None };
    let lens = match operand(op.lens) {
        Some(t) => t.to_ints().ok_or_else(|| Invalid::new("sequence lengths must be integers"))?,
        None => vec![steps as i64; batch],
    };
    let mut state = |there| operand(there).map_or_else(|| vec![0.0; batch * hidden], |t| f64::of(t));
    let (mut h, mut c) = (state(op.h0), state(op.c0));
    let mut w_bias = f64::of(x[3]);
    let r_bias = w_bias.split_off(w_bias.len() / 2);
    let peepholes = operand(op.peepholes).map(|t| f64::of(t));
    let weights = Weights { inputs, hidden, w: f64::of(x[1]), r: f64::of(x[2]), w_bias, r_bias, peepholes };

    let v = f64::of(x[0]);
    let mut y = vec![0.0; steps * batch * hidden];
    for (b, &len) in lens.iter().enumerate() {
        let len = usize::try_from(len)
            .ok()
            .filter(|&n| n <= steps)
            .ok_or_else(|| Invalid::new(format!("a sequence of length {len} in {steps} steps")))?;
        let (h, c) = (&mut h[b * hidden..][..hidden], &mut c[b * hidden..][..hidden]);
        if len == 0 {
            h.fill(0.0);
            c.fill(0.0);
        }
        for step in 0..len {
            let t = if op.reverse { len - 1 - step } else { step };
            let row = t * batch + b;
            weights.step(op, &v[row * inputs..][..inputs], h, c);
            y[row * hidden..][..hidden].copy_from_slice(h);
        }
    }
    results.iter().zip([y, h, c]).map(|((t, dims), y)| f64::tensor(*t, dims, &y)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Weights {
    /// `x·Wᵀ + b` of row `j` of a gate.
    fn of_input(&self, gate: usize, j: usize, x: &[f64]) -> f64 {
        let row = gate * self.hidden + j;
        dot(x, &self.w[row * self.inputs..][..self.inputs]) + self.w_bias[row]
    }

    /// `h·Rᵀ + b` of row `j` of a gate.
    fn of_state(&self, gate: usize, j: usize, h: &[f64]) -> f64 {
        let row = gate * self.hidden + j;
        dot(h, &self.r[row * self.hidden..][..self.hidden]) + self.r_bias[row]
    }

    fn peephole(&self, which: usize, j: usize, c: f64) -> f64 {
        self.peepholes.as_ref().map_or(0.0, |p| p[which * self.hidden + j] * c)
    }

    /// One step of one sequence: `h` and `c` become the next state.
    fn step(&self, op: &Recurrent, x: &[f64], h: &mut [f64], c: &mut [f64]) {
        let clipped = |v: f64| match op.clip.map(f64::from) {
            Some(limit) if v > limit => limit,
            Some(limit) if v < -limit => -limit,
            _ => v,
        };
        let before = h.to_vec();
        let both = |gate: usize, j: usize| self.of_input(gate, j, x) + self.of_state(gate, j, &before);
        match op.cell {
            Cell::Rnn { f } => {
                (0..self.hidden).for_each(|j| h[j] = activation(f, clipped(both(0, j))));
            }
            Cell::Gru { f, g, linear_before_reset } => {
                let gate = |gate: usize| -> Vec<f64> {
                    (0..self.hidden).map(|j| activation(f, clipped(both(gate, j)))).collect()
                };
                let (z, r) = (gate(0), gate(1));
                let reset: Vec<f64> = r.iter().zip(&before).map(|(r, h)| r * h).collect();
                for j in 0..self.hidden {
                    let state = match linear_before_reset {
                        true => r[j] * self.of_state(2, j, &before),
                        false => self.of_state(2, j, &reset),
                    };
                    let new = activation(g, clipped(self.of_input(2, j, x) + state));
                    h[j] = (1.0 - z[j]) * new + z[j] * before[j];
                }
            }
            Cell::Lstm { f, g, h: out, input_forget } => {
                for j in 0..self.hidden {
                    let old = c[j];
                    let i = activation(f, clipped(both(0, j) + self.peephole(0, j, old)));
                    let forget = match input_forget {
                        true => 1.0 - i,
                        false => activation(f, clipped(both(2, j) + self.peephole(2, j, old))),
                    };
                    c[j] = forget * old + i * activation(g, clipped(both(3, j)));
                    let o = activation(f, clipped(both(1, j) + self.peephole(1, j, c[j])));
                    h[j] = o * activation(out, c[j]);
                }
            }
        }
    }
}
