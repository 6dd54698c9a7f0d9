//! Elementwise maps: one scalar expression over broadcast operands, fused into one pass.
//!
//! An expression becomes a [`MapProgram`], which the interpreter runs block by block. A [`Map`] adds the iteration
//! space: where each operand's elements and the result's lie.
//!
//! ```
//! use sofie_infer_runtime::copy::Strided;
//! use sofie_infer_runtime::map::{Binary, Map, MapProgram, MapSpec, Unary, Value, View};
//! use sofie_infer_runtime::DType;
//!
//! // relu(x + bias), x [2, 3], bias [3].
//! let values = [Value::Input(0), Value::Input(1), Value::Binary(Binary::Add, 0, 1), Value::Unary(Unary::Relu, 2)];
//! let program = MapProgram::compile(&values, &[DType::F32, DType::F32])?;
//! let x = Strided::dense(&[2, 3]).unwrap();
//! let bias = Strided::new(&[2, 3], &[0, 1], 0).unwrap();
//! let spec = MapSpec::of_views(&x, &[View::Slice(0, &x), View::Slice(1, &bias)], program).unwrap();
//! let mut y = [0f32; 6];
//! Map::new(spec).run(y[..].as_mut().into(), &[(&[1f32, 2., 3., -4., -5., -6.][..]).into(), (&[0.5f32, -9., 7.][..]).into()]);
//! assert_eq!(y, [1.5, 0., 10., 0., 0., 1.]);
//! # Ok::<(), sofie_infer_runtime::map::CompileError>(())
//! ```

mod build;
mod cast;
mod combine;
mod compile;
mod exec;
mod half;
mod load;
mod memory;
pub(crate) mod num;
mod op;
mod plain;
mod program;
mod run;
mod scalar;
mod short;
mod short_rows;
mod single;
mod spec;
mod sums;
pub(crate) mod vector;

#[cfg(test)]
mod placed_tests;
#[cfg(test)]
mod scalar_tests;
#[cfg(test)]
mod sums_tests;
#[cfg(test)]
mod tests;

pub use build::View;
pub use compile::{CompileError, Value};
pub use memory::{Dst, Src};
pub use op::{Binary, Scalar, Unary};
pub use program::{Arg, CONSTS, Code, INPUTS, Inst, MapProgram, REGISTERS};
pub use scalar::{binary, binary_slice, cast, cast_slice, mul_add, mul_add_slice, unary, unary_slice};
pub use short::pad;
pub use spec::{Map, MapSpec, Operand, Source};
