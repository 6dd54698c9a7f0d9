//! `cargo xtask COMMAND`: chores of the repository that a person would forget.
//!
//! `tidy` checks what neither rustc nor clippy can: the order of the compiler's layers, the length of files, panics on
//! model data, where `unsafe` may stand, and text that belongs to one machine only.

use std::process::ExitCode;

mod tidy;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy::main(),
        _ => {
            eprintln!("usage: cargo xtask tidy");
            ExitCode::from(2)
        }
    }
}
