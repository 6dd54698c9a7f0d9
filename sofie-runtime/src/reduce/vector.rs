//! `f32` reductions. Four walks: results side by side when the innermost kept axis is contiguous in `x`, lanes along a
//! contiguous reduced run, 16 results at once where the run is short, one element at a time when neither is contiguous.

use super::fold::{Fold, Max, with_fold};
use super::{Reduce, ReduceKind, Walk};
use crate::copy::RANK;
use crate::simd::{LANES, Op, Simd, dispatch};

/// # Safety
/// The walks of `r` stay inside the memory of `y` and `x`.
pub(super) unsafe fn reduce(r: &Reduce, y: *mut f32, x: *const f32) {
    dispatch(Run { r, y, x });
}

struct Run<'a> {
    r: &'a Reduce,
    y: *mut f32,
    x: *const f32,
}

impl Op for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        with_fold!(self.r.kind, outlined, s, self);
    }
}

/// One fold as a function of its own.
#[inline(always)]
fn outlined<S: Simd, F: Fold>(s: S, run: Run<'_>) {
    struct One<'a, F>(Run<'a>, core::marker::PhantomData<F>);
    impl<F: Fold> Op for One<'_, F> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            // SAFETY: `reduce`'s caller promised that the walks stay inside.
            unsafe { walk::<S, F>(s, self.0.r, self.0.y, self.0.x) }
        }
    }
    s.outline(One::<F>(run, core::marker::PhantomData));
}

/// # Safety
/// As [`reduce`].
#[inline(always)]
unsafe fn walk<S: Simd, F: Fold>(s: S, r: &Reduce, y: *mut f32, x: *const f32) {
    let (rank, folded) = (r.rank, r.folded);
    let shifted = r.kind == ReduceKind::LogSumExp;
    if shifted {
        // The largest element goes first; what is not finite does not shift, so that its own rule holds.
        let largest = Reduce { kind: ReduceKind::Max, ..r.clone() };
        // SAFETY: the same walks.
        unsafe { walk_plain::<S, Max>(s, &largest, y, x) };
    }
    let start = (r.y_offset as isize, r.x_offset as isize);
    let count = r.count() as f32;
    let side_by_side = rank > 0 && r.x[rank - 1] == 1 && r.y[rank - 1] == 1;
    let along = folded > 0 && r.folded_x[folded - 1] == 1;
    if side_by_side && !(along && r.folded_dims[folded - 1] > 1) {
        let n = r.dims[rank - 1];
        let mut walk = Walk::new(&r.dims[..rank - 1], &r.y, &r.x, start);
        while let Some((py, px)) = walk.step() {
            let mut c = 0;
            while c < n {
                let width = (n - c).min(4 * LANES);
                // SAFETY: columns c..c + width of the innermost kept axis are inside both walks.
                unsafe {
                    let (py, px) = (y.offset(py).add(c), x.offset(px).add(c));
                    match width {
                        49.. => columns::<S, F, 4>(s, r, py, px, width, shifted, count),
                        33.. => columns::<S, F, 3>(s, r, py, px, width, shifted, count),
                        17.. => columns::<S, F, 2>(s, r, py, px, width, shifted, count),
                        _ => columns::<S, F, 1>(s, r, py, px, width, shifted, count),
                    }
                }
                c += width;
            }
        }
    } else if along && folded == 1 && r.folded_dims[0] <= LANES && rank > 0 && r.y[rank - 1] == 1 {
        let (n, step) = (r.dims[rank - 1], r.x[rank - 1]);
        let mut walk = Walk::new(&r.dims[..rank - 1], &r.y, &r.x, start);
        while let Some((py, px)) = walk.step() {
            let mut c = 0;
            while c < n {
                // SAFETY: results c and on of the innermost kept axis, and all their elements, are inside both walks.
                unsafe {
                    let (py, px) = (y.offset(py).add(c), x.offset(px).offset(c as isize * step));
                    if n - c >= LANES {
                        short::<S, F>(s, r.folded_dims[0], py, px, step, shifted, count);
                        c += LANES;
                    } else {
                        one::<S, F>(s, r, py, px, along, shifted, count);
                        c += 1;
                    }
                }
            }
        }
    } else {
        let mut walk = Walk::new(&r.dims[..rank], &r.y, &r.x, start);
        while let Some((py, px)) = walk.step() {
            // SAFETY: one result and all its elements are inside both walks.
            unsafe { one::<S, F>(s, r, y.offset(py), x.offset(px), along, shifted, count) }
        }
    }
}

/// The walk of a fold that needs no shift.
///
/// # Safety
/// As [`reduce`].
#[inline(always)]
unsafe fn walk_plain<S: Simd, F: Fold>(s: S, r: &Reduce, y: *mut f32, x: *const f32) {
    let along = r.folded > 0 && r.folded_x[r.folded - 1] == 1;
    let start = (r.y_offset as isize, r.x_offset as isize);
    let mut walk = Walk::new(&r.dims[..r.rank], &r.y, &r.x, start);
    while let Some((py, px)) = walk.step() {
        // SAFETY: one result and all its elements are inside both walks.
        unsafe { one::<S, F>(s, r, y.offset(py), x.offset(px), along, false, 0.0) }
    }
}

/// What [`ReduceKind::LogSumExp`] subtracts: the largest element, unless that is not finite.
#[inline(always)]
fn shift_of<S: Simd>(s: S, largest: S::F32) -> S::F32 {
    let finite = s.lt(s.abs(largest), s.splat(f32::INFINITY));
    s.select(finite, largest, s.zero())
}

/// `width` results side by side in `V` vectors.
///
/// # Safety
/// `y` and, at each reduced index, `x` hold `width` floats.
#[inline(always)]
unsafe fn columns<S: Simd, F: Fold, const V: usize>(
    s: S,
    r: &Reduce,
    y: *mut f32,
    x: *const f32,
    width: usize,
    shifted: bool,
    count: f32,
) {
    // The last vector alone may have lanes past the end.
    let last = s.mask_first(width - (V - 1) * LANES);
    let (full, zero) = (width == V * LANES, s.zero());
    // SAFETY: lanes past `width` are masked.
    unsafe {
        let mut shift = [zero; V];
        if shifted {
            for (v, shift) in shift.iter_mut().enumerate() {
                let largest = if v + 1 < V || full {
                    s.load_ptr(y.add(v * LANES))
                } else {
                    s.load_masked_ptr(y.add(v * LANES), last, zero)
                };
                *shift = shift_of(s, largest);
            }
        }
        let mut acc = [s.splat(F::START); V];
        let folded = r.folded.max(1);
        let (inner, step) =
            if r.folded == 0 { (1, 0) } else { (r.folded_dims[folded - 1], r.folded_x[folded - 1]) };
        let mut walk = Walk::new(&r.folded_dims[..folded - 1], &[0; RANK], &r.folded_x, (0, 0));
        while let Some((_, px)) = walk.step() {
            let mut p = x.offset(px);
            for _ in 0..inner {
                for v in 0..V {
                    let e = if v + 1 < V || full {
                        s.load_ptr(p.add(v * LANES))
                    } else {
                        s.load_masked_ptr(p.add(v * LANES), last, zero)
                    };
                    acc[v] = F::step(s, acc[v], e, shift[v]);
                }
                p = p.wrapping_offset(step);
            }
        }
        for v in 0..V {
            let out = F::finish(s, acc[v], shift[v], count);
            if v + 1 < V || full {
                s.store_ptr(out, y.add(v * LANES));
            } else {
                s.store_first_ptr(out, y.add(v * LANES), width - v * LANES);
            }
        }
    }
}

/// 16 results over runs of `n <= 16`, which begin at `step` from each other: a lane is a result, the tree that of
/// [`one`].
///
/// # Safety
/// `y` holds 16 floats, `x` all runs.
#[inline(always)]
unsafe fn short<S: Simd, F: Fold>(
    s: S,
    n: usize,
    y: *mut f32,
    x: *const f32,
    step: isize,
    shifted: bool,
    count: f32,
) {
    let mask = s.mask_first(n);
    // SAFETY: the caller's promise; lanes past a run's end are masked.
    unsafe {
        let shift = if shifted { shift_of(s, s.load_ptr(y)) } else { s.zero() };
        let mut runs = [s.zero(); LANES];
        for (i, run) in runs.iter_mut().enumerate() {
            *run = s.load_masked_ptr(x.offset(i as isize * step), mask, s.zero());
        }
        s.transpose(&mut runs);
        let mut acc = [s.splat(F::START); LANES];
        for (acc, run) in acc.iter_mut().zip(runs).take(n) {
            *acc = F::step(s, *acc, run, shift);
        }
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                acc[i] = F::join(s, acc[i], acc[i + half]);
            }
        }
        s.store_ptr(F::finish(s, acc[0], shift, count), y);
    }
}

/// One result.
///
/// # Safety
/// `y` is one float, `x` holds all reduced elements.
#[inline(always)]
unsafe fn one<S: Simd, F: Fold>(
    s: S,
    r: &Reduce,
    y: *mut f32,
    x: *const f32,
    along: bool,
    shifted: bool,
    count: f32,
) {
    let folded = r.folded.max(1);
    let (inner, step) =
        if r.folded == 0 { (1, 0) } else { (r.folded_dims[folded - 1], r.folded_x[folded - 1]) };
    let start = s.splat(F::START);
    let mut acc = start;
    // SAFETY: the walk of the reduced axes is inside `x`; lanes past a run's end are masked.
    unsafe {
        let shift = if shifted { shift_of(s, s.splat(*y)) } else { s.zero() };
        let mut walk = Walk::new(&r.folded_dims[..folded - 1], &[0; RANK], &r.folded_x, (0, 0));
        while let Some((_, px)) = walk.step() {
            let p = x.offset(px);
            let mut i = 0;
            while i + LANES <= inner {
                let e = if along {
                    s.load_ptr(p.add(i))
                } else {
                    apart(s, p.offset(i as isize * step), step, LANES)
                };
                acc = F::step(s, acc, e, shift);
                i += LANES;
            }
            if i < inner {
                let left = inner - i;
                let mask = s.mask_first(left);
                let e = if along {
                    s.load_masked_ptr(p.add(i), mask, s.zero())
                } else {
                    apart(s, p.offset(i as isize * step), step, left)
                };
                acc = s.select(mask, F::step(s, acc, e, shift), acc);
            }
        }
        let total = F::combine(s, acc);
        let out = F::finish(s, s.splat(total), shift, count);
        let mut lane = [0.0; LANES];
        s.store(out, &mut lane);
        *y = lane[0];
    }
}

/// `n <= 16` floats at a distance of `step`, then zeros.
///
/// # Safety
/// All of them exist.
#[inline(always)]
unsafe fn apart<S: Simd>(s: S, x: *const f32, step: isize, n: usize) -> S::F32 {
    let mut lanes = [0.0; LANES];
    for (i, lane) in lanes.iter_mut().enumerate().take(n) {
        // SAFETY: the caller's promise.
        *lane = unsafe { *x.offset(i as isize * step) };
    }
    s.load(&lanes)
}
