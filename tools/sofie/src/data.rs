//! Stored arrays, by name, from one or several NumPy archives.

use std::path::PathBuf;

use sofie_infer_compiler::ir::Tensor;
use sofie_infer_compiler::plan::Port;
use sofie_infer_runtime::npz::{Array, Npz};

use crate::answer::Failure;

/// Archives, the first that has a name wins.
pub struct Data(Vec<Npz>);

impl Data {
    /// Opens the archives.
    pub fn open(paths: &[PathBuf]) -> Result<Data, Failure> {
        let open = |path: &PathBuf| Npz::open(path).map_err(|e| Failure::Other(e.to_string()));
        paths.iter().map(open).collect::<Result<_, _>>().map(Data)
    }

    /// The array of that name, if one of the archives has it.
    pub fn array(&self, name: &str) -> Result<Option<Array>, Failure> {
        let holds = |npz: &&Npz| npz.names().any(|n| n == name);
        let read = |npz: &Npz| npz.array(name).map_err(|e| Failure::Other(e.to_string()));
        self.0.iter().find(holds).map(read).transpose()
    }

    /// The extents of an array.
    pub fn shape(&self, name: &str) -> Result<Option<Vec<usize>>, Failure> {
        Ok(self.array(name)?.map(|array| array.shape))
    }

    /// All arrays' names.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().flat_map(Npz::names).collect()
    }

    /// The arrays of all inputs, in order.
    pub fn inputs<'a>(&self, ports: impl Iterator<Item = &'a Port>) -> Result<Vec<Tensor>, Failure> {
        ports.map(|port| self.input(port)).collect()
    }

    fn input(&self, port: &Port) -> Result<Tensor, Failure> {
        let Some(array) = self.array(&port.name)? else {
            let there = self.names().join(", ");
            return Err(Failure::Other(format!("the data hold no input `{}`, only {there}", port.name)));
        };
        if (array.dtype, &array.shape) != (port.dtype, &port.dims) {
            return Err(Failure::Other(format!(
                "the input `{}` is {}{:?}, the data hold {}{:?}",
                port.name, port.dtype, port.dims, array.dtype, array.shape
            )));
        }
        Tensor::from_bytes(array.dtype, array.shape, array.bytes)
            .ok_or_else(|| Failure::Other(format!("the array `{}` is damaged", port.name)))
    }
}
