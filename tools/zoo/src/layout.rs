//! The directory that is checked: which models it holds, their stored cases and their tolerances.
//!
//! `models/NAME.onnx` and `NAME.onnx` beside it; `io/NAME/caseK/{inputs,outputs}.npz`; `zoo.json` with a `tolerance` of
//! `rtol` and `atol` for some of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sofie_infer_runtime::npz::Tolerance;

/// One model of the directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file's name without its extension.
    pub name: String,
    /// The file, from the root.
    pub path: PathBuf,
    /// Folders with `inputs.npz` and `outputs.npz`, case0 first.
    pub cases: Vec<PathBuf>,
    /// What counts as agreement.
    pub tolerance: Tolerance,
}

/// The directory's models by name; those of `only` when it names any.
pub fn entries(dir: &Path, only: &[String]) -> Result<Vec<Entry>, String> {
    let dir = dir.canonicalize().map_err(|e| format!("{}: {e}", dir.display()))?;
    let tolerances = tolerances(&dir)?;
    let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
    for folder in [dir.clone(), dir.join("models")] {
        for path in children(&folder) {
            if let (Some("onnx"), Some(name)) = (extension(&path), path.file_stem()) {
                found.insert(name.to_string_lossy().into_owned(), path);
            }
        }
    }
    if let Some(missing) = only.iter().find(|n| !found.contains_key(*n)) {
        let names: Vec<_> = found.keys().map(String::as_str).collect();
        return Err(format!("no model `{missing}` in {}; there are: {}", dir.display(), names.join(", ")));
    }
    if found.is_empty() {
        return Err(format!("no models/*.onnx in {}", dir.display()));
    }
    found.retain(|name, _| only.is_empty() || only.contains(name));
    let entry = |(name, path): (String, PathBuf)| Entry {
        cases: cases(&dir.join("io").join(&name)),
        tolerance: tolerances.get(&name).copied().unwrap_or_default(),
        name,
        path,
    };
    Ok(found.into_iter().map(entry).collect())
}

fn extension(path: &Path) -> Option<&str> {
    path.extension().and_then(|e| e.to_str())
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|e| Some(e.ok()?.path())).collect()
}

/// The folders `caseK` in the order of K.
fn cases(io: &Path) -> Vec<PathBuf> {
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("case")?.parse::<u64>().ok();
    let mut cases: Vec<_> = children(io).into_iter().filter_map(|p| Some((number(&p)?, p))).collect();
    cases.sort();
    cases.into_iter().map(|(_, path)| path).collect()
}

fn tolerances(dir: &Path) -> Result<BTreeMap<String, Tolerance>, String> {
    let path = dir.join("zoo.json");
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(BTreeMap::new()) };
    let zoo: Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    let close = |entry: &Value| {
        let of = |key| entry["tolerance"][key].as_f64();
        let (rtol, atol) = (of("rtol"), of("atol"));
        (rtol.is_some() || atol.is_some())
            .then(|| Tolerance::Close { rtol: rtol.unwrap_or(0.0), atol: atol.unwrap_or(0.0) })
    };
    let entries = zoo.as_object().into_iter().flatten();
    Ok(entries.filter_map(|(name, entry)| Some((name.clone(), close(entry)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets")
    }

    #[test]
    fn the_assets_are_laid_out_as_expected() -> Result<(), String> {
        let all = entries(&assets(), &[])?;
        assert!(all.iter().any(|e| e.name == "particlenet" && e.path.ends_with("assets/particlenet.onnx")));
        assert!(all.iter().any(|e| e.name == "lenet_mnist" && e.path.ends_with("models/lenet_mnist.onnx")));
        for entry in &all {
            assert_eq!(entry.cases.len(), 3, "{}", entry.name);
            assert!(entry.cases[0].ends_with(format!("{}/case0", entry.name)));
            assert_eq!(entry.tolerance, Tolerance::Close { rtol: 1e-4, atol: 1e-5 }, "{}", entry.name);
        }
        Ok(())
    }

    #[test]
    fn a_wrong_name_lists_the_right_ones() -> Result<(), String> {
        let one = entries(&assets(), &["dl1".to_owned()])?;
        assert_eq!(one.iter().map(|e| e.name.as_str()).collect::<Vec<_>>(), ["dl1"]);
        let error = entries(&assets(), &["dl2".to_owned()]).err().unwrap_or_default();
        assert!(error.contains("`dl2`") && error.contains("dl1, efn") || error.contains("dl1"), "{error}");
        assert!(entries(&assets().join("nowhere"), &[]).is_err());
        Ok(())
    }
}
