//! The weights of recurrent layers in the form that the kernel reads; done once, while compiling.

use super::Cell;
use crate::gemm::{Layout, pack, packed_len};
use alloc::vec::Vec;

/// ONNX's `W [G·H, I]` packed.
///
/// # Panics
/// When `w` has another size.
#[must_use]
pub fn pack_input(cell: Cell, input: usize, hidden: usize, w: &[f32]) -> Vec<f32> {
    pack(w, input, cell.gates() * hidden, Layout::NK)
}

/// ONNX's `R [G·H, H]` packed: one matrix, or for a GRU that resets before its product two, that of the gates
/// z and r, and that of h.
///
/// # Panics
/// When `r` has another size.
#[must_use]
pub fn pack_state(cell: Cell, hidden: usize, r: &[f32]) -> Vec<f32> {
    match two_products(cell) {
        true => {
            let (zr, h) = r.split_at(2 * hidden * hidden);
            let mut packed = pack(zr, hidden, 2 * hidden, Layout::NK);
            packed.extend(pack(h, hidden, hidden, Layout::NK));
            packed
        }
        false => pack(r, hidden, cell.gates() * hidden, Layout::NK),
    }
}

/// Floats of [`pack_state`]'s result.
#[must_use]
pub const fn packed_state_len(cell: Cell, hidden: usize) -> usize {
    match two_products(cell) {
        true => packed_len(hidden, 2 * hidden) + packed_len(hidden, hidden),
        false => packed_len(hidden, cell.gates() * hidden),
    }
}

/// Whether the state's product takes two steps: `r ⊙ h` is only known when z and r are.
pub(super) const fn two_products(cell: Cell) -> bool {
    matches!(cell, Cell::Gru { linear_before_reset: false, .. })
}

/// ONNX's `B [2·G·H]`, the biases of W and R added up; `[G·H]` for all cells but a GRU with a linear step
/// before its reset, whose `[3·H + 3·H]` are what the input's and the state's products start from.
///
/// # Panics
/// When `bias` has another size.
#[must_use]
pub fn pack_bias(cell: Cell, hidden: usize, bias: &[f32]) -> Vec<f32> {
    let n = cell.gates() * hidden;
    assert_eq!(bias.len(), 2 * n, "biases of {cell:?}");
    let (w, r) = bias.split_at(n);
    let sum = |(w, r): (&f32, &f32)| w + r;
    if matches!(cell, Cell::Gru { linear_before_reset: true, .. }) {
        // The bias of R in the hidden gate is under the reset gate.
        let zr = w.iter().zip(r).map(sum).take(2 * hidden);
        let zeros = core::iter::repeat_n(0.0, 2 * hidden);
        return zr
            .chain(w[2 * hidden..].iter().copied())
            .chain(zeros)
            .chain(r[2 * hidden..].iter().copied())
            .collect();
    }
    w.iter().zip(r).map(sum).collect()
}

/// Floats of [`pack_bias`]'s result.
pub(super) const fn bias_len(cell: Cell, hidden: usize) -> usize {
    match cell {
        Cell::Gru { linear_before_reset: true, .. } => 6 * hidden,
        _ => cell.gates() * hidden,
    }
}
