//! Element types as the plain kernels compute in them: floats widened to `f64`, and two ways to pick a Rust type.

use crate::{Element, bf16, f16};

/// A float, computed in `f64`.
pub trait Real: Element {
    /// Exactly.
    fn get(self) -> f64;
    /// Rounded to nearest even.
    fn put(x: f64) -> Self;
}

macro_rules! real {
    ($($t:ty: |$x:ident| $get:expr, |$y:ident| $put:expr;)*) => {$(
        impl Real for $t {
            #[inline(always)]
            fn get(self) -> f64 {
                let $x = self;
                $get
            }
            #[inline(always)]
            fn put($y: f64) -> $t {
                $put
            }
        }
    )*};
}

real! {
    f32: |x| x as f64, |y| y as f32;
    f64: |x| x, |y| y;
    f16: |x| x.to_f64(), |y| f16::from_f64(y);
    bf16: |x| x.to_f64(), |y| bf16::from_f64(y);
}

/// Runs an expression with `$t` standing for the Rust type of a float.
macro_rules! reals {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::F16 => {
                type $t = $crate::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $t = $crate::bf16;
                $body
            }
            other => panic!("a kernel for floats over {other}"),
        }
    };
}

/// Runs an expression with `$t` standing for the Rust type of a number; bools are `u8`.
macro_rules! numbers {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::DType::F16 => {
                type $t = $crate::f16;
                $body
            }
            $crate::DType::BF16 => {
                type $t = $crate::bf16;
                $body
            }
            $crate::DType::I8 => {
                type $t = i8;
                $body
            }
            $crate::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::DType::U8 | $crate::DType::Bool => {
                type $t = u8;
                $body
            }
            $crate::DType::U16 => {
                type $t = u16;
                $body
            }
            $crate::DType::U32 => {
                type $t = u32;
                $body
            }
            $crate::DType::U64 => {
                type $t = u64;
                $body
            }
        }
    };
}
