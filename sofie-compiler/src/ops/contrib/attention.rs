//! `Attention`, `QAttention` and `MultiHeadAttention`: ONNX's attention behind a packed projection, with key masks that
//! add a finite number (`mask_filter_value`) to what they hide.

use super::{quantized, refused, without};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Shape, ValueId};
use crate::ops::Ctx;
use crate::ops::attention::{Bias, Scoring, apart, attend, together};
use crate::ops::constant::filled;
use crate::ops::expr::{Expr, x, y};
use crate::ops::matmul::product;
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

/// What a mask is made for: `[batch, heads, queries, keys]`.
pub(super) struct Scores {
    pub(super) batch: Dim,
    queries: Dim,
    keys: Dim,
    pub(super) dtype: DType,
}

impl Scores {
    /// Of `q [B, H, L, D]` and `k [B, G, S, D]`.
    pub(super) fn of(c: &Ctx<'_, '_>, q: ValueId, k: ValueId) -> Scores {
        let (of_q, of_k) = (c.shape(q), c.shape(k));
        let [batch, queries, keys] = [of_q[0].clone(), of_q[2].clone(), of_k[2].clone()];
        Scores { batch, queries, keys, dtype: c.dtype(q) }
    }

    /// How many keys are older than the first query.
    fn offset(&self) -> Result<i64> {
        let past = self.keys.sub(&self.queries)?;
        past.fixed()
            .ok_or_else(|| Error::new(format!("a mask by position needs fixed extents, found {past}")))
    }
}

/// A bias that hides the keys that come after their query, and those `window` or more before it.
pub(super) fn causal(c: &mut Ctx<'_, '_>, scores: &Scores, window: Option<i64>) -> Result<ValueId> {
    let integer = |n: i64| Expr::Typed(n.into());
    let distance = || Expr::Iota(2) + x() - Expr::Iota(3);
    let mut seen = distance().ge(integer(0));
    if let Some(window) = window {
        seen = seen.binary(Binary::And, distance().lt(integer(window)));
    }
    let dims = vec![Dim::ONE, Dim::ONE, scores.queries.clone(), scores.keys.clone()];
    let offset = filled(c, scores.offset()?.into(), dims)?;
    let typed = |v: f64| Expr::Typed(Scalar::from_f64(scores.dtype, v));
    c.map(seen.select(typed(0.0), typed(f64::NEG_INFINITY)), &[offset])
}

/// A bias of rank 4 from the mask at operand `i`: the numbers of keys `[B]`, or ones and zeros `[B, S]` or `[B, L, S]`.
fn key_mask(c: &mut Ctx<'_, '_>, i: usize, scores: &Scores) -> Result<Option<ValueId>> {
    let filter = c.attrs.float_or("mask_filter_value", -10000.0)?;
    let Some(mask) = c.optional(i)? else { return Ok(None) };
    let shape = c.shape(mask);
    let (batch, queries, keys) = (&scores.batch, &scores.queries, &scores.keys);
    let typed = |v: f64| Expr::Typed(Scalar::from_f64(scores.dtype, v));
    let hide = |seen: Expr| seen.select(typed(0.0), typed(filter.into()));
    let one = Dim::ONE;
    match shape.dims() {
        [b] if b == batch => {
            let lens = c.reshape(mask, &[b.clone(), one.clone(), one.clone(), one.clone()])?;
            let lens = c.b.cast(lens, DType::I64)?;
            let row = filled(c, 0i64.into(), vec![one.clone(), one.clone(), one, keys.clone()])?;
            Ok(Some(c.map(hide((x() + Expr::Iota(3)).lt(y())), &[row, lens])?))
        }
        [b, s] if b == batch && s == keys => {
            let mask = c.reshape(mask, &[b.clone(), one.clone(), one, s.clone()])?;
            Ok(Some(c.map(hide(x().gt(Expr::Number(0.0))), &[mask])?))
        }
        [b, l, s] if b == batch && l == queries && s == keys => {
            let mask = c.reshape(mask, &[b.clone(), one, l.clone(), s.clone()])?;
            Ok(Some(c.map(hide(x().gt(Expr::Number(0.0))), &[mask])?))
        }
        _ => Err(refused(format!(
            "a mask of shape {shape} is not supported; [{batch}], [{batch}, {keys}] and [{batch}, {queries}, {keys}] are"
        ))
        .at_tensor(c.tensor_name(i))),
    }
}

/// The sum of what masks `scores`: the key mask at operand `mask`, the bias at `added`, and `unidirectional`.
fn masks(c: &mut Ctx<'_, '_>, scores: &Scores, mask: usize, added: Option<usize>) -> Result<Option<Bias>> {
    let mut all: Vec<ValueId> = key_mask(c, mask, scores)?.into_iter().collect();
    if let Some(i) = added
        && let Some(v) = c.optional(i)?
    {
        let shape = c.shape(v);
        let fits = shape.rank() == 4 && shape[2] == scores.queries && shape[3] == scores.keys;
        if !fits {
            return Err(refused(format!("attention_bias of shape {shape} is not supported")));
        }
        all.push(v);
    }
    if c.attrs.flag_or("unidirectional", false)? {
        all.push(causal(c, scores, None)?);
    }
    let mut all = all.into_iter();
    let Some(mut value) = all.next() else { return Ok(None) };
    for other in all {
        value = c.map(x() + y(), &[value, other])?;
    }
    // What a key mask adds is finite, and a query sees itself: no row hides all.
    Ok(Some(Bias { value, may_hide_all: false }))
}

/// The attribute `scale`, where 0 is the default.
pub(super) fn scale(c: &Ctx<'_, '_>) -> Result<Option<f64>> {
    Ok(c.attrs.float("scale")?.filter(|&s| s != 0.0).map(f64::from))
}

/// The attribute `num_heads`.
fn heads(c: &Ctx<'_, '_>) -> Result<i64> {
    let heads = c.attrs.int("num_heads")?;
    c.attrs.require("num_heads", heads)
}

/// `Attention`: input `[B, L, I]`, weights `[I, Q + K + V]`, their bias, a mask, past keys and values, a bias of scores.
pub(in crate::ops) fn attention(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w) = (c.required(0, "input")?, c.required(1, "weights")?);
    let projected = product(c, v, w)?;
    let projected = match c.optional(2)? {
        Some(bias) => c.map(x() + y(), &[projected, bias])?,
        None => projected,
    };
    without(c, 6, "past_sequence_length")?;
    let sizes = c.attrs.ints("qkv_hidden_sizes")?.map(<[i64]>::to_vec);
    self_attention(c, projected, sizes, (3, 4, Some(5)))
}

/// `QAttention`: `Attention` whose projection is of quantised numbers.
pub(in crate::ops) fn quantized_attention(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let [v, w, bias] = [c.required(0, "input")?, c.required(1, "weight")?, c.required(2, "bias")?];
    let scales = [c.required(3, "input_scale")?, c.required(4, "weight_scale")?];
    let zeros = [c.optional(6)?, c.optional(7)?];
    let projected = quantized::scaled_product(c, [v, w], scales, zeros, Some(bias))?;
    self_attention(c, projected, None, (5, 8, None))
}

/// What follows the projection; the operands' places are those of the mask, the past, and what is added.
fn self_attention(
    c: &mut Ctx<'_, '_>,
    projected: ValueId,
    sizes: Option<Vec<i64>>,
    (mask, past, added): (usize, usize, Option<usize>),
) -> Result<Vec<ValueId>> {
    if c.attrs.flag_or("do_rotary", false)? {
        return Err(refused("do_rotary is not supported"));
    }
    if c.attrs.flag_or("past_present_share_buffer", false)? {
        return Err(refused("past_present_share_buffer is not supported"));
    }
    c.attrs.ignore(&["rotary_embedding_dim"]);
    let heads = heads(c)?;
    let shape = c.shape(projected);
    let [_, _, width] = shape.dims() else {
        return Err(Error::new(format!("the projection has shape {shape}; three axes are needed")));
    };
    let sizes = match sizes {
        Some(sizes) => sizes,
        None => match width.exact_div(&Dim::Fixed(3)).and_then(|w| w.fixed()) {
            Some(third) => vec![third; 3],
            None => {
                return Err(Error::new(format!(
                    "the projection gives {width}, which is no three equal parts"
                )));
            }
        },
    };
    if sizes.len() != 3 || Dim::Fixed(sizes.iter().sum()) != *width {
        return Err(Error::new(format!("qkv_hidden_sizes is {sizes:?}, but the projection gives {width}")));
    }
    let mut parts = Vec::new();
    let mut start = 0;
    for size in sizes {
        let part = c.b.slice_axis(projected, 2, Dim::Fixed(start), Dim::Fixed(size))?;
        parts.push(apart(c, part, heads)?);
        start += size;
    }
    let [q, mut k, mut v] = parts[..] else { return Err(Error::new("three parts")) };
    if let Some(past) = c.optional(past)? {
        let half = |c: &mut Ctx<'_, '_>, i: i64| -> Result<ValueId> {
            let half = c.b.slice_axis(past, 0, Dim::Fixed(i), Dim::ONE)?;
            c.drop_axes(half, &[0])
        };
        let (keys, values) = (half(c, 0)?, half(c, 1)?);
        k = c.b.one(Op::Concat(2), &[keys, k])?;
        v = c.b.one(Op::Concat(2), &[values, v])?;
    }
    let scores = Scores::of(c, q, k);
    let bias = masks(c, &scores, mask, added)?;
    let how = Scoring { scale: scale(c)?, cap: 0.0, bias, precision: None };
    let attended = attend(c, [q, k, v], how)?.output;
    let mut outputs = vec![together(c, attended)?];
    if c.wants(1) {
        let stacked = |c: &mut Ctx<'_, '_>, v: ValueId| -> Result<ValueId> {
            let shape = Shape::new([&[Dim::ONE], c.shape(v).dims()].concat());
            Ok(c.b.reshape(v, shape)?)
        };
        let (k, v) = (stacked(c, k)?, stacked(c, v)?);
        outputs.push(c.b.one(Op::Concat(0), &[k, v])?);
    }
    Ok(outputs)
}

/// `MultiHeadAttention`: query `[B, L, H·D]`, key and value `[B, S, …]` or `[B, H, S, D]`, a bias of the three, a mask, a
/// bias of scores, past keys and values.
pub(in crate::ops) fn multi_head(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let heads = heads(c)?;
    let query = c.required(0, "query")?;
    if c.rank(query) != 3 {
        return Err(refused(format!("a packed query {} is not supported", c.shape(query))));
    }
    let (Some(key), Some(value)) = (c.optional(1)?, c.optional(2)?) else {
        return Err(refused("a key that holds values, too, is not supported"));
    };
    for (i, what) in [(8, "past_sequence_length"), (9, "cache_indirection")] {
        without(c, i, what)?;
    }
    let mut parts = [query, key, value];
    if let Some(bias) = c.optional(3)? {
        let mut start = 0;
        for part in &mut parts {
            let shape = c.shape(*part);
            let width = shape.dims().last().and_then(Dim::fixed).unwrap_or(0);
            if shape.rank() != 3 {
                return Err(refused(format!("a bias of a key or value {shape} is not supported")));
            }
            let piece = c.b.slice_axis(bias, 0, Dim::Fixed(start), Dim::Fixed(width))?;
            *part = c.map(x() + y(), &[*part, piece])?;
            start += width;
        }
        if !c.b.shape(bias).numel()?.is(start) {
            return Err(Error::new(format!("the bias has shape {}; {start} are needed", c.shape(bias))));
        }
    }
    for part in &mut parts {
        if c.rank(*part) == 3 {
            *part = apart(c, *part, heads)?;
        }
    }
    let [q, mut k, mut v] = parts;
    match (c.optional(6)?, c.optional(7)?) {
        (Some(keys), Some(values)) => {
            k = c.b.one(Op::Concat(2), &[keys, k])?;
            v = c.b.one(Op::Concat(2), &[values, v])?;
        }
        (None, None) => {}
        _ => return Err(Error::new("past_key and past_value are used together or not at all")),
    }
    let scores = Scores::of(c, q, k);
    let bias = masks(c, &scores, 4, Some(5))?;
    let how = Scoring { scale: scale(c)?, cap: 0.0, bias, precision: None };
    let attended = attend(c, [q, k, v], how)?.output;
    Ok(vec![together(c, attended)?, k, v])
}
