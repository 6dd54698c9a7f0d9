//! Runs a model's program and returns the lines it printed.
//!
//! A program that hangs or dies is that model's failure, never the tool's.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any stored case takes.
const LIMIT: Duration = Duration::from_secs(600);

/// The lines of standard output; otherwise what the program said last. It has `threads` threads;
/// `logs` is a path that it may write beside.
pub fn lines(program: &Path, args: &[String], threads: usize, logs: &Path) -> Result<Vec<String>, String> {
    let place = |e: std::io::Error| format!("{}: {e}", program.display());
    let (out, err) = (logs.with_extension("out"), logs.with_extension("err"));
    let mut command = Command::new(program);
    command.args(args).env("RUST_BACKTRACE", "0").stdin(Stdio::null());
    command.env("RAYON_NUM_THREADS", threads.to_string());
    command.stdout(File::create(&out).map_err(place)?).stderr(File::create(&err).map_err(place)?);
    let mut child = command.spawn().map_err(place)?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait().map_err(place)? {
            Some(status) => break status,
            None if start.elapsed() > LIMIT => {
                child.kill().and_then(|()| child.wait()).map_err(place)?;
                return Err(format!("still running after {} s", LIMIT.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let read = |path| std::fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).map_err(place);
    if status.success() {
        return Ok(read(&out)?.lines().map(str::to_owned).collect());
    }
    let said = read(&err)?;
    let said: Vec<_> =
        said.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("note: run with")).collect();
    Err(if said.is_empty() { status.to_string() } else { said.join("; ") })
}
