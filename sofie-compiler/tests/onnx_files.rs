//! Real files: every one parses, and what is read agrees with a second, independent decoder
//! (`onnx-protobuf`, from another protobuf implementation and another copy of the schema).

mod common;

use std::fmt::Write;
use std::path::Path;

use onnx_protobuf::Message;
use onnx_protobuf::attribute_proto::AttributeType;
use sofie_infer_compiler::onnx::{Attribute, ElementType, Graph, Tensor, ValueInfo, ValueType, load};
use sofie_infer_runtime::DType;

#[test]
fn both_decoders_read_the_same() {
    let files = common::model_files();
    assert!(!files.is_empty(), "assets/ has models");
    for path in files {
        let model = load(&path).unwrap_or_else(|errors| panic!("{errors}"));
        let other = onnx_protobuf::ModelProto::parse_from_bytes(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(model.ir_version, other.ir_version);
        assert_eq!(model.producer, format!("{} {}", other.producer_name, other.producer_version).trim());
        for opset in &other.opset_import {
            assert_eq!(model.opsets.version(&opset.domain), Some(opset.version), "{}", path.display());
        }
        assert_eq!(model.files[0], path);
        if other.functions.is_empty() {
            let (ours, theirs) = (ours(&model.graph), theirs(&other.graph, &path, true));
            for (a, b) in ours.lines().zip(theirs.lines()) {
                assert_eq!(a, b, "{}", path.display());
            }
            assert_eq!(ours.lines().count(), theirs.lines().count(), "{}", path.display());
        }
    }
}

/// A graph as text, one line a part.
fn ours(graph: &Graph) -> String {
    let mut out = String::new();
    for (what, values) in [("in", &graph.inputs), ("out", &graph.outputs)] {
        for value in values {
            writeln!(out, "{what} {} {}", value.name, our_type(value)).unwrap();
        }
    }
    for initializer in &graph.initializers {
        writeln!(out, "const {} {}", initializer.name, our_tensor(&initializer.tensor)).unwrap();
    }
    let mut nodes: Vec<_> = graph.nodes.iter().collect();
    nodes.sort_by_key(|node| node.index);
    for node in nodes {
        let names = |names: &[Option<_>]| {
            names.iter().map(|n| n.as_ref().map_or(String::new(), ToString::to_string)).collect::<Vec<_>>()
        };
        let (inputs, outputs) = (names(&node.inputs), names(&node.outputs));
        writeln!(out, "{} {}/{} {inputs:?} {outputs:?}", node.name, node.domain, node.op_type).unwrap();
        for (name, value) in &node.attributes {
            let value = match value {
                Attribute::Float(v) => format!("{:x}", v.to_bits()),
                Attribute::Int(v) => v.to_string(),
                Attribute::String(v) => format!("{:?}", &v[..]),
                Attribute::Tensor(v) => our_tensor(v),
                Attribute::Graph(g) => ours(g),
                Attribute::Floats(v) => format!("{v:?}"),
                Attribute::Ints(v) => format!("{v:?}"),
                Attribute::Strings(v) => format!("{:?}", v.iter().map(|s| s.to_vec()).collect::<Vec<_>>()),
                other => other.kind().to_owned(),
            };
            writeln!(out, "  {name} {value}").unwrap();
        }
    }
    out
}

fn theirs(graph: &onnx_protobuf::GraphProto, path: &Path, whole: bool) -> String {
    let mut out = String::new();
    let constant = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    for value in graph.input.iter().filter(|v| !constant(&v.name)) {
        writeln!(out, "in {} {}", value.name, their_type(value)).unwrap();
    }
    for value in &graph.output {
        writeln!(out, "out {} {}", value.name, their_type(value)).unwrap();
    }
    for tensor in &graph.initializer {
        writeln!(out, "const {} {}", tensor.name, their_tensor(tensor, path)).unwrap();
    }
    for node in &graph.node {
        let names = |names: &[String]| {
            let mut names = names.to_vec();
            while names.last().is_some_and(String::is_empty) {
                names.pop();
            }
            names
        };
        let (inputs, outputs) = (names(&node.input), names(&node.output));
        let domain = if node.domain == "ai.onnx" { "" } else { &node.domain };
        writeln!(out, "{} {domain}/{} {inputs:?} {outputs:?}", node.name, node.op_type).unwrap();
        let mut attributes: Vec<_> = node.attribute.iter().collect();
        attributes.sort_by_key(|a| &a.name);
        for a in attributes {
            let value = match a.type_.unwrap() {
                AttributeType::FLOAT => format!("{:x}", a.f.to_bits()),
                AttributeType::INT => a.i.to_string(),
                AttributeType::STRING => format!("{:?}", a.s),
                AttributeType::TENSOR => their_tensor(&a.t, path),
                AttributeType::GRAPH => theirs(&a.g, path, false),
                AttributeType::FLOATS => format!("{:?}", a.floats),
                AttributeType::INTS => format!("{:?}", a.ints),
                AttributeType::STRINGS => format!("{:?}", a.strings),
                other => panic!("{other:?} is in no model of the zoo"),
            };
            writeln!(out, "  {} {value}", a.name).unwrap();
        }
    }
    assert!(!whole || !graph.output.is_empty());
    out
}

fn our_type(value: &ValueInfo) -> String {
    match &value.ty {
        ValueType::Undeclared => "?".to_owned(),
        ValueType::Tensor(tensor) => {
            let shape = tensor.shape.as_ref().map(|s| s.iter().map(ToString::to_string).collect::<Vec<_>>());
            format!("{:?} {shape:?}", tensor.element.map(code))
        }
        other => other.to_string(),
    }
}

fn their_type(value: &onnx_protobuf::ValueInfoProto) -> String {
    use onnx_protobuf::tensor_shape_proto::dimension::Value as Dim;
    match value.type_.value.as_ref() {
        Some(onnx_protobuf::type_proto::Value::TensorType(t)) => {
            let dim = |d: &onnx_protobuf::tensor_shape_proto::Dimension| match &d.value {
                Some(Dim::DimValue(n)) => n.to_string(),
                Some(Dim::DimParam(name)) => name.clone(),
                _ => "?".to_owned(),
            };
            let shape = t.shape.as_ref().map(|s| s.dim.iter().map(dim).collect::<Vec<_>>());
            format!("{:?} {shape:?}", Some(t.elem_type).filter(|code| *code != 0))
        }
        None => "?".to_owned(),
        other => panic!("{other:?} is in no model of the zoo"),
    }
}

/// The number of an element type in onnx.proto.
fn code(element: ElementType) -> i32 {
    let dtypes = [
        (DType::F32, 1),
        (DType::U8, 2),
        (DType::I8, 3),
        (DType::U16, 4),
        (DType::I16, 5),
        (DType::I32, 6),
        (DType::I64, 7),
        (DType::Bool, 9),
        (DType::F16, 10),
        (DType::F64, 11),
        (DType::U32, 12),
        (DType::U64, 13),
        (DType::BF16, 16),
    ];
    match element {
        ElementType::Plain(dtype) => dtypes.iter().find(|(d, _)| *d == dtype).unwrap().1,
        ElementType::String => 8,
        other => panic!("{other} is in no model of the zoo"),
    }
}

fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3))
}

fn our_tensor(tensor: &Tensor) -> String {
    format!(
        "{} {:?} {} {:x}",
        code(tensor.element()),
        tensor.dims(),
        tensor.bytes().len(),
        digest(tensor.bytes())
    )
}

fn their_tensor(tensor: &onnx_protobuf::TensorProto, path: &Path) -> String {
    let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let mut bytes = tensor.raw_data.clone();
    if let Some(location) = entry("location") {
        let file = std::fs::read(path.parent().unwrap().join(location)).unwrap();
        let number = |key, default| entry(key).map_or(default, |text| text.parse::<usize>().unwrap());
        let offset = number("offset", 0);
        bytes = file[offset..offset + number("length", file.len() - offset)].to_vec();
    }
    bytes.extend(tensor.float_data.iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend(tensor.int64_data.iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend(tensor.double_data.iter().flat_map(|v| v.to_le_bytes()));
    let width = match tensor.data_type {
        2 | 3 | 9 => 1,
        4 | 5 | 10 | 16 => 2,
        _ => 4,
    };
    bytes.extend(tensor.int32_data.iter().flat_map(|v| v.to_le_bytes().into_iter().take(width)));
    format!("{} {:?} {} {:x}", tensor.data_type, tensor.dims, bytes.len(), digest(&bytes))
}
