//! The same elements under another shape: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`, `Identity`,
//! `Dropout`.

use super::Ctx;
use super::expr::{num, x, y};
use super::operand::Operand;
use crate::error::{Error, Result};
use crate::ir::{Dim, Shape, ValueId, axis_in};
use sofie_infer_runtime::map::{Binary, Unary};

/// `Reshape`: 0 repeats the operand's extent (unless `allowzero`), -1 is what is left.
pub(super) fn reshape(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    let zero_copies = !c.attrs.flag_or("allowzero", false)?;
    if c.version() >= 5
        && let Some(y) = super::runtime::reshape(c, v, zero_copies)?
    {
        return Ok(vec![y]);
    }
    let target = if c.version() < 5 {
        c.attrs.ints("shape")?.map(|ns| ns.iter().map(|&n| Dim::Fixed(n)).collect())
    } else {
        c.extents(1, "the shape")?
    };
    let Some(mut target) = target else { return Err(Error::new("the shape is missing")) };
    let from = c.shape(v);
    for (i, d) in target.iter_mut().enumerate().filter(|(_, d)| zero_copies && d.is(0)) {
        let copied = from.dims().get(i);
        *d = copied
            .cloned()
            .ok_or_else(|| Error::new(format!("extent 0 at axis {i} copies none of {from}")))?;
    }
    let open: Vec<_> = (0..target.len()).filter(|&i| target[i].is(-1)).collect();
    match open.as_slice() {
        [] => {}
        [i] => {
            target[*i] = Dim::ONE;
            let rest = Shape::new(target.clone()).numel()?;
            let all = from.numel()?;
            let fit = if rest.is(0) { all.is(0).then_some(Dim::Fixed(0)) } else { all.exact_div(&rest) };
            target[*i] = fit.ok_or_else(|| {
                Error::new(format!("{all} elements of shape {from} do not divide into {rest}"))
            })?;
        }
        _ => return Err(Error::new(format!("the shape {} has more than one -1", Shape::new(target)))),
    }
    Ok(vec![c.b.reshape(v, Shape::new(target))?])
}

/// The two extents of a matrix whose rows are the axes before `axis`.
pub(super) fn matrix(shape: &Shape, axis: usize) -> Result<Shape> {
    let (rows, columns) = shape.dims().split_at(axis);
    let product = |d: &[Dim]| Shape::new(d.to_vec()).numel();
    Ok(Shape::new(vec![product(rows)?, product(columns)?]))
}

/// `Flatten`: to a matrix.
pub(super) fn flatten(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let shape = c.shape(v);
    let rank = shape.rank() as i64;
    let axis = c.attrs.int_or("axis", 1)?;
    if !(-rank..=rank).contains(&axis) {
        return Err(Error::misfit(format!("axis {axis} is outside a tensor of rank {rank}")));
    }
    let axis = if axis < 0 { axis + rank } else { axis } as usize;
    let to = matrix(&shape, axis)?;
    Ok(vec![c.b.reshape(v, to)?])
}

/// `Squeeze`: without the axes named, or all of extent 1.
pub(super) fn squeeze(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    let shape = c.shape(v);
    if c.version() >= 13 {
        let computed = super::runtime::by_axes(c, 1, shape.rank(), |c, axes, to| {
            let left: Vec<&Dim> = (0..c.rank(v)).filter(|a| !axes.contains(a)).map(|a| &shape[a]).collect();
            let fits = axes.iter().all(|&a| shape[a].is(1))
                && left.len() == to.len()
                && left.iter().zip(to).all(|(d, n)| d.is(*n as i64));
            if fits { c.b.reshape(v, Shape::of(to)).map(Some).map_err(Error::from) } else { Ok(None) }
        })?;
        if let Some(y) = computed {
            return Ok(vec![y]);
        }
    }
    let axes = match c.axes_list(12, 1)? {
        Some(axes) => c.axes(&axes, shape.rank())?,
        None => (0..shape.rank()).filter(|&i| shape[i].is(1)).collect(),
    };
    if let Some(i) = axes.iter().find(|&&i| shape[i].fixed().is_some_and(|n| n != 1)) {
        return Err(Error::new(format!("axis {i} of {shape} does not have extent 1")));
    }
    Ok(vec![c.drop_axes(v, &axes)?])
}

/// `Unsqueeze`: with new axes of extent 1, at positions in the result.
pub(super) fn unsqueeze(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    let shape = c.shape(v);
    if c.version() >= 13
        && let Some((_, n)) = c.computed(1)?
    {
        let computed = super::runtime::by_axes(c, 1, shape.rank() + n, |c, axes, to| {
            let left: Vec<usize> = (0..to.len()).filter(|a| !axes.contains(a)).map(|a| to[a]).collect();
            let fits = to.len() == shape.rank() + n
                && axes.iter().all(|&a| to[a] == 1)
                && left.iter().zip(shape.dims()).all(|(n, d)| d.is(*n as i64));
            if fits { c.b.reshape(v, Shape::of(to)).map(Some).map_err(Error::from) } else { Ok(None) }
        })?;
        return Ok(computed.into_iter().collect());
    }
    let Some(axes) = c.axes_list(12, 1)? else { return Err(Error::new("axes are missing")) };
    let rank = shape.rank() + axes.len();
    let axes = c.axes(&axes, rank)?;
    let mut old = shape.dims().iter();
    let dims =
        (0..rank).map(|i| if axes.contains(&i) { Dim::ONE } else { old.next().cloned().unwrap_or(Dim::ONE) });
    let to = dims.collect();
    Ok(vec![c.b.reshape(v, to)?])
}

/// `Identity`, of whatever it is.
pub(super) fn identity(c: &mut Ctx<'_, '_>) -> Result<Vec<Operand>> {
    let operand = c.operands.first().cloned().flatten();
    Ok(vec![operand.ok_or_else(|| Error::new("input 0 (input) is missing"))?])
}

/// Refuses a `Dropout` that trains with another ratio than 0, while compiling or else when the network runs.
fn never_drops(c: &mut Ctx<'_, '_>) -> Result<()> {
    let Some(training) = c.optional(2)? else { return Ok(()) };
    let training = c.reshape(training, &[])?;
    let still = match c.optional(1)? {
        Some(ratio) => {
            let ratio = c.reshape(ratio, &[])?;
            let kept = c.map(x().eq(num(0.0)), &[ratio])?;
            c.map(x().unary(Unary::Not).binary(Binary::Or, y()), &[training, kept])?
        }
        None => c.map(x().unary(Unary::Not), &[training])?,
    };
    match c.b.constant(still).map(|t| t.get(0).bits != 0) {
        Some(false) => {
            return Err(Error::new("the node drops at random, as in training")
                .help("export the model for inference (in PyTorch: model.eval())"));
        }
        Some(true) => {}
        None => c.check(still),
    }
    Ok(())
}

/// `Dropout` as in inference: nothing is dropped. The second output says so.
pub(super) fn dropout(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "data")?;
    c.attrs.ignore(&["ratio", "seed"]);
    if c.version() >= 12 {
        never_drops(c)?;
    } else if c.version() < 7 {
        // Opsets 1 and 6 train unless told otherwise; exporters of that time wrote the attribute or not.
        c.attrs.flag_or("is_test", false)?;
    }
    if !c.wants(1) {
        return Ok(vec![v]);
    }
    let one = if c.version() < 10 {
        sofie_infer_runtime::map::Scalar::from_f64(c.dtype(v), 1.0)
    } else {
        true.into()
    };
    let dims = c.shape(v).dims().to_vec();
    Ok(vec![v, super::constant::filled(c, one, dims)?])
}

/// `Expand`: numpy's broadcasting between the operand and a shape.
pub(super) fn expand(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    if let Some(y) = super::runtime::expand(c, v)? {
        return Ok(vec![y]);
    }
    let Some(shape) = c.extents(1, "the shape")? else {
        return Err(Error::new("input 1 (shape) is missing"));
    };
    let to = c.shape(v).broadcast(&Shape::new(shape))?;
    Ok(vec![c.b.broadcast(v, &to)?])
}

/// `Tile`: each axis repeated; three views, for the copies are whole broadcasts.
pub(super) fn tile(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    let shape = c.shape(v);
    let repeats = if c.version() < 6 {
        let (tiles, axis) = (c.extent(1, "tiles")?, c.const_int(2, "axis")?);
        let (Some(tiles), Some(axis)) = (tiles, axis) else {
            return Err(Error::new("tiles and axis are needed"));
        };
        let mut repeats = vec![Dim::ONE; shape.rank()];
        repeats[axis_in(axis, shape.rank())?] = tiles;
        repeats
    } else {
        match super::runtime::repeats(c, v)? {
            Some(repeats) => repeats,
            None => c.extents(1, "repeats")?.ok_or_else(|| Error::new("input 1 (repeats) is missing"))?,
        }
    };
    if repeats.len() != shape.rank() {
        return Err(Error::new(format!("{} repeats for shape {shape}", repeats.len())));
    }
    if let Some(n) = repeats.iter().find(|d| d.fixed().is_some_and(|n| n < 0)) {
        return Err(Error::new(format!("an axis is repeated {n} times")));
    }
    let (mut apart, mut spread, mut together) = (Vec::new(), Vec::new(), Vec::new());
    for (d, n) in shape.dims().iter().zip(&repeats) {
        // An axis that is not repeated needs no second one beside it.
        if !n.is(1) {
            apart.push(Dim::ONE);
            spread.push(n.clone());
        }
        apart.push(d.clone());
        spread.push(d.clone());
        together.push(d.mul(n)?);
    }
    let apart = c.b.reshape(v, Shape::new(apart))?;
    let spread = c.b.broadcast(apart, &Shape::new(spread))?;
    Ok(vec![c.b.reshape(spread, Shape::new(together))?])
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::{Attribute, DimSpec};
    use crate::ops::testing::*;
    use sofie_infer_runtime::DType;

    fn shape_of(
        op: &str,
        version: i64,
        attrs: &[(&str, Attribute)],
        dims: &[usize],
        rest: &[Arg],
    ) -> Vec<usize> {
        let mut args = vec![f32s(dims, &vec![0.0; dims.iter().product()])];
        args.extend_from_slice(rest);
        run(op, version, attrs, &args).dims().to_vec()
    }

    #[test]
    fn reshape_copies_and_infers() {
        let of = |dims: &[usize], to: &[i64]| shape_of("Reshape", 13, &[], dims, &[ints(to)]);
        assert_eq!(of(&[2, 3, 4], &[0, -1]), [2, 12]);
        assert_eq!(of(&[2, 3, 4], &[4, 3, 2]), [4, 3, 2]);
        assert_eq!(of(&[0, 3], &[-1]), [0]);
        assert_eq!(shape_of("Reshape", 1, &[("shape", Attribute::Ints(vec![-1, 6]))], &[4, 3], &[]), [2, 6]);
        assert_eq!(
            shape_of("Reshape", 14, &[("allowzero", Attribute::Int(1))], &[0, 3], &[ints(&[3, 0])]),
            [3, 0]
        );
        let error =
            |to: &[i64]| lowered("Reshape", 13, &[], &[f32s(&[2, 3], &[0.0; 6]), ints(to)], 1).unwrap_err();
        assert!(error(&[4, -1]).contains("do not divide"));
        assert!(error(&[-1, -1]).contains("more than one -1"));
        let run_time = Arg::In(Tensor::of(&[1], &[6i64]));
        let error = lowered("Reshape", 13, &[], &[f32s(&[2, 3], &[0.0; 6]), run_time], 1).unwrap_err();
        assert!(error.contains("the shape is computed at run time"), "{error}");
    }

    #[test]
    fn reshape_divides_symbols() {
        let x = Arg::Open(DType::F32, vec![DimSpec::Symbol("n".into()), DimSpec::Const(6)]);
        let graph = lowered("Reshape", 13, &[], &[x, ints(&[-1, 2])], 1).unwrap();
        assert_eq!(graph.shape(graph.outputs()[0].value).to_string(), "[3*n, 2]");
    }

    #[test]
    fn axes_come_and_go() {
        assert_eq!(shape_of("Squeeze", 13, &[], &[1, 3, 1], &[]), [3]);
        assert_eq!(shape_of("Squeeze", 13, &[], &[1, 3, 1], &[ints(&[-1])]), [1, 3]);
        assert_eq!(shape_of("Squeeze", 11, &[("axes", Attribute::Ints(vec![0]))], &[1, 3, 1], &[]), [3, 1]);
        assert_eq!(shape_of("Unsqueeze", 13, &[], &[3, 4], &[ints(&[-1, 0])]), [1, 3, 4, 1]);
        assert_eq!(shape_of("Flatten", 13, &[("axis", Attribute::Int(-1))], &[2, 3, 4], &[]), [6, 4]);
        assert_eq!(shape_of("Flatten", 13, &[("axis", Attribute::Int(0))], &[2, 3, 4], &[]), [1, 24]);
        let bad = lowered("Squeeze", 13, &[], &[f32s(&[2], &[0.0; 2]), ints(&[0])], 1).unwrap_err();
        assert!(bad.contains("does not have extent 1"), "{bad}");
    }

    #[test]
    fn repeated_elements() {
        let x = Arg::In(Tensor::of(&[2, 1], &[1i8, 2]));
        assert_eq!(
            run("Tile", 13, &[], &[x.clone(), ints(&[2, 2])]),
            Tensor::of(&[4, 2], &[1i8, 1, 2, 2, 1, 1, 2, 2])
        );
        assert_eq!(run("Expand", 13, &[], &[x.clone(), ints(&[1, 2])]), Tensor::of(&[2, 2], &[1i8, 1, 2, 2]));
        assert_eq!(
            run("Expand", 13, &[], &[x.clone(), ints(&[2, 1, 1])]),
            Tensor::of(&[2, 2, 1], &[1i8, 2, 1, 2])
        );
        assert_eq!(run("Tile", 13, &[], &[x, ints(&[0, 3])]), Tensor::of::<i8>(&[0, 3], &[]));
    }

    #[test]
    fn dropout_drops_nothing() {
        let x = f32s(&[2], &[1.0, 2.0]);
        let all = run_all("Dropout", 13, &[], std::slice::from_ref(&x), 2).unwrap();
        assert_eq!(all, [Tensor::of(&[2], &[1.0f32, 2.0]), Tensor::of(&[2], &[true, true])]);
        let training = [x, Arg::Left, Arg::Const(Tensor::of(&[], &[true]))];
        assert!(lowered("Dropout", 13, &[], &training, 1).unwrap_err().contains("training"));
    }
}
