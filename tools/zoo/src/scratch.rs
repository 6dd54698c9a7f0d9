//! The scratch crate: one program a model, each one call of the real macro, built by cargo.
//!
//! Cargo goes on after a program that does not compile (`--keep-going`) and reports in JSON, so that every message is
//! laid at its own model's door. Crates of different directories share one build directory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use crate::compiler;
use crate::dims::{Bounds, Dims};
use crate::layout::Entry;

/// The repository's root, where the crates lie.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// How the programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The kernels optimised, the rest not: quick to build.
    Dev,
    /// As a user ships it.
    Release,
}

/// One model's program.
#[derive(Debug)]
pub enum Program {
    /// It was built, in so many seconds where it was built alone.
    Built {
        /// The executable.
        path: PathBuf,
        /// Seconds of `cargo build` for this program, its dependencies built before.
        seconds: f64,
    },
    /// rustc's errors, the macro's own among them.
    Failed(String),
}

/// A model, and what is said of its symbols.
pub struct Model {
    /// Its files.
    pub entry: Entry,
    /// Symbols that are fixed.
    pub dims: Dims,
    /// Symbols that stay free.
    pub bounds: Bounds,
}

/// The generated crate.
pub struct Scratch {
    folder: PathBuf,
    target: PathBuf,
    profile: Profile,
    threads: usize,
    /// The program's name of each model, in the order of the entries.
    programs: Vec<String>,
    /// Of the models' folder.
    hash: u64,
}

/// What a program is called where the programs of all folders are: their models may have one name.
fn binary(program: &str, hash: u64) -> String {
    format!("{program}-{hash:016x}")
}

/// Where the tool builds and keeps things.
pub fn build_folder() -> Result<PathBuf, String> {
    let root = Path::new(ROOT).canonicalize().map_err(|e| format!("{ROOT}: {e}"))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |t| root.join(t));
    let folder = target.join("zoo");
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    Ok(folder)
}

impl Scratch {
    /// Writes the crate for the models of `dir`; with several threads its programs have the feature for them.
    pub fn new(dir: &Path, models: &[Model], profile: Profile, threads: usize) -> Result<Self, String> {
        let root = Path::new(ROOT).canonicalize().map_err(|e| format!("{ROOT}: {e}"))?;
        let target = build_folder()?;
        let mut hash = DefaultHasher::new();
        dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf()).hash(&mut hash);
        (threads > 1).hash(&mut hash);
        let hash = hash.finish();
        let folder = target.join(format!("{hash:016x}"));
        let programs = names(models.iter().map(|m| m.entry.name.as_str()));
        let mut manifest = manifest(&root, profile, threads);
        for (model, program) in models.iter().zip(&programs) {
            let binary = binary(program, hash);
            let _ = write!(manifest, "\n[[bin]]\nname = \"{binary}\"\npath = \"src/{program}.rs\"\n");
            // A file that cannot be read has no inputs: its program fails with the macro's message.
            let inputs = compiler::inputs(&model.entry.path).map_or(0, |i| i.len());
            write(&folder.join(format!("src/{program}.rs")), &source(model, inputs, program))?;
        }
        write(&folder.join("Cargo.toml"), &manifest)?;
        write(&folder.join("src/lib.rs"), "//! Programs alone.\n")?;
        let lock =
            std::fs::read_to_string(root.join("Cargo.lock")).map_err(|e| format!("Cargo.lock: {e}"))?;
        write(&folder.join("Cargo.lock"), &lock)?;
        Ok(Scratch { folder, target, profile, threads, programs, hash })
    }

    /// Where a model's program may log.
    pub fn logs(&self, model: usize) -> PathBuf {
        self.folder.join(&self.programs[model])
    }

    /// Threads of each program.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Builds what all programs share.
    pub fn build_shared(&self) -> Result<(), String> {
        let built = self.cargo(&["--lib"])?;
        if built.success {
            return Ok(());
        }
        Err(format!("the crates that every model needs do not build:\n{}", built.any_message()))
    }

    /// Builds every program, several at a time.
    pub fn build_all(&self) -> Result<Vec<Program>, String> {
        let mut built = self.cargo(&["--bins", "--keep-going"])?;
        Ok(self.programs.iter().map(|name| built.take(&binary(name, self.hash), 0.0)).collect())
    }

    /// Builds one program alone and times it.
    pub fn build_one(&self, model: usize) -> Result<Program, String> {
        let (name, start) = (binary(&self.programs[model], self.hash), Instant::now());
        let mut built = self.cargo(&["--bin", &name])?;
        Ok(built.take(&name, start.elapsed().as_secs_f64()))
    }

    fn cargo(&self, args: &[&str]) -> Result<Built, String> {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["build", "--quiet", "--message-format=json"]).args(args).current_dir(&self.folder);
        command.arg("--target-dir").arg(self.target.join("build"));
        if self.profile == Profile::Release {
            command.arg("--release");
        }
        let output = command.output().map_err(|e| format!("cargo: {e}"))?;
        let mut built = Built::parse(&String::from_utf8_lossy(&output.stdout));
        built.success = output.status.success();
        built.stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Ok(built)
    }
}

/// What cargo reported.
#[derive(Default)]
struct Built {
    success: bool,
    stderr: String,
    executables: HashMap<String, PathBuf>,
    errors: BTreeMap<String, Vec<String>>,
}

impl Built {
    fn parse(stdout: &str) -> Self {
        let mut built = Built::default();
        for message in stdout.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()) {
            let Some(target) = message["target"]["name"].as_str().map(str::to_owned) else { continue };
            if let Some(path) = message["executable"].as_str() {
                built.executables.insert(target, path.into());
            } else if message["message"]["level"] == "error" {
                let text = message["message"]["rendered"].as_str().unwrap_or_default().trim().to_owned();
                if !text.starts_with("error: aborting due to") {
                    built.errors.entry(target).or_default().push(text);
                }
            }
        }
        built
    }

    fn any_message(&self) -> String {
        let errors: Vec<_> = self.errors.values().flatten().map(String::as_str).collect();
        if errors.is_empty() { self.stderr.clone() } else { errors.join("\n") }
    }

    fn take(&mut self, program: &str, seconds: f64) -> Program {
        match (self.executables.remove(program), self.errors.remove(program)) {
            (Some(path), _) => Program::Built { path, seconds },
            (None, Some(errors)) => Program::Failed(errors.join("\n")),
            (None, None) => Program::Failed(self.any_message()),
        }
    }
}

/// A name for each program: the model's, as an identifier, with a number where two would be equal.
fn names<'a>(models: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |model: &str| {
        let plain: String = model.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        let plain = format!("m_{}", plain.to_lowercase());
        let numbered = (2..).map(|i| format!("{plain}_{i}"));
        let name =
            std::iter::once(plain.clone()).chain(numbered).find(|n| !taken.contains(n)).unwrap_or(plain);
        taken.insert(name.clone());
        name
    };
    models.map(name).collect()
}

fn manifest(root: &Path, profile: Profile, threads: usize) -> String {
    let peers = if profile == Profile::Release { ", features = [\"peers\"]" } else { "" };
    let threads = if threads > 1 { ", features = [\"threads\"]" } else { "" };
    format!(
        "[package]\nname = \"zoo-scratch\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\nautobins = false\n\n\
         [dependencies]\nsofie-infer = {{ path = {:?}{threads} }}\nzoo-harness = {{ path = {:?}{peers} }}\n\n\
         [profile.dev]\ndebug = false\n\n\
         [profile.dev.build-override]\nopt-level = 3\n\n\
         [profile.release.build-override]\nopt-level = 3\n\n\
         [profile.dev.package.sofie-infer-runtime]\nopt-level = 3\n\n\
         [workspace]\n",
        root,
        root.join("tools/zoo/harness"),
    )
}

/// One program: the macro, and the harness around the session it made.
fn source(model: &Model, inputs: usize, program: &str) -> String {
    let Model { entry, dims, bounds } = model;
    let mut options = String::new();
    let fixed = dims.iter().map(|(symbol, extent)| format!("{symbol:?} = {extent}"));
    let free = bounds.iter().map(|(symbol, (least, most))| format!("{symbol:?} = {least}..={most}"));
    let pairs: Vec<_> = fixed.chain(free).collect();
    if !pairs.is_empty() {
        let _ = write!(options, ", dims({})", pairs.join(", "));
    }
    let arguments: Vec<_> = (0..inputs).map(|i| format!("inputs.get({i})")).collect();
    let names: Vec<_> = (0..inputs).map(|i| format!("x{i}")).collect();
    let (arguments, names) = (arguments.join(", "), names.join(", "));
    // Slices and views are no arrays of known extents: such a session runs on inputs of its own.
    let run = if bounds.is_empty() {
        format!(
            "let ({names}) = ({arguments});\n        time(&mut || drop(std::hint::black_box(session.infer({names}))));"
        )
    } else {
        "let _ = inputs;\n        time(&mut || sofie_infer::rt::DynSession::run(session));".to_owned()
    };
    format!(
        r#"//! The model `{}`.
#![forbid(unsafe_code)]

sofie_infer::sofie_model! {{ pub mod {program} = {:?}{options} }}

fn main() -> std::process::ExitCode {{
    let sizes = zoo_harness::Sizes {{
        arena: {program}::ARENA_BYTES,
        bound: {program}::ARENA_BOUND_BYTES,
        scratch: {program}::SCRATCH_BYTES,
        weights: {program}::WEIGHT_BYTES,
    }};
    zoo_harness::main(sizes, {program}::Session::new, |session, inputs, time| {{
        {run}
    }})
}}
"#,
        entry.name.escape_default(),
        entry.path,
    )
}

/// Writes a file if that changes it, so that cargo builds no more than it must.
fn write(path: &Path, text: &str) -> Result<(), String> {
    if std::fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|e| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sofie_infer_runtime::npz::Tolerance;

    #[test]
    fn programs_have_names_of_their_own() {
        let names = names(["387", "a.b", "a_b", "A-b", "é"].into_iter());
        assert_eq!(names, ["m_387", "m_a_b", "m_a_b_2", "m_a_b_3", "m__"]);
    }

    #[test]
    fn a_program_is_one_call_of_the_macro() {
        let entry = Entry {
            name: "x".into(),
            path: "a \"b\"/x.onnx".into(),
            cases: vec![],
            tolerance: Tolerance::default(),
        };
        let dims = [("batch".to_owned(), 1), ("unk__12".to_owned(), 2)].into();
        let model = |dims, bounds| Model { entry: entry.clone(), dims, bounds };
        let text = source(&model(dims, Bounds::new()), 2, "m_x");
        assert!(
            text.contains(r#"pub mod m_x = "a \"b\"/x.onnx", dims("batch" = 1, "unk__12" = 2)"#),
            "{text}"
        );
        assert!(
            text.contains("let (x0, x1) = (inputs.get(0), inputs.get(1));") && text.contains("infer(x0, x1)"),
            "{text}"
        );
        assert!(source(&model(Dims::new(), Bounds::new()), 0, "m_x").contains(r#"x.onnx" }"#));
        let text = source(&model(Dims::new(), [("n".to_owned(), (1, 9))].into()), 1, "m_x");
        assert!(text.contains(r#"dims("n" = 1..=9)"#) && text.contains("DynSession::run(session)"), "{text}");
    }

    #[test]
    fn messages_go_to_their_own_program() {
        let mut built = Built::parse(concat!(
            r#"{"reason":"compiler-message","target":{"name":"m_a"},"message":{"level":"error","rendered":"error: refused\n"}}"#,
            "\n",
            r#"{"reason":"compiler-message","target":{"name":"m_b"},"message":{"level":"warning","rendered":"warning: x"}}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"m_b"},"executable":"target/m_b"}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"name":"dep"},"executable":null}"#,
            "\n{\"reason\":\"build-finished\",\"success\":false}\nnot json\n"
        ));
        assert!(matches!(built.take("m_a", 0.0), Program::Failed(e) if e == "error: refused"));
        assert!(
            matches!(built.take("m_b", 1.0), Program::Built { path, seconds: 1.0 } if path == Path::new("target/m_b"))
        );
        assert!(matches!(built.take("m_c", 0.0), Program::Failed(_)));
    }
}
