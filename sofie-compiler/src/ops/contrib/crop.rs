//! `CropAndResize`: regions of images, each sampled at a grid of places between its corners (TensorFlow's operator).

use crate::error::{Error, Result};
use crate::ir::{Dim, Op, Tensor, ValueId};
use crate::ops::Ctx;
use crate::ops::expr::{Expr, num, x, y, z};
use sofie_infer_runtime::DType;
use sofie_infer_runtime::map::{Binary, Unary};
use sofie_infer_runtime::plain::{self, Outside, Sampling};

/// The places of `count` samples along an axis of `extent` pixels, `[R, count]` from the regions' ends `[R, 1]`, in the order of
/// operations of ONNX Runtime, since a place a hair beyond the last pixel is outside.
fn places(c: &mut Ctx<'_, '_>, ends: [ValueId; 2], extent: usize, count: usize) -> Result<ValueId> {
    let last = num((extent - 1) as f64);
    if count == 1 {
        return c.map(num(0.5) * (x() + y()) * last, &ends);
    }
    let index: Vec<f32> = (0..count).map(|i| i as f32).collect();
    let index = c.b.tensor(Tensor::of(&[1, count], &index));
    let step = (y() - x()) * last.clone() / num((count - 1) as f64);
    let between = x() * last.clone() + z() * step;
    let is_last = z().ge(num((count - 1) as f64));
    c.map(is_last.select(y() * last, between), &[ends[0], ends[1], index])
}

/// Whether places are within `extent` pixels.
fn inside(c: &mut Ctx<'_, '_>, places: ValueId, extent: usize) -> Result<ValueId> {
    let last = num((extent - 1) as f64);
    c.map(x().ge(num(0.0)).binary(Binary::And, last.ge(x())), &[places])
}

/// Places in pixels as those of a grid, where -1 and 1 are the centres of the outermost pixels. In f64, so that the way back
/// loses nothing; the nearest pixel is decided here, ties away from 0.
fn grid(c: &mut Ctx<'_, '_>, places: ValueId, extent: usize, nearest: bool) -> Result<ValueId> {
    let at = x().cast(DType::F64);
    let one = |n: f64| Expr::Typed(n.into());
    let at = if nearest { (at + one(0.5)).unary(Unary::Floor) } else { at };
    // Of a single pixel all places inside are its centre.
    let half = extent.saturating_sub(1).max(1) as f64 / 2.0;
    c.map(at / one(half) - one(1.0), &[places])
}

/// `CropAndResize`: `X [N, C, H, W]`, regions `[R, 4]` of two corners (y, x) in parts of the image, the regions' images `[R]`, and
/// the extents of the result.
pub(in crate::ops) fn crop_and_resize(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, rois, batch) = (c.required(0, "X")?, c.required(1, "rois")?, c.required(2, "batch_indices")?);
    let size = c.const_ints(3, "crop_size")?.ok_or_else(|| Error::new("input 3 (crop_size) is missing"))?;
    let nearest = match c.attrs.string_or("mode", "bilinear")? {
        "bilinear" => false,
        "nearest" => true,
        other => return Err(Error::new(format!("mode {other:?} is not known"))),
    };
    let outside = c.attrs.float_or("extrapolation_value", 0.0)?;
    let (dims, regions, of) =
        (c.fixed(v, "a sampled image")?, c.fixed(rois, "regions")?, c.fixed(batch, "regions")?);
    let (&[_, channels, height, width], &[r, 4], &[also]) = (&dims[..], &regions[..], &of[..]) else {
        return Err(Error::new(format!("regions {regions:?} of the images {of:?} among {dims:?}")));
    };
    let [h, w] = match size[..] {
        [h, w] if h > 0 && w > 0 && height > 0 && width > 0 && r == also => [h as usize, w as usize],
        _ => return Err(Error::new(format!("{r} regions of {also} images {dims:?}, resized to {size:?}"))),
    };
    let mut end = |i: i64| c.b.slice_axis(rois, 1, Dim::Fixed(i), Dim::ONE);
    let [top, left, bottom, right] = [end(0)?, end(1)?, end(2)?, end(3)?];
    let rows = places(c, [top, bottom], height, h)?;
    let columns = places(c, [left, right], width, w)?;
    let (r, one) = (Dim::from(r), Dim::ONE);
    let (within_rows, within_columns) = (inside(c, rows, height)?, inside(c, columns, width)?);
    let within_rows = c.reshape(within_rows, &[r.clone(), one.clone(), h.into(), one.clone()])?;
    let within_columns = c.reshape(within_columns, &[r.clone(), one.clone(), one.clone(), w.into()])?;
    let (rows, columns) = (grid(c, rows, height, nearest)?, grid(c, columns, width, nearest)?);
    let rows = c.reshape(rows, &[r.clone(), h.into(), one.clone(), one.clone()])?;
    let columns = c.reshape(columns, &[r.clone(), one.clone(), w.into(), one.clone()])?;
    // The last axis is (x, y).
    let is_row = c.b.tensor(Tensor::of(&[1, 1, 1, 2], &[false, true]));
    let grid = c.map(z().select(x(), y()), &[rows, columns, is_row])?;
    let images = c.b.one(Op::Gather { axis: 0, batch: 0 }, &[v, batch])?;
    let kernel = plain::GridSample {
        batch: of[0],
        channels,
        axes: 2,
        image: [1, height, width],
        points: h * w,
        sampling: if nearest { Sampling::Nearest } else { Sampling::Linear },
        outside: Outside::Border,
        align_corners: true,
    };
    let dtype = c.dtype(v);
    let sampled = c.plain(kernel, &[images, grid], vec![(dtype, vec![of[0], channels, h, w])])?.remove(0);
    let seen = y().binary(Binary::And, z()).select(x(), num(outside));
    Ok(vec![c.map(seen, &[sampled, within_rows, within_columns])?])
}
