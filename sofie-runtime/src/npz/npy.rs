//! The `.npy` format (NEP 1), versions 1 to 3: a Python dictionary of type, order and shape, then the elements.
//!
//! The dictionary is a literal that NumPy itself wrote, so a search for its three keys stands in for a Python parser;
//! anything unexpected is an error.

use super::{Array, DType, Error};

const MAGIC: &[u8] = b"\x93NUMPY";

/// Reads one array.
pub fn read(file: &[u8]) -> Result<Array, Error> {
    let short = || Error::new("the npy header is cut short");
    let rest = file.strip_prefix(MAGIC).ok_or_else(|| Error::new("not an npy array"))?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(short)?;
    let width = if version[0] == 1 { 2 } else { 4 };
    let (size, rest) = rest.split_at_checked(width).ok_or_else(short)?;
    let size = size.iter().rev().fold(0usize, |n, &b| (n << 8) | usize::from(b));
    let (header, data) = rest.split_at_checked(size).ok_or_else(short)?;
    let header = std::str::from_utf8(header).map_err(|_| Error::new("the npy header is not text"))?;

    let (dtype, swapped) = dtype(value(header, "descr")?)?;
    let shape = shape(value(header, "shape")?)?;
    let fortran = value(header, "fortran_order")?.starts_with("True");
    let count = shape.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d));
    if count != Some(data.len()) {
        return Err(Error::new(format!("{} bytes of data for shape {shape:?} of {dtype}", data.len())));
    }
    let mut bytes = data.to_vec();
    if swapped {
        bytes.chunks_exact_mut(dtype.size()).for_each(<[u8]>::reverse);
    }
    if dtype == DType::Bool && bytes.iter().any(|&b| b > 1) {
        return Err(Error::new("a bool that is neither 0 nor 1"));
    }
    if fortran {
        bytes = row_major(&bytes, &shape, dtype.size());
    }
    Ok(Array { dtype, shape, bytes })
}

/// What follows `'key':` in the header.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, Error> {
    let quoted = format!("'{key}':");
    let at = header.find(&quoted).ok_or_else(|| Error::new(format!("the npy header names no {key}")))?;
    Ok(header[at + quoted.len()..].trim_start())
}

/// The element type of a descriptor such as `'<f4'`, and whether its bytes are big-endian.
fn dtype(descr: &str) -> Result<(DType, bool), Error> {
    let text = descr.strip_prefix('\'').and_then(|d| d.split('\'').next()).unwrap_or("a record");
    let (order, code) = text.split_at_checked(1).unwrap_or((text, ""));
    let dtype = match code {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "b1" => DType::Bool,
        _ => return Err(Error::new(format!("elements of type {text} are not supported"))),
    };
    match order {
        "<" | "|" => Ok((dtype, false)),
        ">" => Ok((dtype, true)),
        _ => Err(Error::new(format!("byte order of {text} is unknown"))),
    }
}

/// The extents of `(2, 3)`, `(4,)` or `()`.
fn shape(text: &str) -> Result<Vec<usize>, Error> {
    let bad = || Error::new("the npy header's shape is not a tuple of numbers");
    let inside = text.strip_prefix('(').and_then(|t| t.split_once(')')).ok_or_else(bad)?.0;
    let extents = inside.split(',').map(str::trim).filter(|t| !t.is_empty());
    extents.map(|t| t.parse().map_err(|_| bad())).collect()
}

/// Column-major elements of `size` bytes in row-major order.
fn row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = vec![0usize; shape.len()];
    for _ in 0..bytes.len() / size {
        let at = index.iter().zip(shape).rev().fold(0, |at, (&i, &d)| at * d + i) * size;
        out.extend_from_slice(&bytes[at..at + size]);
        for (i, &d) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < d {
                break;
            }
            *i = 0;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    #[test]
    fn types_orders_and_shapes() -> Result<(), Error> {
        let le = npy(
            "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }\n",
            &[1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0],
        );
        let be = npy(
            "{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3), }\n",
            &[0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6],
        );
        let fortran = npy(
            "{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }",
            &[1, 0, 4, 0, 2, 0, 5, 0, 3, 0, 6, 0],
        );
        for file in [le, be, fortran] {
            let array = read(&file)?;
            assert_eq!((array.dtype, array.shape.as_slice()), (DType::I16, [2, 3].as_slice()));
            assert_eq!(array.values::<i16>()?, [1, 2, 3, 4, 5, 6]);
        }
        let scalar = read(&npy("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", &[1]))?;
        assert_eq!((scalar.shape.len(), scalar.values::<bool>()?), (0, vec![true]));
        let empty = read(&npy("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 5), }", &[]))?;
        assert_eq!((empty.shape.as_slice(), empty.bytes.len()), ([0, 5].as_slice(), 0));
        Ok(())
    }

    #[test]
    fn what_is_not_an_array_is_an_error() {
        let head = |descr: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")
        };
        for (file, part) in [
            (npy(&head("<U12", "(1,)"), &[0; 48]), "<U12"),
            (npy(&head("=f4", "(1,)"), &[0; 4]), "byte order"),
            (npy(&head("<f4", "(2,)"), &[0; 4]), "4 bytes of data"),
            (npy(&head("<f4", "(-1,)"), &[0; 4]), "tuple"),
            (npy(&head("<f4", "(99999999999999999999,)"), &[0; 4]), "tuple"),
            (npy(&head("<f4", &format!("({0}, {0})", usize::MAX)), &[0; 4]), "bytes of data"),
            (npy(&head("|b1", "(1,)"), &[2]), "neither"),
            (npy("{}", &[]), "descr"),
            (b"\x93NUMPY\x01\x00\xff\xff{}".to_vec(), "cut short"),
            (b"PK".to_vec(), "not an npy"),
        ] {
            let error = read(&file).map(|a| a.shape).map_err(|e| e.to_string());
            assert!(error.as_ref().is_err_and(|e| e.contains(part)), "{part}: {error:?}");
        }
    }
}
