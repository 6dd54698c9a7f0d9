//! From views of tensors to the few axes that a map walks: unit axes dropped, axes that all tensors walk as one
//! merged, the rest in the order of the result's memory.

use super::program::{INPUTS, MapProgram};
use super::spec::{MapSpec, Operand, Source};
use crate::DType;
use crate::copy::{Axes, MAX_AXES, RANK, Space, Strided};
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// An operand of a map as a view over the result's axes; an axis that it lacks has stride 0.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// Elements of the slice of this number.
    Slice(u8, &'a Strided),
    /// The result's own memory before it is written.
    Out,
    /// Each element's position in the view, as `i64`: stride 1 on one axis counts along it.
    Position(&'a Strided),
    /// Elements of a slice displaced by an index: see [`Source::Indexed`].
    Indexed {
        /// The slice of the elements, and the view of those of index 0.
        slice: (u8, &'a Strided),
        /// The slice of the indices, and the view of the index of each element.
        index: (u8, &'a Strided),
        /// `i32` or `i64`.
        index_type: DType,
        /// Indices are below this.
        extent: usize,
        /// From one index to the next, in elements of the slice.
        step: isize,
    },
}

/// One of the walks over a map's axes.
type Walk<'a> = &'a mut [isize; RANK];

/// All walks over the axes of a map: of the result, of each operand and of its indices.
fn walks<'a>(out: Walk<'a>, operands: &'a mut [Operand]) -> impl Iterator<Item = Walk<'a>> {
    let of = |o: &'a mut Operand| {
        let index = match &mut o.source {
            Source::Indexed { index_strides, .. } => Some(index_strides),
            Source::Slice(_) | Source::Out | Source::Position => None,
        };
        [Some(&mut o.strides), index].into_iter().flatten()
    };
    core::iter::once(out).chain(operands.iter_mut().flat_map(of))
}

impl MapSpec {
    /// Drops axes of one element and merges neighbours that all tensors walk as one, where extents have just become
    /// numbers. Nothing is allocated.
    pub(super) fn merge(&mut self) {
        let MapSpec { rank, dims, out_strides, operands, .. } = self;
        let (count, operands) = (*rank, operands.to_mut());
        *rank = 0;
        for a in 0..count {
            let dim = dims[a];
            if dim == 1 {
                continue;
            }
            let outer = rank.checked_sub(1);
            let joins = outer.is_some_and(|outer| {
                walks(out_strides, operands).all(|s| Some(s[outer]) == s[a].checked_mul(dim as isize))
            });
            if !joins {
                *rank += 1;
            }
            let to = *rank - 1;
            dims[to] = if joins { dims[to] * dim } else { dim };
            walks(out_strides, operands).for_each(|s| s[to] = s[a]);
        }
        if *rank == 0 {
            // A scalar is one element of one axis.
            (*rank, dims[0]) = (1, 1);
            walks(out_strides, operands).for_each(|s| s[0] = 0);
        }
    }

    /// The map of `program` over `operands` into the view `out`, in the form that runs fast.
    ///
    /// `None` when a view has other extents than `out`, the operands are not as many as the program's, or more
    /// than [`RANK`](crate::copy::RANK) axes are left after merging.
    #[must_use]
    pub fn of_views(out: &Strided, operands: &[View<'_>], program: MapProgram) -> Option<MapSpec> {
        if operands.len() != program.inputs().len() {
            return None;
        }
        // Tensors of the space: the result, then each operand and its index.
        let none = [0; MAX_AXES];
        let mut views = [(&none[..], 0isize); 1 + 2 * INPUTS];
        views[0] = (out.strides(), out.offset());
        for (i, operand) in operands.iter().enumerate() {
            let (view, index) = match *operand {
                View::Slice(_, view) | View::Position(view) => (view, None),
                View::Out => (out, None),
                View::Indexed { slice, index, .. } => (slice.1, Some(index.1)),
            };
            for (at, view) in [(1 + 2 * i, Some(view)), (2 + 2 * i, index)] {
                if let Some(view) = view {
                    if view.dims() != out.dims() {
                        return None;
                    }
                    views[at] = (view.strides(), view.offset());
                }
            }
        }
        let mut space = Space::new(views.map(|v| v.1));
        for (a, &dim) in out.dims().iter().enumerate() {
            space.push(dim, views.map(|v| v.0[a]))?;
        }
        space.merge();
        space.forwards(0);
        space.sort(0);
        space.merge();
        let Axes { mut rank, dims, strides, offsets } = space.finish()?;
        // A scalar is one element of one axis.
        rank = rank.max(1);
        let operand = |(i, view): (usize, &View<'_>)| {
            let (at, by) = (1 + 2 * i, 2 + 2 * i);
            let source = match *view {
                View::Slice(slice, _) => Source::Slice(slice),
                View::Out => Source::Out,
                View::Position(_) => Source::Position,
                View::Indexed { slice, index, index_type, extent, step } => Source::Indexed {
                    slice: slice.0,
                    index: index.0,
                    index_type,
                    index_strides: strides[by],
                    index_offset: offsets[by],
                    extent,
                    step,
                },
            };
            Operand { source, strides: strides[at], offset: offsets[at] }
        };
        let operands: Vec<Operand> = operands.iter().enumerate().map(operand).collect();
        Some(MapSpec {
            rank,
            dims,
            out_strides: strides[0],
            out_offset: offsets[0],
            operands: Cow::Owned(operands),
            program,
        })
    }
}
