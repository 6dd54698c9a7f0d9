//! The `f32` functions on one value and on slices: the same vector code, so the same bits.

use super::{Fn1, VisitFn1, visit};
use crate::map::Unary;
use crate::simd::{LANES, Op, Simd, dispatch};

/// The visited function along a slice, in place.
struct InPlace<'a, S> {
    s: S,
    x: &'a mut [f32],
}

impl<S: Simd> VisitFn1 for InPlace<'_, S> {
    #[inline(always)]
    fn visit<F: Fn1>(self, f: F) {
        let s = self.s;
        let (whole, rest) = self.x.as_chunks_mut::<LANES>();
        for x in whole {
            s.store(f.call(s, s.load(x)), x);
        }
        if !rest.is_empty() {
            s.store_part(f.call(s, s.load_part(rest, 1.0)), rest);
        }
    }
}

struct Run<'a>(Unary, &'a mut [f32]);

impl Op for Run<'_> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        visit(self.0, InPlace { s, x: self.1 });
    }
}

/// `op` on each element, in place.
pub(crate) fn unary_slice(op: Unary, x: &mut [f32]) {
    dispatch(Run(op, x));
}

/// `op` on `x`.
pub(crate) fn unary(op: Unary, x: f32) -> f32 {
    let mut y = [x];
    unary_slice(op, &mut y);
    y[0]
}

struct Pow(f32, f32);

impl Op for Pow {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        s.to_array(super::pow(s, s.splat(self.0), s.splat(self.1)))[0]
    }
}

/// `x^y`.
pub(crate) fn pow(x: f32, y: f32) -> f32 {
    dispatch(Pow(x, y))
}
