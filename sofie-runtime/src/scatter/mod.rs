//! Scattering by index, in place: ONNX's `ScatterElements` and `ScatterND` over the walk that gathering uses.
//! Updates meet what is there in row-major order, so that repeated indices give one result on every CPU;
//! rows of `f32` under one index (the aggregation of messages in a graph network) go in vectors.

mod combine;
#[cfg(test)]
mod tests;

pub use combine::Combine;

use crate::Element;
use crate::copy::Strided;
use crate::gather::{Index, Indexed, RawIndex, TUPLE, Walk};

/// Combines each update with the element of `y` that its index names. Elements of any type.
///
/// `y` holds the data beforehand: when that lies elsewhere, a [`Copy`](crate::copy::Copy) goes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scatter {
    /// Which update goes where: the walk is the updates, the data `y`.
    pub at: Indexed,
    /// How an update meets what is there.
    pub combine: Combine,
}

impl Scatter {
    /// ONNX `ScatterElements`: one index an update along `axis` of `y`.
    ///
    /// `None` when the shapes do not fit or more than [`RANK`](crate::copy::RANK) axes are left after merging.
    #[must_use]
    pub fn elements(
        y: &Strided,
        index: &Strided,
        updates: &Strided,
        axis: usize,
        combine: Combine,
    ) -> Option<Scatter> {
        let (yd, ys, id, is) = (y.dims(), y.strides(), index.dims(), index.strides());
        if yd.len() != id.len() || axis >= yd.len() || (0..yd.len()).any(|a| a != axis && id[a] > yd[a]) {
            return None;
        }
        let mut walk = Walk::new(updates, y, index);
        for a in 0..yd.len() {
            walk.push(id[a], if a == axis { 0 } else { ys[a] }, is[a])?;
        }
        Some(Scatter { at: walk.finish(&[(yd[axis], ys[axis])], 0)?, combine })
    }

    /// ONNX `ScatterND`: `y [D…, Q…]`, `index [I…, d]`, `updates [I…, Q…]`, each tuple of d indices choosing
    /// along the axes D.
    ///
    /// `None` when the shapes do not fit or more than [`RANK`](crate::copy::RANK) axes are left after merging.
    #[must_use]
    pub fn nd(y: &Strided, index: &Strided, updates: &Strided, combine: Combine) -> Option<Scatter> {
        let (yd, ys) = (y.dims(), y.strides());
        let (&d, id) = index.dims().split_last()?;
        let (&tuple_step, is) = index.strides().split_last()?;
        if d > TUPLE || d > yd.len() {
            return None;
        }
        let mut walk = Walk::new(updates, y, index);
        for (&dim, &step) in id.iter().zip(is) {
            walk.push(dim, 0, step)?;
        }
        for (&dim, &step) in yd.iter().zip(ys).skip(d) {
            walk.push(dim, step, 0)?;
        }
        let mut indexed = [(0, 0); TUPLE];
        for (pair, at) in indexed.iter_mut().zip(yd.iter().copied().zip(ys.iter().copied())) {
            *pair = at;
        }
        Some(Scatter { at: walk.finish(&indexed[..d], tuple_step)?, combine })
    }

    /// Combines `updates` into `y`.
    ///
    /// # Panics
    /// When an index is outside its axis (the message says which; `y` is then partly updated), or the
    /// descriptor reaches outside `y`, `updates` or `index`.
    #[inline]
    pub fn run<T: Element, I: Index>(&self, y: &mut [T], index: &[I], updates: &[T]) {
        self.at.check("scatter", y.len(), updates.len(), index.len());
        let (y, updates) = (y.as_mut_ptr().cast(), updates.as_ptr().cast());
        // SAFETY: all three walks were checked, and the element type is `T`'s own.
        unsafe { combine::run(self, T::DTYPE, y, updates, RawIndex::new(index)) }
    }
}
