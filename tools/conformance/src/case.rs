//! A case of the suite: where its files are, its tier, its tolerance, its tensors.

use std::path::{Path, PathBuf};

use sofie_infer_compiler::onnx::ValueType;
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

/// The tensors in the files of a model's inputs (input `i` is file `files[i]`), those of a sequence one behind the other,
/// and the extents and lengths that they have.
///
/// # Errors
/// One is no tensor of a type that is computed in, or the model has other inputs.
pub fn inputs(
    model: &onnx::Model,
    set: &Path,
    files: &[usize],
) -> Result<(Vec<ir::Tensor>, ops::DimValues), String> {
    let (mut all, mut dims) = (Vec::new(), ops::DimValues::new());
    for (info, file) in model.graph.inputs.iter().zip(files) {
        let tensors = tensors(&set.join(format!("input_{file}.pb")), &info.ty)?;
        if matches!(info.ty, ValueType::Sequence(_) | ValueType::Optional(_)) {
            dims.insert(info.name.to_string(), tensors.len() as u64);
        }
        all.extend(tensors);
    }
    let open = ops::input_shapes(model, &dims).map_err(|e| e.to_string())?;
    if open.len() != all.len() {
        return Err(format!("{} tensors for {} inputs", all.len(), open.len()));
    }
    for ((_, _, shape), x) in open.iter().zip(&all) {
        for (dim, n) in shape.dims().iter().zip(x.dims()) {
            dims.extend(dim.symbols().iter().map(|s| (s.to_string(), *n as u64)));
        }
    }
    Ok((all, dims))
}

/// The tensors in the files of a model's outputs.
///
/// # Errors
/// One is no tensor of a type that is computed in.
pub fn outputs(model: &onnx::Model, set: &Path) -> Result<Vec<ir::Tensor>, String> {
    let mut all = Vec::new();
    for (i, info) in model.graph.outputs.iter().enumerate() {
        all.extend(tensors(&set.join(format!("output_{i}.pb")), &info.ty)?);
    }
    Ok(all)
}

/// The tensors in a file of a declared type.
fn tensors(path: &Path, ty: &ValueType) -> Result<Vec<ir::Tensor>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    parts(bytes, ty)
}

fn parts(bytes: Vec<u8>, ty: &ValueType) -> Result<Vec<ir::Tensor>, String> {
    /// The fields of `SequenceProto` and `OptionalProto` that hold tensors, and of the latter the one for a sequence.
    const TENSOR: u64 = 3;
    const SEQUENCE: u64 = 5;
    match ty {
        ValueType::Sequence(_) => {
            fields(&bytes, TENSOR)?.into_iter().map(|field| tensor(field.to_vec())).collect()
        }
        ValueType::Optional(of) if matches!(**of, ValueType::Sequence(_)) => {
            let sequences = fields(&bytes, SEQUENCE)?;
            sequences
                .into_iter()
                .map(|field| parts(field.to_vec(), of))
                .collect::<Result<Vec<_>, _>>()
                .map(|s| s.concat())
        }
        ValueType::Optional(_) => {
            fields(&bytes, TENSOR)?.into_iter().map(|field| tensor(field.to_vec())).collect()
        }
        _ => Ok(vec![tensor(bytes)?]),
    }
}

/// The messages in field `wanted` of a protobuf message.
fn fields(mut bytes: &[u8], wanted: u64) -> Result<Vec<&[u8]>, String> {
    fn varint(bytes: &mut &[u8]) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first()?;
            *bytes = rest;
            n |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return Some(n);
            }
        }
        None
    }
    let damaged = || "a damaged message".to_owned();
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes).ok_or_else(damaged)?;
        match key & 7 {
            0 => {
                varint(&mut bytes).ok_or_else(damaged)?;
            }
            2 => {
                let n = varint(&mut bytes).and_then(|n| usize::try_from(n).ok()).ok_or_else(damaged)?;
                let (field, rest) = bytes.split_at_checked(n).ok_or_else(damaged)?;
                bytes = rest;
                if key >> 3 == wanted {
                    found.push(field);
                }
            }
            _ => return Err(damaged()),
        }
    }
    Ok(found)
}

/// A tensor; of a type of 8 bits or less, its bytes, one an element.
fn tensor(bytes: Vec<u8>) -> Result<ir::Tensor, String> {
    let tensor = onnx::parse_tensor(bytes).map_err(|e| e.to_string())?;
    if let Some(storage) = tensor.element().storage() {
        return ops::bytes(&tensor, storage).map_err(|e| e.to_string());
    }
    let dtype = tensor.dtype().map_err(|e| e.to_string())?;
    let dims = tensor.dims().iter().map(|&d| d as usize).collect();
    ir::Tensor::from_bytes(dtype, dims, tensor.bytes()).ok_or("a tensor that does not fit its shape".into())
}
