//! ONNX's element types: the ones that tensors are computed in (`DType`) and those that a file can
//! name beyond them. The latter are kept, so that an operator can unpack them or refuse them by name.

use std::fmt;

use sofie_infer_runtime::{DType, Storage};

use super::proto::tensor_proto::DataType;
use crate::error::{Error, Result};

/// `TensorProto.DataType` without `UNDEFINED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ElementType {
    /// A type that values inside a network can have.
    Plain(DType),
    /// Byte strings.
    String,
    /// Two `f32`: real, imaginary.
    Complex64,
    /// Two `f64`: real, imaginary.
    Complex128,
    /// 8 bits: 4 of exponent, 3 of mantissa; NaN, no infinities.
    Float8E4M3Fn,
    /// 8 bits: 4 of exponent, 3 of mantissa; NaN, no infinities, no -0.
    Float8E4M3FnUz,
    /// 8 bits: 5 of exponent, 2 of mantissa, as IEEE 754.
    Float8E5M2,
    /// 8 bits: 5 of exponent, 2 of mantissa; NaN, no infinities, no -0.
    Float8E5M2FnUz,
    /// 8 bits: a power of two.
    Float8E8M0,
    /// 6 bits, four in three bytes: 2 of exponent, 3 of mantissa.
    Float6E2M3,
    /// 6 bits, four in three bytes: 3 of exponent, 2 of mantissa.
    Float6E3M2,
    /// 4 bits, two in a byte, the first in the low half: 2 of exponent, 1 of mantissa.
    Float4E2M1,
    /// 4 bits, two in a byte, the first in the low half.
    Uint4,
    /// 4 bits, two's complement, two in a byte, the first in the low half.
    Int4,
    /// 2 bits, four in a byte, the first lowest.
    Uint2,
    /// 2 bits, two's complement, four in a byte, the first lowest.
    Int2,
}

impl ElementType {
    /// The type of a `data_type` or `elem_type` field.
    ///
    /// # Errors
    /// A number that ONNX has not given a meaning, 0 (undefined) included.
    pub fn from_onnx(code: i32) -> Result<Self> {
        use ElementType::*;
        let Ok(data_type) = DataType::try_from(code) else {
            return Err(Error::new(format!("element type {code} is none that ONNX defines"))
                .help("the file is damaged, or newer than IR version 14"));
        };
        Ok(match data_type {
            DataType::Undefined => return Err(Error::new("the element type is undefined")),
            DataType::Float => Plain(DType::F32),
            DataType::Double => Plain(DType::F64),
            DataType::Float16 => Plain(DType::F16),
            DataType::Bfloat16 => Plain(DType::BF16),
            DataType::Int8 => Plain(DType::I8),
            DataType::Int16 => Plain(DType::I16),
            DataType::Int32 => Plain(DType::I32),
            DataType::Int64 => Plain(DType::I64),
            DataType::Uint8 => Plain(DType::U8),
            DataType::Uint16 => Plain(DType::U16),
            DataType::Uint32 => Plain(DType::U32),
            DataType::Uint64 => Plain(DType::U64),
            DataType::Bool => Plain(DType::Bool),
            DataType::String => String,
            DataType::Complex64 => Complex64,
            DataType::Complex128 => Complex128,
            DataType::Float8e4m3fn => Float8E4M3Fn,
            DataType::Float8e4m3fnuz => Float8E4M3FnUz,
            DataType::Float8e5m2 => Float8E5M2,
            DataType::Float8e5m2fnuz => Float8E5M2FnUz,
            DataType::Float8e8m0 => Float8E8M0,
            DataType::Float6e2m3 => Float6E2M3,
            DataType::Float6e3m2 => Float6E3M2,
            DataType::Float4e2m1 => Float4E2M1,
            DataType::Uint4 => Uint4,
            DataType::Int4 => Int4,
            DataType::Uint2 => Uint2,
            DataType::Int2 => Int2,
        })
    }

    /// Bits of one element; `None` for strings.
    pub fn bits(self) -> Option<u64> {
        use ElementType::*;
        Some(match self {
            Plain(dtype) => dtype.size() as u64 * 8,
            String => return None,
            Complex128 => 128,
            Complex64 => 64,
            Float8E4M3Fn | Float8E4M3FnUz | Float8E5M2 | Float8E5M2FnUz | Float8E8M0 => 8,
            Float6E2M3 | Float6E3M2 => 6,
            Float4E2M1 | Uint4 | Int4 => 4,
            Uint2 | Int2 => 2,
        })
    }

    /// Bytes of `len` elements, packed; `None` for strings and where the number overflows.
    pub fn bytes(self, len: u64) -> Option<u64> {
        Some(len.checked_mul(self.bits()?)?.div_ceil(8))
    }

    /// The type of 8 bits or less, where it is one.
    pub fn storage(self) -> Option<Storage> {
        use ElementType::*;
        Some(match self {
            Plain(_) | String | Complex64 | Complex128 => return None,
            Float8E4M3Fn => Storage::F8E4M3Fn,
            Float8E4M3FnUz => Storage::F8E4M3FnUz,
            Float8E5M2 => Storage::F8E5M2,
            Float8E5M2FnUz => Storage::F8E5M2FnUz,
            Float8E8M0 => Storage::F8E8M0,
            Float6E2M3 => Storage::F6E2M3,
            Float6E3M2 => Storage::F6E3M2,
            Float4E2M1 => Storage::F4E2M1,
            Uint4 => Storage::U4,
            Int4 => Storage::I4,
            Uint2 => Storage::U2,
            Int2 => Storage::I2,
        })
    }

    /// The type of the values that stand for a tensor: its own, or that of the bytes that hold its elements.
    ///
    /// # Errors
    /// Strings and complex numbers.
    pub fn held(self) -> Result<DType> {
        self.storage().map_or_else(|| self.dtype(), |storage| Ok(storage.holder()))
    }

    /// The type that values inside a network have.
    ///
    /// # Errors
    /// Strings, complex numbers and types below 16 bits that only storage uses.
    pub fn dtype(self) -> Result<DType> {
        match self {
            ElementType::Plain(dtype) => Ok(dtype),
            other => Err(Error::new(format!("element type {other} is not supported")).help(
                "supported are f32, f64, f16, bf16, i8 to i64, u8 to u64 and bool; cast the tensor before exporting",
            )),
        }
    }
}

impl From<DType> for ElementType {
    fn from(dtype: DType) -> Self {
        ElementType::Plain(dtype)
    }
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ElementType::Plain(dtype) => dtype.name(),
            ElementType::String => "string",
            ElementType::Complex64 => "complex64",
            ElementType::Complex128 => "complex128",
            // The types that numbers are only stored in.
            stored => stored.storage().map_or("unknown", Storage::name),
        })
    }
}
