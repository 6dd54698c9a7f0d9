//! Random views, joins and reductions.

use super::{Gen, NUMEL, RANK};
use crate::ir::{Dim, Op, ReduceKind, Shape};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Scalar, Unary};

pub(super) fn step(g: &mut Gen) -> Option<()> {
    match g.below(11) {
        0 => reshape(g),
        1 => transpose(g),
        2 | 3 => slice(g),
        4 => broadcast(g),
        5 => concat(g),
        6 => pad(g),
        7 | 8 => reduce(g),
        9 => windows(g),
        _ => scan(g),
    }
}

fn reshape(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let mut left: usize = g.dims_of(x).iter().product();
    let mut dims = Vec::new();
    while left != 1 && dims.len() + 1 < RANK {
        let divisors: Vec<usize> = (1..=left.max(1)).filter(|d| left.is_multiple_of(*d)).collect();
        let n = if left == 0 { g.below(4) } else { g.choose(&divisors) };
        dims.push(n);
        left = left.checked_div(n).unwrap_or(1);
    }
    if left != 1 {
        dims.push(left);
    }
    if g.flip() && dims.len() < RANK {
        let at = g.below(dims.len() + 1);
        dims.insert(at, 1);
    }
    g.moved(Op::Reshape(Shape::of(&dims)), &[x])
}

fn transpose(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let mut axes: Vec<usize> = (0..g.b.shape(x).rank()).collect();
    let mut perm = Vec::new();
    while !axes.is_empty() {
        perm.push(axes.swap_remove(g.below(axes.len())));
    }
    g.moved(Op::Transpose(perm), &[x])
}

fn slice(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (mut start, mut step, mut shape) = (Vec::new(), Vec::new(), Vec::new());
    for n in g.dims_of(x) {
        let extent = if g.flip() { n } else { g.below(n + 1) };
        // The largest step with which all elements stay inside, or a smaller one.
        let largest = if extent > 1 { (n - 1) / (extent - 1) } else { 3 };
        let by = 1 + g.below(largest);
        let reach = if extent > 1 { (extent - 1) * by } else { 0 };
        let first = g.below(n.saturating_sub(reach).max(1));
        let backwards = g.rarely(4);
        start.push(Dim::from(if backwards { first + reach } else { first }));
        step.push(if backwards { -(by as i64) } else { by as i64 });
        shape.push(extent);
    }
    g.moved(Op::Slice { start, step, shape: Shape::of(&shape) }, &[x])
}

fn windows(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let dims = g.dims_of(x);
    let axis = if dims.is_empty() || dims.len() == RANK { return None } else { g.below(dims.len()) };
    let len = g.below(dims[axis] + 1);
    let most = if len == 0 { 4 } else { dims[axis] + 1 - len };
    let count = g.below(most + 1);
    let rest: usize = dims.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, n)| n).product();
    (count * len * rest <= NUMEL).then_some(())?;
    g.moved(Op::Windows { axis, count: Dim::from(count), len: Dim::from(len) }, &[x])
}

fn broadcast(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let mut dims = g.dims_of(x);
    for n in &mut dims {
        if *n == 1 {
            *n = g.extent();
        }
    }
    (dims.iter().product::<usize>() <= NUMEL).then_some(())?;
    g.moved(Op::Broadcast(Shape::of(&dims)), &[x])
}

fn concat(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    let axis = if dims.is_empty() { return None } else { g.below(dims.len()) };
    let mut operands = vec![x];
    for _ in 0..1 + g.below(3) {
        let mut other = dims.clone();
        other[axis] = g.extent();
        let at = g.below(operands.len() + 1);
        let v = g.of(t, &other);
        operands.insert(at, v);
    }
    let extent: usize = operands.iter().map(|v| g.dims_of(*v)[axis]).sum();
    let rest: usize = dims.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, n)| n).product();
    (extent * rest <= NUMEL).then_some(())?;
    g.moved(Op::Concat(axis), &operands)
}

fn pad(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (t, dims) = (g.b.dtype(x), g.dims_of(x));
    let (mut before, mut after, mut total) = (Vec::new(), Vec::new(), 1);
    for n in dims {
        let mut side = |left: usize| match g.below(4) {
            0 => g.below(4) as i64,
            1 => -(g.below(left + 1) as i64),
            _ => 0,
        };
        let b = side(n);
        let a = side((n as i64 + b.min(0)).max(0) as usize);
        total *= (n as i64 + a + b) as usize;
        before.push(Dim::Fixed(b));
        after.push(Dim::Fixed(a));
    }
    (total <= NUMEL).then_some(())?;
    let value = Scalar::from_f64(t, g.below(5) as f64 - 2.0);
    g.moved(Op::Pad { before, after, value }, &[x])
}

fn reduce(g: &mut Gen) -> Option<()> {
    use ReduceKind::*;
    let x = g.any();
    let (t, dims, fact) = (g.b.dtype(x), g.dims_of(x), g.fact(x));
    let axes: Vec<usize> = (0..dims.len()).filter(|_| g.flip()).collect();
    let count = axes.iter().map(|&a| dims[a]).product::<usize>();
    if t == DType::Bool {
        let kind = g.choose(&[Max, Min]);
        return g.moved(Op::Reduce(kind, axes), &[x]);
    }
    let kind = g.choose(&[Sum, Mean, Max, Min, Sum, Prod, L1, L2, SumSquare, LogSum, LogSumExp]);
    let (n, m) = (count as f64, fact.size);
    let size = match kind {
        _ if !t.is_float() => f64::INFINITY,
        // Of nothing, some are infinite or NaN.
        _ if count == 0 => f64::INFINITY,
        Max | Min | Mean => m,
        Sum | L1 => n * m,
        Prod => m.max(1.0).powf(n),
        L2 => n.sqrt() * m,
        SumSquare => n * m * m,
        LogSum => 20.0,
        LogSumExp => m + n.ln(),
    };
    match kind {
        Max | Min if count > 0 => g.moved(Op::Reduce(kind, axes), &[x]),
        // A logarithm only of what is far from 0.
        LogSum if t.is_float() => {
            let one = g.b.scalar(Scalar::from_f64(t, 1.0));
            let x = g.b.unary(Unary::Abs, x).ok()?;
            let x = g.b.binary(sofie_infer_runtime::map::Binary::Add, x, one).ok()?;
            g.facts.entry(x).or_insert(super::Fact { exact: false, size: m + 1.0 });
            g.rounded(Op::Reduce(kind, axes), &[x], size)
        }
        _ if t.is_float() && count > 0 && size > 1e4 => None,
        _ => g.rounded(Op::Reduce(kind, axes), &[x], size),
    }
}

fn scan(g: &mut Gen) -> Option<()> {
    let x = g.any();
    let (t, dims, fact) = (g.b.dtype(x), g.dims_of(x), g.fact(x));
    if dims.is_empty() {
        return None;
    }
    let axis = g.below(dims.len());
    let n = dims[axis];
    if g.flip() {
        // Where the largest stands, which rounding must not decide.
        (fact.exact && n > 0).then_some(())?;
        let (max, last) = (g.flip(), g.flip());
        let v = g.push(Op::ArgReduce { max, axis, last }, &[x])[0];
        g.know(v, true, n as f64);
        return Some(());
    }
    if t == DType::Bool {
        return None;
    }
    let product = !t.is_float() && g.flip();
    let (exclusive, reverse) = (g.flip(), g.flip());
    g.rounded(Op::Scan { product, axis, exclusive, reverse }, &[x], n as f64 * fact.size)
}
