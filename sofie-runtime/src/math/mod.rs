//! Elementary functions: `f32` by one set of polynomials at every vector width, `f64` by `libm`.
//! Neither depends on the platform's C library, so results do not depend on the host.

pub(crate) mod scalar32;
pub(crate) mod scalar64;
