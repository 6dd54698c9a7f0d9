//! `sofie`: looks into ONNX models as `sofie_model!` compiles them. This file holds the command line; each command is a
//! file that gives an `Answer`, which is printed here as text or as JSON.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod answer;
mod check;
mod data;
mod expand;
mod inspect;
mod model;
mod plan;
mod progress;
mod report;
mod table;
mod units;
mod weights;

#[derive(Parser)]
#[command(name = "sofie", version, styles = answer::HELP_STYLES)]
#[command(about = "Looks into ONNX models as sofie-infer compiles them")]
#[command(
    after_help = "Exit status: 0 all is well, 1 the model is refused or its results differ, 2 anything else.\n\
                        Colours and progress bars are for terminals; NO_COLOR turns colours off."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON instead of text
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Inputs, outputs, symbols and operators of a model, what is unsupported, what a run costs
    Inspect(model::Args),
    /// Compare the reference evaluator's results with stored ones
    Check(check::Args),
    /// Print the Rust module that a model expands to
    Expand(expand::Args),
    /// List the steps of a run with bytes and FLOP
    Plan(model::Args),
    /// Write a page with the graph before and after, the memory plan and the steps
    Report(report::Args),
    /// Write the weights of a program that was compiled with `weights = external`
    Weights(weights::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Inspect(args) => inspect::run(args),
        Command::Check(args) => check::run(args),
        Command::Expand(args) => expand::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Report(args) => report::run(args),
        Command::Weights(args) => weights::run(args),
    };
    match result {
        Ok(answer) => answer.print(cli.json),
        Err(failure) => failure.print(cli.json),
    }
}
