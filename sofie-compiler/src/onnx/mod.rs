//! The front end: bytes of an ONNX file → [`Model`], with every name resolved, every tensor checked
//! against its bytes, functions inlined and nodes in order. Nothing here knows what an operator does.
//!
//! What the format says is kept or refused with its place; nothing is dropped in silence, except
//! training information, quantization annotations and multi-device configurations, none of which changes
//! what is computed.
//!
//! ```no_run
//! let model = sofie_infer_compiler::onnx::load("models/tagger.onnx".as_ref())?;
//! for node in &model.graph.nodes {
//!     println!("{}", node.place());
//! }
//! # Ok::<(), sofie_infer_compiler::error::Errors>(())
//! ```

mod attribute;
mod attribute_decode;
mod convert;
mod element;
mod external;
mod format;
mod function;
mod limits;
mod model;
mod names;
mod opsets;
#[allow(missing_docs, clippy::all, reason = "generated; onnx-ml.proto documents the fields")]
pub mod proto;
mod sort;
mod tensor;
mod tensor_decode;
mod value_type;

use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use attribute::{Attribute, Attrs};
pub use element::ElementType;
pub use external::{ExternalData, Folder, NoExternalData};
pub use model::{
    DimSpec, Graph, Initializer, Model, Node, Opsets, TensorName, TensorType, ValueInfo, ValueType,
};
pub use prost::bytes::Bytes;
pub use tensor::{FromLittleEndian, Tensor, TensorData};

use prost::Message;

use crate::error::{Error, Errors, Result};

/// The largest message that protobuf allows; a larger model keeps its weights in external data.
const MAX_BYTES: u64 = (1 << 31) - 1;

/// Reads a model file and the external data beside it.
///
/// # Errors
/// Everything that is wrong with it, each with the file's path as it was given.
pub fn load(path: &Path) -> Result<Model, Errors> {
    let bytes = read(path).map_err(|error| error.in_file(path))?;
    let folder = Folder::new(path.parent().unwrap_or(Path::new("")));
    let mut model = parse(bytes, &folder).map_err(|errors| errors.in_file(path))?;
    model.files.insert(0, path.to_path_buf());
    Ok(model)
}

/// Reads a model from bytes. `files` of the result is what `external` says.
///
/// # Errors
/// Everything that is wrong with it, without a file's path.
///
/// ```
/// use sofie_infer_compiler::onnx::{NoExternalData, parse};
///
/// let errors = parse("version https://git-lfs.github.com/spec/v1\n", &NoExternalData).unwrap_err();
/// assert!(errors.to_string().contains("help: run `git lfs pull`"));
/// ```
pub fn parse(bytes: impl Into<Bytes>, external: &dyn ExternalData) -> Result<Model, Errors> {
    convert::model(&format::decode(bytes.into())?, external)
}

/// Reads a file that holds one tensor, such as the inputs and outputs of ONNX's test suite.
///
/// # Errors
/// The bytes are no tensor, or its data are in another file.
pub fn parse_tensor(bytes: impl Into<Bytes>) -> Result<Tensor> {
    let proto = proto::TensorProto::decode(bytes.into())
        .map_err(|error| Error::new(format!("this is no ONNX tensor: {error}")))?;
    tensor_decode::TensorDecoder::new(&NoExternalData).tensor(&proto)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |error: std::io::Error| Error::new(format!("cannot read the model: {error}"));
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    if !about.is_file() {
        return Err(Error::new("the model is not a regular file").help("pass the path of an .onnx file"));
    }
    if about.len() > MAX_BYTES {
        return Err(Error::new("the model is larger than 2 GiB, which protobuf does not allow")
            .help("save it with its weights as external data, or fetch it again"));
    }
    let mut bytes = Vec::with_capacity(about.len() as usize);
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
