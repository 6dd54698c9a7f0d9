//! What a map does, as plain data, and the plan that is made of it once: which axes a block spans, and how each
//! operand reaches the registers. The plan is made in a `const fn`: a map in a `static` starts at once.

use super::program::{CONSTS, INPUTS, MapProgram, REGISTERS, in_f32, items, width};
use super::sums::Sum;
use crate::DType;
use crate::copy::RANK;
use alloc::borrow::Cow;

/// Bytes of a register: 256 elements of at most 4 bytes, 128 of 8. With 16 registers and operands this stays
/// within a 32 KiB L1 cache; 512 elements were 8 % slower for chains of four, 128 elements 15 %.
pub(super) const BLOCK_BYTES: usize = 1024;
/// Bytes that the registers and homes of a map of floats share.
const ROOM: usize = 12 * 1024;
/// Bytes of the largest block.
const MOST_BYTES: usize = 4096;
/// The unit of the interpreter's memory: a vector of floats.
pub(super) const LINE: usize = 64;
const BLOCK_LINES: usize = BLOCK_BYTES / LINE;
/// The most lines that a map can need.
pub(super) const MAX_LINES: usize = (REGISTERS + INPUTS + CONSTS) * BLOCK_LINES;

/// Lines that an element takes that is the same throughout a block: vector loops read one vector again and
/// again, plain loops want a whole block.
pub(super) const fn repeat_lines(dtype: DType) -> usize {
    if in_f32(dtype) { 1 } else { BLOCK_LINES }
}

/// Where an operand's elements come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The slice of this index among those given to [`Map::run`].
    Slice(u8),
    /// The result's own memory, before it is written: strides and offset must be the result's.
    Out,
    /// No memory: the element is its own position, `offset + Σ i·stride`, as `i64`.
    Position,
    /// Elements of a slice displaced by an index: `slice[position + k·step]`, where `k`, below `extent` (or
    /// negative, counting from it), is read from another slice at `index_offset + Σ i·index_strides`.
    Indexed {
        /// The slice that holds the elements.
        slice: u8,
        /// The slice that holds the indices.
        index: u8,
        /// `i32` or `i64`.
        index_type: DType,
        /// Strides of the index; 0 along the axes that one index serves.
        index_strides: [isize; RANK],
        /// Where the first index stands.
        index_offset: usize,
        /// Indices are below this.
        extent: usize,
        /// From one index to the next, in elements of the slice.
        step: isize,
    },
}

/// An operand of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Where the elements come from.
    pub source: Source,
    /// Stride along each axis, in elements; 0 broadcasts.
    pub strides: [isize; RANK],
    /// Where the first element stands.
    pub offset: usize,
}

/// `out[out_offset + Σ i·out_strides] = program(operands at i)` for all `i` below `dims`.
///
/// [`MapSpec::of_views`] makes the form that runs fast: few axes, in the order of the result's memory.
#[derive(Clone, Debug, PartialEq)]
pub struct MapSpec {
    /// Axes in use, at least 1.
    pub rank: usize,
    /// Extents, outermost first.
    pub dims: [usize; RANK],
    /// Strides of the result; no two elements may coincide.
    pub out_strides: [isize; RANK],
    /// Where the result's first element stands.
    pub out_offset: usize,
    /// The operands, as many as the program has, of its types.
    pub operands: Cow<'static, [Operand]>,
    /// The expression.
    pub program: MapProgram,
}

/// A map ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    spec: MapSpec,
    pub(super) plan: Plan,
}

/// How a tensor's part in a block lies in memory. The block spans the axes from [`Plan::chop`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Access {
    /// The elements of the axes from here on form runs.
    pub run_axis: u8,
    pub run: Run,
    /// The whole block is one run.
    pub whole: bool,
}

/// A run of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    /// Side by side.
    Dense,
    /// One and the same.
    Splat,
    /// At this distance.
    Strided(isize),
}

/// A slice as the plan needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    pub len: usize,
    pub dtype: DType,
    pub used: bool,
}

/// What [`Map::new`] works out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The axis that is cut into pieces of `rows`; axes behind it are inside a block, axes before it outside.
    pub chop: usize,
    pub rows: usize,
    /// Elements of the axes behind `chop`.
    pub inner: usize,
    /// Lines of a register and of an operand's home.
    pub block_lines: usize,
    pub out: Access,
    pub operands: [Access; INPUTS],
    /// Where the interpreter's memory holds each operand that is not read where it lies, in lines.
    pub homes: [u16; INPUTS],
    /// The interpreter's memory, in lines: registers, operands, then constants.
    pub lines: usize,
    /// The first line of the constants.
    pub constants: usize,
    pub needs: [Need; 2 * INPUTS],
    pub slices: usize,
    pub out_len: usize,
    pub empty: bool,
    /// The block is the whole map.
    pub single: bool,
    /// The map adds rows, and is not run in blocks.
    pub sum: Option<Sum>,
}

impl Map {
    /// Checks the map and plans its blocks.
    ///
    /// # Panics
    /// If the map is not well formed: operands that are not the program's, strides that leave any slice,
    /// [`Source::Out`] at another place than the result. In a `static` that is an error while compiling.
    pub const fn new(spec: MapSpec) -> Map {
        let plan = plan(&spec, items(&spec.operands));
        Map { spec, plan }
    }

    /// What the map does, to change before [`Map::replan`].
    pub(super) fn spec_mut(&mut self) -> &mut MapSpec {
        &mut self.spec
    }

    /// Plans the blocks of a map that was changed.
    pub(super) fn replan(&mut self) {
        self.plan = plan(&self.spec, items(&self.spec.operands));
    }

    /// What the map does.
    pub const fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// The number of elements of the result.
    pub const fn len(&self) -> usize {
        let (mut n, mut a) = (1, 0);
        while a < self.spec.rank {
            n *= self.spec.dims[a];
            a += 1;
        }
        n
    }

    /// Whether the result has no elements.
    pub const fn is_empty(&self) -> bool {
        self.plan.empty
    }
}

/// One past the last position that a walk touches.
const fn reach(spec: &MapSpec, strides: &[isize; RANK], offset: usize) -> usize {
    assert!(offset <= isize::MAX as usize, "a map outside its slice");
    let (mut low, mut high, mut a) = (offset as isize, offset as isize, 0);
    while a < spec.rank {
        assert!(spec.dims[a] <= isize::MAX as usize, "a map larger than memory");
        let Some(span) = strides[a].checked_mul(spec.dims[a] as isize - 1) else {
            panic!("a map larger than memory")
        };
        let end = if span < 0 { &mut low } else { &mut high };
        let Some(sum) = end.checked_add(span) else { panic!("a map larger than memory") };
        *end = sum;
        a += 1;
    }
    assert!(low >= 0, "a map outside its slice");
    high as usize + 1
}

const fn max(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

const fn plan(spec: &MapSpec, operands: &[Operand]) -> Plan {
    let inputs = spec.program.inputs();
    assert!(spec.rank >= 1 && spec.rank <= RANK, "a map of no or too many axes");
    assert!(operands.len() == inputs.len(), "other operands than the program's");
    let nothing = Access { run_axis: 0, run: Run::Splat, whole: true };
    let unused = Need { len: 0, dtype: DType::U8, used: false };
    let capacity = capacity(spec, operands);
    let block_lines = (capacity * max(4, widest(spec))).div_ceil(LINE);
    let (chop, rows, inner, empty) = block(spec, capacity);
    let mut plan = Plan {
        chop,
        rows,
        inner,
        block_lines,
        out: access(spec, chop, &spec.out_strides, None),
        operands: [nothing; INPUTS],
        needs: [unused; 2 * INPUTS],
        slices: 0,
        out_len: 0,
        homes: [0; INPUTS],
        lines: spec.program.registers() * block_lines,
        constants: 0,
        empty,
        single: chop == 0 && rows == spec.dims[0],
        sum: None,
    };
    if empty {
        return plan;
    }
    plan.out_len = reach(spec, &spec.out_strides, spec.out_offset);
    let mut i = 0;
    while i < operands.len() {
        let o = &operands[i];
        let dtype = inputs[i];
        let mut index = None;
        match &o.source {
            Source::Slice(slice) => plan.need(*slice, reach(spec, &o.strides, o.offset), dtype),
            Source::Out => {
                let mut a = 0;
                while a < spec.rank {
                    assert!(o.strides[a] == spec.out_strides[a], "an operand in place at another place");
                    a += 1;
                }
                let same = o.offset == spec.out_offset && dtype as u8 == spec.program.result() as u8;
                assert!(same, "an operand in place at another place");
            }
            Source::Position => assert!(matches!(dtype, DType::I64), "positions are i64"),
            Source::Indexed { slice, index: by, index_type, index_strides, index_offset, extent, step } => {
                assert!(matches!(index_type, DType::I32 | DType::I64), "an index is i32 or i64");
                plan.need(*by, reach(spec, index_strides, *index_offset), *index_type);
                // The least and the greatest index move the walk as a whole; with an extent of 0 any index panics.
                let last = if *extent == 0 { 0 } else { *extent as isize - 1 };
                let Some(moved) = step.checked_mul(last) else { panic!("a map larger than memory") };
                let Some(low) = o.offset.checked_add_signed(if moved < 0 { moved } else { 0 }) else {
                    panic!("a map outside its slice")
                };
                reach(spec, &o.strides, low);
                let high = o.offset + if moved > 0 { moved as usize } else { 0 };
                let len = if *extent == 0 { 0 } else { reach(spec, &o.strides, high) };
                plan.need(*slice, len, dtype);
                index = Some(index_strides);
            }
        }
        let access = access(spec, chop, &o.strides, index);
        plan.operands[i] = access;
        plan.homes[i] = plan.lines as u16;
        plan.lines += match access.run {
            _ if matches!(o.source, Source::Position) => block_lines,
            Run::Dense if access.whole && width(dtype) == dtype.size() => 0,
            Run::Splat if access.whole => repeat_lines(dtype),
            _ => block_lines,
        };
        i += 1;
    }
    plan.sum = Sum::of(spec, operands, &plan);
    plan.constants = plan.lines;
    let mut i = 0;
    while i < spec.program.consts().len() {
        plan.lines += repeat_lines(spec.program.consts()[i].dtype);
        i += 1;
    }
    assert!(plan.lines <= MAX_LINES, "a map that needs more memory than there is");
    plan
}

impl Plan {
    const fn need(&mut self, slice: u8, len: usize, dtype: DType) {
        let slice = slice as usize;
        assert!(slice < self.needs.len(), "too many slices");
        let known = &mut self.needs[slice];
        assert!(!known.used || known.dtype as u8 == dtype as u8, "one slice of two types");
        *known = Need { len: max(known.len, len), dtype, used: true };
        self.slices = max(self.slices, slice + 1);
    }
}

/// The largest element that any register or constant of the map holds, read or not.
const fn widest(spec: &MapSpec) -> usize {
    let (program, mut bytes, mut i) = (&spec.program, 1, 0);
    while i < program.inputs().len() {
        bytes = max(bytes, width(program.inputs()[i]));
        i += 1;
    }
    let mut i = 0;
    while i < program.insts().len() {
        let inst = program.insts()[i];
        bytes = max(bytes, max(width(inst.dtype), width(inst.code.result(inst.dtype))));
        i += 1;
    }
    let mut i = 0;
    while i < program.consts().len() {
        bytes = max(bytes, width(program.consts()[i].dtype));
        i += 1;
    }
    bytes
}

/// Elements of a block: as many as [`BLOCK_BYTES`] hold, and more where the registers and homes of a map of
/// floats are few, so that interpreting an instruction costs less beside running it.
const fn capacity(spec: &MapSpec, operands: &[Operand]) -> usize {
    let (program, mut i) = (&spec.program, 0);
    let least = BLOCK_BYTES / max(4, widest(spec));
    let mut total = 1usize;
    while i < spec.rank {
        total = total.saturating_mul(spec.dims[i]);
        i += 1;
    }
    let mut blocks = program.registers();
    i = 0;
    while i < operands.len() {
        if !matches!(program.inputs()[i], DType::F32) {
            return least;
        }
        let here = matches!(operands[i].source, Source::Slice(_) | Source::Out);
        let whole = here && spec.rank == 1 && matches!(operands[i].strides[0], 0 | 1);
        blocks += if whole { 0 } else { 1 };
        i += 1;
    }
    i = 0;
    while i < program.insts().len() {
        let inst = program.insts()[i];
        if !matches!(inst.dtype, DType::F32) || !matches!(inst.code.result(inst.dtype), DType::F32) {
            return least;
        }
        i += 1;
    }
    i = 0;
    while i < program.consts().len() {
        if !matches!(program.consts()[i].dtype, DType::F32) {
            return least;
        }
        i += 1;
    }
    let bytes = ROOM / max(blocks, 1);
    let most = if bytes > MOST_BYTES { MOST_BYTES } else { bytes } / LINE * LINE / 4;
    let most = if most > total { total } else { most };
    max(most, least)
}

/// The axis that is cut, in pieces of how many, the elements behind it, and whether there is nothing at all.
const fn block(spec: &MapSpec, capacity: usize) -> (usize, usize, usize, bool) {
    let (mut a, mut empty) = (0, false);
    while a < spec.rank {
        empty = empty || spec.dims[a] == 0;
        a += 1;
    }
    if empty {
        return (0, 0, 0, true);
    }
    // As many inner axes as fit; then pieces of the next, of about equal length.
    let (mut axis, mut inner) = (spec.rank, 1usize);
    while axis > 1 && inner * spec.dims[axis - 1] <= capacity {
        axis -= 1;
        inner *= spec.dims[axis];
    }
    let dim = spec.dims[axis - 1];
    let pieces = dim.div_ceil(capacity / inner);
    let mut rows = dim.div_ceil(pieces);
    if inner == 1 && pieces > 1 {
        rows = rows.next_multiple_of(16);
    }
    (axis - 1, rows, inner, false)
}

const fn access(
    spec: &MapSpec,
    chop: usize,
    strides: &[isize; RANK],
    index: Option<&[isize; RANK]>,
) -> Access {
    let last = spec.rank - 1;
    let by_element = match index {
        Some(index) => index[last] != 0,
        None => false,
    };
    if by_element {
        // Every element has an index of its own.
        return Access { run_axis: spec.rank as u8, run: Run::Dense, whole: false };
    }
    let run = match strides[last] {
        1 => Run::Dense,
        0 => Run::Splat,
        stride => Run::Strided(stride),
    };
    let mut axis = last;
    while axis > chop {
        let continues = strides[axis - 1] == strides[axis].wrapping_mul(spec.dims[axis] as isize);
        let same_index = match index {
            Some(index) => index[axis - 1] == 0,
            None => true,
        };
        if !continues || !same_index {
            break;
        }
        axis -= 1;
    }
    Access { run_axis: axis as u8, run, whole: axis == chop }
}
