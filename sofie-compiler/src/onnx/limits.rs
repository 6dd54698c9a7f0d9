//! What keeps a small file from becoming a large model: functions and subgraphs may nest only so deep
//! and expand to only so much. What stands in the model's own graph is bounded by the file's size.

use super::convert::Frame;
use super::proto::{AttributeProto, NodeProto, TensorProto};
use crate::error::{Error, Result};

/// How deep subgraphs and function calls may nest in each other: far beyond any exporter, and little
/// enough for every recursive walk over the result.
const MAX_DEPTH: usize = 64;

/// How many bytes, roughly, functions and subgraphs may expand to: a quarter of a million nodes. A
/// function that calls another twice, thirty times over, is a billion nodes in a file of a kilobyte.
pub(super) const MAX_EXPANDED: usize = 1 << 26;

/// That graphs and calls do not nest too deep.
pub(super) fn check_depth(frame: Frame<'_>) -> Result<()> {
    if frame.depth < MAX_DEPTH {
        return Ok(());
    }
    Err(Error::new(format!("subgraphs and functions nest more than {MAX_DEPTH} deep")))
}

/// The bytes, roughly, of a tensor's name where it is inlined.
pub(super) fn weight(name: &str, frame: Frame<'_>) -> usize {
    64 + name.len() + frame.call.map_or(0, |call| call.prefix.len())
}

/// The bytes, roughly, of a node without its attributes.
pub(super) fn node_weight(proto: &NodeProto, frame: Frame<'_>) -> usize {
    let names = proto.input.iter().chain(&proto.output).map(|name| weight(name, frame)).sum::<usize>();
    let texts = proto.name().len() + proto.op_type().len() + proto.domain().len();
    names + weight("", frame) + texts + frame.place.map_or(0, |place| place.len())
}

/// The bytes, roughly, that an attribute takes beyond those that it shares with the file.
pub(super) fn attribute_weight(proto: &AttributeProto) -> usize {
    let typed = |t: &TensorProto| {
        t.dims.len()
            + t.float_data.len()
            + t.int32_data.len()
            + t.int64_data.len()
            + t.double_data.len()
            + t.uint64_data.len()
            + t.string_data.len()
    };
    let tensors = proto.tensors.iter().chain(&proto.t).map(|t| 8 + typed(t)).sum::<usize>();
    let lists = proto.ints.len() + proto.floats.len() + 4 * proto.strings.len();
    64 + proto.name().len() + 8 * (tensors + lists)
}
