//! Row programs of the other floats, element by element.

use super::{RowKind, Rows};
use crate::{DType, bf16, f16};

/// A float with the width that it is computed in.
trait Wide: Copy {
    fn load(self) -> f64;
    fn store(x: f64) -> Self;
}

macro_rules! wide {
    ($($t:ty: |$x:ident| $load:expr, |$v:ident| $store:expr;)*) => {$(
        impl Wide for $t {
            fn load(self) -> f64 {
                let $x = self;
                $load
            }
            fn store($v: f64) -> $t {
                $store
            }
        }
    )*};
}

wide! {
    f64: |x| x, |v| v;
    f16: |x| x.to_f64(), |v| f16::from_f64(v);
    bf16: |x| x.to_f64(), |v| bf16::from_f64(v);
}

/// # Safety
/// As `Rows::run_raw`, for types other than `f32`.
pub(super) unsafe fn run(
    p: &Rows,
    dtype: DType,
    y: *mut u8,
    x: *const u8,
    scale: *const u8,
    bias: *const u8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::F64 => typed::<f64>(p, y.cast(), x.cast(), scale.cast(), bias.cast()),
            DType::F16 => typed::<f16>(p, y.cast(), x.cast(), scale.cast(), bias.cast()),
            DType::BF16 => typed::<bf16>(p, y.cast(), x.cast(), scale.cast(), bias.cast()),
            other => panic!("rows: a program over {other}"),
        }
    }
}

/// # Safety
/// As [`run`].
unsafe fn typed<T: Wide>(p: &Rows, y: *mut T, x: *const T, scale: *const T, bias: *const T) {
    for row in 0..p.rows {
        // SAFETY: rows and parameters are inside their memory.
        unsafe {
            let (y, x) = (y.add(row * p.ldy), x.add(row * p.ldx));
            let at = |i: usize| (*x.add(i)).load();
            let fold = |f: &dyn Fn(f64) -> f64| (0..p.n).map(|i| f(at(i))).sum::<f64>();
            let count = p.n as f64;
            let (shift, factor) = match p.kind {
                RowKind::Softmax | RowKind::LogSoftmax => {
                    let max = (0..p.n).map(at).fold(f64::NEG_INFINITY, f64::max);
                    let sum = fold(&|v| libm::exp(v - max));
                    (max, if p.kind == RowKind::Softmax { 1.0 / sum } else { libm::log(sum) })
                }
                RowKind::LayerNorm { epsilon } => {
                    let mean = fold(&|v| v) / count;
                    let variance = fold(&|v| (v - mean) * (v - mean)) / count;
                    (mean, 1.0 / libm::sqrt(variance + f64::from(epsilon)))
                }
                RowKind::RmsNorm { epsilon } => {
                    (0.0, 1.0 / libm::sqrt(fold(&|v| v * v) / count + f64::from(epsilon)))
                }
            };
            for i in 0..p.n {
                let v = at(i) - shift;
                let v = match p.kind {
                    RowKind::Softmax => libm::exp(v) * factor,
                    RowKind::LogSoftmax => v - factor,
                    RowKind::LayerNorm { .. } | RowKind::RmsNorm { .. } => {
                        let scaled =
                            if scale.is_null() { v * factor } else { v * factor * (*scale.add(i)).load() };
                        if bias.is_null() { scaled } else { scaled + (*bias.add(i)).load() }
                    }
                };
                *y.add(i) = T::store(v);
            }
        }
    }
}
