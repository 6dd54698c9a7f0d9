//! Maps that add rows: `relu(x[i] + y[index[i, j]])`, what a network over edges or sets computes between its products.
//! Where some operand is no single run of a block, rows are added as they lie instead of being collected first: 9 to 4 µs
//! for 700 rows of 32 floats.

use super::load::lookup;
use super::memory::Src;
use super::program::{Arg, Code, MapProgram};
use super::spec::{Map, MapSpec, Operand, Plan, Run, Source};
use super::{Binary, Unary};
use crate::DType;
use crate::copy::RANK;
use crate::simd::{LANES, Op, Simd, dispatch};
use core::ops::Range;

/// Operands that are added at most.
const MOST: usize = 4;
/// Floats of a row at least: below, finding a row takes as long as adding it.
const LEAST: usize = 8;

/// A program that adds its operands, each read once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    /// The operands, in the order of the additions.
    order: [u8; MOST],
    count: u8,
    relu: bool,
    /// Rows are the axes from here on.
    axis: u8,
}

impl Sum {
    /// The map as a sum of rows, if it is one that gains by it; `plan` holds the accesses already.
    pub(super) const fn of(spec: &MapSpec, operands: &[Operand], plan: &Plan) -> Option<Sum> {
        let Some(mut sum) = Sum::of_program(&spec.program) else { return None };
        sum.axis = plan.out.run_axis;
        let mut i = 0;
        while i <= operands.len() {
            let access = if i == operands.len() { plan.out } else { plan.operands[i] };
            let counted = i < operands.len() && matches!(operands[i].source, Source::Position);
            if counted || !matches!(access.run, Run::Dense) || access.run_axis as usize >= spec.rank {
                return None;
            }
            if access.run_axis > sum.axis {
                sum.axis = access.run_axis;
            }
            i += 1;
        }
        let (mut n, mut a) = (1, sum.axis as usize);
        while a < spec.rank {
            n *= spec.dims[a];
            a += 1;
        }
        if sum.axis as usize > plan.chop && n >= LEAST { Some(sum) } else { None }
    }

    const fn of_program(program: &MapProgram) -> Option<Sum> {
        let (insts, inputs) = (program.insts(), program.inputs());
        let (mut sum, mut i) = (Sum { order: [0; MOST], count: 0, relu: false, axis: 0 }, 0);
        while i < insts.len() {
            let inst = insts[i];
            let [a, b, _] = inst.args;
            if sum.relu || !matches!(inst.dtype, DType::F32) {
                return None;
            }
            match (inst.code, a, b) {
                (Code::Binary(Binary::Add), Arg::Input(a), Arg::Input(b)) if i == 0 => {
                    (sum.order[0], sum.order[1], sum.count) = (a, b, 2);
                }
                // NaN apart, of which no bits are promised, the order within an addition does not matter.
                (Code::Binary(Binary::Add), Arg::Reg(r), Arg::Input(x))
                | (Code::Binary(Binary::Add), Arg::Input(x), Arg::Reg(r))
                    if i > 0 && r == insts[i - 1].dst && (sum.count as usize) < MOST =>
                {
                    sum.order[sum.count as usize] = x;
                    sum.count += 1;
                }
                (Code::Unary(Unary::Relu), Arg::Reg(r), _) if i > 0 && r == insts[i - 1].dst => {
                    sum.relu = true
                }
                _ => return None,
            }
            i += 1;
        }
        let mut used = 0u32;
        i = 0;
        while i < sum.count as usize {
            used |= 1 << sum.order[i];
            i += 1;
        }
        // As many as there are, and so each of them once.
        if sum.count as usize == inputs.len() && used.count_ones() == sum.count as u32 {
            Some(sum)
        } else {
            None
        }
    }

    /// Rows of the map.
    pub(super) fn rows(&self, spec: &MapSpec) -> usize {
        spec.dims[..self.axis as usize].iter().product()
    }
}

/// Adds some of the rows of a map whose plan has a [`Sum`].
///
/// # Safety
/// `slices` and `out` must have been checked against the map's plan.
pub(super) unsafe fn run(map: &Map, sum: &Sum, out: *mut u8, slices: &[Src<'_>], rows: Range<usize>) {
    macro_rules! run {
        ($count:literal) => {
            match sum.relu {
                true => dispatch(Rows::<$count, true> { map, sum, out: out.cast(), slices, rows }),
                false => dispatch(Rows::<$count, false> { map, sum, out: out.cast(), slices, rows }),
            }
        };
    }
    match sum.count {
        2 => run!(2),
        3 => run!(3),
        _ => run!(4),
    }
}

/// Whoever makes it promises that slices and result were checked against the map's plan.
struct Rows<'a, const K: usize, const RELU: bool> {
    map: &'a Map,
    sum: &'a Sum,
    out: *mut f32,
    slices: &'a [Src<'a>],
    rows: Range<usize>,
}

/// One operand on its way through the rows.
#[derive(Clone, Copy)]
struct Walker<'a> {
    data: *const f32,
    strides: &'a [isize; RANK],
    index: Option<Index<'a>>,
}

/// What displaces an operand's rows.
#[derive(Clone, Copy)]
struct Index<'a> {
    data: *const u8,
    dtype: DType,
    strides: &'a [isize; RANK],
    extent: usize,
    step: isize,
}

impl<'a> Walker<'a> {
    /// The operand, with its own and its index's position of the first element.
    fn new(operand: &'a Operand, out: *mut f32, slices: &[Src<'_>]) -> (Walker<'a>, [isize; 2]) {
        let strides = &operand.strides;
        let slice = |i: u8| slices[i as usize].ptr;
        let (data, index, from) = match &operand.source {
            Source::Slice(i) => (slice(*i).cast(), None, 0),
            Source::Indexed { slice: i, index, index_type, index_strides, index_offset, extent, step } => {
                let (data, dtype) = (slice(*index), *index_type);
                let index = Index { data, dtype, strides: index_strides, extent: *extent, step: *step };
                (slice(*i).cast(), Some(index), *index_offset)
            }
            Source::Out | Source::Position => (out.cast_const(), None, 0),
        };
        (Walker { data, strides, index }, [operand.offset as isize, from as isize])
    }

    #[inline(always)]
    fn advance(&self, at: &mut [isize; 2], axis: usize, steps: isize) {
        at[0] += steps * self.strides[axis];
        if let Some(index) = &self.index {
            at[1] += steps * index.strides[axis];
        }
    }

    /// The row at a position.
    ///
    /// # Safety
    /// The position must be of the walk that was checked.
    #[inline(always)]
    unsafe fn row(&self, at: [isize; 2]) -> *const f32 {
        let moved = match &self.index {
            // SAFETY: the index was checked to hold the walk.
            Some(i) => unsafe { lookup(i.data, i.dtype, at[1], i.extent) * i.step },
            None => 0,
        };
        self.data.wrapping_offset(at[0] + moved)
    }
}

impl<const K: usize, const RELU: bool> Op for Rows<'_, K, RELU> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (spec, axis) = (self.map.spec(), self.sum.axis as usize);
        let n: usize = spec.dims[axis..spec.rank].iter().product();
        let (mut at, mut out_at) = ([[0isize; 2]; K], spec.out_offset as isize);
        let walkers: [Walker<'_>; K] = core::array::from_fn(|k| {
            let operand = &spec.operands[self.sum.order[k] as usize];
            let (walker, from) = Walker::new(operand, self.out, self.slices);
            at[k] = from;
            walker
        });
        let mut coordinates = [0usize; RANK];
        let mut rest = self.rows.start;
        for a in (0..axis).rev() {
            (coordinates[a], rest) = (rest % spec.dims[a], rest / spec.dims[a]);
            out_at += coordinates[a] as isize * spec.out_strides[a];
            for (walker, at) in walkers.iter().zip(&mut at) {
                walker.advance(at, a, coordinates[a] as isize);
            }
        }
        let last = axis - 1;
        let mut left = self.rows.len();
        while left != 0 {
            let count = left.min(spec.dims[last] - coordinates[last]);
            for _ in 0..count {
                // SAFETY: the rows of this position are of the checked walk.
                unsafe {
                    let mut rows = [core::ptr::null(); K];
                    for (row, (walker, at)) in rows.iter_mut().zip(walkers.iter().zip(&at)) {
                        *row = walker.row(*at);
                    }
                    add::<S, K, RELU>(s, n, rows, self.out.wrapping_offset(out_at));
                }
                out_at += spec.out_strides[last];
                for (walker, at) in walkers.iter().zip(&mut at) {
                    walker.advance(at, last, 1);
                }
            }
            left -= count;
            coordinates[last] += count;
            let mut a = last;
            while a > 0 && coordinates[a] == spec.dims[a] {
                let back = -(spec.dims[a] as isize);
                coordinates[a] = 0;
                coordinates[a - 1] += 1;
                out_at += back * spec.out_strides[a] + spec.out_strides[a - 1];
                for (walker, at) in walkers.iter().zip(&mut at) {
                    walker.advance(at, a, back);
                    walker.advance(at, a - 1, 1);
                }
                a -= 1;
            }
        }
    }
}

/// One row.
///
/// # Safety
/// `n` floats must be readable in each of `rows` and writable at `y`.
#[inline(always)]
unsafe fn add<S: Simd, const K: usize, const RELU: bool>(s: S, n: usize, rows: [*const f32; K], y: *mut f32) {
    let mut i = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while i + LANES <= n {
            let mut sum = s.load_ptr(rows[0].add(i));
            for row in &rows[1..] {
                sum = s.add(sum, s.load_ptr(row.add(i)));
            }
            s.store_ptr(if RELU { s.max_raw(s.zero(), sum) } else { sum }, y.add(i));
            i += LANES;
        }
        if i < n {
            let mask = s.mask_first(n - i);
            let mut sum = s.load_masked_ptr(rows[0].add(i), mask, s.zero());
            for row in &rows[1..] {
                sum = s.add(sum, s.load_masked_ptr(row.add(i), mask, s.zero()));
            }
            s.store_first_ptr(if RELU { s.max_raw(s.zero(), sum) } else { sum }, y.add(i), n - i);
        }
    }
}
