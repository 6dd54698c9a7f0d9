//! The taps of a resize along an axis as values of the graph, where an extent, the scale or the region is not known while
//! compiling: the formulas of `resample`, step by step in f32 as there, as maps over the places of the result.

use super::Ctx;
use super::constant::filled;
use super::expr::{Expr, num, x, y, z};
use super::resample::{Filter, Nearest, Transform};
use super::resize::{Axis, Coordinates, Region, Scale, Settings};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, ReduceKind, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Scalar, Unary};

/// What the formulas of an axis are made of.
pub(super) struct Places<'a> {
    target: &'a Axis,
    from: &'a Dim,
    settings: &'a Settings,
    /// The scale and the operand's extent, `[1, 1]`.
    scale: ValueId,
    n: ValueId,
    /// The place in the operand of each element of the result, `[to, 1]`.
    place: ValueId,
}

/// The scale of an axis of `n` elements that is resized to `m`.
pub(super) fn ratio(c: &mut Ctx<'_, '_>, n: &Dim, m: &Dim) -> Result<Scale> {
    if let (Some(n), Some(m)) = (n.fixed(), m.fixed()) {
        return Ok(Scale::Known(m as f32 / n as f32));
    }
    let known = |d: Option<Dim>| d.and_then(|d| d.fixed());
    Ok(match (known(m.exact_div(n)), known(n.exact_div(m))) {
        (Some(k), _) => Scale::Known(k as f32),
        (_, Some(k)) => Scale::Known(1.0 / k as f32),
        _ => {
            let (n, m) = (number(c, n)?, number(c, m)?);
            Scale::Computed(c.map(y() / x(), &[n, m])?)
        }
    })
}

/// An extent as a number, `[1, 1]`.
fn number(c: &mut Ctx<'_, '_>, d: &Dim) -> Result<ValueId> {
    let value = c.extent_value(d)?;
    let value = c.b.cast(value, DType::F32)?;
    c.reshape(value, &[Dim::ONE, Dim::ONE])
}

impl<'a> Places<'a> {
    /// Of an axis with `from` elements.
    pub fn new(
        c: &mut Ctx<'_, '_>,
        target: &'a Axis,
        from: &'a Dim,
        settings: &'a Settings,
    ) -> Result<Places<'a>> {
        let scale = match target.scale {
            Scale::Known(scale) => c.b.tensor(Tensor::of(&[1, 1], &[scale])),
            Scale::Computed(v) => c.reshape(v, &[Dim::ONE, Dim::ONE])?,
        };
        let (n, m) = (number(c, from)?, number(c, &target.to)?);
        let zeros = filled(c, Scalar::from(0f32), vec![target.to.clone(), Dim::ONE])?;
        let mut operands = vec![zeros, scale, n, m];
        if let Region::Computed(ends) = target.region {
            for end in ends {
                operands.push(c.reshape(end, &[Dim::ONE, Dim::ONE])?);
            }
        }
        let place = c.map(formula(target, settings.transform)?, &operands)?;
        Ok(Places { target, from, settings, scale, n, place })
    }

    /// The bools of results whose place is outside, `[to, 1]`.
    pub fn outside(&self, c: &mut Ctx<'_, '_>) -> Result<ValueId> {
        let outside = x().lt(num(0.0)).binary(Binary::Or, x().gt(y() - num(1.0)));
        c.map(outside, &[self.place, self.n])
    }

    /// The tables that [`Op::Interpolate`] reads.
    pub fn taps(&self, c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
        let floor = || x().unary(Unary::Floor);
        let inside = |e: Expr| e.max(num(0.0)).min(y() - num(1.0));
        if let Filter::Nearest(mode) = self.settings.filter {
            let at = inside(nearest(mode)).cast(DType::U32);
            return Ok(vec![c.map(at, &[self.place, self.n, self.scale])?]);
        }
        let Settings { filter, antialias, exclude_outside, .. } = *self.settings;
        let reach = if matches!(filter, Filter::Cubic(_)) { 2.0 } else { 1.0 };
        // No more taps than these have a weight.
        let least = if antialias { self.least_scale()?.min(1.0) } else { 1.0 };
        let first = (-reach / least).floor() as i64 + 1;
        let offsets: Vec<f32> = (first..2 - first).map(|offset| offset as f32).collect();
        let offsets = c.b.tensor(Tensor::of(&[1, offsets.len()], &offsets));
        let free = antialias || reach == 2.0;
        let place = if free { self.place } else { c.map(inside(x()), &[self.place, self.n])? };
        let at = c.map(floor() + y(), &[place, offsets])?;
        let stretch = if antialias { z().min(num(1.0)) } else { num(1.0) };
        let distance = ((y() - (x() - floor())) * stretch).unary(Unary::Abs);
        let mut weight = c.map(kernel(filter, distance), &[place, offsets, self.scale])?;
        if exclude_outside {
            let here = y().ge(num(0.0)).binary(Binary::And, y().binary(Binary::Le, z() - num(1.0)));
            weight = c.map(here.select(x(), num(0.0)), &[weight, at, self.n])?;
        }
        if antialias || exclude_outside {
            let sum = c.b.one(Op::Reduce(ReduceKind::Sum, vec![1]), &[weight])?;
            weight = c.map(y().eq(num(0.0)).select(x(), x() / y()), &[weight, sum])?;
        }
        Ok(vec![c.map(inside(x()).cast(DType::U32), &[at, self.n])?, weight])
    }

    /// The scale, or what is less than it.
    fn least_scale(&self) -> Result<f32> {
        match (self.target.scale, self.from.fixed(), self.target.to.fixed()) {
            (Scale::Known(scale), ..) => Ok(scale),
            // At least that of the extents.
            (_, Some(n), Some(m)) => Ok(m as f32 / n as f32),
            _ => Err(Error::new(format!(
                "an antialiased resize of {} elements to {} needs fixed extents",
                self.from, self.target.to
            ))),
        }
    }
}

/// The place of a result: of the operands zero, scale, extents of operand and result, and ends of the region.
fn formula(target: &Axis, transform: Coordinates) -> Result<Expr> {
    let i = || Expr::Iota(0).cast(DType::F32) + x();
    let [scale, n, m, start, end] = [1, 2, 3, 4, 5].map(Expr::Operand);
    let (scale, n, m) = (|| scale.clone(), || n.clone(), || m.clone());
    let half = || (i() + num(0.5)) / scale() - num(0.5);
    let many = |then: Expr, or: Expr| m().gt(num(1.0)).select(then, or);
    let plain = match transform {
        Coordinates::Plain(transform) => transform,
        Coordinates::Crop => {
            let (start, end) = match target.region {
                Region::Known(start, end) => (num(start), num(end)),
                Region::Computed(_) => (start, end),
            };
            let last = || n() - num(1.0);
            let between =
                start.clone() * last() + i() * (end.clone() - start.clone()) * last() / (m() - num(1.0));
            return Ok(many(between, num(0.5) * (start + end) * last()));
        }
    };
    Ok(match plain {
        Transform::HalfPixel => half(),
        Transform::HalfPixelSymmetric => {
            let adjustment = m() / (scale() * n());
            n() / num(2.0) * (num(1.0) - adjustment) + (i() + num(0.5)) / scale() - num(0.5)
        }
        Transform::PytorchHalfPixel => many(half(), num(0.0)),
        Transform::AlignCorners => many(i() * (n() - num(1.0)) / (m() - num(1.0)), num(0.0)),
        Transform::Asymmetric => i() / scale(),
        Transform::TfHalfPixelForNn => (i() + num(0.5)) / scale(),
        Transform::TfCropAndResize { .. } => return Err(Error::new("a region without its coordinates")),
    })
}

/// The element nearest to a place, of which there may be none; of the operands place, extent and scale.
fn nearest(mode: Nearest) -> Expr {
    let floor = || x().unary(Unary::Floor);
    let (rest, up) = (|| x() - floor(), || floor() + num(1.0));
    match mode {
        Nearest::RoundPreferFloor => rest().gt(num(0.5)).select(up(), floor()),
        Nearest::RoundPreferCeil => rest().ge(num(0.5)).select(up(), floor()),
        Nearest::Floor => floor(),
        Nearest::Ceil => x().unary(Unary::Ceil),
        Nearest::Simple => z().lt(num(1.0)).select(x().unary(Unary::Ceil), x().unary(Unary::Trunc)),
    }
}

/// The weight of an element at a distance: see `resample`.
fn kernel(filter: Filter, d: Expr) -> Expr {
    let d = || d.clone();
    match filter {
        Filter::Cubic(a) => {
            let a = || num(a);
            let near = ((a() + num(2.0)) * d() - (a() + num(3.0))) * d() * d() + num(1.0);
            let far = ((a() * d() - num(5.0) * a()) * d() + num(8.0) * a()) * d() - num(4.0) * a();
            let far = d().lt(num(2.0)).select(far, num(0.0));
            d().binary(Binary::Le, num(1.0)).select(near, far)
        }
        _ => (num(1.0) - d()).max(num(0.0)),
    }
}

#[cfg(test)]
mod tests {
    use crate::ir::{Tensor, eval};
    use crate::onnx::{Attribute, DimSpec};
    use crate::ops::driver::{Given, lower_graph_given};
    use crate::ops::testing::*;
    use crate::plan::{execute, family::Family};
    use sofie_infer_runtime::DType;

    const MODES: [(&str, &str, &str); 12] = [
        ("nearest", "asymmetric", "floor"),
        ("nearest", "half_pixel", "round_prefer_floor"),
        ("nearest", "half_pixel", "round_prefer_ceil"),
        ("nearest", "tf_half_pixel_for_nn", "floor"),
        ("nearest", "asymmetric", "ceil"),
        ("nearest", "align_corners", "round_prefer_ceil"),
        ("linear", "half_pixel", "floor"),
        ("linear", "align_corners", "floor"),
        ("linear", "asymmetric", "floor"),
        ("linear", "half_pixel_symmetric", "floor"),
        ("cubic", "pytorch_half_pixel", "floor"),
        ("cubic", "half_pixel", "floor"),
    ];

    /// An image whose second axis is free: evaluated and planned once for all extents, it is what it is at a fixed extent.
    fn agrees(attributes: &[(&str, Attribute)], args: &[Arg]) {
        let open = |n: DimSpec| Arg::Open(DType::F32, vec![DimSpec::Const(2), n, DimSpec::Const(3)]);
        let with = |x: Arg| [vec![x], args.to_vec()].concat();
        let graph = model("Resize", 18, attributes, &with(open(DimSpec::Symbol("n".into()))), 1);
        let bounds = [("n".to_owned(), (1, Some(9)))].into();
        let given = Given { dims: &Default::default(), bounds: &bounds, operators: &[] };
        let graph = lower_graph_given(&graph, given).unwrap();
        let graph = crate::passes::optimize(graph, None).unwrap();
        let family = Family::open(&graph, Vec::new()).unwrap();
        let plan = family.at(&family.corner(true)).unwrap();
        for n in 1..=9 {
            let values: Vec<f32> = (0..6 * n).map(|i| ((i * 37) % 11) as f32 - 4.0).collect();
            let input = Tensor::of(&[2, n, 3], &values);
            let want = run("Resize", 18, attributes, &with(Arg::In(input.clone())));
            let inputs = [input];
            assert_close(&eval::run(&graph, &inputs).unwrap()[0], &want, 4e-6);
            assert_close(&execute::execute_within(&plan, Some(&family), &inputs).unwrap()[0], &want, 4e-6);
        }
    }

    #[test]
    fn free_extents_are_resized_as_fixed_ones() {
        for (mode, transform, nearest) in MODES {
            let attributes = [
                ("mode", text(mode)),
                ("coordinate_transformation_mode", text(transform)),
                ("nearest_mode", text(nearest)),
            ];
            for scale in [2.0f32, 3.0, 0.5, 1.5] {
                let scales = Arg::Const(Tensor::of(&[3], &[1.0, scale, 1.0]));
                agrees(&attributes, &[Arg::Left, scales]);
            }
            for to in [1, 4, 10] {
                agrees(&attributes, &[Arg::Left, Arg::Left, ints(&[2, to, 3])]);
            }
        }
        let antialias = [("mode", text("linear")), ("antialias", Attribute::Int(1))];
        agrees(&antialias, &[Arg::Left, Arg::Const(Tensor::of(&[3], &[1.0, 0.5, 1.0f32]))]);
        let outside = [("mode", text("cubic")), ("exclude_outside", Attribute::Int(1))];
        agrees(&outside, &[Arg::Left, Arg::Const(Tensor::of(&[3], &[1.0, 2.0, 1.0f32]))]);
    }

    #[test]
    fn what_cannot_be_known_of_free_extents_is_refused() {
        let open = || Arg::Open(DType::F32, vec![DimSpec::Symbol("n".into())]);
        let refused = |attributes: &[(&str, Attribute)], args: &[Arg]| {
            lowered("Resize", 18, attributes, &[vec![open()], args.to_vec()].concat(), 1).unwrap_err()
        };
        let scales = |scale: f32| [Arg::Left, Arg::Const(Tensor::of(&[1], &[scale]))];
        assert!(refused(&[], &scales(0.7)).contains("needs fixed extents"));
        assert!(refused(&[], &scales(-2.0)).contains("scaled by -2"));
        let to_four = [Arg::Left, Arg::Left, ints(&[4])];
        assert!(refused(&[], &to_four).contains("may have none"));
        let policy = [("keep_aspect_ratio_policy", text("not_larger"))];
        assert!(refused(&policy, &to_four).contains("needs fixed extents"));
    }
}
