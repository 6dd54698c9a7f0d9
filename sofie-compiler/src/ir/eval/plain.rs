//! The runtime's plain kernels, which are their own reference: plain loops, judged by ONNX's suite and their tests.

use crate::ir::{Invalid, Plain, Shape, Tensor, Value};
use sofie_infer_runtime::map::{Dst, Src};
use sofie_infer_runtime::{DType, bf16, f16};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Elements of any type, aligned, as kernels want them.
macro_rules! typed {
    ($($d:ident $t:ty;)*) => {
        /// A tensor's elements in memory of their own.
        pub enum Elements {
            /// A byte each, 0 or 1.
            Bool(Vec<u8>),
            $(
                #[doc = stringify!($t)]
                $d(Vec<$t>),
            )*
        }

        impl Elements {
            /// From little-endian bytes.
            pub fn from_le(dtype: DType, bytes: &[u8]) -> Elements {
                match dtype {
                    DType::Bool => Elements::Bool(bytes.to_vec()),
                    $(DType::$d => {
                        Elements::$d(bytes.chunks_exact(size_of::<$t>()).map(<$t as Value>::from_le).collect())
                    })*
                }
            }

            /// All zero.
            pub fn zeros(dtype: DType, len: usize) -> Elements {
                match dtype {
                    DType::Bool => Elements::Bool(vec![0; len]),
                    $(DType::$d => Elements::$d(vec![Default::default(); len]),)*
                }
            }

            /// To read.
            pub fn src(&self) -> Src<'_> {
                match self {
                    Elements::Bool(x) => Src::bools(x),
                    $(Elements::$d(x) => x.as_slice().into(),)*
                }
            }

            /// To write.
            pub fn dst(&mut self) -> Dst<'_> {
                match self {
                    Elements::Bool(x) => Dst::bools(x),
                    $(Elements::$d(x) => x.as_mut_slice().into(),)*
                }
            }

            /// As little-endian bytes.
            pub fn to_le(&self) -> Vec<u8> {
                match self {
                    Elements::Bool(x) => x.clone(),
                    $(Elements::$d(x) => {
                        let mut bytes = Vec::with_capacity(size_of_val(x.as_slice()));
                        x.iter().for_each(|v| v.push_le(&mut bytes));
                        bytes
                    })*
                }
            }
        }
    };
}
typed!(F32 f32; F64 f64; F16 f16; BF16 bf16; I8 i8; I16 i16; I32 i32; I64 i64; U8 u8; U16 u16; U32 u32; U64 u64;);

pub(super) fn plain(op: &Plain, x: &[&Tensor]) -> Result<Vec<Tensor>, Invalid> {
    let reads: Vec<Elements> = x.iter().map(|t| Elements::from_le(t.dtype(), t.bytes())).collect();
    let reads: Vec<Src<'_>> = reads.iter().map(Elements::src).collect();
    let known = |(dtype, shape): &(DType, Shape)| {
        let dims = shape.fixed().ok_or_else(|| Invalid::new(format!("the shape {shape} is not fixed")))?;
        Ok((*dtype, dims))
    };
    let results = op.results.iter().map(known).collect::<Result<Vec<(DType, Vec<usize>)>, Invalid>>()?;
    let size = |dims: &[usize]| dims.iter().product::<usize>();
    let mut writes: Vec<Elements> = results.iter().map(|(t, d)| Elements::zeros(*t, size(d))).collect();
    let algorithm = op.kernel.algorithm();
    if algorithm.scratch() > 0 {
        writes.push(Elements::zeros(DType::F64, algorithm.scratch()));
    }
    // A kernel stops a session on operands that mean nothing (an index outside); a constant may be one.
    let run = AssertUnwindSafe(|| {
        algorithm.run(&mut writes.iter_mut().map(Elements::dst).collect::<Vec<_>>(), &reads);
    });
    catch_unwind(run)
        .map_err(|_| Invalid::new(format!("{} of operands that do not fit it", op.kernel.name())))?;
    let tensor = |((dtype, dims), y): (&(DType, Vec<usize>), &Elements)| {
        Tensor::from_bytes(*dtype, dims.clone(), y.to_le())
            .ok_or_else(|| Invalid::new("a result of another size than its shape says"))
    };
    results.iter().zip(&writes).map(tensor).collect()
}
