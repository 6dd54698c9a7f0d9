//! `Resize` and `Upsample`: every axis by itself, its taps worked out while compiling.

use super::Ctx;
use super::expr::{num, x, y};
use super::resample::{Filter, Nearest, Resample, Taps, Transform};
use crate::error::{Error, Result};
use crate::ir::{Dim, Interpolate, Op, Tensor, ValueId, axis_in};
use sofie_infer_runtime::DType;

/// What is asked of one axis.
#[derive(Clone, Copy, Debug)]
struct Axis {
    axis: usize,
    to: usize,
    scale: f32,
    roi: (f32, f32),
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
        && let Some(y) = super::resize_computed::resize(c, v, &axes, &settings, "stretch", 1)?
    {
        return Ok(vec![y]);
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
    if let Some(y) = super::resize_computed::resize(c, v, &axes, &settings, policy, 2)? {
        return Ok(vec![y]);
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
                target.roi = (roi[i] as f32, roi[axes.len() + i] as f32);
            }
        }
    }
    Ok(vec![resized(c, v, &targets, &settings)?])
}

/// The extent of an axis as a number, and as f32.
fn extent(c: &Ctx<'_, '_>, v: ValueId, axis: usize) -> Result<usize> {
    match c.shape(v)[axis].fixed().and_then(|n| usize::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => {
            Err(c.fixed(v, "a resize").err().unwrap_or_else(|| Error::new("a resize needs fixed extents")))
        }
    }
}

/// The largest extent of a result; what is beyond it is a mistake in the file.
const MOST: f32 = (1u64 << 31) as f32;

fn scaled(c: &Ctx<'_, '_>, v: ValueId, axes: &[usize], scales: &[f32]) -> Result<Vec<Axis>> {
    if scales.len() != axes.len() {
        return Err(Error::new(format!("{} scales for {} axes", scales.len(), axes.len())));
    }
    let mut targets = Vec::new();
    for (&axis, &scale) in axes.iter().zip(scales) {
        if scale == 1.0 && c.shape(v)[axis].fixed().is_none() {
            continue;
        }
        let n = extent(c, v, axis)?;
        // In f32 as ONNX Runtime: 10 elements by 0.7f32 are 7, not 6.
        let to = n as f32 * scale;
        if !(scale > 0.0 && to < MOST) {
            return Err(Error::new(format!("an axis is scaled by {scale}")));
        }
        targets.push(Axis { axis, to: to as usize, scale, roi: (0.0, 1.0) });
    }
    Ok(targets)
}

fn sized(c: &Ctx<'_, '_>, v: ValueId, axes: &[usize], sizes: &[Dim], policy: &str) -> Result<Vec<Axis>> {
    if sizes.len() != axes.len() {
        return Err(Error::new(format!("{} sizes for {} axes", sizes.len(), axes.len())));
    }
    let mut targets = Vec::new();
    for (&axis, size) in axes.iter().zip(sizes) {
        if *size == c.shape(v)[axis] && policy == "stretch" && size.fixed().is_none() {
            continue;
        }
        let n = extent(c, v, axis)?;
        let to = size.fixed().and_then(|n| usize::try_from(n).ok()).filter(|&n| (n as f32) < MOST);
        let to = to.ok_or_else(|| Error::new(format!("an axis is resized to {size}")))?;
        targets.push(Axis { axis, to, scale: to as f32 / n as f32, roi: (0.0, 1.0) });
    }
    let scales = targets.iter().map(|t| t.scale);
    let common = match policy {
        "stretch" => return Ok(targets),
        "not_larger" => scales.fold(f32::INFINITY, f32::min),
        "not_smaller" => scales.fold(0.0, f32::max),
        other => return Err(Error::new(format!("keep_aspect_ratio_policy {other:?} is not known"))),
    };
    for target in &mut targets {
        let n = extent(c, v, target.axis)?;
        target.to = (common * n as f32 + 0.5).floor() as usize;
        target.scale = common;
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
pub(super) fn whole(c: &mut Ctx<'_, '_>, v: ValueId, dtype: DType, settings: &Settings) -> Result<ValueId> {
    let cut = matches!(settings.filter, Filter::Linear) && !settings.antialias;
    let v = if cut { v } else { c.b.unary(sofie_infer_runtime::map::Unary::Round, v)? };
    Ok(c.b.cast(v, dtype)?)
}

/// Every axis in turn, those that shrink first, so that the others have less to do; of two that grow alike the inner one,
/// whose elements lie too close for vectors.
fn in_turn(c: &mut Ctx<'_, '_>, mut v: ValueId, targets: &[Axis], settings: &Settings) -> Result<ValueId> {
    let mut order = targets.to_vec();
    order.sort_by(|a, b| {
        let inner_first = if a.scale > 1.0 { b.axis.cmp(&a.axis) } else { a.axis.cmp(&b.axis) };
        a.scale.total_cmp(&b.scale).then(inner_first)
    });
    let mut outside: Vec<(usize, Vec<bool>)> = Vec::new();
    for t in order {
        let from = extent(c, v, t.axis)?;
        let transform = match settings.transform {
            Coordinates::Plain(transform) => transform,
            Coordinates::Crop => Transform::TfCropAndResize { start: t.roi.0, end: t.roi.1 },
        };
        // Where nothing is scaled, nothing is rounded either.
        let same = t.scale == 1.0 && from == t.to;
        if same && t.roi == (0.0, 1.0) {
            continue;
        }
        if from == 0 || t.to == 0 {
            let mut shape = c.shape(v);
            shape.dims_mut()[t.axis] = t.to.into();
            if shape.numel()?.is(0) {
                let zero = sofie_infer_runtime::map::Scalar::from_f64(c.dtype(v), 0.0);
                v = super::constant::filled(c, zero, shape.dims().to_vec())?;
                continue;
            }
            return Err(Error::new(format!("axis {} has no elements to resize", t.axis)));
        }
        let taps = Resample {
            from,
            to: t.to,
            scale: t.scale,
            transform,
            filter: settings.filter,
            antialias: settings.antialias,
            exclude_outside: settings.exclude_outside,
        };
        let Taps { taps, index, weight, outside: places } = taps.taps()?;
        if settings.extrapolation.is_some() && places.contains(&true) {
            outside.push((t.axis, places));
        }
        let identity = taps == 1 && from == t.to && index.iter().enumerate().all(|(i, &j)| i == j as usize);
        if identity {
            continue;
        }
        v = c.b.one(Op::Interpolate(Interpolate { axis: t.axis, taps, index, weight }), &[v])?;
    }
    for (axis, places) in outside {
        let mut dims = vec![1; c.rank(v)];
        dims[axis] = places.len();
        let mask = c.b.tensor(Tensor::of(&dims, &places));
        let value = settings.extrapolation.unwrap_or(0.0);
        v = c.map(y().select(num(value), x()), &[v, mask])?;
    }
    Ok(v)
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
