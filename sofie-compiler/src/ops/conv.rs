//! `Conv` and `ConvTranspose`, from ONNX's channels-first layout to the graph's channels-last one.
//! Constant weights are transposed while compiling.

use super::Ctx;
use super::window::{self, AutoPad};
use crate::error::{Error, Result};
use crate::ir::{self, Epilogue, Op, ValueId};

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
    let v = window::channels_last(c, v)?;
    let perm: Vec<_> = (2..c.rank(w)).chain([1, 0]).collect();
    let w = c.b.transpose(w, &perm)?;
    let operands: Vec<_> = [v, w].into_iter().chain(bias).collect();
    let y = c.b.one(Op::Conv(ir::Conv { window, group }, epilogue(bias)), &operands)?;
    window::channels_first(c, y)
}

/// `ConvTranspose`: `x [N, C, S…], w [C, M/g, K…], bias [M]`.
pub(super) fn conv_transpose(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let (v, w, bias) = (c.required(0, "X")?, c.required(1, "W")?, c.optional(2)?);
    let (kernel, group) = weights(c, v, w)?;
    let n = kernel.len();
    let mut window = window::unpadded(c, kernel)?;
    let mut output_padding = match c.attrs.ints("output_padding")? {
        Some(padding) => window::counts("output_padding", padding, n, 0)?,
        None => vec![0; n],
    };
    (window.pads_begin, window.pads_end) = window::pads(c, n)?;
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
    Ok(vec![window::channels_first(c, y)?])
}
