//! Bytes → `ModelProto`, and what to say when they are something else: a pointer of Git LFS, another
//! framework's file, half of a download. People meet these far more often than a damaged model.

use prost::Message;
use prost::bytes::Bytes;

use super::proto::ModelProto;
use crate::error::{Error, Result};

/// Decodes a model.
///
/// # Errors
/// The bytes are no ONNX model; the message says what they are where that can be told.
pub(super) fn decode(bytes: Bytes) -> Result<ModelProto> {
    if bytes.is_empty() {
        return Err(Error::new("the file is empty").help("fetch or export the model again"));
    }
    // The clone shares the bytes; tensors become slices of them.
    match ModelProto::decode(bytes.clone()) {
        Ok(model) if model.graph.is_some() && model.ir_version.is_some() => Ok(model),
        Ok(model) => Err(recognised(&bytes).unwrap_or_else(|| incomplete(&model))),
        Err(error) => Err(recognised(&bytes).or_else(|| truncated(&bytes)).unwrap_or_else(|| {
            Error::new(format!("this is no ONNX model, or a damaged one: {error}"))
                .help("check it with `python -m onnx.checker`, then fetch or export the model again")
        })),
    }
}

/// A message that decodes but is not a model.
fn incomplete(model: &ModelProto) -> Error {
    let missing = if model.graph.is_none() { "graph" } else { "ir_version" };
    Error::new(format!("this is no ONNX model: it has no {missing}")).help(
        "a saved_model.pb or frozen graph of TensorFlow becomes a model with `python -m tf2onnx.convert`; \
         otherwise the file is damaged",
    )
}

/// The message for a file that ends inside a field of the outermost message.
fn truncated(bytes: &[u8]) -> Option<Error> {
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let (key, n) = varint(bytes.get(at..)?)?;
        at += n;
        let length = match key & 7 {
            0 => varint(bytes.get(at..)?)?.1 as u64,
            1 => 8,
            5 => 4,
            2 => {
                let (length, n) = varint(bytes.get(at..)?)?;
                at += n;
                length
            }
            _ => return None,
        };
        let left = (bytes.len() - at) as u64;
        if length > left {
            // A field that ModelProto has, lest noise be called a truncated model.
            let field = match key >> 3 {
                2 => "producer_name",
                6 => "doc_string",
                7 => "graph",
                8 => "opset_import",
                14 => "metadata_props",
                25 => "functions",
                _ => return None,
            };
            return Some(
                Error::new(format!(
                    "the file is cut short: {field} at byte {start} takes {length} bytes, of which {left} are there"
                ))
                .help("fetch or export the model again"),
            );
        }
        at += length as usize;
    }
    None
}

/// The first variable-length integer and the number of its bytes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

const TORCH: &str = "export it from Python: `torch.onnx.export(model, args, \"model.onnx\", dynamo=True)`";
const KERAS: &str =
    "export it from Python: `keras.models.load_model(path).export(\"model.onnx\", format=\"onnx\")`";
const FETCH: &str = "fetch the file itself";

/// Files that begin with these bytes, what they are, and the way to ONNX.
const MAGIC: &[(usize, &[u8], &str, &str)] = &[
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the model itself", "run `git lfs pull`"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras writes (.h5)", KERAS),
    (
        4,
        b"TFL3",
        "a TensorFlow Lite model",
        "convert it: `python -m tf2onnx.convert --tflite m.tflite --output m.onnx`",
    ),
    (4, b"ORTM", "a model in ONNX Runtime's own format (.ort)", "use the .onnx file that it was made from"),
    (0, b"GGUF", "a GGUF file", "export the model from the framework that it was trained in"),
    (0, b"\x93NUMPY", "a NumPy array", "pass the .onnx file"),
    (0, b"\x1f\x8b", "compressed with gzip", "unpack it"),
    (0, b"BZh", "compressed with bzip2", "unpack it"),
    (0, b"\xfd7zXZ", "compressed with xz", "unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it"),
    (0, b"7z\xbc\xaf", "a 7-Zip archive", "unpack it"),
    (257, b"ustar", "a tar archive", "unpack it"),
    (0, b"<!DOCTYPE", "a web page, not the model itself", FETCH),
    (0, b"<!doctype", "a web page, not the model itself", FETCH),
    (0, b"<html", "a web page, not the model itself", FETCH),
    (
        0,
        b"<?xml",
        "an XML file (OpenVINO or PMML)",
        "export ONNX from the framework that the model was trained in",
    ),
    (0, b"<net ", "an XML file of OpenVINO", "export ONNX from the framework that the model was trained in"),
    (
        0,
        b"ir_version:",
        "ONNX as protobuf text",
        "save it as binary: `onnx.save(onnx.load(path, format=\"textproto\"), \"m.onnx\")`",
    ),
    (0, b"tree\nversion=", "a text model of LightGBM", "convert it with `onnxmltools.convert_lightgbm`"),
    (0, b"ftrt", "an engine of TensorRT", "use the .onnx file that it was built from"),
    (0, b"ptrt", "an engine of TensorRT", "use the .onnx file that it was built from"),
];

/// The message for a file of another format, known by its first bytes.
fn recognised(bytes: &[u8]) -> Option<Error> {
    let is = |what: &str, help: &str| Some(Error::new(format!("this is {what}")).help(help));
    let has = |text: &[u8]| bytes.windows(text.len()).take(1 << 20).any(|w| w == text);
    for (offset, magic, what, help) in MAGIC {
        if bytes.get(*offset..).is_some_and(|rest| rest.starts_with(magic)) {
            return is(what, help);
        }
    }
    let ending = &bytes[bytes.len().saturating_sub(1 << 16)..];
    let lists = |text: &[u8]| ending.windows(text.len()).any(|w| w == text);
    let text = bytes.trim_ascii_start();
    match bytes {
        [b'P', b'K', 3, 4, ..] if lists(b"model.weights.h5") => is("a model of Keras (.keras)", KERAS),
        [b'P', b'K', 3, 4, ..] if lists(b"data.pkl") => is("a model or checkpoint of PyTorch", TORCH),
        [b'P', b'K', 3, 4, ..] if lists(b".npy") => {
            is("an archive of NumPy arrays (.npz)", "pass the .onnx file")
        }
        [b'P', b'K', 3, 4, ..] if lists(b".onnx") => is("a zip archive with an ONNX file in it", "unpack it"),
        [b'P', b'K', 3, 4, ..] => {
            is("a zip archive", "unpack it, or export ONNX from the framework that wrote it")
        }
        [0x80, 2..=5, ..] if has(b"sklearn") => {
            is("a pickle of scikit-learn", "convert it with `skl2onnx.to_onnx`")
        }
        [0x80, 2..=5, ..] if has(b"torch") => is("a checkpoint of PyTorch", TORCH),
        [0x80, 2..=5, ..] => is("a Python pickle", "export ONNX from the framework that wrote it"),
        [_, _, _, _, _, 0, 0, 0, b'{', b'"', ..] => {
            is("a safetensors file: weights without a network", TORCH)
        }
        [b'<', ..] if has(b"ir_version:") => is(
            "ONNX as text",
            "save it as binary: `onnx.save(onnx.load(path, format=\"onnxtxt\"), \"m.onnx\")`",
        ),
        _ if text.starts_with(b"{") && has(b"irVersion") => {
            is("ONNX as JSON", "save it as binary: `onnx.save(onnx.load(path, format=\"json\"), \"m.onnx\")`")
        }
        _ if text.starts_with(b"{") => is(
            "a JSON file (a configuration, or a model of XGBoost)",
            "export ONNX from the framework that wrote it",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::GraphProto;

    fn problem(bytes: &[u8]) -> String {
        let error = decode(Bytes::copy_from_slice(bytes)).unwrap_err();
        assert!(error.help.is_some(), "{error}");
        error.problem
    }

    #[test]
    fn other_formats_are_named() {
        let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        assert!(problem(lfs).contains("Git LFS"));
        assert!(problem(b"\x89HDF\r\n\x1a\n\0\0").contains("HDF5"));
        assert!(problem(b"PK\x03\x04....archive/data.pkl....").contains("PyTorch"));
        assert!(problem(b"PK\x03\x04....config.json model.weights.h5").contains("Keras"));
        assert!(problem(b"PK\x03\x04....").contains("zip"));
        assert!(problem(b"\x80\x02}q\0torch._utils").contains("PyTorch"));
        assert!(problem(b"\x1c\0\0\0TFL3....").contains("TensorFlow Lite"));
        assert!(problem(b"\x10\x02\0\0\0\0\0\0{\"w\":{}}").contains("safetensors"));
        assert!(problem(b"<!DOCTYPE html><html>").contains("web page"));
        assert!(problem(b"<\n  ir_version: 8,\n  opset_import: [\"\" : 17]\n>").contains("ONNX as text"));
        assert!(problem(b"\n {\"irVersion\": 8}").contains("JSON"));
        assert!(problem(b"").contains("empty"));
    }

    #[test]
    fn a_model_needs_its_parts() {
        let no_graph = ModelProto { ir_version: Some(8), ..ModelProto::default() };
        assert!(problem(&no_graph.encode_to_vec()).contains("no graph"));
        let no_version = ModelProto { graph: Some(GraphProto::default()), ..ModelProto::default() };
        assert!(problem(&no_version.encode_to_vec()).contains("no ir_version"));
        assert!(problem(&[0xff; 64]).contains("no ONNX model"));
    }

    #[test]
    fn a_cut_file_says_where() {
        let graph = GraphProto { name: Some("long enough to be cut".into()), ..GraphProto::default() };
        let model = ModelProto { ir_version: Some(8), graph: Some(graph), ..ModelProto::default() };
        let bytes = model.encode_to_vec();
        assert_eq!(decode(bytes.clone().into()).unwrap(), model);
        let cut = problem(&bytes[..bytes.len() - 5]);
        assert_eq!(cut, "the file is cut short: graph at byte 2 takes 23 bytes, of which 18 are there");
    }
}
