//! Operands that decide shapes and are computed at run time, where the file declares the shape that they decide.
//!
//! Nothing is read out of the declared shape: what an operand says is checked against it when the network runs, and a
//! run whose operand says something else fails. Where the operand steers values as well (the start of a slice, which
//! axes are reduced), they are computed from it. All of that is small arithmetic on integers in the graph itself.

mod axes;

use axes::membership;
pub(super) use axes::{by_axes, by_axis};

use super::Ctx;
use super::constant::filled;
use super::expr::{Expr, x, y, z};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Shape, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar};

/// An integer in an expression whatever its type.
fn int(n: i64) -> Expr {
    Expr::Typed(n.into())
}

fn and(a: Expr, b: Expr) -> Expr {
    a.binary(Binary::And, b)
}

fn or(a: Expr, b: Expr) -> Expr {
    a.binary(Binary::Or, b)
}

impl Ctx<'_, '_> {
    /// Operand `i` as a list of `i64` with its length, where there is one that is computed at run time.
    pub fn computed(&mut self, i: usize) -> Result<Option<(ValueId, usize)>> {
        let Some(Some(super::Operand::Value(v))) = self.operands.get(i) else { return Ok(None) };
        let v = *v;
        if self.b.constant(v).is_some() {
            return Ok(None);
        }
        let n = self.b.shape(v).numel()?;
        let Some(len) = n.fixed().filter(|&n| n > 0) else { return Ok(None) };
        let v = self.b.cast(v, DType::I64)?;
        Ok(Some((self.reshape(v, &[n])?, len as usize)))
    }

    /// The extents that the file declares of output `i`, which operand `operand` decides at run time.
    pub fn declares(&self, i: usize, operand: usize, what: &str) -> Result<Vec<usize>> {
        let declared = self.declared.get(i).cloned().flatten().and_then(|s| s.fixed());
        declared.ok_or_else(|| {
            self.runtime(operand, what)
                .help("make it a constant before exporting, or declare the shape of the result in the file")
        })
    }

    /// A constant list.
    pub fn integers(&mut self, values: &[i64]) -> ValueId {
        self.b.tensor(Tensor::of(&[values.len()], values))
    }

    /// Whether all bools of a value hold.
    pub fn all(&mut self, v: ValueId) -> Result<ValueId> {
        let axes: Vec<usize> = (0..self.rank(v)).collect();
        let all = if axes.is_empty() { v } else { self.b.one(Op::Reduce(ReduceKind::Min, axes), &[v])? };
        Ok(self.b.reshape(all, Shape::default())?)
    }

    /// Makes the run fail unless the list `v` holds these integers.
    pub fn check_list(&mut self, v: ValueId, expected: &[i64]) -> Result<()> {
        let holds = self.is_list(v, expected)?;
        self.check(holds);
        Ok(())
    }

    /// Whether the list `v` holds these integers.
    pub fn is_list(&mut self, v: ValueId, expected: &[i64]) -> Result<ValueId> {
        if !self.shape(v)[0].is(expected.len() as i64) {
            return Err(Error::new(format!(
                "an operand of {} elements where the declared shape needs {}",
                self.shape(v)[0],
                expected.len()
            )));
        }
        let expected = self.integers(expected);
        let same = self.map(x().eq(y()), &[v, expected])?;
        self.all(same)
    }

    /// Makes the run fail where a bool map over lists does not hold throughout.
    pub fn check_map(&mut self, e: Expr, inputs: &[ValueId]) -> Result<()> {
        let holds = self.map(e, inputs)?;
        let all = self.all(holds)?;
        self.check(all);
        Ok(())
    }
}

fn signed(dims: &[usize]) -> Vec<i64> {
    dims.iter().map(|&d| d as i64).collect()
}

fn contradiction(from: &Shape, to: &[usize]) -> Error {
    Error::new(format!("the result is declared as {to:?}, which no operand makes of {from}"))
        .help("the file contradicts itself: correct the declaration, or export the model again")
}

/// `Reshape` to what `target` says.
pub(super) fn reshape(c: &mut Ctx<'_, '_>, v: ValueId, zero_copies: bool) -> Result<Option<ValueId>> {
    let Some((target, n)) = c.computed(1)? else { return Ok(None) };
    let to = c.declares(0, 1, "the shape")?;
    let from = c.fixed(v, "a shape that is computed at run time")?;
    if n != to.len() {
        return Err(contradiction(&c.shape(v), &to));
    }
    let copied: Vec<bool> = (0..n).map(|i| zero_copies && from.get(i) == Some(&to[i])).collect();
    let copied = c.b.tensor(Tensor::of(&[n], &copied));
    let expected = c.integers(&signed(&to));
    let rest = or(x().eq(int(-1)), and(x().eq(int(0)), z()));
    // With no elements at all, -1 could be anything.
    let rest = if to.contains(&0) { and(x().eq(int(0)), z()) } else { rest };
    // What 0 means where it does not copy is an extent of 0.
    let same = if zero_copies { and(x().eq(y()), x().binary(Binary::Ne, int(0))) } else { x().eq(y()) };
    c.check_map(or(same, rest), &[target, expected, copied])?;
    let open = c.map(x().eq(int(-1)).select(int(1), int(0)), &[target])?;
    let open = c.b.one(Op::Reduce(ReduceKind::Sum, vec![0]), &[open])?;
    c.check_map(x().lt(int(2)), &[open])?;
    Ok(Some(c.b.reshape(v, Shape::of(&to))?))
}

/// `Expand` to what operand 1 says.
pub(super) fn expand(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<Option<ValueId>> {
    let Some((target, n)) = c.computed(1)? else { return Ok(None) };
    let to = c.declares(0, 1, "the shape")?;
    let from = c.fixed(v, "a shape that is computed at run time")?;
    if to.len() != n.max(from.len()) {
        return Err(contradiction(&c.shape(v), &to));
    }
    let aligned = |dims: &[usize], i: usize| (i + dims.len()).checked_sub(to.len()).map_or(1, |i| dims[i]);
    let mut free = Vec::new();
    for (i, &extent) in to.iter().enumerate() {
        let d = aligned(&from, i);
        let given = i + n >= to.len();
        if d != extent && (d != 1 || !given) {
            return Err(contradiction(&c.shape(v), &to));
        }
        if given {
            free.push(d == extent);
        }
    }
    let free = c.b.tensor(Tensor::of(&[n], &free));
    let expected = c.integers(&signed(&to[to.len() - n..]));
    c.check_map(or(x().eq(y()), and(x().eq(int(1)), z())), &[target, expected, free])?;
    Ok(Some(c.b.broadcast(v, &Shape::of(&to))?))
}

/// What `Tile` repeats each axis by, if operand 1 is computed.
pub(super) fn repeats(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<Option<Vec<Dim>>> {
    let Some((given, n)) = c.computed(1)? else { return Ok(None) };
    let to = c.declares(0, 1, "repeats")?;
    let from = c.fixed(v, "repeats that are computed at run time")?;
    let multiple = |(t, f): (&usize, &usize)| if *f == 0 { *t == 0 } else { t % f == 0 };
    if to.len() != from.len() || n != to.len() || !to.iter().zip(&from).all(multiple) {
        return Err(contradiction(&c.shape(v), &to));
    }
    // An axis without elements has none, however often it is repeated.
    let times: Vec<Option<usize>> = to.iter().zip(&from).map(|(t, f)| t.checked_div(*f)).collect();
    let expected: Vec<i64> = times.iter().map(|n| n.map_or(-1, |n| n as i64)).collect();
    let expected = c.integers(&expected);
    c.check_map(or(y().lt(int(0)), x().eq(y())), &[given, expected])?;
    Ok(Some(times.into_iter().map(|n| n.unwrap_or(1).into()).collect()))
}

/// Extents that operand `i` has to repeat exactly: those of output 0, picked by `of`.
pub(super) fn repeated(
    c: &mut Ctx<'_, '_>,
    i: usize,
    what: &str,
    of: impl FnOnce(&[usize]) -> Option<Vec<i64>>,
) -> Result<Option<Vec<Dim>>> {
    let Some((given, _)) = c.computed(i)? else { return Ok(None) };
    let to = c.declares(0, i, what)?;
    let expected =
        of(&to).ok_or_else(|| Error::new(format!("{what} does not fit the declared shape {to:?}")))?;
    c.check_list(given, &expected)?;
    Ok(Some(expected.into_iter().map(Dim::Fixed).collect()))
}

/// The element of each of `rank` axes: `values [n]` of the axes that operand `axes` lists, else `default`. `[rank]`.
fn along(
    c: &mut Ctx<'_, '_>,
    values: ValueId,
    axes: Option<ValueId>,
    n: usize,
    default: &[i64],
) -> Result<ValueId> {
    let rank = default.len();
    let axes = match axes {
        Some(axes) => axes,
        None => c.integers(&(0..n as i64).collect::<Vec<_>>()),
    };
    let (axes, column) = (c.reshape(axes, &[n.into(), Dim::ONE])?, c.reshape(values, &[n.into(), Dim::ONE])?);
    let places = c.integers(&(0..rank as i64).collect::<Vec<_>>());
    let hit = || y().lt(int(0)).select(y() + int(rank as i64), y()).eq(z());
    let picked = c.map(hit().select(x(), int(0)), &[column, axes, places])?;
    let picked = c.b.one(Op::Reduce(ReduceKind::Sum, vec![0]), &[picked])?;
    let hits = c.map(hit(), &[axes, axes, places])?;
    let hits = c.b.one(Op::Reduce(ReduceKind::Max, vec![0]), &[hits])?;
    let (picked, hits) = (c.reshape(picked, &[rank.into()])?, c.reshape(hits, &[rank.into()])?);
    let default = c.integers(default);
    c.map(z().select(x(), y()), &[picked, default, hits])
}

/// Operand `i` as a list, known or computed, with its length.
fn listed(c: &mut Ctx<'_, '_>, i: usize, what: &str) -> Result<Option<(ValueId, usize)>> {
    if let Some(found) = c.computed(i)? {
        return Ok(Some(found));
    }
    let Some(known) = c.const_ints(i, what)? else { return Ok(None) };
    let n = known.len();
    Ok(Some((c.integers(&known), n)))
}

/// Element `a` of a list, as a list of one.
fn element(c: &mut Ctx<'_, '_>, v: ValueId, a: usize) -> Result<ValueId> {
    Ok(c.b.slice_axis(v, 0, a.into(), Dim::ONE)?)
}

/// `Slice` whose starts, ends, axes or steps are computed.
pub(super) fn slice(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<Option<ValueId>> {
    let mut any = None;
    for i in 1..5 {
        if c.computed(i)?.is_some() {
            any = Some(i);
        }
    }
    let Some(any) = any else { return Ok(None) };
    let to = c.declares(0, any, "the range of a slice")?;
    let from = c.fixed(v, "a slice that is computed at run time")?;
    let rank = from.len();
    let (Some((starts, n)), Some((ends, _))) = (listed(c, 1, "starts")?, listed(c, 2, "ends")?) else {
        return Err(Error::new("starts and ends are needed"));
    };
    let axes = listed(c, 3, "axes")?;
    if let Some((axes, n)) = axes {
        membership(c, axes, n, rank)?;
    }
    let axes = axes.map(|(v, _)| v);
    let steps = match listed(c, 4, "steps")? {
        Some((v, _)) => v,
        None => c.integers(&vec![1; n]),
    };
    if to.len() != rank || n > rank {
        return Err(contradiction(&c.shape(v), &to));
    }
    let extents = signed(&from);
    let start = along(c, starts, axes, n, &vec![0; rank])?;
    let end = along(c, ends, axes, n, &extents)?;
    // A step beyond every extent is a step beyond every extent.
    let far = 1i64 << 40;
    let step = along(c, steps, axes, n, &vec![1; rank])?;
    let step = c.map(x().max(int(-far)).min(int(far)), &[step])?;
    c.check_map(x().binary(Binary::Ne, int(0)), &[step])?;
    let extent = c.integers(&extents);
    let clamped = |low: Expr, high: Expr| {
        let counted = x().lt(int(0)).select(x() + y(), x());
        counted.max(low).min(high)
    };
    let back = || z().lt(int(0));
    // Where a walk backwards may start and end, and where one forwards may.
    let start =
        c.map(back().select(clamped(int(0), y() - int(1)), clamped(int(0), y())), &[start, extent, step])?;
    let end =
        c.map(back().select(clamped(int(-1), y() - int(1)), clamped(int(0), y())), &[end, extent, step])?;
    let one = || z().lt(int(0)).select(int(-1), int(1));
    let count = ((y() - x() + z() - one()) / z()).max(int(0));
    let count = c.map(count, &[start, end, step])?;
    c.check_list(count, &signed(&to))?;
    if to.contains(&0) {
        let zero = Scalar::from_f64(c.dtype(v), 0.0);
        return Ok(Some(filled(c, zero, to.iter().map(|&n| n.into()).collect())?));
    }
    if from.contains(&0) {
        return Err(contradiction(&c.shape(v), &to));
    }
    let mut result = v;
    for a in 0..rank {
        let (first, step) = (element(c, start, a)?, element(c, step, a)?);
        let index = c.integers(&(0..to[a] as i64).collect::<Vec<_>>());
        // Inside even where the check fails.
        let at = (y() + x() * z()).max(int(0)).min(int(extents[a] - 1));
        let index = c.map(at, &[index, first, step])?;
        result = c.b.one(Op::Gather { axis: a, batch: 0 }, &[result, index])?;
    }
    Ok(Some(result))
}

/// `Pad` whose pads or axes are computed; `value` fills the border of mode `constant`.
pub(super) fn pad(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    mode: &str,
    value: Option<ValueId>,
) -> Result<Option<ValueId>> {
    let by = match (c.computed(1)?, c.computed(3)?) {
        (None, None) => return Ok(None),
        (Some(_), _) => 1,
        (None, Some(_)) => 3,
    };
    let to = c.declares(0, by, "the pads")?;
    let from = c.fixed(v, "pads that are computed at run time")?;
    let rank = from.len();
    let (pads, n) = listed(c, 1, "pads")?.ok_or_else(|| Error::new("pads are missing"))?;
    let axes = listed(c, 3, "axes")?;
    if let Some((axes, n)) = axes {
        membership(c, axes, n, rank)?;
    }
    let axes = axes.map(|(v, _)| v);
    let filled = mode == "constant" || from.iter().zip(&to).all(|(&a, &b)| a > 0 || b == 0);
    if to.len() != rank || n % 2 != 0 || n / 2 > rank || !filled {
        return Err(contradiction(&c.shape(v), &to));
    }
    let half = Dim::from(n / 2);
    let (before, after) =
        (c.b.slice_axis(pads, 0, Dim::Fixed(0), half.clone())?, c.b.slice_axis(pads, 0, half.clone(), half)?);
    let before = along(c, before, axes, n / 2, &vec![0; rank])?;
    let after = along(c, after, axes, n / 2, &vec![0; rank])?;
    let extent = c.integers(&signed(&from));
    let sum = c.map(x() + y() + z(), &[extent, before, after])?;
    c.check_list(sum, &signed(&to))?;
    let value = match value.filter(|_| mode == "constant") {
        Some(value) => c.reshape(value, &[])?,
        None => c.b.scalar(Scalar::from_f64(c.dtype(v), 0.0)),
    };
    if from.contains(&0) || to.contains(&0) {
        // There is nothing but border.
        return Ok(Some(c.b.broadcast(value, &Shape::of(&to))?));
    }
    let mut result = v;
    let mut inside: Option<ValueId> = None;
    for a in 0..rank {
        let d = from[a] as i64;
        let (first, behind) = (element(c, before, a)?, element(c, after, a)?);
        let index = c.integers(&(0..to[a] as i64).collect::<Vec<_>>());
        let at = c.map(x() - y(), &[index, first])?;
        // What negative pads leave: its first element, and how many there are.
        let low = c.map((-x()).max(int(0)), &[first])?;
        let left = c.map((int(d) + x().min(int(0)) + y().min(int(0))).max(int(1)), &[first, behind])?;
        let modulo = |e: Expr, n: Expr| e.binary(Binary::Mod, n);
        let period = || (int(2) * (z() - int(1))).max(int(1));
        let place = match mode {
            "constant" => x().max(int(0)).min(int(d - 1)),
            "edge" => x().max(y()).min(y() + z() - int(1)),
            "wrap" => y() + modulo(x() - y(), z()),
            "reflect" => {
                let folded = || modulo(x() - y(), period());
                y() + folded().lt(z()).select(folded(), period() - folded())
            }
            other => return Err(Error::new(format!("mode {other:?} is not known"))),
        };
        // Inside even where the check fails.
        let place = c.map(place.max(int(0)).min(int(d - 1)), &[at, low, left])?;
        result = c.b.one(Op::Gather { axis: a, batch: 0 }, &[result, place])?;
        if mode == "constant" {
            let here = c.map(and(x().ge(int(0)), x().lt(int(d))), &[at])?;
            let mut dims = vec![Dim::ONE; rank];
            dims[a] = to[a].into();
            let here = c.reshape(here, &dims)?;
            inside = Some(match inside {
                None => here,
                Some(so_far) => c.b.binary(Binary::And, so_far, here)?,
            });
        }
    }
    let Some(inside) = inside else { return Ok(Some(result)) };
    Ok(Some(c.b.select(inside, result, value)?))
}

/// `Range` whose bounds are computed.
pub(super) fn range(c: &mut Ctx<'_, '_>) -> Result<Option<ValueId>> {
    let mut any = None;
    for i in 0..3 {
        if c.computed(i)?.is_some() {
            any = Some(i);
        }
    }
    let Some(any) = any else { return Ok(None) };
    let to = c.declares(0, any, "a bound of the range")?;
    let [n] = to[..] else { return Err(Error::new(format!("a range is declared as {to:?}"))) };
    let [start, limit, delta] =
        [(0, "start"), (1, "limit"), (2, "delta")].map(|(i, name)| c.required(i, name));
    let dtype = c.dtype(start.clone()?);
    let mut parts = Vec::new();
    for v in [start?, limit?, delta?] {
        parts.push(c.reshape(v, &[Dim::ONE])?);
    }
    let f = DType::F64;
    let quotient = (y().cast(f) - x().cast(f)) / z().cast(f);
    let count =
        Expr::Unary(sofie_infer_runtime::map::Unary::Ceil, Box::new(quotient)).max(Expr::Typed(0f64.into()));
    let count = c.map(count, &parts)?;
    c.check_map(x().eq(Expr::Typed((n as f64).into())), &[count])?;
    let index = c.integers(&(0..n as i64).collect::<Vec<_>>());
    // As for constants: each element from the start, so that no error adds up.
    let wide = if dtype.is_float() { DType::F64 } else { DType::I64 };
    let e = (y().cast(wide) + x().cast(wide) * z().cast(wide)).cast(dtype);
    Ok(Some(c.map(e, &[index, parts[0], parts[2]])?))
}

/// The one integer of operand `i`, where it is computed: the run fails unless it is `expected` of output `output`.
pub(super) fn extent(
    c: &mut Ctx<'_, '_>,
    i: usize,
    output: usize,
    what: &str,
    of: impl FnOnce(&[usize]) -> Option<usize>,
) -> Result<Option<i64>> {
    let Some((given, _)) = c.computed(i)? else { return Ok(None) };
    let to = c.declares(output, i, what)?;
    let n =
        of(&to).ok_or_else(|| Error::new(format!("{what} does not fit the declared shape {to:?}")))? as i64;
    c.check_list(given, &[n])?;
    Ok(Some(n))
}

#[cfg(test)]
mod tests {
    use crate::ir::{CHECK, Tensor, eval};
    use crate::onnx::{Attribute, DimSpec, TensorType, ValueType};
    use crate::ops::driver::lower_graph;
    use crate::ops::testing::*;
    use sofie_infer_runtime::DType;

    /// The result of a node whose output is declared as `to`; `None` where the run fails.
    fn declared(
        op: &str,
        version: i64,
        attrs: &[(&str, Attribute)],
        to: &[u64],
        args: &[Tensor],
    ) -> Option<Tensor> {
        let inputs: Vec<Arg> = args.iter().cloned().map(Arg::In).collect();
        let mut graph = model(op, version, attrs, &inputs, 1);
        let shape = Some(to.iter().map(|&n| DimSpec::Const(n)).collect());
        graph.outputs[0].ty = ValueType::Tensor(TensorType { element: Some(DType::F32.into()), shape });
        let lowered = lower_graph(&graph, &Default::default()).unwrap();
        assert_eq!(lowered.outputs()[1].name, CHECK);
        let mut results = eval::run(&lowered, args).unwrap();
        (results[1].get(0).bits != 0).then(|| results.remove(0))
    }

    fn list(values: &[i64]) -> Tensor {
        Tensor::of(&[values.len()], values)
    }

    #[test]
    fn a_slice_follows_its_operands_or_fails() {
        let x = Tensor::of(&[4], &[1.0f32, 2.0, 3.0, 4.0]);
        let run = |start: i64, end: i64| {
            declared("Slice", 13, &[], &[2], &[x.clone(), list(&[start]), list(&[end])])
        };
        assert_eq!(run(1, 3), Some(Tensor::of(&[2], &[2.0f32, 3.0])));
        assert_eq!(run(-2, i64::MAX), Some(Tensor::of(&[2], &[3.0f32, 4.0])));
        assert_eq!(run(0, 3), None);
        assert_eq!(run(3, 1), None);
        assert_eq!(run(i64::MIN, 2), Some(Tensor::of(&[2], &[1.0f32, 2.0])));
    }

    #[test]
    fn axes_that_the_shape_does_not_tell_apart() {
        let x = Tensor::of(&[2, 2], &[1.0f32, 2.0, 3.0, 4.0]);
        let flat = [("keepdims", Attribute::Int(0))];
        let run = |axes: &[i64]| declared("ReduceSum", 13, &flat, &[2], &[x.clone(), list(axes)]);
        assert_eq!(run(&[0]), Some(Tensor::of(&[2], &[4.0f32, 6.0])));
        assert_eq!(run(&[-1]), Some(Tensor::of(&[2], &[3.0f32, 7.0])));
        assert_eq!(run(&[2]), None);
    }

    #[test]
    fn shapes_that_disagree() {
        let x = Tensor::of(&[4], &[1.0f32, 2.0, 3.0, 4.0]);
        let run = |to: &[i64]| declared("Reshape", 13, &[], &[2, 2], &[x.clone(), list(to)]).is_some();
        assert!(run(&[2, 2]) && run(&[-1, 2]) && run(&[2, -1]));
        assert!(!run(&[4, 1]) && !run(&[-1, -1]) && !run(&[0, 2]) && !run(&[-1, 4]));
        let row = Tensor::of(&[1, 2], &[1.0f32, 2.0]);
        let run = |to: &[i64]| declared("Expand", 13, &[], &[3, 2], &[row.clone(), list(to)]).is_some();
        assert!(run(&[3, 2]) && run(&[3, 1]) && !run(&[1, 2]) && !run(&[4, 2]));
    }

    #[test]
    fn pads_move_the_tensor() {
        let x = Tensor::of(&[2], &[1.0f32, 2.0]);
        let run = |mode: &str, pads: &[i64]| {
            declared("Pad", 19, &[("mode", text(mode))], &[4], &[x.clone(), list(pads)])
        };
        assert_eq!(run("constant", &[2, 0]), Some(Tensor::of(&[4], &[0.0f32, 0.0, 1.0, 2.0])));
        assert_eq!(run("constant", &[-1, 3]), Some(Tensor::of(&[4], &[2.0f32, 0.0, 0.0, 0.0])));
        assert_eq!(run("reflect", &[1, 1]), Some(Tensor::of(&[4], &[2.0f32, 1.0, 2.0, 1.0])));
        assert_eq!(run("edge", &[0, 2]), Some(Tensor::of(&[4], &[1.0f32, 2.0, 2.0, 2.0])));
        assert_eq!(run("constant", &[2, 1]), None);
        // What negative pads leave is repeated.
        let run = |mode: &str, pads: &[i64]| {
            let x = Tensor::of(&[4], &[1.0f32, 2.0, 3.0, 4.0]);
            declared("Pad", 19, &[("mode", text(mode))], &[5], &[x, list(pads)])
        };
        assert_eq!(run("edge", &[-1, 2]), Some(Tensor::of(&[5], &[2.0f32, 3.0, 4.0, 4.0, 4.0])));
        assert_eq!(run("reflect", &[2, -1]), Some(Tensor::of(&[5], &[3.0f32, 2.0, 1.0, 2.0, 3.0])));
        assert_eq!(run("wrap", &[-2, 3]), Some(Tensor::of(&[5], &[3.0f32, 4.0, 3.0, 4.0, 3.0])));
        let nothing = Tensor::of::<f32>(&[0, 2], &[]);
        let y = declared("Pad", 19, &[], &[1, 2], &[nothing, list(&[1, 0, 0, 0])]);
        assert_eq!(y, Some(Tensor::of(&[1, 2], &[0.0f32, 0.0])));
    }
}
