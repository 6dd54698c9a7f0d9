//! What the tool asks of the compiler in its own process: a model's declared inputs, the message of a refusal, how long an
//! expansion takes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quote::{format_ident, quote};
use sofie_infer_compiler::ir::Dim;
use sofie_infer_compiler::{Extent, Options, Request, onnx, ops};

use crate::dims::{Bounds, Dims};

/// An input's name, and the symbol of each axis that has one.
pub type Axes = (String, Vec<Option<String>>);

/// The graph's inputs: name and, of each axis, its symbol where it has one (axes that the file does not name have the
/// names that the compiler's messages give them).
pub fn inputs(model: &Path) -> Result<Vec<Axes>, String> {
    let model = onnx::load(model).map_err(|e| e.to_string())?;
    let inputs = ops::input_shapes(&model, &ops::DimValues::new()).map_err(|e| e.to_string())?;
    let symbol = |dim: &Dim| dim.symbols().first().map(ToString::to_string);
    Ok(inputs.into_iter().map(|(name, _, shape)| (name, shape.dims().iter().map(symbol).collect())).collect())
}

/// Why a model does not become tokens.
pub enum Failure {
    /// The compiler says why.
    Refused(String),
    /// It panicked, which it never should.
    Panicked(String),
}

/// What the compiler has against the model; nothing where it compiles.
pub fn refusal(model: &Path, dims: &Dims, bounds: &Bounds) -> Option<Failure> {
    let dims = dims.iter().map(|(symbol, &extent)| (symbol.clone(), extent as u64)).collect();
    let within = |(symbol, &(least, most)): (&String, &(usize, usize))| {
        (symbol.clone(), (least as u64, Some(most as u64)))
    };
    let options = Options { dims, bounds: bounds.iter().map(within).collect(), ..Options::default() };
    match caught(|| sofie_infer_compiler::compile(model, model, &options).err()) {
        Ok(failure) => failure.map(|f| Failure::Refused(f.to_string())),
        Err(panic) => Some(Failure::Panicked(panic)),
    }
}

/// What `f` gives, or what it says where it panics: one model hides no other.
pub fn caught<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&s| s.to_owned()));
        format!("the compiler panicked: {}", text.unwrap_or_default())
    })
}

/// How long the macro takes from the file to the tokens; nothing where it panics.
pub fn expansion(model: &Path, dims: &Dims, bounds: &Bounds) -> Option<Duration> {
    let fixed = dims.iter().map(|(symbol, &n)| (symbol.clone(), Extent::Fixed(n as u64)));
    let free = bounds.iter().map(|(symbol, &(least, most))| {
        (symbol.clone(), Extent::Free { least: least as u64, most: Some(most as u64) })
    });
    let path = model.to_string_lossy().into_owned();
    let request = Request {
        dims: fixed.chain(free).collect(),
        ..Request::new(quote!(sofie_infer), format_ident!("model"), PathBuf::new(), path)
    };
    let start = Instant::now();
    caught(|| drop(sofie_infer_compiler::expand(&request))).ok()?;
    Some(start.elapsed())
}
