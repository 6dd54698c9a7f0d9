//! The window attributes that convolutions and pools share: `kernel_shape`, `strides`, `dilations`,
//! `pads`, `auto_pad`, `ceil_mode`; and the moves between ONNX's channels-first layout and the graph's.

use super::Ctx;
use crate::error::{Error, Result};
use crate::ir::{Dim, ValueId, Window};

/// One entry an axis, each at least `least`.
fn list(c: &Ctx<'_, '_>, name: &str, n: usize, default: usize, least: i64) -> Result<Vec<usize>> {
    let Some(values) = c.attrs.ints(name)? else { return Ok(vec![default; n]) };
    counts(name, values, n, least)
}

/// `values` as counts.
pub(super) fn counts(name: &str, values: &[i64], n: usize, least: i64) -> Result<Vec<usize>> {
    let fit =
        values.iter().map(|&v| usize::try_from(v).ok().filter(|_| v >= least && v <= i64::from(i32::MAX)));
    match fit.collect::<Option<Vec<_>>>() {
        Some(fit) if fit.len() == n => Ok(fit),
        _ => Err(Error::new(format!("{name} is {values:?}; {n} numbers of at least {least} are needed"))),
    }
}

/// The number of spatial axes of a channels-first tensor.
pub(super) fn spatial(c: &Ctx<'_, '_>, v: ValueId) -> Result<usize> {
    match c.rank(v) {
        0..=2 => Err(Error::misfit(format!("the shape is {}; [N, C, D1, ..] is needed", c.shape(v)))),
        rank => Ok(rank - 2),
    }
}

/// How the pads are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoPad {
    /// The attribute `pads`.
    Explicit,
    /// None.
    Valid,
    /// As many windows as strides fit the extent; the odd element behind.
    SameUpper,
    /// As many windows as strides fit the extent; the odd element before.
    SameLower,
}

/// The attribute `auto_pad`.
pub(super) fn auto_pad(c: &Ctx<'_, '_>) -> Result<AutoPad> {
    Ok(match c.attrs.string_or("auto_pad", "NOTSET")? {
        "NOTSET" | "" => AutoPad::Explicit,
        "VALID" => AutoPad::Valid,
        "SAME_UPPER" => AutoPad::SameUpper,
        "SAME_LOWER" => AutoPad::SameLower,
        other => return Err(Error::new(format!("auto_pad {other:?} is not known"))),
    })
}

/// The attribute `pads` for `n` spatial axes: those before, and those behind.
pub(super) fn pads(c: &Ctx<'_, '_>, n: usize) -> Result<(Vec<usize>, Vec<usize>)> {
    let both = list(c, "pads", 2 * n, 0, 0)?;
    Ok((both[..n].to_vec(), both[n..].to_vec()))
}

/// Strides and dilations, without pads.
pub(super) fn unpadded(c: &Ctx<'_, '_>, kernel: Vec<usize>) -> Result<Window> {
    let n = kernel.len();
    Ok(Window {
        kernel,
        strides: list(c, "strides", n, 1, 1)?,
        dilations: list(c, "dilations", n, 1, 1)?,
        pads_begin: vec![0; n],
        pads_end: vec![0; n],
    })
}

/// At most three numbers, with `rest` before them.
pub(super) fn three(values: &[usize], rest: usize) -> [usize; 3] {
    let mut three = [rest; 3];
    let start = 3usize.saturating_sub(values.len());
    three.iter_mut().skip(start).zip(values).for_each(|(t, v)| *t = *v);
    three
}

/// The elements that a window spans along axis `i`.
pub(super) fn reach(w: &Window, i: usize) -> usize {
    w.kernel[i].saturating_sub(1) * w.dilations[i] + 1
}

/// The window over channels-first `v`, pads included.
pub(super) fn window(c: &Ctx<'_, '_>, v: ValueId, kernel: Vec<usize>) -> Result<Window> {
    let mut w = unpadded(c, kernel)?;
    let n = w.kernel.len();
    let explicit = pads(c, n)?;
    match auto_pad(c)? {
        AutoPad::Explicit => (w.pads_begin, w.pads_end) = explicit,
        AutoPad::Valid => {}
        same => {
            for i in 0..n {
                let total = same_pads(&c.shape(v)[i + 2], &w, i)
                    .ok_or_else(|| c.fixed(v, "auto_pad").err().unwrap_or_else(|| Error::new("auto_pad")))?;
                let less = total / 2;
                let (begin, end) =
                    if same == AutoPad::SameUpper { (less, total - less) } else { (total - less, less) };
                (w.pads_begin[i], w.pads_end[i]) = (begin, end);
            }
        }
    }
    Ok(w)
}

/// All pads along axis `i` that give `ceil(extent / stride)` windows; with stride 1 they do not depend
/// on the extent.
fn same_pads(extent: &Dim, w: &Window, i: usize) -> Option<usize> {
    let (stride, reach) = (w.strides[i], reach(w, i));
    if stride == 1 {
        return Some(reach - 1);
    }
    let n = usize::try_from(extent.fixed()?).ok()?;
    Some(((n.div_ceil(stride).max(1) - 1) * stride + reach).saturating_sub(n))
}

/// The attribute `kernel_shape` where it must be there.
pub(super) fn kernel_shape(c: &Ctx<'_, '_>, n: usize) -> Result<Vec<usize>> {
    let kernel = c.attrs.ints("kernel_shape")?;
    counts("kernel_shape", c.attrs.require("kernel_shape", kernel)?, n, 1)
}

/// The extents that windows of a pool in `ceil_mode` cover behind the pads.
pub(super) fn overhang(c: &Ctx<'_, '_>, v: ValueId, w: &Window) -> Result<Vec<usize>> {
    let n = w.kernel.len();
    if !c.attrs.flag_or("ceil_mode", false)? {
        return Ok(vec![0; n]);
    }
    let mut overhang = Vec::new();
    for i in 0..n {
        if w.strides[i] == 1 {
            overhang.push(0);
            continue;
        }
        let extent = c.fixed(v, "ceil_mode")?[i + 2];
        let (padded, reach) = (extent + w.pads_begin[i] + w.pads_end[i], reach(w, i));
        if padded < reach {
            overhang.push(0);
            continue;
        }
        let mut windows = (padded - reach).div_ceil(w.strides[i]) + 1;
        // A window that starts in the pads behind does not exist.
        if (windows - 1) * w.strides[i] >= extent + w.pads_begin[i] {
            windows -= 1;
        }
        overhang.push(((windows - 1) * w.strides[i] + reach).saturating_sub(padded));
    }
    Ok(overhang)
}

/// `[N, C, S…]` as `[N, S…, C]`.
pub(super) fn channels_last(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<ValueId> {
    let rank = c.rank(v);
    let perm: Vec<_> = [0].into_iter().chain(2..rank).chain([1]).collect();
    Ok(c.b.transpose(v, &perm)?)
}

/// `[N, S…, C]` as `[N, C, S…]`.
pub(super) fn channels_first(c: &mut Ctx<'_, '_>, v: ValueId) -> Result<ValueId> {
    let rank = c.rank(v);
    let perm: Vec<_> = [0, rank - 1].into_iter().chain(1..rank - 1).collect();
    Ok(c.b.transpose(v, &perm)?)
}
