//! Parts of a tensor: `Slice` with steps of either sign, `Split`.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ValueId, axis_in};

/// The operands of a `Slice`: attributes in opset 1, operands since 10.
struct Ranges {
    starts: Vec<Dim>,
    ends: Vec<Dim>,
    axes: Vec<i64>,
    steps: Vec<i64>,
}

fn ranges(c: &Ctx<'_, '_>) -> Result<Ranges> {
    let (starts, ends, axes, steps) = if c.version() < 10 {
        let list = |name: &str| Ok(c.attrs.ints(name)?.map(|ns| ns.iter().map(|&n| Dim::Fixed(n)).collect()));
        let starts: Result<Option<Vec<Dim>>> = list("starts");
        (starts?, list("ends")?, c.attrs.ints("axes")?.map(<[i64]>::to_vec), None)
    } else {
        (c.extents(1, "starts")?, c.extents(2, "ends")?, c.const_ints(3, "axes")?, c.const_ints(4, "steps")?)
    };
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return Err(Error::new("starts and ends are needed"));
    };
    let n = starts.len();
    let axes = axes.unwrap_or_else(|| (0..n as i64).collect());
    let steps = steps.unwrap_or_else(|| vec![1; n]);
    if ends.len() != n || axes.len() != n || steps.len() != n {
        let lens = [n, ends.len(), axes.len(), steps.len()];
        return Err(Error::new(format!(
            "starts, ends, axes and steps have {lens:?} elements; equally many are needed"
        )));
    }
    if steps.contains(&0) {
        return Err(Error::new("a step is 0"));
    }
    Ok(Ranges { starts, ends, axes, steps })
}

/// An index of a slice as one between `lo` and `hi`; a negative one counts from the end.
fn clamped(index: &Dim, n: &Dim, lo: &Dim, hi: &Dim) -> Result<Dim> {
    let from_start = match index.fixed() {
        // Exporters write the largest integers for "to the end".
        Some(i) if i >= i64::from(i32::MAX) => return Ok(hi.clone()),
        Some(i) if i <= i64::from(i32::MIN) => return Ok(lo.clone()),
        Some(i) if i < 0 => n.add(index)?,
        Some(_) => index.clone(),
        None if Dim::Fixed(0).le(index) == Some(true) => index.clone(),
        None if index.le(&Dim::Fixed(-1)) == Some(true) => n.add(index)?,
        None => {
            return Err(Error::new(format!("it is not known whether the index {index} counts from the end")));
        }
    };
    Ok(Dim::min(&Dim::max(&from_start, lo), hi))
}

/// First index and number of elements along an axis of extent `n`.
fn range(start: &Dim, end: &Dim, step: i64, n: &Dim) -> Result<(Dim, Dim)> {
    let (zero, minus) = (Dim::Fixed(0), Dim::Fixed(-1));
    let last = n.sub(&Dim::ONE)?;
    let (start, span) = if step > 0 {
        let start = clamped(start, n, &zero, n)?;
        let end = clamped(end, n, &zero, n)?;
        let span = end.sub(&start)?;
        (start, span)
    } else {
        let start = clamped(start, n, &minus, &last)?;
        let end = clamped(end, n, &minus, &last)?;
        let span = start.sub(&end)?;
        (start, span)
    };
    let extent =
        Dim::max(&span, &zero).ceil_div(step.checked_abs().ok_or_else(|| Error::new("a step overflows"))?)?;
    Ok(if extent.is(0) { (zero, extent) } else { (start, extent) })
}

/// First index, step and number of elements of a `Slice` of a list of `n`; `None` where they are not known.
pub(super) fn fixed_range(c: &Ctx<'_, '_>, n: usize) -> Result<Option<(i64, i64, i64)>> {
    c.attrs.ignore(&["axes"]);
    let r = ranges(c)?;
    let ([start], [end], [step], [0 | -1]) = (&r.starts[..], &r.ends[..], &r.steps[..], &r.axes[..]) else {
        return Ok(None);
    };
    let (start, extent) = range(start, end, *step, &n.into())?;
    Ok(start.fixed().zip(extent.fixed()).map(|(s, e)| (s, *step, e)))
}

/// `Slice`.
pub(super) fn slice(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    if c.version() >= 10
        && let Some(y) = super::runtime::slice(c, v)?
    {
        return Ok(vec![y]);
    }
    let r = ranges(c)?;
    let mut shape = c.shape(v);
    let rank = shape.rank();
    c.axes(&r.axes, rank)?;
    let (mut start, mut step) = (vec![Dim::Fixed(0); rank], vec![1; rank]);
    for (i, &axis) in r.axes.iter().enumerate() {
        let axis = axis_in(axis, rank)?;
        let (first, extent) = range(&r.starts[i], &r.ends[i], r.steps[i], &shape[axis])?;
        // One element or none is read in either direction.
        step[axis] = if extent.fixed().is_some_and(|n| n <= 1) { 1 } else { r.steps[i] };
        start[axis] = first;
        shape.dims_mut()[axis] = extent;
    }
    Ok(vec![c.b.one(Op::Slice { start, step, shape }, &[v])?])
}

/// The extents of the parts along an axis, where they are computed: those that the outputs declare.
fn computed_parts(c: &mut Ctx<'_, '_>, axis: usize) -> Result<Option<Vec<Dim>>> {
    let Some((given, n)) = c.computed(1)? else { return Ok(None) };
    let mut parts = Vec::new();
    for i in 0..n {
        let to = c.declares(i, 1, "split")?;
        parts.push(
            *to.get(axis).ok_or_else(|| Error::new(format!("output {i} is declared as {to:?}")))? as i64
        );
    }
    c.check_list(given, &parts)?;
    Ok(Some(parts.into_iter().map(Dim::Fixed).collect()))
}

/// The extents of a split's parts along `axis`, whose extent is `n`.
fn parts(c: &mut Ctx<'_, '_>, axis: usize, n: &Dim) -> Result<Vec<Dim>> {
    let by_attribute = if c.version() < 13 { c.attrs.ints("split")?.map(<[i64]>::to_vec) } else { None };
    // Opset 1 took the extents as either.
    let parts = match by_attribute {
        Some(parts) => Some(parts.into_iter().map(Dim::Fixed).collect()),
        None if !(2..13).contains(&c.version()) => match computed_parts(c, axis)? {
            Some(parts) => Some(parts),
            None => c.extents(1, "split")?,
        },
        None => None,
    };
    match parts {
        Some(parts) => Ok(parts),
        None => {
            let count = c.attrs.int("num_outputs")?.unwrap_or(c.node.outputs.len() as i64);
            let usable = usize::try_from(count).ok().filter(|k| (1..=1 << 20).contains(k));
            let k = usable.ok_or_else(|| Error::new(format!("{count} parts")))?;
            equal_parts(n, k, c.version() >= 18)
        }
    }
}

/// The extents of the parts of a list of `n` elements; `None` where they are not known.
pub(super) fn fixed_parts(c: &mut Ctx<'_, '_>, n: usize) -> Result<Option<Vec<usize>>> {
    c.attrs.ignore(&["axis"]);
    let parts = parts(c, 0, &n.into())?;
    Ok(parts.iter().map(|d| d.fixed().and_then(|n| usize::try_from(n).ok())).collect())
}

/// `Split`: into parts of the extents given, or into equally large ones. Since opset 18 the last of
/// these may be smaller.
pub(super) fn split(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let axis = c.axis("axis", Some(0), c.rank(v))?;
    let n = c.shape(v)[axis].clone();
    let parts = parts(c, axis, &n)?;
    let total = parts.iter().try_fold(Dim::Fixed(0), |sum, d| sum.add(d))?;
    if total != n || parts.len() < c.node.outputs.len() {
        return Err(Error::new(format!(
            "{} parts of {total} elements for extent {n} at axis {axis}",
            parts.len()
        )));
    }
    let mut start = Dim::Fixed(0);
    let mut outputs = Vec::new();
    for part in parts {
        outputs.push(c.b.slice_axis(v, axis, start.clone(), part.clone())?);
        start = start.add(&part)?;
    }
    Ok(outputs)
}

fn equal_parts(n: &Dim, k: usize, uneven: bool) -> Result<Vec<Dim>> {
    if let Some(part) = n.exact_div(&k.into()) {
        return Ok(vec![part; k]);
    }
    match n.fixed() {
        Some(n) if uneven => {
            let part = (n + k as i64 - 1) / k as i64;
            Ok((0..k as i64).map(|i| Dim::Fixed((n - i * part).clamp(0, part))).collect())
        }
        _ => Err(Error::new(format!("the extent {n} does not divide into {k} parts"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::{Attribute, DimSpec};
    use crate::ops::testing::*;
    use sofie_infer_runtime::DType;

    fn sliced(start: i64, end: i64, step: i64) -> Vec<i64> {
        let x = Arg::In(Tensor::of(&[5], &[0i64, 1, 2, 3, 4]));
        run("Slice", 13, &[], &[x, ints(&[start]), ints(&[end]), ints(&[0]), ints(&[step])]).to_vec().unwrap()
    }

    #[test]
    fn slices_like_numpy() {
        assert_eq!(sliced(1, -1, 1), [1, 2, 3]);
        assert_eq!(sliced(0, i64::MAX, 2), [0, 2, 4]);
        assert_eq!(sliced(-1, i64::MIN, -1), [4, 3, 2, 1, 0]);
        assert_eq!(sliced(3, 0, -2), [3, 1]);
        assert_eq!(sliced(9, 2, -1), [4, 3]);
        assert_eq!(sliced(3, 3, 1), [] as [i64; 0]);
        assert_eq!(sliced(-9, 1, 1), [0]);
        assert_eq!(sliced(7, 9, 1), [] as [i64; 0]);
        assert_eq!(sliced(-9, -7, -1), [] as [i64; 0]);
    }

    #[test]
    fn old_attributes_and_default_axes() {
        let x = Arg::In(Tensor::of(&[2, 3], &[0i64, 1, 2, 3, 4, 5]));
        let attrs = [
            ("starts", Attribute::Ints(vec![1])),
            ("ends", Attribute::Ints(vec![3])),
            ("axes", Attribute::Ints(vec![1])),
        ];
        assert_eq!(run("Slice", 9, &attrs, std::slice::from_ref(&x)), Tensor::of(&[2, 2], &[1i64, 2, 4, 5]));
        assert_eq!(
            run("Slice", 10, &[], &[x, ints(&[1, 0]), ints(&[2, 2])]),
            Tensor::of(&[1, 2], &[3i64, 4])
        );
    }

    #[test]
    fn symbolic_extents_are_cut() {
        let x = Arg::Open(DType::F32, vec![DimSpec::Symbol("n".into())]);
        let shape = |args: &[Arg]| {
            let g = lowered("Slice", 13, &[], args, 1).unwrap();
            g.shape(g.outputs()[0].value).to_string()
        };
        assert_eq!(shape(&[x.clone(), ints(&[0]), ints(&[i64::MAX]), ints(&[0]), ints(&[1])]), "[n]");
        assert_eq!(shape(&[x, ints(&[0]), ints(&[4])]), "[min(4, n)]");
    }

    #[test]
    fn parts_given_equal_and_uneven() {
        let x = Arg::In(Tensor::of(&[5], &[0i64, 1, 2, 3, 4]));
        let lens = |version, attrs: &[(&str, Attribute)], args: &[Arg], n| {
            let parts = run_all("Split", version, attrs, args, n)?;
            Ok::<_, String>(parts.iter().map(Tensor::len).collect::<Vec<_>>())
        };
        assert_eq!(lens(13, &[], &[x.clone(), ints(&[4, 1])], 2).unwrap(), [4, 1]);
        assert_eq!(
            lens(11, &[("split", Attribute::Ints(vec![2, 3]))], std::slice::from_ref(&x), 2).unwrap(),
            [2, 3]
        );
        assert_eq!(
            lens(18, &[("num_outputs", Attribute::Int(3))], std::slice::from_ref(&x), 3).unwrap(),
            [2, 2, 1]
        );
        assert!(
            lens(13, &[], std::slice::from_ref(&x), 2).unwrap_err().contains("does not divide into 2 parts")
        );
        assert!(lens(13, &[], &[x, ints(&[4, 2])], 2).unwrap_err().contains("for extent 5"));
    }
}
