//! The model that a command works on: its path and the extents of its symbols, read and compiled.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sofie_infer_compiler::plan::Port;
use sofie_infer_compiler::{Compiled, Extent, Options, compile_model, ir, onnx, ops};

use crate::answer::Failure;
use crate::data::Data;
use crate::progress::Spinner;

/// The arguments that name a model.
#[derive(clap::Args, Clone, Debug)]
#[group(skip)]
pub struct Args {
    /// The ONNX file
    pub model: PathBuf,
    /// Fix symbolic dimensions, or leave them free up to a bound: batch=4, batch=..=64, batch=1..=64
    #[arg(long, value_name = "SYMBOL=EXTENT,...", value_delimiter = ',', value_parser = pair)]
    pub dims: Vec<(String, Extent)>,
}

fn pair(text: &str) -> Result<(String, Extent), String> {
    let usage = || format!("`{text}` is not SYMBOL=EXTENT");
    let number = |text: &str| text.trim().parse::<u64>().map_err(|_| usage());
    if let Some((before, most)) = text.rsplit_once("..=") {
        let (symbol, least) = before.rsplit_once('=').ok_or_else(usage)?;
        let least = if least.trim().is_empty() { 0 } else { number(least)? };
        let most = number(most)?;
        if least > most {
            return Err(format!("no extent is from {least} to {most}"));
        }
        return Ok((symbol.trim().to_owned(), Extent::Free { least, most: Some(most) }));
    }
    let (symbol, extent) = text.rsplit_once('=').ok_or_else(usage)?;
    Ok((symbol.trim().to_owned(), Extent::Fixed(number(extent)?)))
}

impl Args {
    /// Reads the model.
    pub fn read(&self) -> Result<Model, Failure> {
        let _spinner = Spinner::new(format!("reading {}", self.model.display()));
        let onnx = onnx::load(&self.model)?;
        let Options { dims, bounds, .. } = Options::default().with_extents(&self.dims);
        Ok(Model { path: self.model.clone(), onnx, dims, bounds })
    }
}

/// A model that was read, and the extents of its symbols as far as they are known.
#[derive(Clone, Debug)]
pub struct Model {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// What is in it.
    pub onnx: onnx::Model,
    /// Extents by symbol.
    pub dims: ops::DimValues,
    /// Bounds of symbols that stay free.
    pub bounds: ops::DimBounds,
}

impl Model {
    /// The path as it is printed.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The file's name without its folder.
    pub fn file_name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Takes the extents that the user did not give from the shapes of stored inputs.
    pub fn fix_by(&mut self, data: &Data) -> Result<(), Failure> {
        let inputs = ops::input_shapes(&self.onnx, &ops::DimValues::new())
            .map_err(|e| Failure::from(e.in_file(&self.path)))?;
        for (name, _, shape) in inputs {
            let Some(dims) = data.shape(&name)? else { continue };
            if dims.len() != shape.dims().len() {
                continue;
            }
            for (dim, extent) in shape.dims().iter().zip(dims) {
                // Only a bare symbol says its extent; `2*n` would have to be solved.
                if let [symbol] = &dim.symbols()[..]
                    && dim.same(&ir::Dim::symbol(symbol)) == Some(true)
                {
                    self.dims.entry(symbol.to_string()).or_insert(extent as u64);
                }
            }
        }
        Ok(())
    }

    /// The graph of core operations, as it is before any pass.
    pub fn lower(&self) -> Result<ir::Graph, Failure> {
        let graph = ops::lower(&self.onnx, &self.dims).map_err(|e| Failure::from(e.in_file(&self.path)))?;
        ops::free_symbols(&graph).map_err(|e| Failure::from(e.in_file(&self.path)))?;
        Ok(graph)
    }

    /// Optimises and plans the model.
    pub fn compile(&self) -> Result<Compiled, Failure> {
        let _spinner = Spinner::new(format!("compiling {}", self.shown()));
        let options = Options { dims: self.dims.clone(), bounds: self.bounds.clone(), ..Options::default() };
        compile_model(&self.onnx, &self.path, &options).map_err(Failure::from)
    }
}

/// An input or output for a program.
pub fn port_json(port: &Port) -> Value {
    json!({ "name": port.name, "dtype": port.dtype.to_string(), "shape": port.dims })
}

/// An input or output for a person.
pub fn port_text(port: &Port) -> String {
    format!("{} {}{:?}", port.name, port.dtype, port.dims)
}

/// Writes a file, or says which could not be written.
pub fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|e| Failure::Other(format!("cannot write {}: {e}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_numbers_or_ranges() {
        let free = |least, most| Extent::Free { least, most: Some(most) };
        assert_eq!(pair("batch=4"), Ok(("batch".to_owned(), Extent::Fixed(4))));
        assert_eq!(pair("batch=..=64"), Ok(("batch".to_owned(), free(0, 64))));
        assert_eq!(pair("a=b = 1..=8"), Ok(("a=b".to_owned(), free(1, 8))));
        for bad in ["batch", "batch=", "batch=..", "batch=1..4", "batch=8..=4", "..=4"] {
            assert!(pair(bad).is_err(), "{bad}");
        }
    }
}
