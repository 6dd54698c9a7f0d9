//! `RNN`, `GRU`, `LSTM`: one core operation a direction, the two directions concatenated.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Cell, Dim, Op, Recurrent, Shape, Tensor, ValueId};
use sofie_infer_runtime::map::Scalar;
use sofie_infer_runtime::{Act, DType};

/// The three operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `RNN`.
    Rnn,
    /// `GRU`.
    Gru,
    /// `LSTM`.
    Lstm,
}

impl Kind {
    fn gates(self) -> i64 {
        match self {
            Kind::Rnn => 1,
            Kind::Gru => 3,
            Kind::Lstm => 4,
        }
    }

    /// The functions of one direction where none are given.
    fn default_activations(self) -> &'static [&'static str] {
        match self {
            Kind::Rnn => &["Tanh"],
            Kind::Gru => &["Sigmoid", "Tanh"],
            Kind::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        }
    }
}

/// The functions of all directions, with their factors, which are listed for those functions that have any.
pub(super) fn activations(c: &Ctx<'_, '_>, kind: Kind, directions: usize) -> Result<Vec<Act>> {
    let default = kind.default_activations();
    let names = c.attrs.strings("activations")?.unwrap_or_else(|| default.repeat(directions));
    if names.len() != default.len() * directions {
        let expected = default.len() * directions;
        return Err(Error::new(format!(
            "{} activations for {directions} directions; {expected} are needed",
            names.len()
        )));
    }
    let mut alphas = c.attrs.floats("activation_alpha")?.unwrap_or_default().iter().copied();
    let mut betas = c.attrs.floats("activation_beta")?.unwrap_or_default().iter().copied();
    let act = |name: &&str| {
        Ok(match name.to_ascii_lowercase().as_str() {
            "relu" => Act::Relu,
            "tanh" => Act::Tanh,
            "sigmoid" => Act::Sigmoid,
            "leakyrelu" => Act::LeakyRelu { alpha: alphas.next().unwrap_or(0.01) },
            "elu" => Act::Elu { alpha: alphas.next().unwrap_or(1.0) },
            "hardsigmoid" => {
                Act::HardSigmoid { alpha: alphas.next().unwrap_or(0.2), beta: betas.next().unwrap_or(0.5) }
            }
            "softplus" => Act::Softplus,
            "softsign" => Act::Softsign,
            "thresholdedrelu" => Act::ThresholdedRelu { alpha: alphas.next().unwrap_or(1.0) },
            "scaledtanh" => {
                Act::ScaledTanh { alpha: alphas.next().unwrap_or(1.0), beta: betas.next().unwrap_or(1.0) }
            }
            "affine" => match (alphas.next().unwrap_or(1.0), betas.next().unwrap_or(0.0)) {
                (1.0, 0.0) => Act::None,
                (alpha, beta) => Act::Affine { alpha, beta },
            },
            _ => return Err(unknown(name)),
        })
    };
    names.iter().map(act).collect()
}

fn unknown(name: &str) -> Error {
    Error::new(format!("the activation {name} of a recurrent layer is not known")).help(
        "ONNX has Relu, Tanh, Sigmoid, Affine, LeakyRelu, ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, Softsign and \
         Softplus; train with one of them, or export the loop unrolled",
    )
}

/// Operand `v` of shape `[directions, …]` for direction `d`.
pub(super) fn of_direction(c: &mut Ctx<'_, '_>, v: ValueId, d: usize) -> Result<ValueId> {
    let part = c.b.slice_axis(v, 0, d.into(), Dim::ONE)?;
    c.drop_axes(part, &[0])
}

/// Initial states as `[directions, B, H]`; they are `[B, directions, H]` where the layout is 1.
fn states(c: &mut Ctx<'_, '_>, i: usize, batch_first: bool) -> Result<Option<ValueId>> {
    let Some(v) = c.optional(i)? else { return Ok(None) };
    if c.rank(v) != 3 {
        return Err(Error::misfit(format!(
            "the initial state has shape {}; three axes are needed",
            c.shape(v)
        )));
    }
    Ok(Some(if batch_first { c.b.transpose(v, &[1, 0, 2])? } else { v }))
}

/// `RNN`, `GRU`, `LSTM`.
pub(super) fn recurrent(c: &mut Ctx<'_, '_>, kind: Kind) -> Result<Vec<ValueId>> {
    let (x, w, r) = (c.required(0, "X")?, c.required(1, "W")?, c.required(2, "R")?);
    let reverse: &[bool] = match c.attrs.string_or("direction", "forward")? {
        "forward" => &[false],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(Error::new(format!("direction {other:?} is not known"))),
    };
    for (v, name) in [(x, "X"), (w, "W"), (r, "R")] {
        if c.rank(v) != 3 {
            return Err(Error::misfit(format!("{name} has shape {}; three axes are needed", c.shape(v))));
        }
    }
    let directions = Dim::from(reverse.len());
    let hidden = c.shape(r)[2].clone();
    if c.shape(w)[0] != directions || c.shape(r)[0] != directions {
        return Err(Error::new(format!(
            "weights {} and {} for {directions} directions",
            c.shape(w),
            c.shape(r)
        )));
    }
    if let Some(declared) = c.attrs.int("hidden_size")?
        && !hidden.is(declared)
    {
        return Err(Error::misfit(format!("hidden_size is {declared}, but R has shape {}", c.shape(r))));
    }
    // Opset 1 let an attribute say which outputs are wanted; nobody reads the others.
    c.attrs.ignore(if c.version() < 7 { &["output_sequence"] } else { &[] });
    let batch_first = c.attrs.int_or("layout", 0)? != 0;
    let acts = activations(c, kind, reverse.len())?;
    let per_direction = kind.default_activations().len();
    let clip = c.attrs.float("clip")?;
    let linear_before_reset = c.attrs.flag_or("linear_before_reset", false)?;
    let input_forget = c.attrs.flag_or("input_forget", false)?;
    let x = if batch_first { c.b.transpose(x, &[1, 0, 2])? } else { x };
    let bias = c.optional(3)?;
    let lens = c.optional(4)?;
    let lens = match lens {
        Some(lens) => Some(c.b.cast(lens, DType::I32)?),
        None => None,
    };
    let h0 = states(c, 5, batch_first)?;
    let lstm = kind == Kind::Lstm;
    let c0 = if lstm { states(c, 6, batch_first)? } else { None };
    let peepholes = if lstm { c.optional(7)? } else { None };

    let mut outputs: Vec<Vec<ValueId>> = Vec::new();
    for (d, &reverse) in reverse.iter().enumerate() {
        let act = |i: usize| acts[d * per_direction + i];
        let cell = match kind {
            Kind::Rnn => Cell::Rnn { f: act(0) },
            Kind::Gru => Cell::Gru { f: act(0), g: act(1), linear_before_reset },
            Kind::Lstm => Cell::Lstm { f: act(0), g: act(1), h: act(2), input_forget },
        };
        let bias = match bias {
            Some(bias) => of_direction(c, bias, d)?,
            None => zeros(c, x, &hidden.mul(&Dim::Fixed(2 * kind.gates()))?)?,
        };
        let mut operands = vec![x, of_direction(c, w, d)?, of_direction(c, r, d)?, bias];
        operands.extend(lens);
        for state in [h0, c0, peepholes].into_iter().flatten() {
            operands.push(of_direction(c, state, d)?);
        }
        let op = Recurrent {
            cell,
            reverse,
            clip,
            lens: lens.is_some(),
            h0: h0.is_some(),
            c0: c0.is_some(),
            peepholes: peepholes.is_some(),
        };
        outputs.push(c.b.push(Op::Recurrent(op), &operands)?);
    }
    let mut results = Vec::new();
    for i in 0..outputs[0].len() {
        // `Y [T, directions, B, H]`, or `[B, T, directions, H]`; states `[directions, B, H]`, or
        // `[B, directions, H]`.
        let each = outputs.iter().map(|o| o[i]).collect::<Vec<_>>();
        let sequence = i == 0;
        let axis = match (sequence, batch_first) {
            (true, true) => 2,
            (true, false) | (false, true) => 1,
            (false, false) => 0,
        };
        let mut parts = Vec::new();
        for v in each {
            let v = if sequence && batch_first { c.b.transpose(v, &[1, 0, 2])? } else { v };
            let mut dims = c.shape(v).dims().to_vec();
            dims.insert(axis, Dim::ONE);
            parts.push(c.b.reshape(v, Shape::new(dims))?);
        }
        results.push(c.b.one(Op::Concat(axis), &parts)?);
    }
    Ok(results)
}

fn zeros(c: &mut Ctx<'_, '_>, like: ValueId, n: &Dim) -> Result<ValueId> {
    let zero = Scalar::from_f64(c.dtype(like), 0.0);
    match n.fixed().and_then(|n| usize::try_from(n).ok()) {
        Some(n) => Ok(c.b.tensor(Tensor::filled(zero, &[n]))),
        None => super::constant::filled(c, zero, vec![n.clone()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{Attribute, Bytes};
    use crate::ops::testing::*;

    fn names(names: &[&str]) -> Attribute {
        Attribute::Strings(names.iter().map(|n| Bytes::copy_from_slice(n.as_bytes())).collect())
    }

    fn ones(dims: &[usize]) -> Arg {
        Arg::Const(Tensor::of(dims, &vec![1.0f32; dims.iter().product()]))
    }

    /// Running sums: `h = x + h` with a ReLU on positive numbers.
    fn sums(attrs: &[(&str, Attribute)], directions: usize, rest: &[Arg]) -> Vec<Tensor> {
        let mut all = vec![("activations", names(&vec!["Relu"; directions]))];
        all.extend_from_slice(attrs);
        let mut args =
            vec![f32s(&[3, 1, 1], &[1.0, 2.0, 4.0]), ones(&[directions, 1, 1]), ones(&[directions, 1, 1])];
        args.extend_from_slice(rest);
        run_all("RNN", 14, &all, &args, 2).unwrap()
    }

    #[test]
    fn directions_stand_side_by_side() {
        let one = sums(&[], 1, &[]);
        assert_eq!(one, [Tensor::of(&[3, 1, 1, 1], &[1.0f32, 3.0, 7.0]), Tensor::of(&[1, 1, 1], &[7.0f32])]);
        let both = sums(&[("direction", text("bidirectional"))], 2, &[]);
        assert_eq!(both[0], Tensor::of(&[3, 2, 1, 1], &[1.0f32, 7.0, 3.0, 6.0, 7.0, 4.0]));
        assert_eq!(both[1], Tensor::of(&[2, 1, 1], &[7.0f32, 7.0]));
    }

    #[test]
    fn lengths_and_initial_states() {
        let lens = Arg::Const(Tensor::of(&[1], &[2i32]));
        let h0 = f32s(&[1, 1, 1], &[10.0]);
        let y = sums(&[], 1, &[Arg::Left, lens, h0]);
        assert_eq!(y, [Tensor::of(&[3, 1, 1, 1], &[11.0f32, 13.0, 0.0]), Tensor::of(&[1, 1, 1], &[13.0f32])]);
    }

    #[test]
    fn the_batch_may_come_first() {
        let attrs = [("activations", names(&["Relu"])), ("layout", Attribute::Int(1))];
        let args = [f32s(&[1, 3, 1], &[1.0, 2.0, 4.0]), ones(&[1, 1, 1]), ones(&[1, 1, 1])];
        let y = run_all("RNN", 14, &attrs, &args, 2).unwrap();
        assert_eq!(y, [Tensor::of(&[1, 3, 1, 1], &[1.0f32, 3.0, 7.0]), Tensor::of(&[1, 1, 1], &[7.0f32])]);
    }

    #[test]
    fn what_no_cell_computes_is_refused() {
        let args = [f32s(&[3, 1, 1], &[0.0; 3]), ones(&[1, 4, 1]), ones(&[1, 4, 1])];
        let attrs = [("activations", names(&["Sigmoid", "Gelu", "Tanh"]))];
        assert!(
            lowered("LSTM", 14, &attrs, &args, 1)
                .unwrap_err()
                .contains("the activation Gelu of a recurrent layer is not known")
        );
        let two = [("activations", names(&["Sigmoid"]))];
        assert!(lowered("LSTM", 14, &two, &args, 1).unwrap_err().contains("3 are needed"));
        let wrong = lowered("GRU", 14, &[], &args, 1).unwrap_err();
        assert!(wrong.contains("gates of a recurrent layer"), "{wrong}");
    }
}
