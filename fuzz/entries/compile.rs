//! Bytes as a model: through everything but rustc, they end as a plan or as an error that says something.

use sofie_infer_compiler::onnx::{NoExternalData, parse};
use sofie_infer_compiler::{Options, compile_model, ops};

/// Bytes → model → graph → passes → plan. Symbols are 1.
pub fn compile(bytes: Vec<u8>) -> Result<(), String> {
    let result = whole_road(bytes);
    assert!(result.as_ref().err().is_none_or(|text| text.len() > 10), "{result:?} says nothing");
    result
}

fn whole_road(bytes: Vec<u8>) -> Result<(), String> {
    let model = parse(bytes, &NoExternalData).map_err(|e| e.to_string())?;
    let mut dims = ops::DimValues::new();
    for (_, _, shape) in ops::input_shapes(&model, &dims).map_err(|e| e.to_string())? {
        dims.extend(shape.dims().iter().flat_map(|d| d.symbols()).map(|s| (s.to_string(), 1)));
    }
    let options = Options { dims, ..Options::default() };
    compile_model(&model, "fuzzed.onnx".as_ref(), &options).map(drop).map_err(|f| f.to_string())
}
