//! Layers with a state that goes from call to call: `LinearAttention`, `CausalConvWithState`.

use super::Ctx;
use super::constant::filled;
use super::expr::x;
use super::window::{channels_first, channels_last};
use crate::error::{Error, Result};
use crate::ir::{self, Dim, Epilogue, Op, ValueId, Window};
use sofie_infer_runtime::map::{Scalar, Unary};
use sofie_infer_runtime::plain;

/// `LinearAttention`.
pub(super) fn linear_attention(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (q, k, v) = (c.required(0, "query")?, c.required(1, "key")?, c.required(2, "value")?);
    // How many tokens at once, which is ours to choose.
    c.attrs.ignore(&["chunk_size"]);
    let positive = |name: &str| -> Result<usize> {
        let n = c.attrs.require(name, c.attrs.int(name)?)?;
        usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| Error::new(format!("{name} is {n}")))
    };
    let (heads, groups) = (positive("q_num_heads")?, positive("kv_num_heads")?);
    let dims = |v: ValueId, heads: usize| -> Result<(usize, usize, usize)> {
        match c.fixed(v, "linear attention")?[..] {
            [b, t, n] if n % heads == 0 => Ok((b, t, n / heads)),
            _ => Err(Error::new(format!("{} does not divide into {heads} heads", c.shape(v)))),
        }
    };
    let (batch, steps, keys) = dims(q, heads)?;
    let values = dims(v, groups)?.2;
    if heads % groups != 0 || dims(k, groups)? != (batch, steps, keys) || dims(v, groups)?.1 != steps {
        let shapes = [q, k, v].map(|v| c.shape(v).to_string()).join(", ");
        return Err(Error::new(format!("{shapes} do not fit {heads} and {groups} heads")));
    }
    let (decays, corrects) = match c.attrs.string_or("update_rule", "gated_delta")? {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(Error::new(format!("update_rule {other:?} is not known"))),
    };
    let past = c.optional(3)?;
    let state = vec![batch, groups, keys, values];
    if let Some(past) = past
        && c.fixed(past, "linear attention")? != state
    {
        return Err(Error::new(format!("past_state is {}, {state:?} is needed", c.shape(past))));
    }
    let decay = if decays { Some(c.required(4, "decay")?) } else { None };
    let beta = if corrects { Some(c.required(5, "beta")?) } else { None };
    let width = |v: Option<ValueId>, allowed: [usize; 2]| -> Result<usize> {
        let Some(v) = v else { return Ok(0) };
        match c.fixed(v, "linear attention")?[..] {
            [b, t, n] if (b, t) == (batch, steps) && allowed.contains(&n) => Ok(n),
            _ => Err(Error::new(format!("{} does not fit {batch} sequences of {steps} tokens", c.shape(v)))),
        }
    };
    let decay_by_key = width(decay, [groups * keys, groups])? == groups * keys && keys > 1;
    let beta_shared = width(beta, [groups, 1])? == 1 && groups > 1;
    let scale = match c.attrs.float_or("scale", 0.0)? {
        0.0 => (1.0 / (keys as f64).sqrt()) as f32,
        scale => scale,
    };
    let kernel = plain::LinearAttention {
        batch,
        steps,
        heads,
        groups,
        keys,
        values,
        scale,
        past: past.is_some(),
        decay: decays,
        decay_by_key,
        beta: corrects,
        beta_shared,
    };
    let operands: Vec<_> = [q, k, v].into_iter().chain(past).chain(decay).chain(beta).collect();
    let of_state = past.map_or(c.dtype(q), |p| c.dtype(p));
    c.plain(kernel, &operands, vec![(c.dtype(q), vec![batch, steps, heads * values]), (of_state, state)])
}

/// `CausalConvWithState`: a depthwise convolution that sees the past, whose end is the next call's state.
pub(super) fn causal_conv(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w) = (c.required(0, "input")?, c.required(1, "weight")?);
    let (bias, past) = (c.optional(2)?, c.optional(3)?);
    let (shape, weights) = (c.shape(v), c.fixed(w, "the weights' shape")?);
    let [channels, 1, k] = weights[..] else {
        return Err(Error::new(format!("weight has shape {}; [C, 1, k] is needed", c.shape(w))));
    };
    if shape.rank() != 3 || !shape[1].is(channels as i64) || k == 0 {
        return Err(Error::new(format!("input has shape {shape} for {channels} channels")));
    }
    let before = Dim::from(k - 1);
    let past = match past {
        Some(past) => past,
        None => {
            let zero = Scalar::from_f64(c.dtype(v), 0.0);
            filled(c, zero, vec![shape[0].clone(), shape[1].clone(), before.clone()])?
        }
    };
    let all = if k == 1 { v } else { c.b.one(Op::Concat(2), &[past, v])? };
    let window = Window {
        kernel: vec![k],
        strides: vec![1],
        dilations: vec![1],
        pads_begin: vec![0],
        pads_end: vec![0],
    };
    let last = channels_last(c, all)?;
    let filters = c.b.transpose(w, &[2, 1, 0])?;
    let operands: Vec<_> = [last, filters].into_iter().chain(bias).collect();
    let epilogue = if bias.is_some() { Epilogue::BIAS } else { Epilogue::NONE };
    let y = c.b.one(Op::Conv(ir::Conv::new(window, channels), epilogue), &operands)?;
    let mut y = channels_first(c, y)?;
    match c.attrs.string_or("activation", "none")? {
        "none" | "" => {}
        "silu" | "swish" => y = c.map(x().unary(Unary::Silu), &[y])?,
        other => return Err(Error::new(format!("activation {other:?} is not known"))),
    }
    let end = c.b.slice_axis(all, 2, c.shape(all)[2].sub(&before)?, before)?;
    Ok(vec![y, end])
}
