//! Convolution over one to three spatial axes, channels last.
//!
//! [`Conv`] describes one; its [`Algo`] is chosen from the shapes alone, so that results do not depend on the
//! CPU. Weights are packed ahead of time in the form that the algorithm reads ([`Conv::pack`]). Every output
//! (but for Winograd's) is one chain of fused multiply-adds over kernel positions, then channels, from the
//! bias on; padding takes part as zeros.

mod depthwise;
mod epilogue;
mod implicit;
mod narrow;
pub(crate) mod number;
mod pack;
mod plain;
mod planar;
mod pooled;
mod separable;
#[cfg(test)]
mod tests;
mod transpose;
pub(crate) mod window;
mod winograd;

pub use self::plain::PlainConv;
pub use self::pooled::ConvPool;
pub use self::separable::Separable;
pub use self::transpose::ConvTranspose;
pub use self::window::Window;
pub use self::winograd::Tile;
use crate::Act;
use crate::gemm::NR;
use crate::parallel;
use core::ops::Range;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algo {
    /// The windows are the pixels: a matrix product on the image as it lies.
    Pointwise,
    /// A matrix product whose rows are gathered from the image, group by group.
    Implicit,
    /// One filter a channel: channels side by side, no products of matrices.
    Depthwise,
    /// Pixels side by side, in one plane a channel: for few filters a group.
    Planar,
    /// Pixels side by side with all filters of each: for small images of few channels and few filters.
    Narrow,
    /// Tiles are transformed, so that they take fewer multiplications. Its sums are rounded differently: about
    /// twice the error of a direct sum, by the largest output.
    Winograd(Tile),
}

/// `y = act(conv(x, w) + bias + residual)`: x is `[batch, x…, c]`, y and the residual are `[batch, y…, m]`, the
/// weights `[kernel…, c / group, m]` in packed form.
///
/// ```
/// use sofie_infer_runtime::conv::{Conv, Window};
/// // A moving sum of three over five pixels of one channel.
/// let conv = Conv::new(1, Window::new(&[5], &[3], &[3], &[1], &[1], &[0]), 1, 1, 1);
/// let weights = conv.pack(&[1.0, 1.0, 1.0]);
/// let mut y = [0.0; 3];
/// let mut scratch = vec![0.0; conv.scratch()];
/// conv.run(&mut y, &[1.0, 2.0, 3.0, 4.0, 5.0], &weights, &[], &[], &[], &mut scratch);
/// assert_eq!(y, [6.0, 9.0, 12.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Images.
    pub batch: usize,
    /// The window and the spatial extents.
    pub window: Window,
    /// Channels of x, a multiple of `group`.
    pub c: usize,
    /// Channels of y, a multiple of `group`.
    pub m: usize,
    /// Groups of channels that do not see each other.
    pub group: usize,
    /// Floats from a pixel of x to the next.
    pub ldx: usize,
    /// Floats from a pixel of y to the next.
    pub ldy: usize,
    /// Floats from a pixel of the residual to the next.
    pub ldr: usize,
    /// Applied last.
    pub act: Act,
    /// How it is computed; [`Conv::new`] chooses.
    pub algo: Algo,
}

impl Conv {
    /// A convolution over dense tensors without activation, and the algorithm for its shape.
    ///
    /// # Panics
    /// When `group` does not divide the channels.
    pub const fn new(batch: usize, window: Window, c: usize, m: usize, group: usize) -> Conv {
        let conv = Conv::direct(batch, window, c, m, group);
        match Conv::tile(window, c, m, group) {
            Some(tile) => Conv { algo: Algo::Winograd(tile), ..conv },
            None => conv,
        }
    }

    /// The tiles that a convolution is worth transforming in. They round otherwise than a direct sum does, so one image
    /// decides: the number of images changes no bit.
    ///
    /// # Panics
    /// When `group` does not divide the channels.
    #[must_use]
    pub const fn tile(window: Window, c: usize, m: usize, group: usize) -> Option<Tile> {
        let conv = Conv::direct(1, window, c, m, group);
        match conv.algo {
            Algo::Depthwise => None,
            Algo::Planar => winograd::choose(&conv, planar::cost(&conv)),
            Algo::Narrow => winograd::choose(&conv, narrow::cost(&conv)),
            _ => winograd::choose(&conv, usize::MAX),
        }
    }

    /// A convolution as a direct sum: all algorithms but those of [`Tile`]s give the same bits.
    ///
    /// # Panics
    /// When `group` does not divide the channels.
    #[must_use]
    pub const fn direct(batch: usize, window: Window, c: usize, m: usize, group: usize) -> Conv {
        assert!(group != 0 && c.is_multiple_of(group) && m.is_multiple_of(group), "groups divide channels");
        let algo = Algo::Implicit;
        let conv = Conv { batch, window, c, m, group, ldx: c, ldy: m, ldr: m, act: Act::None, algo };
        let algo = if depthwise::fits(&conv) {
            Algo::Depthwise
        } else {
            let (taps, pixels) = (window.taps(), batch * window.y_pixels());
            let pointwise = window.is_pointwise();
            // Cycles of a tile for its pointers: where windows slide, one a piece and not one a piece and row.
            let pointers = if pointwise {
                0
            } else if implicit::is_sliding(&conv) {
                12 * window.kernel[0] * window.kernel[1]
            } else {
                36 * taps
            };
            let direct = direct_cost(pixels, taps, pointers, c / group, m / group, group);
            let planar = planar::cost(&conv);
            let narrow = narrow::cost(&conv);
            if narrow < direct && narrow < planar && !pointwise {
                Algo::Narrow
            } else if planar < direct - direct / 5 {
                Algo::Planar
            } else if pointwise {
                Algo::Pointwise
            } else {
                Algo::Implicit
            }
        };
        Conv { algo, ..conv }
    }

    /// Operations of a direct sum.
    pub(super) const fn operations(&self) -> usize {
        let k = self.window.taps().saturating_mul(self.c / self.group);
        2usize.saturating_mul(self.batch * self.window.y_pixels()).saturating_mul(k).saturating_mul(self.m)
    }

    /// The convolution of some lines of outputs of an image of one plane, dense in y, and the line of the image that it
    /// begins with.
    fn lines(&self, lines: &Range<usize>) -> (Conv, usize) {
        let w = &self.window;
        let first = w.line_at(lines.start * w.strides[1]);
        let window = w.part(lines, &(first..w.x[1]));
        (Conv { batch: 1, window, ldy: self.m, ..self.clone() }, first)
    }

    /// Floats of scratch that [`Conv::run`] needs.
    pub const fn scratch(&self) -> usize {
        match self.algo {
            Algo::Pointwise | Algo::Depthwise | Algo::Narrow => 0,
            Algo::Implicit => implicit::scratch(self),
            Algo::Planar => planar::scratch(self),
            Algo::Winograd(tile) => winograd::scratch(self, tile),
        }
    }

    /// Floats of scratch that suffice for all extents from those of `least` to these: blocks are chosen by the extents, so
    /// that smaller ones may need more.
    /// `None` where it depends on the extents of the image otherwise than by the number of tiles.
    #[must_use]
    pub fn scratch_within(&self, least: &Conv) -> Option<usize> {
        if let Algo::Winograd(_) = self.algo {
            // Its blocks depend on the number of tiles alone, and do not grow beyond so many.
            const TILES: usize = 512;
            let window = Window { y: [1, 1, 1], ..self.window };
            return (1..=TILES).map(|batch| Conv { batch, window, ..self.clone() }.scratch()).max();
        }
        // The number of images does not matter.
        let alike = (self.window, self.ldx, self.ldy) == (least.window, least.ldx, least.ldy);
        alike.then(|| self.scratch())
    }

    /// Runs the convolution. `w` is [`Conv::pack`]'s result, `prepared` holds what [`Conv::prepare`] wrote;
    /// `bias` has `m` elements or none, `residual` is like y or empty.
    ///
    /// # Panics
    /// When a slice is too short for the shape.
    #[allow(clippy::too_many_arguments, reason = "the operands of a convolution")]
    pub fn run(
        &self,
        y: &mut [f32],
        x: &[f32],
        w: &[f32],
        prepared: &[f32],
        bias: &[f32],
        residual: &[f32],
        scratch: &mut [f32],
    ) {
        if self.batch == 0 || self.m == 0 || self.window.y_pixels() == 0 {
            return;
        }
        let (x_pixels, y_pixels) = (self.batch * self.window.x_pixels(), self.batch * self.window.y_pixels());
        assert!(self.ldx >= self.c && self.ldy >= self.m, "pixels overlap in {self:?}");
        assert!(x.len() >= extent(x_pixels, self.ldx, self.c), "x is too short for {self:?}");
        assert!(y.len() >= extent(y_pixels, self.ldy, self.m), "y is too short for {self:?}");
        assert!(w.len() >= self.packed_len(), "the packed weights are too short for {self:?}");
        assert!(prepared.len() >= self.prepared_len(), "the prepared weights are too short for {self:?}");
        assert!(bias.is_empty() || bias.len() >= self.m, "the bias is too short for {self:?}");
        assert!(
            residual.is_empty() || residual.len() >= extent(y_pixels, self.ldr, self.m),
            "the residual is too short for {self:?}"
        );
        assert!(scratch.len() >= self.scratch(), "the scratch is too short for {self:?}");
        let operands = Operands { y, x, w, bias, residual };
        match self.algo {
            Algo::Pointwise => implicit::run_pointwise(self, operands),
            Algo::Implicit => implicit::run(self, operands, scratch),
            Algo::Depthwise => depthwise::run(self, operands, usize::MAX),
            Algo::Planar => planar::run(self, operands, scratch),
            Algo::Narrow => narrow::run(self, operands),
            Algo::Winograd(tile) => winograd::run(self, tile, operands, prepared, scratch),
        }
    }
}

/// An estimate, in cycles of a core that does one vector of products in each, of products of matrices whose rows
/// are `pixels` pixels: a tile of 12 rows costs about 100 cycles and some for its pointers.
const fn direct_cost(pixels: usize, taps: usize, pointers: usize, c: usize, m: usize, group: usize) -> usize {
    let tiles = pixels.div_ceil(12);
    300 + group * (pixels * taps * c * m.div_ceil(NR) + tiles * (100 + pointers))
}

/// Floats from the first to the last of `pixels` pixels of `c` channels, `ld` apart; huge if it overflows.
pub(crate) const fn extent(pixels: usize, ld: usize, c: usize) -> usize {
    if pixels == 0 || c == 0 { 0 } else { (pixels - 1).saturating_mul(ld).saturating_add(c) }
}

/// What a convolution reads and writes; slices that may be longer than what is meant.
struct Operands<'a> {
    y: &'a mut [f32],
    x: &'a [f32],
    w: &'a [f32],
    /// May be empty: zeros.
    bias: &'a [f32],
    /// May be empty: none.
    residual: &'a [f32],
}

impl Operands<'_> {
    /// Those of one group, whose weights are packed apart.
    fn group(&mut self, conv: &Conv, group: usize) -> Operands<'_> {
        let m = group * (conv.m / conv.group);
        Operands {
            y: &mut self.y[m..],
            x: from(self.x, group * (conv.c / conv.group)),
            w: from(self.w, group * (conv.packed_len() / conv.group)),
            bias: from(self.bias, m),
            residual: from(self.residual, m),
        }
    }
}

/// Some lines of outputs of a convolution; y begins with the first.
struct Lines<'a, 'o> {
    conv: &'a Conv,
    lines: Range<usize>,
    o: Operands<'o>,
}

/// Runs a convolution that is computed line by line of its outputs, in parts for several cores as `operations` allow.
fn by_lines(conv: &Conv, o: Operands, operations: usize, run: impl Fn(Lines) + Sync) {
    let w = &conv.window;
    let lines = conv.batch * w.y[0] * w.y[1];
    let parts = parallel::parts(operations, lines);
    let Operands { y, x, w: weights, bias, residual } = o;
    parallel::for_each_slice(
        y,
        |line| line * w.y[2] * conv.ldy,
        lines,
        parts,
        |lines, y| run(Lines { conv, lines, o: Operands { y, x, w: weights, bias, residual } }),
    );
}

/// `x[n..]`, nothing of nothing.
fn from(x: &[f32], n: usize) -> &[f32] {
    if x.is_empty() { x } else { &x[n..] }
}
