//! `Resize` and `Upsample`: every axis by itself, its taps worked out while compiling.

use super::Ctx;
use super::expr::{num, x, y};
use super::resample::{Filter, Nearest, Resample, Taps, Transform};
use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Tensor, ValueId, axis_in};
use sofie_infer_runtime::DType;

/// What is asked of one axis.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub axis: usize,
    pub to: Dim,
    pub scale: Scale,
    pub region: Region,
}

/// Elements of the result for one of the operand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    Known(f32),
    /// A list of one f32.
    Computed(ValueId),
}

/// The relative places of the operand that the first and the last element of the result are at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Region {
    Known(f32, f32),
    /// Lists of one f32.
    Computed([ValueId; 2]),
}

impl Region {
    pub const WHOLE: Region = Region::Known(0.0, 1.0);
}

/// `Resize` of opset 10 and `Upsample`: scales alone, from the axis' first element on.
pub(super) fn upsample(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "X")?;
    let filter = match c.attrs.string_or("mode", "nearest")? {
        "nearest" => Filter::Nearest(Nearest::Simple),
        "linear" | "bilinear" => Filter::Linear,
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    };
    let settings =
        Settings { transform: Coordinates::Plain(Transform::Asymmetric), filter, ..Settings::default() };
    let axes: Vec<_> = (0..c.rank(v)).collect();
    if c.version() >= 9
        && let Some(axes) = super::resize_computed::targets(c, v, &axes, &settings, "stretch", 1)?
    {
        return Ok(vec![resized(c, v, &axes, &settings)?]);
    }
    let scales: Vec<f32> = if c.version() < 9 {
        let scales = c.attrs.floats("scales")?;
        c.attrs.require("scales", scales)?.to_vec()
    } else {
        let scales = c.const_floats(1, "scales")?.ok_or_else(|| Error::new("input 1 (scales) is missing"))?;
        scales.into_iter().map(|s| s as f32).collect()
    };
    let axes = scaled(c, v, &axes, &scales)?;
    Ok(vec![resized(c, v, &axes, &settings)?])
}

/// What is the same on every axis.
pub(super) struct Settings {
    pub transform: Coordinates,
    pub filter: Filter,
    pub antialias: bool,
    pub exclude_outside: bool,
    /// What results whose place is outside hold.
    pub extrapolation: Option<f32>,
}

#[derive(Clone, Copy)]
pub(super) enum Coordinates {
    Plain(Transform),
    Crop,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            transform: Coordinates::Plain(Transform::HalfPixel),
            filter: Filter::Linear,
            antialias: false,
            exclude_outside: false,
            extrapolation: None,
        }
    }
}

fn settings(c: &Ctx<'_, '_>) -> Result<Settings> {
    let nearest = match c.attrs.string_or("nearest_mode", "round_prefer_floor")? {
        "round_prefer_floor" => Nearest::RoundPreferFloor,
        "round_prefer_ceil" => Nearest::RoundPreferCeil,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        other => return Err(Error::new(format!("nearest_mode {other:?} is not known"))),
    };
    let a = c.attrs.float_or("cubic_coeff_a", -0.75)?;
    let filter = match c.attrs.string_or("mode", "nearest")? {
        "nearest" => Filter::Nearest(nearest),
        "linear" => Filter::Linear,
        "cubic" => Filter::Cubic(a),
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    };
    let transform = match c.attrs.string_or("coordinate_transformation_mode", "half_pixel")? {
        "half_pixel" => Coordinates::Plain(Transform::HalfPixel),
        "half_pixel_symmetric" => Coordinates::Plain(Transform::HalfPixelSymmetric),
        "pytorch_half_pixel" => Coordinates::Plain(Transform::PytorchHalfPixel),
        "align_corners" => Coordinates::Plain(Transform::AlignCorners),
        "asymmetric" => Coordinates::Plain(Transform::Asymmetric),
        "tf_half_pixel_for_nn" => Coordinates::Plain(Transform::TfHalfPixelForNn),
        "tf_crop_and_resize" => Coordinates::Crop,
        other => return Err(Error::new(format!("coordinate_transformation_mode {other:?} is not known"))),
    };
    let extrapolation = c.attrs.float_or("extrapolation_value", 0.0)?;
    Ok(Settings {
        transform,
        filter,
        antialias: c.attrs.flag_or("antialias", false)? && !matches!(filter, Filter::Nearest(_)),
        exclude_outside: c.attrs.flag_or("exclude_outside", false)?,
        extrapolation: matches!(transform, Coordinates::Crop).then_some(extrapolation),
    })
}

/// `Resize` since opset 11: by scales or to sizes, of all axes or some.
pub(super) fn resize(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    if c.version() < 11 {
        return upsample(c);
    }
    let v = c.required(0, "X")?;
    let settings = settings(c)?;
    let rank = c.rank(v);
    let axes = match c.attrs.ints("axes")? {
        None => (0..rank).collect(),
        Some(axes) => axes.iter().map(|&a| axis_in(a, rank)).collect::<Result<Vec<_>, _>>()?,
    };
    let policy = c.attrs.string_or("keep_aspect_ratio_policy", "stretch")?;
    // An empty tensor stands for an operand that is left out, as opset 11 had it.
    if let Some(axes) = super::resize_computed::targets(c, v, &axes, &settings, policy, 2)? {
        return Ok(vec![resized(c, v, &axes, &settings)?]);
    }
    let picked = |to: &[usize]| axes.iter().map(|&a| to.get(a).map(|&n| n as i64)).collect();
    let computed = match policy {
        // With these the sizes say more than the shape.
        "not_larger" | "not_smaller" => None,
        _ => super::runtime::repeated(c, 3, "sizes", picked)?,
    };
    let scales = c.const_floats(2, "scales")?.filter(|s| !s.is_empty());
    let sizes = match computed {
        Some(sizes) => Some(sizes),
        None => c.extents(3, "sizes")?.filter(|s| !s.is_empty()),
    };
    let mut targets = match (scales, sizes) {
        (Some(scales), None) => {
            let scales: Vec<_> = scales.into_iter().map(|s| s as f32).collect();
            scaled(c, v, &axes, &scales)?
        }
        (None, Some(sizes)) => sized(c, v, &axes, &sizes, policy)?,
        (None, None) => return Err(Error::new("scales or sizes are needed")),
        (Some(_), Some(_)) => return Err(Error::new("scales and sizes are both given; one is needed")),
    };
    if matches!(settings.transform, Coordinates::Crop) {
        let roi = c.const_floats(1, "roi")?.ok_or_else(|| Error::new("tf_crop_and_resize needs a roi"))?;
        if roi.len() != 2 * axes.len() {
            return Err(Error::new(format!("roi has {} numbers for {} axes", roi.len(), axes.len())));
        }
        for target in &mut targets {
            if let Some(i) = axes.iter().position(|&a| a == target.axis) {
                target.region = Region::Known(roi[i] as f32, roi[axes.len() + i] as f32);
            }
        }
    }
    Ok(vec![resized(c, v, &targets, &settings)?])
}

/// The error of a resize that needs numbers.
fn open(c: &Ctx<'_, '_>, v: ValueId) -> Error {
    c.fixed(v, "a resize").err().unwrap_or_else(|| Error::new("a resize needs fixed extents"))
}

/// The largest extent of a result; what is beyond it is a mistake in the file.
const MOST: f32 = (1u64 << 31) as f32;

fn scaled(c: &Ctx<'_, '_>, v: ValueId, axes: &[usize], scales: &[f32]) -> Result<Vec<Axis>> {
    if scales.len() != axes.len() {
        return Err(Error::new(format!("{} scales for {} axes", scales.len(), axes.len())));
    }
    let mut targets = Vec::new();
    for (&axis, &scale) in axes.iter().zip(scales) {
        let n = c.shape(v)[axis].clone();
        if scale == 1.0 && n.fixed().is_none() {
            continue;
        }
        // In f32 as ONNX Runtime: 10 elements by 0.7f32 are 7, not 6.
        let to = n.fixed().map_or(scale, |n| n as f32 * scale);
        if !(scale > 0.0 && to < MOST) {
            return Err(Error::new(format!("an axis is scaled by {scale}")));
        }
        let to = match n.fixed() {
            Some(_) => Dim::Fixed(to as i64),
            None => times(&n, scale)?.ok_or_else(|| open(c, v))?,
        };
        targets.push(Axis { axis, to, scale: Scale::Known(scale), region: Region::WHOLE });
    }
    Ok(targets)
}

/// `floor(n * scale)` where f32 makes no mistake in it, as the factor has few bits.
fn times(n: &Dim, scale: f32) -> Result<Option<Dim>> {
    const BITS: u32 = 8;
    for by in 0..=BITS {
        let parts = scale * (1u32 << by) as f32;
        if parts.fract() == 0.0 && parts < (1u32 << BITS) as f32 {
            return Ok(Some(n.mul(&Dim::Fixed(parts as i64))?.floor_div(&Dim::Fixed(1 << by))?));
        }
    }
    Ok(None)
}

fn sized(c: &mut Ctx<'_, '_>, v: ValueId, axes: &[usize], sizes: &[Dim], policy: &str) -> Result<Vec<Axis>> {
    if sizes.len() != axes.len() {
        return Err(Error::new(format!("{} sizes for {} axes", sizes.len(), axes.len())));
    }
    let mut targets = Vec::new();
    for (&axis, size) in axes.iter().zip(sizes) {
        let n = c.shape(v)[axis].clone();
        if *size == n && policy == "stretch" && size.fixed().is_none() {
            continue;
        }
        if size.range().0 < 0 || size.fixed().is_some_and(|m| m as f32 >= MOST) {
            return Err(Error::new(format!("an axis is resized to {size}")));
        }
        let scale = super::resize_taps::ratio(c, &n, size)?;
        targets.push(Axis { axis, to: size.clone(), scale, region: Region::WHOLE });
    }
    if policy == "stretch" {
        return Ok(targets);
    }
    let scales = targets.iter().filter_map(|t| match t.scale {
        Scale::Known(scale) => Some(scale),
        Scale::Computed(_) => None,
    });
    let common = match policy {
        "not_larger" => scales.fold(f32::INFINITY, f32::min),
        "not_smaller" => scales.fold(0.0, f32::max),
        other => return Err(Error::new(format!("keep_aspect_ratio_policy {other:?} is not known"))),
    };
    for target in &mut targets {
        let n = c.shape(v)[target.axis]
            .fixed()
            .filter(|_| target.to.fixed().is_some())
            .ok_or_else(|| open(c, v))?;
        target.to = Dim::Fixed((common * n as f32 + 0.5).floor() as i64);
        target.scale = Scale::Known(common);
    }
    Ok(targets)
}

/// Every axis resized.
fn resized(c: &mut Ctx<'_, '_>, v: ValueId, targets: &[Axis], settings: &Settings) -> Result<ValueId> {
    let dtype = c.dtype(v);
    if dtype.is_float() || matches!(settings.filter, Filter::Nearest(_)) {
        return in_turn(c, v, targets, settings);
    }
    let v = c.b.cast(v, DType::F32)?;
    let v = in_turn(c, v, targets, settings)?;
    whole(c, v, dtype, settings)
}

/// Between integers there are fractions, of which ONNX says nothing. ONNX Runtime drops them in a plain linear resize and
/// rounds with `antialias`; what it does not run is rounded too, as in ONNX's reference implementation.
fn whole(c: &mut Ctx<'_, '_>, v: ValueId, dtype: DType, settings: &Settings) -> Result<ValueId> {
    let cut = matches!(settings.filter, Filter::Linear) && !settings.antialias;
    let v = if cut { v } else { c.b.unary(sofie_infer_runtime::map::Unary::Round, v)? };
    Ok(c.b.cast(v, dtype)?)
}

/// Every axis in turn, those that shrink first, so that the others have less to do; of two that grow alike the inner one,
/// whose elements lie too close for vectors.
fn in_turn(c: &mut Ctx<'_, '_>, mut v: ValueId, targets: &[Axis], settings: &Settings) -> Result<ValueId> {
    let growth = |t: &Axis| match t.scale {
        Scale::Known(scale) => scale,
        Scale::Computed(_) => t.to.likely() as f32 / c.shape(v)[t.axis].likely().max(1) as f32,
    };
    let mut order: Vec<(f32, &Axis)> = targets.iter().map(|t| (growth(t), t)).collect();
    order.sort_by(|(a, s), (b, t)| {
        let inner_first = if *a > 1.0 { t.axis.cmp(&s.axis) } else { s.axis.cmp(&t.axis) };
        a.total_cmp(b).then(inner_first)
    });
    let mut outside = Vec::new();
    for (_, t) in order {
        let from = c.shape(v)[t.axis].clone();
        // Where nothing is scaled, nothing is rounded either.
        if t.scale == Scale::Known(1.0) && from == t.to && t.region == Region::WHOLE {
            continue;
        }
        let mut shape = c.shape(v);
        shape.dims_mut()[t.axis] = t.to.clone();
        if shape.numel()?.is(0) {
            let zero = sofie_infer_runtime::map::Scalar::from_f64(c.dtype(v), 0.0);
            v = super::constant::filled(c, zero, shape.dims().to_vec())?;
            continue;
        }
        // None of nothing: as many times as many.
        if from.range().0 < 1 && t.to.exact_div(&from).is_none() {
            let error =
                format!("axis {} has no elements to resize, or may have none ({from} to {})", t.axis, t.to);
            return Err(Error::new(error).help("a free extent can be bounded from below: dims(n = 1..=64)"));
        }
        let (tables, mask) = tables(c, t, &from, settings)?;
        outside.extend(mask.map(|mask| (t.axis, mask)));
        if tables.is_empty() {
            continue;
        }
        let operands: Vec<ValueId> = [v].into_iter().chain(tables).collect();
        v = c.b.one(Op::Interpolate(t.axis), &operands)?;
    }
    for (axis, mask) in outside {
        let mut dims = vec![Dim::ONE; c.rank(v)];
        dims[axis] = c.b.shape(mask).dims()[0].clone();
        let mask = c.reshape(mask, &dims)?;
        let value = settings.extrapolation.unwrap_or(0.0);
        v = c.map(y().select(num(value), x()), &[v, mask])?;
    }
    Ok(v)
}

/// What [`Op::Interpolate`] reads beside the operand, nothing where that stays as it is, and the bools `[to, 1]` of results
/// that are outside, where they hold another value.
fn tables(
    c: &mut Ctx<'_, '_>,
    t: &Axis,
    from: &Dim,
    settings: &Settings,
) -> Result<(Vec<ValueId>, Option<ValueId>)> {
    let known = |d: &Dim| d.fixed().and_then(|n| usize::try_from(n).ok());
    let (Some(n), Some(to), Scale::Known(scale), Region::Known(start, end)) =
        (known(from), known(&t.to), t.scale, t.region)
    else {
        let places = super::resize_taps::Places::new(c, t, from, settings)?;
        let mask = settings.extrapolation.is_some().then(|| places.outside(c)).transpose()?;
        return Ok((places.taps(c)?, mask));
    };
    let transform = match settings.transform {
        Coordinates::Plain(transform) => transform,
        Coordinates::Crop => Transform::TfCropAndResize { start, end },
    };
    let taps = Resample {
        from: n,
        to,
        scale,
        transform,
        filter: settings.filter,
        antialias: settings.antialias,
        exclude_outside: settings.exclude_outside,
    };
    let Taps { taps, index, weight, outside } = taps.taps()?;
    let mask = (settings.extrapolation.is_some() && outside.contains(&true))
        .then(|| c.b.tensor(Tensor::of(&[to, 1], &outside)));
    let picks = taps == 1 && weight.iter().all(|w| *w == 1.0);
    if picks && n == to && index.iter().enumerate().all(|(i, &j)| i == j as usize) {
        return Ok((Vec::new(), mask));
    }
    let mut tables = vec![c.b.tensor(Tensor::of(&[to, taps], &index))];
    if !picks {
        tables.push(c.b.tensor(Tensor::of(&[to, taps], &weight)));
    }
    Ok((tables, mask))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    fn floats(values: &[f32]) -> Arg {
        Arg::Const(Tensor::of(&[values.len()], values))
    }

    fn square() -> Arg {
        f32s(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0])
    }

    #[test]
    fn upsampling_repeats() {
        let y = Tensor::of(&[1, 1, 2, 4], &[1.0f32, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]);
        let scales = floats(&[1.0, 1.0, 1.0, 2.0]);
        assert_eq!(run("Upsample", 9, &[], &[square(), scales.clone()]), y);
        assert_eq!(run("Resize", 10, &[], &[square(), scales.clone()]), y);
        assert_eq!(run("Resize", 13, &[], &[square(), Arg::Left, scales]), y);
        let attrs = [("scales", Attribute::Floats(vec![1.0, 1.0, 1.0, 2.0]))];
        assert_eq!(run("Upsample", 7, &attrs, &[square()]), y);
    }

    #[test]
    fn linear_to_sizes_of_some_axes() {
        let attrs = [("mode", text("linear")), ("axes", Attribute::Ints(vec![-1]))];
        let y = run("Resize", 18, &attrs, &[square(), Arg::Left, Arg::Left, ints(&[4])]);
        let expected = Tensor::of(&[1, 1, 2, 4], &[1.0f32, 1.25, 1.75, 2.0, 3.0, 3.25, 3.75, 4.0]);
        assert_close(&y, &expected, 1e-6);
    }

    #[test]
    fn aspect_ratios_are_kept() {
        let dims = |policy: &str| {
            let attrs = [("keep_aspect_ratio_policy", text(policy)), ("axes", Attribute::Ints(vec![2, 3]))];
            run("Resize", 19, &attrs, &[square(), Arg::Left, Arg::Left, ints(&[7, 8])]).dims().to_vec()
        };
        assert_eq!(dims("stretch"), [1, 1, 7, 8]);
        assert_eq!(dims("not_larger"), [1, 1, 7, 7]);
        assert_eq!(dims("not_smaller"), [1, 1, 8, 8]);
    }

    #[test]
    fn crops_extrapolate() {
        let attrs = [
            ("mode", text("linear")),
            ("coordinate_transformation_mode", text("tf_crop_and_resize")),
            ("extrapolation_value", Attribute::Float(10.0)),
            ("axes", Attribute::Ints(vec![3])),
        ];
        let args = [square(), floats(&[0.5, 1.5]), Arg::Left, ints(&[3])];
        let y = run("Resize", 18, &attrs, &args);
        assert_eq!(y, Tensor::of(&[1, 1, 2, 3], &[1.5f32, 2.0, 10.0, 3.5, 4.0, 10.0]));
    }

    #[test]
    fn between_integers_there_are_fractions() {
        let args = [Arg::In(Tensor::of(&[1, 1, 4], &[0u8, 3, 6, 9])), Arg::Left, floats(&[1.0, 1.0, 2.0])];
        let linear = ("mode", text("linear"));
        let y = run("Resize", 18, std::slice::from_ref(&linear), &args);
        assert_eq!(y, Tensor::of(&[1, 1, 8], &[0u8, 0, 2, 3, 5, 6, 8, 9]));
        let y = run("Resize", 18, &[linear, ("antialias", Attribute::Int(1))], &args);
        assert_eq!(y, Tensor::of(&[1, 1, 8], &[0u8, 1, 2, 4, 5, 7, 8, 9]));
        let y = run("Resize", 18, &[("mode", text("cubic"))], &args);
        assert_eq!(y.dtype(), DType::U8);
    }

    #[test]
    fn what_cannot_be_resized_is_refused() {
        let both = [square(), Arg::Left, floats(&[1.0; 4]), ints(&[1, 1, 2, 2])];
        assert!(lowered("Resize", 13, &[], &both, 1).unwrap_err().contains("both given"));
        let endless = [square(), Arg::Left, floats(&[1.0, 1.0, 1e30, 1.0])];
        assert!(lowered("Resize", 13, &[], &endless, 1).unwrap_err().contains("scaled by"));
    }
}
