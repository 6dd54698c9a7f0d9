//! `conformance SUITE` runs a directory of ONNX backend test cases (`KIND/NAME/model.onnx` with
//! `test_data_set_K/{input,output}_I.pb`) through the compiler and says which pass.
//!
//! This file holds the command line; `case` finds and reads cases, `engine` runs them, `compare` judges, `report`
//! counts. A case that panics hides no other.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use compiled::Way;
use rayon::prelude::*;
use regex::Regex;

mod case;
mod compare;
mod compiled;
mod engine;
mod facade;
mod operators;
mod report;
mod table;

#[derive(Parser)]
#[command(about = "Runs ONNX's backend tests through the compiler", version)]
struct Cli {
    /// Holds KIND/NAME/model.onnx
    suite: PathBuf,
    /// The table of cases, with their tiers; tests.csv of the suite's folder by default
    #[arg(long, value_name = "TESTS.CSV")]
    tests: Option<PathBuf>,
    /// Cases of these tiers alone
    #[arg(long, value_delimiter = ',', value_name = "T1,...")]
    tier: Vec<String>,
    /// Cases of these kinds alone: node, simple, light, ...
    #[arg(long, value_delimiter = ',', value_name = "KIND,...")]
    kind: Vec<String>,
    /// Cases whose name matches alone
    #[arg(long, value_name = "REGEX")]
    filter: Option<Regex>,
    /// Every Nth of the wanted cases alone, from the Kth on
    #[arg(long, value_name = "K/N", value_parser = part)]
    part: Option<(usize, usize)>,
    /// What runs them
    #[arg(long, value_enum, default_value = "evaluator")]
    engine: Engine,
    /// Do not try again, with its small integer inputs made constants, a case that is refused because they decide shapes
    #[arg(long)]
    strict: bool,
    /// Where the engines `compiled` and `macro` generate and build their programs
    #[arg(long, value_name = "DIR", default_value = "target/conformance")]
    scratch: PathBuf,
    /// A row a case
    #[arg(long, value_name = "OUT.CSV")]
    out: Option<PathBuf>,
    /// Cases that have to pass, one a line, those behind a `~` that may differ; a case beyond them fails the run too
    #[arg(long, value_name = "PASS.TXT")]
    holds: Option<PathBuf>,
    /// Write the table of operators, as documentation, with the types of the cases that pass
    #[arg(long, value_name = "OUT.MD")]
    operators: Option<PathBuf>,
    /// Print every case that does not pass
    #[arg(long)]
    list: bool,
}

/// What runs a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The lowered graph, in the reference evaluator
    Evaluator,
    /// The optimised graph's plan, with the runtime's kernels, in this process
    Planned,
    /// The expansion, as the library gives it, built by rustc and run
    Compiled,
    /// The macro, as users call it, built by rustc and run
    Macro,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

/// `2/4` as numbers.
fn part(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    numbers.filter(|&(k, n): &(usize, usize)| 0 < k && k <= n).ok_or("expected K/N with K from 1 to N".into())
}

/// As the main thread has it: deep models recurse.
const STACK: usize = 8 << 20;

/// Whether all went as it should.
fn run(cli: &Cli) -> Result<bool, String> {
    rayon::ThreadPoolBuilder::new().stack_size(STACK).build_global().map_err(|e| e.to_string())?;
    let table = match &cli.tests {
        Some(path) => table::read(path)?,
        None => table::read(&cli.suite.join("tests.csv")).unwrap_or_default(),
    };
    let wanted = |c: &case::Case| {
        (cli.tier.is_empty() || cli.tier.contains(&c.tier))
            && (cli.kind.is_empty() || cli.kind.contains(&c.kind))
            && cli.filter.as_ref().is_none_or(|f| f.is_match(&c.name))
    };
    let (k, n) = cli.part.unwrap_or((1, 1));
    let cases = case::cases(&cli.suite, &table)?.into_iter().filter(wanted);
    let cases: Vec<_> = cases.skip(k - 1).step_by(n).collect();
    if cases.is_empty() {
        return Err(format!("no case in {} is wanted", cli.suite.display()));
    }
    // A panic is a verdict, not a message.
    std::panic::set_hook(Box::new(|_| {}));
    let mut rows = Vec::new();
    let verdicts = match cli.engine {
        Engine::Compiled => compiled::run(&cases, Way::Library, &cli.scratch)?,
        Engine::Macro => compiled::run(&cases, Way::Macro, &cli.scratch)?,
        engine => cases.par_iter().map(|case| engine::run(case, engine, cli.strict)).collect(),
    };
    for (case, verdict) in cases.iter().zip(verdicts) {
        if cli.list && !verdict.passes() {
            println!("{}", report::line(case, &verdict));
        }
        rows.push((case, verdict));
    }
    if let Some(out) = &cli.out {
        report::write(out, cli.engine, &rows)?;
    }
    if let Some(path) = &cli.operators {
        operators::write(path, &rows)?;
    }
    report::print(&rows);
    match &cli.holds {
        Some(path) => report::holds(path, &rows),
        None => Ok(!rows.iter().any(|(_, v)| v.is_wrong())),
    }
}
