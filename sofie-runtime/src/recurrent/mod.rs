//! One direction of ONNX's RNN, GRU or LSTM over a whole sequence, in one call.
//!
//! The inputs of many steps are multiplied at once (one GEMM a chunk of steps), which leaves a step with the
//! product of the state, whose weights stay in L1 or L2, and the gates. Steps and sequences have strides of
//! their own, so batch-major tensors and halves of a bidirectional result need no transpose.

mod pack;
mod sequence;
mod step;
#[cfg(test)]
mod tests;

pub use pack::{pack_bias, pack_input, pack_state, packed_state_len};

use crate::Act;
use crate::gemm::packed_len;
use crate::simd;

/// A recurrent cell; gates in ONNX's order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// `h = f(x·Wᵀ + h·Rᵀ + b)`.
    Rnn {
        /// f.
        f: Act,
    },
    /// Gates z, r, h.
    Gru {
        /// Of z and r.
        f: Act,
        /// Of h.
        g: Act,
        /// The recurrent product of the hidden gate is made before the reset gate applies.
        linear_before_reset: bool,
    },
    /// Gates i, o, f, c.
    Lstm {
        /// Of i, o and f.
        f: Act,
        /// Of c.
        g: Act,
        /// Of the cell state on its way out.
        h: Act,
        /// The input and forget gates are coupled: `f = 1 - i`.
        input_forget: bool,
    },
}

impl Cell {
    /// The number of gates.
    #[must_use]
    pub const fn gates(&self) -> usize {
        match self {
            Cell::Rnn { .. } => 1,
            Cell::Gru { .. } => 3,
            Cell::Lstm { .. } => 4,
        }
    }
}

/// One direction of a recurrent layer.
///
/// Behind a sequence's end the results are 0; a sequence of length 0 has final states of 0, whatever the
/// initial ones (as ONNX Runtime has it).
#[derive(Clone, Debug, PartialEq)]
pub struct Recurrent {
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
    /// Floats from a step of x to the next; the I floats of an input stand together.
    pub x_step: usize,
    /// Floats from a sequence of x to the next.
    pub x_row: usize,
    /// Floats from a step of y to the next; the H floats of a state stand together.
    pub y_step: usize,
    /// Floats from a sequence of y to the next.
    pub y_row: usize,
}

/// The constant operands of a [`Recurrent`].
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// Of the inputs, as [`pack_input`] gives them.
    pub w: &'a [f32],
    /// Of the state, as [`pack_state`] gives them.
    pub r: &'a [f32],
    /// As [`pack_bias`] gives it.
    pub bias: &'a [f32],
    /// `[3·H]`, gates i, o, f (LSTM), or empty.
    pub peepholes: &'a [f32],
}

/// The optional operands of a [`Recurrent`].
#[derive(Clone, Copy, Debug, Default)]
pub struct State<'a> {
    /// `[B]` lengths of the sequences, or empty: all have T steps.
    pub lens: &'a [i32],
    /// `[B, H]`, or empty: zeros.
    pub h: &'a [f32],
    /// `[B, H]` (LSTM), or empty: zeros.
    pub c: &'a [f32],
}

/// The results of a [`Recurrent`]; what is not wanted is empty.
#[derive(Debug)]
pub struct Results<'a> {
    /// All states, at the descriptor's strides.
    pub y: &'a mut [f32],
    /// `[B, H]`: the last state.
    pub h: &'a mut [f32],
    /// `[B, H]`: the last cell state (LSTM).
    pub c: &'a mut [f32],
}

/// Rows that a product should have to run at full speed: two tiles of the tallest.
const ROWS: usize = 24;
/// Steps from which a product that is small beside the state's costs little more a row (in 15 steps of 6 inputs and 50
/// states of an LSTM 0.14 us of 5.5).
const FEW: usize = 3;

impl Recurrent {
    /// Runs the layer over `x`.
    ///
    /// # Panics
    /// When a slice is too short for the descriptor, or a length is not in `0..=T`.
    pub fn run(
        &self,
        out: Results<'_>,
        x: &[f32],
        weights: Weights<'_>,
        state: State<'_>,
        scratch: &mut [f32],
    ) {
        let Recurrent { cell, steps, batch, input, hidden, .. } = *self;
        let (n, states) = (cell.gates() * hidden, batch.saturating_mul(hidden));
        let fits = |len: usize, wanted: usize| len == 0 || len >= wanted;
        assert!(x.len() >= span(self, self.x_step, self.x_row, input), "recurrent: x is too short");
        assert!(fits(out.y.len(), span(self, self.y_step, self.y_row, hidden)), "recurrent: y is too short");
        assert!(fits(out.h.len(), states) && fits(out.c.len(), states), "recurrent: a result is too short");
        assert!(
            fits(state.h.len(), states) && fits(state.c.len(), states),
            "recurrent: a state is too short"
        );
        assert!(fits(state.lens.len(), batch), "recurrent: too few lengths");
        for &len in state.lens {
            assert!(
                (0..=steps as i64).contains(&len.into()),
                "recurrent: a sequence of length {len} in {steps} steps"
            );
        }
        assert!(weights.w.len() >= packed_len(input, n), "recurrent: too few weights of the input");
        assert!(weights.r.len() >= packed_state_len(cell, hidden), "recurrent: too few weights of the state");
        assert!(weights.bias.len() >= pack::bias_len(cell, hidden), "recurrent: the bias is too short");
        assert!(fits(weights.peepholes.len(), 3 * hidden), "recurrent: too few peepholes");
        assert!(scratch.len() >= self.scratch(), "recurrent: too little scratch");
        if states != 0 {
            simd::dispatch(sequence::Sequence::new(self, out, x, weights, state, scratch));
        }
    }

    /// Floats of scratch that [`Recurrent::run`] needs.
    #[must_use]
    pub const fn scratch(&self) -> usize {
        let parts = self.parts();
        parts[0] + parts[1] + parts[2] + parts[3]
    }

    /// Floats of scratch that suffice for all extents from those of `least` to these: blocks are chosen by the extents, so
    /// that smaller ones may need more.
    #[must_use]
    pub fn scratch_within(&self, least: &Recurrent) -> usize {
        let at = |batch| Recurrent { batch, ..self.clone() }.scratch();
        (least.batch..=self.batch).map(at).max().unwrap_or(0)
    }

    /// The scratch's parts: gate inputs of a chunk, state, cell state, what the cell needs beside them.
    const fn parts(&self) -> [usize; 4] {
        let n = self.cell.gates() * self.hidden;
        let gates = self.chunk() * self.batch * n;
        let states = self.batch * self.hidden;
        match self.cell {
            Cell::Rnn { .. } => [gates, states, 0, 0],
            Cell::Gru { linear_before_reset: true, .. } => [gates, states, 0, self.batch * n],
            Cell::Gru { .. } => [gates, states, 0, states],
            Cell::Lstm { .. } => [gates, states, states, self.hidden],
        }
    }

    /// Steps whose inputs are multiplied at once: as few as cost little, since their gates stand in scratch.
    ///
    /// A chunk reads W once, each step reads R: where I is small beside H, W's part is small at a few rows already.
    const fn chunk(&self) -> usize {
        let rows = match self.input.saturating_mul(16).checked_div(self.hidden) {
            Some(rows) if rows < ROWS => rows,
            _ => ROWS,
        };
        let chunk = match rows.checked_div(self.batch) {
            Some(steps) if steps > FEW => steps,
            _ => FEW,
        };
        if chunk < self.steps { chunk } else { self.steps }
    }
}

/// Floats from the first to the last of rows of `width` at the strides.
const fn span(r: &Recurrent, step: usize, row: usize, width: usize) -> usize {
    if r.steps == 0 || r.batch == 0 || width == 0 {
        return 0;
    }
    (r.steps - 1).saturating_mul(step).saturating_add((r.batch - 1).saturating_mul(row)).saturating_add(width)
}
