//! Reads NumPy's stored (uncompressed) `.npz` archives: the zoo's inputs and outputs.

use sofie_infer_compiler::ir::Tensor;
use sofie_infer_runtime::DType;
use std::path::Path;

/// The arrays of an archive with their names, in order.
///
/// # Panics
/// When it is not what `numpy.savez` writes.
pub fn read(path: &Path) -> Vec<(String, Tensor)> {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let u16_at = |i: usize| usize::from(u16::from_le_bytes(bytes[i..][..2].try_into().unwrap()));
    let u32_at = |i: usize| u32::from_le_bytes(bytes[i..][..4].try_into().unwrap()) as usize;
    let end =
        (0..=bytes.len() - 22).rev().find(|&i| bytes[i..].starts_with(b"PK\x05\x06")).expect("a zip file");
    let mut entry = u32_at(end + 16);
    let arrays = (0..u16_at(end + 10)).map(|_| {
        let (size, name) = (u32_at(entry + 24), u16_at(entry + 28));
        let local = u32_at(entry + 42);
        assert_eq!(u16_at(entry + 10), 0, "{} is compressed", path.display());
        let start = local + 30 + u16_at(local + 26) + u16_at(local + 28);
        let label = String::from_utf8(bytes[entry + 46..][..name].to_vec()).unwrap();
        entry += 46 + name + u16_at(entry + 30) + u16_at(entry + 32);
        (label.trim_end_matches(".npy").to_owned(), array(&bytes[start..][..size]))
    });
    arrays.collect()
}

fn array(npy: &[u8]) -> Tensor {
    assert!(npy.starts_with(b"\x93NUMPY"));
    let (header, data) = match npy[6] {
        1 => npy[10..].split_at(u16::from_le_bytes([npy[8], npy[9]]).into()),
        _ => npy[12..].split_at(u32::from_le_bytes(npy[8..12].try_into().unwrap()) as usize),
    };
    let header = std::str::from_utf8(header).unwrap();
    let behind = |key: &str| header[header.find(key).unwrap() + key.len()..].trim_start_matches([':', ' ']);
    assert!(behind("'fortran_order'").starts_with("False"));
    let dtype = match behind("'descr'").split('\'').nth(1).unwrap() {
        "<f4" => DType::F32,
        "<f8" => DType::F64,
        "<f2" => DType::F16,
        "|i1" => DType::I8,
        "<i2" => DType::I16,
        "<i4" => DType::I32,
        "<i8" => DType::I64,
        "|u1" => DType::U8,
        "|b1" => DType::Bool,
        other => panic!("an array of {other}"),
    };
    let shape = behind("'shape'").trim_start_matches('(').split(')').next().unwrap();
    let dims =
        shape.split(',').map(str::trim).filter(|d| !d.is_empty()).map(|d| d.parse().unwrap()).collect();
    Tensor::from_bytes(dtype, dims, data).expect("data that fits the shape")
}
