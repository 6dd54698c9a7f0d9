//! `LinearAttention`: a state `[d_k, d_v]` a head, which every token decays, corrects and adds to, and reads.

use super::Algorithm;
use super::number::Real;
use crate::map::{Dst, Src, Unary};
use crate::math::scalar64;

/// `y [B, T, H·d_v], state [B, G, d_k, d_v] ← q [B, T, H·d_k], k [B, T, G·d_k], v [B, T, G·d_v], past? [state],
/// decay? [B, T, G·d_k or G], beta? [B, T, G or 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearAttention {
    /// B: sequences.
    pub batch: usize,
    /// T: tokens.
    pub steps: usize,
    /// H: heads of the queries, a multiple of those of keys and values.
    pub heads: usize,
    /// G: heads of keys and values.
    pub groups: usize,
    /// d_k: extent of a key.
    pub keys: usize,
    /// d_v: extent of a value.
    pub values: usize,
    /// Factor of what is read.
    pub scale: f32,
    /// The operand `past` is there.
    pub past: bool,
    /// The operand `decay` is there.
    pub decay: bool,
    /// The decay has an element a key's element rather than one a head.
    pub decay_by_key: bool,
    /// The operand `beta` is there: values are corrected by what the state holds for their key.
    pub beta: bool,
    /// `beta` is one for all heads.
    pub beta_shared: bool,
}

impl LinearAttention {
    fn typed<T: Real, S: Real>(&self, y: &mut [T], last: &mut [S], xs: &[Src<'_>], scratch: &mut [f64]) {
        let (q, k, v): (&[T], &[T], &[T]) = (xs[0].slice(), xs[1].slice(), xs[2].slice());
        let mut rest = xs[3..].iter();
        let mut optional = |there: bool| if there { rest.next() } else { None };
        let past: &[S] = optional(self.past).map_or(&[], |x| x.slice());
        let decay: &[T] = optional(self.decay).map_or(&[], |x| x.slice());
        let beta: &[T] = optional(self.beta).map_or(&[], |x| x.slice());
        let (dk, dv, size) = (self.keys, self.values, self.keys * self.values);
        let (state, news) = scratch.split_at_mut(size);
        let shared = self.heads / self.groups;
        for b in 0..self.batch {
            for g in 0..self.groups {
                let home = (b * self.groups + g) * size;
                for (i, s) in state.iter_mut().enumerate() {
                    *s = if self.past { past[home + i].get() } else { 0.0 };
                }
                for t in 0..self.steps {
                    let token = b * self.steps + t;
                    let key = &k[(token * self.groups + g) * dk..][..dk];
                    let value = &v[(token * self.groups + g) * dv..][..dv];
                    if self.decay {
                        for i in 0..dk {
                            let at = token * self.groups + g;
                            let log = if self.decay_by_key { decay[at * dk + i] } else { decay[at] };
                            let factor = scalar64::unary(Unary::Exp, log.get());
                            state[i * dv..][..dv].iter_mut().for_each(|s| *s *= factor);
                        }
                    }
                    for (j, new) in news[..dv].iter_mut().enumerate() {
                        *new = value[j].get();
                        if self.beta {
                            let held: f64 = key.iter().enumerate().map(|(i, k)| state[i * dv + j] * k.get()).sum();
                            let rate = if self.beta_shared { beta[token] } else { beta[token * self.groups + g] };
                            *new = rate.get() * (*new - held);
                        }
                    }
                    for (i, k) in key.iter().enumerate() {
                        let row = &mut state[i * dv..][..dv];
                        row.iter_mut().zip(news.iter()).for_each(|(s, new)| *s += k.get() * new);
                    }
                    for head in g * shared..(g + 1) * shared {
                        let query = &q[(token * self.heads + head) * dk..][..dk];
                        let out = &mut y[(token * self.heads + head) * dv..][..dv];
                        for (j, out) in out.iter_mut().enumerate() {
                            let sum: f64 = query.iter().enumerate().map(|(i, q)| q.get() * state[i * dv + j]).sum();
                            *out = T::put(f64::from(self.scale) * sum);
                        }
                    }
                }
                last[home..][..size].iter_mut().zip(state.iter()).for_each(|(y, s)| *y = S::put(*s));
            }
        }
    }
}

impl Algorithm for LinearAttention {
    fn run(&self, ys: &mut [Dst<'_>], xs: &[Src<'_>]) {
        let [y, state, scratch] = ys else { panic!("linear attention: two results and scratch") };
        reals!(y.dtype(), T => reals!(state.dtype(), S => {
            self.typed::<T, S>(y.slice(), state.slice(), xs, scratch.slice());
        }));
    }

    fn scratch(&self) -> usize {
        (self.keys * self.values + self.values).max(1)
    }
}
