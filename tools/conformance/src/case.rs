//! A case of the suite: where its files are, its tier, its tolerance, its tensors.

use std::path::{Path, PathBuf};

use sofie_infer_compiler::{ir, onnx, ops};

use crate::table::Table;

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The folder of the kind: node, simple, light, ...
    pub kind: String,
    /// The folder's name.
    pub name: String,
    /// The tier that the table gives; `T?` where it does not know the case.
    pub tier: String,
    /// The folder.
    pub folder: PathBuf,
    /// Relative tolerance.
    pub rtol: f64,
    /// Absolute tolerance.
    pub atol: f64,
}

/// All cases of a suite, sorted.
pub fn cases(suite: &Path, table: &Table) -> Result<Vec<Case>, String> {
    let mut cases = Vec::new();
    for kind in folders(suite)? {
        for folder in folders(&kind)? {
            if !folder.join("model.onnx").is_file() {
                continue;
            }
            let (kind, name) = (last(&kind), last(&folder));
            let tier = table.get(&format!("{kind}/{name}")).and_then(|row| row.get("tier"));
            let (rtol, atol) = tolerance(&folder);
            cases.push(Case { tier: tier.cloned().unwrap_or("T?".into()), kind, name, folder, rtol, atol });
        }
    }
    cases.sort_by(|a, b| (&a.kind, &a.name).cmp(&(&b.kind, &b.name)));
    Ok(cases)
}

fn last(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect())
}

/// The suite's tolerance is 1e-3 and 1e-7 where `data.json` does not say otherwise.
fn tolerance(folder: &Path) -> (f64, f64) {
    let text = std::fs::read_to_string(folder.join("data.json")).unwrap_or_default();
    let number = |key: &str| {
        let (_, rest) = text.split_once(&format!("\"{key}\":"))?;
        rest.split([',', '}']).next()?.trim().parse().ok()
    };
    (number("rtol").unwrap_or(1e-3), number("atol").unwrap_or(1e-7))
}

impl Case {
    /// The folders of inputs and outputs, in order.
    pub fn sets(&self) -> Vec<PathBuf> {
        let set = |k| self.folder.join(format!("test_data_set_{k}"));
        (0..).map(set).take_while(|p| p.is_dir()).collect()
    }
}

/// The tensor in a file; of a type of 8 bits or less, its bytes, one an element.
///
/// # Errors
/// It is no tensor of a type that is computed in.
pub fn tensor(path: &Path) -> Result<ir::Tensor, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let tensor = onnx::parse_tensor(bytes).map_err(|e| e.to_string())?;
    if let Some(storage) = tensor.element().storage() {
        return ops::bytes(&tensor, storage).map_err(|e| e.to_string());
    }
    let dtype = tensor.dtype().map_err(|e| e.to_string())?;
    let dims = tensor.dims().iter().map(|&d| d as usize).collect();
    ir::Tensor::from_bytes(dtype, dims, tensor.bytes()).ok_or("a tensor that does not fit its shape".into())
}
