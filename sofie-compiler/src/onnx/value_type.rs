//! `TypeProto` → [`ValueType`]: every type is represented, so that one that is not supported can be
//! refused by its name and where it is used.

use super::element::ElementType;
use super::model::{DimSpec, TensorType, ValueType};
use super::proto::tensor_shape_proto::dimension::Value as DimValue;
use super::proto::type_proto::Value;
use super::proto::{TensorShapeProto, TypeProto};
use crate::error::Result;

/// The declared type of a value.
///
/// # Errors
/// An element type that ONNX does not define.
pub(super) fn value_type(proto: Option<&TypeProto>) -> Result<ValueType> {
    let Some(value) = proto.and_then(|p| p.value.as_ref()) else { return Ok(ValueType::Undeclared) };
    let nested = |inner: Option<&TypeProto>| value_type(inner).map(Box::new);
    Ok(match value {
        Value::TensorType(t) => ValueType::Tensor(tensor_type(t.elem_type(), t.shape.as_ref())?),
        Value::SparseTensorType(t) => ValueType::SparseTensor(tensor_type(t.elem_type(), t.shape.as_ref())?),
        Value::SequenceType(s) => ValueType::Sequence(nested(s.elem_type.as_deref())?),
        Value::MapType(m) => {
            ValueType::Map(ElementType::from_onnx(m.key_type())?, nested(m.value_type.as_deref())?)
        }
        Value::OptionalType(o) => ValueType::Optional(nested(o.elem_type.as_deref())?),
        Value::OpaqueType(o) => ValueType::Opaque { domain: o.domain().into(), name: o.name().into() },
    })
}

fn tensor_type(code: i32, shape: Option<&TensorShapeProto>) -> Result<TensorType> {
    let element = if code == 0 { None } else { Some(ElementType::from_onnx(code)?) };
    let dims = |shape: &TensorShapeProto| shape.dim.iter().map(|d| dim(d.value.as_ref())).collect();
    Ok(TensorType { element, shape: shape.map(dims) })
}

/// Some exporters write -1, "?" or "None" for "anything"; taken as a name, two of them would be equal.
fn dim(value: Option<&DimValue>) -> DimSpec {
    match value {
        Some(DimValue::DimValue(n)) => u64::try_from(*n).map_or(DimSpec::Unknown, DimSpec::Const),
        Some(DimValue::DimParam(name)) if !matches!(name.trim(), "" | "?" | "*" | "-1" | "None") => {
            DimSpec::Symbol(name.clone())
        }
        _ => DimSpec::Unknown,
    }
}
