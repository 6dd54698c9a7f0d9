//! The command line as a person or a script meets it: what is printed, in which stream, with which exit status.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs `sofie` at the repository's root.
fn sofie(args: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_sofie")).args(args).current_dir(root).output().expect("sofie starts")
}

/// Standard output of a run that must end with this status.
fn stdout(args: &[&str], status: i32) -> String {
    let out = sofie(args);
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(status), "{args:?}: {stderr}");
    assert_eq!(stderr, "", "{args:?}");
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// Standard error of a run that must fail with this status and print nothing else.
fn stderr(args: &[&str], status: i32) -> String {
    let out = sofie(args);
    assert_eq!(out.status.code(), Some(status), "{args:?}");
    assert!(out.stdout.is_empty(), "{args:?}");
    String::from_utf8(out.stderr).expect("UTF-8")
}

fn json(args: &[&str], status: i32) -> serde_json::Value {
    serde_json::from_str(&stdout(&[args, &["--json"]].concat(), status)).expect("JSON")
}

/// A file of this test's own.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}

const TAGGER: &str = "assets/models/hls4ml_mlp_trained.onnx";
const REFUSED: &str = "ui-tests/models/unsupported.onnx";

#[test]
fn inspect_says_what_is_in_a_model() {
    insta::assert_snapshot!("inspect", stdout(&["inspect", TAGGER, "--dims", "batch=1"], 0));
    insta::assert_snapshot!("inspect_open", stdout(&["inspect", TAGGER], 0));
    insta::assert_snapshot!("inspect_refused", stdout(&["inspect", REFUSED], 1));
}

#[test]
fn inspect_has_a_form_for_programs() {
    let about = json(&["inspect", TAGGER, "--dims", "batch=1"], 0);
    assert_eq!(about["operators"]["Gemm"], 4);
    assert_eq!(about["inputs"][0]["shape"], serde_json::json!(["batch", 16]));
    // 16-64-32-32-3: a multiply-add is two operations.
    assert_eq!(about["run"]["product_flop"], 2 * (16 * 64 + 64 * 32 + 32 * 32 + 32 * 3));
    assert_eq!(about["errors"], serde_json::json!([]));
    let refused = json(&["inspect", REFUSED], 1);
    assert!(refused["errors"][0]["problem"].as_str().is_some_and(|p| p.contains("not supported")));
}

#[test]
fn plan_lists_the_steps() {
    insta::assert_snapshot!("plan", stdout(&["plan", TAGGER, "--dims", "batch=1"], 0));
    let plan = json(&["plan", TAGGER, "--dims", "batch=1"], 0);
    let steps = plan["steps"].as_array().expect("steps");
    let sum: u64 = steps.iter().filter_map(|s| s["product_flop"].as_u64()).sum();
    assert_eq!(sum, json(&["inspect", TAGGER, "--dims", "batch=1"], 0)["run"]["product_flop"]);
}

#[test]
fn check_agrees_with_stored_outputs() {
    let io = "assets/io/particlenet_lite_k7_p100/case0";
    let data = [&format!("{io}/inputs.npz"), &format!("{io}/outputs.npz")];
    let model = "assets/models/particlenet_lite_k7_p100.onnx";
    let text = stdout(&["check", model, "--kernels", "--data", data[0], data[1]], 0);
    assert!(
        text.contains("evaluator") && text.contains("kernels") && text.ends_with("All outputs agree.\n"),
        "{text}"
    );
    let strict = json(&["check", model, "--tolerance", "1e-12", "--data", data[0], data[1]], 1);
    assert_eq!(strict["agrees"], false);
}

#[test]
fn check_fixes_symbols_by_the_data() {
    let io = "assets/io/graphnets_epd/case0";
    let data = [&format!("{io}/inputs.npz"), &format!("{io}/outputs.npz")];
    let checked = json(&["check", "assets/models/graphnets_epd.onnx", "--data", data[0], data[1]], 0);
    assert_eq!(checked["dims"], serde_json::json!({ "m": 60, "n": 20 }));
}

#[test]
fn expand_prints_code_and_writes_weights() {
    let out = scratch("tagger.rs");
    let path = out.display().to_string();
    let told = stdout(&["expand", TAGGER, "--dims", "batch=1", "--name", "tagger", "-o", &path], 0);
    assert!(told.starts_with("wrote ") && told.contains("tagger.weights"), "{told}");
    let code = std::fs::read_to_string(&out).expect("the code");
    assert!(
        code.contains("pub mod tagger {") && code.contains(r#"include_bytes!("tagger.weights")"#),
        "{code}"
    );
    let printed = stdout(&["expand", TAGGER, "--dims", "batch=1", "--name", "tagger"], 0);
    assert_eq!(printed.trim_end(), code.trim_end());
    let weights = std::fs::read(out.with_extension("weights")).expect("the weights");
    let about = json(&["expand", TAGGER, "--dims", "batch=1"], 0);
    assert_eq!(
        (about["weight_bytes"].as_u64(), &about["module"]),
        (Some(weights.len() as u64), &"hls4ml_mlp_trained".into())
    );
}

#[test]
fn weights_of_one_program_have_its_hash() {
    let write = |dims: &str, name: &str| {
        let path = scratch(name).display().to_string();
        let told = json(&["weights", TAGGER, "--dims", dims, "-o", &path], 0);
        let file = std::fs::read(&path).expect("the weights");
        assert!(String::from_utf8_lossy(&file).contains(told["hash"].as_str().expect("a hash")));
        told
    };
    let (one, again, other) = (write("batch=1", "a"), write("batch=1", "b"), write("batch=2", "c"));
    assert_eq!(one["hash"], again["hash"]);
    assert_ne!(one["hash"], other["hash"]);
    let names: Vec<_> = one["blocks"].as_array().expect("blocks").iter().map(|b| b["name"].clone()).collect();
    assert_eq!(names[..2], ["Gemm_/0/0.0/Gemm.weight", "Gemm_/0/0.0/Gemm.bias"]);
}

#[test]
fn what_is_wrong_is_said_on_standard_error() {
    insta::assert_snapshot!("open_extent", stderr(&["plan", TAGGER], 1));
    insta::assert_snapshot!("refused", stderr(&["expand", REFUSED], 1));
    insta::assert_snapshot!("no_file", stderr(&["inspect", "nowhere.onnx"], 1));
    assert!(stderr(&["plan", TAGGER, "--dims", "batch"], 2).contains("is not SYMBOL=EXTENT"));
    assert!(stderr(&["check", TAGGER, "--data", "nowhere.npz"], 2).starts_with("error: nowhere.npz"));
    let errors = json(&["plan", TAGGER], 1);
    assert_eq!(errors["errors"][0]["help"], "fix it: --dims batch=1");
}

#[test]
fn colours_are_for_terminals() {
    assert!(!stdout(&["inspect", TAGGER], 0).contains('\u{1b}'));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let forced = |no_color: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sofie"));
        command.args(["inspect", TAGGER]).current_dir(&root).env("CLICOLOR_FORCE", "1");
        if !no_color.is_empty() {
            command.env_remove("CLICOLOR_FORCE").env("NO_COLOR", no_color);
        }
        String::from_utf8(command.output().expect("sofie starts").stdout).expect("UTF-8")
    };
    assert!(forced("").contains("\u{1b}["));
    assert!(!forced("1").contains('\u{1b}'));
}
