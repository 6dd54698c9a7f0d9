//! `zoo check DIR` compares a directory of ONNX models with stored outputs; `zoo bench DIR` times it against its peers;
//! `zoo profile DIR` says where the time goes.
//!
//! The first two generate a scratch crate with one program a model, each a call of the real macro, build it, and run what was
//! built: a model that does not compile hides no other. This file holds the command line; `check` and `bench` the work.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod bench;
mod chart;
mod check;
mod compiler;
mod dims;
mod drawn;
mod layout;
mod npz;
mod profile;
mod report;
mod run;
mod scratch;
mod venv;

#[derive(Parser)]
#[command(about = "Checks and times directories of ONNX models", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Compile every model through the macro and compare its outputs with those stored
    Check(Check),
    /// Time every model against ONNX Runtime, in turns within one process
    Bench(Bench),
    /// Run plans in this process and print the time of each step
    Profile(Profile),
}

/// Which models, and how their symbols are fixed.
#[derive(Args)]
struct Selection {
    /// Holds models/*.onnx, io/NAME/caseK/{inputs,outputs}.npz and perhaps zoo.json
    dir: PathBuf,
    /// These models alone
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    models: Vec<String>,
    /// Fix symbolic dimensions; by default they are those of case0's inputs
    #[arg(long, value_name = "NAME:SYMBOL=EXTENT,...", value_parser = dims::parse)]
    dims: Vec<dims::Override>,
    /// Also write the rows as JSON
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct Check {
    #[command(flatten)]
    selection: Selection,
    /// Leave symbolic dimensions free, between the extents of the stored cases: all of those run in one session, and with
    /// them cases at extents drawn at random, which the model compiled for each of them has computed
    #[arg(long)]
    dynamic: bool,
    /// Threads of each program, which must give the bits of one
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Build the programs with optimisation, as `bench` does; the kernels are optimised either way
    #[arg(long)]
    release: bool,
}

#[derive(Args)]
struct Bench {
    #[command(flatten)]
    selection: Selection,
    /// Leave symbolic dimensions free, between the extents of the stored cases
    #[arg(long)]
    dynamic: bool,
    /// What to measure against besides ONNX Runtime
    #[arg(long, value_name = "ENGINE")]
    peer: Vec<Peer>,
    /// Threads of each engine, ours too
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Blocks of each engine; the best counts
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Where the bar chart goes; by default into the build directory
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
    /// A virtual environment that holds the peers; by default one is made in the build directory
    #[arg(long, value_name = "DIR")]
    venv: Option<PathBuf>,
}

#[derive(Args)]
struct Profile {
    #[command(flatten)]
    selection: Selection,
    /// Runs of each model; of each step the fastest counts
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Threads of the kernels
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// One line a model
    #[arg(long)]
    summary: bool,
    /// Also print the optimised graph
    #[arg(long)]
    graph: bool,
    /// Also print the kernels' descriptors
    #[arg(long)]
    kernels: bool,
    /// Run the first passes alone, once
    #[arg(long, value_name = "PASSES")]
    stop_after: Option<usize>,
}

/// An engine that is measured on request.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    /// OpenVINO; ONNX Runtime runs always
    Openvino,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Check(args) => check::main(&args),
        Command::Bench(args) => bench::main(&args),
        Command::Profile(args) => profile::main(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("zoo: {e}");
            ExitCode::from(2)
        }
    }
}
