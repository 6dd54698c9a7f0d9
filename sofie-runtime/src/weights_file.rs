//! Weights that are not in the program: a `safetensors` file of the blocks that its kernels read, checked against what
//! the program was compiled to (feature `safetensors`).

use crate::{Arena, DType, Span};
use core::fmt;
use safetensors::{Dtype, SafeTensors};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// The key under which a file keeps the hash of its program.
pub const HASH: &str = "sofie.hash";
/// The key under which a file keeps the [`checksum`] of its blocks.
pub const CHECKSUM: &str = "sofie.checksum";

/// What a file must hold for one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Of the program's steps and of all constants in them.
    pub hash: u64,
    /// Bytes of all weights.
    pub bytes: usize,
    /// The blocks.
    pub blocks: &'static [Block],
}

/// One block of weights, packed as a kernel reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// After the ONNX node that reads it and the kernel's operand.
    pub name: &'static str,
    /// The element type.
    pub dtype: DType,
    /// The number of elements.
    pub len: usize,
    /// The first byte among the weights.
    pub offset: usize,
}

/// Why a file is refused. The session that it was for is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It cannot be read.
    Read(String),
    /// It is no `safetensors` file, or a damaged one.
    Damaged(String),
    /// It was not written by `sofie weights`.
    Foreign,
    /// It was written for another program: other layers, other shapes, other constants.
    OtherProgram,
    /// A block is missing, unknown, or of another type or size.
    Block(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Read(why) => write!(f, "cannot read the weights: {why}"),
            Error::Damaged(why) => write!(f, "the weights are damaged: {why}"),
            Error::Foreign => f.write_str("the file holds no packed weights; make it with `sofie weights`"),
            Error::OtherProgram => f.write_str(
                "the weights are those of another program: a model of other layers, shapes, dims(..) or constants, or \
                 another version of sofie-infer; compile the program again",
            ),
            Error::Block(why) => write!(f, "the weights do not fit the program: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Where a file of weights comes from: a path, or its bytes.
pub trait Source {
    /// The file's bytes.
    ///
    /// # Errors
    /// Where the file cannot be read.
    fn read(&self) -> Result<Cow<'_, [u8]>, Error>;
}

impl Source for Path {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        std::fs::read(self).map(Cow::Owned).map_err(|e| Error::Read(format!("{}: {e}", self.display())))
    }
}

impl Source for PathBuf {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        self.as_path().read()
    }
}

impl Source for str {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        Source::read(Path::new(self))
    }
}

impl Source for String {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        self.as_str().read()
    }
}

impl Source for [u8] {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        Ok(Cow::Borrowed(self))
    }
}

impl<const N: usize> Source for [u8; N] {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        Ok(Cow::Borrowed(self))
    }
}

impl Source for Vec<u8> {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        Ok(Cow::Borrowed(self))
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn read(&self) -> Result<Cow<'_, [u8]>, Error> {
        (**self).read()
    }
}

impl Layout {
    /// The weights of a file, where the program's steps look for them.
    ///
    /// # Errors
    /// Where the file is not one for this program in every respect.
    pub fn load(&self, source: impl Source) -> Result<Arena, Error> {
        let bytes = source.read()?;
        let damaged = |e: safetensors::SafeTensorError| Error::Damaged(e.to_string());
        if has_absurd_number(&bytes) {
            return Err(Error::Damaged("its header has a number that no size is".into()));
        }
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
        let entry = |key| header.metadata().as_ref().and_then(|m| m.get(key)).ok_or(Error::Foreign);
        let (hash, sum) = (entry(HASH)?, entry(CHECKSUM)?);
        if *hash != format!("{:016x}", self.hash) {
            return Err(Error::OtherProgram);
        }
        let file = SafeTensors::deserialize(&bytes).map_err(damaged)?;
        if let Some(unknown) = file.names().into_iter().find(|n| self.blocks.iter().all(|b| b.name != *n)) {
            return Err(Error::Block(format!("the program has no block `{unknown}`")));
        }
        let mut arena = Arena::new(self.bytes);
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in self.blocks {
            let view =
                file.tensor(block.name).map_err(|_| Error::Block(format!("`{}` is missing", block.name)))?;
            if view.dtype() != dtype(block.dtype) || view.shape() != [block.len] {
                return Err(Error::Block(format!(
                    "`{}` is {:?}{:?}, not {:?}[{}]",
                    block.name,
                    view.dtype(),
                    view.shape(),
                    dtype(block.dtype),
                    block.len
                )));
            }
            let data = view.data();
            if block.dtype == DType::Bool && data.iter().any(|&b| b > 1) {
                return Err(Error::Damaged(format!("`{}` has a bool that is neither 0 nor 1", block.name)));
            }
            arena.get_mut(Span::<u8>::new(block.offset, data.len())).copy_from_slice(data);
            blocks.push(data);
        }
        if *sum != checksum(blocks) {
            return Err(Error::Damaged("their numbers are not those that were written".into()));
        }
        Ok(arena)
    }
}

/// What a file says of the bytes of its blocks, in the program's order: a damaged number is still a number, and nothing else
/// would notice. FNV-1a over words of 64 bits, rotated so that high bits reach low ones: each step is a bijection, so that
/// damage within one word is always seen. Several GB/s, where bytes one by one would be slower than a disk.
pub fn checksum<'b>(blocks: impl IntoIterator<Item = &'b [u8]>) -> String {
    let step = |h: u64, word: u64| (h ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(29);
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for block in blocks {
        let (words, rest) = block.as_chunks::<8>();
        hash = words.iter().fold(hash, |h, word| step(h, u64::from_le_bytes(*word)));
        hash = rest.iter().fold(hash, |h, byte| step(h, u64::from(*byte)));
    }
    format!("{hash:016x}")
}

/// Whether a number in the header has more than 15 digits. `safetensors` 0.8 adds up sizes unchecked: ends close to 2^64
/// overflow there, a panic in debug builds. What stands in quotes are names.
fn has_absurd_number(file: &[u8]) -> bool {
    let Some((length, rest)) = file.split_first_chunk() else { return false };
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let (mut quoted, mut escaped, mut digits) = (false, false, 0);
    rest.iter().take(length).any(|&byte| {
        digits = if byte.is_ascii_digit() && !quoted { digits + 1 } else { 0 };
        quoted ^= byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        digits > 15
    })
}

/// The element type as `safetensors` names it.
pub fn dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U8 => Dtype::U8,
        DType::U16 => Dtype::U16,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::Bool => Dtype::BOOL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    const LAYOUT: Layout = Layout {
        hash: 7,
        bytes: 66,
        blocks: &[
            Block { name: "Gemm_a.weight", dtype: DType::F32, len: 2, offset: 0 },
            Block { name: "Gemm_a.bias", dtype: DType::U8, len: 2, offset: 64 },
        ],
    };

    fn file(hash: Option<&str>, tensors: &[(&str, Dtype, usize, &[u8])]) -> Vec<u8> {
        let views = tensors.iter().map(|(n, d, len, b)| (*n, TensorView::new(*d, vec![*len], b).unwrap()));
        let find = |name| tensors.iter().find(|t| t.0 == name).map(|t| t.3);
        let sum = checksum(LAYOUT.blocks.iter().filter_map(|b| find(b.name)));
        let entries = |h: &str| [(HASH.to_owned(), h.to_owned()), (CHECKSUM.to_owned(), sum)];
        safetensors::serialize(views, hash.map(|h| entries(h).into_iter().collect())).unwrap()
    }

    const W: (&str, Dtype, usize, &[u8]) = ("Gemm_a.weight", Dtype::F32, 2, &[0, 0, 128, 63, 0, 0, 0, 64]);
    const B: (&str, Dtype, usize, &[u8]) = ("Gemm_a.bias", Dtype::U8, 2, &[3, 4]);
    const H: Option<&str> = Some("0000000000000007");

    #[test]
    fn a_file_of_this_program_is_read() {
        let arena = LAYOUT.load(file(H, &[B, W])).unwrap();
        assert_eq!(arena.get(Span::<f32>::new(0, 2)), [1.0, 2.0]);
        assert_eq!(arena.get(Span::<u8>::new(64, 2)), [3, 4]);
    }

    #[test]
    fn any_other_file_is_refused() {
        let refused = |bytes: Vec<u8>| LAYOUT.load(bytes).unwrap_err();
        assert_eq!(refused(file(None, &[W, B])), Error::Foreign);
        assert_eq!(refused(file(Some("0000000000000008"), &[W, B])), Error::OtherProgram);
        assert_eq!(refused(file(H, &[W])), Error::Block("`Gemm_a.bias` is missing".into()));
        let extra = ("Gemm_b.bias", Dtype::U8, 1, &[0][..]);
        assert!(refused(file(H, &[W, B, extra])).to_string().contains("no block `Gemm_b.bias`"));
        let typed = ("Gemm_a.bias", Dtype::I8, 2, B.3);
        assert!(refused(file(H, &[W, typed])).to_string().contains("is I8[2], not U8[2]"));
        let short = ("Gemm_a.bias", Dtype::U8, 1, &B.3[..1]);
        assert!(refused(file(H, &[W, short])).to_string().contains("is U8[1], not U8[2]"));
        let whole = file(H, &[W, B]);
        // Miri takes its time for each.
        for cut in (0..whole.len()).step_by(if cfg!(miri) { 41 } else { 1 }) {
            assert!(LAYOUT.load(&whole[..cut]).is_err(), "{cut} bytes");
        }
        assert!(matches!(LAYOUT.load("nowhere.safetensors"), Err(Error::Read(_))));
    }

    #[test]
    fn a_number_that_changed_is_found() {
        let whole = file(H, &[W, B]);
        let data = W.3.len() + B.3.len();
        for bit in 0..8 * data {
            let mut flipped = whole.clone();
            flipped[whole.len() - data + bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(LAYOUT.load(flipped), Err(Error::Damaged(_))), "bit {bit}");
        }
        let words = [[0u8; 8], [1; 8]];
        assert_ne!(checksum([words.as_flattened()]), checksum([[words[1], words[0]].as_flattened()]));
    }

    #[test]
    fn a_bool_that_is_none_is_refused() {
        const BOOL: Layout =
            Layout { blocks: &[Block { name: "m", dtype: DType::Bool, len: 1, offset: 0 }], ..LAYOUT };
        let file = |b: &[u8]| {
            let metadata = [(HASH.to_owned(), H.unwrap().to_owned()), (CHECKSUM.to_owned(), checksum([b]))];
            let views = [("m", TensorView::new(Dtype::BOOL, vec![1], b).unwrap())];
            safetensors::serialize(views, Some(metadata.into_iter().collect())).unwrap()
        };
        assert!(BOOL.load(file(&[1])).is_ok());
        assert!(BOOL.load(file(&[2])).is_err_and(|e| e.to_string().contains("neither 0 nor 1")));
    }

    /// Eight tensors of 2^61 - 1 bytes end at 2^64 - 8, and the file's eight bytes before its header make that overflow.
    #[test]
    fn sizes_that_overflow_are_refused() {
        let size = (1u64 << 61) - 1;
        let tensors = (0..8).map(|i| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(r#""{i}":{{"dtype":"U8","shape":[{size}],"data_offsets":[{start},{end}]}}"#)
        });
        let header = format!("{{{}}}", tensors.collect::<Vec<_>>().join(","));
        let file = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
        assert!(matches!(LAYOUT.load(file), Err(Error::Damaged(_))));
        let named = r#"{"__metadata__":{"a\"1234567890123456":"1234567890123456"}}"#;
        let file = [&(named.len() as u64).to_le_bytes()[..], named.as_bytes()].concat();
        assert_eq!(LAYOUT.load(file).unwrap_err(), Error::Foreign);
    }
}
