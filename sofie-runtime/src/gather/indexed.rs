//! The walk that gathering and scattering share: over the axes of one tensor in order, while index tuples
//! choose positions in another. Indices are checked one by one as they are read; everything else once.

use crate::Element;
use crate::copy::{Axes, RANK, Space, Strided, reach, reach_over};

/// Longest index tuple.
pub const TUPLE: usize = RANK;

/// For all `i` below `dims`, in row-major order, pairs the position `walk_offset + Σ i·walk` of the walked
/// tensor with the position `data_offset + Σ i·data + Σ_c index_c · steps_c` of the data, where `index_c =
/// index[index_offset + Σ i·index + c · tuple_step]`.
///
/// An index below 0 counts from the end of its axis. Strides and offsets count elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// Axes in use.
    pub rank: usize,
    /// Extents, outermost first.
    pub dims: [usize; RANK],
    /// Strides of the walked tensor (the result of a gather, the updates of a scatter).
    pub walk: [isize; RANK],
    /// Where the walked tensor's first element stands.
    pub walk_offset: usize,
    /// Strides of the data along the axes of the walk; 0 where the index decides.
    pub data: [isize; RANK],
    /// Where the data's first element stands.
    pub data_offset: usize,
    /// Strides of the index along the axes of the walk; 0 where one index serves many elements.
    pub index: [isize; RANK],
    /// Where the first index stands.
    pub index_offset: usize,
    /// Length of an index tuple (1 but for `GatherND` and `ScatterND`).
    pub tuple: usize,
    /// From one index of a tuple to the next.
    pub tuple_step: isize,
    /// Per index of a tuple: the extent of the axis that it indexes.
    pub extents: [usize; TUPLE],
    /// Per index of a tuple: the stride of that axis in the data.
    pub steps: [isize; TUPLE],
}

/// An integer type of indices: `i32` or `i64`.
pub trait Index: Element + Into<i64> + sealed::Sealed {}

impl Index for i32 {}
impl Index for i64 {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for i32 {}
    impl Sealed for i64 {}
}

/// The indices as a pointer of their type.
#[derive(Clone, Copy)]
pub(crate) enum RawIndex {
    I32(*const i32),
    I64(*const i64),
}

impl RawIndex {
    pub(crate) fn new<I: Index>(index: &[I]) -> RawIndex {
        // `Index` is sealed: there are these two sizes.
        if size_of::<I>() == 4 {
            RawIndex::I32(index.as_ptr().cast())
        } else {
            RawIndex::I64(index.as_ptr().cast())
        }
    }
}

/// A run of pairs: positions of the first, and steps.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) walk: isize,
    pub(crate) data: isize,
    pub(crate) walk_step: isize,
    pub(crate) data_step: isize,
    pub(crate) len: usize,
}

/// What is done with the pairs. Implementations are `#[inline(always)]`, as they run inside a SIMD dispatch.
pub(crate) trait Visit {
    /// A run of pairs under one index tuple.
    /// # Safety
    /// All positions are inside the tensors that the walk was checked against.
    unsafe fn row(&mut self, row: Row);
    /// A single pair.
    /// # Safety
    /// Both positions are inside the tensors that the walk was checked against.
    unsafe fn element(&mut self, walk: isize, data: isize);
}

#[cold]
#[inline(never)]
fn out_of_range(what: &str, index: i64, extent: usize) -> ! {
    panic!("{what}: index {index} is outside an axis of {extent}")
}

impl Indexed {
    /// Checks the walk against lengths of the data, the walked tensor and the index.
    pub(crate) fn check(&self, what: &str, data: usize, walked: usize, index: usize) {
        let dims = &self.dims[..self.rank];
        assert!(reach(dims, &self.walk, self.walk_offset).fits(walked), "{what}: outside the walked tensor");
        // Each index of the tuple is an axis of the data. An empty one is reached by no index.
        let tuple = (&self.extents[..self.tuple], &self.steps[..]);
        let reached = reach_over([(dims, &self.data), tuple], self.data_offset);
        assert!(reached.fits(data), "{what}: outside the data");
        let reached =
            reach_over([(dims, &self.index), (&[self.tuple], &[self.tuple_step])], self.index_offset);
        assert!(self.tuple == 0 || reached.fits(index), "{what}: outside the index");
    }

    /// Walks all pairs in row-major order.
    /// # Safety
    /// [`Indexed::check`] must have passed for the tensors that `visit` accesses and for `index`.
    #[inline(always)]
    pub(crate) unsafe fn walk<I: Index, V: Visit>(&self, what: &'static str, index: *const I, visit: V) {
        // Copies, so that stores through the visitor's pointers cannot change what the loops hold in registers.
        let (extents, steps) = (self.extents, self.steps);
        // SAFETY: the caller's promise.
        unsafe {
            if self.tuple == 1 {
                self.walk_with(what, index, visit, One { extent: extents[0], step: steps[0] });
            } else {
                let many = Many { tuple: self.tuple, tuple_step: self.tuple_step, extents, steps };
                self.walk_with(what, index, visit, many);
            }
        }
    }

    /// # Safety
    /// As [`Indexed::walk`], `choose` being the descriptor's own.
    #[inline(always)]
    unsafe fn walk_with<I: Index, V: Visit, C: Choose>(
        &self,
        what: &'static str,
        index: *const I,
        mut visit: V,
        choose: C,
    ) {
        let dims = &self.dims[..self.rank];
        if dims.contains(&0) {
            return;
        }
        // The inner two axes are loops of their own, missing ones have extent 1.
        let plane = self.rank.saturating_sub(2);
        let inner = |a: usize| match dims.get(a) {
            Some(&dim) => (dim, self.walk[a], self.data[a], self.index[a]),
            None => (1, 0, 0, 0),
        };
        let (rows, row) = (inner(plane), inner(plane + 1));
        let mut index = index.wrapping_add(self.index_offset);
        let (mut walk, mut data) = (self.walk_offset as isize, self.data_offset as isize);
        let mut at = [0usize; RANK];
        loop {
            for r in 0..rows.0 as isize {
                let (walk, data) = (walk + r * rows.1, data + r * rows.2);
                let index = index.wrapping_offset(r * rows.3);
                // SAFETY: positions of the checked walk, data chosen by checked indices.
                unsafe {
                    if row.3 == 0 {
                        let data = data + choose.position(what, index);
                        visit.row(Row { walk, data, walk_step: row.1, data_step: row.2, len: row.0 });
                    } else {
                        for i in 0..row.0 as isize {
                            let chosen = choose.position(what, index.wrapping_offset(i * row.3));
                            visit.element(walk + i * row.1, data + i * row.2 + chosen);
                        }
                    }
                }
            }
            let mut a = plane;
            loop {
                if a == 0 {
                    return;
                }
                a -= 1;
                at[a] += 1;
                let steps = if at[a] < dims[a] { 1 } else { 1 - dims[a] as isize };
                walk += steps * self.walk[a];
                data += steps * self.data[a];
                index = index.wrapping_offset(steps * self.index[a]);
                if at[a] < dims[a] {
                    break;
                }
                at[a] = 0;
            }
        }
    }
}

/// How far an index moves along an axis.
/// # Panics
/// When it is outside the axis.
#[inline(always)]
pub(crate) fn along<I: Index>(what: &str, index: I, extent: usize, step: isize) -> isize {
    let i: i64 = index.into();
    let wrapped = i.wrapping_add(i >> 63 & extent as i64);
    if wrapped as u64 >= extent as u64 {
        out_of_range(what, i, extent);
    }
    wrapped as isize * step
}

/// What an index tuple adds to a position in the data.
trait Choose {
    /// # Safety
    /// The tuple that starts at `index` must be valid for reading.
    unsafe fn position<I: Index>(&self, what: &str, index: *const I) -> isize;
}

/// Tuples of one index.
struct One {
    extent: usize,
    step: isize,
}

impl Choose for One {
    #[inline(always)]
    unsafe fn position<I: Index>(&self, what: &str, index: *const I) -> isize {
        // SAFETY: the caller's promise.
        along(what, unsafe { *index }, self.extent, self.step)
    }
}

/// Tuples of any length.
struct Many {
    tuple: usize,
    tuple_step: isize,
    extents: [usize; TUPLE],
    steps: [isize; TUPLE],
}

impl Choose for Many {
    #[inline(always)]
    unsafe fn position<I: Index>(&self, what: &str, index: *const I) -> isize {
        let mut position = 0;
        for (c, (&extent, &step)) in self.extents.iter().zip(&self.steps).take(self.tuple).enumerate() {
            // SAFETY: the caller's promise.
            let index = unsafe { *index.wrapping_offset(c as isize * self.tuple_step) };
            position += along(what, index, extent, step);
        }
        position
    }
}

/// Builds an [`Indexed`] axis by axis, outermost first, along the axes of the walked tensor.
pub(crate) struct Walk {
    space: Space<3>,
    walked: Strided,
    axis: usize,
}

impl Walk {
    pub(crate) fn new(walked: &Strided, data: &Strided, index: &Strided) -> Self {
        let offsets = [walked.offset(), data.offset(), index.offset()];
        Walk { space: Space::new(offsets), walked: *walked, axis: 0 }
    }

    /// The next axis; `None` when the walked tensor has another extent there.
    pub(crate) fn push(&mut self, dim: usize, data: isize, index: isize) -> Option<()> {
        if *self.walked.dims().get(self.axis)? != dim {
            return None;
        }
        self.space.push(dim, [self.walked.strides()[self.axis], data, index])?;
        self.axis += 1;
        Some(())
    }

    /// The descriptor; `indexed` lists extent and stride of each axis that an index of the tuple chooses along.
    pub(crate) fn finish(mut self, indexed: &[(usize, isize)], tuple_step: isize) -> Option<Indexed> {
        if self.axis != self.walked.dims().len() {
            return None;
        }
        self.space.merge();
        let Axes { rank, dims, strides, offsets } = self.space.finish()?;
        let ([walk, data, index], [walk_offset, data_offset, index_offset]) = (strides, offsets);
        let (mut extents, mut steps) = ([1; TUPLE], [0; TUPLE]);
        for (c, &(extent, step)) in indexed.iter().enumerate() {
            *extents.get_mut(c)? = extent;
            steps[c] = step;
        }
        let tuple = indexed.len();
        Some(Indexed {
            rank,
            dims,
            walk,
            walk_offset,
            data,
            data_offset,
            index,
            index_offset,
            tuple,
            tuple_step,
            extents,
            steps,
        })
    }
}
