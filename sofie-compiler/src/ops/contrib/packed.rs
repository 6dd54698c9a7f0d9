//! `MatMulNBits`: weights of 2, 4 or 8 bits in blocks, each with a scale and a zero point. They are constants and become
//! floats while compiling: exact, and as large as the weights were before.

use super::{refused, without};
use crate::error::{Error, Result};
use crate::ir::{Tensor, ValueId};
use crate::ops::Ctx;
use crate::ops::expr::{x, y};
use crate::ops::matmul::product;
use sofie_infer_runtime::DType;

/// Numbers of `bits` bits, the lowest first in each byte.
struct Packed<'t> {
    bytes: &'t [u8],
    bits: usize,
}

impl Packed<'_> {
    /// Number `i` of those that start at byte `from`.
    fn get(&self, from: usize, i: usize) -> Option<f32> {
        let bit = i * self.bits;
        let byte = self.bytes.get(from + bit / 8)?;
        Some(f32::from((byte >> (bit % 8)) & (u8::MAX >> (8 - self.bits))))
    }
}

/// A positive attribute.
fn count(c: &Ctx<'_, '_>, name: &str) -> Result<usize> {
    let n = c.attrs.int(name)?;
    let n = c.attrs.require(name, n)?;
    usize::try_from(n)
        .ok()
        .filter(|&n| n > 0 && n <= 1 << 28)
        .ok_or_else(|| Error::new(format!("{name} is {n}")))
}

/// `MatMulNBits`: `A [.., K]` times the transpose of `[N, K]`.
pub(in crate::ops) fn matmul_nbits(c: &mut Ctx<'_, '_>) -> Result<Vec<ValueId>> {
    let a = c.required(0, "A")?;
    let (k, n, block) = (count(c, "K")?, count(c, "N")?, count(c, "block_size")?);
    let bits = c.attrs.int_or("bits", 4)?;
    let bits = [2usize, 4, 8].into_iter().find(|&b| b as i64 == bits);
    let bits = bits.ok_or_else(|| refused("weights of other than 2, 4 or 8 bits are not supported"))?;
    // How coarsely A may be rounded: not at all here.
    c.attrs.ignore(&["accuracy_level"]);
    if c.attrs.int_or("weight_prepacked", 0)? != 0 {
        return Err(refused("weights that are packed for one processor are not supported"));
    }
    without(c, 4, "g_idx")?;
    let missing = |what: &str| Error::new(format!("input {what} is missing"));
    let weights = c.constant(1, "B")?.ok_or_else(|| missing("B"))?;
    let scales = c.const_floats(2, "scales")?.ok_or_else(|| missing("scales"))?;
    let zeros = c.constant(3, "zero_points")?;
    let blocks = k.div_ceil(block);
    let (block_bytes, row_bytes) = ((block * bits).div_ceil(8), (blocks * bits).div_ceil(8));
    let packed_zeros = zeros.as_ref().filter(|z| z.dtype() == DType::U8);
    let float_zeros = zeros.as_ref().filter(|z| z.dtype().is_float()).map(Tensor::to_f64s);
    let fits = weights.bytes().len() == n * blocks * block_bytes
        && weights.dtype() == DType::U8
        && scales.len() == n * blocks
        && packed_zeros.is_none_or(|z| z.len() == n * row_bytes)
        && float_zeros.as_ref().is_none_or(|z| z.len() == n * blocks)
        && (zeros.is_none() || packed_zeros.is_some() || float_zeros.is_some());
    let unfit =
        || Error::new(format!("weights, scales or zero points do not fit [{n}, {k}] in blocks of {block}"));
    if !fits {
        return Err(unfit());
    }
    let numbers = Packed { bytes: weights.bytes(), bits };
    let middle = f32::from(1u8 << (bits - 1));
    let mut dense = vec![0f32; k * n];
    for column in 0..n {
        for b in 0..blocks {
            let at = column * blocks + b;
            let zero = match (packed_zeros, &float_zeros) {
                (Some(z), _) => {
                    Packed { bytes: z.bytes(), bits }.get(column * row_bytes, b).ok_or_else(unfit)?
                }
                (None, Some(z)) => z[at] as f32,
                (None, None) => middle,
            };
            let scale = scales[at] as f32;
            for i in 0..block.min(k - b * block) {
                let number = numbers.get(at * block_bytes, i).ok_or_else(unfit)?;
                dense[(b * block + i) * n + column] = (number - zero) * scale;
            }
        }
    }
    let dense = c.b.tensor(Tensor::of(&[k, n], &dense));
    let dense = c.b.cast(dense, c.dtype(a))?;
    let y_ = product(c, a, dense)?;
    Ok(vec![match c.optional(5)? {
        Some(bias) => c.map(x() + y(), &[y_, bias])?,
        None => y_,
    }])
}
