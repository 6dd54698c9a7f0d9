//! Maps of one block: what a network of a batch of one is full of. The interpreter's tables would cost more
//! than the work (100 of 150 ns at 16 elements), so arguments are located when an instruction needs them.

use super::exec::{Io, Loc, exec};
use super::load::{Feed, Memory, Tile, load, store};
use super::memory::Src;
use super::program::{Arg, Code, width};
use super::run::{Reach, reach, read, repeat};
use super::spec::{LINE, Map, Run, Source, repeat_lines};
use crate::DType;
use crate::simd::LANES;

/// Computes a map whose plan says that it is a single block.
///
/// # Safety
/// `slices` and `out` must have been checked against the map's plan, `memory` have its lines.
#[inline(never)]
pub(super) unsafe fn run(map: &Map, out: *mut u8, slices: &[Src<'_>], memory: *mut u8) {
    let (spec, plan) = (map.spec(), &map.plan);
    let (insts, result) = (spec.program.insts(), spec.program.result());
    let n = plan.rows * plan.inner;
    let in_place = plan.out.whole && plan.out.run == Run::Dense && width(result) == result.size();
    let out_at = spec.out_offset as isize;
    let mut block = Block { map, out, slices, memory, n, collected: 0 };
    for (i, inst) in insts.iter().enumerate() {
        let ty = inst.code.result(inst.dtype);
        let here = out.wrapping_offset(out_at * ty.size() as isize);
        let last = i + 1 == insts.len() && in_place;
        let dst = if last { here } else { memory.wrapping_add(inst.dst as usize * plan.block_lines * LINE) };
        // SAFETY: the caller's promise; registers and operands hold `n` elements of the types that the program
        // was checked for.
        unsafe {
            let mask = matches!(inst.code, Code::Select);
            // Written where it is read: two words that are copied as one at once would wait for each other.
            let mut io = Io { n, args: [Loc { ptr: dst, step: 0 }; 3], dst };
            io.args[0] = block.locate(inst.args[0], if mask { DType::Bool } else { inst.dtype });
            for k in 1..inst.code.arity() {
                io.args[k] = block.locate(inst.args[k], inst.dtype);
            }
            exec(inst.code, inst.dtype, &io);
            if i + 1 == insts.len() && !in_place {
                store(Tile { spec, plan, rows: plan.rows }, result, dst, out, out_at);
            }
        }
    }
}

/// The block and what is known of its operands.
struct Block<'a> {
    map: &'a Map,
    out: *mut u8,
    slices: &'a [Src<'a>],
    memory: *mut u8,
    n: usize,
    /// A bit for each operand that is in its home already.
    collected: u32,
}

impl Block<'_> {
    /// Where an argument's elements, of type `dtype`, are.
    ///
    /// # Safety
    /// As [`run`]; a register must have been written.
    #[inline(always)]
    unsafe fn locate(&mut self, arg: Arg, dtype: DType) -> Loc {
        let program = &self.map.spec().program;
        match arg {
            Arg::Reg(r) => Loc {
                ptr: self.memory.wrapping_add(r as usize * self.map.plan.block_lines * LINE),
                step: LANES * width(dtype),
            },
            Arg::Const(c) => {
                let before = &program.consts()[..c as usize];
                let lines = before.iter().map(|x| repeat_lines(x.dtype)).sum::<usize>();
                let home = self.memory.wrapping_add((self.map.plan.constants + lines) * LINE);
                // SAFETY: the plan has lines for each constant.
                unsafe { repeat(program.consts()[c as usize], self.n, home) }
            }
            // SAFETY: the caller's promise.
            Arg::Input(i) => unsafe { self.operand(i as usize, dtype) },
        }
    }

    /// # Safety
    /// As [`Block::locate`].
    #[inline(always)]
    unsafe fn operand(&mut self, i: usize, dtype: DType) -> Loc {
        let (spec, plan) = (self.map.spec(), &self.map.plan);
        let operand = &spec.operands[i];
        let (memory, index_at) = match &operand.source {
            Source::Slice(slice) => (Memory { data: self.slices[*slice as usize].ptr, index: self.out }, 0),
            Source::Indexed { slice, index, index_offset, .. } => {
                let (slice, index) = (*slice as usize, *index as usize);
                (Memory { data: self.slices[slice].ptr, index: self.slices[index].ptr }, *index_offset)
            }
            Source::Out | Source::Position => (Memory { data: self.out, index: self.out }, 0),
        };
        let feed = Feed { operand, dtype, access: plan.operands[i], memory };
        let home = self.memory.wrapping_add(plan.homes[i] as usize * LINE);
        let at = [operand.offset as isize, index_at as isize];
        // SAFETY: positions of the checked walk; homes are where the plan put them.
        unsafe {
            match reach(&feed) {
                Reach::Here => Loc { ptr: feed.element(at).cast_mut(), step: LANES * dtype.size() },
                Reach::One => repeat(read(dtype, feed.element(at)), self.n, home),
                Reach::Home => {
                    if self.collected & 1 << i == 0 {
                        load(Tile { spec, plan, rows: plan.rows }, &feed, at, home);
                        self.collected |= 1 << i;
                    }
                    Loc { ptr: home, step: LANES * width(dtype) }
                }
            }
        }
    }
}
