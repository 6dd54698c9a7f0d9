//! A convolution and the pooling of its outputs in one, which are not stored: the windows are taken while the outputs are in
//! a cache, and memory for all of them is not needed.

mod strips;
#[cfg(test)]
mod tests;

use super::{Algo, Conv, Operands, extent, planar};
use crate::pool::Pool;

/// `y = pool(act(conv(x, w) + bias))`: x is `[batch, x…, c]`, y is `[batch, y…, m]` with the extents of the pooling's
/// windows. The bits are those of the two kernels in turn.
///
/// ```
/// use sofie_infer_runtime::{conv::{Algo, Conv, ConvPool, Window}, pool::{Pool, PoolKind}};
/// // The larger of two moving sums of two over five pixels of one channel.
/// let conv = Conv::new(1, Window::new(&[5], &[4], &[2], &[1], &[1], &[0]), 1, 1, 1);
/// let conv = Conv { algo: Algo::Planar, ..conv };
/// let pool = Pool::new(PoolKind::Max, 1, Window::new(&[4], &[2], &[2], &[2], &[1], &[0]), [0; 3], 1);
/// let both = ConvPool::new(conv, pool).unwrap();
/// let weights = both.conv.pack(&[1.0, 1.0]);
/// let mut y = [0.0; 2];
/// both.run(&mut y, &[1.0, 2.0, 3.0, 9.0, 5.0], &weights, &[], &mut vec![0.0; both.scratch()]);
/// assert_eq!(y, [5.0, 14.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ConvPool {
    /// The convolution; its outputs lie nowhere, so `ldy` and `ldr` do not matter.
    pub conv: Conv,
    /// The pooling; its `ldx` does not matter.
    pub pool: Pool,
}

impl ConvPool {
    /// The two in one, where that is worth it, whatever their extents: where outputs are computed line by line or in strips of
    /// lines, and no more than two windows along an axis share one.
    #[must_use]
    pub fn new(conv: Conv, pool: Pool) -> Option<ConvPool> {
        let w = &pool.window;
        let shared = (0..3).any(|i| w.kernel[i].saturating_sub(1) * w.dilations[i] + 1 >= 2 * w.strides[i]);
        let fewer = w.strides.iter().any(|&n| n > 1);
        let both = ConvPool { conv, pool };
        (both.is_supported() && both.fits() && fewer && !shared).then_some(both)
    }

    /// Whether the convolution is one that is computed in parts here.
    fn is_supported(&self) -> bool {
        self.conv.algo == Algo::Planar || strips::fits(&self.conv, &self.pool)
    }

    /// Whether the pooling is one of the convolution's outputs.
    fn fits(&self) -> bool {
        let (conv, pool) = (&self.conv, &self.pool);
        (conv.batch, conv.m, conv.window.y) == (pool.batch, pool.c, pool.window.x)
    }

    /// Floats of scratch that [`ConvPool::run`] needs.
    #[must_use]
    pub fn scratch(&self) -> usize {
        match self.conv.algo {
            Algo::Planar => planar::scratch_pooled(&self.conv, &self.pool),
            _ => strips::scratch(self),
        }
    }

    /// Floats of scratch that suffice for all extents from those of `least` to these: blocks are chosen by the extents, so
    /// that smaller ones may need more. `None` where it depends on the extents of the image.
    #[must_use]
    pub fn scratch_within(&self, least: &ConvPool) -> Option<usize> {
        let image = |both: &ConvPool| (both.conv.window, both.conv.ldx, both.pool.window, both.pool.ldy);
        (image(self) == image(least)).then(|| self.scratch())
    }

    /// Runs both. `w` is the result of [`Conv::pack`], `bias` has `m` elements or none.
    ///
    /// # Panics
    /// When a slice is too short for the shape, or the two do not fit.
    pub fn run(&self, y: &mut [f32], x: &[f32], w: &[f32], bias: &[f32], scratch: &mut [f32]) {
        let ConvPool { conv, pool } = self;
        assert!(self.fits() && self.is_supported(), "no convolution with pooling behind it: {self:?}");
        if conv.batch == 0 || conv.m == 0 || pool.window.y_pixels() == 0 {
            return;
        }
        let (x_pixels, y_pixels) = (conv.batch * conv.window.x_pixels(), conv.batch * pool.window.y_pixels());
        assert!(conv.ldx >= conv.c && pool.ldy >= pool.c, "pixels overlap in {self:?}");
        assert!(x.len() >= extent(x_pixels, conv.ldx, conv.c), "x is too short for {self:?}");
        assert!(y.len() >= extent(y_pixels, pool.ldy, pool.c), "y is too short for {self:?}");
        assert!(w.len() >= conv.packed_len(), "the packed weights are too short for {self:?}");
        assert!(bias.is_empty() || bias.len() >= conv.m, "the bias is too short for {self:?}");
        assert!(scratch.len() >= self.scratch(), "the scratch is too short for {self:?}");
        let operands = Operands { y, x, w, bias, residual: &[] };
        match conv.algo {
            Algo::Planar => planar::run_pooled(conv, pool, operands, scratch),
            _ => strips::run(self, operands, scratch),
        }
    }
}
