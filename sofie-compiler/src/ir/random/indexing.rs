//! Random reads and writes by index. Indices are constants inside the data, or inputs taken modulo its extent.

use super::{Gen, NUMEL, Noise, RANK};
use crate::ir::{Dim, Op, ScatterKind, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

pub(super) fn step(g: &mut Gen) -> Option<()> {
    match g.below(6) {
        0 => gather(g),
        1 => gather_elements(g),
        2 => gather_nd(g),
        3 => scatter_elements(g),
        4 => scatter_nd(g),
        _ => top_k(g),
    }
}

/// Indices below `extent` each; along the last axis below `extents[j]` where there are several. None where
/// something would have to be found in nothing.
fn index(g: &mut Gen, dims: &[usize], extents: &[usize]) -> Option<ValueId> {
    let t = g.choose(&[DType::I64, DType::I64, DType::I32]);
    let count: usize = dims.iter().product();
    if count > 0 && extents.contains(&0) {
        return None;
    }
    if g.flip() && !extents.is_empty() && count > 0 {
        let x = g.of(t, dims);
        let bound: Vec<i64> = extents.iter().map(|n| *n as i64).collect();
        let bound = if let [n] = bound[..] {
            g.b.scalar(Scalar::from(n))
        } else {
            g.b.tensor(Tensor::of(&[bound.len()], &bound))
        };
        let bound = g.b.cast(bound, t).ok()?;
        let v = g.b.binary(Binary::Mod, x, bound).ok()?;
        g.facts.entry(v).or_insert(super::Fact { exact: true, size: 20.0 });
        return Some(v);
    }
    let mut noise = Noise(g.below(1 << 16) as u64);
    let at = |i: usize| extents.get(i % extents.len().max(1)).copied().unwrap_or(1) as i64;
    // From either end.
    let values: Vec<i64> = (0..count).map(|i| (noise.next() % (2 * at(i) as u64)) as i64 - at(i)).collect();
    let v = g.b.tensor(Tensor::of(dims, &values));
    let v = g.b.cast(v, t).ok()?;
    g.facts.entry(v).or_insert(super::Fact { exact: true, size: 20.0 });
    Some(v)
}

fn gather(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let dims = g.dims_of(x);
    if dims.is_empty() {
        return None;
    }
    let axis = g.below(dims.len());
    let batch = if g.flip() { 0 } else { g.below(axis + 1) };
    let rank = g.below(3);
    let own = g.dims(rank);
    let index_dims = [&dims[..batch], &own[..]].concat();
    let total = dims.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, n)| n).product::<usize>();
    let too_large = total * own.iter().product::<usize>() > NUMEL || dims.len() - 1 + own.len() > RANK;
    if too_large || index_dims.len() > RANK {
        return None;
    }
    let at = index(g, &index_dims, &[dims[axis]])?;
    g.moved(Op::Gather { axis, batch }, &[x, at])
}

/// Extents of indices into `dims` along an axis: no larger beside it.
fn beside(g: &mut Gen, dims: &[usize], axis: usize) -> Vec<usize> {
    let all = g.flip();
    (0..dims.len())
        .map(|i| {
            if i == axis {
                g.extent().min(5)
            } else if all {
                dims[i]
            } else {
                g.below(dims[i] + 1)
            }
        })
        .collect()
}

fn gather_elements(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let dims = g.dims_of(x);
    if dims.is_empty() {
        return None;
    }
    let axis = g.below(dims.len());
    let index_dims = beside(g, &dims, axis);
    if index_dims.iter().product::<usize>() > NUMEL {
        return None;
    }
    let at = index(g, &index_dims, &[dims[axis]])?;
    g.moved(Op::GatherElements(axis), &[x, at])
}

fn gather_nd(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let dims = g.dims_of(x);
    let batch = if g.flip() { 0 } else { g.below(dims.len() + 1) };
    let depth = g.below(dims.len() - batch + 1);
    let rank = g.below(2);
    let own = g.dims(rank);
    let lead = [&dims[..batch], &own[..]].concat();
    let total = lead.iter().chain(&dims[batch + depth..]).product::<usize>();
    if total > NUMEL || lead.len() + dims.len() - batch - depth > RANK || lead.len() >= RANK {
        return None;
    }
    let at = index(g, &[&lead[..], &[depth]].concat(), &dims[batch..batch + depth])?;
    g.moved(Op::GatherNd { batch }, &[x, at])
}

/// A way to combine, and whether it rounds.
fn kind(g: &mut Gen, t: DType) -> (ScatterKind, bool) {
    use ScatterKind::*;
    let kind =
        if t == DType::Bool { g.choose(&[Set, Max, Min]) } else { g.choose(&[Set, Add, Set, Max, Min, Mul]) };
    (kind, t.is_float() && matches!(kind, Add | Mul))
}

fn scattered(g: &mut Gen, op: Op, inputs: &[ValueId], rounds: bool, kind: ScatterKind) -> Option<()> {
    if !rounds {
        return g.moved(op, inputs);
    }
    let (x, u) = (g.fact(inputs[0]).size, g.fact(inputs[2]).size);
    let updates = g.dims_of(inputs[2]).iter().product::<usize>();
    let size =
        if kind == ScatterKind::Add { x + u * updates as f64 } else { x * u.max(1.0).powi(updates as i32) };
    if size > 1e4 { None } else { g.rounded(op, inputs, size) }
}

fn scatter_elements(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    if dims.is_empty() {
        return None;
    }
    let axis = g.below(dims.len());
    let index_dims = beside(g, &dims, axis);
    let at = index(g, &index_dims, &[dims[axis]])?;
    let updates = g.of(t, &index_dims);
    let (kind, rounds) = kind(g, t);
    scattered(g, Op::ScatterElements(axis, kind), &[x, at, updates], rounds, kind)
}

fn scatter_nd(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    let depth = g.below(dims.len() + 1);
    let count = g.extent().min(5);
    if dims.len() - depth + 1 > RANK || dims[depth..].iter().product::<usize>() * count > NUMEL {
        return None;
    }
    let at = index(g, &[count, depth], &dims[..depth])?;
    let updates = g.of(t, &[&[count], &dims[depth..]].concat());
    let (kind, rounds) = kind(g, t);
    scattered(g, Op::ScatterNd(kind), &[x, at, updates], rounds, kind)
}

/// Only of exact values: rounding must not decide the order.
fn top_k(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let dims = g.dims_of(x);
    let n = *dims.last()?;
    if !g.fact(x).exact {
        return None;
    }
    let (k, largest) = (g.below(n + 1), g.flip());
    g.moved(Op::TopK { k: Dim::from(k), largest }, &[x])
}
