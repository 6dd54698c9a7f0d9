//! The gates of one step of one sequence: activations over runs of gates, then the new state.

use super::{Cell, sequence::Sequence};
use crate::act::{self, Act};
use crate::math;
use crate::simd::{LANES, Op, Simd};

/// 16 floats, or those of them that are left.
/// # Safety
/// `p` must be valid for reading `left` floats, 16 at most.
#[inline(always)]
unsafe fn load<S: Simd>(s: S, p: *const f32, left: usize) -> S::F32 {
    // SAFETY: the caller's promise.
    unsafe { if left >= LANES { s.load_ptr(p) } else { s.load_masked_ptr(p, s.mask_first(left), s.zero()) } }
}

/// 16 floats, or those of them that are left.
/// # Safety
/// `p` must be valid for writing `left` floats, 16 at most.
#[inline(always)]
unsafe fn store<S: Simd>(s: S, v: S::F32, p: *mut f32, left: usize) {
    // SAFETY: the caller's promise.
    unsafe { s.store_first_ptr(v, p, left) }
}

/// `1 + e^-x`; arguments past ±87 count as that.
#[inline(always)]
fn one_plus_exp_neg<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let x = s.clamp(x, s.splat(-87.0), s.splat(87.0));
    s.add(math::exp_bounded(s, s.neg(x)), s.splat(1.0))
}

/// `σ(a) tanh(b)`.
#[inline(always)]
fn gated_tanh<S: Simd>(s: S, a: S::F32, b: S::F32) -> S::F32 {
    // The tangent is 1 in f32 from 9.02 on.
    let y = s.min_raw(s.splat(10.0), s.abs(b));
    let t = math::expm1_bounded(s, s.add(y, y));
    s.copysign(s.div(t, s.mul(one_plus_exp_neg(s, a), s.add(t, s.splat(2.0)))), b)
}

/// Clips `n` floats and applies an activation to them, in place.
///
/// A kernel of its own, outlined: the activations are too much code to have more than once.
struct Activate {
    act: Act,
    x: *mut f32,
    n: usize,
    clip: f32,
}

impl Op for Activate {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // SAFETY: whoever made this promised `n` floats at `x`.
        unsafe {
            match self.act {
                // The two that nearly all cells have, in loops without another choice.
                Act::Sigmoid => self.each(s, Act::Sigmoid),
                Act::Tanh => self.each(s, Act::Tanh),
                act => self.each(s, act),
            }
        }
    }
}

impl Activate {
    /// # Safety
    /// There must be `n` floats at `x`.
    #[inline(always)]
    unsafe fn each<S: Simd>(&self, s: S, act: Act) {
        let (lo, hi) = (s.splat(-self.clip), s.splat(self.clip));
        for at in (0..self.n).step_by(LANES) {
            // SAFETY: the caller's promise.
            unsafe {
                let (x, left) = (self.x.add(at), self.n - at);
                store(s, act::apply(s, act, s.clamp(load(s, x, left), lo, hi)), x, left);
            }
        }
    }
}

impl Sequence<'_> {
    #[inline(always)]
    fn activate<S: Simd>(&self, s: S, act: Act, x: *mut f32, n: usize) {
        s.outline(Activate { act, x, n, clip: self.layer.clip.unwrap_or(f32::INFINITY) });
    }

    /// `x += p · c`, a peephole.
    /// # Safety
    /// All three must have H floats.
    #[inline(always)]
    unsafe fn peep<S: Simd>(&self, s: S, x: *mut f32, p: *const f32, c: *const f32) {
        let hidden = self.layer.hidden;
        for at in (0..hidden).step_by(LANES) {
            let left = hidden - at;
            // SAFETY: the caller's promise.
            unsafe {
                let sum =
                    s.mul_add(load(s, p.add(at), left), load(s, c.add(at), left), load(s, x.add(at), left));
                store(s, sum, x.add(at), left);
            }
        }
    }

    /// A GRU that resets before its product: z and r of sequence `b`, and `r ⊙ h` beside them.
    /// # Safety
    /// `gates` must be the row of a sequence of this run.
    #[inline(always)]
    pub(super) unsafe fn reset<S: Simd>(&mut self, s: S, b: usize, gates: *mut f32) {
        let Cell::Gru { f, .. } = self.layer.cell else { return };
        let hidden = self.layer.hidden;
        self.activate(s, f, gates, 2 * hidden);
        // SAFETY: the caller's promise; states and what stands beside them are `[B, H]`.
        unsafe {
            let (h, to) = (self.h.as_ptr().add(b * hidden), self.beside.as_mut_ptr().add(b * hidden));
            for at in (0..hidden).step_by(LANES) {
                let left = hidden - at;
                let r = load(s, gates.add(hidden + at), left);
                store(s, s.mul(r, load(s, h.add(at), left)), to.add(at), left);
            }
        }
    }

    /// The new state of sequence `b`, from the sums that stand in its row of gates.
    /// # Safety
    /// `gates` must be the row of a sequence of this run.
    #[inline(always)]
    pub(super) unsafe fn finish<S: Simd>(&mut self, s: S, b: usize, gates: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.layer.cell {
                Cell::Rnn { f } => {
                    let hidden = self.layer.hidden;
                    self.activate(s, f, gates, hidden);
                    let h = self.h.as_mut_ptr().add(b * hidden);
                    crate::copy::copy_row(s, h.cast(), gates.cast_const().cast(), 4 * hidden);
                }
                Cell::Gru { f, g, linear_before_reset } => {
                    self.finish_gru(s, b, gates, linear_before_reset.then_some(f), g);
                }
                Cell::Lstm { f: Act::Sigmoid, g: Act::Tanh, h: Act::Tanh, input_forget: false }
                    if self.weights.peepholes.is_empty() && self.layer.clip.is_none() =>
                {
                    self.finish_plain_lstm(s, b, gates);
                }
                Cell::Lstm { f, g, h, input_forget } => {
                    self.finish_lstm(s, b, gates, [f, g, h], input_forget);
                }
            }
        }
    }

    /// `linear` is the activation of z and r, which is still to be applied, if the product of the state is
    /// still beside the gates.
    /// # Safety
    /// As [`Sequence::finish`].
    #[inline(always)]
    unsafe fn finish_gru<S: Simd>(&mut self, s: S, b: usize, gates: *mut f32, linear: Option<Act>, g: Act) {
        let hidden = self.layer.hidden;
        // SAFETY: the caller's promise.
        unsafe {
            let (z, r, new) = (gates, gates.add(hidden), gates.add(2 * hidden));
            if let Some(f) = linear {
                let state = self.beside.as_ptr().add(b * 3 * hidden);
                for at in (0..2 * hidden).step_by(LANES) {
                    let left = 2 * hidden - at;
                    let sum = s.add(load(s, z.add(at), left), load(s, state.add(at), left));
                    store(s, sum, z.add(at), left);
                }
                self.activate(s, f, z, 2 * hidden);
                for at in (0..hidden).step_by(LANES) {
                    let left = hidden - at;
                    let state = load(s, state.add(2 * hidden + at), left);
                    let sum = s.mul_add(load(s, r.add(at), left), state, load(s, new.add(at), left));
                    store(s, sum, new.add(at), left);
                }
            }
            self.activate(s, g, new, hidden);
            let h = self.h.as_mut_ptr().add(b * hidden);
            for at in (0..hidden).step_by(LANES) {
                let left = hidden - at;
                let (z, h) = (load(s, z.add(at), left), h.add(at));
                let new = s.mul(s.sub(s.splat(1.0), z), load(s, new.add(at), left));
                store(s, s.mul_add(z, load(s, h, left), new), h, left);
            }
        }
    }

    /// The LSTM that everybody has, in one pass: three divisions a unit instead of five, as `σ(a) tanh(b) =
    /// t / ((1 + e^-a) (t + 2))` with `t = e^2b - 1`.
    /// # Safety
    /// As [`Sequence::finish`].
    #[inline(always)]
    unsafe fn finish_plain_lstm<S: Simd>(&mut self, s: S, b: usize, gates: *mut f32) {
        let hidden = self.layer.hidden;
        // SAFETY: the caller's promise; states are `[B, H]`.
        unsafe {
            let (c, h) = (self.c.as_mut_ptr().add(b * hidden), self.h.as_mut_ptr().add(b * hidden));
            for at in (0..hidden).step_by(LANES) {
                let left = hidden - at;
                let i = load(s, gates.add(at), left);
                let o = load(s, gates.add(hidden + at), left);
                let forget = load(s, gates.add(2 * hidden + at), left);
                let new = load(s, gates.add(3 * hidden + at), left);
                let old = load(s, c.add(at), left);
                let kept = s.div(old, one_plus_exp_neg(s, forget));
                let sum = s.add(kept, gated_tanh(s, i, new));
                store(s, sum, c.add(at), left);
                store(s, gated_tanh(s, o, sum), h.add(at), left);
            }
        }
    }

    /// # Safety
    /// As [`Sequence::finish`].
    #[inline(always)]
    unsafe fn finish_lstm<S: Simd>(
        &mut self,
        s: S,
        b: usize,
        gates: *mut f32,
        [f, g, out]: [Act; 3],
        input_forget: bool,
    ) {
        let hidden = self.layer.hidden;
        // SAFETY: the caller's promise; states are `[B, H]`, peepholes `[3, H]`.
        unsafe {
            let [i, o, forget, new] =
                [gates, gates.add(hidden), gates.add(2 * hidden), gates.add(3 * hidden)];
            let c = self.c.as_mut_ptr().add(b * hidden);
            if self.weights.peepholes.is_empty() {
                self.activate(s, f, gates, 3 * hidden);
            } else {
                let p = self.weights.peepholes.as_ptr();
                self.peep(s, i, p, c);
                self.peep(s, forget, p.add(2 * hidden), c);
                self.activate(s, f, i, hidden);
                self.activate(s, f, forget, hidden);
            }
            self.activate(s, g, new, hidden);
            let squashed = self.beside.as_mut_ptr();
            for at in (0..hidden).step_by(LANES) {
                let left = hidden - at;
                let i = load(s, i.add(at), left);
                let forget =
                    if input_forget { s.sub(s.splat(1.0), i) } else { load(s, forget.add(at), left) };
                let new = s.mul(i, load(s, new.add(at), left));
                let sum = s.mul_add(forget, load(s, c.add(at), left), new);
                store(s, sum, c.add(at), left);
                store(s, sum, squashed.add(at), left);
            }
            if !self.weights.peepholes.is_empty() {
                self.peep(s, o, self.weights.peepholes.as_ptr().add(hidden), c);
                self.activate(s, f, o, hidden);
            }
            // The cell state on its way out is not clipped.
            s.outline(Activate { act: out, x: squashed, n: hidden, clip: f32::INFINITY });
            let h = self.h.as_mut_ptr().add(b * hidden);
            for at in (0..hidden).step_by(LANES) {
                let left = hidden - at;
                let state = s.mul(load(s, o.add(at), left), load(s, squashed.add(at), left));
                store(s, state, h.add(at), left);
            }
        }
    }
}
