//! The engines that we are measured against, through their C interfaces.
//!
//! A call through Python costs several microseconds, more than the smaller models. Inputs and outputs are bound once to
//! memory of ours, so that a call does the network's work and nothing else. This folder holds the only `unsafe` outside
//! the runtime: foreign functions from libraries that are opened at run time.

use sofie_infer_runtime::npz::Array;
use sofie_infer_runtime::{DType, DynSession};

pub mod openvino;
pub mod ort;

/// A network loaded into another engine, its inputs bound.
pub trait Peer {
    /// One inference.
    fn infer(&mut self) -> Result<(), String>;
}

/// A cache line; vectors of them are memory as aligned as any engine wants.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub struct Line([u8; 64]);

/// One tensor's name, type, extents and memory.
pub struct Buffer {
    pub name: String,
    pub dtype: DType,
    pub shape: Vec<i64>,
    pub bytes: usize,
    pub memory: Vec<Line>,
}

/// The memory of a network's inputs and outputs.
pub struct Buffers {
    pub inputs: Vec<Buffer>,
    pub outputs: Vec<Buffer>,
}

impl Buffers {
    /// Inputs that hold the arrays, outputs that are zero.
    pub fn new(session: &impl DynSession, inputs: &[Array]) -> Self {
        let buffer = |name: &str, dtype: DType, shape: &[usize], data: &[u8]| Buffer {
            name: name.to_owned(),
            dtype,
            shape: shape.iter().map(|&d| d as i64).collect(),
            bytes: shape.iter().product::<usize>() * dtype.size(),
            memory: lines(data, shape.iter().product::<usize>() * dtype.size()),
        };
        let named = session.input_info().iter().zip(inputs);
        let outputs = session.output_info().iter().enumerate().map(|(i, o)| {
            let shape: Vec<usize> = (0..o.shape.len()).map(|axis| session.output_extent(i, axis)).collect();
            buffer(o.name, o.dtype, &shape, &[])
        });
        Buffers {
            inputs: named.map(|(i, a)| buffer(i.name, i.dtype, &a.shape, &a.bytes)).collect(),
            outputs: outputs.collect(),
        }
    }
}

/// Lines for `bytes` bytes that begin with `data`; at least one, so that the pointer is a place.
fn lines(data: &[u8], bytes: usize) -> Vec<Line> {
    let mut lines = vec![Line([0; 64]); bytes.div_ceil(64).max(1)];
    for (line, chunk) in lines.iter_mut().zip(data.chunks(64)) {
        line.0[..chunk.len()].copy_from_slice(chunk);
    }
    lines
}
