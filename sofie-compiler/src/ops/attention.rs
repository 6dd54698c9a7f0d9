//! `Attention`: scaled dot-product attention with caches, masks, windows and shared heads, as products and a softmax
//! (which the passes know how to fuse).

use super::Ctx;
use super::constant::filled;
use super::expr::{Expr, num, x, y, z};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, RowKind, Shape, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Scalar, Unary};

/// `[B, L, H·D]` as `[B, H, L, D]`.
pub(super) fn apart(c: &mut Ctx<'_, '_>, v: ValueId, heads: i64) -> Result<ValueId> {
    let shape = c.shape(v);
    let heads = Dim::Fixed(heads);
    let depth = shape[2].exact_div(&heads).filter(|_| !heads.is(0));
    let depth =
        depth.ok_or_else(|| Error::new(format!("{} does not divide into {heads} heads", shape[2])))?;
    let v = c.reshape(v, &[shape[0].clone(), shape[1].clone(), heads, depth])?;
    Ok(c.b.transpose(v, &[0, 2, 1, 3])?)
}

/// `-inf` of the type of `like` where a key is hidden, else 0.
pub(super) struct Bias {
    /// Of rank 4.
    pub value: ValueId,
    /// A row may hide all keys.
    pub may_hide_all: bool,
}

/// The shapes that a bias is made for.
struct Scores {
    queries: Dim,
    keys: Dim,
    dtype: DType,
}

/// The operand `attn_mask` as something to add, of rank 4.
fn mask(c: &mut Ctx<'_, '_>, scores: &Scores) -> Result<Option<ValueId>> {
    let Some(mut mask) = c.optional(3)? else { return Ok(None) };
    let rank = c.rank(mask);
    if rank == 0 || rank > 4 {
        return Err(Error::misfit(format!("attn_mask has shape {}", c.shape(mask))));
    }
    if c.dtype(mask) == DType::Bool {
        let zero = c.b.scalar(Scalar::from_f64(scores.dtype, 0.0));
        mask = c.map(y().select(x(), num(f64::NEG_INFINITY)), &[zero, mask])?;
    } else {
        mask = c.b.cast(mask, scores.dtype)?;
    }
    let last = c.shape(mask)[rank - 1].clone();
    // A mask that ends early hides the rest.
    if last.same(&scores.keys) != Some(true) && !last.is(1) {
        let (before, mut after) = (vec![Dim::Fixed(0); rank], vec![Dim::Fixed(0); rank]);
        after[rank - 1] = scores.keys.sub(&last)?;
        if Dim::Fixed(0).le(&after[rank - 1]) != Some(true) {
            return Err(Error::new(format!("attn_mask {} for {} keys", c.shape(mask), scores.keys)));
        }
        let value = Scalar::from_f64(scores.dtype, f64::NEG_INFINITY);
        mask = c.b.one(Op::Pad { before, after, value }, &[mask])?;
    }
    Ok(Some(c.b.to_rank(mask, 4)?))
}

/// The windows and lengths that hide keys: see the operator's text for `offset`.
fn bias(
    c: &mut Ctx<'_, '_>,
    scores: &Scores,
    past: Option<Dim>,
    lens: Option<ValueId>,
) -> Result<Option<Bias>> {
    let mask = mask(c, scores)?;
    let causal = c.attrs.flag_or("is_causal", false)?;
    let (left, right) = (c.attrs.int_or("left_window_size", -1)?, c.attrs.int_or("right_window_size", -1)?);
    let mut allowed: Option<Expr> = None;
    // In the expression: x is what the bias is added to, y the offset, z the length.
    let distance = || Expr::Iota(2) + y() - Expr::Iota(3);
    let mut also = |e: Expr| {
        let both = |a: Expr| a.binary(sofie_infer_runtime::map::Binary::And, e.clone());
        allowed = Some(allowed.take().map_or_else(|| e.clone(), both));
    };
    let integer = |n: i64| Expr::Typed(n.into());
    if causal {
        also(distance().ge(integer(0)));
    }
    if left >= 0 {
        also(integer(left).ge(distance()));
    }
    if right >= 0 {
        also(distance().ge(integer(-right)));
    }
    let column = |c: &mut Ctx<'_, '_>, v: ValueId| -> Result<ValueId> {
        let n = c.b.shape(v).numel()?;
        c.reshape(v, &[n, Dim::ONE, Dim::ONE, Dim::ONE])
    };
    let mut lengths = None;
    if let Some(lens) = lens {
        also(Expr::Iota(3).lt(z()));
        lengths = Some(column(c, lens)?);
    }
    let Some(allowed) = allowed else {
        return Ok(mask.map(|value| Bias { value, may_hide_all: true }));
    };
    let offset = match (past, lengths) {
        (Some(past), _) => c.b.scalar(fixed(&past)?),
        (None, Some(lens)) => {
            let queries = fixed(&scores.queries)?;
            c.map(x() - Expr::Typed(queries.into()), &[lens])?
        }
        (None, None) => c.b.scalar(0i64),
    };
    let zero = Scalar::from_f64(scores.dtype, 0.0);
    let full = filled(c, zero, vec![Dim::ONE, Dim::ONE, scores.queries.clone(), scores.keys.clone()])?;
    let base = match mask {
        Some(mask) => c.map(x() + y(), &[full, mask])?,
        None => full,
    };
    let lengths = lengths.unwrap_or(offset);
    let e = x() + allowed.select(num(0.0), num(f64::NEG_INFINITY));
    let value = c.map(e, &[base, offset, lengths])?;
    // Query 0 sees key 0 at least where nothing but a causal or left-looking window hides keys.
    let may_hide_all = mask.is_some() || lens.is_some() || right >= 0 || left >= 0;
    Ok(Some(Bias { value, may_hide_all }))
}

fn fixed(d: &Dim) -> Result<i64> {
    d.fixed().ok_or_else(|| Error::new(format!("a mask by position needs fixed extents, found {d}")))
}

/// `Attention`.
pub(super) fn attention(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (mut q, mut k, mut v) = (c.required(0, "Q")?, c.required(1, "K")?, c.required(2, "V")?);
    let flat = c.rank(q) == 3;
    let (q_heads, kv_heads) = (c.attrs.int("q_num_heads")?, c.attrs.int("kv_num_heads")?);
    if flat {
        let heads = (c.attrs.require("q_num_heads", q_heads)?, c.attrs.require("kv_num_heads", kv_heads)?);
        q = apart(c, q, heads.0)?;
        k = apart(c, k, heads.1)?;
        v = apart(c, v, heads.1)?;
    }
    for (what, v) in [("Q", q), ("K", k), ("V", v)] {
        if c.rank(v) != 4 {
            return Err(Error::misfit(format!(
                "{what} has shape {}; three or four axes are needed",
                c.shape(v)
            )));
        }
    }
    let lens = c.optional(6)?;
    let mut past = None;
    match (c.optional(4)?, c.optional(5)?) {
        (Some(keys), Some(values)) => {
            past = Some(c.shape(keys)[2].clone());
            k = c.b.one(Op::Concat(2), &[keys, k])?;
            v = c.b.one(Op::Concat(2), &[values, v])?;
        }
        (None, None) => {}
        _ => return Err(Error::new("past_key and past_value are used together or not at all")),
    }
    if past.is_some() && lens.is_some() {
        return Err(Error::new("nonpad_kv_seqlen is not used together with past_key"));
    }
    let (of_q, of_k) = (c.shape(q), c.shape(k));
    let scores = Scores { queries: of_q[2].clone(), keys: of_k[2].clone(), dtype: c.dtype(q) };
    let bias = bias(c, &scores, past, lens)?;
    let scale = c.attrs.float("scale")?.map(f64::from);
    let mode = c.attrs.int_or("qk_matmul_output_mode", 0)?;
    let cap = c.attrs.float_or("softcap", 0.0)?.into();
    let how = Scoring { scale, cap, bias, precision: c.dtype_attr("softmax_precision")? };
    let Attended { mut output, products, capped, biased, weights } = attend(c, [q, k, v], how)?;
    if flat {
        output = together(c, output)?;
    }
    let shown = match mode {
        // Before opset 24 the reference took 0 for what follows the cap, too.
        0 | 1 => capped,
        2 => biased,
        3 => weights,
        _ => products,
    };
    Ok(vec![output, k, v, shown])
}

/// What is done to the products of queries and keys.
pub(super) struct Scoring {
    /// Their factor; `1/√D` where none is given.
    pub scale: Option<f64>,
    /// They are kept within ± this, where it is above 0.
    pub cap: f64,
    /// What is added.
    pub bias: Option<Bias>,
    /// The type that the softmax is computed in.
    pub precision: Option<DType>,
}

/// An attention's result, and what stood between its products.
pub(super) struct Attended {
    /// `[B, H, L, E]`.
    pub output: ValueId,
    products: ValueId,
    capped: ValueId,
    biased: ValueId,
    weights: ValueId,
}

/// `softmax(scale · q·kᵀ + bias) · v` of `q [B, H, L, D], k [B, G, S, D], v [B, G, S, E]`.
pub(super) fn attend(c: &mut Ctx<'_, '_>, qkv: [ValueId; 3], how: Scoring) -> Result<Attended> {
    let [q, k, v] = qkv;
    let (of_q, of_k, of_v) = (c.shape(q), c.shape(k), c.shape(v));
    let dtype = c.dtype(q);
    let depth = of_q[3]
        .fixed()
        .ok_or_else(|| c.fixed(q, "attention").err().unwrap_or_else(|| Error::new("depth")))?;
    let scale = how.scale.unwrap_or_else(|| 1.0 / (depth as f64).sqrt());
    let full = Shape::new(vec![of_q[0].clone(), of_q[1].clone(), of_q[2].clone(), of_k[2].clone()]);
    // Heads that share keys are rows of one product.
    let shared = of_q[1].exact_div(&of_k[1]);
    let shared = shared.ok_or_else(|| Error::new(format!("{} heads share {}", of_q[1], of_k[1])))?;
    let rows = shared.mul(&of_q[2])?;
    let q = c.reshape(q, &[of_q[0].clone(), of_k[1].clone(), rows.clone(), of_q[3].clone()])?;
    let keys = c.b.transpose(k, &[0, 1, 3, 2])?;
    let mut s = if matches!(dtype, DType::F16) {
        // Each side takes its share, as f16 overflows soon.
        let root = num(scale.sqrt());
        let (q, keys) = (c.map(x() * root.clone(), &[q])?, c.map(x() * root, &[keys])?);
        c.matmul(q, keys)?
    } else {
        let s = c.matmul(q, keys)?;
        c.map(x() * num(scale), &[s])?
    };
    s = c.b.reshape(s, full.clone())?;
    let products = s;
    if how.cap > 0.0 {
        s = c.map((x() / num(how.cap)).unary(Unary::Tanh) * num(how.cap), &[s])?;
    }
    let capped = s;
    if let Some(bias) = &how.bias {
        s = c.map(x() + y(), &[s, bias.value])?;
    }
    let biased = s;
    if let Some(precision) = how.precision {
        s = c.b.cast(s, precision)?;
    }
    let mut p = c.b.one(Op::Rows(RowKind::Softmax), &[s])?;
    if let Some(Bias { value, may_hide_all: true }) = how.bias {
        let best = c.b.one(Op::Reduce(ReduceKind::Max, vec![3]), &[value])?;
        p = c.map(y().unary(Unary::IsNegInf).select(num(0.0), x()), &[p, best])?;
    }
    let weights = c.b.cast(p, dtype)?;
    let p = c.reshape(weights, &[of_q[0].clone(), of_k[1].clone(), rows, of_k[2].clone()])?;
    let o = c.matmul(p, v)?;
    let output = c.reshape(o, &[of_q[0].clone(), of_q[1].clone(), of_q[2].clone(), of_v[3].clone()])?;
    Ok(Attended { output, products, capped, biased, weights })
}

/// `[B, H, L, D]` as `[B, L, H·D]`.
pub(super) fn together(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<ValueId> {
    let shape = c.shape(v);
    let v = c.b.transpose(v, &[0, 2, 1, 3])?;
    let width = shape[1].mul(&shape[3])?;
    c.reshape(v, &[shape[0].clone(), shape[2].clone(), width])
}

/// `RotaryEmbedding`: pairs of elements turned by an angle that belongs to the position.
pub(super) fn rotary(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let mut v = c.required(0, "X")?;
    let whole = c.shape(v);
    let flat = whole.rank() == 3;
    let heads = c.attrs.int_or("num_heads", 0)?;
    // [B, L, H, D]
    v = if flat {
        let per_head = whole[2].exact_div(&Dim::Fixed(heads)).filter(|_| heads > 0);
        let per_head = per_head.ok_or_else(|| Error::new(format!("{} in {heads} heads", whole[2])))?;
        c.reshape(v, &[whole[0].clone(), whole[1].clone(), Dim::Fixed(heads), per_head])?
    } else if whole.rank() == 4 {
        c.b.transpose(v, &[0, 2, 1, 3])?
    } else {
        return Err(Error::misfit(format!("X has shape {whole}; three or four axes are needed")));
    };
    let turned = c.attrs.int_or("rotary_embedding_dim", 0)?;
    let half = half_turned(c, v, turned)?;
    let table = |c: &mut Ctx<'_, '_>, i: usize, name: &str| -> Result<ValueId> {
        let mut t = c.required(i, name)?;
        if let Some(positions) = c.optional(3)? {
            t = c.b.one(Op::Gather { axis: 0, batch: 0 }, &[t, positions])?;
        }
        let dims = c.shape(t).dims().to_vec();
        let [b, l, n] = &dims[..] else {
            return Err(Error::misfit(format!("{name} has shape {}", c.shape(t))));
        };
        if *n != half {
            return Err(Error::new(format!("{name} has {n} angles; {half} are needed")));
        }
        c.reshape(t, &[b.clone(), l.clone(), Dim::ONE, n.clone()])
    };
    let (cos, sin) = (table(c, 1, "cos_cache")?, table(c, 2, "sin_cache")?);
    let interleaved = c.attrs.flag_or("interleaved", false)?;
    let result = turn(c, v, [cos, sin], interleaved)?;
    Ok(vec![if flat { c.b.reshape(result, whole)? } else { c.b.transpose(result, &[0, 2, 1, 3])? }])
}

/// How many pairs of the last axis of `v` are turned where `turned` (0: all) elements are.
fn half_turned(c: &mut Ctx<'_, '_>, v: ValueId, turned: i64) -> Result<Dim> {
    let depth = c.shape(v)[3].fixed().ok_or_else(|| Error::new("the extent of a head is not fixed"))?;
    let turned = if turned == 0 { depth } else { turned };
    if turned % 2 != 0 || turned > depth || turned < 0 {
        return Err(Error::new(format!("{turned} of {depth} elements are turned")));
    }
    Ok(Dim::Fixed(turned / 2))
}

/// `v [B, L, H, D]` with its first elements turned, twice as many as the tables `cos` and `sin` `[b, L, 1, n]` are long.
pub(super) fn turn(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    [cos, sin]: [ValueId; 2],
    interleaved: bool,
) -> Result<ValueId> {
    let shape = c.shape(v);
    let angles = c.shape(cos)[3].fixed().unwrap_or(-1);
    let half = half_turned(c, v, angles.saturating_mul(2))?;
    let (depth, turned) = (shape[3].fixed().unwrap_or(0), angles * 2);
    let part = |c: &mut Ctx<'_, '_>, first: bool| -> Result<ValueId> {
        let mut start = vec![Dim::Fixed(0); 4];
        let mut to = shape.clone();
        to.dims_mut()[3] = half.clone();
        let mut step = vec![1; 4];
        if interleaved {
            step[3] = 2;
            start[3] = Dim::Fixed(i64::from(!first));
        } else if !first {
            start[3] = half.clone();
        }
        Ok(c.b.one(Op::Slice { start, step, shape: to }, &[v])?)
    };
    let (a, b) = (part(c, true)?, part(c, false)?);
    let w = || Expr::Operand(3);
    let real = c.map(x() * z() - y() * w(), &[a, b, cos, sin])?;
    let imaginary = c.map(x() * w() + y() * z(), &[a, b, cos, sin])?;
    let mut result = if interleaved {
        let dims = [&shape.dims()[..3], &[half.clone(), Dim::ONE]].concat();
        let (r, i) = (c.reshape(real, &dims)?, c.reshape(imaginary, &dims)?);
        let pairs = c.b.one(Op::Concat(4), &[r, i])?;
        let dims = [&shape.dims()[..3], &[Dim::Fixed(turned)]].concat();
        c.reshape(pairs, &dims)?
    } else {
        c.b.one(Op::Concat(3), &[real, imaginary])?
    };
    if turned < depth {
        let rest = c.b.slice_axis(v, 3, Dim::Fixed(turned), Dim::Fixed(depth - turned))?;
        result = c.b.one(Op::Concat(3), &[result, rest])?;
    }
    Ok(result)
}

/// `TensorScatter`: a cache with new entries written at positions of its axis.
pub(super) fn tensor_scatter(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (cache, update) = (c.required(0, "past_cache")?, c.required(1, "update")?);
    let at = c.optional(2)?;
    let rank = c.rank(cache);
    let axis = c.axis("axis", Some(-2), rank)?;
    let circular = match c.attrs.string_or("mode", "linear")? {
        "linear" => false,
        "circular" => true,
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    };
    if axis == 0 {
        return Err(Error::new("axis is 0, which is the batch"));
    }
    let shape = c.shape(update);
    let extent = c.shape(cache)[axis].clone();
    let extent =
        extent.fixed().ok_or_else(|| Error::new(format!("the cache's extent {extent} is not fixed")))?;
    let start = match at {
        Some(at) => {
            let mut dims = vec![Dim::ONE; rank];
            dims[0] = c.b.shape(at).numel()?;
            c.reshape(at, &dims)?
        }
        None => filled(c, 0i64.into(), vec![Dim::ONE; rank])?,
    };
    let start = c.b.broadcast(start, &shape)?;
    let place = x() + Expr::Iota(axis);
    let modulo = sofie_infer_runtime::map::Binary::Mod;
    let place = if circular { place.binary(modulo, Expr::Typed(extent.into())) } else { place };
    let index = c.map(place, &[start])?;
    let set = Op::ScatterElements(axis, crate::ir::ScatterKind::Set);
    Ok(vec![c.b.one(set, &[cache, index, update])?])
}
