//! Arithmetic on extents: what exporters compute from `Shape` to feed `Reshape`, `Expand` and the like.
//! With fixed shapes these are constants and fold; with open ones they are lists of polynomials, handled
//! here, apart from the values of the graph. An operator that is not in the list refuses such operands.

use super::Ctx;
use super::operand::{Extents, Operand};
use crate::error::{Error, Result};
use crate::ir::{Dim, Tensor, axis_in};
use crate::onnx::ElementType;

/// The results, where the node computes with extents that are not fixed; `None` where it does not (its
/// operands are values), or where it has a lowering that asks for
/// extents itself.
pub(super) fn lower(c: &mut Ctx<'_, '_>) -> Result<Option<Vec<Operand>>> {
    if !c.node.domain.is_empty() {
        return Ok(None);
    }
    let op = c.node.op_type.as_str();
    if !c.operands.iter().flatten().any(|o| matches!(o, Operand::Extents(_))) {
        return Ok(None);
    }
    let extents = match op {
        "Identity" | "Cast" | "CastLike" => cast(c, op)?,
        "Split" => return split(c),
        "Add" | "Sub" | "Mul" | "Div" | "Min" | "Max" => arithmetic(c, op)?,
        "Gather" => gather(c)?,
        "Slice" => slice(c)?,
        "Concat" => concat(c)?,
        "Squeeze" | "Unsqueeze" | "Reshape" => rank(c, op)?,
        "ReduceProd" | "ReduceMin" | "ReduceMax" | "ReduceSum" => reduce(c, op)?,
        "Equal" => match equal(c)? {
            Some(answers) => return Ok(Some(answers)),
            None => None,
        },
        "Where" => choose(c)?,
        _ => None,
    };
    if extents.is_none() && ELEMENTWISE.contains(&op) {
        // With other tensors they are computed as such.
        for i in 0..c.operands.len() {
            if let Some(Operand::Extents(e)) = c.operands[i].clone()
                && let Some(v) = e.value(c.b)?
            {
                c.operands[i] = Some(Operand::Value(v));
            }
        }
    }
    Ok(extents.map(|e| vec![e.settle(c.b)]))
}

/// Operators that compute with extents as with any other number.
const ELEMENTWISE: &[&str] = &[
    "Add",
    "And",
    "Cast",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Min",
    "Mod",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "Pow",
    "Reciprocal",
    "Sqrt",
    "Sub",
    "Where",
];

/// Operand `i` as extents, where it is a list or a scalar of integers.
fn operand(c: &Ctx<'_, '_>, i: usize) -> Result<Option<Extents>> {
    match c.operands.get(i) {
        Some(Some(Operand::Extents(e))) => Ok(Some(e.clone())),
        Some(Some(Operand::Value(v))) => {
            let rank = c.rank(*v);
            let dims = if rank <= 1 { c.b.dims_of(*v) } else { None };
            Ok(dims.map(|dims| Extents { scalar: rank == 0, dims }))
        }
        _ => Ok(None),
    }
}

fn operands(c: &Ctx<'_, '_>) -> Result<Option<Vec<Extents>>> {
    (0..c.operands.len()).map(|i| operand(c, i)).collect()
}

fn cast(c: &Ctx<'_, '_>, op: &str) -> Result<Option<Extents>> {
    if op == "CastLike" && !matches!(c.operands.get(1), Some(Some(Operand::Value(v))) if c.dtype(*v).is_int())
    {
        return Ok(None);
    }
    if op == "Cast" && !matches!(super::cast::target(c)?, ElementType::Plain(to) if to.is_int()) {
        return Ok(None);
    }
    operand(c, 0)
}

/// Element by element, a single element going with all of the other.
fn zip<T>(a: &Extents, b: &Extents, mut f: impl FnMut(&Dim, &Dim) -> Result<T>) -> Result<Vec<T>> {
    let n = match (a.dims.len(), b.dims.len()) {
        (1, n) | (n, 1) => n,
        (n, m) if n == m => n,
        (n, m) => return Err(Error::new(format!("{n} and {m} extents do not broadcast"))),
    };
    let at = |e: &Extents, i: usize| if e.dims.len() == 1 { e.dims[0].clone() } else { e.dims[i].clone() };
    (0..n).map(|i| f(&at(a, i), &at(b, i))).collect()
}

fn arithmetic(c: &Ctx<'_, '_>, op: &str) -> Result<Option<Extents>> {
    let Some(operands) = operands(c)? else { return Ok(None) };
    let mut operands = operands.into_iter();
    let Some(mut so_far) = operands.next() else { return Ok(None) };
    for next in operands {
        let dims = zip(&so_far, &next, |a, b| {
            Ok(match op {
                "Add" => a.add(b)?,
                "Sub" => a.sub(b)?,
                "Mul" => a.mul(b)?,
                "Min" => a.min(b),
                "Max" => a.max(b),
                // ONNX truncates, a `Dim` floors: equal where both are known not to be negative.
                _ if c.exploring || Dim::Fixed(0).le(a) == Some(true) && Dim::ONE.le(b) == Some(true) => {
                    a.floor_div(b)?
                }
                _ => return Err(Error::new(format!("it is not known whether {a} divided by {b} is exact"))),
            })
        })?;
        so_far = Extents { scalar: so_far.scalar && next.scalar, dims };
    }
    Ok(Some(so_far))
}

fn gather(c: &Ctx<'_, '_>) -> Result<Option<Extents>> {
    c.attrs.ignore(&["axis"]);
    let (Some(data), Some(index)) = (operand(c, 0)?, operand(c, 1)?) else { return Ok(None) };
    let Some(indices) = index.dims.iter().map(Dim::fixed).collect::<Option<Vec<_>>>() else {
        return Ok(None);
    };
    let dims = indices.iter().map(|&i| Ok(data.dims[axis_in(i, data.dims.len())?].clone()));
    Ok(Some(Extents { scalar: index.scalar, dims: dims.collect::<Result<_>>()? }))
}

fn slice(c: &Ctx<'_, '_>) -> Result<Option<Extents>> {
    let Some(data) = operand(c, 0)? else { return Ok(None) };
    let Some((start, step, extent)) = super::slice::fixed_range(c, data.dims.len())? else { return Ok(None) };
    let index = (0..extent).map(|i| (start + i * step) as usize);
    Ok(Some(Extents { scalar: false, dims: index.filter_map(|i| data.dims.get(i).cloned()).collect() }))
}

/// A list in parts, of extents that are given or equal.
fn split(c: &mut Ctx<'_, '_>) -> Result<Option<Vec<Operand>>> {
    let Some(data) = operand(c, 0)? else { return Ok(None) };
    let Some(parts) = super::slice::fixed_parts(c, data.dims.len())? else { return Ok(None) };
    let mut rest = &data.dims[..];
    let mut results = Vec::new();
    for part in parts {
        let Some((first, behind)) = rest.split_at_checked(part) else { return Ok(None) };
        results.push(Extents { scalar: false, dims: first.to_vec() }.settle(c.b));
        rest = behind;
    }
    Ok(Some(results))
}

fn concat(c: &Ctx<'_, '_>) -> Result<Option<Extents>> {
    c.attrs.ignore(&["axis"]);
    let Some(parts) = operands(c)? else { return Ok(None) };
    if parts.iter().any(|p| p.scalar) {
        return Err(Error::new("scalars cannot be concatenated"));
    }
    Ok(Some(Extents { scalar: false, dims: parts.into_iter().flat_map(|p| p.dims).collect() }))
}

/// Operators that only change the rank, between a scalar and a list of one.
fn rank(c: &Ctx<'_, '_>, op: &str) -> Result<Option<Extents>> {
    c.attrs.ignore(&["axes", "allowzero", "shape"]);
    let Some(e) = operand(c, 0)? else { return Ok(None) };
    let target = c.attrs.ints("shape")?.map(<[i64]>::to_vec);
    let scalar = match op {
        "Squeeze" if e.dims.len() == 1 => true,
        "Unsqueeze" if e.scalar => false,
        "Reshape" => match target.or(c.const_ints(1, "shape")?).as_deref() {
            Some([]) if e.dims.len() == 1 => true,
            Some([n]) if *n == -1 || *n == e.dims.len() as i64 => false,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Extents { scalar, ..e }))
}

fn reduce(c: &Ctx<'_, '_>, op: &str) -> Result<Option<Extents>> {
    let keep = c.attrs.flag_or("keepdims", true)?;
    c.attrs.ignore(&["axes", "noop_with_empty_axes"]);
    let Some(e) = operand(c, 0)? else { return Ok(None) };
    let Some((first, rest)) = e.dims.split_first() else { return Ok(None) };
    let one = rest.iter().try_fold(first.clone(), |n, d| {
        Ok::<Dim, crate::ir::Invalid>(match op {
            "ReduceMin" => Dim::min(&n, d),
            "ReduceMax" => Dim::max(&n, d),
            "ReduceSum" => n.add(d)?,
            _ => n.mul(d)?,
        })
    })?;
    Ok(Some(Extents { scalar: !keep, dims: vec![one] }))
}

/// A constant of bools, where every comparison has an answer.
fn equal(c: &mut Ctx<'_, '_>) -> Result<Option<Vec<Operand>>> {
    let (Some(a), Some(b)) = (operand(c, 0)?, operand(c, 1)?) else { return Ok(None) };
    let answers = zip(&a, &b, |a, b| {
        let negative = |d: &Dim| d.fixed().is_some_and(|n| n < 0);
        // An extent that `Shape` gave is never the -1 that exporters compare it with.
        Ok(if negative(a) != negative(b) { Some(false) } else { a.same(b) })
    })?;
    let Some(answers) = answers.into_iter().collect::<Option<Vec<bool>>>() else { return Ok(None) };
    let dims: &[usize] = if a.scalar && b.scalar { &[] } else { &[answers.len()] };
    Ok(Some(vec![Operand::Value(c.b.tensor(Tensor::of(dims, &answers)))]))
}

fn choose(c: &Ctx<'_, '_>) -> Result<Option<Extents>> {
    let Some(Operand::Value(condition)) = &c.operands[0] else { return Ok(None) };
    let Some(known) = c.b.constant(*condition).and_then(Tensor::to_ints) else { return Ok(None) };
    let (Some(a), Some(b)) = (operand(c, 1)?, operand(c, 2)?) else { return Ok(None) };
    let condition =
        Extents { scalar: c.rank(*condition) == 0, dims: known.into_iter().map(Dim::Fixed).collect() };
    let scalar = condition.scalar && a.scalar && b.scalar;
    let pairs = zip(&a, &b, |a, b| Ok((a.clone(), b.clone())))?;
    let one = |d: &[Dim]| Extents { scalar: false, dims: d.to_vec() };
    let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let chosen = zip(&condition, &one(&a), |c, a| Ok((!c.is(0)).then(|| a.clone())))?;
    let rest = zip(&condition, &one(&b), |_, b| Ok(b.clone()))?;
    Ok(Some(Extents { scalar, dims: chosen.into_iter().zip(rest).map(|(a, b)| a.unwrap_or(b)).collect() }))
}
