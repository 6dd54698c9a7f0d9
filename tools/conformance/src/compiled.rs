//! Runs cases as users run networks: generates programs of about a hundred modules, through the compiler's library or as
//! calls of the macro, builds them (the runtime optimised, generated code not), and runs what was built.
//!
//! A model that is refused is known before anything is built. A program that does not build is built again without the
//! modules that rustc names, so that one bad expansion hides no other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use quote::{format_ident, quote};
use rayon::prelude::*;
use sofie_infer_compiler::{Compiled, Options, Request, compile, expand};
use sofie_infer_compiler::{ir, onnx};

use crate::case::{self, Case};
use crate::compare::compare;
use crate::engine::Verdict;
use crate::facade::Facade;

/// Modules of a program.
const BATCH: usize = 100;

/// How a module comes into a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The library expands it, here.
    Library,
    /// The program calls the macro.
    Macro,
}

/// A case that compiles: its number, and what it was compiled to.
struct Ready<'a> {
    case: &'a Case,
    number: usize,
    compiled: Compiled,
    dims: BTreeMap<String, u64>,
    model: onnx::Model,
}

/// Runs all cases; programs and what they read and write go into `scratch`.
pub fn run(cases: &[Case], way: Way, scratch: &Path) -> Result<Vec<Verdict>, String> {
    // rustc is run elsewhere.
    let scratch = &std::path::absolute(scratch).map_err(|e| format!("{}: {e}", scratch.display()))?;
    let facade = Facade::build()?;
    let prepare = |case| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| prepare(case)));
    let prepared: Vec<_> = cases.par_iter().map(prepare).collect();
    let mut verdicts: Vec<Verdict> = Vec::new();
    let mut ready = Vec::new();
    for (number, (case, prepared)) in cases.iter().zip(prepared).enumerate() {
        verdicts.push(match prepared {
            Ok(Ok((compiled, dims, model))) => {
                ready.push(Ready { case, number, compiled, dims, model });
                Verdict::CompileError("it was not run".into())
            }
            Ok(Err(verdict)) => verdict,
            Err(_) => Verdict::CompileError("the compiler panicked".into()),
        });
    }
    let judge = |(k, batch)| run_batch(batch, way, &scratch.join(format!("{way:?}{k}")), &facade);
    let judged: Vec<_> = ready.par_chunks(BATCH).enumerate().map(judge).collect();
    for batch in judged {
        for (number, verdict) in batch? {
            verdicts[number] = verdict;
        }
    }
    Ok(verdicts)
}

fn prepare(case: &Case) -> Result<(Compiled, BTreeMap<String, u64>, onnx::Model), Verdict> {
    let path = case.folder.join("model.onnx");
    let refused = |why: String| Verdict::Unsupported(why);
    let model = onnx::load(&path).map_err(|e| refused(e.to_string()))?;
    let files: Vec<usize> = (0..model.graph.inputs.len()).collect();
    let set = case.folder.join("test_data_set_0");
    let (_, dims) = case::inputs(&model, &set, &files).map_err(refused)?;
    let options = Options { dims: dims.clone(), ..Options::default() };
    let compiled = compile(&path, Path::new("model.onnx"), &options);
    compiled.map(|c| (c, dims, model)).map_err(|f| refused(f.to_string()))
}

/// The numbers and verdicts of a batch.
fn run_batch(
    batch: &[Ready<'_>],
    way: Way,
    folder: &Path,
    facade: &Facade,
) -> Result<Vec<(usize, Verdict)>, String> {
    let io = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::create_dir_all(folder).map_err(io)?;
    let mut left: Vec<&Ready<'_>> = batch.iter().collect();
    let mut verdicts = Vec::new();
    for ready in &left {
        let module = match way {
            Way::Library => module(ready),
            Way::Macro => call(ready),
        };
        std::fs::write(module_path(folder, ready.number), module).map_err(io)?;
    }
    let program = folder.join("program");
    // Each round builds without what was named in the one before.
    loop {
        std::fs::write(folder.join("main.rs"), main_file(&left)).map_err(io)?;
        let output = facade.rustc(folder, &program).output().map_err(io)?;
        if output.status.success() {
            break;
        }
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let error = |n: &usize| {
            let file = format!("c{n}.rs:");
            text.lines().find(|l| l.contains(&file) && l.contains(": error")).map(str::to_owned)
        };
        let bad: Vec<usize> = left.iter().map(|r| r.number).filter(|n| error(n).is_some()).collect();
        if bad.is_empty() || left.is_empty() {
            return Err(format!(
                "a batch does not build: {}",
                text.lines().take(20).collect::<Vec<_>>().join("\n")
            ));
        }
        for n in &bad {
            let line = error(n).unwrap_or_default();
            verdicts.push((*n, Verdict::CompileError(format!("rustc: {line}"))));
        }
        left.retain(|r| !bad.contains(&r.number));
    }
    for ready in left {
        verdicts.push((ready.number, run_case(ready, &program, folder)));
    }
    Ok(verdicts)
}

fn module_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("c{number}.rs"))
}

fn module(ready: &Ready<'_>) -> String {
    let request = Request {
        dims: ready.dims.clone().into_iter().map(|(symbol, n)| (symbol, n.into())).collect(),
        ..Request::new(quote!(crate), format_ident!("net"), ready.case.folder.clone(), "model.onnx".into())
    };
    expand(&request).to_string()
}

/// The call of the macro; a path that is absolute is relative to no manifest.
fn call(ready: &Ready<'_>) -> String {
    let path = std::path::absolute(ready.case.folder.join("model.onnx")).unwrap_or_default();
    let dims: String = ready.dims.iter().map(|(symbol, n)| format!("{symbol:?} = {n}, ")).collect();
    let dims = if dims.is_empty() { dims } else { format!(", dims({dims})") };
    format!("sofie_infer::sofie_model! {{ pub mod net = {path:?}{dims} }}")
}

fn main_file(batch: &[&Ready<'_>]) -> String {
    let mut text = String::from("pub use sofie_infer::rt;\nuse rt::DynSession;\nuse std::fs;\n\n");
    for r in batch {
        let _ = writeln!(text, "mod c{};", r.number);
    }
    text += "\nfn run(mut s: impl DynSession, from: &str, to: &str) {\n    \
        for i in 0..s.input_info().len() {\n        \
        s.input_bytes(i).copy_from_slice(&fs::read(format!(\"{from}/{i}\")).unwrap());\n    }\n    \
        s.run();\n    \
        for i in 0..s.output_info().len() {\n        \
        fs::write(format!(\"{to}/{i}\"), s.output_bytes(i)).unwrap();\n        \
        let extents: Vec<String> = (0..s.output_info()[i].shape.len())\n            \
        .map(|a| s.output_extent(i, a).to_string()).collect();\n        \
        fs::write(format!(\"{to}/{i}.shape\"), extents.join(\" \")).unwrap();\n    }\n}\n\n\
        fn main() {\n    let args: Vec<String> = std::env::args().collect();\n    match args[1].as_str() {\n";
    for r in batch {
        let n = r.number;
        let _ = writeln!(text, "        \"{n}\" => run(c{n}::net::Session::new(), &args[2], &args[3]),");
    }
    text += "        other => panic!(\"no case {other}\"),\n    }\n}\n";
    text
}

/// Runs all data sets of a case, a process each.
fn run_case(ready: &Ready<'_>, program: &Path, folder: &Path) -> Verdict {
    let (from, to) = (folder.join("in"), folder.join("out"));
    for set in ready.case.sets() {
        for path in [&from, &to] {
            let _ = std::fs::remove_dir_all(path);
            if let Err(e) = std::fs::create_dir_all(path) {
                return Verdict::Fail(format!("{}: {e}", path.display()));
            }
        }
        let files: Vec<usize> = (0..ready.model.graph.inputs.len()).collect();
        let inputs = match case::inputs(&ready.model, &set, &files) {
            Ok((inputs, _)) => inputs,
            Err(why) => return Verdict::Unsupported(why),
        };
        for (i, (port, x)) in ready.compiled.plan.inputs.iter().zip(&inputs).enumerate() {
            if x.dims() != port.dims {
                return Verdict::Unsupported("a data set of other extents than the first".into());
            }
            if let Err(e) = std::fs::write(from.join(i.to_string()), x.bytes()) {
                return Verdict::Fail(e.to_string());
            }
        }
        let output = Command::new(program).arg(ready.number.to_string()).args([&from, &to]).output();
        match output {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let refused = text.contains("decides a shape otherwise");
                let why = text.lines().nth(1).unwrap_or(&text).to_owned();
                return if refused {
                    Verdict::Unsupported(why)
                } else {
                    Verdict::Fail(format!("it stops: {why}"))
                };
            }
            Err(e) => return Verdict::Fail(e.to_string()),
        }
        let expected = match case::outputs(&ready.model, &set) {
            Ok(expected) => expected,
            Err(why) => return Verdict::Unsupported(why),
        };
        for (i, ((port, _), want)) in ready.compiled.plan.outputs.iter().zip(&expected).enumerate() {
            let got = match result(port.dtype, &to, i) {
                Ok(got) => got,
                Err(why) => return Verdict::Fail(why),
            };
            if let Err(why) = compare(&got, want, ready.case.rtol, ready.case.atol) {
                return Verdict::Fail(format!("output {i}: {why}"));
            }
        }
    }
    Verdict::Pass
}

/// An output as the program wrote it.
fn result(dtype: sofie_infer_runtime::DType, to: &Path, i: usize) -> Result<ir::Tensor, String> {
    let bytes = std::fs::read(to.join(i.to_string())).map_err(|e| e.to_string())?;
    let shape = std::fs::read_to_string(to.join(format!("{i}.shape"))).map_err(|e| e.to_string())?;
    let dims = shape.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    ir::Tensor::from_bytes(dtype, dims, bytes).ok_or_else(|| "an output of another size".into())
}
