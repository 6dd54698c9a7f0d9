//! Writes NumPy's `.npz` archives, members stored as they are: cases that the tool makes itself.

use std::path::Path;

use sofie_infer_runtime::DType;
use sofie_infer_runtime::npz::Array;

/// Writes named arrays, and the folder where it is not there yet.
pub fn write(path: &Path, arrays: &[(&str, Array)]) -> Result<(), String> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent)
        .and_then(|()| std::fs::write(path, archive(arrays)))
        .map_err(|e| format!("{}: {e}", path.display()))
}

/// A zip archive (PKWARE's APPNOTE, sections 4.3.7, 4.3.12 and 4.3.16) without compression.
fn archive(arrays: &[(&str, Array)]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, array) in arrays {
        let (name, member) = (format!("{name}.npy"), npy(array));
        let size = (member.len() as u32).to_le_bytes();
        // Version 2.0, no flags, stored, no time; then the sum, both sizes, the name's length, no more fields.
        let mut common = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        common.extend(crc32(&member).to_le_bytes());
        common.extend([size, size].concat());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0, 0]);
        directory.extend(*b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend((bytes.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        bytes.extend(*b"PK\x03\x04");
        bytes.extend(common);
        bytes.extend(name.as_bytes());
        bytes.extend(member);
    }
    let (at, size) = (bytes.len() as u32, directory.len() as u32);
    let count = (arrays.len() as u16).to_le_bytes();
    bytes.extend(directory);
    bytes.extend(*b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].concat());
    bytes.extend(size.to_le_bytes());
    bytes.extend(at.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// The `.npy` format (NEP 1), version 1.
fn npy(array: &Array) -> Vec<u8> {
    let code = match array.dtype {
        DType::F16 => "<f2",
        // NumPy has no name for it: its bytes.
        DType::BF16 | DType::U16 => "<u2",
        DType::F32 => "<f4",
        DType::F64 => "<f8",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::Bool => "|b1",
    };
    let shape: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    let header = format!("{{'descr': '{code}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The header ends with a line feed at a multiple of 64 bytes.
    let size = (11 + header.len()).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((size as u16).to_le_bytes());
    bytes.extend(format!("{header:0$}\n", size - 1).bytes());
    bytes.extend(&array.bytes);
    bytes
}

/// The CRC-32 of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    let bit = |sum: u32, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sofie_infer_runtime::npz::Npz;

    #[test]
    fn arrays_come_back_as_they_went() -> Result<(), String> {
        let array = |dtype, shape: &[usize], bytes: &[u8]| Array {
            dtype,
            shape: shape.to_vec(),
            bytes: bytes.to_vec(),
        };
        let arrays = [
            ("x", array(DType::F32, &[1, 2], &[0, 0, 128, 63, 0, 0, 0, 64])),
            ("n:0", array(DType::I64, &[], &7i64.to_le_bytes())),
            ("mask", array(DType::Bool, &[0, 3], &[])),
        ];
        let npz = Npz::from_bytes(archive(&arrays)).map_err(|e| e.to_string())?;
        assert_eq!(npz.names().collect::<Vec<_>>(), ["x", "n:0", "mask"]);
        for (name, array) in &arrays {
            assert_eq!(npz.array(name).as_ref(), Ok(array));
        }
        Ok(())
    }
}
