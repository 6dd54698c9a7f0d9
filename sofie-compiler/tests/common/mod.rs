//! What the integration tests share: a builder of ONNX protos, and models broken in known ways, and numbers.
#![allow(dead_code, reason = "each test binary uses a part")]

pub mod build;
pub mod mutate;
pub mod noise;
pub mod npz;
pub mod plans;

use std::path::PathBuf;

/// The `.onnx` files of the repository's `assets/` and `assets/models/` and, where `SOFIE_ZOO` names a folder, of its `models/`.
pub fn model_files() -> Vec<PathBuf> {
    let assets = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets"));
    let mut folders = vec![assets.join("models"), assets];
    match std::env::var_os("SOFIE_ZOO") {
        Some(zoo) => folders.push(PathBuf::from(zoo).join("models")),
        None => println!("SOFIE_ZOO is not set: only assets/ is tested"),
    }
    let entries = folders.iter().flat_map(std::fs::read_dir).flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    files.sort();
    files
}
