//! Bytes as an archive of arrays, and as one array in an archive that is whole: arrays that are consistent, or errors.

use sofie_infer::npz::{Error, Npz};

/// Reads every array of an archive; the number of their elements.
pub fn archive(bytes: Vec<u8>) -> Result<usize, Error> {
    let npz = Npz::from_bytes(bytes)?;
    let names: Vec<_> = npz.names().map(str::to_owned).collect();
    // An archive may name one member many times, so that reading all of them takes long without being a hang.
    names.iter().take(32).map(|name| elements(&npz, name)).sum()
}

/// Reads an array that no checksum protects.
pub fn array(npy: &[u8]) -> Result<usize, Error> {
    elements(&Npz::from_bytes(stored(npy))?, "x")
}

fn elements(npz: &Npz, name: &str) -> Result<usize, Error> {
    let array = npz.array(name)?;
    let count = array.shape.iter().product::<usize>();
    assert_eq!(count * array.dtype.size(), array.bytes.len(), "{:?} of {}", array.shape, array.dtype);
    assert_eq!(array.to_f64().len(), count);
    Ok(count)
}

/// A zip archive with one stored member, `x.npy`.
fn stored(npy: &[u8]) -> Vec<u8> {
    let (size, crc) = ((npy.len() as u32).to_le_bytes(), crc32(npy).to_le_bytes());
    // Version, flags, method, time and date, then checksum, sizes, and the lengths of the name and of what is extra.
    let fields = [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc, &size, &size, &[5, 0, 0, 0]].concat();
    let mut zip = [b"PK\x03\x04".as_slice(), &fields, b"x.npy", npy].concat();
    let directory = zip.len() as u32;
    zip.extend([b"PK\x01\x02\x14\x00".as_slice(), &fields, &[0; 14], b"x.npy"].concat());
    let length = (zip.len() as u32 - directory).to_le_bytes();
    zip.extend(
        [b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(), &length, &directory.to_le_bytes(), &[0, 0]].concat(),
    );
    zip
}

/// The CRC-32 of ISO 3309, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |c, _| (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg()))
    })
}
