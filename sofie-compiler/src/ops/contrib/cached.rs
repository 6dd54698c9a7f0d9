//! `GroupQueryAttention`: causal attention whose heads share keys, over a cache that grows, with rotary positions.

use super::attention::{Scores, causal, scale};
use super::{refused, rotary, without};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Tensor, ValueId};
use crate::ops::Ctx;
use crate::ops::attention::{Bias, Scoring, apart, attend, together, turn};
use crate::ops::expr::{Expr, x, y};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

/// The operand that has the index of each sequence's last key.
const LENGTHS: (usize, &str) = (5, "seqlens_k");

/// Operand `i` as `i64`, unless it is known to hold nothing but `wanted`.
fn unless(c: &mut Ctx<'_, '_>, (i, what): (usize, &str), wanted: i64) -> Result<Option<ValueId>> {
    let v = match c.extents(i, what) {
        Ok(Some(all)) if all.iter().all(|d| d.is(wanted)) => return Ok(None),
        _ => c.required(i, what)?,
    };
    Ok(Some(c.b.cast(v, DType::I64)?))
}

/// Lets runs fail in which a sequence does not fill the cache: the number of keys is that of the past and the new ones.
fn full_cache(c: &mut Ctx<'_, '_>, keys: i64) -> Result<()> {
    match unless(c, LENGTHS, keys - 1)? {
        Some(v) => c.check_map(x().eq(Expr::Typed((keys - 1).into())), &[v]),
        None => Ok(()),
    }
}

/// What the padding behind the sequences of a prompt adds to the scores `[B, 1, 1, keys]`: keys behind the last one of their
/// sequence, `seqlens_k`, are hidden. That is all that ONNX Runtime 1.32 does about it: padded queries see the keys that are
/// left, and padded keys and values stand in the present ones, turned by their position.
fn padding(c: &mut Ctx<'_, '_>, scores: &Scores, keys: i64) -> Result<Option<ValueId>> {
    let Some(last) = unless(c, LENGTHS, keys - 1)? else { return Ok(None) };
    let int = |n: i64| Expr::Typed(n.into());
    c.check_map(x().ge(int(0)).binary(Binary::And, x().lt(int(keys))), &[last])?;
    let last = c.reshape(last, &[scores.batch.clone(), Dim::ONE, Dim::ONE, Dim::ONE])?;
    let key = c.b.tensor(Tensor::of(&[1, 1, 1, keys as usize], &(0..keys).collect::<Vec<_>>()));
    let typed = |v: f64| Expr::Typed(Scalar::from_f64(scores.dtype, v));
    Ok(Some(c.map(x().ge(y()).select(typed(0.0), typed(f64::NEG_INFINITY)), &[last, key])?))
}

/// `GroupQueryAttention`.
pub(in crate::ops) fn group_query(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (heads, shared) = (c.attrs.int("num_heads")?, c.attrs.int("kv_num_heads")?);
    let (heads, shared) = (c.attrs.require("num_heads", heads)?, c.attrs.require("kv_num_heads", shared)?);
    let last = [
        (11, "head_sink"),
        (12, "k_scale"),
        (13, "v_scale"),
        (14, "q_norm_weight"),
        (15, "k_norm_weight"),
        (16, "query_seqlens"),
    ];
    for (i, what) in last {
        without(c, i, what)?;
    }
    c.attrs.ignore(&["k_norm_epsilon", "q_norm_epsilon", "qk_norm_epsilon", "kv_cache_bit_width"]);
    let none = ["NONE", ""];
    let quantised = [c.attrs.string_or("k_quant_type", "NONE")?, c.attrs.string_or("v_quant_type", "NONE")?];
    // Sinks are a term more in the denominator.
    let smooth = c.attrs.int_or("smooth_softmax", 0)? > 0;
    let sliding = c.attrs.int_or("sliding_window_cache", 0)? > 0;
    let shows = c.attrs.int_or("qk_output", 0)? > 0;
    if smooth || sliding || shows || quantised.iter().any(|q| !none.contains(q)) {
        return Err(refused(
            "smooth_softmax, sliding_window_cache, qk_output and a quantised cache are not supported",
        ));
    }
    if !c.attrs.flag_or("causal", true)? {
        return Err(refused("causal 0 is not supported"));
    }
    let query = c.required(0, "query")?;
    let whole = c.shape(query);
    let [_, len, width] = whole.dims() else {
        return Err(Error::new(format!("query has shape {whole}; three axes are needed")));
    };
    let mut parts = match (c.optional(1)?, c.optional(2)?) {
        (Some(k), Some(v)) => [apart(c, query, heads)?, apart(c, k, shared)?, apart(c, v, shared)?],
        (None, None) => {
            let depth = width.exact_div(&Dim::Fixed(heads + 2 * shared)).and_then(|d| d.fixed());
            let depth = depth.ok_or_else(|| Error::new(format!("{width} does not divide into heads")))?;
            let mut part = |start: i64, n: i64| -> Result<ValueId> {
                let part = c.b.slice_axis(query, 2, Dim::Fixed(start * depth), Dim::Fixed(n * depth))?;
                apart(c, part, n)
            };
            [part(0, heads)?, part(heads, shared)?, part(heads + shared, shared)?]
        }
        _ => return Err(Error::new("key and value are used together or not at all")),
    };
    let cache = match (c.optional(3)?, c.optional(4)?) {
        (Some(k), Some(v)) => Some((k, v)),
        (None, None) => None,
        _ => return Err(Error::new("past_key and past_value are used together or not at all")),
    };
    let past = cache.map_or(Dim::Fixed(0), |(k, _)| c.shape(k)[2].clone());
    let unfixed = || Error::new(format!("the cache's extent {past} and the query's {len} have to be fixed"));
    let (before, new) = (past.fixed().ok_or_else(unfixed)?, len.fixed().ok_or_else(unfixed)?);
    let keys = before + new;
    if let Some(total) = unless(c, (6, "total_sequence_length"), keys)? {
        c.check_map(x().eq(Expr::Typed(keys.into())), &[total])?;
    }
    let interleaved = c.attrs.flag_or("rotary_interleaved", false)?;
    if c.attrs.flag_or("do_rotary", false)? {
        let tables = [c.required(7, "cos_cache")?, c.required(8, "sin_cache")?];
        let at = match c.optional(9)? {
            Some(at) => at,
            None => c.b.scalar(before),
        };
        let angles = rotary::angles(c, tables, at, len)?;
        for part in &mut parts[..2] {
            let v = c.b.transpose(*part, &[0, 2, 1, 3])?;
            let v = turn(c, v, angles, interleaved)?;
            *part = c.b.transpose(v, &[0, 2, 1, 3])?;
        }
    }
    let [q, mut k, mut v] = parts;
    if let Some((keys, values)) = cache {
        k = c.b.one(Op::Concat(2), &[keys, k])?;
        v = c.b.one(Op::Concat(2), &[values, v])?;
    }
    let scores = Scores::of(c, q, k);
    let window = Some(c.attrs.int_or("local_window_size", -1)?).filter(|&w| w > 0);
    let mut value = causal(c, &scores, window)?;
    if let Some(added) = c.optional(10)? {
        value = c.map(x() + y(), &[added, value])?;
    }
    let cap = c.attrs.float_or("softcap", 0.0)?.into();
    // Padded queries whose window is padding alone give zeros; with a cap ONNX Runtime gives them something else, and a new
    // token is written behind the last one of its sequence.
    let padded = match before == 0 && (window.is_none() || cap == 0.0) {
        true => padding(c, &scores, keys)?,
        false => full_cache(c, keys).map(|()| None)?,
    };
    if let Some(hidden) = padded {
        value = c.map(x() + y(), &[value, hidden])?;
    }
    let bias = Some(Bias { value, may_hide_all: padded.is_some() && window.is_some() });
    let how = Scoring { scale: scale(c)?, cap, bias, precision: None };
    let attended = attend(c, [q, k, v], how)?.output;
    Ok(vec![together(c, attended)?, k, v])
}
