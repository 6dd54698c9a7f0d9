//! As much of the zip format (PKWARE APPNOTE 6.3) as NumPy writes: stored and deflated members, zip64 sizes.
//!
//! Members are found through the central directory at the end, as the format asks; their checksums are verified.

use super::Error;

/// One file of the archive.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    method: u16,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
}

const LOCAL: &[u8] = b"PK\x03\x04";
const CENTRAL: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END64: &[u8] = b"PK\x06\x06";
const LOCATOR64: &[u8] = b"PK\x06\x07";

/// Deflate packs at most this well, so a header that claims more is wrong, and nothing is allocated for it.
const BEST_RATIO: u64 = 1032;

/// Little-endian fields, one after the other.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn at(bytes: &'a [u8], offset: u64) -> Result<Self, Error> {
        usize::try_from(offset).ok().and_then(|o| bytes.get(o..)).map(Reader).ok_or_else(cut)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(n).ok_or_else(cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, Error> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |n, &b| (n << 8) | u64::from(b)))
    }

    fn u16(&mut self) -> Result<u16, Error> {
        Ok(self.number(2)? as u16)
    }

    fn u32(&mut self) -> Result<u64, Error> {
        self.number(4)
    }

    fn u64(&mut self) -> Result<u64, Error> {
        self.number(8)
    }

    fn signature(&mut self, expected: &[u8]) -> Result<(), Error> {
        if self.take(4)? == expected { Ok(()) } else { Err(Error::new("the zip archive is damaged")) }
    }
}

fn cut() -> Error {
    Error::new("the zip archive is cut short")
}

/// Lists the archive's members.
pub fn members(bytes: &[u8]) -> Result<Vec<Member>, Error> {
    // The end record has 22 bytes and a comment of up to 65,535.
    let tail = bytes.len().saturating_sub(22 + 0xffff);
    let end = bytes[tail..].windows(4).rposition(|w| w == END).map(|n| tail + n);
    let end = end.ok_or_else(|| Error::new("not a zip archive, or one that is cut short"))?;
    let mut record = Reader(&bytes[end + 4..]);
    record.take(6)?;
    let (mut count, _, mut offset) = (u64::from(record.u16()?), record.u32()?, record.u32()?);
    let comment = record.u16()?;
    record.take(comment.into())?;
    if count == 0xffff || offset == 0xffff_ffff {
        let mut locator = Reader::at(bytes, end.checked_sub(20).ok_or_else(cut)? as u64)?;
        locator.signature(LOCATOR64)?;
        locator.take(4)?;
        let mut record = Reader::at(bytes, locator.u64()?)?;
        record.signature(END64)?;
        record.take(28)?;
        (count, _, offset) = (record.u64()?, record.u64()?, record.u64()?);
    }
    let mut entries = Reader::at(bytes, offset)?;
    (0..count).map(|_| member(&mut entries)).collect()
}

/// One entry of the central directory.
fn member(entry: &mut Reader) -> Result<Member, Error> {
    entry.signature(CENTRAL)?;
    entry.take(4)?;
    let (flags, method) = (entry.u16()?, entry.u16()?);
    entry.take(4)?;
    let (crc, mut packed, mut size) = (entry.u32()? as u32, entry.u32()?, entry.u32()?);
    let (name, extra, comment) = (entry.u16()?, entry.u16()?, entry.u16()?);
    entry.take(8)?;
    let mut offset = entry.u32()?;
    let name = String::from_utf8_lossy(entry.take(name.into())?).into_owned();
    let mut extra = Reader(entry.take(extra.into())?);
    entry.take(comment.into())?;
    if flags & 1 != 0 {
        return Err(Error::new(format!("{name} is encrypted")));
    }
    while !extra.0.is_empty() {
        let (kind, length) = (extra.u16()?, extra.u16()?);
        let mut field = Reader(extra.take(length.into())?);
        // Kind 1, zip64: those of the fields, in this order, that did not fit their 32 bits.
        for value in [&mut size, &mut packed, &mut offset] {
            if kind == 1 && *value == 0xffff_ffff {
                *value = field.u64()?;
            }
        }
    }
    Ok(Member { name, method, crc, packed, size, offset })
}

/// The bytes of one member.
pub fn unpack(bytes: &[u8], member: &Member) -> Result<Vec<u8>, Error> {
    let mut local = Reader::at(bytes, member.offset)?;
    local.signature(LOCAL)?;
    local.take(22)?;
    let (name, extra) = (local.u16()?, local.u16()?);
    local.take(usize::from(name) + usize::from(extra))?;
    let packed = local.take(usize::try_from(member.packed).map_err(|_| cut())?)?;
    if member.size > member.packed.saturating_mul(BEST_RATIO) {
        return Err(Error::new(format!("{} packed bytes cannot hold {}", member.packed, member.size)));
    }
    let out = match member.method {
        0 => packed.to_vec(),
        8 => miniz_oxide::inflate::decompress_to_vec_with_limit(packed, member.size as usize)
            .map_err(|e| Error::new(format!("the deflated data is damaged: {e}")))?,
        other => return Err(Error::new(format!("compression method {other}; NumPy writes 0 and 8"))),
    };
    if out.len() as u64 != member.size || crc32(&out) != member.crc {
        return Err(Error::new("the checksum does not fit the data"));
    }
    Ok(out)
}

/// The CRC-32 of ISO 3309, by a table of the 256 bytes.
fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut bit) = (i as u32, 0);
            while bit < 8 {
                c = (c >> 1) ^ (0xedb8_8320 & (c & 1).wrapping_neg());
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |c, &b| (c >> 8) ^ TABLE[usize::from(c as u8 ^ b)])
}

#[cfg(test)]
mod tests {
    use super::super::{Array, Npz};
    use super::*;

    const STORED: &str = "../assets/io/hls4ml_mlp/case0/inputs.npz";
    const DEFLATED: &str = "../assets/particlenet_reference.npz";

    #[test]
    fn checksum_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn stored_and_deflated_archives_of_numpy() -> Result<(), Error> {
        let npz = Npz::open(STORED)?;
        assert_eq!(npz.names().collect::<Vec<_>>(), ["x"]);
        assert_eq!(npz.array("x")?.shape, [1, 16]);
        let reference = Npz::open(DEFLATED)?;
        let output = Npz::open("../assets/io/particlenet/case0/outputs.npz")?;
        assert_eq!(reference.array("softmax")?, output.array("softmax")?);
        let sum: f64 = reference.array("softmax")?.to_f64().iter().sum();
        assert!((sum - 1.0).abs() < 1e-6);
        assert!(reference.array("labels").is_err_and(|e| e.to_string().contains("among points")));
        Ok(())
    }

    #[test]
    fn a_damaged_archive_never_gives_other_numbers() -> Result<(), Error> {
        let arrays = |bytes: Vec<u8>| -> Result<Vec<Array>, Error> {
            let npz = Npz::from_bytes(bytes)?;
            let names: Vec<_> = npz.names().map(str::to_owned).collect();
            names.iter().map(|n| npz.array(n)).collect()
        };
        for path in [STORED, DEFLATED] {
            let bytes = std::fs::read(path).map_err(|e| Error::new(e.to_string()))?;
            let whole = arrays(bytes.clone())?;
            for cut in 0..bytes.len() {
                assert!(arrays(bytes[..cut].to_vec()).is_err(), "{path} cut at {cut}");
            }
            for at in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                // Dates, names and comments may change; numbers may not.
                if let Ok(read) = arrays(flipped) {
                    assert!(read.iter().all(|a| whole.contains(a)), "{path} flipped at {at}");
                }
            }
        }
        Ok(())
    }
}
