//! `DynamicQuantizeLSTM`: an LSTM whose weights are integers. The inputs are quantised over all steps at once, the state
//! at each step over the batch; so the steps are laid out one behind the other.

use super::quantized::scaled_product;
use super::refused;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ValueId};
use crate::ops::Ctx;
use crate::ops::expr::{Expr, num, x, y, z};
use crate::ops::quantize::dynamically;
use crate::ops::recurrent::{Kind, activations, of_direction};
use sofie_infer_runtime::map::{Scalar, Unary};
use sofie_infer_runtime::{Act, DType};

/// Steps beyond which laying them out ends.
const STEPS: i64 = 1 << 10;

/// Weights of one direction.
#[derive(Clone, Copy)]
struct Weights {
    of_input: ValueId,
    of_state: ValueId,
    scales: [ValueId; 2],
    zeros: [ValueId; 2],
    bias: Option<ValueId>,
    peepholes: Option<ValueId>,
}

/// What the attributes say of a cell.
#[derive(Clone, Copy)]
struct Cell<'a> {
    acts: &'a [Act],
    clip: Option<f32>,
    input_forget: bool,
}

fn act(e: Expr, act: Act) -> Result<Expr> {
    match act {
        Act::Sigmoid => Ok(e.unary(Unary::Sigmoid)),
        Act::Tanh => Ok(e.unary(Unary::Tanh)),
        Act::Relu => Ok(e.unary(Unary::Relu)),
        _ => Err(refused("activations other than Sigmoid, Tanh and Relu are not supported")),
    }
}

/// Part `i` of `n` equal ones along the last axis.
fn part(c: &mut Ctx<'_, '_>, v: ValueId, i: usize, n: &Dim) -> Result<ValueId> {
    let axis = c.rank(v) - 1;
    Ok(c.b.slice_axis(v, axis, n.mul(&i.into())?, n.clone())?)
}

/// `v` of integers as `v · weights`, quantised over its whole range.
fn product(c: &mut Ctx<'_, '_>, v: ValueId, w: ValueId, scale: ValueId, zero: ValueId) -> Result<ValueId> {
    let [v, of_v, zero_v] = dynamically(c, v)?;
    scaled_product(c, [v, w], [of_v, scale], [Some(zero_v), Some(zero)], None)
}

/// One step: the new state and cell, from the product with the input `[B, 4H]`.
fn step(
    c: &mut Ctx<'_, '_>,
    of_input: ValueId,
    [state, cell]: [ValueId; 2],
    w: Weights,
    how: Cell<'_>,
) -> Result<[ValueId; 2]> {
    let hidden = c.shape(cell)[1].clone();
    let of_state = product(c, state, w.of_state, w.scales[1], w.zeros[1])?;
    let mut sum = c.map(x() + y(), &[of_input, of_state])?;
    if let Some(bias) = w.bias {
        let (a, b) = (
            part(c, bias, 0, &hidden.mul(&Dim::Fixed(4))?)?,
            part(c, bias, 1, &hidden.mul(&Dim::Fixed(4))?)?,
        );
        sum = c.map(x() + (y() + z()), &[sum, a, b])?;
    }
    let clipped = |e: Expr| match how.clip {
        Some(clip) => e.max(num(-clip)).min(num(clip)),
        None => e,
    };
    // The gates stand in the order input, output, forget, cell; so do the peepholes.
    let gate = |c: &mut Ctx<'_, '_>, i: usize, f: Act, cell: ValueId| -> Result<ValueId> {
        let of_gate = part(c, sum, i, &hidden)?;
        match w.peepholes.filter(|_| i < 3) {
            Some(p) => {
                let p = part(c, p, i, &hidden)?;
                c.map(act(clipped(x() + y() * z()), f)?, &[of_gate, p, cell])
            }
            None => c.map(act(clipped(x()), f)?, &[of_gate]),
        }
    };
    let [f, g, h] = [how.acts[0], how.acts[1], how.acts[2]];
    let input = gate(c, 0, f, cell)?;
    let forget = if how.input_forget { c.map(num(1.0) - x(), &[input])? } else { gate(c, 2, f, cell)? };
    let fresh = gate(c, 3, g, cell)?;
    let old = c.map(x() * y(), &[forget, cell])?;
    let cell = c.map(x() + y() * z(), &[old, input, fresh])?;
    let output = gate(c, 1, f, cell)?;
    let state = c.map(x() * act(y(), h)?, &[output, cell])?;
    Ok([state, cell])
}

/// `DynamicQuantizeLSTM`.
pub(in crate::ops) fn dynamic_lstm(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w, r) = (c.required(0, "X")?, c.required(1, "W")?, c.required(2, "R")?);
    let reverse: &[bool] = match c.attrs.string_or("direction", "forward")? {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(Error::new(format!("direction {other:?} is not known"))),
    };
    if c.optional(4)?.is_some() {
        return Err(refused("sequence_lens is not supported"));
    }
    let directions = Dim::from(reverse.len());
    for v in [v, w, r] {
        if c.rank(v) != 3 {
            return Err(Error::new(format!("an operand has shape {}; three axes are needed", c.shape(v))));
        }
    }
    let [steps, batch, inputs] = [0, 1, 2].map(|i| c.shape(v)[i].clone());
    let hidden = c.shape(r)[1].clone();
    let four = hidden.mul(&Dim::Fixed(4))?;
    let (of_w, of_r) = (c.shape(w), c.shape(r));
    if of_w.dims() != [directions.clone(), inputs.clone(), four.clone()]
        || of_r.dims() != [directions.clone(), hidden.clone(), four]
        || c.attrs.int("hidden_size")?.is_some_and(|n| !hidden.is(n))
    {
        return Err(Error::new(format!("W {of_w} and R {of_r} for X {}", c.shape(v))));
    }
    let count = steps.fixed().filter(|n| (1..=STEPS).contains(n));
    let count = count.ok_or_else(|| refused(format!("{steps} steps; 1 to {STEPS} are laid out")))?;
    let acts = activations(c, Kind::Lstm, reverse.len())?;
    let (clip, input_forget) = (c.attrs.float("clip")?, c.attrs.flag_or("input_forget", false)?);
    let names = ["W_scale", "W_zero_point", "R_scale", "R_zero_point"];
    let mut quantised = Vec::new();
    for (i, name) in names.iter().enumerate() {
        quantised.push(c.required(8 + i, name)?);
    }
    let [bias, h0, c0, peepholes] = [c.optional(3)?, c.optional(5)?, c.optional(6)?, c.optional(7)?];
    let zero = c.b.scalar(Scalar::from_f64(DType::F32, 0.0));
    let mut results = [Vec::new(), Vec::new(), Vec::new()];
    for (d, reverse) in reverse.iter().enumerate() {
        let mut of = |v: ValueId| of_direction(c, v, d);
        let weights = Weights {
            of_input: of(w)?,
            of_state: of(r)?,
            scales: [of(quantised[0])?, of(quantised[2])?],
            zeros: [of(quantised[1])?, of(quantised[3])?],
            bias: bias.map(&mut of).transpose()?,
            peepholes: peepholes.map(&mut of).transpose()?,
        };
        let states = [h0.map(&mut of).transpose()?, c0.map(&mut of).transpose()?];
        let how = Cell { acts: &acts[3 * d..3 * d + 3], clip, input_forget };
        let flat = c.reshape(v, &[steps.mul(&batch)?, inputs.clone()])?;
        let all = product(c, flat, weights.of_input, weights.scales[0], weights.zeros[0])?;
        let mut now = [zero; 2];
        for (now, given) in now.iter_mut().zip(states) {
            *now = match given {
                Some(given) => given,
                None => c.b.broadcast(zero, &[batch.clone(), hidden.clone()].into_iter().collect())?,
            };
        }
        let mut rows = vec![zero; count as usize];
        for i in 0..count {
            let t = if *reverse { count - 1 - i } else { i };
            let of_input = c.b.slice_axis(all, 0, batch.mul(&Dim::Fixed(t))?, batch.clone())?;
            now = step(c, of_input, now, weights, how)?;
            rows[t as usize] = c.reshape(now[0], &[Dim::ONE, Dim::ONE, batch.clone(), hidden.clone()])?;
        }
        results[0].push(c.b.one(Op::Concat(0), &rows)?);
        for (result, now) in results[1..].iter_mut().zip(now) {
            result.push(c.reshape(now, &[Dim::ONE, batch.clone(), hidden.clone()])?);
        }
    }
    let mut outputs = Vec::new();
    for (parts, axis) in results.iter().zip([1, 0, 0]) {
        outputs.push(c.b.one(Op::Concat(axis), parts)?);
    }
    Ok(outputs)
}
