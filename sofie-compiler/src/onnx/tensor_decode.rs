//! `TensorProto` → [`Tensor`]: raw bytes, the typed fields, external data and sparse tensors.
//! What the dimensions claim is compared with the bytes that are there before anything is allocated.

use prost::bytes::Bytes;
use sofie_infer_runtime::DType;

use super::element::ElementType;
use super::external::ExternalData;
use super::proto::tensor_proto::DataLocation;
use super::proto::{SparseTensorProto, TensorProto};
use super::tensor::{Tensor, element_count};
use crate::error::{Error, Result};

/// How many bytes all sparse tensors of a model may take when made dense, lest a file of a hundred
/// bytes claim the machine.
const DENSE_BYTES: u64 = 1 << 28;

/// Decodes the tensors of one model.
pub(super) struct TensorDecoder<'e> {
    external: &'e dyn ExternalData,
    /// What is left of [`DENSE_BYTES`].
    dense_left: u64,
}

impl<'e> TensorDecoder<'e> {
    pub(super) fn new(external: &'e dyn ExternalData) -> Self {
        TensorDecoder { external, dense_left: DENSE_BYTES }
    }

    /// A tensor; an error names it if it has a name.
    pub(super) fn tensor(&self, proto: &TensorProto) -> Result<Tensor> {
        self.unnamed(proto).map_err(|error| match proto.name() {
            "" => error,
            name => error.at_tensor(name),
        })
    }

    fn unnamed(&self, proto: &TensorProto) -> Result<Tensor> {
        let element = ElementType::from_onnx(proto.data_type())?;
        let dims = dims(&proto.dims)?;
        if proto.segment.is_some() {
            return Err(Error::new("tensors stored in segments are not supported")
                .help("load the model with the onnx package and save it again"));
        }
        let too_many = || Error::new(format!("dimensions {dims:?} have more elements than a file can hold"));
        let len = element_count(&dims).ok_or_else(too_many)?;
        if element == ElementType::String {
            return Tensor::of_strings(dims, proto.string_data.clone());
        }
        let length = element.bytes(len).ok_or_else(too_many)?;
        let bytes = if proto.data_location() == DataLocation::External {
            self.external(proto, length)?
        } else {
            inline(proto, element, len)?
        };
        // Booleans are 0 or 1 in memory whatever the exporter wrote.
        let odd = element == DType::Bool.into() && bytes.iter().any(|b| *b > 1);
        let bytes = if odd { bytes.iter().map(|b| u8::from(*b != 0)).collect() } else { bytes };
        Tensor::new(element, dims, bytes)
    }

    /// The bytes in the file that the tensor names, which must be `expected` of them.
    fn external(&self, proto: &TensorProto, expected: u64) -> Result<Bytes> {
        if has_inline(proto) {
            return Err(Error::new("the data is both in the model and in an external file"));
        }
        let entry = |key: &str| proto.external_data.iter().find(|e| e.key() == key).map(|e| e.value());
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.trim().parse::<u64>().map(Some).map_err(|_| {
                Error::new(format!("the external data's {key} is {text:?}, which is not a number of bytes"))
            }),
        };
        let location = entry("location").ok_or_else(|| Error::new("external data has no location"))?;
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let size = self.external.size(location)?;
        let length = match length {
            Some(length) => length,
            None => size.checked_sub(offset).ok_or_else(|| short(location, size, offset, expected))?,
        };
        if length != expected {
            return Err(Error::new(format!(
                "the tensor takes {expected} bytes, but its external data in {location:?} are {length}"
            )));
        }
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(short(location, size, offset, length));
        }
        self.external.read(location, offset, length)
    }

    /// A sparse tensor, made dense; 0 stands where no value is given.
    pub(super) fn sparse(&mut self, proto: &SparseTensorProto) -> Result<Tensor> {
        let name = proto.values.as_ref().map_or("", |values| values.name());
        self.unnamed_sparse(proto)
            .map_err(|error| if name.is_empty() { error } else { error.at_tensor(name) })
    }

    fn unnamed_sparse(&mut self, proto: &SparseTensorProto) -> Result<Tensor> {
        let missing = |what: &str| Error::new(format!("a sparse tensor has no {what}"));
        let values = self.unnamed(proto.values.as_ref().ok_or_else(|| missing("values"))?)?;
        let indices = self.unnamed(proto.indices.as_ref().ok_or_else(|| missing("indices"))?)?;
        let dims = dims(&proto.dims)?;
        let size = match values.element().bits() {
            Some(bits) if bits % 8 == 0 => bits / 8,
            _ => return Err(Error::new(format!("sparse tensors of {} are not supported", values.element()))),
        };
        let length = element_count(&dims).and_then(|n| n.checked_mul(size)).filter(|n| *n <= self.dense_left);
        let Some(length) = length else {
            return Err(Error::new(format!(
                "sparse tensors take more than {} MiB when made dense, this one is {}{dims:?}",
                DENSE_BYTES >> 20,
                values.element()
            )));
        };
        self.dense_left -= length;
        let count = values.len();
        let positions = linear(&indices, &dims, count)?;
        let size = size as usize;
        let mut dense = vec![0_u8; length as usize];
        let mut filled = vec![false; length as usize / size];
        for (position, value) in positions.into_iter().zip(values.bytes().chunks_exact(size)) {
            match (filled.get_mut(position), dense.chunks_exact_mut(size).nth(position)) {
                (Some(filled), Some(place)) if !*filled => {
                    *filled = true;
                    place.copy_from_slice(value);
                }
                _ => {
                    return Err(Error::new(format!("position {position} of a sparse tensor is given twice")));
                }
            }
        }
        Tensor::new(values.element(), dims, dense.into())
    }
}

/// The positions in row-major order that a sparse tensor's indices name, as `[count]` or `[count, rank]`.
fn linear(indices: &Tensor, dims: &[u64], count: usize) -> Result<Vec<usize>> {
    let outside =
        |index: &[i64]| Error::new(format!("index {index:?} of a sparse tensor is outside {dims:?}"));
    let all = indices.to_vec::<i64>()?;
    let (n, rank) = (count as u64, dims.len());
    match indices.dims() {
        [m] if *m == n => {
            let total = element_count(dims).unwrap_or(0);
            let one = |i: &i64| u64::try_from(*i).ok().filter(|i| *i < total).ok_or_else(|| outside(&[*i]));
            all.iter().map(|i| one(i).map(|i| i as usize)).collect()
        }
        [m, r] if *m == n && *r == rank as u64 && rank > 0 => {
            let row = |row: &[i64]| {
                let step = |at: u64, (i, d): (&i64, &u64)| {
                    u64::try_from(*i).ok().filter(|i| i < d).map(|i| at * d + i).ok_or_else(|| outside(row))
                };
                row.iter().zip(dims).try_fold(0, step).map(|at| at as usize)
            };
            all.chunks_exact(rank).map(row).collect()
        }
        shape => {
            Err(Error::new(format!("indices of shape {shape:?} do not fit {n} values of a sparse {dims:?}")))
        }
    }
}

/// Dimensions as they should be: none negative.
fn dims(dims: &[i64]) -> Result<Vec<u64>> {
    let one =
        |d: &i64| u64::try_from(*d).map_err(|_| Error::new(format!("dimensions {dims:?} are negative")));
    dims.iter().map(one).collect()
}

fn short(location: &str, size: u64, offset: u64, length: u64) -> Error {
    Error::new(format!(
        "the data file {location:?} has {size} bytes, but {length} are wanted at offset {offset}"
    ))
    .help("the file is cut short or belongs to another export; fetch or export it again")
}

fn has_inline(proto: &TensorProto) -> bool {
    proto.raw_data.as_ref().is_some_and(|raw| !raw.is_empty()) || !typed_fields(proto).is_empty()
}

/// The typed fields that hold something.
fn typed_fields(proto: &TensorProto) -> Vec<&'static str> {
    let fields = [
        ("float_data", proto.float_data.is_empty()),
        ("int32_data", proto.int32_data.is_empty()),
        ("string_data", proto.string_data.is_empty()),
        ("int64_data", proto.int64_data.is_empty()),
        ("double_data", proto.double_data.is_empty()),
        ("uint64_data", proto.uint64_data.is_empty()),
    ];
    fields.into_iter().filter(|(_, empty)| !empty).map(|(name, _)| name).collect()
}

/// The bytes that are in the message itself: raw, or of the typed field that belongs to the type.
fn inline(proto: &TensorProto, element: ElementType, len: u64) -> Result<Bytes> {
    let typed = typed_fields(proto);
    let raw = proto.raw_data.as_ref().filter(|raw| !raw.is_empty());
    match (raw, typed.as_slice()) {
        (Some(raw), []) => Ok(raw.clone()),
        (None, []) if len == 0 => Ok(Bytes::new()),
        (None, []) => {
            Err(Error::new(format!("the tensor should have {len} elements of {element} but has no data"))
                .help("the weights were stripped or left in another file; export the model with its weights"))
        }
        (None, [field]) => from_typed(proto, element, field),
        (Some(_), [field, ..]) => Err(Error::new(format!("the data is both in raw_data and in {field}"))),
        (None, fields) => Err(Error::new(format!("the data is in several fields: {}", fields.join(", ")))),
    }
}

/// The bytes of the one typed field that is filled.
fn from_typed(proto: &TensorProto, element: ElementType, field: &str) -> Result<Bytes> {
    use ElementType::*;
    let le = |bytes: Vec<u8>| Ok(Bytes::from(bytes));
    match (element, field) {
        (Plain(DType::F32) | Complex64, "float_data") => {
            le(proto.float_data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        (Plain(DType::F64) | Complex128, "double_data") => {
            le(proto.double_data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        (Plain(DType::I64), "int64_data") => {
            le(proto.int64_data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        (Plain(DType::U64), "uint64_data") => {
            le(proto.uint64_data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        (Plain(DType::U32), "uint64_data") => {
            let narrow = |v: &u64| u32::try_from(*v).map_err(|_| too_large(&v.to_string(), element));
            let words = proto.uint64_data.iter().map(narrow).collect::<Result<Vec<u32>>>()?;
            le(words.into_iter().flat_map(u32::to_le_bytes).collect())
        }
        (Plain(DType::Bool), "int32_data") => {
            le(proto.int32_data.iter().map(|v| u8::from(*v != 0)).collect())
        }
        (Plain(DType::I32), "int32_data") => {
            le(proto.int32_data.iter().flat_map(|v| v.to_le_bytes()).collect())
        }
        (Plain(DType::I16 | DType::U16 | DType::F16 | DType::BF16), "int32_data") => {
            let words =
                proto.int32_data.iter().map(|v| low_bits(*v, 16, element)).collect::<Result<Vec<u32>>>()?;
            le(words.into_iter().flat_map(|w| (w as u16).to_le_bytes()).collect())
        }
        (Float6E2M3 | Float6E3M2, "int32_data") => {
            let codes =
                proto.int32_data.iter().map(|v| low_bits(*v, 6, element)).collect::<Result<Vec<u32>>>()?;
            let group = |g: &[u32]| g.iter().rev().fold(0, |word, code| word << 6 | code).to_le_bytes();
            let packed = |g: &[u32]| group(g).into_iter().take((g.len() * 6).div_ceil(8));
            le(codes.chunks(4).flat_map(packed).collect())
        }
        (other, "int32_data") if other.bits().is_some_and(|bits| bits <= 8) => {
            let bytes =
                proto.int32_data.iter().map(|v| low_bits(*v, 8, element)).collect::<Result<Vec<u32>>>()?;
            le(bytes.into_iter().map(|b| b as u8).collect())
        }
        _ => Err(Error::new(format!("data of {element} cannot be in {field}"))),
    }
}

/// The low bits of a value that is in range either as a signed or as an unsigned number.
fn low_bits(value: i32, bits: u32, element: ElementType) -> Result<u32> {
    if value >= -(1 << (bits - 1)) && value < 1 << bits {
        Ok(value as u32 & ((1 << bits) - 1))
    } else {
        Err(too_large(&value.to_string(), element))
    }
}

fn too_large(value: &str, element: ElementType) -> Error {
    Error::new(format!("{value} does not fit an element of {element}"))
}
