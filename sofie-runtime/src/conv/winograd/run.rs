//! The blocks of tiles, one after the other or on several cores. Many blocks are shared out, each core with scratch of its
//! own; of few, such as the only one of a small image with many channels, the tiles are, then the positions, then the
//! tiles again.

use core::marker::PhantomData;
use core::ops::Range;

use super::form::Form;
use super::tile::{Input, Output};
use super::{Plan, least};
use crate::conv::{Conv, Operands};
use crate::parallel::{self, share, with_scratch};
use crate::simd::{Op, Simd, dispatch};

/// The operands, as several cores see them at once.
pub(super) struct Shared<'a> {
    pub y: *mut f32,
    pub x: &'a [f32],
    pub w: &'a [f32],
    pub bias: &'a [f32],
    pub residual: &'a [f32],
}

// SAFETY: y is borrowed mutably while the convolution runs, and each tile's outputs are written where it is computed.
unsafe impl Sync for Shared<'_> {}

/// The transformed image of a block at its first position, as several cores write it at once.
#[derive(Clone, Copy)]
struct Block(*mut f32);

// SAFETY: it is borrowed mutably while the tiles are transformed, each of which has its place.
unsafe impl Sync for Block {}

/// The whole convolution.
pub(super) struct Run<'a> {
    pub conv: &'a Conv,
    pub plan: Plan,
    pub o: Operands<'a>,
    pub prepared: &'a [f32],
    pub scratch: &'a mut [f32],
}

impl Run<'_> {
    /// Block by block; on several cores blocks at once, or where there are few the tiles and positions of each.
    pub(super) fn run<R: Form, C: Form>(self) {
        let Run { conv, mut plan, o: Operands { y, x, w, bias, residual }, prepared, scratch } = self;
        let o = Shared { y: y.as_mut_ptr(), x, w, bias, residual };
        let total = plan.total();
        let mut blocks = total.div_ceil(plan.block.max(1));
        let parts = parallel::parts(conv.operations(), usize::MAX);
        // Enough for each thread, if they are not too small for the weights that pass by for each. Other blocks are
        // other rows of the products, no other sums.
        let threads = if parts == 1 { 1 } else { parallel::threads() };
        let (enough, least) = (4 * threads, least(R::POSITIONS * C::POSITIONS * plan.k * conv.m));
        let even = total.div_ceil(blocks.max(enough).next_multiple_of(threads));
        if parts > 1 && even >= least {
            plan.block = even;
            blocks = total.div_ceil(even);
        }
        let job = Blocks::<R, C> { conv, plan: &plan, o: &o, prepared, forms: PhantomData };
        if parts == 1 {
            job.run(0..blocks, scratch);
        } else if blocks >= enough / 2 {
            let parts = blocks.min(parts);
            parallel::for_each(parts, |i| {
                with_scratch(scratch.len(), |scratch| job.run(share(blocks, 1, parts, i), scratch));
            });
        } else {
            for block in 0..blocks {
                job.share(block, parts, scratch);
            }
        }
    }
}

/// Blocks of tiles of a convolution whose operands have been checked.
struct Blocks<'a, R, C> {
    conv: &'a Conv,
    plan: &'a Plan,
    o: &'a Shared<'a>,
    prepared: &'a [f32],
    forms: PhantomData<fn(R, C)>,
}

impl<R: Form, C: Form> Blocks<'_, R, C> {
    fn run(&self, blocks: Range<usize>, scratch: &mut [f32]) {
        dispatch(InTurn::<R, C> {
            conv: self.conv,
            plan: self.plan,
            o: self.o,
            prepared: self.prepared,
            blocks,
            scratch,
            forms: PhantomData,
        });
    }

    /// One block on several cores: first its tiles, then its positions, then its tiles again.
    fn share(&self, block: usize, parts: usize, scratch: &mut [f32]) {
        let &Blocks { conv, plan, o, prepared, .. } = self;
        let (positions, weights) = (R::POSITIONS * C::POSITIONS, plan.weights(conv));
        let (v, p) = scratch.split_at_mut(positions * plan.v);
        let p = &mut p[..positions * plan.p];
        let first = block * plan.block;
        let tiles = plan.block.min(plan.total() - first);
        let (to, by_tile) = (Block(v.as_mut_ptr()), parts.min(tiles));
        parallel::for_each(by_tile, |i| {
            let (to, part) = (&to, share(tiles, 1, by_tile, i));
            let (v, first) = (to.0.wrapping_add(part.start * plan.ldv), first + part.start);
            dispatch(Input::<R, C> { conv, plan, first, tiles: part.len(), x: o.x, v, forms: PhantomData });
        });
        let v = &*v;
        let by_position = parts.min(positions);
        parallel::for_each_slice(
            p,
            |i| i * plan.p,
            positions,
            by_position,
            |part, p| {
                dispatch(Positions { conv, plan, tiles, part, p, v, prepared, weights });
            },
        );
        let p = &*p;
        parallel::for_each(by_tile, |i| {
            let part = share(tiles, 1, by_tile, i);
            let (p, first) = (&p[part.start * plan.ldp..], first + part.start);
            dispatch(Output::<R, C> { conv, plan, first, tiles: part.len(), p, o, forms: PhantomData });
        });
    }
}

/// Some positions' products; `p` begins with the first.
struct Positions<'a> {
    conv: &'a Conv,
    plan: &'a Plan,
    tiles: usize,
    part: Range<usize>,
    p: &'a mut [f32],
    v: &'a [f32],
    prepared: &'a [f32],
    weights: usize,
}

impl Op for Positions<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Positions { conv, plan, tiles, part, p, v, prepared, weights } = self;
        let first = part.start;
        for position in part {
            let w = &prepared[position * weights..][..weights];
            let p = &mut p[(position - first) * plan.p..];
            plan.product(conv, tiles).run_at(s, p, &v[position * plan.v..], w);
        }
    }
}

/// Some blocks, one after the other.
struct InTurn<'a, R, C> {
    conv: &'a Conv,
    plan: &'a Plan,
    o: &'a Shared<'a>,
    prepared: &'a [f32],
    blocks: Range<usize>,
    scratch: &'a mut [f32],
    forms: PhantomData<(R, C)>,
}

impl<R: Form, C: Form> Op for InTurn<'_, R, C> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let InTurn { conv, plan, o, prepared, blocks, scratch, forms } = self;
        let positions = R::POSITIONS * C::POSITIONS;
        let (v, p) = scratch.split_at_mut(positions * plan.v);
        let p = &mut p[..positions * plan.p];
        let weights = plan.weights(conv);
        for block in blocks {
            let first = block * plan.block;
            let tiles = plan.block.min(plan.total() - first);
            s.outline(Input::<R, C> { conv, plan, first, tiles, x: o.x, v: v.as_mut_ptr(), forms });
            for position in 0..positions {
                let w = &prepared[position * weights..][..weights];
                plan.product(conv, tiles).run_at(s, &mut p[position * plan.p..], &v[position * plan.v..], w);
            }
            s.outline(Output::<R, C> { conv, plan, first, tiles, p, o, forms });
        }
    }
}
