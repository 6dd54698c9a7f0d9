//! Iteration spaces: the axes that a data movement walks, with one stride a tensor for each axis, and the
//! rewrites that make them few: unit axes dropped, axes that continue one another merged, axes in the order
//! of the destination's memory. Runs while compiling; kernels only see the result.

/// Axes of a descriptor: what is left when `Space` has merged a tensor's axes.
pub const RANK: usize = 8;
/// Axes of a tensor that a descriptor can be built from.
pub const MAX_AXES: usize = 16;

/// Where a tensor's elements stand in a slice: element `(i0, i1, …)` at `offset + Σ i·stride`, all in
/// elements. Strides may be negative (a reversed slice) or 0 (a broadcast).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strided {
    rank: usize,
    dims: [usize; MAX_AXES],
    strides: [isize; MAX_AXES],
    offset: isize,
}

impl Strided {
    /// A view; `None` when `dims` and `strides` differ in length or have more than [`MAX_AXES`] axes.
    #[must_use]
    pub fn new(dims: &[usize], strides: &[isize], offset: usize) -> Option<Strided> {
        if dims.len() != strides.len() || dims.len() > MAX_AXES {
            return None;
        }
        let mut s = Strided {
            rank: dims.len(),
            dims: [1; MAX_AXES],
            strides: [0; MAX_AXES],
            offset: isize::try_from(offset).ok()?,
        };
        s.dims[..dims.len()].copy_from_slice(dims);
        s.strides[..dims.len()].copy_from_slice(strides);
        Some(s)
    }

    /// Row-major from the start of the slice; `None` past [`MAX_AXES`] axes or when the size overflows.
    #[must_use]
    pub fn dense(dims: &[usize]) -> Option<Strided> {
        let mut strides = [0; MAX_AXES];
        let mut step = 1isize;
        for (stride, &dim) in strides.get_mut(..dims.len())?.iter_mut().zip(dims).rev() {
            *stride = step;
            step = step.checked_mul(isize::try_from(dim).ok()?.max(1))?;
        }
        Strided::new(dims, &strides[..dims.len()], 0)
    }

    /// Extents.
    #[must_use]
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// Strides in elements.
    #[must_use]
    pub fn strides(&self) -> &[isize] {
        &self.strides[..self.rank]
    }

    /// Where element (0, 0, …) stands.
    #[must_use]
    pub fn offset(&self) -> isize {
        self.offset
    }
}

/// An iteration space over `N` tensors.
#[derive(Clone, Debug)]
pub(crate) struct Space<const N: usize> {
    rank: usize,
    dims: [usize; MAX_AXES],
    strides: [[isize; MAX_AXES]; N],
    /// Per tensor, where the first element stands.
    pub(crate) offsets: [isize; N],
}

/// A space in the form that descriptors hold.
pub(crate) struct Axes<const N: usize> {
    pub(crate) rank: usize,
    pub(crate) dims: [usize; RANK],
    pub(crate) strides: [[isize; RANK]; N],
    pub(crate) offsets: [usize; N],
}

impl<const N: usize> Space<N> {
    pub(crate) fn new(offsets: [isize; N]) -> Self {
        Space { rank: 0, dims: [1; MAX_AXES], strides: [[0; MAX_AXES]; N], offsets }
    }

    /// Adds an innermost axis; `None` when there are too many. A unit axis adds nothing.
    pub(crate) fn push(&mut self, dim: usize, strides: [isize; N]) -> Option<()> {
        if dim != 1 {
            *self.dims.get_mut(self.rank)? = dim;
            for (list, stride) in self.strides.iter_mut().zip(strides) {
                list[self.rank] = stride;
            }
            self.rank += 1;
        }
        Some(())
    }

    /// Walks every axis so that tensor `t` is walked forwards.
    pub(crate) fn forwards(&mut self, t: usize) {
        for a in 0..self.rank {
            if self.strides[t][a] < 0 && self.dims[a] > 0 {
                for n in 0..N {
                    self.offsets[n] += (self.dims[a] as isize - 1) * self.strides[n][a];
                    self.strides[n][a] = -self.strides[n][a];
                }
            }
        }
    }

    /// Orders the axes by the strides of tensor `t`, largest first; stable.
    pub(crate) fn sort(&mut self, t: usize) {
        for i in 1..self.rank {
            let mut j = i;
            while j > 0 && self.strides[t][j - 1].unsigned_abs() < self.strides[t][j].unsigned_abs() {
                self.dims.swap(j - 1, j);
                for list in &mut self.strides {
                    list.swap(j - 1, j);
                }
                j -= 1;
            }
        }
    }

    /// Merges neighbours that every tensor walks as one axis, and makes an empty space a single empty axis.
    pub(crate) fn merge(&mut self) {
        if self.dims[..self.rank].contains(&0) {
            (self.rank, self.dims[0]) = (1, 0);
            return;
        }
        let mut kept = 0;
        for a in 0..self.rank {
            let joins = kept > 0
                && (0..N).all(|n| {
                    self.strides[n][kept - 1] == self.strides[n][a].saturating_mul(self.dims[a] as isize)
                });
            if joins {
                self.dims[kept - 1] *= self.dims[a];
            } else {
                self.dims[kept] = self.dims[a];
                kept += 1;
            }
            for list in &mut self.strides {
                list[kept - 1] = list[a];
            }
        }
        self.rank = kept;
    }

    /// The descriptor's arrays; `None` when more than [`RANK`] axes are left or an element stands before
    /// the slice.
    pub(crate) fn finish(&self) -> Option<Axes<N>> {
        if self.rank > RANK {
            return None;
        }
        let mut axes = Axes { rank: self.rank, dims: [1; RANK], strides: [[0; RANK]; N], offsets: [0; N] };
        axes.dims[..self.rank].copy_from_slice(&self.dims[..self.rank]);
        for n in 0..N {
            axes.strides[n][..self.rank].copy_from_slice(&self.strides[n][..self.rank]);
            axes.offsets[n] = usize::try_from(self.offsets[n]).ok()?;
        }
        Some(axes)
    }
}

/// The positions that a walk over `dims` with `strides` from `offset` touches, as first and one past the
/// last; `None` when it touches nothing, or leaves what an `isize` can hold.
pub(crate) fn reach(dims: &[usize], strides: &[isize], offset: usize) -> Reach {
    reach_over([(dims, strides)], offset)
}

/// As [`reach`], of a walk whose axes stand in several lists. Small networks ask at each step, so it is asked of the axes
/// in use alone.
pub(crate) fn reach_over<const N: usize>(axes: [(&[usize], &[isize]); N], offset: usize) -> Reach {
    if axes.iter().any(|(dims, _)| dims.contains(&0)) {
        return Reach::Nothing;
    }
    let bounds = || {
        let (mut lo, mut hi) = (isize::try_from(offset).ok()?, isize::try_from(offset).ok()?);
        for (dims, strides) in axes {
            for (&dim, &stride) in dims.iter().zip(strides) {
                let span = isize::try_from(dim - 1).ok()?.checked_mul(stride)?;
                let end = if span < 0 { &mut lo } else { &mut hi };
                *end = end.checked_add(span)?;
            }
        }
        Some(Reach::Span(usize::try_from(lo).ok()?, usize::try_from(hi).ok()?))
    };
    bounds().unwrap_or(Reach::Outside)
}

/// What a walk touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// No element.
    Nothing,
    /// From the first to the last position, both included.
    Span(usize, usize),
    /// Positions before the slice or past any slice.
    Outside,
}

impl Reach {
    /// Whether a slice of `len` elements holds everything that is touched.
    pub(crate) fn fits(self, len: usize) -> bool {
        match self {
            Reach::Nothing => true,
            Reach::Span(_, last) => last < len,
            Reach::Outside => false,
        }
    }
}
