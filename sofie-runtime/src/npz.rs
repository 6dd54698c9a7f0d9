//! NumPy's `.npz` archives, stored or deflated: reference inputs and outputs for tests and tools.
//!
//! Only what NumPy writes is read: a zip archive of `.npy` members. Everything is little-endian and row-major once it
//! is here, whatever the file was, and a damaged file is an error, never other numbers.
//!
//! ```
//! # fn main() -> Result<(), sofie_infer_runtime::npz::Error> {
//! let jets = sofie_infer_runtime::npz::Npz::open("../assets/particlenet_jets.npz")?;
//! let points = jets.array("points")?;
//! assert_eq!(points.shape, [200, 2, 64]);
//! let values: Vec<f32> = points.values()?;
//! # assert_eq!(values.len(), 200 * 2 * 64);
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::path::Path;

use crate::{DType, Element, bf16, f16};

mod compare;
mod npy;
mod zip;

pub use compare::{Distance, Tolerance, distance};

/// Why an archive or one of its arrays cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    message: String,
}

impl Error {
    fn new(message: impl Into<String>) -> Self {
        Error { message: message.into() }
    }

    /// The same error, found in `place`.
    fn within(self, place: &dyn fmt::Display) -> Self {
        Error { message: format!("{place}: {}", self.message) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// An archive of named arrays; a member is unpacked when it is asked for.
#[derive(Clone, Debug)]
pub struct Npz {
    place: String,
    bytes: Vec<u8>,
    members: Vec<zip::Member>,
}

impl Npz {
    /// Reads the archive at `path`; a relative path is one from the current directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let place = path.as_ref().display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::new(e.to_string()).within(&place))?;
        let members = zip::members(&bytes).map_err(|e| e.within(&place))?;
        Ok(Npz { place, bytes, members })
    }

    /// Reads an archive that is in memory.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        let members = zip::members(&bytes)?;
        Ok(Npz { place: "npz".to_owned(), bytes, members })
    }

    /// The arrays' names, in the order of the archive.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|m| array_name(&m.name))
    }

    /// The array of this name. An error when there is none, it is damaged, or its type is none of [`DType`].
    pub fn array(&self, name: &str) -> Result<Array, Error> {
        let Some(member) = self.members.iter().find(|m| array_name(&m.name) == name) else {
            let names: Vec<_> = self.names().collect();
            return Err(Error::new(format!("{}: no array `{name}` among {}", self.place, names.join(", "))));
        };
        let read = || npy::read(&zip::unpack(&self.bytes, member)?);
        read().map_err(|e| e.within(&format_args!("{}: {name}", self.place)))
    }
}

fn array_name(member: &str) -> &str {
    member.strip_suffix(".npy").unwrap_or(member)
}

/// An array of any type and shape.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The type of the elements.
    pub dtype: DType,
    /// The extent of each axis; empty for a scalar.
    pub shape: Vec<usize>,
    /// The elements, row-major, each little-endian.
    pub bytes: Vec<u8>,
}

impl Array {
    /// The elements as `T`; an error when they are of another type.
    pub fn values<T: Scalar>(&self) -> Result<Vec<T>, Error> {
        if self.dtype != T::DTYPE {
            return Err(Error::new(format!("array of {}, read as {}", self.dtype, T::DTYPE)));
        }
        Ok(self.bytes.chunks_exact(self.dtype.size()).map(T::from_le_slice).collect())
    }

    /// The elements as f64, for comparisons: exact for all but integers past 2^53.
    pub fn to_f64(&self) -> Vec<f64> {
        macro_rules! widen {
            ($($d:ident $t:ty, $f:expr;)*) => {
                match self.dtype {
                    $(DType::$d => self.bytes.chunks_exact(size_of::<$t>()).map(<$t>::from_le_slice).map($f).collect(),)*
                }
            };
        }
        widen! {
            F32 f32, f64::from; F64 f64, |x| x; F16 f16, f64::from; BF16 bf16, f64::from;
            I8 i8, f64::from; I16 i16, f64::from; I32 i32, f64::from; I64 i64, |x| x as f64;
            U8 u8, f64::from; U16 u16, f64::from; U32 u32, f64::from; U64 u64, |x| x as f64;
            Bool bool, f64::from;
        }
    }
}

/// An element that can be read from an archive.
pub trait Scalar: Element {
    /// The value of the type's own number of little-endian bytes.
    #[doc(hidden)]
    fn from_le_slice(bytes: &[u8]) -> Self;
}

macro_rules! scalars {
    ($($t:ty)*) => {$(
        impl Scalar for $t {
            fn from_le_slice(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$t>()];
                own.copy_from_slice(bytes);
                <$t>::from_le_bytes(own)
            }
        }
    )*};
}
scalars!(f32 f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64);

impl Scalar for bool {
    fn from_le_slice(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }
}
