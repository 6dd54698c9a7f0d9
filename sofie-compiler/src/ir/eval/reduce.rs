//! Reductions, positions of extremes, and running sums.
//!
//! Floats are summed in `f64` and rounded once, integers exactly and then wrapped. Over no elements a sum is
//! 0, a product 1, a maximum the type's lowest value, a mean NaN (of integers 0).

use super::index::{around, broadcast_strides, split_inner, strides, walk};
use super::scalar;
use super::wide::{Wide, widened};
use crate::ir::{Invalid, ReduceKind, Tensor};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::Unary;

pub(super) fn reduce(
    kind: ReduceKind,
    axes: &[usize],
    x: &Tensor,
    dims: &[usize],
) -> Result<Tensor, Invalid> {
    use ReduceKind::*;
    let dtype = x.dtype();
    if dtype == DType::Bool && !matches!(kind, Max | Min) {
        return Err(Invalid::new(format!("reduction {kind:?} of bools")));
    }
    let mut counted = axes.to_vec();
    counted.dedup();
    let count: usize = counted.iter().map(|&axis| x.dims()[axis]).product();
    let through_floats = matches!(kind, L2 | LogSum | LogSumExp);
    if dtype.is_float() || through_floats {
        let v = f64::of(x);
        let y = match kind {
            L2 => each(plain(SumSquare, &v, x, dims, count), f64::sqrt),
            LogSum => each(plain(Sum, &v, x, dims, count), |s| scalar(Unary::Log, s)),
            LogSumExp => log_sum_exp(&v, x, dims),
            _ => plain(kind, &v, x, dims, count),
        };
        f64::tensor(dtype, dims, &y)
    } else {
        i128::tensor(dtype, dims, &plain(kind, &i128::of(x), x, dims, count))
    }
}

fn each(mut y: Vec<f64>, f: impl Fn(f64) -> f64) -> Vec<f64> {
    y.iter_mut().for_each(|y| *y = f(*y));
    y
}

/// The kinds that are one pass of one operation.
fn plain<W: Wide>(kind: ReduceKind, v: &[W], x: &Tensor, dims: &[usize], count: usize) -> Vec<W> {
    use ReduceKind::*;
    let (lowest, highest) = W::bounds(x.dtype());
    let absolute = |v: W| if v.order(W::default()).is_lt() { v.negated() } else { v };
    match kind {
        Prod => fold(v, x.dims(), dims, W::ONE, W::mul),
        Max => fold(v, x.dims(), dims, lowest, W::larger),
        Min => fold(v, x.dims(), dims, highest, W::smaller),
        L1 => fold(v, x.dims(), dims, W::default(), |a, v| a.add(absolute(v))),
        SumSquare | L2 => fold(v, x.dims(), dims, W::default(), |a, v| a.add(v.mul(v))),
        Sum | LogSum | LogSumExp => fold(v, x.dims(), dims, W::default(), W::add),
        Mean => {
            let mut y = fold(v, x.dims(), dims, W::default(), W::add);
            y.iter_mut().for_each(|y| *y = y.over(count));
            y
        }
    }
}

/// `max + log Σ e^(x - max)`; where the largest is infinite it is the result.
fn log_sum_exp(v: &[f64], x: &Tensor, dims: &[usize]) -> Vec<f64> {
    let max = fold(v, x.dims(), dims, f64::NEG_INFINITY, f64::larger);
    let sum =
        fold_with(v, x.dims(), dims, &vec![0.0; max.len()], |o, a, v| a + scalar(Unary::Exp, v - max[o]));
    max.iter().zip(sum).map(|(m, s)| if m.is_infinite() { *m } else { m + scalar(Unary::Log, s) }).collect()
}

fn fold<W: Wide>(v: &[W], from: &[usize], to: &[usize], init: W, f: impl Fn(W, W) -> W) -> Vec<W> {
    fold_with(v, from, to, &vec![init; to.iter().product()], |_, a, v| f(a, v))
}

/// Combines each element of `v`, in row-major order, into the element of the result that stands at its index
/// with 0 along reduced axes; `f` is told that element's position.
fn fold_with<W: Wide>(
    v: &[W],
    from: &[usize],
    to: &[usize],
    init: &[W],
    f: impl Fn(usize, W, W) -> W,
) -> Vec<W> {
    let mut y = init.to_vec();
    let (v_strides, y_strides) = (strides(from), broadcast_strides(to));
    let (outer, n) = split_inner(from);
    let step = y_strides.last().map_or(0, |s| *s as usize);
    // The visit cannot fail.
    let _ = walk(outer, [&v_strides, &y_strides], |[i, o]| {
        for (j, v) in v[i as usize..][..n].iter().enumerate() {
            let at = o as usize + j * step;
            y[at] = f(at, y[at], *v);
        }
        Ok(())
    });
    y
}

/// NaN is both the largest and the smallest, as in NumPy.
pub(super) fn arg_reduce(
    x: &Tensor,
    max: bool,
    axis: usize,
    last: bool,
    dims: &[usize],
) -> Result<Tensor, Invalid> {
    let (outer, n, inner) = around(x.dims(), axis);
    if n == 0 && outer * inner > 0 {
        return Err(Invalid::new("the position of the largest of no elements"));
    }
    widened!(x, v => {
        let mut y = Vec::with_capacity(outer * inner);
        for p in 0..outer {
            for q in 0..inner {
                let at = |j: usize| v[(p * n + j) * inner + q];
                let better = |new: usize, old: usize| {
                    let (new, old) = (at(new), at(old));
                    let order = if max || new.is_nan() || old.is_nan() { new.order(old) } else { old.order(new) };
                    order.is_gt() || last && order.is_eq()
                };
                y.push((1..n).fold(0, |best, j| if better(j, best) { j } else { best }) as i64);
            }
        }
        Ok(Tensor::of(dims, &y))
    })
}

pub(super) fn scan(
    x: &Tensor,
    product: bool,
    axis: usize,
    exclusive: bool,
    reverse: bool,
) -> Result<Tensor, Invalid> {
    if x.dtype() == DType::Bool {
        return Err(Invalid::new("a running sum of bools"));
    }
    widened!(x, v => {
        let mut y = v.clone();
        running(&v, &mut y, around(x.dims(), axis), product, exclusive, reverse);
        Wide::tensor(x.dtype(), x.dims(), &y)
    })
}

fn running<W: Wide>(
    v: &[W],
    y: &mut [W],
    (outer, n, inner): (usize, usize, usize),
    product: bool,
    exclusive: bool,
    reverse: bool,
) {
    for p in 0..outer {
        for q in 0..inner {
            let mut sum = if product { W::ONE } else { W::default() };
            for j in 0..n {
                let at = (p * n + if reverse { n - 1 - j } else { j }) * inner + q;
                let before = sum;
                sum = if product { sum.mul(v[at]) } else { sum.add(v[at]) };
                y[at] = if exclusive { before } else { sum };
            }
        }
    }
}
