//! Every session seen alike: names, types and bytes of inputs and outputs, for tools and tests that do
//! not know the model when they are compiled.

use crate::{DType, ExtentError, agree};

/// Name, element type and extents of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The name in the model's file.
    pub name: &'static str,
    /// The element type.
    pub dtype: DType,
    /// The extents, outermost first: where they are free, the largest, and `usize::MAX` where each session has its own.
    pub shape: &'static [usize],
}

impl TensorInfo {
    /// The size in bytes.
    pub fn bytes(&self) -> usize {
        self.shape.iter().fold(self.dtype.size(), |n, extent| n.saturating_mul(*extent))
    }
}

/// A session behind bytes. Tensors are row-major and little-endian; a bool is a byte 0 or 1.
pub trait DynSession {
    /// The model's inputs.
    fn input_info(&self) -> &'static [TensorInfo];

    /// The model's outputs.
    fn output_info(&self) -> &'static [TensorInfo];

    /// Says which shapes the inputs of the next runs have; extents that are free follow from them. Before the first call
    /// a session has the largest shapes that it can take.
    ///
    /// # Errors
    /// When an extent differs from the model's or another input's, or is outside its bounds.
    ///
    /// # Panics
    /// When the number of inputs, or of an input's axes, is another than the model's.
    fn fit(&mut self, shapes: &[&[usize]]) -> Result<(), ExtentError> {
        let infos = self.input_info();
        assert_eq!(shapes.len(), infos.len(), "shapes of other inputs than the model's");
        for (info, shape) in infos.iter().zip(shapes) {
            assert_eq!(shape.len(), info.shape.len(), "another number of axes than {info:?}");
            for (axis, (&found, &expected)) in shape.iter().zip(info.shape).enumerate() {
                agree(info.name, axis, found, expected)?;
            }
        }
        Ok(())
    }

    /// How many elements output `i` has along `axis` after a run: its extent, or less where that is the most there can
    /// be.
    ///
    /// # Panics
    /// When there is no such output or axis.
    fn output_extent(&self, i: usize, axis: usize) -> usize {
        self.output_info()[i].shape[axis]
    }

    /// The bytes of input `i`, of the shape that it has now, to fill before [`DynSession::run`].
    ///
    /// # Panics
    /// When there is no such input.
    fn input_bytes(&mut self, i: usize) -> &mut [u8];

    /// Computes all outputs from the inputs' bytes.
    fn run(&mut self);

    /// The bytes of output `i`, as the last [`DynSession::run`] left them.
    ///
    /// # Panics
    /// When there is no such output.
    fn output_bytes(&self, i: usize) -> &[u8];
}

/// An input decides a shape, and decides it otherwise than the model declares; or a loop without a trip count does not end.
/// The outputs mean nothing; the session can be run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShapeError;

impl core::fmt::Display for ShapeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("an input decides a shape otherwise than the model declares it, or a loop does not end")
    }
}

impl core::error::Error for ShapeError {}
