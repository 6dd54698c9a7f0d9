//! Networks that go on behind a result whose extents values decide (`fixtures/decided`): evaluated, and planned once for all
//! runs, against what ONNX Runtime gave. All names that disagree are listed.

mod common;

use common::npz;
use sofie_infer_compiler::ir::random::compare;
use sofie_infer_compiler::ir::{Tensor, eval};
use sofie_infer_compiler::ops;
use sofie_infer_compiler::{Compiled, Options, compile};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The folders of each model, by the model's name.
fn models() -> BTreeMap<String, Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decided");
    let mut models: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut folders: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    folders.sort();
    for folder in folders.into_iter().filter(|p| p.is_dir()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let model = name.rsplit_once('_').unwrap().0.to_owned();
        models.entry(model).or_default().push(folder);
    }
    models
}

/// A run against its outputs, or the error that it must have.
fn agree(compiled: &Compiled, folder: &Path) -> Result<(), String> {
    let given = npz::read(&folder.join("inputs.npz"));
    let of = |name: &str| given.iter().find(|(n, _)| n == name).map(|(_, t)| t.clone());
    let inputs: Option<Vec<Tensor>> = compiled.graph.inputs().iter().map(|p| of(&p.name)).collect();
    let inputs = inputs.ok_or("an input has no array")?;
    let evaluated = eval::run_model(&compiled.graph, &inputs).map_err(|e| e.to_string());
    let planned = compiled.execute(&inputs).map_err(|e| e.to_string());
    if let Ok(says) = std::fs::read_to_string(folder.join("error.txt")) {
        return match (evaluated, planned) {
            (Err(a), Err(b)) if a.contains(says.trim()) && b.contains(says.trim()) => Ok(()),
            (a, b) => Err(format!("not refused: {:?}, {:?}", a.err(), b.err())),
        };
    }
    let want = npz::read(&folder.join("outputs.npz"));
    for (how, got) in [("evaluated", evaluated), ("planned", planned)] {
        let got = got.map_err(|e| format!("{how}: {e}"))?;
        for ((port, _), got) in compiled.plan.outputs.iter().zip(&got) {
            let (_, want) =
                want.iter().find(|(n, _)| *n == port.name).ok_or(format!("no array {}", port.name))?;
            compare(got, want, 1e-5).map_err(|e| format!("{how}: {}: {e}", port.name))?;
        }
    }
    Ok(())
}

fn all(bounds: &dyn Fn(&str) -> ops::DimBounds) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, folders) in models() {
        let path = folders[0].join("model.onnx");
        let options = Options { bounds: bounds(&name), ..Options::default() };
        match compile(&path, &path, &options) {
            Err(failure) => wrong.push(format!("{name}: {}", failure)),
            Ok(compiled) => {
                let runs = folders.iter().map(|folder| (folder, agree(&compiled, folder)));
                wrong.extend(runs.filter_map(|(f, r)| Some(format!("{}: {}", f.display(), r.err()?))));
            }
        }
    }
    wrong
}

/// The models whose inputs have free extents, with their bounds.
fn free(name: &str, most: Option<u64>) -> ops::DimBounds {
    let symbol = match name {
        "rows" => "rows",
        "clusters" => "n",
        _ => return ops::DimBounds::new(),
    };
    [(symbol.to_owned(), (0, most))].into()
}

#[test]
fn agrees_with_onnx_runtime() {
    let wrong = all(&|name| free(name, Some(8)));
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn agrees_where_each_session_bounds_the_extents() {
    let wrong = all(&|name| free(name, None));
    assert!(wrong.is_empty(), "{} disagree:\n{}", wrong.len(), wrong.join("\n"));
}
