//! Elements of images at places that are computed at run time: `GridSample`, `AffineGrid`, `RoiAlign`, `MaxRoiPool`,
//! `DeformConv`; and windows back to images: `Col2Im`.

use super::Ctx;
use super::window;
use crate::error::{Error, Result};
use crate::ir::{Dim, Shape, Tensor, ValueId};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Scalar, cast};
use sofie_infer_runtime::plain::{self, Outside, Sampling};

/// `GridSample`.
pub(super) fn grid_sample(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, grid) = (c.required(0, "X")?, c.required(1, "grid")?);
    let sampling = match c.attrs.string_or("mode", "linear")? {
        "linear" | "bilinear" => Sampling::Linear,
        "nearest" => Sampling::Nearest,
        "cubic" | "bicubic" => Sampling::Cubic,
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    };
    let outside = match c.attrs.string_or("padding_mode", "zeros")? {
        "zeros" => Outside::Zeros,
        "border" => Outside::Border,
        "reflection" => Outside::Reflection,
        other => return Err(Error::new(format!("padding_mode {other:?} is not known"))),
    };
    let align_corners = c.attrs.flag_or("align_corners", false)?;
    let (dims, places) = (c.fixed(v, "a sampled image")?, c.fixed(grid, "a grid")?);
    let axes = window::spatial(c, v)?;
    let fits = places.len() == axes + 2 && places[0] == dims[0] && places[axes + 1] == axes;
    if axes > 3 || !fits || dims[2..].contains(&0) {
        return Err(Error::new(format!("a grid {places:?} over an image {dims:?}")));
    }
    if !c.dtype(grid).is_float() {
        return Err(Error::new(format!("a grid of {}; places are floats", c.dtype(grid))));
    }
    let points = places[1..=axes].iter().product();
    let kernel = plain::GridSample {
        batch: dims[0],
        channels: dims[1],
        axes,
        image: window::three(&dims[2..], 1),
        points,
        sampling,
        outside,
        align_corners,
    };
    let to = [&dims[..2], &places[1..=axes]].concat();
    // What lies between integers loses its fraction.
    let y = c.in_floats(v, DType::F64, |c, v| {
        let dtype = c.dtype(v);
        Ok(c.plain(kernel, &[v, grid], vec![(dtype, to)])?.remove(0))
    })?;
    Ok(vec![y])
}

/// `AffineGrid`: the places of an image's pixels, moved by a matrix.
pub(super) fn affine_grid(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let theta = c.required(0, "theta")?;
    let size = match affine_size(c)? {
        Some(size) => size,
        None => c.const_ints(1, "size")?.ok_or_else(|| Error::new("input 1 (size) is missing"))?,
    };
    let align_corners = c.attrs.flag_or("align_corners", false)?;
    let extents: Option<Vec<usize>> = size.iter().map(|&n| usize::try_from(n).ok()).collect();
    let extents = extents.filter(|e| matches!(e.len(), 4 | 5));
    let extents = extents.ok_or_else(|| Error::new(format!("size is {size:?}; [N, C, H, W] is needed")))?;
    let image = &extents[2..];
    let axes = image.len();
    let matrices = [Dim::from(extents[0]), Dim::from(axes), Dim::from(axes + 1)];
    if c.shape(theta).dims() != matrices {
        return Err(Error::misfit(format!("theta has shape {} for size {size:?}", c.shape(theta))));
    }
    // The pixels' own places, the last axis first, and a 1 for the matrix' last column: [axes + 1, pixels].
    let pixels: usize = image.iter().product();
    let dtype = c.dtype(theta);
    let mut bytes = Vec::new();
    for row in 0..=axes {
        for pixel in 0..pixels {
            let value = match axes.checked_sub(row + 1) {
                None => 1.0,
                Some(axis) => {
                    let inner: usize = image[axis + 1..].iter().product();
                    let (i, n) = ((pixel / inner % image[axis]) as f64, image[axis] as f64);
                    match align_corners {
                        true if image[axis] > 1 => -1.0 + 2.0 * i / (n - 1.0),
                        true => -1.0,
                        false => (2.0 * i + 1.0) / n - 1.0,
                    }
                }
            };
            bytes.extend(&cast(Scalar::from(value), dtype).bits.to_le_bytes()[..dtype.size()]);
        }
    }
    let places = Tensor::from_bytes(dtype, vec![1, axes + 1, pixels], bytes);
    let places = c.b.tensor(places.ok_or_else(|| Error::new("a grid of another size than its shape"))?);
    let moved = c.matmul(theta, places)?;
    let moved = c.b.transpose(moved, &[0, 2, 1])?;
    let mut to = vec![Dim::from(extents[0])];
    to.extend(image.iter().map(|&n| Dim::from(n)));
    to.push(axes.into());
    Ok(vec![c.reshape(moved, &to)?])
}

/// The operand `size` of `AffineGrid` where it is computed: the result says all of it but the channels.
fn affine_size(c: &mut Ctx<'_, '_>) -> Result<Option<Vec<i64>>> {
    let Some((given, n)) = c.computed(1)? else { return Ok(None) };
    let to = c.declares(0, 1, "size")?;
    if to.len() != n || n < 4 {
        return Err(Error::new(format!("{n} extents for a grid {to:?}")));
    }
    let mut size = vec![to[0] as i64, 1];
    size.extend(to[1..n - 1].iter().map(|&n| n as i64));
    for (from, len) in [(0, 1), (2, n - 2)] {
        let part = c.b.slice_axis(given, 0, Dim::from(from), Dim::from(len))?;
        c.check_list(part, &size[from..from + len])?;
    }
    Ok(Some(size))
}

/// Height and width of a pooled region.
fn positive(c: &Ctx<'_, '_>, name: &str, default: i64) -> Result<usize> {
    let n = c.attrs.int_or(name, default)?;
    usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| Error::new(format!("{name} is {n}")))
}

/// `[N, C, H, W]` and the number of regions.
fn regions(c: &Ctx<'_, '_>, v: ValueId, rois: ValueId, width: usize) -> Result<([usize; 4], Dim)> {
    match (&c.fixed(v, "a sampled image")?[..], c.shape(rois).dims()) {
        (&[n, ch, h, w], [r, k]) if k.is(width as i64) && h > 0 && w > 0 => Ok(([n, ch, h, w], r.clone())),
        _ => Err(Error::new(format!("regions {} of an image {}", c.shape(rois), c.shape(v)))),
    }
}

/// `RoiAlign`. Before opset 16 pixels are not half an element off.
pub(super) fn roi_align(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, rois, batch) = (c.required(0, "X")?, c.required(1, "rois")?, c.required(2, "batch_indices")?);
    let default = if c.version() < 16 { "output_half_pixel" } else { "half_pixel" };
    let half_pixel = match c.attrs.string_or("coordinate_transformation_mode", default)? {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(Error::new(format!("coordinate_transformation_mode {other:?} is not known"))),
    };
    let max = match c.attrs.string_or("mode", "avg")? {
        "avg" => false,
        "max" => true,
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    };
    let result = [positive(c, "output_height", 1)?, positive(c, "output_width", 1)?];
    let sampling = c.attrs.int_or("sampling_ratio", 0)?;
    let sampling =
        usize::try_from(sampling).map_err(|_| Error::new(format!("sampling_ratio is {sampling}")))?;
    let scale = c.attrs.float_or("spatial_scale", 1.0)?;
    let ([n, channels, h, w], r) = regions(c, v, rois, 4)?;
    if c.shape(batch).dims() != std::slice::from_ref(&r) {
        return Err(Error::misfit(format!("batch_indices has shape {} for {r} regions", c.shape(batch))));
    }
    let batch = c.b.cast(batch, DType::I64)?;
    let dtype = c.dtype(v);
    let rois = c.b.cast(rois, dtype)?;
    let kernel = plain::RoiAlign {
        rois: 0,
        batch: n,
        channels,
        image: [h, w],
        result,
        sampling,
        scale,
        half_pixel,
        max,
    };
    let shape = Shape::new(vec![r.clone(), channels.into(), result[0].into(), result[1].into()]);
    c.plain_free(kernel, &[v, rois, batch], vec![(dtype, shape)], vec![r])
}

/// `MaxRoiPool`.
pub(super) fn max_roi_pool(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, rois) = (c.required(0, "X")?, c.required(1, "rois")?);
    let shape = c.attrs.ints("pooled_shape")?;
    let shape = window::counts("pooled_shape", c.attrs.require("pooled_shape", shape)?, 2, 1)?;
    let scale = c.attrs.float_or("spatial_scale", 1.0)?;
    let ([n, channels, h, w], r) = regions(c, v, rois, 5)?;
    let result = [shape[0], shape[1]];
    let kernel = plain::RoiPool { rois: 0, batch: n, channels, image: [h, w], result, scale };
    let dtype = c.dtype(v);
    let shape = Shape::new(vec![r.clone(), channels.into(), result[0].into(), result[1].into()]);
    c.plain_free(kernel, &[v, rois], vec![(dtype, shape)], vec![r])
}

/// `DeformConv` over two spatial axes.
pub(super) fn deform_conv(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w, offset) = (c.required(0, "X")?, c.required(1, "W")?, c.required(2, "offset")?);
    let (bias, mask) = (c.optional(3)?, c.optional(4)?);
    let (dims, weights) = (c.fixed(v, "a deformable convolution")?, c.fixed(w, "the weights' shape")?);
    let (&[n, channels, h, width], &[filters, of_group, kh, kw]) = (&dims[..], &weights[..]) else {
        return Err(Error::new(format!("{dims:?} by {weights:?}; two spatial axes are supported")));
    };
    if let Some(declared) = c.attrs.ints("kernel_shape")?
        && window::counts("kernel_shape", declared, 2, 1)? != [kh, kw]
    {
        return Err(Error::new(format!("kernel_shape is {declared:?}, but the weights are {weights:?}")));
    }
    let mut window = window::unpadded(c, vec![kh, kw])?;
    (window.pads_begin, window.pads_end) = window::pads(c, 2)?;
    let (group, offset_group) = (positive(c, "group", 1)?, positive(c, "offset_group", 1)?);
    let mut result = [0; 2];
    for (i, extent) in [h, width].into_iter().enumerate() {
        let padded = extent + window.pads_begin[i] + window.pads_end[i];
        let room = padded.checked_sub(window::reach(&window, i));
        result[i] = room.ok_or_else(|| Error::misfit("a window that does not fit"))? / window.strides[i] + 1;
    }
    let taps = kh * kw;
    let expected = vec![n, offset_group * taps * 2, result[0], result[1]];
    let fits = of_group * group == channels && filters % group == 0 && channels % offset_group == 0;
    let masks = vec![n, offset_group * taps, result[0], result[1]];
    let masked = match mask {
        Some(m) => c.fixed(m, "a mask")? == masks,
        None => true,
    };
    if !fits || c.fixed(offset, "offsets")? != expected || !masked {
        return Err(Error::new(format!(
            "offsets {} (and mask) do not fit {dims:?} by {weights:?}: {expected:?} is needed",
            c.shape(offset)
        )));
    }
    let kernel = plain::DeformConv {
        batch: n,
        channels,
        image: [h, width],
        filters,
        kernel: [kh, kw],
        result,
        strides: [window.strides[0], window.strides[1]],
        dilations: [window.dilations[0], window.dilations[1]],
        pads: [window.pads_begin[0], window.pads_begin[1]],
        group,
        offset_group,
        bias: bias.is_some(),
        mask: mask.is_some(),
    };
    let operands: Vec<_> = [v, w, offset].into_iter().chain(bias).chain(mask).collect();
    let dtype = c.dtype(v);
    c.plain(kernel, &operands, vec![(dtype, vec![n, filters, result[0], result[1]])])
}

/// `Col2Im`.
pub(super) fn col2im(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let v = c.required(0, "input")?;
    if c.computed(1)?.is_some() || c.computed(2)?.is_some() {
        return computed_col2im(c, v);
    }
    let list = |i: usize, name: &str| -> Result<Vec<usize>> {
        let values =
            c.const_ints(i, name)?.ok_or_else(|| Error::new(format!("input {i} ({name}) is missing")))?;
        window::counts(name, &values, values.len(), 1)
    };
    let (image, kernel) = (list(1, "image_shape")?, list(2, "block_shape")?);
    Ok(vec![images(c, v, image, kernel)?])
}

/// `Col2Im` whose extents are computed: those of the image are the result's, those of a block what fits it.
fn computed_col2im(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<Vec<ValueId>> {
    let to = c.declares(0, 1, "image_shape")?;
    let dims = c.fixed(v, "Col2Im")?;
    if to.len() < 3 || to.len() > 5 || dims.len() != 3 || to[1] == 0 || dims[1] % to[1] != 0 {
        return Err(Error::new(format!("{dims:?} as an image {to:?}")));
    }
    let (image, taps) = (to[2..].to_vec(), dims[1] / to[1]);
    let signed = |dims: &[usize]| dims.iter().map(|&n| n as i64).collect::<Vec<_>>();
    match c.computed(1)? {
        Some((given, _)) => c.check_list(given, &signed(&image))?,
        None => {
            if c.const_ints(1, "image_shape")? != Some(signed(&image)) {
                return Err(Error::new(format!("image_shape is not that of {to:?}")));
            }
        }
    }
    let mut kernels = vec![Vec::new()];
    for _ in 0..image.len() {
        kernels = kernels
            .into_iter()
            .flat_map(|k: Vec<usize>| {
                let rest = taps / k.iter().product::<usize>().max(1);
                (1..=rest).filter(move |n| rest % n == 0).map(move |n| k.iter().copied().chain([n]).collect())
            })
            .collect();
    }
    let (mut chosen, mut refused): (Option<(ValueId, ValueId)>, _) = (None, None);
    for kernel in kernels.into_iter().filter(|k: &Vec<usize>| k.iter().product::<usize>() == taps) {
        let expected = signed(&kernel);
        let y = match images(c, v, image.clone(), kernel) {
            Ok(y) => y,
            Err(why) => {
                refused = Some(why);
                continue;
            }
        };
        let is = match c.computed(2)? {
            Some((given, _)) => c.is_list(given, &expected)?,
            None if c.const_ints(2, "block_shape")? == Some(expected) => return Ok(vec![y]),
            None => continue,
        };
        chosen = Some(match chosen {
            None => (y, is),
            Some((so_far, any)) => {
                let or = sofie_infer_runtime::map::Binary::Or;
                (c.b.select(is, y, so_far)?, c.b.binary(or, any, is)?)
            }
        });
    }
    let none = || refused.unwrap_or_else(|| Error::new(format!("no block makes {to:?} of {dims:?}")));
    let (y, any) = chosen.ok_or_else(none)?;
    c.check(any);
    Ok(vec![y])
}

/// Windows `v` added up to images.
fn images(c: &mut Ctx<'_, '_>, v: ValueId, image: Vec<usize>, kernel: Vec<usize>) -> Result<ValueId> {
    let n = image.len();
    let dims = c.fixed(v, "Col2Im")?;
    let [batch, rows, columns] = dims[..] else {
        return Err(Error::misfit(format!("input has shape {dims:?}; three axes are needed")));
    };
    let mut w = window::unpadded(c, kernel)?;
    (w.pads_begin, w.pads_end) = window::pads(c, n)?;
    let taps: usize = w.kernel.iter().product();
    let mut windows = Vec::new();
    for (i, extent) in image.iter().enumerate().take(w.kernel.len()) {
        let room = (extent + w.pads_begin[i] + w.pads_end[i]).checked_sub(window::reach(&w, i));
        windows.push(room.map_or(0, |room| room / w.strides[i] + 1));
    }
    if n > 3 || w.kernel.len() != n || rows % taps != 0 || windows.iter().product::<usize>() != columns {
        return Err(Error::new(format!("{dims:?} are not the windows {:?} of an image {image:?}", w.kernel)));
    }
    let channels = rows / taps;
    let kernel = plain::Col2Im {
        outer: batch * channels,
        image: window::three(&image, 1),
        kernel: window::three(&w.kernel, 1),
        windows: window::three(&windows, 1),
        strides: window::three(&w.strides, 1),
        dilations: window::three(&w.dilations, 1),
        pads: window::three(&w.pads_begin, 0),
    };
    let dtype = c.dtype(v);
    if dtype == DType::Bool || dtype.is_int() && dtype.size() == 8 {
        return Err(Error::new(format!("windows of {dtype} added up to an image"))
            .help("cast to f64 or i32 before it; sums of other integers are exact"));
    }
    let wide = if dtype.is_float() { v } else { c.b.cast(v, DType::F64)? };
    let of = c.dtype(wide);
    let y = c.plain(kernel, &[wide], vec![(of, [&[batch, channels], &image[..]].concat())])?.remove(0);
    // Integers wrap.
    let y = if dtype.is_float() { y } else { c.b.cast(y, DType::I64)? };
    Ok(c.b.cast(y, dtype)?)
}
