//! `sofie expand`: the module that a model expands to, formatted. The weights stand in a file beside it, so that a
//! person can read the code.

use std::path::{Path, PathBuf};

use proc_macro2::Span;
use quote::quote;
use serde_json::json;
use sofie_infer_compiler::{Request, WeightsIn, module, module_name};

use crate::answer::{Answer, Failure};
use crate::model::{self, write};
use crate::units::bytes;

/// The command's arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: model::Args,
    /// The module's name; by default that of the file
    #[arg(long, value_name = "IDENT", value_parser = identifier)]
    name: Option<String>,
    /// Where the code goes, its weights beside it; by default the code alone is printed
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

fn identifier(text: &str) -> Result<String, String> {
    syn::parse_str::<syn::Ident>(text)
        .map(|i| i.to_string())
        .map_err(|_| format!("`{text}` is no identifier"))
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Answer, Failure> {
    let model = args.model.read()?;
    let compiled = model.compile()?;
    let name = match &args.name {
        Some(name) => syn::parse_str(name).map_err(|e| Failure::Other(e.to_string()))?,
        None => module_name(&model.shown(), Span::call_site()),
    };
    let weights_file = match &args.output {
        Some(path) => path.with_extension("weights"),
        None => PathBuf::from(format!("{name}.weights")),
    };
    let file_name = weights_file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let request = Request {
        dims: model.dims.iter().map(|(symbol, n)| (symbol.clone(), (*n).into())).collect(),
        weights: WeightsIn::File(file_name),
        ..Request::new(quote!(::sofie_infer), name.clone(), PathBuf::new(), model.shown())
    };
    let tokens = module(&request, &compiled);
    let file =
        syn::parse2(tokens).map_err(|e| Failure::Other(format!("what was emitted is no Rust: {e}")))?;
    let code = prettyplease::unparse(&file);
    let weights = compiled.plan.weights.bytes();
    let mut answer = Answer {
        text: code.trim_end().to_owned(),
        json: json!({ "model": model.shown(), "module": name.to_string(), "weight_bytes": weights.len(), "code": code }),
        good: true,
    };
    if let Some(path) = &args.output {
        write_both(path, &code, &weights_file, weights)?;
        let (path, weights_path) = (path.display().to_string(), weights_file.display().to_string());
        answer.text = match weights {
            [] => format!("wrote {path}"),
            _ => format!("wrote {path} and {weights_path} ({})", bytes(weights.len() as u64)),
        };
        answer.json = json!({
            "model": model.shown(),
            "module": name.to_string(),
            "weight_bytes": weights.len(),
            "output": path,
            "weights": (!weights.is_empty()).then_some(weights_path),
        });
    }
    Ok(answer)
}

fn write_both(path: &Path, code: &str, weights_path: &Path, weights: &[u8]) -> Result<(), Failure> {
    write(path, code)?;
    if !weights.is_empty() {
        write(weights_path, weights)?;
    }
    Ok(())
}
