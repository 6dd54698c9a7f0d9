//! Convolution and its transpose, channels last: for each tap of the window one product of a row of pixels
//! with the tap's weights. Taps in row-major order, then channels, are the order of k.

use super::product::{Layout, Product, begin, extras, finish, multiplied};
use super::window::{coordinates, covered, number, spatial, with_row};
use crate::ir::{Conv, ConvTranspose, Epilogue, Invalid, Tensor, Window};

pub(super) fn conv(c: &Conv, e: &Epilogue, x: &[&Tensor], dims: &[usize]) -> Result<Tensor, Invalid> {
    multiplied!("a convolution", x[0].dtype(), T => {
        let p = Problem::new(x, dims, &c.window, c.group)?;
        run::<T>(&p, e, x, dims, conv_row::<T>)
    })
}

pub(super) fn conv_transpose(
    c: &ConvTranspose,
    e: &Epilogue,
    x: &[&Tensor],
    dims: &[usize],
) -> Result<Tensor, Invalid> {
    multiplied!("a convolution", x[0].dtype(), T => {
        let p = Problem::new(x, dims, &c.window, c.group)?;
        run::<T>(&p, e, x, dims, conv_transpose_row::<T>)
    })
}

/// What both know of their operands.
struct Problem {
    window: Window,
    group: usize,
    /// Spatial extents of x and y.
    from: Vec<usize>,
    to: Vec<usize>,
    /// Channels of x and y.
    c: usize,
    m: usize,
}

impl Problem {
    fn new(x: &[&Tensor], dims: &[usize], window: &Window, group: usize) -> Result<Problem, Invalid> {
        let channels = |dims: &[usize]| dims.last().copied().unwrap_or(1);
        let (c, m) = (channels(x[0].dims()), channels(dims));
        if !c.is_multiple_of(group) || !m.is_multiple_of(group) {
            return Err(Invalid::new(format!("{c} and {m} channels do not divide into {group} groups")));
        }
        let (from, to) = (spatial(x[0].dims()), spatial(dims));
        Ok(Problem { window: with_row(window), group, from, to, c, m })
    }

    /// The axis that rows run along.
    fn last(&self) -> usize {
        self.from.len() - 1
    }
}

/// Pixels of a batch, the tap's weights, and the row of the result that is being computed.
struct Row<'a, T> {
    x: &'a [T],
    w: &'a [T],
    y: &'a mut [T],
    /// Coordinates of the row in the result, without the last axis.
    at: Vec<usize>,
    /// Coordinates of the tap, and its number.
    tap: Vec<usize>,
    number: usize,
}

fn run<T: Product>(
    p: &Problem,
    e: &Epilogue,
    operands: &[&Tensor],
    dims: &[usize],
    row: impl Fn(&Problem, Row<'_, T>),
) -> Result<Tensor, Invalid> {
    let (bias, residual) = extras(e, operands);
    let (x, w) = (T::of(operands[0]), T::of(operands[1]));
    let pixels = |dims: &[usize]| dims.iter().product::<usize>();
    let mut y: Vec<T> = begin(bias, dims[0] * pixels(&p.to), p.m);
    let (outer, length) = (&p.to[..p.last()], p.to[p.last()] * p.m);
    if length > 0 {
        for (i, y) in y.chunks_exact_mut(length).enumerate() {
            let batch = i / pixels(outer);
            let x = &x[batch * pixels(&p.from) * p.c..][..pixels(&p.from) * p.c];
            for number in 0..pixels(&p.window.kernel) {
                let (at, tap) =
                    (coordinates(i % pixels(outer), outer), coordinates(number, &p.window.kernel));
                row(p, Row { x, w: &w, y, at, tap, number });
            }
        }
    }
    finish(y, residual, e.act, operands[0].dtype(), dims)
}

/// Adds what one tap gives to a row: windows `first..end` meet pixels of one row of x, `stride` apart.
fn conv_row<T: Product>(p: &Problem, r: Row<'_, T>) {
    let mut at = Vec::new();
    for (axis, &o) in r.at.iter().enumerate() {
        match usize::try_from(covered(&p.window, axis, o, r.tap[axis])) {
            Ok(i) if i < p.from[axis] => at.push(i),
            _ => return,
        }
    }
    let (axis, n) = (p.last(), p.from[p.last()] as isize);
    let stride = p.window.strides[axis];
    let zeroth = covered(&p.window, axis, 0, r.tap[axis]);
    let below = |limit: isize| (limit - zeroth).max(0).unsigned_abs().div_ceil(stride).min(p.to[axis]);
    let (first, end) = (below(0), below(n));
    if first >= end {
        return;
    }
    at.push((zeroth + (first * stride) as isize) as usize);
    let (start, w) = (number(&at, &p.from) * p.c, &r.w[r.number * (p.c / p.group) * p.m..]);
    let (c, m) = (p.c / p.group, p.m / p.group);
    if c == 1 && m == 1 {
        // Depthwise: a product for each group would be one multiplication long.
        for o in first..end {
            let x = &r.x[start + (o - first) * stride * p.c..][..p.c];
            for ((y, x), w) in r.y[o * p.m..][..p.m].iter_mut().zip(x).zip(w) {
                *y = x.fused(*w, *y);
            }
        }
        return;
    }
    for g in 0..p.group {
        let layout = Layout { m: end - first, k: c, n: m, lda: stride * p.c, ldb: p.m, ldc: p.m };
        if c > 0 && m > 0 {
            T::multiply(layout, &r.x[start + g * c..], &w[g * m..], &mut r.y[first * p.m + g * m..]);
        }
    }
}

/// Adds what one tap gives to a row: pixels `first..end` of one row of x meet elements `stride` apart.
fn conv_transpose_row<T: Product>(p: &Problem, r: Row<'_, T>) {
    // The pixel whose window's tap covers an element of the result.
    let source = |axis: usize, o: usize| {
        let w = &p.window;
        let t = (o + w.pads_begin[axis]).checked_sub(r.tap[axis] * w.dilations[axis])?;
        (t % w.strides[axis] == 0).then_some(t / w.strides[axis]).filter(|&i| i < p.from[axis])
    };
    let mut at = Vec::new();
    for (axis, &o) in r.at.iter().enumerate() {
        match source(axis, o) {
            Some(i) => at.push(i),
            None => return,
        }
    }
    let axis = p.last();
    let stride = p.window.strides[axis];
    let zeroth = (r.tap[axis] * p.window.dilations[axis]) as isize - p.window.pads_begin[axis] as isize;
    let below = |limit: isize| (limit - zeroth).max(0).unsigned_abs().div_ceil(stride).min(p.from[axis]);
    let (first, end) = (below(0), below(p.to[axis] as isize));
    if first >= end {
        return;
    }
    at.push(first);
    let start = (zeroth + (first * stride) as isize) as usize;
    let (c, m) = (p.c / p.group, p.m / p.group);
    for g in 0..p.group {
        let layout = Layout { m: end - first, k: c, n: m, lda: p.c, ldb: m, ldc: stride * p.m };
        if c > 0 && m > 0 {
            let (a, b) = (&r.x[number(&at, &p.from) * p.c + g * c..], &r.w[(r.number * p.c + g * c) * m..]);
            T::multiply(layout, a, b, &mut r.y[start * p.m + g * m..]);
        }
    }
}
