//! `Einsum`: sums of products named by letters, as transposes, products and reductions.
//!
//! Operands are joined from left to right. A letter that no later operand and not the result needs is
//! summed over as soon as both its operands are joined: a contraction of two operands is one `MatMul`.

use super::Ctx;
use super::expr::{x, y};
use super::matmul::product;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Shape, ValueId};
use std::collections::BTreeMap;

/// An axis' name: a letter, or a place in the ellipsis counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

/// A value whose axes have names.
#[derive(Clone, Debug)]
struct Named {
    v: ValueId,
    labels: Vec<Label>,
}

/// The labels of one term; `ellipsis` axes stand for its dots.
fn term(text: &str, ellipsis: usize) -> Result<Vec<Label>> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let letters = |part: &str| {
        let wrong = |c: char| Error::new(format!("equation has {c:?}, which is no letter"));
        part.chars()
            .map(|c| if c.is_ascii_alphabetic() { Ok(Label::Letter(c)) } else { Err(wrong(c)) })
            .collect()
    };
    let Some((before, after)) = text.split_once("...") else { return letters(&text) };
    let mut labels: Vec<_> = letters(before)?;
    labels.extend((0..ellipsis).rev().map(Label::Ellipsis));
    labels.extend(letters(after)?);
    Ok(labels)
}

/// The labels of the operands and of the result.
fn parse(c: &Ctx<'_, '_>, equation: &str, operands: &[ValueId]) -> Result<(Vec<Named>, Vec<Label>)> {
    let (left, right) = match equation.split_once("->") {
        Some((left, right)) => (left, Some(right)),
        None => (equation, None),
    };
    let terms: Vec<_> = left.split(',').collect();
    if terms.len() != operands.len() {
        return Err(Error::new(format!(
            "equation {equation:?} names {} operands, not {}",
            terms.len(),
            operands.len()
        )));
    }
    let mut named = Vec::new();
    let mut widest = 0;
    for (text, &v) in terms.iter().zip(operands) {
        let rank = c.rank(v);
        let letters = term(text, 0)?.len();
        let dots = text.contains("...");
        let ellipsis = rank.checked_sub(letters).filter(|&n| dots || n == 0).ok_or_else(|| {
            Error::new(format!(
                "{:?} of equation {equation:?} does not fit shape {}",
                text.trim(),
                c.shape(v)
            ))
        })?;
        widest = widest.max(ellipsis);
        named.push(Named { v, labels: term(text, ellipsis)? });
    }
    let result = match right {
        Some(right) => term(right, widest)?,
        None => {
            // Without an arrow: the ellipsis, then every letter that appears once, sorted.
            let mut counts: BTreeMap<Label, usize> = BTreeMap::new();
            named.iter().flat_map(|n| &n.labels).for_each(|l| *counts.entry(*l).or_default() += 1);
            let once = counts.into_iter().filter(|(l, n)| *n == 1 && matches!(l, Label::Letter(_)));
            (0..widest).rev().map(Label::Ellipsis).chain(once.map(|(l, _)| l)).collect()
        }
    };
    let known = |l: &Label| named.iter().any(|n| n.labels.contains(l));
    let mut sorted = result.clone();
    sorted.sort();
    if !result.iter().all(known) || sorted.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::new(format!("the result of equation {equation:?} repeats or makes up a letter")));
    }
    Ok((named, result))
}

/// A letter that stands twice in one term is the diagonal of its two axes.
fn diagonals(c: &mut Ctx<'_, '_>, mut n: Named) -> Result<Named> {
    loop {
        let twice = (0..n.labels.len()).find_map(|j| {
            let i = n.labels[..j].iter().position(|l| *l == n.labels[j])?;
            Some((i, j))
        });
        let Some((i, j)) = twice else { return Ok(n) };
        // [.., n, .., n, ..] → [rest, n, n] → [rest, n * n] → every (n + 1)-th.
        let shape = c.shape(n.v);
        let extent = shape[i].clone();
        if extent != shape[j] {
            return Err(Error::new(format!("a letter names axes of extents {extent} and {}", shape[j])));
        }
        let size = extent.fixed().and_then(|e| usize::try_from(e).ok());
        let Some(size) = size else {
            c.fixed(n.v, "a diagonal")?;
            return Err(Error::new("a diagonal needs fixed extents"));
        };
        let rest: Vec<_> = (0..n.labels.len()).filter(|&a| a != i && a != j).collect();
        let perm: Vec<_> = rest.iter().copied().chain([i, j]).collect();
        let v = c.b.transpose(n.v, &perm)?;
        let dims = rest.iter().map(|&a| shape[a].clone());
        let flat: Shape = dims.clone().chain([Dim::from(size * size)]).collect();
        let v = c.b.reshape(v, flat)?;
        let to: Shape = dims.chain([extent]).collect();
        let mut step = vec![1; rest.len() + 1];
        step[rest.len()] = size as i64 + 1;
        let start = vec![Dim::Fixed(0); rest.len() + 1];
        let v = c.b.one(Op::Slice { start, step, shape: to }, &[v])?;
        n = Named { v, labels: rest.iter().map(|&a| n.labels[a]).chain([n.labels[i]]).collect() };
    }
}

/// Sums over the axes that `keep` does not name.
fn summed(c: &mut Ctx<'_, '_>, n: Named, keep: impl Fn(&Label) -> bool) -> Result<Named> {
    let axes: Vec<_> = (0..n.labels.len()).filter(|&i| !keep(&n.labels[i])).collect();
    if axes.is_empty() {
        return Ok(n);
    }
    let v = c.b.one(Op::Reduce(ReduceKind::Sum, axes.clone()), &[n.v])?;
    Ok(Named { v: c.drop_axes(v, &axes)?, labels: n.labels.into_iter().filter(&keep).collect() })
}

/// The axes in the order of `labels`; those that `n` lacks have extent 1.
fn arranged(c: &mut Ctx<'_, '_>, n: &Named, labels: &[Label]) -> Result<ValueId> {
    let perm: Vec<_> = labels.iter().filter_map(|l| n.labels.iter().position(|m| m == l)).collect();
    let v = c.b.transpose(n.v, &perm)?;
    let shape = c.shape(v);
    let mut dims = shape.dims().iter();
    let spread = labels.iter().map(|l| {
        let there = n.labels.contains(l);
        if there { dims.next().cloned().unwrap_or(Dim::ONE) } else { Dim::ONE }
    });
    let to = spread.collect();
    Ok(c.b.reshape(v, to)?)
}

/// Two operands as one, summed over what `keep` does not name.
fn joined(c: &mut Ctx<'_, '_>, a: Named, b: Named, keep: impl Fn(&Label) -> bool) -> Result<Named> {
    // What one operand alone has and nobody needs is summed before, not multiplied first.
    let a = summed(c, a, |l| keep(l) || b.labels.contains(l))?;
    let b = summed(c, b, |l| keep(l) || a.labels.contains(l))?;
    let extent = |c: &Ctx<'_, '_>, n: &Named, l: &Label| {
        n.labels.iter().position(|m| m == l).map(|i| c.shape(n.v)[i].clone())
    };
    let shared: Vec<_> = a.labels.iter().copied().filter(|l| b.labels.contains(l)).collect();
    // An axis that one side broadcasts cannot be contracted by a product of matrices.
    let (contracted, batch): (Vec<_>, Vec<_>) = shared.into_iter().partition(|l| !keep(l));
    let broadcast = contracted.iter().any(|l| extent(c, &a, l) != extent(c, &b, l));
    let only = |n: &Named, other: &Named| -> Vec<Label> {
        n.labels.iter().copied().filter(|l| !other.labels.contains(l)).collect()
    };
    let (rows, columns) = (only(&a, &b), only(&b, &a));
    if contracted.is_empty() || broadcast {
        let labels: Vec<_> = [&batch[..], &rows, &columns, &contracted].concat();
        let (va, vb) = (arranged(c, &a, &labels)?, arranged(c, &b, &labels)?);
        let v = c.map(x() * y(), &[va, vb])?;
        return summed(c, Named { v, labels }, keep);
    }
    let flat = |c: &Ctx<'_, '_>, n: &Named, labels: &[Label]| -> Result<Dim> {
        let dims = labels.iter().filter_map(|l| extent(c, n, l));
        Ok(Shape::new(dims.collect()).numel()?)
    };
    let (m, k, n) = (flat(c, &a, &rows)?, flat(c, &a, &contracted)?, flat(c, &b, &columns)?);
    let lead =
        |c: &Ctx<'_, '_>, s: &Named| -> Vec<Dim> { batch.iter().filter_map(|l| extent(c, s, l)).collect() };
    let left = [lead(c, &a), vec![m, k.clone()]].concat();
    let right = [lead(c, &b), vec![k, n]].concat();
    let row_dims: Vec<_> = rows.iter().filter_map(|l| extent(c, &a, l)).collect();
    let column_dims: Vec<_> = columns.iter().filter_map(|l| extent(c, &b, l)).collect();
    let va = arranged(c, &a, &[&batch[..], &rows, &contracted].concat())?;
    let vb = arranged(c, &b, &[&batch[..], &contracted, &columns].concat())?;
    let va = c.b.reshape(va, Shape::new(left))?;
    let vb = c.b.reshape(vb, Shape::new(right))?;
    let v = product(c, va, vb)?;
    let batch_dims = c.shape(v).dims()[..batch.len()].to_vec();
    let v = c.b.reshape(v, Shape::new([batch_dims, row_dims, column_dims].concat()))?;
    Ok(Named { v, labels: [batch, rows, columns].concat() })
}

/// `Einsum`.
pub(super) fn einsum(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let equation = c.attrs.string("equation")?;
    let equation = c.attrs.require("equation", equation)?;
    let operands = c.variadic()?;
    let (named, result) = parse(c, equation, &operands)?;
    let mut waiting: Vec<Named> = Vec::new();
    for n in named {
        waiting.push(diagonals(c, n)?);
    }
    waiting.reverse();
    let Some(mut so_far) = waiting.pop() else { return Err(Error::new("an equation without operands")) };
    while let Some(next) = waiting.pop() {
        let later: Vec<_> = waiting.iter().flat_map(|n| n.labels.clone()).collect();
        so_far = joined(c, so_far, next, |l| result.contains(l) || later.contains(l))?;
    }
    let so_far = summed(c, so_far, |l| result.contains(l))?;
    Ok(vec![arranged(c, &so_far, &result)?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::ops::testing::*;

    fn einsum(equation: &str, args: &[Arg]) -> Tensor {
        run("Einsum", 12, &[("equation", text(equation))], args)
    }

    fn counting(dims: &[usize]) -> Arg {
        let n = dims.iter().product();
        f32s(dims, &(0..n).map(|i: usize| (i % 7) as f32 - 2.0).collect::<Vec<_>>())
    }

    fn values(arg: &Arg) -> (Vec<usize>, Vec<f64>) {
        match arg {
            Arg::In(t) => (t.dims().to_vec(), t.to_f64s()),
            _ => (Vec::new(), Vec::new()),
        }
    }

    /// The definition: every index in turn. No ellipsis, no broadcasting.
    fn naive(equation: &str, args: &[Arg]) -> Vec<f64> {
        let (left, right) = equation.split_once("->").unwrap();
        let terms: Vec<Vec<char>> = left.split(',').map(|t| t.chars().collect()).collect();
        let mut extents = std::collections::BTreeMap::new();
        for (term, arg) in terms.iter().zip(args) {
            term.iter().zip(values(arg).0).for_each(|(l, n)| {
                extents.insert(*l, n);
            });
        }
        let letters: Vec<_> = extents.keys().copied().collect();
        let all: usize = extents.values().product();
        let mut y = vec![0.0; right.chars().map(|l| extents[&l]).product()];
        for mut i in 0..all {
            let mut at = std::collections::BTreeMap::new();
            for l in letters.iter().rev() {
                at.insert(*l, i % extents[l]);
                i /= extents[l];
            }
            let place =
                |labels: &mut dyn Iterator<Item = char>| labels.fold(0, |p, l| p * extents[&l] + at[&l]);
            let parts = terms.iter().zip(args).map(|(t, a)| values(a).1[place(&mut t.iter().copied())]);
            y[place(&mut right.chars())] += parts.product::<f64>();
        }
        y
    }

    #[test]
    fn agrees_with_the_definition() {
        let cases: &[(&str, &[&[usize]])] = &[
            ("ij->ji", &[&[2, 3]]),
            ("ij->", &[&[2, 3]]),
            ("ii->i", &[&[3, 3]]),
            ("iij->ji", &[&[3, 3, 2]]),
            ("ij,jk->ik", &[&[2, 3], &[3, 4]]),
            ("ij,jk->ki", &[&[2, 3], &[3, 4]]),
            ("bij,bjk->bik", &[&[2, 2, 3], &[2, 3, 2]]),
            ("bhqd,bhkd->bhqk", &[&[1, 2, 3, 2], &[1, 2, 4, 2]]),
            ("i,j->ij", &[&[2], &[3]]),
            ("i,i->", &[&[3], &[3]]),
            ("ij,ij->ij", &[&[2, 3], &[2, 3]]),
            ("ij,kl->jl", &[&[2, 3], &[2, 2]]),
            ("ab,bc,cd->ad", &[&[2, 3], &[3, 2], &[2, 2]]),
            ("abc,cd,be->ade", &[&[2, 3, 2], &[2, 2], &[3, 2]]),
            ("bn,anm,bm->ba", &[&[2, 3], &[4, 3, 2], &[2, 2]]),
        ];
        for (equation, shapes) in cases {
            let args: Vec<_> = shapes.iter().map(|d| counting(d)).collect();
            assert_eq!(einsum(equation, &args).to_f64s(), naive(equation, &args), "{equation}");
        }
    }

    #[test]
    fn dots_and_implicit_results() {
        let (a, b) = (counting(&[2, 2, 3]), counting(&[3, 2]));
        let product = einsum("bij,jk->bik", &[a.clone(), b.clone()]);
        assert_eq!(einsum("...ij,jk->...ik", &[a.clone(), b.clone()]), product);
        assert_eq!(einsum("... i j , j k", &[a.clone(), b.clone()]), product);
        assert_eq!(einsum("...ij->...", std::slice::from_ref(&a)).dims(), [2]);
        // Axes of the dots broadcast.
        assert_eq!(einsum("...i,...i->...i", &[a, counting(&[3])]).dims(), [2, 2, 3]);
    }

    #[test]
    fn equations_that_do_not_fit() {
        let refused = |equation: &str| {
            lowered("Einsum", 12, &[("equation", text(equation))], &[counting(&[2, 3])], 1).unwrap_err()
        };
        assert!(refused("ij,jk->ik").contains("names 2 operands"));
        assert!(refused("ijk->i").contains("does not fit shape [2, 3]"));
        assert!(refused("ij->k").contains("makes up a letter"));
        assert!(refused("i1->i").contains("no letter"));
        assert!(refused("ii->i").contains("extents 2 and 3"));
    }
}
