//! `AttributeProto` → [`Attribute`]. Its `type` says which kind it is of; the earliest files have none,
//! and writers that use proto3 leave out a value that is 0. Inside a function an attribute may stand for
//! one of the call's.

use std::sync::Arc;

use super::attribute::Attribute;
use super::convert::{Converter, Frame};
use super::limits::{attribute_weight, check_depth};
use super::model::Graph;
use super::names::Scope;
use super::proto::attribute_proto::AttributeType;
use super::proto::{AttributeProto, GraphProto};
use super::value_type::value_type;
use crate::error::{Error, NodePlace, Result};

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
fn kind(proto: &AttributeProto) -> Result<AttributeType> {
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

impl<'p> Converter<'p> {
    /// The value of an attribute; `None` where it refers to one that the call does not pass. Problems
    /// name the attribute.
    pub(super) fn attribute<'a>(
        &mut self,
        proto: &'a AttributeProto,
        frame: Frame<'a>,
        scope: &'a Scope<'a>,
        node: &NodePlace,
    ) -> Result<Option<Attribute>>
    where
        'p: 'a,
    {
        self.attribute_value(proto, frame, scope, node).map_err(|mut error| {
            error.problem = format!("attribute {:?}: {}", proto.name(), error.problem);
            error
        })
    }

    fn attribute_value<'a>(
        &mut self,
        proto: &'a AttributeProto,
        frame: Frame<'a>,
        scope: &'a Scope<'a>,
        node: &NodePlace,
    ) -> Result<Option<Attribute>>
    where
        'p: 'a,
    {
        let referred = proto.ref_attr_name();
        if !referred.is_empty() {
            let Some(call) = frame.call else {
                return Err(Error::new(format!(
                    "it refers to the attribute {referred:?} of a function, outside one"
                )));
            };
            let Some(passed) = call.attributes.get(referred).copied() else { return Ok(None) };
            let value = self.attribute_value(passed.proto, passed.frame, passed.scope, node)?;
            let declared = proto.r#type.unwrap_or(0);
            return match kind(passed.proto) {
                Ok(kind)
                    if passed.proto.ref_attr_name().is_empty()
                        && declared != 0
                        && kind as i32 != declared =>
                {
                    Err(Error::new(format!("the call passes {referred:?} as {}", kind.as_str_name())))
                }
                _ => Ok(value),
            };
        }
        if !self.room_for(attribute_weight(proto), frame) {
            return Ok(None);
        }
        let tensor = |t: &Option<_>| self.tensors.tensor(t.as_ref().ok_or_else(|| absent("tensor"))?);
        Ok(Some(match kind(proto)? {
            AttributeType::Undefined => return Err(absent("type")),
            AttributeType::Float => Attribute::Float(proto.f()),
            AttributeType::Int => Attribute::Int(proto.i()),
            AttributeType::String => Attribute::String(proto.s.clone().unwrap_or_default()),
            AttributeType::Floats => Attribute::Floats(proto.floats.clone()),
            AttributeType::Ints => Attribute::Ints(proto.ints.clone()),
            AttributeType::Strings => Attribute::Strings(proto.strings.clone()),
            AttributeType::Tensor => Attribute::Tensor(tensor(&proto.t)?),
            AttributeType::Tensors => Attribute::Tensors(
                proto.tensors.iter().map(|t| self.tensors.tensor(t)).collect::<Result<_>>()?,
            ),
            AttributeType::SparseTensor => {
                let sparse = proto.sparse_tensor.as_ref().ok_or_else(|| absent("sparse tensor"))?;
                Attribute::SparseTensor(self.tensors.sparse(sparse)?)
            }
            AttributeType::SparseTensors => {
                let all = proto.sparse_tensors.iter().map(|t| self.tensors.sparse(t));
                Attribute::SparseTensors(all.collect::<Result<_>>()?)
            }
            AttributeType::TypeProto => Attribute::Type(value_type(proto.tp.as_ref())?),
            AttributeType::TypeProtos => {
                let all = proto.type_protos.iter().map(|t| value_type(Some(t)));
                Attribute::Types(all.collect::<Result<_>>()?)
            }
            AttributeType::Graph => {
                let graph = proto.g.as_ref().ok_or_else(|| absent("graph"))?;
                Attribute::Graph(Box::new(self.subgraph(graph, proto.name(), node, frame, scope)?))
            }
            AttributeType::Graphs => {
                let one = |graph| self.subgraph(graph, proto.name(), node, frame, scope);
                Attribute::Graphs(proto.graphs.iter().map(one).collect::<Result<_>>()?)
            }
        }))
    }

    /// A graph that is the attribute `name` of `node`.
    fn subgraph<'a>(
        &mut self,
        proto: &'a GraphProto,
        name: &str,
        node: &NodePlace,
        frame: Frame<'a>,
        scope: &'a Scope<'a>,
    ) -> Result<Graph>
    where
        'p: 'a,
    {
        check_depth(frame)?;
        let place = Arc::from(format!("{name} of {node}"));
        let frame = Frame { place: Some(&place), depth: frame.depth + 1, ..frame };
        Ok(self.graph(proto, frame, Some(scope)))
    }
}

fn absent(what: &str) -> Error {
    Error::new(format!("its {what} is not there"))
}
