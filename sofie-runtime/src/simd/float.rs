//! Scalar `f32` operations that `core` has no stable name for, the same with `std` and without.
//!
//! These are what the scalar level of [`super::Simd`] computes a lane with, and what code for single values
//! uses, so that one value and a vector of them agree to the last bit.

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident($x:ident $(, $y:ident)*) = $std:expr, $libm:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name($x: f32 $(, $y: f32)*) -> f32 {
            #[cfg(feature = "std")]
            { $std }
            #[cfg(not(feature = "std"))]
            { $libm }
        }
    )*};
}

operations! {
    /// `a * b + c`, rounded once.
    mul_add(a, b, c) = a.mul_add(b, c), libm::fmaf(a, b, c);
    /// `√a`, correctly rounded.
    sqrt(a) = a.sqrt(), libm::sqrtf(a);
    /// To the nearest integer, halves to the even one.
    round_ties_even(a) = a.round_ties_even(), libm::rintf(a);
    /// To the integer below.
    floor(a) = a.floor(), libm::floorf(a);
    /// To the integer above.
    ceil(a) = a.ceil(), libm::ceilf(a);
    /// To the integer next to it towards zero.
    trunc(a) = a.trunc(), libm::truncf(a);
}
