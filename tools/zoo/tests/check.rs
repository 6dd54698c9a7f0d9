//! `zoo check` from the outside: on good, wrong and broken models together, and on the whole zoo where there is one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Runs the check; the rows by model.
fn check(dir: &Path, json: &Path, more: &[&str]) -> BTreeMap<String, Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_zoo"))
        .arg("check")
        .arg(dir)
        .arg("--json")
        .arg(json)
        .args(more)
        .output();
    let output = output.unwrap();
    let said = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned()).concat();
    println!("{said}");
    let text = std::fs::read_to_string(json).unwrap_or_else(|_| panic!("no rows were written:\n{said}"));
    let rows: Vec<Value> = serde_json::from_str(&text).unwrap();
    let all_ok = rows.iter().all(|r| r["status"] == "ok");
    assert_eq!(output.status.success(), all_ok, "the exit status says whether every model is ok");
    rows.into_iter().map(|r| (r["model"].as_str().unwrap().to_owned(), r)).collect()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("models")).unwrap();
    folder
}

#[test]
fn a_bad_model_hides_no_other() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let dir = folder("mixed");
    let model = std::fs::read(assets.join("models/hls4ml_mlp.onnx")).unwrap();
    let case = |model: &str, k: usize, from: &str| {
        let to = dir.join(format!("io/{model}/case{k}"));
        std::fs::create_dir_all(&to).unwrap();
        for (file, from) in [("inputs.npz", "hls4ml_mlp"), ("outputs.npz", from)] {
            std::fs::copy(assets.join(format!("io/{from}/case{k}/{file}")), to.join(file)).unwrap();
        }
    };
    for name in ["good", "wrong", "other-shapes", "no cases"] {
        std::fs::write(dir.join(format!("models/{name}.onnx")), &model).unwrap();
    }
    std::fs::write(dir.join("models/cut.onnx"), &model[..model.len() / 2]).unwrap();
    (0..3).for_each(|k| case("good", k, "hls4ml_mlp"));
    case("wrong", 0, "hls4ml_mlp_bn");
    (0..2).for_each(|k| case("other-shapes", k, "hls4ml_mlp"));

    let json = dir.join("rows.json");
    let rows = check(&dir, &json, &["--dims", "other-shapes:batch=16", "--dims", "no cases:batch=2"]);
    let status: Vec<_> =
        rows.iter().map(|(name, row)| (name.as_str(), row["status"].as_str().unwrap())).collect();
    let expected =
        [("cut", "refused"), ("good", "ok"), ("no cases", "ok"), ("other-shapes", "ok"), ("wrong", "wrong")];
    assert_eq!(status, expected, "{rows:#?}");
    assert!(rows["good"]["max_error"].as_f64().unwrap() < 1e-4);
    assert!(rows["wrong"]["max_error"].as_f64().unwrap() > 1e-3);
    assert!(rows["no cases"]["max_error"].is_null());
    assert!(rows["cut"]["message"].as_str().unwrap().contains("cut.onnx"), "{rows:#?}");
    assert_eq!(rows["other-shapes"]["message"], "1 of 2 cases fit the shapes");
}

/// What later work is for: trees and pipelines, quantised and 16-bit forms, a loop whose trip count is computed.
fn is_expected_to_compile(name: &str, entry: &Value) -> bool {
    let tags = entry["tags"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let later = ["sklearn", "quantised", "float16"];
    name != "keras_gru_loop" && !tags.into_iter().any(|t| later.contains(&t))
}

#[test]
fn every_model_of_the_zoo_agrees_on_every_instruction_set() {
    let Some(dir) = std::env::var_os("SOFIE_ZOO").map(PathBuf::from) else {
        println!("skipped: SOFIE_ZOO is not set");
        return;
    };
    let zoo: Value = serde_json::from_str(&std::fs::read_to_string(dir.join("zoo.json")).unwrap()).unwrap();
    let rows = check(&dir, &folder("zoo").join("rows.json"), &[]);
    let bad = |(name, entry): (&String, &Value)| {
        let row = rows.get(name)?;
        let fine =
            row["status"] == "ok" || row["status"] == "refused" && !is_expected_to_compile(name, entry);
        (!fine).then(|| format!("{name}: {}: {}", row["status"], row["message"]))
    };
    let bad: Vec<_> = zoo.as_object().unwrap().iter().filter_map(bad).collect();
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}
