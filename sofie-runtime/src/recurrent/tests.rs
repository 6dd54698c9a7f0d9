//! Recurrent layers against the operators' definitions in `f64`, at every instruction set.

use super::{Cell, Recurrent, Results, State, Weights, pack_bias, pack_input, pack_state};
use crate::Act;
use crate::random::Random;
use crate::simd::for_each_level;

/// Numbers in -1..1.
impl Random {
    fn list(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0).collect()
    }
}

fn activation(act: Act, x: f64) -> f64 {
    match act {
        Act::None => x,
        Act::Relu => x.max(0.0),
        Act::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Act::Tanh => x.tanh(),
        Act::Clip { lo, hi } => x.clamp(lo.into(), hi.into()),
        _ => unreachable!("not in these tests"),
    }
}

/// The operands of a layer in ONNX's layouts.
struct Case {
    layer: Recurrent,
    x: Vec<f32>,
    w: Vec<f32>,
    r: Vec<f32>,
    bias: Vec<f32>,
    peepholes: Vec<f32>,
    lens: Vec<i32>,
    h0: Vec<f32>,
    c0: Vec<f32>,
}

/// `y` (at its strides, in a slice of `y_len` filled with 7), final h, final c.
type Expected = (Vec<f64>, Vec<f64>, Vec<f64>);

impl Case {
    fn expected(&self, y_len: usize) -> Expected {
        let Recurrent { cell, steps, batch, input, hidden, .. } = self.layer;
        let mut y = vec![7.0; y_len];
        let wide = |v: &[f32]| -> Vec<f64> {
            if v.is_empty() { vec![0.0; batch * hidden] } else { v.iter().map(|&v| v.into()).collect() }
        };
        let (mut hs, mut cs) = (wide(&self.h0), wide(&self.c0));
        let clip = self.layer.clip.map_or(f64::INFINITY, f64::from);
        for b in 0..batch {
            let len = self.lens.get(b).map_or(steps, |&n| n as usize);
            let (h, c) = (&mut hs[b * hidden..][..hidden], &mut cs[b * hidden..][..hidden]);
            if len == 0 {
                h.fill(0.0);
                c.fill(0.0);
            }
            for t in 0..steps {
                y[t * self.layer.y_step + b * self.layer.y_row..][..hidden].fill(0.0);
            }
            for step in 0..len {
                let t = if self.layer.reverse { len - 1 - step } else { step };
                let x = &self.x[t * self.layer.x_step + b * self.layer.x_row..][..input];
                let old = h.to_vec();
                let dot =
                    |w: &[f32], v: &[f64]| -> f64 { w.iter().zip(v).map(|(&w, v)| f64::from(w) * v).sum() };
                let x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
                let bias = |row: usize| f64::from(self.bias[row]);
                let of_x = |row: usize| dot(&self.w[row * input..][..input], &x) + bias(row);
                let of_h = |row: usize, h: &[f64]| {
                    dot(&self.r[row * hidden..][..hidden], h) + bias(cell.gates() * hidden + row)
                };
                let peephole = |gate: usize, j: usize| {
                    self.peepholes.get(gate * hidden + j).map_or(0.0, |&p| f64::from(p))
                };
                let act = |a: Act, x: f64| activation(a, x.clamp(-clip, clip));
                match cell {
                    Cell::Rnn { f } => (0..hidden).for_each(|j| h[j] = act(f, of_x(j) + of_h(j, &old))),
                    Cell::Gru { f, g, linear_before_reset } => {
                        let gate = |k: usize| -> Vec<f64> {
                            (k * hidden..(k + 1) * hidden)
                                .map(|row| act(f, of_x(row) + of_h(row, &old)))
                                .collect()
                        };
                        let (z, r) = (gate(0), gate(1));
                        let reset: Vec<f64> = r.iter().zip(&old).map(|(r, h)| r * h).collect();
                        for j in 0..hidden {
                            let row = 2 * hidden + j;
                            let state =
                                if linear_before_reset { r[j] * of_h(row, &old) } else { of_h(row, &reset) };
                            h[j] = (1.0 - z[j]) * act(g, of_x(row) + state) + z[j] * old[j];
                        }
                    }
                    Cell::Lstm { f, g, h: out, input_forget } => {
                        for j in 0..hidden {
                            let sum = |gate: usize| of_x(gate * hidden + j) + of_h(gate * hidden + j, &old);
                            let i = act(f, sum(0) + peephole(0, j) * c[j]);
                            let forget =
                                if input_forget { 1.0 - i } else { act(f, sum(2) + peephole(2, j) * c[j]) };
                            c[j] = forget * c[j] + i * act(g, sum(3));
                            let o = act(f, sum(1) + peephole(1, j) * c[j]);
                            h[j] = o * activation(out, c[j]);
                        }
                    }
                }
                for j in 0..hidden {
                    y[t * self.layer.y_step + b * self.layer.y_row + j] = h[j];
                }
            }
        }
        (y, hs, cs)
    }

    fn check(&self) {
        let l = &self.layer;
        let y_len = l.steps.saturating_sub(1) * l.y_step + l.batch.saturating_sub(1) * l.y_row + l.hidden + 3;
        let (y, h, c) = self.expected(y_len);
        let w = pack_input(l.cell, l.input, l.hidden, &self.w);
        let r = pack_state(l.cell, l.hidden, &self.r);
        let bias = pack_bias(l.cell, l.hidden, &self.bias);
        let weights = Weights { w: &w, r: &r, bias: &bias, peepholes: &self.peepholes };
        let state = State { lens: &self.lens, h: &self.h0, c: &self.c0 };
        let mut first: Option<Vec<u32>> = None;
        for_each_level(|level| {
            let (mut gy, mut gh, mut gc) = (vec![7.0; y_len], vec![7.0; h.len()], vec![7.0; c.len()]);
            let mut scratch = vec![f32::NAN; l.scratch()];
            l.run(Results { y: &mut gy, h: &mut gh, c: &mut gc }, &self.x, weights, state, &mut scratch);
            let lstm = matches!(l.cell, Cell::Lstm { .. });
            for (got, want) in [(&gy, &y), (&gh, &h)].into_iter().chain(lstm.then_some((&gc, &c))) {
                for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
                    let good = (f64::from(got) - want).abs() <= 1e-5 * want.abs().max(1.0);
                    assert!(good, "{l:?} at {}: {got} for {want} at {i}", level.name());
                }
            }
            let bits = gy.iter().chain(&gh).chain(&gc).map(|v| v.to_bits()).collect();
            assert_eq!(*first.get_or_insert_with(|| Vec::clone(&bits)), bits, "{l:?} at {}", level.name());
            // Results that nobody wants.
            let mut lone = vec![7.0; h.len()];
            l.run(Results { y: &mut [], h: &mut lone, c: &mut [] }, &self.x, weights, state, &mut scratch);
            assert_eq!(lone, gh);
        });
    }
}

const CELLS: [Cell; 7] = [
    Cell::Rnn { f: Act::Tanh },
    Cell::Rnn { f: Act::Relu },
    Cell::Gru { f: Act::Sigmoid, g: Act::Tanh, linear_before_reset: false },
    Cell::Gru { f: Act::Sigmoid, g: Act::Tanh, linear_before_reset: true },
    Cell::Lstm { f: Act::Sigmoid, g: Act::Tanh, h: Act::Tanh, input_forget: false },
    Cell::Lstm { f: Act::Sigmoid, g: Act::Tanh, h: Act::Tanh, input_forget: true },
    Cell::Lstm { f: Act::Clip { lo: 0.0, hi: 1.0 }, g: Act::Relu, h: Act::None, input_forget: false },
];

/// How x and y lie.
#[derive(Clone, Copy)]
enum Order {
    /// `[T, B, ·]`.
    Steps,
    /// `[B, T, ·]`.
    Sequences,
    /// Rows that belong to something wider.
    Apart,
}

fn case(cell: Cell, [steps, batch, input, hidden]: [usize; 4], order: Order, options: u32) -> Case {
    let mut random = Random(0x9e37_79b9 + u64::from(options) + hidden as u64);
    let strides = |width: usize| match order {
        Order::Steps => (batch * width, width),
        Order::Sequences => (width, steps * width),
        Order::Apart => (2 * batch * (width + 1), width + 1),
    };
    let ((x_step, x_row), (y_step, y_row)) = (strides(input), strides(hidden));
    let on = |bit: u32| options >> bit & 1 == 1;
    let (n, lstm) = (cell.gates() * hidden, matches!(cell, Cell::Lstm { .. }));
    let mut list = |there: bool, n: usize| if there { random.list(n) } else { vec![] };
    let mut scaled = |n: usize| -> Vec<f32> {
        list(true, n).into_iter().map(|v| v / (hidden.max(1) as f32).sqrt()).collect()
    };
    let (w, r, bias) = (scaled(n * input), scaled(n * hidden), scaled(2 * n));
    Case {
        layer: Recurrent {
            cell,
            steps,
            batch,
            input,
            hidden,
            reverse: on(0),
            clip: on(1).then_some(0.4),
            x_step,
            x_row,
            y_step,
            y_row,
        },
        x: list(true, steps * x_step + batch * x_row + input),
        w,
        r,
        bias,
        h0: list(on(2), batch * hidden),
        c0: list(on(2) && lstm, batch * hidden),
        peepholes: list(on(3) && lstm, 3 * hidden),
        lens: if on(4) { (0..batch).map(|b| ((b * 3 + 2) % (steps + 1)) as i32).collect() } else { vec![] },
    }
}

#[test]
fn every_cell_with_every_option() {
    for cell in CELLS {
        for options in 0..32 {
            let order = [Order::Steps, Order::Sequences, Order::Apart][options as usize % 3];
            case(cell, [5, 3, 4, 19], order, options).check();
        }
    }
}

#[test]
fn every_size() {
    let sizes = [
        [1, 1, 1, 1],
        [7, 1, 6, 50],
        [20, 1, 6, 40],
        [20, 4, 8, 32],
        [3, 13, 5, 16],
        [2, 3, 0, 5],
        [0, 2, 3, 4],
        [3, 0, 3, 4],
        [3, 2, 3, 0],
        // More than one chunk of steps, and weights of more than one piece.
        [150, 2, 3, 70],
    ];
    for cell in CELLS {
        for size in sizes {
            for order in [Order::Steps, Order::Sequences, Order::Apart] {
                case(cell, size, order, 0b10101).check();
            }
        }
    }
}

#[test]
#[should_panic(expected = "recurrent: a sequence of length 6 in 5 steps")]
fn a_length_past_the_end() {
    let mut case = case(CELLS[0], [5, 1, 2, 3], Order::Steps, 0);
    case.lens = vec![6];
    case.check();
}
