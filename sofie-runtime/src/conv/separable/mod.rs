//! A depthwise convolution together with the products before and behind it: the blocks that MobileNets and their kin are made
//! of. What lies between is several times as large as what goes in and comes out, and is never there as a whole.

mod run;
#[cfg(test)]
mod tests;

use super::{Algo, Conv, Operands, extent};

/// `y = behind(depthwise(before(x)))`, each with its bias and activation, and a residual added by the last of them (He et
/// al.'s shortcut, inverted by Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018). The bits
/// are those of the kernels in turn, but for images of one pixel, whose products have one row each.
///
/// ```
/// use sofie_infer_runtime::conv::{Algo, Conv, Separable, Window};
/// // Moving sums of three over two channels, then the sum of both.
/// let lines = |k: usize| Window::new(&[1, 4], &[1, 4], &[1, k], &[1, 1], &[1, 1], &[0, k / 2]);
/// let depthwise = Conv::direct(1, lines(3), 2, 2, 2);
/// let behind = Conv { algo: Algo::Pointwise, ..Conv::direct(1, lines(1), 2, 1, 1) };
/// let (taps, ones) = (depthwise.pack(&[1.0; 6]), behind.pack(&[1.0; 2]));
/// let both = Separable { before: None, depthwise, behind: Some(behind) };
/// let mut y = [0.0; 4];
/// let x = [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 1.0];
/// both.run(&mut y, &x, &[], &[], &taps, &[], &ones, &[], &[], &mut vec![0.0; both.scratch()]);
/// assert_eq!(y, [3.0, 6.0, 10.0, 8.0]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Separable {
    /// A product of each pixel, or another convolution; its outputs lie nowhere, so `ldy` and `ldr` do not matter.
    pub before: Option<Conv>,
    /// One filter a channel.
    pub depthwise: Conv,
    /// A product of each pixel; its `ldx` does not matter.
    pub behind: Option<Conv>,
}

impl Separable {
    /// The layers in one, where they fit together and there are several.
    #[must_use]
    pub fn new(before: Option<Conv>, depthwise: Conv, behind: Option<Conv>) -> Option<Separable> {
        let several = before.is_some() || behind.is_some();
        let all = Separable { before, depthwise, behind };
        (several && all.is_supported()).then_some(all)
    }

    /// Whether each layer is one that is computed line by line, of the outputs of the one before.
    fn is_supported(&self) -> bool {
        let Separable { before, depthwise, behind } = self;
        let follows = |a: &Conv, b: &Conv| (a.batch, a.m, a.window.y) == (b.batch, b.c, b.window.x);
        let before = before.as_ref().is_none_or(|c| {
            let by_lines = matches!(c.algo, Algo::Pointwise | Algo::Implicit);
            by_lines && c.window.is_flat() && follows(c, depthwise)
        });
        let behind = behind.as_ref().is_none_or(|c| c.algo == Algo::Pointwise && follows(depthwise, c));
        let w = &depthwise.window;
        depthwise.algo == Algo::Depthwise && w.is_flat() && w.strides[1] > 0 && before && behind
    }

    /// The layer that reads x, and the one that writes y.
    fn ends(&self) -> [&Conv; 2] {
        [self.before.as_ref().unwrap_or(&self.depthwise), self.behind.as_ref().unwrap_or(&self.depthwise)]
    }

    /// Floats of scratch that [`Separable::run`] needs.
    #[must_use]
    pub fn scratch(&self) -> usize {
        run::scratch(self)
    }

    /// Floats of scratch that suffice for all extents from those of `least` to these: the height of strips is chosen by the
    /// extents, so that smaller ones may need more. `None` where the first layer needs some, which depends on the image.
    #[must_use]
    pub fn scratch_within(&self, least: &Separable) -> Option<usize> {
        let image = |all: &Separable| all.ends().map(|c| (c.window, c.ldx, c.ldy));
        if image(self) == image(least) {
            return Some(self.scratch());
        }
        let pointwise = self.before.as_ref().is_none_or(|c| c.algo == Algo::Pointwise);
        pointwise.then(|| run::most_scratch(self))
    }

    /// Runs all. Weights are the results of [`Conv::pack`], a bias has a float for each output channel or none, `residual` is
    /// like y or empty.
    ///
    /// # Panics
    /// When a slice is too short for the shape, or the layers do not fit.
    #[allow(clippy::too_many_arguments, reason = "the operands of three layers")]
    pub fn run(
        &self,
        y: &mut [f32],
        x: &[f32],
        w_before: &[f32],
        bias_before: &[f32],
        w: &[f32],
        bias: &[f32],
        w_behind: &[f32],
        bias_behind: &[f32],
        residual: &[f32],
        scratch: &mut [f32],
    ) {
        assert!(self.is_supported(), "no layers that follow on each other: {self:?}");
        let [first, last] = self.ends();
        let (x_pixels, y_pixels) = (first.window.x_pixels(), last.window.y_pixels());
        let (x_pixels, y_pixels) = (first.batch * x_pixels, first.batch * y_pixels);
        if y_pixels == 0 || last.m == 0 {
            return;
        }
        assert!(first.ldx >= first.c && last.ldy >= last.m, "pixels overlap in {self:?}");
        assert!(x.len() >= extent(x_pixels, first.ldx, first.c), "x is too short for {self:?}");
        assert!(y.len() >= extent(y_pixels, last.ldy, last.m), "y is too short for {self:?}");
        let of_residual = if residual.is_empty() { 0 } else { extent(y_pixels, last.ldr, last.m) };
        assert!(residual.len() >= of_residual, "the residual is too short for {self:?}");
        assert!(scratch.len() >= self.scratch(), "the scratch is too short for {self:?}");
        let layers = [
            (self.before.as_ref(), w_before, bias_before),
            (Some(&self.depthwise), w, bias),
            (self.behind.as_ref(), w_behind, bias_behind),
        ];
        for (layer, w, bias) in layers {
            let Some(layer) = layer else { continue };
            assert!(w.len() >= layer.packed_len(), "the packed weights are too short for {layer:?}");
            assert!(bias.is_empty() || bias.len() >= layer.m, "the bias is too short for {layer:?}");
        }
        let parameters = layers.map(|(_, w, bias)| run::Parameters { w, bias });
        run::run(self, parameters, Operands { y, x, w: &[], bias: &[], residual }, scratch);
    }
}
