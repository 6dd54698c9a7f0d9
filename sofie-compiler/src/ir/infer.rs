//! Types and shapes of an operation's results: the one place that knows them.
//! What a shape function cannot know it refuses; nothing is guessed.

use super::op::{Conv, ConvTranspose, Epilogue, Op, Pool, RowKind, Window};
use super::{Dim, Inst, Invalid, MapExpr, Shape, region};
use sofie_infer_runtime::DType;

/// Type and shape of a value.
type Info = (DType, Shape);

fn bad<T>(reason: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid::new(reason))
}

/// Types and shapes of the results of `op` over operands of the given types and shapes.
///
/// # Errors
/// Where the operands do not fit the operation, or it is not known whether they do.
pub fn infer(op: &Op, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    if let Some(arity) = arity(op)
        && x.len() != arity
    {
        return bad(format!("{} has {arity} operands, not {}", op.name(), x.len()));
    }
    let like_first = |shape: Shape| Ok(vec![(x[0].0, shape)]);
    match op {
        Op::Const(t) => Ok(vec![(t.dtype(), t.shape())]),
        Op::Map(e) => map(e, x),
        Op::Reduce(_, axes) => like_first(kept(x[0].1, axes)?),
        Op::ArgReduce { axis, .. } => Ok(vec![(DType::I64, kept(x[0].1, &[*axis])?)]),
        Op::Scan { axis, .. } => {
            kept(x[0].1, &[*axis])?;
            like_first(x[0].1.clone())
        }
        Op::MatMul(e) => matmul(e, x),
        Op::Conv(c, e) => conv(c, e, x),
        Op::ConvTranspose(c, e) => conv_transpose(c, e, x),
        Op::Pool(p) => pool(p, x[0]),
        Op::Interpolate(axis) => interpolate(*axis, x),
        Op::Reshape(shape) => {
            let (from, to) = (x[0].1.numel()?, shape.numel()?);
            match from.same(&to) {
                Some(true) => like_first(shape.clone()),
                Some(false) => bad(format!("{} elements of shape {} do not fit shape {shape}", from, x[0].1)),
                None => bad(format!(
                    "it is not known whether shapes {} and {shape} hold equally many elements",
                    x[0].1
                )),
            }
        }
        Op::Transpose(perm) => {
            let mut sorted = perm.clone();
            sorted.sort_unstable();
            if !sorted.iter().copied().eq(0..x[0].1.rank()) {
                return bad(format!("{perm:?} does not permute the axes of {}", x[0].1));
            }
            like_first(perm.iter().map(|&a| x[0].1[a].clone()).collect())
        }
        Op::Slice { start, step, shape } => slice(start, step, shape, x[0]),
        Op::Windows { axis, count, len } => overlapping(*axis, count, len, x[0]),
        Op::Broadcast(shape) => {
            if x[0].1.rank() != shape.rank() || x[0].1.broadcast(shape)? != *shape {
                return bad(format!("{} does not broadcast to {shape}", x[0].1));
            }
            like_first(shape.clone())
        }
        Op::Cut { axis, extent } => cut(*axis, extent, x),
        Op::Concat(axis) => concat(*axis, x),
        Op::Pad { before, after, value } => {
            if before.len() != x[0].1.rank() || after.len() != x[0].1.rank() || value.dtype != x[0].0 {
                return bad("pads and their value must fit the operand's rank and type");
            }
            let dims = x[0].1.dims().iter().zip(before).zip(after).map(|((d, b), a)| d.add(b)?.add(a));
            like_first(dims.collect::<Result<_, _>>()?)
        }
        Op::Gather { axis, batch } => gather(*axis, *batch, x),
        Op::GatherElements(axis) => {
            index_type(x[1].0)?;
            if x[0].1.rank() != x[1].1.rank() || *axis >= x[0].1.rank() {
                return bad(format!("indices {} and data {} must have one rank", x[1].1, x[0].1));
            }
            beside_axis(*axis, x[0].1, x[1].1)?;
            like_first(x[1].1.clone())
        }
        Op::GatherNd { batch } => {
            index_type(x[1].0)?;
            like_first(gather_nd(x[0].1, x[1].1, *batch)?)
        }
        Op::ScatterElements(axis, _) => {
            index_type(x[1].0)?;
            same_type(x[0].0, x[2].0)?;
            if *axis >= x[0].1.rank() || x[1].1 != x[2].1 || x[1].1.rank() != x[0].1.rank() {
                return bad(format!("indices {}, updates {} and data {} do not fit", x[1].1, x[2].1, x[0].1));
            }
            beside_axis(*axis, x[0].1, x[1].1)?;
            like_first(x[0].1.clone())
        }
        Op::ScatterNd(_) => {
            index_type(x[1].0)?;
            same_type(x[0].0, x[2].0)?;
            let expected = gather_nd(x[0].1, x[1].1, 0)?;
            if x[2].1.broadcast(&expected).ok().as_ref() != Some(&expected)
                || x[2].1.rank() != expected.rank()
            {
                return bad(format!("updates have shape {}, {expected} expected", x[2].1));
            }
            like_first(x[0].1.clone())
        }
        Op::TopK { k, .. } => {
            let Some((n, outer)) = x[0].1.dims().split_last() else { return bad("top_k of a scalar") };
            if k.le(n) != Some(true) {
                return bad(format!("k = {k} of {n} elements"));
            }
            let shape: Shape = outer.iter().chain([k]).cloned().collect();
            Ok(vec![(x[0].0, shape.clone()), (DType::I64, shape)])
        }
        Op::Rows(kind) => rows(kind, x),
        Op::Recurrent(r) => recurrent(r, x),
        Op::Attention(a) => attention(a, x),
        Op::Plain(p) => {
            let open = x.iter().find(|(_, s)| p.free.is_empty() && s.fixed().is_none());
            if let Some((_, s)) = open {
                return bad(format!("{} of {s}, whose extents are not fixed", p.kernel.name()));
            }
            Ok(p.results.clone())
        }
        Op::Custom(c) => Ok(c.results.clone()),
        Op::If(b) => region::branches(b, x),
        Op::Loop(l) => region::repeat(l, x),
    }
}

/// The number of operands that an operation's flags ask for; none where any number will do.
fn arity(op: &Op) -> Option<usize> {
    let extra = |e: &Epilogue| usize::from(e.bias) + usize::from(e.residual);
    Some(match op {
        Op::Const(_) => 0,
        Op::Map(e) => e.inputs().len(),
        Op::MatMul(e) | Op::Conv(_, e) | Op::ConvTranspose(_, e) => 2 + extra(e),
        Op::Concat(_) | Op::Interpolate(_) | Op::Plain(_) | Op::Custom(_) | Op::If(_) | Op::Loop(_) => {
            return None;
        }
        Op::Gather { .. } | Op::GatherElements(_) | Op::GatherNd { .. } | Op::Cut { .. } => 2,
        Op::ScatterElements(..) | Op::ScatterNd(_) => 3,
        Op::Rows(RowKind::LayerNorm { scale, bias, .. }) => 1 + usize::from(*scale) + usize::from(*bias),
        Op::Rows(RowKind::RmsNorm { scale, .. }) => 1 + usize::from(*scale),
        Op::Recurrent(r) => 4 + [r.lens, r.h0, r.c0, r.peepholes].into_iter().filter(|&p| p).count(),
        Op::Attention(a) => 3 + usize::from(a.mask.is_some()),
        _ => 1,
    })
}

/// The first elements along an axis, as many as the second operand says.
fn cut(axis: usize, extent: &Dim, x: &[(DType, &Shape)]) -> Result<Vec<(DType, Shape)>, Invalid> {
    let (dtype, mut shape) = (x[0].0, x[0].1.clone());
    if x[1].0 != DType::I64 || x[1].1.rank() != 0 {
        return bad(format!("a number of elements is {}{}", x[1].0, x[1].1));
    }
    match shape.dims_mut().get_mut(axis) {
        Some(room) if extent.le(room) != Some(false) => *room = extent.clone(),
        _ => return bad(format!("{extent} elements of {shape} along axis {axis}")),
    }
    Ok(vec![(dtype, shape)])
}

fn same_type(a: DType, b: DType) -> Result<(), Invalid> {
    if a == b { Ok(()) } else { bad(format!("the types {a} and {b} differ")) }
}

fn index_type(t: DType) -> Result<(), Invalid> {
    if matches!(t, DType::I32 | DType::I64) {
        Ok(())
    } else {
        bad(format!("indices of type {t}; i32 or i64 expected"))
    }
}

/// There are no more indices than data along the axes that are not indexed.
fn beside_axis(axis: usize, data: &Shape, index: &Shape) -> Result<(), Invalid> {
    for (i, (d, n)) in data.dims().iter().zip(index.dims()).enumerate() {
        if i != axis && n.le(d) == Some(false) {
            return bad(format!("indices {index} reach outside data {data} at axis {i}"));
        }
    }
    Ok(())
}

/// Equality of extents that an operation needs.
fn equal(what: &str, a: &Dim, b: &Dim) -> Result<(), Invalid> {
    match a.same(b) {
        Some(true) => Ok(()),
        Some(false) => bad(format!("{what}: {a} and {b} differ")),
        None => bad(format!("{what}: it is not known whether {a} and {b} are equal")),
    }
}

fn map(e: &MapExpr, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let Some(dtype) = e.dtype() else { return bad("an empty map") };
    let mut shape: Option<Shape> = None;
    for (&(t, s), &expected) in x.iter().zip(e.inputs()) {
        same_type(t, expected)?;
        shape = Some(match shape {
            None => s.clone(),
            Some(so_far) if so_far.rank() == s.rank() => so_far.broadcast(s)?,
            Some(so_far) => return bad(format!("operands {so_far} and {s} of a map have different ranks")),
        });
    }
    let shape = shape.ok_or_else(|| Invalid::new("a map without operands"))?;
    for inst in e.insts() {
        if matches!(inst, Inst::Iota(axis) if *axis >= shape.rank()) {
            return bad("a map counts along an axis that it does not have");
        }
    }
    Ok(vec![(dtype, shape)])
}

fn kept(shape: &Shape, axes: &[usize]) -> Result<Shape, Invalid> {
    let mut kept = shape.clone();
    for &axis in axes {
        match kept.dims_mut().get_mut(axis) {
            Some(d) => *d = Dim::ONE,
            None => return bad(format!("axis {axis} is outside {shape}")),
        }
    }
    Ok(kept)
}

fn epilogue(e: &Epilogue, x: &[(DType, &Shape)], y: &Info) -> Result<(), Invalid> {
    let mut rest = x[2..].iter();
    if e.bias
        && let Some((t, s)) = rest.next()
    {
        same_type(*t, y.0)?;
        let n = y.1.dims().last();
        if s.dims().last() != n || s.dims().iter().rev().skip(1).any(|d| !d.is(1)) {
            return bad(format!("bias {s} does not fit the result {}", y.1));
        }
    }
    if e.residual
        && let Some((t, s)) = rest.next()
    {
        same_type(*t, y.0)?;
        if **s != y.1 {
            return bad(format!("residual {s} does not fit the result {}", y.1));
        }
    }
    Ok(())
}

fn matmul(e: &Epilogue, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let ((t, a), (u, b)) = (x[0], x[1]);
    same_type(t, u)?;
    let r = a.rank();
    if r < 2 || b.rank() != r {
        return bad(format!("matmul of {a} and {b}"));
    }
    equal("the inner extents of a product", &a[r - 1], &b[r - 2])?;
    let batch = |s: &Shape| Shape::new(s.dims()[..r - 2].to_vec());
    let mut dims = batch(a).broadcast(&batch(b))?.dims().to_vec();
    dims.extend([a[r - 2].clone(), b[r - 1].clone()]);
    let y = (t, Shape::new(dims));
    epilogue(e, x, &y)?;
    Ok(vec![y])
}

fn spatial_rank(x: &Shape, w: &Window) -> Result<usize, Invalid> {
    let s = x.rank().wrapping_sub(2);
    let lists = [w.strides.len(), w.dilations.len(), w.pads_begin.len(), w.pads_end.len()];
    if x.rank() < 2 || w.kernel.len() != s || lists.iter().any(|&n| n != s) {
        return bad(format!("a window over {} axes on {x}", w.kernel.len()));
    }
    if w.strides.contains(&0) || w.dilations.contains(&0) {
        return bad("strides and dilations must be at least 1");
    }
    small([&w.kernel, &w.strides, &w.dilations, &w.pads_begin, &w.pads_end])?;
    Ok(s)
}

/// Refuses numbers of a window whose sums and products would not fit an `i64`.
fn small<const N: usize>(lists: [&Vec<usize>; N]) -> Result<(), Invalid> {
    match lists.into_iter().flatten().find(|n| i32::try_from(**n).is_err()) {
        Some(n) => bad(format!("a window with {n} elements")),
        None => Ok(()),
    }
}

/// The number of windows along spatial axis `i` of an extent `n`.
fn windows(n: &Dim, w: &Window, i: usize, overhang: usize) -> Result<Dim, Invalid> {
    let reach = w.kernel[i].saturating_sub(1).saturating_mul(w.dilations[i]).saturating_add(1);
    let padded = n.add(&(w.pads_begin[i] + w.pads_end[i] + overhang).into())?;
    if w.kernel[i] == 0 || Dim::from(reach).le(&padded) == Some(false) {
        return bad(format!("a window of {reach} does not fit {padded} padded elements"));
    }
    padded.sub(&reach.into())?.floor_div(&w.strides[i].into())?.add(&Dim::ONE)
}

fn conv(c: &Conv, e: &Epilogue, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let ((t, s), (u, w)) = (x[0], x[1]);
    same_type(t, u)?;
    let n = spatial_rank(s, &c.window)?;
    if w.rank() != n + 2 || (0..n).any(|i| !w[i].is(c.window.kernel[i] as i64)) || c.group == 0 {
        return bad(format!("weights {w} do not fit kernel {:?} on {s}", c.window.kernel));
    }
    equal("channels of a convolution", &s[n + 1], &w[n].mul(&c.group.into())?)?;
    if w[n + 1].fixed().is_some_and(|m| m % c.group as i64 != 0) {
        return bad(format!("{} filters do not divide into {} groups", w[n + 1], c.group));
    }
    let mut dims = vec![s[0].clone()];
    for i in 0..n {
        dims.push(windows(&s[i + 1], &c.window, i, 0)?);
    }
    dims.push(w[n + 1].clone());
    let y = (t, Shape::new(dims));
    epilogue(e, x, &y)?;
    Ok(vec![y])
}

fn conv_transpose(c: &ConvTranspose, e: &Epilogue, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let ((t, s), (u, w)) = (x[0], x[1]);
    same_type(t, u)?;
    let n = spatial_rank(s, &c.window)?;
    let fits = w.rank() == n + 2 && (0..n).all(|i| w[i].is(c.window.kernel[i] as i64));
    if !fits || c.group == 0 || c.output_padding.len() != n || c.window.kernel.contains(&0) {
        return bad(format!("weights {w} do not fit kernel {:?} on {s}", c.window.kernel));
    }
    small([&c.output_padding])?;
    equal("channels of a transposed convolution", &s[n + 1], &w[n])?;
    if w[n].fixed().is_some_and(|channels| channels % c.group as i64 != 0) {
        return bad(format!("{} channels do not divide into {} groups", w[n], c.group));
    }
    let mut dims = vec![s[0].clone()];
    for i in 0..n {
        let reach = (c.window.kernel[i] - 1) * c.window.dilations[i] + 1 + c.output_padding[i];
        let full = s[i + 1].sub(&Dim::ONE)?.mul(&c.window.strides[i].into())?.add(&reach.into())?;
        let cut = full.sub(&(c.window.pads_begin[i] + c.window.pads_end[i]).into())?;
        if Dim::ONE.le(&cut) == Some(false) {
            return bad(format!("the pads cut away all {full} rows of a transposed convolution"));
        }
        dims.push(cut);
    }
    dims.push(w[n + 1].mul(&c.group.into())?);
    let y = (t, Shape::new(dims));
    epilogue(e, x, &y)?;
    Ok(vec![y])
}

fn pool(p: &Pool, (t, s): (DType, &Shape)) -> Result<Vec<Info>, Invalid> {
    let n = spatial_rank(s, &p.window)?;
    if p.overhang.len() != n {
        return bad("one overhang a spatial axis");
    }
    small([&p.overhang])?;
    let mut dims = vec![s[0].clone()];
    for i in 0..n {
        dims.push(windows(&s[i + 1], &p.window, i, p.overhang[i])?);
    }
    dims.push(s[n + 1].clone());
    Ok(vec![(t, Shape::new(dims))])
}

fn interpolate(axis: usize, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let &[(t, s), (u, index), ref weight @ ..] = x else { return bad("an interpolation without taps") };
    let [m, taps] = index.dims() else { return bad(format!("taps {index} of no result each")) };
    let weighed = match weight {
        [(w, weight)] => *w == DType::F32 && *weight == index && taps.fixed().is_some_and(|n| n > 0),
        [] => taps.is(1),
        _ => false,
    };
    if axis >= s.rank() || u != DType::U32 || !weighed {
        return bad(format!("an interpolation of {s} along axis {axis} by taps {index} that does not fit"));
    }
    let mut shape = s.clone();
    shape.dims_mut()[axis] = m.clone();
    Ok(vec![(t, shape)])
}

fn slice(start: &[Dim], step: &[i64], shape: &Shape, (t, s): (DType, &Shape)) -> Result<Vec<Info>, Invalid> {
    let r = s.rank();
    if start.len() != r || step.len() != r || shape.rank() != r || step.contains(&0) {
        return bad(format!("a slice that does not fit {s}"));
    }
    for i in 0..r {
        if shape[i].is(0) {
            continue;
        }
        let last = start[i].add(&shape[i].sub(&Dim::ONE)?.mul(&Dim::Fixed(step[i]))?)?;
        let inside = |d: &Dim| {
            Dim::Fixed(0).le(d) != Some(false) && d.le(&s[i]) != Some(false) && d.same(&s[i]) != Some(true)
        };
        if !inside(&start[i]) || !inside(&last) {
            return bad(format!("a slice from {} to {last} of {} elements at axis {i}", start[i], s[i]));
        }
    }
    Ok(vec![(t, shape.clone())])
}

fn overlapping(axis: usize, count: &Dim, len: &Dim, (t, s): (DType, &Shape)) -> Result<Vec<Info>, Invalid> {
    let Some((head, [n, tail @ ..])) = s.dims().split_at_checked(axis) else {
        return bad(format!("axis {axis} is outside {s}"));
    };
    let outside = count.add(len)?.sub(&Dim::ONE)?.le(n) == Some(false) && !count.is(0) && !len.is(0);
    if outside || [count, len].iter().any(|d| Dim::Fixed(0).le(d) == Some(false)) {
        return bad(format!("{count} windows of {len} along axis {axis} of {s}"));
    }
    Ok(vec![(t, Shape::new([head, &[count.clone(), len.clone()], tail].concat()))])
}

fn concat(axis: usize, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let Some(((t, first), rest)) = x.split_first() else { return bad("a concat of nothing") };
    let mut shape = (*first).clone();
    if axis >= shape.rank() {
        return bad(format!("axis {axis} is outside {shape}"));
    }
    for (u, s) in rest {
        same_type(*t, *u)?;
        if s.rank() != shape.rank() {
            return bad(format!("concat of {first} and {s}"));
        }
        for i in (0..shape.rank()).filter(|&i| i != axis) {
            equal("extents beside a concat's axis", &shape[i], &s[i])?;
        }
        let sum = shape[axis].add(&s[axis])?;
        shape.dims_mut()[axis] = sum;
    }
    Ok(vec![(*t, shape)])
}

fn gather(axis: usize, batch: usize, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let ((t, s), (u, index)) = (x[0], x[1]);
    index_type(u)?;
    if axis >= s.rank() || batch > axis || batch > index.rank() {
        return bad(format!("gather at axis {axis} of {s} with {index}"));
    }
    for i in 0..batch {
        equal("batch extents of a gather", &s[i], &index[i])?;
    }
    let (d, i) = (s.dims(), index.dims());
    Ok(vec![(t, d[..axis].iter().chain(&i[batch..]).chain(&d[axis + 1..]).cloned().collect())])
}

fn gather_nd(s: &Shape, index: &Shape, batch: usize) -> Result<Shape, Invalid> {
    let Some((Some(depth), lead)) = index.dims().split_last().map(|(d, lead)| (d.fixed(), lead)) else {
        return bad(format!("index tuples {index} of unknown length"));
    };
    let Some(end) = usize::try_from(depth).ok().and_then(|d| d.checked_add(batch)).filter(|&e| e <= s.rank())
    else {
        return bad(format!("index tuples of length {depth} into {s}"));
    };
    if batch > lead.len() {
        return bad(format!("{batch} batch axes of indices {index}"));
    }
    for i in 0..batch {
        equal("batch extents of a gather", &s[i], &index[i])?;
    }
    Ok(lead.iter().chain(&s.dims()[end..]).cloned().collect())
}

fn rows(kind: &RowKind, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let (t, s) = x[0];
    if !t.is_float() {
        return bad(format!("a row program over {t}"));
    }
    let Some(n) = s.dims().last() else { return bad(format!("{kind:?} of a scalar")) };
    for (u, p) in &x[1..] {
        same_type(t, *u)?;
        if p.rank() != 1 || p[0] != *n {
            return bad(format!("scale or bias {p} does not fit rows of {n}"));
        }
    }
    Ok(vec![(t, s.clone())])
}

fn recurrent(r: &super::Recurrent, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let ((t, s), (_, w), (_, h)) = (x[0], x[1], x[2]);
    if s.rank() != 3 || w.rank() != 2 || h.rank() != 2 {
        return bad(format!("a recurrent layer over {s} with weights {w} and {h}"));
    }
    if !t.is_float() {
        return bad(format!("a recurrent layer over {t}"));
    }
    x[1..4].iter().try_for_each(|(u, _)| same_type(t, *u))?;
    let (hidden, g) = (&h[1], Dim::from(r.cell.gates()));
    equal("inputs of a recurrent layer", &s[2], &w[1])?;
    equal("gates of a recurrent layer", &w[0], &g.mul(hidden)?)?;
    equal("gates of a recurrent layer", &h[0], &w[0])?;
    equal("bias of a recurrent layer", &x[3].1.numel()?, &w[0].mul(&2.into())?)?;
    let state: Shape = [s[1].clone(), hidden.clone()].into_iter().collect();
    let mut rest = x[4..].iter();
    for (there, what, dtype, shape) in [
        (r.lens, "sequence lengths", DType::I32, Shape::new(vec![s[1].clone()])),
        (r.h0, "initial state", t, state.clone()),
        (r.c0, "initial cell state", t, state.clone()),
        (r.peepholes, "peepholes", t, Shape::new(vec![hidden.mul(&3.into())?])),
    ] {
        if there && let Some((u, p)) = rest.next() {
            same_type(dtype, *u)?;
            if **p != shape {
                return bad(format!("{what} of shape {p}, {shape} expected"));
            }
        }
    }
    let y = [s[0].clone(), s[1].clone(), hidden.clone()].into_iter().collect();
    let mut results = vec![(t, y), (t, state.clone())];
    if matches!(r.cell, super::Cell::Lstm { .. }) {
        results.push((t, state));
    }
    Ok(results)
}

fn attention(a: &super::Attention, x: &[(DType, &Shape)]) -> Result<Vec<Info>, Invalid> {
    let ((t, q), (_, k), (_, v)) = (x[0], x[1], x[2]);
    if [q, k, v].iter().any(|s| s.rank() != 4) {
        return bad(format!("attention over {q}, {k}, {v}"));
    }
    if !t.is_float() {
        return bad(format!("attention over {t}"));
    }
    if a.mask.is_some() {
        same_type(DType::F32, x[3].0)?;
    }
    x[1..3].iter().try_for_each(|(u, _)| same_type(t, *u))?;
    equal("batch of attention", &q[0], &k[0])?;
    equal("batch of attention", &q[0], &v[0])?;
    equal("heads of attention", &k[1], &v[1])?;
    equal("depth of attention", &q[3], &k[3])?;
    equal("keys of attention", &k[2], &v[2])?;
    let none = q[1].is(0) && k[1].is(0);
    if q[1].exact_div(&k[1]).is_none() && !none {
        return bad(format!("{} query heads over {} key heads", q[1], k[1]));
    }
    if a.mask.is_some() {
        let full: Shape = [&q[0], &q[1], &q[2], &k[2]].into_iter().cloned().collect();
        let m = x[3].1;
        if m.rank() != 4 || m.broadcast(&full)? != full {
            return bad(format!("mask {m} does not fit {full}"));
        }
    }
    Ok(vec![(t, [&q[0], &q[1], &q[2], &v[3]].into_iter().cloned().collect())])
}
