//! `zoo profile`: runs plans in this process and prints where the time goes, step by step.
//!
//! No program is built, so a change of a kernel or a pass shows within seconds. The times are those of the kernels
//! alone, on operands that were just copied; what a session costs is for `bench` to say.

use std::fmt::Write;
use std::time::Duration;

use sofie_infer_compiler::plan::Step;
use sofie_infer_compiler::{Compiled, Options, compile, ir};
use sofie_infer_runtime::npz::Npz;

use crate::Profile;
use crate::check::select;
use crate::dims::Dims;
use crate::layout::Entry;
use crate::scratch::Model;

/// Runs the command; whether every model could be run.
pub fn main(args: &Profile) -> Result<bool, String> {
    let pool =
        rayon::ThreadPoolBuilder::new().num_threads(args.threads).build().map_err(|e| e.to_string())?;
    pool.install(|| all(args))
}

fn all(args: &Profile) -> Result<bool, String> {
    let mut good = true;
    for Model { entry, dims, .. } in select(&args.selection, false)? {
        match profile(&entry, &dims, args) {
            Ok(text) => println!("{text}"),
            Err(why) => {
                good = false;
                println!("{}: {why}", entry.name);
            }
        }
    }
    Ok(good)
}

fn profile(entry: &Entry, dims: &Dims, args: &Profile) -> Result<String, String> {
    let dims = dims.iter().map(|(symbol, &extent)| (symbol.clone(), extent as u64)).collect();
    let options = Options { dims, stop_after: args.stop_after, ..Options::default() };
    let compiled = compile(&entry.path, &entry.path, &options).map_err(|f| f.to_string())?;
    let mut text = String::new();
    if args.graph {
        let _ = writeln!(text, "{}", compiled.graph);
    }
    let inputs = inputs(entry, &compiled)?;
    let steps = &compiled.plan.steps;
    let mut best = vec![Duration::MAX; steps.len()];
    for _ in 0..args.rounds.max(1) {
        let (_, times) = compiled.profile(&inputs).map_err(|e| e.to_string())?;
        best.iter_mut().zip(times).for_each(|(best, time)| *best = time.min(*best));
    }
    let total: f64 = best.iter().map(Duration::as_secs_f64).sum();
    let flop = compiled.plan.cost().product_flop as f64;
    let _ = writeln!(
        text,
        "{}: {:.2} us in {} steps, {:.2} MFLOP in products, arena {} of {}, weights {}",
        entry.name,
        total * 1e6,
        steps.len(),
        flop / 1e6,
        compiled.plan.arena_bytes,
        compiled.plan.bound_bytes,
        compiled.plan.weights.bytes().len(),
    );
    if args.summary {
        return Ok(text.trim_end().to_owned());
    }
    for (step, time) in steps.iter().zip(&best) {
        let seconds = time.as_secs_f64();
        let rate = match step.cost().product_flop {
            0 => String::new(),
            flop => format!("{:.1} GFLOP/s", flop as f64 / seconds / 1e9),
        };
        let _ = writeln!(
            text,
            "{:10.2} us {:5.1} %  {:<14} {:>15}  {}",
            seconds * 1e6,
            100.0 * seconds / total,
            step.kernel.name(),
            rate,
            origin(step),
        );
        if args.kernels {
            let _ = writeln!(text, "        {:?}", step.kernel);
        }
    }
    Ok(text)
}

/// The stored inputs of case0, as the plan takes them.
fn inputs(entry: &Entry, compiled: &Compiled) -> Result<Vec<ir::Tensor>, String> {
    let case = entry.cases.first().ok_or("no stored case")?;
    let stored = Npz::open(case.join("inputs.npz")).map_err(|e| e.to_string())?;
    let input = |port: &sofie_infer_compiler::plan::Port| {
        let array = stored.array(&port.name).map_err(|e| e.to_string())?;
        ir::Tensor::from_bytes(array.dtype, array.shape, array.bytes)
            .ok_or_else(|| format!("the array `{}` is damaged", port.name))
    };
    compiled.plan.inputs.iter().map(input).collect()
}

/// The first of the ONNX nodes that a step stands for, and how many there are.
fn origin(step: &Step) -> String {
    match &step.origin[..] {
        [] => String::new(),
        [one] => one.to_string(),
        [first, .., last] => format!("{first} … {last} ({})", step.origin.len()),
    }
}
