//! Row programs, recurrent layers and attention. The recurrent figures are ONNX Runtime's.

use super::*;
use sofie_infer_compiler::ir::{Attention, Cell, Masking, Recurrent, RowKind};
use sofie_infer_runtime::Act;

fn close(y: &Tensor, expected: &[f32], tolerance: f32) {
    let y = floats(y);
    assert_eq!(y.len(), expected.len());
    for (y, e) in y.iter().zip(expected) {
        assert!((y - e).abs() <= tolerance, "{y} is not {e}");
    }
}

#[test]
fn softmax_of_rows() {
    let x = f(&[2, 2], &[0.0, 3f32.ln(), 1000.0, 1000.0]);
    close(&one(Op::Rows(RowKind::Softmax), &[&x]), &[0.25, 0.75, 0.5, 0.5], 1e-7);
    close(
        &one(Op::Rows(RowKind::LogSoftmax), &[&x]),
        &[0.25f32.ln(), 0.75f32.ln(), 0.5f32.ln(), 0.5f32.ln()],
        1e-7,
    );
    let masked = f(&[1, 2], &[f32::NEG_INFINITY, 2.0]);
    assert_eq!(floats(&one(Op::Rows(RowKind::Softmax), &[&masked])), [0.0, 1.0]);
    let hidden = f(&[1, 2], &[f32::NEG_INFINITY; 2]);
    assert!(floats(&one(Op::Rows(RowKind::Softmax), &[&hidden])).iter().all(|y| y.is_nan()));
    assert_eq!(one(Op::Rows(RowKind::Softmax), &[&f(&[2, 0], &[])]), f(&[2, 0], &[]));
}

#[test]
fn normalisation_of_rows() {
    let x = f(&[1, 2], &[1.0, 3.0]);
    let layer = |scale, bias| Op::Rows(RowKind::LayerNorm { epsilon: 0.0, scale, bias });
    assert_eq!(one(layer(false, false), &[&x]), f(&[1, 2], &[-1.0, 1.0]));
    let (scale, bias) = (f(&[2], &[2.0, 3.0]), f(&[2], &[10.0, 20.0]));
    assert_eq!(one(layer(true, true), &[&x, &scale, &bias]), f(&[1, 2], &[8.0, 23.0]));
    assert_eq!(one(layer(false, true), &[&x, &bias]), f(&[1, 2], &[9.0, 21.0]));
    let epsilon = Op::Rows(RowKind::LayerNorm { epsilon: 3.0, scale: false, bias: false });
    assert_eq!(one(epsilon, &[&x]), f(&[1, 2], &[-0.5, 0.5]));
    let rms = Op::Rows(RowKind::RmsNorm { epsilon: 4.0, scale: true });
    assert_eq!(one(rms, &[&x, &scale]), f(&[1, 2], &[2.0 / 3.0, 3.0]));
}

/// -1, -0.875, … 1 in an order that `k` sets; a NumPy script fed the same to ONNX Runtime.
fn wave(dims: &[usize], k: usize) -> Tensor {
    let n: usize = dims.iter().product();
    Tensor::of(dims, &(0..n).map(|i| ((i * k % 17) as f32 - 8.0) * 0.125).collect::<Vec<_>>())
}

const PLAIN: Recurrent = Recurrent {
    cell: Cell::Rnn { f: Act::Tanh },
    reverse: false,
    clip: None,
    lens: false,
    h0: false,
    c0: false,
    peepholes: false,
};

/// Two hidden units; `[steps, batch, inputs]`.
fn recurrent(op: Recurrent, [t, b, inputs]: [usize; 3], lens: &[i32], expected: &[&[f32]]) {
    let gates = op.cell.gates();
    let mut x = vec![
        wave(&[t, b, inputs], 5),
        wave(&[gates * 2, inputs], 7),
        wave(&[gates * 2, 2], 3),
        wave(&[2 * gates * 2], 11),
    ];
    let optional = [
        (op.lens, Tensor::of(&[lens.len()], lens)),
        (op.h0, wave(&[b, 2], 2)),
        (op.c0, wave(&[b, 2], 9)),
        (op.peepholes, wave(&[6], 13)),
    ];
    x.extend(optional.into_iter().filter(|(there, _)| *there).map(|(_, t)| t));
    let y = try_eval(&Op::Recurrent(op), &x.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(y.len(), expected.len());
    y.iter().zip(expected).for_each(|(y, e)| close(y, e, 3e-6));
}

#[test]
fn rnn_backwards_within_each_length() {
    let op = Recurrent { cell: Cell::Rnn { f: Act::Relu }, reverse: true, lens: true, h0: true, ..PLAIN };
    recurrent(
        op,
        [3, 2, 2],
        &[3, 2],
        &[
            &[0.0, 0.93457, 0.0, 1.421875, 0.0, 0.976562, 0.0, 2.375, 0.296875, 1.15625, 0.0, 0.0],
            &[0.0, 0.93457, 0.0, 1.421875],
        ],
    );
}

#[test]
fn gru_both_ways_to_reset() {
    let cell = |linear_before_reset| Cell::Gru { f: Act::Sigmoid, g: Act::Tanh, linear_before_reset };
    let op = Recurrent { cell: cell(false), h0: true, clip: Some(0.5), ..PLAIN };
    recurrent(
        op,
        [3, 1, 2],
        &[],
        &[&[-0.48948, -0.612801, -0.10487, -0.54852, 0.079448, -0.505079], &[0.079448, -0.505079]],
    );
    let op = Recurrent { cell: cell(true), reverse: true, lens: true, ..PLAIN };
    recurrent(
        op,
        [3, 2, 2],
        &[2, 3],
        &[
            &[
                0.233045, -0.400506, 0.079909, -0.589607, 0.169795, -0.28799, -0.343236, -0.323475, 0.0, 0.0,
                -0.26632, -0.174496,
            ],
            &[0.233045, -0.400506, 0.079909, -0.589607],
        ],
    );
}

#[test]
fn lstm_with_every_extra() {
    let cell = |input_forget| Cell::Lstm { f: Act::Sigmoid, g: Act::Tanh, h: Act::Tanh, input_forget };
    recurrent(
        Recurrent { cell: cell(false), ..PLAIN },
        [2, 1, 3],
        &[],
        &[&[-0.034224, 0.198819, -0.043754, 0.435504], &[-0.043754, 0.435504], &[-0.138664, 0.666085]],
    );
    let op = Recurrent { cell: cell(false), h0: true, c0: true, peepholes: true, clip: Some(1.0), ..PLAIN };
    recurrent(
        op,
        [3, 1, 2],
        &[],
        &[
            &[-0.151952, 0.000972, -0.10885, 0.119514, -0.163772, 0.144467],
            &[-0.163772, 0.144467],
            &[-0.508888, 0.271131],
        ],
    );
    let op = Recurrent { cell: cell(true), reverse: true, lens: true, ..PLAIN };
    recurrent(
        op,
        [3, 2, 2],
        &[1, 3],
        &[
            &[
                -0.100163, 0.069952, 0.025769, 0.3166, 0.0, 0.0, 0.07455, 0.240928, 0.0, 0.0, 0.035168,
                0.305518,
            ],
            &[-0.100163, 0.069952, 0.025769, 0.3166],
            &[-0.258501, 0.146629, 0.083241, 0.490563],
        ],
    );
}

#[test]
fn a_sequence_of_no_steps_leaves_zeros_and_one_too_long_is_an_error() {
    let op = Op::Recurrent(Recurrent { lens: true, h0: true, ..PLAIN });
    let eval = |len: i32| {
        let x = [wave(&[2, 1, 1], 5), wave(&[2, 1], 7), wave(&[2, 2], 3), wave(&[4], 11)];
        let (lens, h0) = (Tensor::of(&[1], &[len]), f(&[1, 2], &[1.0, 1.0]));
        try_eval(&op, &[&x[0], &x[1], &x[2], &x[3], &lens, &h0])
    };
    assert_eq!(eval(0).unwrap(), [f(&[2, 1, 2], &[0.0; 4]), f(&[1, 2], &[0.0; 2])]);
    assert!(eval(3).is_err() && eval(-1).is_err());
}

#[test]
fn attention_by_hand() {
    let op = |mask: bool, causal| {
        Op::Attention(Attention { scale: 1.0, mask: mask.then_some(Masking::Add), causal, guarded: false })
    };
    // One head, two queries, two keys; the scores of query 0 are 0 and ln 3, those of query 1 are 0 and 0.
    let q = f(&[1, 1, 2, 1], &[1.0, 0.0]);
    let k = f(&[1, 1, 2, 1], &[0.0, 3f32.ln()]);
    let v = f(&[1, 1, 2, 2], &[4.0, 0.0, 0.0, 8.0]);
    close(&one(op(false, false), &[&q, &k, &v]), &[1.0, 6.0, 2.0, 4.0], 1e-6);
    close(&one(op(false, true), &[&q, &k, &v]), &[4.0, 0.0, 2.0, 4.0], 1e-6);
    let mask = f(&[1, 1, 1, 2], &[f32::NEG_INFINITY, 0.0]);
    close(&one(op(true, false), &[&q, &k, &v, &mask]), &[0.0, 8.0, 0.0, 8.0], 0.0);
    // More keys than queries: the last query sees all of them.
    let last = f(&[1, 1, 1, 1], &[0.0]);
    close(&one(op(false, true), &[&last, &k, &v]), &[2.0, 4.0], 1e-6);
}

#[test]
fn query_heads_share_keys() {
    let op = Op::Attention(Attention { scale: 1.0, mask: Some(Masking::Add), causal: false, guarded: false });
    let (q, k) = (f(&[2, 4, 1, 1], &[0.0; 8]), f(&[2, 2, 1, 1], &[0.0; 4]));
    let v = iota(&[2, 2, 1, 1]);
    let mask = f(&[1, 4, 1, 1], &[0.0, 0.0, 0.0, f32::NAN]);
    let y = floats(&one(op, &[&q, &k, &v, &mask]));
    assert_eq!(y[..3], [0.0, 0.0, 1.0]);
    assert_eq!(y[4..7], [2.0, 2.0, 3.0]);
    assert!(y[3].is_nan() && y[7].is_nan());
}
