//! The scalar level: 16 lanes as arrays, plain Rust. Runs on any CPU and under Miri, and is what the others
//! are tested against.

use core::array::from_fn;

use super::{LANES, Level, Op, Simd, float, level, sealed};

/// Plain Rust; any CPU has it.
#[derive(Clone, Copy, Debug)]
pub struct Scalar(());

impl Scalar {
    /// The token.
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    #[must_use]
    pub const fn new() -> Self {
        Scalar(())
    }
}

impl Default for Scalar {
    fn default() -> Self {
        Scalar::new()
    }
}

impl sealed::Sealed for Scalar {}

type F = [f32; LANES];
type I = [i32; LANES];
type M = [bool; LANES];

macro_rules! lanewise {
    ($($name:ident($($x:ident: $ty:ty),+ $(; $s:ident: $sty:ty)?) -> $ret:ty = $body:expr;)*) => {$(
        #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
        fn $name(self, $($x: $ty),+ $(, $s: $sty)?) -> $ret {
            from_fn(|i| { $(let $x = $x[i];)+ $body })
        }
    )*};
}

/// The tree of the reductions: lane + 8, + 4, + 2, + 1.
#[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
fn tree(mut a: F, f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            a[i] = f(a[i], a[i + half]);
        }
    }
    a[0]
}

impl Simd for Scalar {
    type F32 = F;
    type I32 = I;
    type Mask = M;
    type Half = [f32; LANES / 2];

    const LEVEL: Level = Level::Scalar;

    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn outline<O: Op>(self, op: O) -> O::Output {
        level::run_plain(op, self)
    }

    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn splat(self, x: f32) -> F {
        [x; LANES]
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn splat_i32(self, x: i32) -> I {
        [x; LANES]
    }

    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn load_ptr(self, p: *const f32) -> F {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<F>().read_unaligned() }
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn store_ptr(self, v: F, p: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<F>().write_unaligned(v) }
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn load_i32_ptr(self, p: *const i32) -> I {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<I>().read_unaligned() }
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn store_i32_ptr(self, v: I, p: *mut i32) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<I>().write_unaligned(v) }
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn load_masked_ptr(self, p: *const f32, m: M, fill: F) -> F {
        // SAFETY: the caller's promise for the lanes that are set.
        from_fn(|i| if m[i] { unsafe { p.add(i).read_unaligned() } } else { fill[i] })
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn store_first_ptr(self, v: F, p: *mut f32, n: usize) {
        for (i, x) in v.into_iter().enumerate().take(n) {
            // SAFETY: the caller's promise for the first lanes.
            unsafe { p.add(i).write_unaligned(x) }
        }
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn gather_ptr(self, base: *const f32, index: I) -> F {
        // SAFETY: the caller's promise.
        from_fn(|i| unsafe { base.offset(index[i] as isize).read_unaligned() })
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn gather_masked_ptr(self, base: *const f32, index: I, m: M, fill: F) -> F {
        from_fn(|i| {
            if !m[i] {
                return fill[i];
            }
            // SAFETY: the caller's promise for the lanes that are set.
            unsafe { base.offset(index[i] as isize).read_unaligned() }
        })
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn prefetch(self, _p: *const f32) {}
    #[inline(always)]
    fn prefetch_far(self, _p: *const f32) {}

    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    unsafe fn load_half_ptr(self, p: *const f32) -> Self::Half {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<Self::Half>().read_unaligned() }
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn splat_half(self, x: f32) -> Self::Half {
        [x; LANES / 2]
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn mul_add_half(self, a: Self::Half, b: Self::Half, c: Self::Half) -> Self::Half {
        from_fn(|i| float::mul_add(a[i], b[i], c[i]))
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn lower_half(self, v: F) -> Self::Half {
        from_fn(|i| v[i])
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn widen_half(self, h: Self::Half) -> F {
        from_fn(|i| if i < LANES / 2 { h[i] } else { 0.0 })
    }

    lanewise! {
        add(a: F, b: F) -> F = a + b;
        sub(a: F, b: F) -> F = a - b;
        mul(a: F, b: F) -> F = a * b;
        div(a: F, b: F) -> F = a / b;
        mul_add(a: F, b: F, c: F) -> F = float::mul_add(a, b, c);
        neg_mul_add(a: F, b: F, c: F) -> F = float::mul_add(-a, b, c);
        sqrt(a: F) -> F = float::sqrt(a);
        round_ties_even(a: F) -> F = float::round_ties_even(a);
        floor(a: F) -> F = float::floor(a);
        ceil(a: F) -> F = float::ceil(a);
        trunc(a: F) -> F = float::trunc(a);
        max_raw(a: F, b: F) -> F = if a > b { a } else { b };
        min_raw(a: F, b: F) -> F = if a < b { a } else { b };
        lt(a: F, b: F) -> M = a < b;
        le(a: F, b: F) -> M = a <= b;
        eq(a: F, b: F) -> M = a == b;
        ne(a: F, b: F) -> M = a != b;
        select(m: M, yes: F, no: F) -> F = if m { yes } else { no };
        mask_and(a: M, b: M) -> M = a & b;
        mask_or(a: M, b: M) -> M = a | b;
        mask_xor(a: M, b: M) -> M = a ^ b;
        mask_not(a: M) -> M = !a;
        to_bits(a: F) -> I = a.to_bits() as i32;
        from_bits(a: I) -> F = f32::from_bits(a as u32);
        add_i32(a: I, b: I) -> I = a.wrapping_add(b);
        sub_i32(a: I, b: I) -> I = a.wrapping_sub(b);
        mul_i32(a: I, b: I) -> I = a.wrapping_mul(b);
        min_i32(a: I, b: I) -> I = a.min(b);
        max_i32(a: I, b: I) -> I = a.max(b);
        min_u32(a: I, b: I) -> I = (a as u32).min(b as u32) as i32;
        max_u32(a: I, b: I) -> I = (a as u32).max(b as u32) as i32;
        and(a: I, b: I) -> I = a & b;
        or(a: I, b: I) -> I = a | b;
        xor(a: I, b: I) -> I = a ^ b;
        shl(a: I; n: u32) -> I = a.checked_shl(n).unwrap_or(0);
        shr(a: I; n: u32) -> I = (a as u32).checked_shr(n).unwrap_or(0) as i32;
        sar(a: I; n: u32) -> I = a >> n.min(31);
        shl_each(a: I, n: I) -> I = a.checked_shl(n as u32).unwrap_or(0);
        shr_each(a: I, n: I) -> I = (a as u32).checked_shr(n as u32).unwrap_or(0) as i32;
        sar_each(a: I, n: I) -> I = a >> (n as u32).min(31);
        eq_i32(a: I, b: I) -> M = a == b;
        lt_i32(a: I, b: I) -> M = a < b;
        to_f32(a: I) -> F = a as f32;
        round_i32(a: F) -> I = float::round_ties_even(a) as i32;
        trunc_i32(a: F) -> I = a as i32;
    }

    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn mask_from_bits(self, bits: u16) -> M {
        from_fn(|i| bits >> i & 1 == 1)
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn mask_bits(self, m: M) -> u16 {
        m.iter().enumerate().fold(0, |bits, (i, &set)| bits | (set as u16) << i)
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn reduce_add(self, a: F) -> f32 {
        tree(a, |a, b| a + b)
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn reduce_max_raw(self, a: F) -> f32 {
        tree(a, |a, b| if a > b { a } else { b })
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn reduce_min_raw(self, a: F) -> f32 {
        tree(a, |a, b| if a < b { a } else { b })
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn lookup(self, table: F, index: I) -> F {
        from_fn(|i| table[(index[i] & 15) as usize])
    }
    #[cfg_attr(any(target_arch = "x86_64", target_arch = "aarch64"), inline(never))]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), inline(always))]
    fn zip(self, a: F, b: F) -> (F, F) {
        let zip = |first: usize| from_fn(|i| if i % 2 == 0 { a[first + i / 2] } else { b[first + i / 2] });
        (zip(0), zip(LANES / 2))
    }

    #[inline(always)]
    fn unzip(self, a: F, b: F) -> (F, F) {
        let at = |i: usize| if i < LANES { a[i] } else { b[i - LANES] };
        (from_fn(|i| at(2 * i)), from_fn(|i| at(2 * i + 1)))
    }

    #[inline(always)]
    fn transpose(self, rows: &mut [F; LANES]) {
        let from = *rows;
        *rows = from_fn(|i| from_fn(|j| from[j][i]));
    }
}
