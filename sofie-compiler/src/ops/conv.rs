//! `Conv` and `ConvTranspose`, from ONNX's channels-first layout to the graph's channels-last one.
//! Constant weights are transposed while compiling.

use super::Ctx;
use super::window::{self, AutoPad};
use crate::error::{Error, Result};
use crate::ir::{self, Dim, Epilogue, Op, ValueId, Window};

/// Weights, their spatial extents, and the group.
fn weights(c: &Ctx<'_, '_>, v: ValueId, w: ValueId) -> Result<(Vec<usize>, usize)> {
    let n = window::spatial(c, v)?;
    let shape = c.fixed(w, "the weights' shape")?;
    if shape.len() != n + 2 {
        return Err(Error::misfit(format!("weights {} do not fit the input {}", c.shape(w), c.shape(v))));
    }
    let kernel = shape[2..].to_vec();
    if let Some(declared) = c.attrs.ints("kernel_shape")?
        && window::counts("kernel_shape", declared, n, 1)? != kernel
    {
        return Err(Error::new(format!("kernel_shape is {declared:?}, but the weights are {}", c.shape(w))));
    }
    let group = c.attrs.int_or("group", 1)?;
    let usable = usize::try_from(group).ok().filter(|&g| g > 0);
    Ok((kernel, usable.ok_or_else(|| Error::new(format!("group is {group}")))?))
}

fn epilogue(bias: Option<ValueId>) -> Epilogue {
    if bias.is_some() { Epilogue::BIAS } else { Epilogue::NONE }
}

/// `Conv`: `x [N, C, S…], w [M, C/g, K…], bias [M]`.
pub(super) fn conv(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w, bias) = (c.required(0, "X")?, c.required(1, "W")?, c.optional(2)?);
    Ok(vec![convolution(c, v, w, bias)?])
}

/// A convolution with the node's window: `x [N, C, S…], w [M, C/g, K…], bias [M]`.
pub(super) fn convolution(
    c: &mut Ctx<'_, '_>,
    v: ValueId,
    w: ValueId,
    bias: Option<ValueId>,
) -> Result<ValueId> {
    let (kernel, group) = weights(c, v, w)?;
    let window = window::window(c, v, kernel)?;
    if group == 1 && spans(c, [v, w], &window) {
        return spanning(c, [v, w], bias, window);
    }
    let v = window::channels_last(c, v)?;
    let perm: Vec<_> = (2..c.rank(w)).chain([1, 0]).collect();
    let w = c.b.transpose(w, &perm)?;
    let operands: Vec<_> = [v, w].into_iter().chain(bias).collect();
    let y = c.b.one(Op::Conv(ir::Conv::new(window, group), epilogue(bias)), &operands)?;
    window::channels_first(c, y)
}

/// Floats of weights, more than what the second-level cache holds, from which on it pays to copy the operand for it.
const HEAVY: i64 = 1 << 19;

/// Rows of a window from which on they are too many pieces.
const TALL: usize = 8;

/// Whether a window of two axes has all rows of `v [N, C, H, W]` at once, and weights `w` for which that matters.
fn spans(c: &Ctx<'_, '_>, [v, w]: [ValueId; 2], window: &Window) -> bool {
    let [height, _] = window.kernel[..] else { return false };
    let weights = c.shape(w).numel().ok().and_then(|n| n.fixed());
    height >= TALL
        && c.shape(v)[2].is(height as i64)
        && (window.dilations[0], window.pads_begin[0], window.pads_end[0]) == (1, 0, 0)
        && weights.is_some_and(|n| n >= HEAVY)
}

/// A convolution whose window has all rows of its operand: `[N, C, H, W]` read as `[N, C·H, W]`, so that what was H short
/// pieces of memory is a long one (measured: 96 rows of 3 · 20 floats, 200 filters: 2.5 ms, and so 1.2).
fn spanning(
    c: &mut Ctx<'_, '_>,
    [v, w]: [ValueId; 2],
    bias: Option<ValueId>,
    window: Window,
) -> Result<ValueId> {
    let mut flat = |v: ValueId| -> Result<ValueId> {
        let shape = c.shape(v);
        c.reshape(v, &[shape[0].clone(), shape[1].mul(&shape[2])?, shape[3].clone()])
    };
    let (v, w) = (flat(v)?, flat(w)?);
    let last = |list: &[usize]| list[1..].to_vec();
    let window = Window {
        kernel: last(&window.kernel),
        strides: last(&window.strides),
        dilations: last(&window.dilations),
        pads_begin: last(&window.pads_begin),
        pads_end: last(&window.pads_end),
    };
    let v = window::channels_last(c, v)?;
    let w = c.b.transpose(w, &[2, 1, 0])?;
    let operands: Vec<_> = [v, w].into_iter().chain(bias).collect();
    let y = c.b.one(Op::Conv(ir::Conv::new(window, 1), epilogue(bias)), &operands)?;
    let y = window::channels_first(c, y)?;
    let shape = c.shape(y);
    c.reshape(y, &[shape[0].clone(), shape[1].clone(), Dim::ONE, shape[2].clone()])
}

/// `ConvTranspose`: `x [N, C, S…], w [C, M/g, K…], bias [M]`.
pub(super) fn conv_transpose(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let bias = c.optional(2)?;
    let n = window::spatial(c, c.required(0, "X")?)?;
    let pads = window::pads(c, n)?;
    Ok(vec![transposed(c, bias, pads)?])
}

/// A transposed convolution of operands 0 and 1 with `pads`.
pub(super) fn transposed(
    c: &mut Ctx<'_, '_>,
    bias: Option<ValueId>,
    pads: (Vec<usize>, Vec<usize>),
) -> Result<ValueId> {
    let (v, w) = (c.required(0, "X")?, c.required(1, "W")?);
    let (kernel, group) = weights(c, v, w)?;
    let n = kernel.len();
    let mut window = window::unpadded(c, kernel)?;
    let mut output_padding = match c.attrs.ints("output_padding")? {
        Some(padding) => window::counts("output_padding", padding, n, 0)?,
        None => vec![0; n],
    };
    (window.pads_begin, window.pads_end) = pads;
    let auto = window::auto_pad(c)?;
    let wanted = match c.attrs.ints("output_shape")? {
        // Some exporters list batch and channels too.
        Some(shape) if shape.len() == n + 2 => Some(window::counts("output_shape", &shape[2..], n, 1)?),
        Some(shape) => Some(window::counts("output_shape", shape, n, 1)?),
        None => None,
    };
    if wanted.is_some() || matches!(auto, AutoPad::SameUpper | AutoPad::SameLower) {
        let extents = c.fixed(v, "auto_pad or output_shape")?;
        for i in 0..n {
            let extent = extents[i + 2];
            let full =
                extent.saturating_sub(1) * window.strides[i] + output_padding[i] + window::reach(&window, i);
            let result = wanted.as_ref().map_or(extent * window.strides[i], |w| w[i]);
            // What is cut where the result is smaller; where it is larger, rows of zeros stand behind it.
            let total = full.saturating_sub(result);
            output_padding[i] += result.saturating_sub(full);
            let less = total / 2;
            let (begin, end) =
                if auto == AutoPad::SameUpper { (less, total - less) } else { (total - less, less) };
            (window.pads_begin[i], window.pads_end[i]) = (begin, end);
        }
    } else if auto == AutoPad::Valid {
        (window.pads_begin, window.pads_end) = (vec![0; n], vec![0; n]);
    }
    let v = window::channels_last(c, v)?;
    let perm: Vec<_> = (2..n + 2).chain([0, 1]).collect();
    let w = c.b.transpose(w, &perm)?;
    let operands: Vec<_> = [v, w].into_iter().chain(bias).collect();
    let op = ir::ConvTranspose { window, group, output_padding };
    let y = c.b.one(Op::ConvTranspose(op, epilogue(bias)), &operands)?;
    window::channels_first(c, y)
}

#[cfg(test)]
mod tests {
    use crate::ir::Tensor;
    use crate::onnx::Attribute;
    use crate::ops::testing::*;

    #[test]
    fn a_window_of_all_rows_is_one_of_one_axis() {
        let (channels, height, width, filters) = (4, 128, 5, 342);
        let x: Vec<f32> = (0..channels * height * width).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        let w: Vec<f32> = (0..filters * channels * height * 3).map(|i| (i * 5 % 13) as f32 - 6.0).collect();
        let args = [f32s(&[1, channels, height, width], &x), f32s(&[filters, channels, height, 3], &w)];
        let attrs = [("pads", Attribute::Ints(vec![0, 1, 0, 1])), ("strides", Attribute::Ints(vec![4, 2]))];
        let graph = lowered("Conv", 11, &attrs, &args, 1).unwrap().to_string();
        assert!(graph.contains("kernel: [3], strides: [2]"), "{graph}");
        let mut expected = Vec::new();
        for f in 0..filters {
            for o in [0usize, 2, 4] {
                let mut sum = 0.0;
                for (c, h, k) in (0..channels * height * 3).map(|i| (i / (3 * height), i / 3 % height, i % 3))
                {
                    let at = (o + k).checked_sub(1).filter(|at| *at < width);
                    let x = at.map_or(0.0, |at| x[(c * height + h) * width + at]);
                    sum += x * w[((f * channels + c) * height + h) * 3 + k];
                }
                expected.push(sum);
            }
        }
        assert_eq!(run("Conv", 11, &attrs, &args), Tensor::of(&[1, filters, 1, 3], &expected));
        // Light ones stay as they are.
        let args = [f32s(&[1, 1, 9, 2], &[1.0; 18]), f32s(&[1, 1, 9, 1], &[1.0; 9])];
        let graph = lowered("Conv", 11, &[], &args, 1).unwrap().to_string();
        assert!(graph.contains("kernel: [9, 1]"), "{graph}");
    }
}
