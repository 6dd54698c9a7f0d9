//! A builder of ONNX protos: short enough that a test's graph can be seen at a glance.

use prost::Message;
use sofie_infer_compiler::onnx::proto::attribute_proto::AttributeType;
use sofie_infer_compiler::onnx::proto::tensor_proto::DataType;
use sofie_infer_compiler::onnx::proto::tensor_shape_proto::{Dimension, dimension};
use sofie_infer_compiler::onnx::proto::*;

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|n| (*n).to_owned()).collect()
}

/// A node without a name and attributes.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: owned(inputs),
        output: owned(outputs),
        ..NodeProto::default()
    }
}

/// What a test adds to a node.
pub trait NodeExt {
    fn named(self, name: &str) -> Self;
    fn domain(self, domain: &str) -> Self;
    fn with(self, attribute: AttributeProto) -> Self;
}

impl NodeExt for NodeProto {
    fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    fn domain(mut self, domain: &str) -> Self {
        self.domain = Some(domain.into());
        self
    }

    fn with(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }
}

/// An attribute whose value is still to be set.
pub fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind as i32), ..AttributeProto::default() }
}

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i: Some(i), ..attribute(name, AttributeType::Int) }
}

pub fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { f: Some(f), ..attribute(name, AttributeType::Float) }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, AttributeType::Ints) }
}

pub fn string(name: &str, s: &str) -> AttributeProto {
    AttributeProto { s: Some(s.to_owned().into()), ..attribute(name, AttributeType::String) }
}

pub fn tensor(name: &str, t: TensorProto) -> AttributeProto {
    AttributeProto { t: Some(t), ..attribute(name, AttributeType::Tensor) }
}

pub fn graph(name: &str, g: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(g), ..attribute(name, AttributeType::Graph) }
}

/// An attribute of a node inside a function that takes the call's attribute `referred`.
pub fn reference(name: &str, referred: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { ref_attr_name: Some(referred.into()), ..attribute(name, kind) }
}

/// A tensor without data.
pub fn tensor_of(name: &str, data_type: DataType, dims: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        data_type: Some(data_type as i32),
        dims: dims.to_vec(),
        ..TensorProto::default()
    }
}

/// A tensor of f32 as raw data.
pub fn f32s(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    TensorProto { raw_data: Some(raw.into()), ..tensor_of(name, DataType::Float, dims) }
}

/// A tensor of i64 in its typed field.
pub fn i64s(name: &str, dims: &[i64], data: &[i64]) -> TensorProto {
    TensorProto { int64_data: data.to_vec(), ..tensor_of(name, DataType::Int64, dims) }
}

/// A declared tensor; dimensions are numbers or names.
pub fn value(name: &str, data_type: DataType, shape: &[&str]) -> ValueInfoProto {
    let dim = |text: &&str| {
        let value = match text.parse() {
            Ok(n) => dimension::Value::DimValue(n),
            Err(_) => dimension::Value::DimParam((*text).to_owned()),
        };
        Dimension { value: Some(value), denotation: None }
    };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: Some(data_type as i32), shape: Some(shape) };
    typed(name, type_proto::Value::TensorType(tensor))
}

/// A declared value of any type.
pub fn typed(name: &str, value: type_proto::Value) -> ValueInfoProto {
    let ty = TypeProto { value: Some(value), denotation: None };
    ValueInfoProto { name: Some(name.into()), r#type: Some(ty), ..ValueInfoProto::default() }
}

/// A graph of f32 vectors of length 3.
pub fn graph_of(inputs: &[&str], nodes: &[NodeProto], outputs: &[&str]) -> GraphProto {
    let values = |names: &[&str]| names.iter().map(|n| value(n, DataType::Float, &["3"])).collect();
    GraphProto {
        name: Some("g".into()),
        input: values(inputs),
        node: nodes.to_vec(),
        output: values(outputs),
        ..GraphProto::default()
    }
}

pub fn opset(domain: &str, version: i64) -> OperatorSetIdProto {
    OperatorSetIdProto { domain: Some(domain.into()), version: Some(version) }
}

/// A model of IR version 10 that imports `ai.onnx` 21 and the domain `local`.
pub fn model(graph: GraphProto) -> ModelProto {
    ModelProto {
        ir_version: Some(10),
        producer_name: Some("test".into()),
        opset_import: vec![opset("", 21), opset("local", 1)],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// A function of the domain `local` that imports `ai.onnx` 18.
pub fn function(name: &str, inputs: &[&str], nodes: &[NodeProto], outputs: &[&str]) -> FunctionProto {
    FunctionProto {
        name: Some(name.into()),
        domain: Some("local".into()),
        input: owned(inputs),
        output: owned(outputs),
        node: nodes.to_vec(),
        opset_import: vec![opset("", 18)],
        ..FunctionProto::default()
    }
}

/// The bytes of a model.
pub fn bytes(model: &ModelProto) -> Vec<u8> {
    model.encode_to_vec()
}

/// A small model that uses every part of the format: functions, subgraphs, a sparse initialiser,
/// tensors in raw and typed fields, every kind of attribute, and types beyond tensors.
pub fn rich() -> ModelProto {
    let branch = |name: &str, op: &str| {
        graph(name, graph_of(&[], &[node(op, &["h", "w"], &["r"]).named("inner")], &["r"]))
    };
    let body = [
        node("Mul", &["a", "k"], &["t"]).named("mul"),
        node("Constant", &[], &["k"]).with(reference("value_float", "scale", AttributeType::Float)),
        node("Add", &["t", "b"], &["y"]),
    ];
    let mut scaled = function("Scaled", &["a", "b"], &body, &["y"]);
    scaled.attribute_proto = vec![float("scale", 2.0)];
    let nodes = [
        node("Scaled", &["x", "w"], &["h"]).domain("local").named("call").with(float("scale", 0.5)),
        node("If", &["c"], &["y"])
            .named("if")
            .with(branch("then_branch", "Add"))
            .with(branch("else_branch", "Sub")),
        node("Constant", &[], &["i"]).with(tensor("value", i64s("", &[2], &[-1, 7]))),
        node("Odd", &["y", "", "s", "i", "q"], &["z", "", "o"])
            .domain("local")
            .with(ints("axes", &[-1, 0]))
            .with(string("mode", "linear"))
            .with(int("zero", 0)),
    ];
    let mut g = graph_of(&["x"], &nodes, &["z"]);
    g.input.push(value("c", DataType::Bool, &[]));
    g.input.push(value("d", DataType::Float16, &["batch", "?", "0"]));
    let element = TypeProto {
        value: value("", DataType::Int64, &["n"]).r#type.and_then(|t| t.value),
        denotation: None,
    };
    let sequence = type_proto::Sequence { elem_type: Some(Box::new(element)) };
    g.value_info.push(typed("o", type_proto::Value::SequenceType(Box::new(sequence))));
    g.initializer.push(f32s("w", &[3], &[1.0, -2.0, f32::NAN]));
    let half = TensorProto { int32_data: vec![0x3c00, 0xfc00], ..tensor_of("q", DataType::Float16, &[2]) };
    g.initializer.push(half);
    g.sparse_initializer.push(SparseTensorProto {
        values: Some(f32s("s", &[2], &[5.0, 6.0])),
        indices: Some(i64s("", &[2], &[1, 3])),
        dims: vec![2, 3],
    });
    ModelProto { functions: vec![scaled], ..model(g) }
}
