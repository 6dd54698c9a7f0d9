//! Which kind an `AttributeProto` is of. Its `type` says so; the earliest files have none, and
//! writers that use proto3 leave out a value that is 0.

use super::proto::AttributeProto;
use super::proto::attribute_proto::AttributeType;
use crate::error::{Error, Result};

/// The kinds whose fields hold something other than the default.
fn filled(proto: &AttributeProto) -> Vec<AttributeType> {
    use AttributeType::*;
    let fields = [
        (Float, proto.f.is_some_and(|f| f.to_bits() != 0)),
        (Int, proto.i.is_some_and(|i| i != 0)),
        (String, proto.s.as_ref().is_some_and(|s| !s.is_empty())),
        (Tensor, proto.t.is_some()),
        (Graph, proto.g.is_some()),
        (SparseTensor, proto.sparse_tensor.is_some()),
        (TypeProto, proto.tp.is_some()),
        (Floats, !proto.floats.is_empty()),
        (Ints, !proto.ints.is_empty()),
        (Strings, !proto.strings.is_empty()),
        (Tensors, !proto.tensors.is_empty()),
        (Graphs, !proto.graphs.is_empty()),
        (SparseTensors, !proto.sparse_tensors.is_empty()),
        (TypeProtos, !proto.type_protos.is_empty()),
    ];
    fields.into_iter().filter(|(_, filled)| *filled).map(|(kind, _)| kind).collect()
}

/// The kind of an attribute that holds its value itself.
///
/// # Errors
/// The file contradicts itself, or names a kind that ONNX does not define.
pub(super) fn kind(proto: &AttributeProto) -> Result<AttributeType> {
    let code = proto.r#type.unwrap_or(0);
    let Ok(declared) = AttributeType::try_from(code) else {
        return Err(Error::new(format!("attribute type {code} is none that ONNX defines"))
            .help("the file is damaged, or newer than IR version 14"));
    };
    match (declared, filled(proto).as_slice()) {
        (AttributeType::Undefined, [one]) => Ok(*one),
        // Without a type, a scalar that is there but 0 is the only value.
        (AttributeType::Undefined, []) if proto.i.is_some() => Ok(AttributeType::Int),
        (AttributeType::Undefined, []) if proto.f.is_some() => Ok(AttributeType::Float),
        (AttributeType::Undefined, []) if proto.s.is_some() => Ok(AttributeType::String),
        (AttributeType::Undefined, _) => Err(Error::new("the attribute's type cannot be told")),
        (declared, filled) => match filled.iter().find(|other| **other != declared) {
            None => Ok(declared),
            Some(other) => Err(Error::new(format!(
                "the attribute says that it is {} but holds {}",
                declared.as_str_name(),
                other.as_str_name()
            ))),
        },
    }
}
