//! The checks of `cargo xtask tidy`: each reads one file's text and returns what is wrong with it.
//!
//! They are plain text searches over code whose comments and literals are blanked (`lex`), so that all of them take well
//! under a second. What they cannot see (a panic behind an index, a path built from pieces) reviewers must.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod layers;
mod lex;
mod panics;
mod text;

/// One thing that is wrong, at one place.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do instead.
    pub message: String,
}

impl Finding {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Finding { line, message: message.into() }
    }
}

/// A tracked Rust file, prepared once for all checks.
pub struct Source<'a> {
    /// Path from the repository's root, with `/` between its parts.
    pub path: &'a str,
    /// The text as it is.
    pub text: &'a str,
    /// The text with comments and literals blanked, line breaks kept.
    pub code: String,
    /// `code` with the bodies of `#[cfg(test)]` items blanked as well.
    pub shipped: String,
}

impl<'a> Source<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let code = lex::blank(text);
        let shipped = lex::without_tests(&code);
        Source { path, text, code, shipped }
    }

    /// Whether all of the file is tests: it stands in a `tests` folder or is the file of a module
    /// that tests alone have.
    fn is_test(&self) -> bool {
        let mut parts = self.path.rsplit('/');
        let file = parts.next().unwrap_or_default();
        matches!(file, "tests.rs" | "testing.rs")
            || file.ends_with("_tests.rs")
            || parts.any(|p| p == "tests" || p == "ui-tests" || p == "benches")
    }
}

/// Runs every check on the repository that holds this crate.
pub fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default();
    let files = match tracked(&root) {
        Ok(files) => files,
        Err(e) => {
            eprintln!("tidy: {e}");
            return ExitCode::FAILURE;
        }
    };
    let (mut findings, mut lengths) = (Vec::new(), Vec::new());
    for file in &files {
        let Ok(bytes) = std::fs::read(root.join(file)) else { continue };
        let path = file.to_string_lossy().replace('\\', "/");
        let mut found = text::foreign(&bytes);
        if let (true, Ok(text)) = (path.ends_with(".rs"), std::str::from_utf8(&bytes)) {
            let source = Source::new(&path, text);
            found.extend(check(&source));
            lengths.push((text.lines().count(), path.clone()));
        }
        findings.extend(found.into_iter().map(|f| (path.clone(), f)));
    }
    report_lengths(lengths);
    for (path, f) in &findings {
        eprintln!("{path}:{}: {}", f.line, f.message);
    }
    println!("tidy: {} files, {} findings", files.len(), findings.len());
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Every check of one Rust file.
fn check(source: &Source) -> Vec<Finding> {
    let mut found = layers::check(source);
    found.extend(panics::check(source));
    found.extend(panics::check_unsafe(source));
    found.extend(text::length(source));
    found.extend(text::header(source));
    found
}

/// The files that git tracks or would add.
fn tracked(root: &Path) -> Result<Vec<PathBuf>, String> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let out = Command::new("git")
        .args(list)
        .current_dir(root)
        .output()
        .map_err(|e| format!("git ls-files: {e}"))?;
    if !out.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&out.stderr).trim()));
    }
    let names = String::from_utf8_lossy(&out.stdout);
    let mut files: Vec<_> = names.split('\0').filter(|n| !n.is_empty()).map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    Ok(files)
}

/// The long files, longest first: a look at what may want to be two.
fn report_lengths(mut lengths: Vec<(usize, String)>) {
    let (total, count) = (lengths.iter().map(|l| l.0).sum::<usize>(), lengths.len());
    lengths.retain(|l| l.0 > text::LONG);
    lengths.sort_by(|a, b| b.cmp(a));
    println!("tidy: {count} Rust files of {total} lines; {} past {} lines", lengths.len(), text::LONG);
    for (lines, path) in &lengths {
        println!("{lines:6}  {path}");
    }
}
