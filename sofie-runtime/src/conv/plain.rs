//! Convolution of any element type as plain loops: one chain an output over kernel positions, then channels.

use super::number::{Arithmetic, Kernel, run_float};
use super::window::Pixel;
use super::{Conv, ConvTranspose, extent};
use crate::{Element, bf16, f16};

/// An element type whose convolutions are plain loops. `f16` and `bf16` are summed in `f32`, integers wrap.
pub trait PlainConv: Element + Arithmetic {
    #[doc(hidden)]
    fn conv(conv: &Conv, y: &mut [Self], x: &[Self], w: &[Self], bias: &[Self], residual: &[Self]);
    #[doc(hidden)]
    fn conv_transpose(
        conv: &ConvTranspose,
        y: &mut [Self],
        x: &[Self],
        w: &[Self],
        bias: &[Self],
        residual: &[Self],
    );
}

macro_rules! plain_conv {
    ($($t:ty => $run:path;)*) => {$(
        // The methods of a trait for one type are compiled here and not where they are called.
        impl PlainConv for $t {
            fn conv(conv: &Conv, y: &mut [$t], x: &[$t], w: &[$t], bias: &[$t], residual: &[$t]) {
                $run(Forward { conv, y, x, w, bias, residual });
            }
            fn conv_transpose(
                conv: &ConvTranspose, y: &mut [$t], x: &[$t], w: &[$t], bias: &[$t], residual: &[$t],
            ) {
                $run(Transposed { conv, y, x, w, bias, residual });
            }
        }
    )*};
}

plain_conv! { f64 => run_float; f16 => run_float; bf16 => run_float; i32 => Kernel::run; i64 => Kernel::run; }

/// Filters that are summed at once: the loop over them is what the compiler makes vectors of.
const FILTERS: usize = 16;

impl Conv {
    /// The convolution of the types that have no kernels of their own. `w` is `[kernel…, c / group, m]`, not packed; `bias` and `residual` as for
    /// [`Conv::run`]. Any activation for floats, `Relu` for integers.
    ///
    /// # Panics
    /// When a slice is too short for the shape.
    pub fn run_plain<T: PlainConv>(&self, y: &mut [T], x: &[T], w: &[T], bias: &[T], residual: &[T]) {
        T::conv(self, y, x, w, bias, residual);
    }
}

impl ConvTranspose {
    /// The transposed convolution of the types that have no kernels of their own. `w` is `[kernel…, c, m / group]`, not packed; the rest as for
    /// [`Conv::run_plain`].
    ///
    /// # Panics
    /// When a slice is too short for the shape.
    pub fn run_plain<T: PlainConv>(&self, y: &mut [T], x: &[T], w: &[T], bias: &[T], residual: &[T]) {
        T::conv_transpose(self, y, x, w, bias, residual);
    }
}

/// The operands of a [`Conv`].
struct Forward<'a, T> {
    conv: &'a Conv,
    y: &'a mut [T],
    x: &'a [T],
    w: &'a [T],
    bias: &'a [T],
    residual: &'a [T],
}

impl<T: Arithmetic> Kernel for Forward<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Forward { conv, y, x, w, bias, residual } = self;
        let window = &conv.window;
        let rows = conv.batch * window.y_pixels();
        assert!(y.len() >= extent(rows, conv.ldy, conv.m), "y is too short for {conv:?}");
        let (c, m) = (conv.c / conv.group, conv.m / conv.group);
        for row in 0..rows {
            let pixel = Pixel::of_row(row, &window.y);
            for first in (0..conv.m).step_by(FILTERS) {
                let filters = FILTERS.min(conv.m - first);
                let mut sums = start(bias, first, filters);
                for tap in 0..window.taps() {
                    let at = source(pixel, Pixel::of_row(tap, &window.kernel).at, conv);
                    for ch in 0..c {
                        let w = &w[(tap * c + ch) * conv.m + first..][..filters];
                        for (j, (sum, &w)) in sums.iter_mut().zip(w).enumerate() {
                            let ch = (first + j) / m * c + ch;
                            let x = at.map_or(T::ZERO, |at| x[at * conv.ldx + ch].widen());
                            *sum = T::mul_add(x, w.widen(), *sum);
                        }
                    }
                }
                finish(
                    conv.act,
                    &sums,
                    &mut y[row * conv.ldy + first..][..filters],
                    residual,
                    row * conv.ldr + first,
                );
            }
        }
    }
}

/// The row of x that a tap of a window reads, unless it is padding.
#[inline(always)]
fn source(pixel: Pixel, tap: [usize; 3], conv: &Conv) -> Option<usize> {
    let w = &conv.window;
    let mut row = pixel.image;
    for (i, tap) in tap.into_iter().enumerate() {
        let at = (pixel.at[i] * w.strides[i] + tap * w.dilations[i]).checked_sub(w.pads_begin[i])?;
        if at >= w.x[i] {
            return None;
        }
        row = row * w.x[i] + at;
    }
    Some(row)
}

/// The sums before the first product.
#[inline(always)]
fn start<T: Arithmetic>(bias: &[T], first: usize, filters: usize) -> [T::Sum; FILTERS] {
    let mut sums = [T::ZERO; FILTERS];
    if !bias.is_empty() {
        for (sum, &b) in sums.iter_mut().zip(&bias[first..][..filters]) {
            *sum = b.widen();
        }
    }
    sums
}

/// Residual, activation, rounding.
#[inline(always)]
fn finish<T: Arithmetic>(act: crate::Act, sums: &[T::Sum; FILTERS], y: &mut [T], residual: &[T], at: usize) {
    for (j, y) in y.iter_mut().enumerate() {
        let mut sum = sums[j];
        if !residual.is_empty() {
            sum = T::add(sum, residual[at + j].widen());
        }
        *y = T::narrow(T::activate(act, sum));
    }
}

/// The operands of a [`ConvTranspose`].
struct Transposed<'a, T> {
    conv: &'a ConvTranspose,
    y: &'a mut [T],
    x: &'a [T],
    w: &'a [T],
    bias: &'a [T],
    residual: &'a [T],
}

impl<T: Arithmetic> Kernel for Transposed<'_, T> {
    #[inline(always)]
    fn run(self) {
        let Transposed { conv, y, x, w, bias, residual } = self;
        let window = &conv.window;
        let rows = conv.batch * window.y_pixels();
        assert!(y.len() >= extent(rows, conv.ldy, conv.m), "y is too short for {conv:?}");
        let (c, m) = (conv.c / conv.group, conv.m / conv.group);
        for row in 0..rows {
            let pixel = Pixel::of_row(row, &window.y);
            for first in (0..conv.m).step_by(FILTERS) {
                let filters = FILTERS.min(conv.m - first);
                let mut sums = start(bias, first, filters);
                for tap in 0..window.taps() {
                    let Some(at) = back(pixel, Pixel::of_row(tap, &window.kernel).at, conv) else { continue };
                    let inside = at != OUTSIDE;
                    for (j, sum) in sums[..filters].iter_mut().enumerate() {
                        let (group, filter) = ((first + j) / m, (first + j) % m);
                        for ch in group * c..(group + 1) * c {
                            let w = w[(tap * conv.c + ch) * m + filter];
                            let x = if inside { x[at * conv.ldx + ch].widen() } else { T::ZERO };
                            *sum = T::mul_add(x, w.widen(), *sum);
                        }
                    }
                }
                finish(
                    conv.act,
                    &sums,
                    &mut y[row * conv.ldy + first..][..filters],
                    residual,
                    row * conv.ldr + first,
                );
            }
        }
    }
}

/// Where x has no pixel: it counts as zeros.
const OUTSIDE: usize = usize::MAX;

/// The row of x that a tap carries to `pixel`, [`OUTSIDE`] or, where the strides leave a gap, nothing.
#[inline(always)]
fn back(pixel: Pixel, tap: [usize; 3], conv: &ConvTranspose) -> Option<usize> {
    let w = &conv.window;
    let (mut row, mut inside) = (pixel.image, true);
    for (i, tap) in tap.into_iter().enumerate() {
        let (at, reach) = (pixel.at[i] + w.pads_begin[i], tap * w.dilations[i]);
        if at.abs_diff(reach) % w.strides[i] != 0 {
            return None;
        }
        let at = at.wrapping_sub(reach);
        inside &= at / w.strides[i] < w.x[i];
        row = row.wrapping_mul(w.x[i]).wrapping_add(at / w.strides[i]);
    }
    Some(if inside { row } else { OUTSIDE })
}
