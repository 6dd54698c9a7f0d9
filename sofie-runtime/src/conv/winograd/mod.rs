//! Winograd's convolution: tiles of the image and the filters are transformed, so that a tile of outputs takes
//! one product a position instead of one a tap and output; the sums over channels become matrix products, one
//! a position. 3×3 needs 4 (F(4×4)) or 2.25 (F(2×2)) times fewer multiplications, 3 taps along one axis half.
//!
//! Windows may be dilated (the image is taken apart into interleaved ones) and may extend over a third axis,
//! whose taps are summed like channels. A tile of which an output is not finite is computed again from the
//! definition, so infinities and NaN go where they belong, and large numbers overflow only when they must.

mod form;
mod run;
#[cfg(test)]
mod tests;
mod tile;

use self::form::{Four, One, Two};
use self::run::Run;
use self::tile::Prepare;
use super::{Conv, Operands};
use crate::Act;
use crate::gemm::{self, Gemm, Init};
use crate::simd::{LANES, dispatch};

/// Outputs of a tile along the last two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tile {
    /// F(4×4, 3×3): 36 products for 144.
    Four,
    /// F(2×2, 3×3): 16 products for 36.
    Two,
    /// F(4, 3) along the last axis, over which alone the window extends: 6 products for 12.
    Line,
}

impl Tile {
    /// Outputs along the last two axes.
    const fn outputs(self) -> [usize; 2] {
        match self {
            Tile::Four => [4, 4],
            Tile::Two => [2, 2],
            Tile::Line => [1, 4],
        }
    }

    /// Products of a tile, for each channel and filter.
    const fn positions(self) -> usize {
        match self {
            Tile::Four => 36,
            Tile::Two => 16,
            Tile::Line => 6,
        }
    }
}

/// How a convolution is cut into tiles and blocks; all from the shapes.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Tiles along the last two axes.
    tiles: [usize; 2],
    /// Images times planes of the first axis.
    planes: usize,
    /// Tiles that are transformed before they are multiplied.
    block: usize,
    /// Channels times taps of the first axis.
    k: usize,
    /// Floats from a tile of the transformed image to the next, and from a position to the next.
    ldv: usize,
    v: usize,
    /// The same of the products.
    ldp: usize,
    p: usize,
}

/// The least odd number of cache lines that holds `floats`: rows and positions at such strides spread over the
/// sets of L1 instead of falling into one.
const fn odd_lines(floats: usize) -> usize {
    let lines = floats.div_ceil(16);
    (lines + 1 - lines % 2) * 16
}

/// Tiles along an axis of `outputs` elements: each of the `dilation` interleaved images has its own.
const fn tiles(outputs: usize, dilation: usize, tile: usize) -> usize {
    let mut sum = 0;
    let mut first = 0;
    while first < dilation && first < outputs {
        sum += (outputs - first).div_ceil(dilation).div_ceil(tile);
        first += 1;
    }
    sum
}

/// The first output of a tile.
fn tile_start(outputs: usize, dilation: usize, tile: usize, mut index: usize) -> usize {
    for first in 0..dilation {
        let tiles = (outputs - first).div_ceil(dilation).div_ceil(tile);
        if index < tiles {
            return first + index * tile * dilation;
        }
        index -= tiles;
    }
    unreachable!("a tile that is not there")
}

impl Plan {
    const fn new(conv: &Conv, tile: Tile) -> Plan {
        let w = &conv.window;
        let outputs = tile.outputs();
        let count = [tiles(w.y[1], w.dilations[1], outputs[0]), tiles(w.y[2], w.dilations[2], outputs[1])];
        let planes = conv.batch * w.y[0];
        let k = w.kernel[0] * conv.c;
        let ldv = odd_lines((w.kernel[0].saturating_sub(1)) * conv.c + conv.c.next_multiple_of(LANES));
        let ldp = odd_lines(conv.m.next_multiple_of(LANES));
        let block = block(tile.positions(), ldv + ldp, count[0] * count[1] * planes, k * conv.m);
        let (v, p) = (odd_lines(block * ldv), odd_lines(block * ldp));
        Plan { tiles: count, planes, block, k, ldv, v, ldp, p }
    }

    const fn total(&self) -> usize {
        self.planes * self.tiles[0] * self.tiles[1]
    }

    /// The product at each position of a block.
    const fn product(&self, conv: &Conv, tiles: usize) -> Gemm {
        let Plan { k, ldv, ldp, .. } = *self;
        Gemm {
            m: tiles,
            k,
            n: conv.m,
            lda: ldv,
            ldc: ldp,
            ldr: 0,
            event: 0,
            lde: 0,
            act: Act::None,
            init: Init::Bias,
        }
    }

    /// Floats of one position's weights.
    const fn weights(&self, conv: &Conv) -> usize {
        gemm::packed_len(self.k, conv.m)
    }
}

/// Tiles of a block: few enough that the transformed image and the products stay in L2, at least a few rows for
/// each time that the weights pass by.
const fn block(positions: usize, floats: usize, total: usize, weights: usize) -> usize {
    let cached = 128 * 1024 / (positions * floats);
    let least = least(positions * weights);
    let blocks = total.div_ceil(if cached > least { cached } else { least });
    if blocks == 0 { 0 } else { total.div_ceil(blocks) }
}

/// The fewest tiles of a block for so many weights.
const fn least(weights: usize) -> usize {
    if weights > 256 * 1024 { 32 } else { 12 }
}

/// Whether the window is one that tiles of this kind compute.
const fn fits(conv: &Conv, tile: Tile) -> bool {
    let w = &conv.window;
    let last = w.kernel[2] == 3 && w.strides[2] == 1;
    let middle = match tile {
        Tile::Line => w.kernel[1] == 1 && w.strides[1] == 1 && w.pads_begin[1] == 0 && w.y[1] == w.x[1],
        _ => w.kernel[1] == 3 && w.strides[1] == 1,
    };
    conv.group == 1 && last && middle && conv.c != 0 && conv.m != 0
}

/// An estimate in cycles of a core that does one vector of products in each. Measured on AVX-512: a vector of
/// channels costs 8 cycles a position to transform, there and back alike; a position's product is a call.
const fn cost(conv: &Conv, tile: Tile) -> usize {
    let plan = Plan::new(conv, tile);
    let (c, m) = (plan.k.div_ceil(LANES), conv.m.div_ceil(LANES));
    let products = tile.positions() * plan.total() * plan.k * m;
    let transforms = 8 * tile.positions() * plan.total() * (c + m);
    bounded(products, tile.positions() * plan.k * conv.m) + transforms + 160 * tile.positions()
}

/// Cycles of products whose weights come from memory when there are many: 22 GB/s at 3.7 GHz (measured).
const fn bounded(products: usize, weights: usize) -> usize {
    let memory = weights * 2 / 3;
    if weights > 1024 * 1024 && memory > products { memory } else { products }
}

/// The kind of tile that beats the direct product, and another way that takes `other` cycles, if one does.
pub(super) const fn choose(conv: &Conv, other: usize) -> Option<Tile> {
    let w = &conv.window;
    let k = w.taps() * conv.c;
    let direct = bounded(conv.batch * w.y_pixels() * k * conv.m.div_ceil(LANES), k * conv.m);
    let direct = if other < direct { other } else { direct };
    // Other roundings and more memory should be worth it.
    let (mut best, mut least) = (None, direct - direct / 5);
    let kinds = [Tile::Four, Tile::Two, Tile::Line];
    let mut i = 0;
    while i < kinds.len() {
        if fits(conv, kinds[i]) {
            let cost = cost(conv, kinds[i]);
            if cost < least {
                (best, least) = (Some(kinds[i]), cost);
            }
        }
        i += 1;
    }
    best
}

/// Floats of scratch: the transformed image and the products of a block.
pub(super) const fn scratch(conv: &Conv, tile: Tile) -> usize {
    let plan = Plan::new(conv, tile);
    tile.positions() * (plan.v + plan.p)
}

/// Floats of transformed weights.
pub(super) const fn prepared_len(conv: &Conv, tile: Tile) -> usize {
    tile.positions() * Plan::new(conv, tile).weights(conv)
}

/// Transforms packed weights; the lengths have been checked.
pub(super) fn prepare(conv: &Conv, tile: Tile, w: &[f32], prepared: &mut [f32]) {
    let plan = Plan::new(conv, tile);
    match tile {
        Tile::Four => dispatch(Prepare::<Four, Four>::new(conv, plan, w, prepared)),
        Tile::Two => dispatch(Prepare::<Two, Two>::new(conv, plan, w, prepared)),
        Tile::Line => dispatch(Prepare::<One, Four>::new(conv, plan, w, prepared)),
    }
}

/// Runs a convolution whose operands have been checked.
pub(super) fn run(conv: &Conv, tile: Tile, o: Operands, prepared: &[f32], scratch: &mut [f32]) {
    let run = Run { conv, plan: Plan::new(conv, tile), o, prepared, scratch };
    match tile {
        Tile::Four => run.run::<Four, Four>(),
        Tile::Two => run.run::<Two, Two>(),
        Tile::Line => run.run::<One, Four>(),
    }
}
