//! The kernels for convolutions of bytes, where they have such a window.

use super::weights::Packing;
use crate::ir::{Conv, Graph, Node};
use sofie_infer_runtime::plain::{ByteConv, ByteDepthwise, Plain};

/// A convolution's kernel, and how it reads the weights.
pub fn of(graph: &Graph, node: &Node, conv: &Conv) -> Option<(Plain, Packing)> {
    let x = graph.shape(*node.inputs.first()?).fixed()?;
    let y = graph.shape(*node.outputs.first()?).fixed()?;
    let w = &conv.window;
    // A line is an image of one row.
    let pair = |list: &[usize], other: usize| match *list {
        [n] => Some([other, n]),
        [a, b] => Some([a, b]),
        _ => None,
    };
    let [begin, end] = [pair(&w.pads_begin, 0)?, pair(&w.pads_end, 0)?];
    let pads = [begin[0], end[0], begin[1], end[1]];
    let (batch, channels, filters) = (*x.first()?, *x.last()?, *y.last()?);
    let image = pair(x.get(1..x.len().checked_sub(1)?)?, 1)?;
    let result = pair(y.get(1..y.len().checked_sub(1)?)?, 1)?;
    let (kernel, strides, dilations) = (pair(&w.kernel, 1)?, pair(&w.strides, 1)?, pair(&w.dilations, 1)?);
    let (ldc, finish) = (filters, None);
    if conv.group > 1 {
        let is_depthwise = conv.group == channels && channels == filters;
        let taps = kernel[0].checked_mul(kernel[1])?;
        let made =
            ByteDepthwise { batch, image, channels, kernel, strides, dilations, pads, result, ldc, finish };
        return (is_depthwise && taps <= ByteDepthwise::MOST_TAPS).then(|| (made.into(), Packing::Taps));
    }
    let dilation = dilations[0];
    let made =
        ByteConv { batch, image, channels, filters, kernel, strides, dilation, pads, result, ldc, finish };
    let run = kernel[1].checked_mul(channels)?;
    (dilations[1] == 1 || kernel[1] == 1).then(|| (made.into(), Packing::Runs(run)))
}
