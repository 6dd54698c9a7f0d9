//! Operands into blocks and results out of them, when a block is more than one run of memory.

use super::half;
use super::program::width;
use super::short_rows;
use super::spec::{Access, MapSpec, Operand, Plan, Run, Source};
use crate::DType;
use crate::copy::{RANK, copy_row};
use crate::gather::along;
use crate::simd::{LANES, Op, Simd, dispatch};

/// The piece of the iteration space that a block is: all of the axes behind `chop`, `rows` of that axis.
#[derive(Clone, Copy)]
pub(super) struct Tile<'a> {
    pub spec: &'a MapSpec,
    pub plan: &'a Plan,
    pub rows: usize,
}

impl Tile<'_> {
    #[inline(always)]
    fn dim(self, axis: usize) -> usize {
        if axis == self.plan.chop { self.rows } else { self.spec.dims[axis] }
    }

    /// Elements of a run that begins at `axis`.
    #[inline(always)]
    pub(super) fn run_len(self, axis: usize) -> usize {
        let mut n = 1;
        for a in axis..self.spec.rank {
            n *= self.dim(a);
        }
        n
    }

    /// Of a block of rows of `n` elements at `strides`: the stride inside a row, where rows are next to each other and few
    /// elements are not. Then columns are what is walked along.
    #[inline(always)]
    fn by_columns(self, axis: usize, strides: &[isize; RANK], run: Run) -> Option<isize> {
        match run {
            Run::Strided(stride) if self.plan.chop + 1 == axis && strides[self.plan.chop] == 1 => {
                (self.run_len(axis) < self.rows).then_some(stride)
            }
            _ => None,
        }
    }

    /// Visits the position and the index position of each run of the block, in order.
    #[inline(always)]
    pub(super) fn runs(
        self,
        end: usize,
        strides: [&[isize; RANK]; 2],
        start: [isize; 2],
        mut visit: impl Visit,
    ) {
        let chop = self.plan.chop;
        if end == chop {
            return visit.run(start);
        }
        let last = end - 1;
        // In registers: a visitor's stores might otherwise change them.
        let (count, steps) = (self.dim(last) as isize, [strides[0][last], strides[1][last]]);
        let (mut at, mut coordinates) = (start, [0usize; RANK]);
        loop {
            for r in 0..count {
                visit.run([at[0] + r * steps[0], at[1] + r * steps[1]]);
            }
            let mut axis = last;
            loop {
                if axis == chop {
                    return;
                }
                axis -= 1;
                coordinates[axis] += 1;
                let next = coordinates[axis] < self.dim(axis);
                let steps = if next { 1 } else { 1 - self.dim(axis) as isize };
                at = [at[0] + steps * strides[0][axis], at[1] + steps * strides[1][axis]];
                if next {
                    break;
                }
                coordinates[axis] = 0;
            }
        }
    }
}

/// What is done with each run.
pub(super) trait Visit {
    fn run(&mut self, at: [isize; 2]);
}

/// The index at position `at`, from the front.
/// # Safety
/// `index` must be valid for reading an index at `at`.
#[inline(always)]
pub(super) unsafe fn lookup(index: *const u8, dtype: DType, at: isize, extent: usize) -> isize {
    // SAFETY: the caller's promise.
    unsafe {
        if dtype == DType::I32 {
            along("map", *index.cast::<i32>().offset(at), extent, 1)
        } else {
            along("map", *index.cast::<i64>().offset(at), extent, 1)
        }
    }
}

/// Copies a run of elements of type `E` into a block.
/// # Safety
/// `x` must be valid for the run, `y` for writing `n` elements.
#[inline(always)]
unsafe fn read_run<S: Simd, E: Copy>(s: S, run: Run, n: usize, x: *const E, y: *mut E) {
    // SAFETY: the caller's promise.
    unsafe {
        match run {
            Run::Dense => copy_row(s, y.cast(), x.cast(), n * size_of::<E>()),
            Run::Splat if size_of::<E>() == 4 => {
                let v = s.from_bits(s.splat_i32(*x.cast::<i32>()));
                let mut i = 0;
                while i + LANES <= n {
                    s.store_ptr(v, y.add(i).cast());
                    i += LANES;
                }
                s.store_first_ptr(v, y.add(i).cast(), n - i);
            }
            Run::Splat => core::slice::from_raw_parts_mut(y, n).fill(*x),
            Run::Strided(stride) => {
                for i in 0..n as isize {
                    *y.offset(i) = *x.offset(i * stride);
                }
            }
        }
    }
}

/// Memory that an operand is read from.
#[derive(Clone, Copy)]
pub(super) struct Memory {
    pub data: *const u8,
    pub index: *const u8,
}

/// How far the index at a position moves a run.
trait Moved: Copy {
    /// # Safety
    /// The index was checked to hold the position.
    unsafe fn by(self, at: isize) -> isize;
}

/// Not at all.
#[derive(Clone, Copy)]
struct Still;

impl Moved for Still {
    #[inline(always)]
    unsafe fn by(self, _: isize) -> isize {
        0
    }
}

/// Along an axis, by an index of that type.
#[derive(Clone, Copy)]
struct Along {
    index: *const u8,
    dtype: DType,
    extent: usize,
    step: isize,
}

impl Moved for Along {
    #[inline(always)]
    unsafe fn by(self, at: isize) -> isize {
        // SAFETY: the caller's promise.
        unsafe { lookup(self.index, self.dtype, at, self.extent) * self.step }
    }
}

/// Collects an operand's runs of type `E`. Whoever makes it promises that the operand was checked against the
/// memory, and a block's room at `y`. Everything by value, so that the loop keeps it in registers.
struct Collect<S, E, M> {
    s: S,
    run: Run,
    moved: M,
    data: *const E,
    n: usize,
    y: *mut E,
}

impl<S: Simd, E: Copy, M: Moved> Visit for Collect<S, E, M> {
    #[inline(always)]
    fn run(&mut self, at: [isize; 2]) {
        // SAFETY: the walk is inside the slices, an index is checked as it is read.
        unsafe {
            let x = self.data.wrapping_offset(at[0] + self.moved.by(at[1]));
            read_run(self.s, self.run, self.n, x, self.y);
            self.y = self.y.add(self.n);
        }
    }
}

/// Collects an operand's block of type `E` at `y`.
/// # Safety
/// As [`Collect`], and `at` be the positions of the block's first element.
#[inline(always)]
unsafe fn collect<E: Copy>(tile: Tile<'_>, feed: &Feed<'_>, at: [isize; 2], y: *mut E) {
    // SAFETY: the caller's promise.
    if unsafe { short_rows::collect(tile, feed, at, size_of::<E>(), y.cast()) } {
        return;
    }
    dispatch(Collecting { tile, feed, at, y });
}

/// What [`collect`] does, on an instruction set: a row of 64 floats is four stores or sixteen.
struct Collecting<'a, E> {
    tile: Tile<'a>,
    feed: &'a Feed<'a>,
    at: [isize; 2],
    y: *mut E,
}

impl<E: Copy> Op for Collecting<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the promise of `collect`.
        unsafe { collect_with(s, self.tile, self.feed, self.at, self.y) }
    }
}

/// # Safety
/// As [`collect`].
#[inline(always)]
unsafe fn collect_with<S: Simd, E: Copy>(s: S, tile: Tile<'_>, feed: &Feed<'_>, at: [isize; 2], y: *mut E) {
    let axis = feed.access.run_axis as usize;
    let (run, n, data) = (feed.access.run, tile.run_len(axis), feed.memory.data.cast::<E>());
    let strides = &feed.operand.strides;
    match &feed.operand.source {
        Source::Indexed { index_strides, index_type, extent, step, .. } => {
            let along = Along { index: feed.memory.index, dtype: *index_type, extent: *extent, step: *step };
            tile.runs(axis, [strides, index_strides], at, Collect { s, run, moved: along, data, n, y });
        }
        _ => match tile.by_columns(axis, strides, run) {
            Some(stride) => {
                for column in 0..n {
                    let x = data.wrapping_offset(at[0] + column as isize * stride);
                    for row in 0..tile.rows {
                        // SAFETY: an element of the walk, which was checked, and of the block, which `y` has room for.
                        unsafe { y.add(row * n + column).write(x.add(row).read()) }
                    }
                }
            }
            None => tile.runs(axis, [strides, &[0; RANK]], at, Collect { s, run, moved: Still, data, n, y }),
        },
    }
}

/// An operand, how its blocks lie in memory, and the memory.
pub(super) struct Feed<'a> {
    pub operand: &'a Operand,
    pub dtype: DType,
    pub access: Access,
    pub memory: Memory,
}

impl Feed<'_> {
    /// The element at a position.
    /// # Safety
    /// The position must be of the walk that was checked.
    #[inline(always)]
    pub(super) unsafe fn element(&self, at: [isize; 2]) -> *const u8 {
        let moved = match &self.operand.source {
            Source::Indexed { index_type, extent, step, .. } => {
                // SAFETY: the index was checked to hold the walk.
                unsafe { lookup(self.memory.index, *index_type, at[1], *extent) * step }
            }
            _ => 0,
        };
        self.memory.data.wrapping_offset((at[0] + moved) * self.dtype.size() as isize)
    }
}

/// Brings an operand's block to `y`, in the form that registers have.
/// # Safety
/// As [`collect`]; `y` must be valid for writing a block.
#[inline(always)]
pub(super) unsafe fn load(tile: Tile<'_>, feed: &Feed<'_>, at: [isize; 2], y: *mut u8) {
    let dtype = feed.dtype;
    // SAFETY: the caller's promise.
    unsafe {
        if matches!(feed.operand.source, Source::Position) {
            return positions(tile, feed, at[0], y.cast());
        }
        match dtype.size() {
            1 => collect::<u8>(tile, feed, at, y),
            2 if width(dtype) == 2 => collect::<u16>(tile, feed, at, y.cast()),
            2 => {
                let mut raw = [0u16; 256];
                collect::<u16>(tile, feed, at, raw.as_mut_ptr());
                half::widen(dtype, tile.run_len(tile.plan.chop), raw.as_ptr(), y.cast());
            }
            4 => collect::<u32>(tile, feed, at, y.cast()),
            _ => collect::<u64>(tile, feed, at, y.cast()),
        }
    }
}

struct Positions {
    n: usize,
    stride: i64,
    y: *mut i64,
}

impl Visit for Positions {
    #[inline(always)]
    fn run(&mut self, at: [isize; 2]) {
        for i in 0..self.n {
            // SAFETY: the runs together are the block that `y` has room for.
            unsafe { self.y.add(i).write(at[0] as i64 + i as i64 * self.stride) }
        }
        self.y = self.y.wrapping_add(self.n);
    }
}

/// Writes positions themselves.
/// # Safety
/// `y` must be valid for writing a block.
unsafe fn positions(tile: Tile<'_>, feed: &Feed<'_>, at: isize, y: *mut i64) {
    let axis = feed.access.run_axis as usize;
    let stride = match feed.access.run {
        Run::Dense => 1,
        Run::Splat => 0,
        Run::Strided(stride) => stride as i64,
    };
    let visit = Positions { n: tile.run_len(axis), stride, y };
    tile.runs(axis, [&feed.operand.strides, &[0; RANK]], [at, 0], visit);
}

/// Writes a block of results, held as registers are, to where they belong.
/// # Safety
/// `x` must hold the block, and `at` be the position of its first element in `out`, which the walk was checked
/// against.
#[inline(always)]
pub(super) unsafe fn store(tile: Tile<'_>, dtype: DType, x: *const u8, out: *mut u8, at: isize) {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype.size() {
            1 => distribute::<u8>(tile, x, out, at),
            2 if width(dtype) == 2 => distribute::<u16>(tile, x.cast(), out.cast(), at),
            2 => {
                let mut raw = [0u16; 256];
                half::narrow(dtype, tile.run_len(tile.plan.chop), x.cast(), raw.as_mut_ptr());
                distribute::<u16>(tile, raw.as_ptr(), out.cast(), at);
            }
            4 => distribute::<u32>(tile, x.cast(), out.cast(), at),
            _ => distribute::<u64>(tile, x.cast(), out.cast(), at),
        }
    }
}

struct Distribute<S, E> {
    s: S,
    run: Run,
    n: usize,
    x: *const E,
    out: *mut E,
}

impl<S: Simd, E: Copy> Visit for Distribute<S, E> {
    #[inline(always)]
    fn run(&mut self, at: [isize; 2]) {
        // SAFETY: the walk is inside the result, and the runs together are the block at `x`.
        unsafe {
            let y = self.out.offset(at[0]);
            match self.run {
                Run::Dense => copy_row(self.s, y.cast(), self.x.cast(), self.n * size_of::<E>()),
                Run::Splat => *y = *self.x,
                Run::Strided(stride) => {
                    for i in 0..self.n {
                        *y.offset(i as isize * stride) = *self.x.add(i);
                    }
                }
            }
            self.x = self.x.add(self.n);
        }
    }
}

/// # Safety
/// As [`store`], `E` being of the elements' size.
#[inline(always)]
unsafe fn distribute<E: Copy>(tile: Tile<'_>, x: *const E, out: *mut E, at: isize) {
    dispatch(Distributing { tile, x, out, at });
}

/// What [`distribute`] does, on an instruction set. Whoever makes it gives its promise.
struct Distributing<'a, E> {
    tile: Tile<'a>,
    x: *const E,
    out: *mut E,
    at: isize,
}

impl<E: Copy> Op for Distributing<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Access { run_axis, run, .. } = self.tile.plan.out;
        let n = self.tile.run_len(run_axis as usize);
        if let Some(stride) = self.tile.by_columns(run_axis as usize, &self.tile.spec.out_strides, run) {
            for column in 0..n {
                let y = self.out.wrapping_offset(self.at + column as isize * stride);
                for row in 0..self.tile.rows {
                    // SAFETY: an element of the walk, which is inside the result, and of the block at `x`.
                    unsafe { y.add(row).write(self.x.add(row * n + column).read()) }
                }
            }
            return;
        }
        let visit = Distribute { s, run, n, x: self.x, out: self.out };
        let strides = [&self.tile.spec.out_strides, &[0; RANK]];
        self.tile.runs(run_axis as usize, strides, [self.at, 0], visit);
    }
}
