//! `GroupQueryAttention`: causal attention whose heads share keys, over a cache that grows, with rotary positions.

use super::attention::{Scores, causal, scale};
use super::{refused, rotary, without};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ValueId};
use crate::ops::Ctx;
use crate::ops::attention::{Bias, Scoring, apart, attend, together, turn};
use crate::ops::expr::{Expr, x, y};
use sofie_infer_runtime::DType;

/// Every sequence fills the cache: the number of keys is that of the past and the new ones. Where `seqlens_k` or
/// `total_sequence_length` says otherwise (padding), the run fails.
fn full_cache(c: &mut Ctx<'_, '_>, keys: i64) -> Result<()> {
    for (i, what, wanted) in [(5, "seqlens_k", keys - 1), (6, "total_sequence_length", keys)] {
        let v = match c.extent(i, what) {
            Ok(Some(d)) if d.is(wanted) => continue,
            _ => c.required(i, what)?,
        };
        let v = c.b.cast(v, DType::I64)?;
        let n = c.b.shape(v).numel()?;
        let v = c.reshape(v, &[n])?;
        let equal = c.map(x().eq(Expr::Typed(wanted.into())), &[v])?;
        let all = c.b.one(Op::Reduce(crate::ir::ReduceKind::Min, vec![0]), &[equal])?;
        let all = c.reshape(all, &[])?;
        c.check(all);
    }
    Ok(())
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
    full_cache(c, before + new)?;
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
    let bias = Some(Bias { value, may_hide_all: false });
    let how = Scoring { scale: scale(c)?, cap, bias, precision: None };
    let attended = attend(c, [q, k, v], how)?.output;
    Ok(vec![together(c, attended)?, k, v])
}
