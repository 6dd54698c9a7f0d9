//! Numbers for tests that are the same at each run.

use sofie_infer_compiler::ir::Tensor;
use sofie_infer_runtime::DType;

/// Xorshift, Marsaglia 2003.
pub struct Noise(pub u64);

impl Noise {
    /// 53 bits.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// An integer below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A float from -1 to 1.
    pub fn float(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 52) as f32 - 1.0
    }

    /// Floats, and integers that are indices of something of `n` elements.
    pub fn tensor(&mut self, dtype: DType, dims: &[usize], n: usize) -> Tensor {
        let len = dims.iter().product();
        match dtype {
            DType::F32 => Tensor::of(dims, &(0..len).map(|_| self.float()).collect::<Vec<_>>()),
            DType::I64 => Tensor::of(dims, &(0..len).map(|_| self.below(n) as i64).collect::<Vec<_>>()),
            DType::I32 => Tensor::of(dims, &(0..len).map(|_| self.below(n) as i32).collect::<Vec<_>>()),
            DType::Bool => Tensor::of(dims, &(0..len).map(|_| self.below(3) > 0).collect::<Vec<_>>()),
            other => Tensor::from_bytes(other, dims.to_vec(), vec![0; len * other.size()]).unwrap(),
        }
    }
}
