//! Multiply-accumulate over rows, which `MatMul`, convolutions and `Interpolate` are made of, and what follows
//! a product before it is stored.
//!
//! `f32` runs on the runtime's vectors: an output's chain is the same on every instruction set, and a model of
//! some GFLOP is evaluated in a second and not in a minute.

use super::scalar;
use super::wide::{Wide, converted, from_native};
use crate::ir::{Epilogue, Invalid, Tensor};
use sofie_infer_runtime::map::Unary;
use sofie_infer_runtime::simd::{self, LANES, Simd};
use sofie_infer_runtime::{Act, DType};

/// Extents of a product of matrices and the distances between their rows, in elements.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// Rows of a and c.
    pub(super) m: usize,
    /// Columns of a, rows of b.
    pub(super) k: usize,
    /// Columns of b and c.
    pub(super) n: usize,
    /// Between rows of a.
    pub(super) lda: usize,
    /// Between rows of b.
    pub(super) ldb: usize,
    /// Between rows of c.
    pub(super) ldc: usize,
}

/// A type that products are computed in.
pub(super) trait Product: Copy + Default {
    /// The elements of a tensor of a type that this one stands for.
    fn of(t: &Tensor) -> Vec<Self>;
    /// The tensor of these elements; floats are rounded, integers wrap.
    fn tensor(dtype: DType, dims: &[usize], x: &[Self]) -> Result<Tensor, Invalid>;
    /// `c += a·b`: each element continues its chain of fused multiply-adds in the order of k.
    fn multiply(layout: Layout, a: &[Self], b: &[Self], c: &mut [Self]);
    /// `self * b + c`, rounded once; integers wrap.
    fn fused(self, b: Self, c: Self) -> Self;
    /// Sum; integers wrap.
    fn plus(self, other: Self) -> Self;
    /// The activation.
    fn act(self, act: Act) -> Result<Self, Invalid>;
}

/// Runs an expression with the type `T` that products of an element type are computed in; bools have none.
macro_rules! multiplied {
    ($op:expr, $dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            sofie_infer_runtime::DType::Bool => Err($crate::ir::Invalid::new(concat!($op, " of bools"))),
            sofie_infer_runtime::DType::F64 => {
                type $T = f64;
                $body
            }
            t if t.is_float() => {
                type $T = f32;
                $body
            }
            _ => {
                type $T = i64;
                $body
            }
        }
    };
}
pub(super) use multiplied;

impl Product for f32 {
    fn of(t: &Tensor) -> Vec<f32> {
        converted(t, DType::F32).as_chunks().0.iter().map(|b| f32::from_ne_bytes(*b)).collect()
    }
    fn tensor(dtype: DType, dims: &[usize], x: &[f32]) -> Result<Tensor, Invalid> {
        if dtype == DType::F32 {
            return from_native(dtype, dims, x.iter().flat_map(|x| x.to_ne_bytes()).collect());
        }
        Wide::tensor(dtype, dims, &x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>())
    }
    fn multiply(layout: Layout, a: &[f32], b: &[f32], c: &mut [f32]) {
        simd::dispatch(Rows { layout, a, b, c });
    }
    fn fused(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
    fn plus(self, other: f32) -> f32 {
        self + other
    }
    fn act(self, act: Act) -> Result<f32, Invalid> {
        Ok(activation(act, self.into()) as f32)
    }
}

impl Product for f64 {
    fn of(t: &Tensor) -> Vec<f64> {
        Wide::of(t)
    }
    fn tensor(dtype: DType, dims: &[usize], x: &[f64]) -> Result<Tensor, Invalid> {
        Wide::tensor(dtype, dims, x)
    }
    fn multiply(layout: Layout, a: &[f64], b: &[f64], c: &mut [f64]) {
        plainly(layout, a, b, c);
    }
    fn fused(self, b: f64, c: f64) -> f64 {
        self.mul_add(b, c)
    }
    fn plus(self, other: f64) -> f64 {
        self + other
    }
    fn act(self, act: Act) -> Result<f64, Invalid> {
        Ok(activation(act, self))
    }
}

/// Every integer type: sums and products modulo 2⁶⁴ are right modulo any narrower width.
impl Product for i64 {
    fn of(t: &Tensor) -> Vec<i64> {
        converted(t, DType::I64).as_chunks().0.iter().map(|b| i64::from_ne_bytes(*b)).collect()
    }
    fn tensor(dtype: DType, dims: &[usize], x: &[i64]) -> Result<Tensor, Invalid> {
        Wide::tensor(dtype, dims, &x.iter().map(|x| i128::from(*x)).collect::<Vec<_>>())
    }
    fn multiply(layout: Layout, a: &[i64], b: &[i64], c: &mut [i64]) {
        plainly(layout, a, b, c);
    }
    fn fused(self, b: i64, c: i64) -> i64 {
        self.wrapping_mul(b).wrapping_add(c)
    }
    fn plus(self, other: i64) -> i64 {
        self.wrapping_add(other)
    }
    fn act(self, act: Act) -> Result<i64, Invalid> {
        match act {
            Act::None => Ok(self),
            other => Err(Invalid::new(format!("activation {other:?} of integers"))),
        }
    }
}

fn plainly<T: Product>(l: Layout, a: &[T], b: &[T], c: &mut [T]) {
    for i in 0..l.m {
        let c = &mut c[i * l.ldc..][..l.n];
        for (p, a) in a[i * l.lda..][..l.k].iter().enumerate() {
            for (c, b) in c.iter_mut().zip(&b[p * l.ldb..][..l.n]) {
                *c = a.fused(*b, *c);
            }
        }
    }
}

/// [`Product::multiply`] on vectors of `f32`.
struct Rows<'a> {
    layout: Layout,
    a: &'a [f32],
    b: &'a [f32],
    c: &'a mut [f32],
}

/// Vectors of a row of c that are kept in registers: enough chains to hide the latency of one.
const VECTORS: usize = 4;

impl simd::Op for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let l = self.layout;
        for i in 0..l.m {
            let a = &self.a[i * l.lda..][..l.k];
            let c = &mut self.c[i * l.ldc..][..l.n];
            let mut j = 0;
            while j + VECTORS * LANES <= l.n {
                let c = c[j..j + VECTORS * LANES].as_chunks_mut::<LANES>().0;
                let mut sum = [s.zero(); VECTORS];
                for v in 0..VECTORS {
                    sum[v] = s.load(&c[v]);
                }
                for (p, a) in a.iter().enumerate() {
                    let b = self.b[p * l.ldb + j..][..VECTORS * LANES].as_chunks::<LANES>().0;
                    for v in 0..VECTORS {
                        sum[v] = s.mul_add(s.splat(*a), s.load(&b[v]), sum[v]);
                    }
                }
                for v in 0..VECTORS {
                    s.store(sum[v], &mut c[v]);
                }
                j += VECTORS * LANES;
            }
            while j < l.n {
                let end = l.n.min(j + LANES);
                let mut sum = s.load_part(&c[j..end], 0.0);
                for (p, a) in a.iter().enumerate() {
                    let b = &self.b[p * l.ldb..][j..end];
                    sum = s.mul_add(s.splat(*a), s.load_part(b, 0.0), sum);
                }
                s.store_part(sum, &mut c[j..end]);
                j = end;
            }
        }
    }
}

/// A result of `rows` rows that holds what the chains begin with: the bias, or 0.
pub(super) fn begin<T: Product>(bias: Option<&Tensor>, rows: usize, n: usize) -> Vec<T> {
    match bias {
        Some(bias) => T::of(bias).repeat(rows),
        None => vec![T::default(); rows * n],
    }
}

/// The operands behind the two factors that an epilogue has: bias and residual.
pub(super) fn extras<'a>(e: &Epilogue, x: &[&'a Tensor]) -> (Option<&'a Tensor>, Option<&'a Tensor>) {
    let mut rest = x.iter().skip(2).copied();
    let bias = if e.bias { rest.next() } else { None };
    (bias, if e.residual { rest.next() } else { None })
}

/// Adds the residual, applies the activation and stores.
pub(super) fn finish<T: Product>(
    mut y: Vec<T>,
    residual: Option<&Tensor>,
    act: Act,
    dtype: DType,
    dims: &[usize],
) -> Result<Tensor, Invalid> {
    if let Some(residual) = residual {
        y.iter_mut().zip(T::of(residual)).for_each(|(y, r)| *y = y.plus(r));
    }
    if act != Act::None {
        for y in &mut y {
            *y = y.act(act)?;
        }
    }
    T::tensor(dtype, dims, &y)
}

/// An activation, in `f64`. NaN stays NaN; where the bounds of a clip cross, the upper one wins.
pub(super) fn activation(act: Act, x: f64) -> f64 {
    match act {
        Act::None => x,
        Act::Relu if x < 0.0 => 0.0,
        Act::Relu => x,
        Act::LeakyRelu { alpha } if x < 0.0 => f64::from(alpha) * x,
        Act::LeakyRelu { .. } => x,
        Act::Clip { lo, hi } => {
            let (lo, hi) = (f64::from(lo), f64::from(hi));
            let x = if x < lo { lo } else { x };
            if x > hi { hi } else { x }
        }
        Act::Elu { alpha } if x < 0.0 => f64::from(alpha) * scalar(Unary::Expm1, x),
        Act::Elu { .. } => x,
        Act::Sigmoid => scalar(Unary::Sigmoid, x),
        Act::Tanh => scalar(Unary::Tanh, x),
        Act::Silu => scalar(Unary::Silu, x),
        Act::GeluErf => scalar(Unary::GeluErf, x),
        Act::GeluTanh => scalar(Unary::GeluTanh, x),
        Act::HardSigmoid { alpha, beta } => {
            activation(Act::Clip { lo: 0.0, hi: 1.0 }, activation(Act::Affine { alpha, beta }, x))
        }
        Act::HardSwish { alpha, beta } => x * activation(Act::HardSigmoid { alpha, beta }, x),
        Act::Softplus => scalar(Unary::Softplus, x),
        Act::Softsign => x / (1.0 + x.abs()),
        Act::ThresholdedRelu { alpha } if x > f64::from(alpha) => x,
        Act::ThresholdedRelu { .. } => 0.0,
        Act::ScaledTanh { alpha, beta } => f64::from(alpha) * scalar(Unary::Tanh, f64::from(beta) * x),
        Act::Affine { alpha, beta } => f64::from(alpha) * x + f64::from(beta),
        // Steps are of what is stored.
        Act::FakeQuantize { .. } => f64::from(act.apply(x as f32)),
    }
}
