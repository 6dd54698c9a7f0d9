//! Packed weights as a `safetensors` file: the blocks that the program of a model reads, and the hash of that program.

use safetensors::tensor::TensorView;
use sofie_infer_compiler::error::Error;
use sofie_infer_compiler::{Compiled, weights_layout};
use sofie_infer_runtime::weights_file::{HASH, dtype};

/// The file for a compiled model; `model` is its path, for people.
///
/// # Errors
/// Where the format cannot hold the weights, which no model of this compiler brings about.
pub fn safetensors(compiled: &Compiled, model: &str) -> Result<Vec<u8>, Error> {
    let refused = |e: safetensors::SafeTensorError| Error::new(format!("the weights cannot be written: {e}"));
    let (layout, bytes) =
        (weights_layout(&compiled.plan, compiled.family.as_ref()), compiled.plan.weights.bytes());
    let mut views = Vec::with_capacity(layout.blocks.len());
    for block in &layout.blocks {
        let data = &bytes[block.offset..block.offset + block.len * block.dtype.size()];
        views.push((
            &block.name,
            TensorView::new(dtype(block.dtype), vec![block.len], data).map_err(refused)?,
        ));
    }
    let metadata = [
        (HASH.to_owned(), format!("{:016x}", layout.hash)),
        ("sofie.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("sofie.model".to_owned(), model.to_owned()),
    ];
    safetensors::serialize(views, Some(metadata.into_iter().collect())).map_err(refused)
}
