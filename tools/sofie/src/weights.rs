//! `sofie weights`: the packed weights of a model as a file that `Session::load` of its program reads.

use std::path::PathBuf;

use serde_json::json;
use sofie_infer_build::weights::safetensors;
use sofie_infer_compiler::{WeightsBlock, weights_layout};

use crate::answer::{Answer, Failure};
use crate::model::{self, write};
use crate::units::{bytes, plural};

/// The command's arguments.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: model::Args,
    /// Where the weights go
    #[arg(short, long, value_name = "SAFETENSORS")]
    output: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<Answer, Failure> {
    let model = args.model.read()?;
    let compiled = model.compile()?;
    let file = safetensors(&compiled, &model.shown())?;
    write(&args.output, &file)?;
    let (layout, path) =
        (weights_layout(&compiled.plan, compiled.family.as_ref()), args.output.display().to_string());
    let block = |b: &WeightsBlock| json!({ "name": b.name, "dtype": b.dtype.to_string(), "len": b.len });
    Ok(Answer {
        text: format!("wrote {path}: {}, {}", plural(layout.blocks.len(), "block"), bytes(file.len() as u64)),
        json: json!({
            "model": model.shown(),
            "output": path,
            "hash": format!("{:016x}", layout.hash),
            "blocks": layout.blocks.iter().map(block).collect::<Vec<_>>(),
        }),
        good: true,
    })
}
