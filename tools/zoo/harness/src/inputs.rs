//! A case's inputs: as arrays from the archive, and as the typed references that `infer` takes.

use std::any::Any;
use std::path::Path;

use sofie_infer_runtime::npz::{Array, Npz, Scalar};
use sofie_infer_runtime::{self as rt, DType, TensorInfo};

/// The case's inputs in the model's order.
pub fn read(model: &[TensorInfo], case: &Path) -> Result<Vec<Array>, String> {
    let npz = Npz::open(case.join("inputs.npz")).map_err(|e| e.to_string())?;
    let mut arrays = Vec::with_capacity(model.len());
    for info in model {
        let array = npz.array(info.name).map_err(|e| e.to_string())?;
        if array.dtype != info.dtype {
            let place = case.display();
            return Err(format!(
                "{place}: input `{}` is {}, the model's is {}",
                info.name, array.dtype, info.dtype
            ));
        }
        if array.shape.len() != info.shape.len() {
            return Err(format!("{}: input `{}` has another number of axes", case.display(), info.name));
        }
        arrays.push(array);
    }
    Ok(arrays)
}

/// Values that `infer` can borrow.
pub struct Inputs(Vec<Box<dyn Any>>);

impl Inputs {
    /// Copies the arrays into memory of their types.
    pub fn new(arrays: &[Array]) -> Result<Self, String> {
        fn typed<T: Scalar>(array: &Array) -> Result<Box<dyn Any>, String> {
            Ok(Box::new(array.values::<T>().map_err(|e| e.to_string())?))
        }
        let one = |array: &Array| match array.dtype {
            DType::F32 => typed::<f32>(array),
            DType::F64 => typed::<f64>(array),
            DType::F16 => typed::<rt::f16>(array),
            DType::BF16 => typed::<rt::bf16>(array),
            DType::I8 => typed::<i8>(array),
            DType::I16 => typed::<i16>(array),
            DType::I32 => typed::<i32>(array),
            DType::I64 => typed::<i64>(array),
            DType::U8 => typed::<u8>(array),
            DType::U16 => typed::<u16>(array),
            DType::U32 => typed::<u32>(array),
            DType::U64 => typed::<u64>(array),
            DType::Bool => typed::<bool>(array),
        };
        Ok(Inputs(arrays.iter().map(one).collect::<Result<_, _>>()?))
    }

    /// Input `i` as the parameter of `infer` that it is passed for.
    ///
    /// # Panics
    /// When that is another type: the program and its session come from one model, so it cannot be.
    pub fn get<T: rt::Nested>(&self, i: usize) -> &T {
        let values = self.0[i].downcast_ref::<Vec<T::Scalar>>();
        rt::nested(values.unwrap_or_else(|| panic!("input {i} does not hold {}", std::any::type_name::<T>())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_become_what_infer_takes() -> Result<(), String> {
        let array = |dtype, shape: &[usize], bytes: &[u8]| Array {
            dtype,
            shape: shape.to_vec(),
            bytes: bytes.to_vec(),
        };
        let floats: Vec<u8> = [1.0f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let inputs = Inputs::new(&[
            array(DType::F32, &[1, 2], &floats),
            array(DType::I64, &[], &7i64.to_le_bytes()),
            array(DType::Bool, &[0, 3], &[]),
        ])?;
        assert_eq!(inputs.get::<[[f32; 2]; 1]>(0), &[[1.0, 2.0]]);
        assert_eq!(inputs.get::<i64>(1), &7);
        assert_eq!(inputs.get::<[[bool; 3]; 0]>(2).len(), 0);
        Ok(())
    }
}
