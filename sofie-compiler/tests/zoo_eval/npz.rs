//! Reads what `numpy.savez` writes: a zip archive of stored `.npy` members, found by their local headers.
//! The facade has the full reader; depending on it from here would build the compiler twice.

use sofie_infer_compiler::ir::Tensor;
use sofie_infer_runtime::DType;
use std::collections::BTreeMap;
use std::path::Path;

/// The arrays of an archive by name.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, String> {
    let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut arrays = BTreeMap::new();
    let mut rest = &bytes[..];
    while let Some(header) = rest.strip_prefix(b"PK\x03\x04") {
        let u16_at = |i: usize| usize::from(header[i]) | usize::from(header[i + 1]) << 8;
        let u32_at = |i: usize| u16_at(i) | u16_at(i + 2) << 16;
        assert_eq!(u16_at(4), 0, "{}: a compressed member", path.display());
        let (name_len, extra_len) = (u16_at(22), u16_at(24));
        let (name, body) = header[26..].split_at(name_len);
        // Zip64: the real size is the second number of the first extra field.
        let size = match u32_at(18) {
            0xffff_ffff => u64::from_le_bytes(body[12..20].try_into().map_err(|_| "zip64")?) as usize,
            n => n,
        };
        let name = String::from_utf8_lossy(name).trim_end_matches(".npy").to_owned();
        arrays.insert(name, npy(&body[extra_len..][..size])?);
        rest = &body[extra_len + size..];
    }
    Ok(arrays)
}

/// One array: a Python dict as text, then the elements.
fn npy(bytes: &[u8]) -> Result<Tensor, String> {
    let len = usize::from(bytes[8]) | usize::from(bytes[9]) << 8;
    let (header, data) = bytes[10..].split_at(len);
    let header = String::from_utf8_lossy(header);
    let field = |key: &str| header.split_once(&format!("'{key}': ")).map(|(_, rest)| rest);
    let descr = field("descr").and_then(|r| r.split('\'').nth(1)).unwrap_or_default();
    let dtype = match descr {
        "<f4" => DType::F32,
        "<f8" => DType::F64,
        "<f2" => DType::F16,
        "<i8" => DType::I64,
        "<i4" => DType::I32,
        "|i1" => DType::I8,
        "|u1" => DType::U8,
        "|b1" => DType::Bool,
        other => return Err(format!("array of {other}")),
    };
    assert!(field("fortran_order").is_some_and(|r| r.starts_with("False")), "{header}");
    let shape = field("shape").and_then(|r| r.split(['(', ')']).nth(1)).unwrap_or_default();
    let dims = shape
        .split(',')
        .map(str::trim)
        .filter(|d| !d.is_empty())
        .map(|d| d.parse().map_err(|_| d.to_owned()));
    let dims = dims.collect::<Result<Vec<usize>, _>>()?;
    Tensor::from_bytes(dtype, dims, data).ok_or_else(|| header.into_owned())
}
