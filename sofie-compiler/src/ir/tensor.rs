//! Constant tensors: dense, row-major, little-endian, shared.

use super::Shape;
use sofie_infer_runtime::map::Scalar;
use sofie_infer_runtime::{DType, bf16, f16};
use std::fmt;
use std::sync::Arc;

/// A dense tensor whose values are known while compiling.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tensor {
    dtype: DType,
    dims: Vec<usize>,
    bytes: Arc<[u8]>,
}

/// A Rust type that tensors are made of and read as.
pub trait Value: sofie_infer_runtime::Element {
    /// From little-endian bytes of the type's size.
    fn from_le(bytes: &[u8]) -> Self;
    /// Appends the little-endian bytes.
    fn push_le(self, to: &mut Vec<u8>);
}

macro_rules! values {
    ($($t:ty)*) => {$(
        impl Value for $t {
            fn from_le(bytes: &[u8]) -> Self {
                let mut le = [0; size_of::<$t>()];
                le.copy_from_slice(bytes);
                <$t>::from_le_bytes(le)
            }
            fn push_le(self, to: &mut Vec<u8>) {
                to.extend(self.to_le_bytes());
            }
        }
    )*};
}
values!(f32 f64 f16 bf16 i8 i16 i32 i64 u8 u16 u32 u64);

impl Value for bool {
    fn from_le(bytes: &[u8]) -> Self {
        bytes[0] != 0
    }
    fn push_le(self, to: &mut Vec<u8>) {
        to.push(self.into());
    }
}

impl Tensor {
    /// Of raw little-endian bytes; `None` where their number is not that of the dims.
    pub fn from_bytes(dtype: DType, dims: Vec<usize>, bytes: impl Into<Arc<[u8]>>) -> Option<Tensor> {
        let bytes = bytes.into();
        let size = dims.iter().try_fold(dtype.size(), |n, &d| n.checked_mul(d))?;
        (size == bytes.len()).then_some(Tensor { dtype, dims, bytes })
    }

    /// Of values in row-major order.
    ///
    /// # Panics
    /// When their number is not the product of `dims`.
    pub fn of<T: Value>(dims: &[usize], values: &[T]) -> Tensor {
        assert_eq!(values.len(), dims.iter().product::<usize>(), "values for shape {dims:?}");
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|v| v.push_le(&mut bytes));
        Tensor { dtype: T::DTYPE, dims: dims.to_vec(), bytes: bytes.into() }
    }

    /// Of rank 0.
    pub fn scalar(x: Scalar) -> Tensor {
        Tensor::filled(x, &[])
    }

    /// With every element `x`.
    pub fn filled(x: Scalar, dims: &[usize]) -> Tensor {
        let element = &x.bits.to_le_bytes()[..x.dtype.size()];
        Tensor { dtype: x.dtype, dims: dims.to_vec(), bytes: element.repeat(dims.iter().product()).into() }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extents.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The extents as a shape.
    pub fn shape(&self) -> Shape {
        Shape::of(&self.dims)
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements' little-endian bytes, row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements, if they have type `T`.
    pub fn to_vec<T: Value>(&self) -> Option<Vec<T>> {
        (self.dtype == T::DTYPE).then(|| self.bytes.chunks_exact(size_of::<T>()).map(T::from_le).collect())
    }

    /// The elements as integers, if they are integers (or bools) that fit.
    pub fn to_ints(&self) -> Option<Vec<i64>> {
        if self.dtype.is_float() {
            return None;
        }
        (0..self.len())
            .map(|i| {
                let s = self.get(i);
                match s.dtype {
                    DType::I8 => Some(s.bits as i8 as i64),
                    DType::I16 => Some(s.bits as i16 as i64),
                    DType::I32 => Some(s.bits as i32 as i64),
                    DType::I64 => Some(s.bits as i64),
                    _ => i64::try_from(s.bits).ok(),
                }
            })
            .collect()
    }

    /// The elements as `f64`.
    pub fn to_f64s(&self) -> Vec<f64> {
        (0..self.len()).map(|i| self.get(i).to_f64()).collect()
    }

    /// Element `i` in row-major order.
    ///
    /// # Panics
    /// When there is none.
    pub fn get(&self, i: usize) -> Scalar {
        let size = self.dtype.size();
        let mut bits = [0; 8];
        bits[..size].copy_from_slice(&self.bytes[i * size..][..size]);
        Scalar { dtype: self.dtype, bits: u64::from_le_bytes(bits) }
    }

    /// The one value that every element has, if there is one.
    pub fn uniform(&self) -> Option<Scalar> {
        let size = self.dtype.size();
        let first = self.bytes.get(..size)?;
        self.bytes.chunks_exact(size).all(|e| e == first).then(|| self.get(0))
    }

    /// The first `n` slices along an axis; all where there are not as many.
    pub fn cut(&self, axis: usize, n: usize) -> Tensor {
        let outer: usize = self.dims[..axis].iter().product();
        let row = self.dims[axis + 1..].iter().product::<usize>() * self.dtype.size();
        let n = n.min(self.dims[axis]);
        let rows = self.bytes.chunks(self.dims[axis].max(1) * row.max(1)).take(outer);
        let bytes: Vec<u8> = rows.flat_map(|r| r[..n * row].iter().copied()).collect();
        let mut dims = self.dims.clone();
        dims[axis] = n;
        Tensor { dtype: self.dtype, dims, bytes: bytes.into() }
    }

    /// The same elements under other extents of the same product.
    ///
    /// # Panics
    /// When the product differs.
    pub fn reshaped(&self, dims: &[usize]) -> Tensor {
        assert_eq!(self.len(), dims.iter().product::<usize>(), "{:?} reshaped to {dims:?}", self.dims);
        Tensor { dims: dims.to_vec(), ..self.clone() }
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.dtype, self.shape())?;
        if self.len() <= 8 {
            f.write_str(" {")?;
            for i in 0..self.len() {
                let s = self.get(i);
                let sep = if i == 0 { "" } else { ", " };
                match self.dtype {
                    DType::Bool => write!(f, "{sep}{}", s.bits != 0)?,
                    DType::I64 => write!(f, "{sep}{}", s.bits as i64)?,
                    DType::U64 => write!(f, "{sep}{}", s.bits)?,
                    DType::F32 => write!(f, "{sep}{:?}", f32::from_bits(s.bits as u32))?,
                    _ => write!(f, "{sep}{:?}", s.to_f64())?,
                }
            }
            f.write_str("}")?;
        }
        Ok(())
    }
}
