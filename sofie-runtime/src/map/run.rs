//! The block interpreter: for each block of the iteration space, operands are brought within reach (most are
//! read where they lie), the instructions run one after the other over the block, and the result is put away.
//!
//! Interpreting costs a few nanoseconds an instruction and block. It keeps the machine code in this crate, so a
//! user's debug build is as fast, and the expansion small.

use super::exec::{Io, Loc, exec};
use super::load::{Feed, Memory, Tile, load, store};
use super::memory::{Dst, Src};
use super::program::{Arg, INPUTS, SLOTS, in_f32, width};
use super::spec::{LINE, MAX_LINES, Map, Run, Source, repeat_lines};
use super::{Scalar, single, sums};
use crate::DType;
use crate::copy::RANK;
use crate::parallel;
use crate::simd::LANES;
use core::mem::MaybeUninit;
use core::ops::Range;

/// Memory of the interpreter, on the stack.
#[repr(align(64))]
struct Lines<const N: usize>([MaybeUninit<[u8; LINE]>; N]);

/// Lines that fit a page with what else is on the stack.
const SMALL: usize = 52;

impl Map {
    /// Computes the map: `slices` are what the operands' sources number.
    ///
    /// # Panics
    /// If a slice is missing, too short or of another type, or an index is outside its extent.
    pub fn run(&self, out: Dst<'_>, slices: &[Src<'_>]) {
        let (spec, plan) = (self.spec(), &self.plan);
        assert!(slices.len() >= plan.slices, "map: a slice is missing");
        for (need, slice) in plan.needs[..plan.slices].iter().zip(slices) {
            let fits = slice.len >= need.len && slice.dtype == need.dtype;
            assert!(fits || !need.used, "map: a slice is too short or of another type");
        }
        let fits = out.len >= plan.out_len && out.dtype == spec.program.result();
        assert!(fits, "map: the result is too short or of another type");
        if plan.empty {
            return;
        }
        let checked = Checked { map: self, out: out.ptr, slices };
        if let Some(sum) = &plan.sum {
            let rows = sum.rows(spec);
            let parts = parallel::parts(self.operations(self.len()), rows);
            return parallel::for_each(parts, |i| {
                let (part, checked) = (parallel::share(rows, 1, parts, i), &checked);
                // SAFETY: just checked.
                unsafe { sums::run(self, sum, checked.out, checked.slices, part) }
            });
        }
        if plan.single {
            return checked.run(0..1);
        }
        let blocks = self.chunks() * spec.dims[..plan.chop].iter().product::<usize>();
        let parts = parallel::parts(self.operations(blocks * plan.rows * plan.inner), blocks);
        parallel::for_each(parts, |i| checked.run(parallel::share(blocks, 1, parts, i)));
    }

    /// What computing so many elements costs, in operations of a product.
    fn operations(&self, elements: usize) -> usize {
        OPERATIONS.saturating_mul(elements).saturating_mul(self.spec().program.insts().len())
    }

    /// Blocks along the axis that is cut.
    fn chunks(&self) -> usize {
        self.spec().dims[self.plan.chop].div_ceil(self.plan.rows)
    }
}

/// What an instruction on an element costs, in operations of a product: 12 elements a nanosecond.
const OPERATIONS: usize = 8;

/// A map and what it works on, as several cores see it.
struct Checked<'a> {
    map: &'a Map,
    out: *mut u8,
    slices: &'a [Src<'a>],
}

// SAFETY: the slices are borrowed while the map runs, and each block of the result is written once; what stands there
// before is read by its block alone.
unsafe impl Sync for Checked<'_> {}

impl Checked<'_> {
    /// Computes some blocks.
    fn run(&self, blocks: Range<usize>) {
        // Most maps are content with a page, which needs no probing of the stack.
        if self.map.plan.lines <= SMALL {
            self.run_with::<SMALL>(blocks);
        } else {
            self.run_with::<MAX_LINES>(blocks);
        }
    }

    #[inline(never)]
    fn run_with<const N: usize>(&self, blocks: Range<usize>) {
        let mut lines = Lines([const { MaybeUninit::uninit() }; N]);
        // SAFETY: the plan's lines fit, and `Map::run` checked the slices and the result.
        unsafe {
            let memory = lines.0.as_mut_ptr().cast();
            if self.map.plan.single {
                single::run(self.map, self.out, self.slices, memory);
            } else {
                interpret(self.map, self.out, self.slices, memory, blocks);
            }
        }
    }
}

/// Where registers, operands and constants are. Two lists and no list of pairs: what was written as two words
/// and is read as one has to wait until it is in the cache, which an instruction on a block does not take.
struct Slots {
    ptr: [*mut u8; SLOTS],
    step: [usize; SLOTS],
}

impl Slots {
    #[inline(always)]
    fn set(&mut self, slot: usize, at: Loc) {
        self.ptr[slot] = at.ptr;
        self.step[slot] = at.step;
    }

    #[inline(always)]
    fn get(&self, slot: usize) -> Loc {
        Loc { ptr: self.ptr[slot], step: self.step[slot] }
    }
}

/// How an operand's blocks come within reach.
pub(super) enum Reach {
    /// They are read where they lie.
    Here,
    /// They are one element.
    One,
    /// They are collected in the operand's home.
    Home,
}

#[inline(always)]
pub(super) fn reach(feed: &Feed<'_>) -> Reach {
    match feed.access.run {
        _ if !feed.access.whole || matches!(feed.operand.source, Source::Position) => Reach::Home,
        Run::Dense if width(feed.dtype) == feed.dtype.size() => Reach::Here,
        Run::Splat => Reach::One,
        _ => Reach::Home,
    }
}

/// # Safety
/// `slices` and `out` must have been checked against the map's plan, `memory` have its lines.
#[inline(never)]
unsafe fn interpret(map: &Map, out: *mut u8, slices: &[Src<'_>], memory: *mut u8, blocks: Range<usize>) {
    let (spec, plan) = (map.spec(), &map.plan);
    let program = &spec.program;
    let (insts, operands, result) = (program.insts(), &spec.operands[..], program.result());
    let mut slots = Slots { ptr: [memory; SLOTS], step: [0; SLOTS] };
    for (r, ptr) in slots.ptr[..program.registers()].iter_mut().enumerate() {
        *ptr = memory.wrapping_add(r * plan.block_lines * LINE);
    }
    let mut home = memory.wrapping_add(plan.constants * LINE);
    for (i, &x) in program.consts().iter().enumerate() {
        // SAFETY: the last lines are the constants'.
        slots.set(Arg::Const(i as u8).slot(), unsafe { repeat(x, plan.rows * plan.inner, home) });
        home = home.wrapping_add(repeat_lines(x.dtype) * LINE);
    }
    let mut sources = [Memory { data: out, index: out }; INPUTS];
    for (memory, o) in sources.iter_mut().zip(operands) {
        match &o.source {
            Source::Slice(slice) => memory.data = slices[*slice as usize].ptr,
            Source::Indexed { slice, index, .. } => {
                memory.data = slices[*slice as usize].ptr;
                memory.index = slices[*index as usize].ptr;
            }
            Source::Out | Source::Position => {}
        }
    }

    let in_place = plan.out.whole && plan.out.run == Run::Dense && width(result) == result.size();
    // What an operand's home holds: the position of its block's first element, and how many rows.
    let mut held = [(isize::MIN, 0usize); INPUTS];
    let mut coordinates = [0usize; RANK];
    let chunks = map.chunks();
    let (mut left, mut rest) = (blocks.len(), blocks.start / chunks);
    for axis in (0..plan.chop).rev() {
        (coordinates[axis], rest) = (rest % spec.dims[axis], rest / spec.dims[axis]);
    }
    let mut first = blocks.start % chunks * plan.rows;
    loop {
        let outer = |strides: &[isize; RANK], offset: usize| {
            (0..plan.chop).fold(offset as isize, |at, a| at + coordinates[a] as isize * strides[a])
        };
        let mut out_at = outer(&spec.out_strides, spec.out_offset);
        let mut at = [[0isize; 2]; INPUTS];
        for (at, o) in at.iter_mut().zip(operands) {
            at[0] = outer(&o.strides, o.offset);
            if let Source::Indexed { index_strides, index_offset, .. } = &o.source {
                at[1] = outer(index_strides, *index_offset);
            }
        }
        let along = |at: isize, stride: isize| at + first as isize * stride;
        out_at = along(out_at, spec.out_strides[plan.chop]);
        for (at, o) in at.iter_mut().zip(operands) {
            at[0] = along(at[0], o.strides[plan.chop]);
            if let Source::Indexed { index_strides, .. } = &o.source {
                at[1] = along(at[1], index_strides[plan.chop]);
            }
        }
        while first < spec.dims[plan.chop] {
            if left == 0 {
                return;
            }
            left -= 1;
            let rows = plan.rows.min(spec.dims[plan.chop] - first);
            let (n, tile) = (rows * plan.inner, Tile { spec, plan, rows });
            for (i, o) in operands.iter().enumerate() {
                let (access, dtype) = (plan.operands[i], program.inputs()[i]);
                let feed = Feed { operand: o, dtype, access, memory: sources[i] };
                let home = memory.wrapping_add(plan.homes[i] as usize * LINE);
                let position = at[i];
                at[i][0] += rows as isize * o.strides[plan.chop];
                let indexed = if let Source::Indexed { index_strides, .. } = &o.source {
                    at[i][1] += rows as isize * index_strides[plan.chop];
                    true
                } else {
                    false
                };
                let stale = indexed || held[i].0 != position[0] || held[i].1 < rows;
                let slot = Arg::Input(i as u8).slot();
                // SAFETY: positions of the checked walk; homes are where the plan put them.
                unsafe {
                    match reach(&feed) {
                        Reach::Here => {
                            let ptr = feed.element(position).cast_mut();
                            slots.set(slot, Loc { ptr, step: LANES * dtype.size() });
                            continue;
                        }
                        Reach::One if stale => {
                            slots.set(slot, repeat(read(dtype, feed.element(position)), n, home));
                        }
                        Reach::Home if stale => {
                            load(tile, &feed, position, home);
                            slots.set(slot, Loc { ptr: home, step: LANES * width(dtype) });
                        }
                        _ => {}
                    }
                }
                if stale {
                    held[i] = (position[0], rows);
                }
            }
            for (i, inst) in insts.iter().enumerate() {
                let ty = inst.code.result(inst.dtype);
                let args = inst.args.map(|a| slots.get(a.slot()));
                slots.step[inst.dst as usize] = LANES * width(ty);
                let last = i + 1 == insts.len() && in_place;
                let out = out.wrapping_offset(out_at * ty.size() as isize);
                let io = Io { n, args, dst: if last { out } else { slots.ptr[inst.dst as usize] } };
                // SAFETY: registers and operands hold `n` elements of the types that the program was checked for.
                unsafe { exec(inst.code, inst.dtype, &io) }
            }
            if !in_place {
                let x = slots.ptr[insts[insts.len() - 1].dst as usize];
                // SAFETY: the result was checked to hold the walk.
                unsafe { store(tile, result, x, out, out_at) };
            }
            out_at += rows as isize * spec.out_strides[plan.chop];
            first += rows;
        }
        first = 0;
        let mut axis = plan.chop;
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            coordinates[axis] += 1;
            if coordinates[axis] < spec.dims[axis] {
                break;
            }
            coordinates[axis] = 0;
        }
    }
}

/// Writes `x`, as registers hold it, 16 times if the instructions that read it work with the repetition, else
/// as often as a block may need.
/// # Safety
/// `home` must have [`repeat_lines`] lines.
#[inline(always)]
pub(super) unsafe fn repeat(x: Scalar, n: usize, home: *mut u8) -> Loc {
    // SAFETY: the caller's promise.
    unsafe {
        if in_f32(x.dtype) {
            let value = if x.dtype == DType::F32 { f32::from_bits(x.bits as u32) } else { x.to_f64() as f32 };
            home.cast::<[f32; LANES]>().write([value; LANES]);
            return Loc { ptr: home, step: 0 };
        }
        match x.dtype.size() {
            1 => core::slice::from_raw_parts_mut(home, n).fill(x.bits as u8),
            2 => core::slice::from_raw_parts_mut(home.cast::<u16>(), n).fill(x.bits as u16),
            4 => core::slice::from_raw_parts_mut(home.cast::<u32>(), n).fill(x.bits as u32),
            _ => core::slice::from_raw_parts_mut(home.cast::<u64>(), n).fill(x.bits),
        }
    }
    Loc { ptr: home, step: LANES * x.dtype.size() }
}

/// Reads one element.
/// # Safety
/// `p` must be valid for reading an element of `dtype`.
#[inline(always)]
pub(super) unsafe fn read(dtype: DType, p: *const u8) -> Scalar {
    // SAFETY: the caller's promise.
    let bits = unsafe {
        match dtype.size() {
            1 => *p as u64,
            2 => *p.cast::<u16>() as u64,
            4 => *p.cast::<u32>() as u64,
            _ => *p.cast::<u64>(),
        }
    };
    Scalar { dtype, bits }
}
