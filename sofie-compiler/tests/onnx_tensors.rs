//! Tensors: every field that can hold elements, sparse ones, and data in files beside the model.

mod common;

use std::path::{Path, PathBuf};

use common::build::{bytes, f32s, graph_of, i64s, model, node, tensor_of};
use prost::Message;
use sofie_infer_compiler::onnx::proto::tensor_proto::{DataLocation, DataType, Segment};
use sofie_infer_compiler::onnx::proto::{SparseTensorProto, StringStringEntryProto, TensorProto};
use sofie_infer_compiler::onnx::{ElementType, Model, NoExternalData, Tensor, load, parse, parse_tensor};

fn tensor(proto: &TensorProto) -> Tensor {
    parse_tensor(proto.encode_to_vec()).unwrap()
}

fn problem(proto: &TensorProto) -> String {
    parse_tensor(proto.encode_to_vec()).unwrap_err().to_string()
}

#[test]
fn typed_fields_hold_what_their_type_says() {
    let words = |data_type, dims: &[i64], data: &[i32]| {
        tensor(&TensorProto { int32_data: data.to_vec(), ..tensor_of("t", data_type, dims) })
    };
    let float =
        TensorProto { float_data: vec![1.5, f32::NEG_INFINITY], ..tensor_of("t", DataType::Float, &[2]) };
    assert_eq!(tensor(&float).to_f32().unwrap(), [1.5, f32::NEG_INFINITY]);
    let double = TensorProto { double_data: vec![1e300], ..tensor_of("t", DataType::Double, &[1, 1]) };
    assert_eq!(tensor(&double).scalar_f64().unwrap(), 1e300);
    assert_eq!(tensor(&i64s("t", &[2], &[i64::MIN, 3])).to_i64().unwrap(), [i64::MIN, 3]);
    let unsigned = TensorProto { uint64_data: vec![u64::MAX], ..tensor_of("t", DataType::Uint64, &[1]) };
    assert_eq!(tensor(&unsigned).to_vec::<u64>().unwrap(), [u64::MAX]);
    let unsigned =
        TensorProto { uint64_data: vec![u32::MAX.into()], ..tensor_of("t", DataType::Uint32, &[]) };
    assert_eq!(tensor(&unsigned).scalar_i64().unwrap(), i64::from(u32::MAX));

    assert_eq!(words(DataType::Int32, &[2], &[-1, i32::MAX]).to_i64().unwrap(), [-1, i64::from(i32::MAX)]);
    assert_eq!(words(DataType::Int8, &[3], &[-128, 127, 255]).to_i64().unwrap(), [-128, 127, -1]);
    assert_eq!(words(DataType::Uint8, &[2], &[0, 255]).to_i64().unwrap(), [0, 255]);
    assert_eq!(words(DataType::Int16, &[2], &[-32768, 5]).to_i64().unwrap(), [-32768, 5]);
    assert_eq!(words(DataType::Uint16, &[1], &[65535]).to_i64().unwrap(), [65535]);
    assert_eq!(words(DataType::Bool, &[3], &[0, 1, 2]).bytes(), [0, 1, 1]);
    assert_eq!(words(DataType::Float16, &[2], &[0x3c00, 0xfbff]).to_f32().unwrap(), [1.0, -65504.0]);
    assert_eq!(words(DataType::Bfloat16, &[1], &[0x3f80]).to_f32().unwrap(), [1.0]);
    assert_eq!(words(DataType::Int4, &[3], &[0x8f, 7]).to_i64().unwrap(), [-1, -8, 7]);
    assert_eq!(words(DataType::Float8e4m3fn, &[2], &[0x38, 0xff]).bytes(), [0x38, 0xff]);
    // Four codes of 6 bits in three bytes, the fifth in a byte of its own.
    let six = words(DataType::Float6e2m3, &[5], &[1, 2, 3, 63, 5]);
    assert_eq!(six.bytes(), [0b1000_0001, 0b0011_0000, 0b1111_1100, 5]);
}

#[test]
fn raw_data_are_the_bytes() {
    let raw = |data_type, dims: &[i64], raw: &[u8]| TensorProto {
        raw_data: Some(raw.to_vec().into()),
        ..tensor_of("t", data_type, dims)
    };
    assert_eq!(tensor(&raw(DataType::Bool, &[3], &[0, 1, 7])).bytes(), [0, 1, 1]);
    assert_eq!(tensor(&raw(DataType::Uint4, &[3], &[0x21, 0x03])).to_i64().unwrap(), [1, 2, 3]);
    assert_eq!(tensor(&raw(DataType::Complex64, &[1], &[0; 8])).element(), ElementType::Complex64);
    assert!(tensor(&raw(DataType::Float, &[0, 5], &[])).is_empty());
    assert!(tensor(&tensor_of("t", DataType::Float, &[2, 0])).is_empty());
    let error = problem(&raw(DataType::Float, &[2, 2], &[0; 15]));
    assert_eq!(error, "error: tensor \"t\": f32[2, 2] takes 16 bytes, but there are 15");
}

#[test]
fn strings_are_kept() {
    let strings = vec![b"a".to_vec().into(), b"\xff".to_vec().into()];
    let two = TensorProto { string_data: strings, ..tensor_of("t", DataType::String, &[2]) };
    assert_eq!(tensor(&two).strings().unwrap()[1][..], b"\xff"[..]);
    assert!(problem(&TensorProto { dims: vec![3], ..two }).contains("does not fit 2 strings"));
}

#[test]
fn contradictions_are_named() {
    let check = |proto: TensorProto, text: &str| {
        let problem = problem(&proto);
        assert!(problem.contains("tensor \"t\"") && problem.contains(text), "{problem}");
    };
    let of = tensor_of;
    check(of("t", DataType::Float, &[2]), "should have 2 elements of f32 but has no data");
    check(of("t", DataType::Float, &[2, -1]), "[2, -1] are negative");
    check(of("t", DataType::Float, &[i64::MAX, i64::MAX]), "more elements than a file can hold");
    check(of("t", DataType::Double, &[i64::MAX]), "more elements than a file can hold");
    check(of("t", DataType::Undefined, &[]), "undefined");
    check(TensorProto { data_type: Some(99), ..of("t", DataType::Float, &[]) }, "element type 99");
    check(
        TensorProto { float_data: vec![1.0], ..of("t", DataType::Int64, &[1]) },
        "of i64 cannot be in float_data",
    );
    check(TensorProto { int32_data: vec![256], ..of("t", DataType::Uint8, &[1]) }, "256 does not fit");
    check(TensorProto { int32_data: vec![-32769], ..of("t", DataType::Int16, &[1]) }, "-32769 does not fit");
    check(
        TensorProto { uint64_data: vec![1 << 32], ..of("t", DataType::Uint32, &[1]) },
        "4294967296 does not fit",
    );
    check(
        TensorProto { float_data: vec![1.0], ..f32s("t", &[1], &[1.0]) },
        "both in raw_data and in float_data",
    );
    check(TensorProto { float_data: vec![1.0], ..i64s("t", &[1], &[1]) }, "float_data, int64_data");
    check(TensorProto { segment: Some(Segment::default()), ..f32s("t", &[1], &[1.0]) }, "segments");
}

fn with_sparse(values: TensorProto, indices: TensorProto, dims: &[i64]) -> Result<Tensor, String> {
    let mut g = graph_of(&["x"], &[node("Add", &["x", "s"], &["y"])], &["y"]);
    let dims = dims.to_vec();
    g.sparse_initializer = vec![SparseTensorProto { values: Some(values), indices: Some(indices), dims }];
    let model = parse(bytes(&model(g)), &NoExternalData).map_err(|e| e.to_string())?;
    Ok(model.graph.initializer("s").unwrap().clone())
}

#[test]
fn sparse_initializers_become_dense() {
    let flat = with_sparse(f32s("s", &[2], &[5.0, 6.0]), i64s("", &[2], &[4, 1]), &[2, 3]).unwrap();
    assert_eq!((flat.dims(), flat.to_f32().unwrap()), (&[2, 3][..], vec![0.0, 6.0, 0.0, 0.0, 5.0, 0.0]));
    let rows = with_sparse(i64s("s", &[2], &[-5, 6]), i64s("", &[2, 2], &[0, 1, 1, 2]), &[2, 3]).unwrap();
    assert_eq!(rows.to_i64().unwrap(), [0, -5, 0, 0, 0, 6]);
    let empty = with_sparse(f32s("s", &[0], &[]), i64s("", &[0], &[]), &[2]).unwrap();
    assert_eq!(empty.to_f32().unwrap(), [0.0, 0.0]);

    let error = |values: &[f32], indices, dims: &[i64]| {
        with_sparse(f32s("s", &[values.len() as i64], values), indices, dims).unwrap_err()
    };
    assert!(error(&[5.0], i64s("", &[1], &[6]), &[2, 3]).contains("tensor \"s\": index [6]"));
    assert!(error(&[5.0], i64s("", &[1], &[-1]), &[2, 3]).contains("index [-1]"));
    assert!(error(&[5.0], i64s("", &[1, 2], &[0, 3]), &[2, 3]).contains("index [0, 3]"));
    assert!(
        error(&[5.0, 6.0], i64s("", &[2], &[1, 1]), &[2, 3])
            .contains("position 1 of a sparse tensor is given twice")
    );
    assert!(error(&[5.0], i64s("", &[2], &[1, 2]), &[2, 3]).contains("indices of shape [2]"));
    assert!(error(&[5.0], f32s("", &[1], &[1.0]), &[2, 3]).contains("expected a tensor i64"));
    assert!(error(&[5.0], i64s("", &[1], &[1]), &[1 << 40]).contains("256 MiB"));
}

/// A folder that goes when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("sofie-onnx-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("inside")).unwrap();
        Scratch(dir)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn with_external(dir: &Path, entries: &[(&str, &str)]) -> Result<Model, String> {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: Some((*key).into()),
        value: Some((*value).into()),
    };
    let weights = TensorProto {
        external_data: entries.iter().map(entry).collect(),
        data_location: Some(DataLocation::External as i32),
        ..tensor_of("w", DataType::Float, &[3])
    };
    let mut g = graph_of(&["x"], &[node("Add", &["x", "w"], &["y"])], &["y"]);
    g.initializer = vec![weights, f32s("v", &[1], &[1.0])];
    let path = dir.join("inside/model.onnx");
    std::fs::write(&path, bytes(&model(g))).unwrap();
    load(&path).map_err(|e| e.to_string())
}

#[test]
fn external_data_are_read_where_they_are() {
    let scratch = Scratch::new("read");
    let dir = &scratch.0;
    let floats: Vec<u8> = (0..5).flat_map(|i| (i as f32).to_le_bytes()).collect();
    std::fs::write(dir.join("inside/w.bin"), &floats).unwrap();

    let model = with_external(dir, &[("location", "w.bin"), ("offset", "4"), ("length", "12")]).unwrap();
    assert_eq!(model.graph.initializer("w").unwrap().to_f32().unwrap(), [1.0, 2.0, 3.0]);
    assert_eq!(model.files, [dir.join("inside/model.onnx"), dir.join("inside/w.bin")]);
    let model = with_external(dir, &[("location", "./w.bin"), ("offset", "8"), ("checksum", "?")]).unwrap();
    assert_eq!(model.graph.initializer("w").unwrap().to_f32().unwrap(), [2.0, 3.0, 4.0]);

    let error = |entries: &[(&str, &str)], text: &str| {
        let error = with_external(dir, entries).unwrap_err();
        assert!(
            error.contains(text) && error.contains("tensor \"w\"") && error.contains("model.onnx"),
            "{error}"
        );
    };
    error(&[("location", "gone.bin"), ("length", "12")], "inside/gone.bin");
    error(&[("location", "w.bin")], "takes 12 bytes, but its external data in \"w.bin\" are 20");
    error(&[("location", "w.bin"), ("length", "8")], "takes 12 bytes");
    error(
        &[("location", "w.bin"), ("length", "12"), ("offset", "12")],
        "has 20 bytes, but 12 are wanted at offset 12",
    );
    error(&[("location", "w.bin"), ("length", "12"), ("offset", "18446744073709551615")], "has 20 bytes");
    error(&[("location", "w.bin"), ("offset", "21")], "has 20 bytes");
    error(&[("location", "w.bin"), ("offset", "-4")], "offset is \"-4\"");
    error(&[("offset", "4")], "no location");
    error(&[("location", "")], "not inside the model's folder");
    error(&[("location", "."), ("length", "12")], "not a regular file");
    error(&[("location", "*/_ORT_MEM_ADDR_/*"), ("length", "12")], "memory of the ONNX Runtime session");
}

#[test]
fn external_data_stay_inside_the_folder() {
    let scratch = Scratch::new("inside");
    let dir = &scratch.0;
    std::fs::write(dir.join("outside.bin"), [0; 12]).unwrap();
    std::fs::write(dir.join("inside/w.bin"), [0; 12]).unwrap();
    let refused = |location: &str, text: &str| {
        let error = with_external(dir, &[("location", location), ("length", "12")]).unwrap_err();
        assert!(error.contains(text) && error.contains("help: "), "{error}");
    };
    refused("../outside.bin", "not inside the model's folder");
    refused("sub/../../outside.bin", "not inside the model's folder");
    refused("../inside/w.bin", "not inside the model's folder");
    refused(&dir.join("outside.bin").to_string_lossy(), "not inside the model's folder");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.join("outside.bin"), dir.join("inside/leaves")).unwrap();
        refused("leaves", "symbolic link that leaves the folder");
        std::os::unix::fs::symlink("w.bin", dir.join("inside/stays")).unwrap();
        with_external(dir, &[("location", "stays"), ("length", "12")]).unwrap();
    }
}

#[test]
fn a_path_that_is_no_file_is_named() {
    let scratch = Scratch::new("path");
    for (path, text) in [("inside", "not a regular file"), ("gone.onnx", "cannot read the model")] {
        let error = load(&scratch.0.join(path)).unwrap_err().to_string();
        assert!(error.contains(text) && error.contains(path), "{error}");
    }
}
