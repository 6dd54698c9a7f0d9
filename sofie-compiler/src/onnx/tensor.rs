//! A constant tensor as the file holds it: element type, dimensions and little-endian bytes.
//! Bytes are shared slices of the file, so a 40 MB initialiser is neither copied nor cloned.

use prost::bytes::Bytes;
use sofie_infer_runtime::{DType, Element, bf16, f16};

use super::element::ElementType;
use crate::error::{Error, Result};

/// A constant: an initialiser, an attribute, or a tensor file.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    element: ElementType,
    dims: Vec<u64>,
    len: usize,
    data: TensorData,
}

/// The elements of a [`Tensor`] in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub enum TensorData {
    /// Little-endian; elements below 8 bits are packed as [`ElementType`] says.
    Bytes(Bytes),
    /// One byte string an element.
    Strings(Vec<Bytes>),
}

/// An element type that can be read from little-endian bytes.
pub trait FromLittleEndian: Element {
    /// The elements of `bytes`, whose length is a multiple of the size of an element.
    fn read(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! from_little_endian {
    ($($t:ty)*) => {$(
        impl FromLittleEndian for $t {
            fn read(bytes: &[u8]) -> Vec<Self> {
                bytes.as_chunks().0.iter().map(|b| <$t>::from_le_bytes(*b)).collect()
            }
        }
    )*};
}
from_little_endian!(f32 f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64);

impl FromLittleEndian for bool {
    fn read(bytes: &[u8]) -> Vec<Self> {
        bytes.iter().map(|b| *b != 0).collect()
    }
}

/// How many elements a tensor of these dimensions has; `None` where the number overflows.
pub(super) fn element_count(dims: &[u64]) -> Option<u64> {
    if dims.contains(&0) {
        return Some(0);
    }
    dims.iter().try_fold(1_u64, |n, d| n.checked_mul(*d))
}

impl Tensor {
    /// A tensor of `dims` over little-endian `bytes`.
    ///
    /// # Errors
    /// `bytes` is not as long as element type and dimensions say, or the type is `String`.
    pub fn new(element: ElementType, dims: Vec<u64>, bytes: Bytes) -> Result<Self> {
        let Some(len) = element_count(&dims) else {
            return Err(Error::new(format!("dimensions {dims:?} have more elements than 64 bits count")));
        };
        let expected = element.bytes(len);
        if expected != Some(bytes.len() as u64) {
            let expected = expected.map_or("another number of".into(), |n| n.to_string());
            return Err(Error::new(format!(
                "{element}{dims:?} takes {expected} bytes, but there are {}",
                bytes.len()
            )));
        }
        Ok(Tensor { element, dims, len: len as usize, data: TensorData::Bytes(bytes) })
    }

    /// A tensor of byte strings.
    ///
    /// # Errors
    /// There are not as many strings as `dims` say.
    pub fn of_strings(dims: Vec<u64>, strings: Vec<Bytes>) -> Result<Self> {
        if element_count(&dims) != Some(strings.len() as u64) {
            return Err(Error::new(format!("string{dims:?} does not fit {} strings", strings.len())));
        }
        let element = ElementType::String;
        Ok(Tensor { element, dims, len: strings.len(), data: TensorData::Strings(strings) })
    }

    /// The element type as the file says it.
    pub fn element(&self) -> ElementType {
        self.element
    }

    /// The element type as one that is computed in.
    ///
    /// # Errors
    /// See [`ElementType::dtype`].
    pub fn dtype(&self) -> Result<DType> {
        self.element.dtype()
    }

    /// The dimensions; none is a scalar.
    pub fn dims(&self) -> &[u64] {
        &self.dims
    }

    /// The number of dimensions.
    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether a dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements.
    pub fn data(&self) -> &TensorData {
        &self.data
    }

    /// The little-endian bytes of the elements; none for strings. Bytes of `bool` are 0 or 1.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            TensorData::Bytes(bytes) => bytes,
            TensorData::Strings(_) => &[],
        }
    }

    /// The elements, which are of type `T`.
    ///
    /// # Errors
    /// The tensor has another type.
    pub fn to_vec<T: FromLittleEndian>(&self) -> Result<Vec<T>> {
        match self.element {
            ElementType::Plain(dtype) if dtype == T::DTYPE => Ok(T::read(self.bytes())),
            other => Err(self.is_not(T::DTYPE.name(), other)),
        }
    }

    /// The elements of an f32, f16 or bf16 tensor; widening is exact.
    ///
    /// # Errors
    /// The tensor has another type.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        let bytes = self.bytes();
        match self.element {
            ElementType::Plain(DType::F32) => Ok(f32::read(bytes)),
            ElementType::Plain(DType::F16) => Ok(f16::read(bytes).into_iter().map(f16::to_f32).collect()),
            ElementType::Plain(DType::BF16) => Ok(bf16::read(bytes).into_iter().map(bf16::to_f32).collect()),
            other => Err(self.is_not("f32, f16 or bf16", other)),
        }
    }

    /// The elements of a floating-point tensor; widening is exact.
    ///
    /// # Errors
    /// The tensor has another type.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        match self.element {
            ElementType::Plain(DType::F64) => Ok(f64::read(self.bytes())),
            ElementType::Plain(dtype) if dtype.is_float() => {
                Ok(self.to_f32()?.into_iter().map(f64::from).collect())
            }
            other => Err(self.is_not("of floating-point numbers", other)),
        }
    }

    /// The elements of a tensor of integers or booleans, int4, uint4, int2 and uint2 unpacked.
    ///
    /// # Errors
    /// The tensor has another type, or a u64 does not fit.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        fn widened<T: FromLittleEndian + Into<i64>>(bytes: &[u8]) -> Vec<i64> {
            T::read(bytes).into_iter().map(Into::into).collect()
        }
        let bytes = self.bytes();
        Ok(match self.element {
            ElementType::Plain(DType::Bool) => widened::<bool>(bytes),
            ElementType::Plain(DType::I8) => widened::<i8>(bytes),
            ElementType::Plain(DType::I16) => widened::<i16>(bytes),
            ElementType::Plain(DType::I32) => widened::<i32>(bytes),
            ElementType::Plain(DType::I64) => i64::read(bytes),
            ElementType::Plain(DType::U8) => widened::<u8>(bytes),
            ElementType::Plain(DType::U16) => widened::<u16>(bytes),
            ElementType::Plain(DType::U32) => widened::<u32>(bytes),
            ElementType::Plain(DType::U64) => {
                let fit = u64::read(bytes).into_iter().map(|v| {
                    i64::try_from(v)
                        .map_err(|_| Error::new(format!("{v} does not fit a 64-bit signed integer")))
                });
                fit.collect::<Result<_>>()?
            }
            ElementType::Uint4 | ElementType::Uint2 => widened::<u8>(&self.unpacked()),
            ElementType::Int4 | ElementType::Int2 => widened::<i8>(&self.unpacked()),
            other => return Err(self.is_not("of integers", other)),
        })
    }

    /// The elements of a type of 8 bits or less, one a byte; integers with their sign.
    pub fn unpacked(&self) -> Vec<u8> {
        let bits = self.element.bits().unwrap_or(8).min(8) as usize;
        let signed = matches!(self.element, ElementType::Int4 | ElementType::Int2);
        let bytes = self.bytes();
        let byte = |i: usize| bytes.get(i).copied().unwrap_or(0);
        let element = |i: usize| {
            let (at, shift) = (i * bits / 8, i * bits % 8);
            let low = (u16::from_le_bytes([byte(at), byte(at + 1)]) >> shift) as u8;
            let high = low << (8 - bits);
            if signed { ((high as i8) >> (8 - bits)) as u8 } else { high >> (8 - bits) }
        };
        (0..self.len).map(element).collect()
    }

    /// The one element of a tensor of integers or booleans.
    ///
    /// # Errors
    /// Another type or another number of elements.
    pub fn scalar_i64(&self) -> Result<i64> {
        self.single(self.to_i64()?)
    }

    /// The one element of an f32, f16 or bf16 tensor.
    ///
    /// # Errors
    /// Another type or another number of elements.
    pub fn scalar_f32(&self) -> Result<f32> {
        self.single(self.to_f32()?)
    }

    /// The one element of a tensor of floating-point numbers.
    ///
    /// # Errors
    /// Another type or another number of elements.
    pub fn scalar_f64(&self) -> Result<f64> {
        self.single(self.to_f64()?)
    }

    /// The byte strings of a string tensor.
    ///
    /// # Errors
    /// The tensor has another type.
    pub fn strings(&self) -> Result<&[Bytes]> {
        match &self.data {
            TensorData::Strings(strings) => Ok(strings),
            TensorData::Bytes(_) => Err(self.is_not("of strings", self.element)),
        }
    }

    fn single<T: Copy>(&self, elements: Vec<T>) -> Result<T> {
        match elements.as_slice() {
            [one] => Ok(*one),
            _ => Err(Error::new(format!("expected one element, found {}{:?}", self.element, self.dims))),
        }
    }

    fn is_not(&self, expected: &str, found: ElementType) -> Error {
        Error::new(format!("expected a tensor {expected}, found {found}{:?}", self.dims))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(element: impl Into<ElementType>, dims: &[u64], bytes: &[u8]) -> Result<Tensor> {
        Tensor::new(element.into(), dims.to_vec(), Bytes::copy_from_slice(bytes))
    }

    #[test]
    fn length_must_fit() {
        assert_eq!(tensor(DType::F32, &[], &[0, 0, 128, 63]).unwrap().scalar_f32().unwrap(), 1.0);
        assert!(tensor(DType::F32, &[3, 0, 7], &[]).unwrap().is_empty());
        assert!(tensor(DType::F64, &[u64::MAX, 0, u64::MAX], &[]).unwrap().is_empty());
        for dims in [&[2_u64] as &[u64], &[0], &[u64::MAX], &[1 << 32, 1 << 32], &[1 << 62]] {
            let error = tensor(DType::F32, dims, &[0; 4]).unwrap_err();
            assert!(error.problem.contains(&format!("{dims:?}")), "{error}");
        }
        assert_eq!(
            tensor(DType::F32, &[2, 3], &[0; 20]).unwrap_err().problem,
            "f32[2, 3] takes 24 bytes, but there are 20"
        );
    }

    #[test]
    fn small_elements_are_unpacked() {
        let codes = |e, n, bytes: &[u8]| tensor(e, &[n], bytes).unwrap().unpacked();
        assert_eq!(codes(ElementType::Int4, 3, &[0x8f, 0x07]), [0xff, 0xf8, 7]);
        assert_eq!(codes(ElementType::Uint2, 3, &[0b11_10_01]), [1, 2, 3]);
        assert_eq!(codes(ElementType::Float6E2M3, 3, &[0x41, 0xf8, 0x03]), [1, 0x21, 0x3f]);
        assert_eq!(codes(ElementType::Float8E5M2, 2, &[0x80, 0x7c]), [0x80, 0x7c]);
    }

    #[test]
    fn types_are_exact_or_widened() {
        let t = tensor(DType::F16, &[2], &[0, 0x3c, 0, 0xc0]).unwrap();
        assert_eq!(t.to_f32().unwrap(), [1.0, -2.0]);
        assert_eq!(t.to_f64().unwrap(), [1.0, -2.0]);
        assert!(t.to_vec::<f32>().is_err() && t.to_i64().is_err() && t.strings().is_err());
        assert_eq!(t.to_vec::<f16>().unwrap(), [f16::from_f32(1.0), f16::from_f32(-2.0)]);
        let t = tensor(DType::U64, &[1], &[255; 8]).unwrap();
        assert!(t.to_i64().unwrap_err().problem.contains("18446744073709551615"));
        assert_eq!(tensor(DType::I8, &[2], &[255, 3]).unwrap().to_i64().unwrap(), [-1, 3]);
        assert_eq!(tensor(DType::Bool, &[2], &[0, 1]).unwrap().to_i64().unwrap(), [0, 1]);
    }

    #[test]
    fn small_integers_unpack_from_the_low_end() {
        let odd = tensor(ElementType::Int4, &[3], &[0x8f, 0x07]).unwrap();
        assert_eq!(odd.to_i64().unwrap(), [-1, -8, 7]);
        assert_eq!(tensor(ElementType::Uint4, &[3], &[0x8f, 0x07]).unwrap().to_i64().unwrap(), [15, 8, 7]);
        assert_eq!(
            tensor(ElementType::Int2, &[5], &[0b11_10_01_00, 1]).unwrap().to_i64().unwrap(),
            [0, 1, -2, -1, 1]
        );
        assert_eq!(
            tensor(ElementType::Uint2, &[4], &[0b11_10_01_00]).unwrap().to_i64().unwrap(),
            [0, 1, 2, 3]
        );
        assert!(tensor(ElementType::Float6E2M3, &[5], &[0; 4]).is_ok());
        assert!(odd.dtype().is_err());
    }
}
