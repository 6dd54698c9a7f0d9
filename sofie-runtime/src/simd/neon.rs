//! The NEON level: four 128-bit registers a vector, masks as all-ones lanes.
//!
//! NEON's own `fmax`/`fmin` differ from x86's on NaN and zeros, so the raw ones are a comparison and a select;
//! masked memory and gathers go lane by lane, as NEON has neither.
#![allow(unused_unsafe, reason = "which intrinsics are safe to call depends on the enabled features")]

use core::arch::aarch64::*;

use super::{LANES, Level, Op, Simd, level, sealed};

/// AArch64 NEON, which every AArch64 target with `neon` enabled has.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    /// The token; this type only exists on targets that have NEON at compile time.
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Neon(())
    }
}

impl Default for Neon {
    fn default() -> Self {
        Neon::new()
    }
}

impl sealed::Sealed for Neon {}

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];
type M = [uint32x4_t; 4];

/// Methods that do the same to each quarter; in the body each vector stands for its quarter.
macro_rules! quarters {
    ($($name:ident($($x:ident: $ty:ty),+ $(; $s:ident: $sty:ty)?) -> $ret:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: $ty),+ $(, $s: $sty)?) -> $ret {
            // SAFETY: the target has NEON.
            unsafe {
                [
                    { $(let $x = $x[0];)+ $body },
                    { $(let $x = $x[1];)+ $body },
                    { $(let $x = $x[2];)+ $body },
                    { $(let $x = $x[3];)+ $body },
                ]
            }
        }
    )*};
}

/// The tree of the reductions: lane + 8, + 4, + 2, + 1. The raw forms return `b` when equal or NaN.
macro_rules! tree {
    ($a:expr, $x:ident, $y:ident => $f:expr) => {{
        let a = $a;
        let ($x, $y) = (a[0], a[2]);
        let lo = $f;
        let ($x, $y) = (a[1], a[3]);
        let hi = $f;
        let ($x, $y) = (lo, hi);
        let a = $f;
        let ($x, $y) = (a, vextq_f32::<2>(a, a));
        let a = $f;
        let ($x, $y) = (a, vextq_f32::<1>(a, a));
        vgetq_lane_f32::<0>($f)
    }};
}

impl Simd for Neon {
    type F32 = F;
    type I32 = I;
    type Mask = M;
    type Half = [float32x4_t; 2];

    const LEVEL: Level = Level::Neon;

    #[inline(always)]
    fn outline<O: Op>(self, op: O) -> O::Output {
        level::run_plain(op, self)
    }

    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> F {
        // SAFETY: the target has NEON; the memory is the caller's promise.
        unsafe { [vld1q_f32(p), vld1q_f32(p.add(4)), vld1q_f32(p.add(8)), vld1q_f32(p.add(12))] }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: F, p: *mut f32) {
        // SAFETY: the target has NEON; the memory is the caller's promise.
        unsafe {
            vst1q_f32(p, v[0]);
            vst1q_f32(p.add(4), v[1]);
            vst1q_f32(p.add(8), v[2]);
            vst1q_f32(p.add(12), v[3]);
        }
    }
    #[inline(always)]
    unsafe fn load_i32_ptr(self, p: *const i32) -> I {
        // SAFETY: the target has NEON; the memory is the caller's promise.
        unsafe { [vld1q_s32(p), vld1q_s32(p.add(4)), vld1q_s32(p.add(8)), vld1q_s32(p.add(12))] }
    }
    #[inline(always)]
    unsafe fn store_i32_ptr(self, v: I, p: *mut i32) {
        // SAFETY: the target has NEON; the memory is the caller's promise.
        unsafe {
            vst1q_s32(p, v[0]);
            vst1q_s32(p.add(4), v[1]);
            vst1q_s32(p.add(8), v[2]);
            vst1q_s32(p.add(12), v[3]);
        }
    }
    #[inline(always)]
    unsafe fn load_masked_ptr(self, p: *const f32, m: M, fill: F) -> F {
        let (bits, mut x) = (self.mask_bits(m), self.to_array(fill));
        for (i, x) in x.iter_mut().enumerate() {
            if bits >> i & 1 == 1 {
                // SAFETY: the caller's promise for the lanes that are set.
                *x = unsafe { p.add(i).read_unaligned() };
            }
        }
        self.load(&x)
    }
    #[inline(always)]
    unsafe fn store_first_ptr(self, v: F, p: *mut f32, n: usize) {
        let (n, x) = (n.min(LANES), self.to_array(v));
        // SAFETY: the target has NEON; the memory is the caller's promise, the array has 16 elements.
        unsafe {
            for q in 0..n / 4 {
                vst1q_f32(p.add(4 * q), v[q]);
            }
            for i in n / 4 * 4..n {
                p.add(i).write_unaligned(x[i]);
            }
        }
    }
    #[inline(always)]
    unsafe fn gather_ptr(self, base: *const f32, index: I) -> F {
        let (index, mut x) = (self.to_array_i32(index), [0.0; LANES]);
        for (x, &i) in x.iter_mut().zip(&index) {
            // SAFETY: the caller's promise.
            *x = unsafe { base.offset(i as isize).read_unaligned() };
        }
        self.load(&x)
    }
    #[inline(always)]
    unsafe fn gather_masked_ptr(self, base: *const f32, index: I, m: M, fill: F) -> F {
        let (bits, index, mut x) = (self.mask_bits(m), self.to_array_i32(index), self.to_array(fill));
        for (lane, (x, &i)) in x.iter_mut().zip(&index).enumerate() {
            if bits >> lane & 1 == 1 {
                // SAFETY: the caller's promise for the lanes that are set.
                *x = unsafe { base.offset(i as isize).read_unaligned() };
            }
        }
        self.load(&x)
    }
    /// AArch64 has no stable prefetch intrinsic; its cores' own prefetchers follow panels well.
    #[inline(always)]
    fn prefetch(self, _p: *const f32) {}
    #[inline(always)]
    fn prefetch_far(self, _p: *const f32) {}

    quarters! {
        add(a: F, b: F) -> F = vaddq_f32(a, b);
        sub(a: F, b: F) -> F = vsubq_f32(a, b);
        mul(a: F, b: F) -> F = vmulq_f32(a, b);
        div(a: F, b: F) -> F = vdivq_f32(a, b);
        mul_add(a: F, b: F, c: F) -> F = vfmaq_f32(c, a, b);
        neg_mul_add(a: F, b: F, c: F) -> F = vfmsq_f32(c, a, b);
        sqrt(a: F) -> F = vsqrtq_f32(a);
        round_ties_even(a: F) -> F = vrndnq_f32(a);
        floor(a: F) -> F = vrndmq_f32(a);
        ceil(a: F) -> F = vrndpq_f32(a);
        trunc(a: F) -> F = vrndq_f32(a);
        max_raw(a: F, b: F) -> F = vbslq_f32(vcgtq_f32(a, b), a, b);
        min_raw(a: F, b: F) -> F = vbslq_f32(vcltq_f32(a, b), a, b);

        lt(a: F, b: F) -> M = vcltq_f32(a, b);
        le(a: F, b: F) -> M = vcleq_f32(a, b);
        eq(a: F, b: F) -> M = vceqq_f32(a, b);
        ne(a: F, b: F) -> M = vmvnq_u32(vceqq_f32(a, b));
        select(m: M, yes: F, no: F) -> F = vbslq_f32(m, yes, no);
        select_i32(m: M, yes: I, no: I) -> I = vbslq_s32(m, yes, no);
        mask_and(a: M, b: M) -> M = vandq_u32(a, b);
        mask_or(a: M, b: M) -> M = vorrq_u32(a, b);
        mask_xor(a: M, b: M) -> M = veorq_u32(a, b);
        mask_not(a: M) -> M = vmvnq_u32(a);

        to_bits(a: F) -> I = vreinterpretq_s32_f32(a);
        from_bits(a: I) -> F = vreinterpretq_f32_s32(a);
        add_i32(a: I, b: I) -> I = vaddq_s32(a, b);
        sub_i32(a: I, b: I) -> I = vsubq_s32(a, b);
        mul_i32(a: I, b: I) -> I = vmulq_s32(a, b);
        min_i32(a: I, b: I) -> I = vminq_s32(a, b);
        max_i32(a: I, b: I) -> I = vmaxq_s32(a, b);
        min_u32(a: I, b: I) -> I
            = vreinterpretq_s32_u32(vminq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
        max_u32(a: I, b: I) -> I
            = vreinterpretq_s32_u32(vmaxq_u32(vreinterpretq_u32_s32(a), vreinterpretq_u32_s32(b)));
        and(a: I, b: I) -> I = vandq_s32(a, b);
        or(a: I, b: I) -> I = vorrq_s32(a, b);
        xor(a: I, b: I) -> I = veorq_s32(a, b);
        shl(a: I; n: u32) -> I = vshlq_s32(a, vdupq_n_s32(n.min(32) as i32));
        shr(a: I; n: u32) -> I = shift_right(a, vdupq_n_s32(n.min(32) as i32));
        sar(a: I; n: u32) -> I = vshlq_s32(a, vdupq_n_s32(-(n.min(32) as i32)));
        shl_each(a: I, n: I) -> I = vshlq_s32(a, count(n));
        shr_each(a: I, n: I) -> I = shift_right(a, count(n));
        sar_each(a: I, n: I) -> I = vshlq_s32(a, vnegq_s32(count(n)));
        eq_i32(a: I, b: I) -> M = vceqq_s32(a, b);
        lt_i32(a: I, b: I) -> M = vcltq_s32(a, b);
        to_f32(a: I) -> F = vcvtq_f32_s32(a);
        round_i32(a: F) -> I = vcvtnq_s32_f32(a);
        trunc_i32(a: F) -> I = vcvtq_s32_f32(a);
    }

    #[inline(always)]
    unsafe fn load_half_ptr(self, p: *const f32) -> Self::Half {
        // SAFETY: the target has NEON; the memory is the caller's promise.
        unsafe { [vld1q_f32(p), vld1q_f32(p.add(4))] }
    }
    #[inline(always)]
    fn splat_half(self, x: f32) -> Self::Half {
        // SAFETY: the target has NEON.
        unsafe { [vdupq_n_f32(x); 2] }
    }
    #[inline(always)]
    fn mul_add_half(self, a: Self::Half, b: Self::Half, c: Self::Half) -> Self::Half {
        // SAFETY: the target has NEON.
        unsafe { [vfmaq_f32(c[0], a[0], b[0]), vfmaq_f32(c[1], a[1], b[1])] }
    }
    #[inline(always)]
    fn lower_half(self, v: F) -> Self::Half {
        [v[0], v[1]]
    }
    #[inline(always)]
    fn widen_half(self, h: Self::Half) -> F {
        // SAFETY: the target has NEON.
        let zero = unsafe { vdupq_n_f32(0.0) };
        [h[0], h[1], zero, zero]
    }

    #[inline(always)]
    fn splat(self, x: f32) -> F {
        // SAFETY: the target has NEON.
        unsafe { [vdupq_n_f32(x); 4] }
    }
    #[inline(always)]
    fn splat_i32(self, x: i32) -> I {
        // SAFETY: the target has NEON.
        unsafe { [vdupq_n_s32(x); 4] }
    }
    #[inline(always)]
    fn mask_from_bits(self, bits: u16) -> M {
        // SAFETY: the target has NEON; the array has the 4 elements that are read.
        unsafe {
            let one = vld1q_u32([1, 2, 4, 8].as_ptr());
            [
                vtstq_u32(vdupq_n_u32(bits as u32), one),
                vtstq_u32(vdupq_n_u32(bits as u32 >> 4), one),
                vtstq_u32(vdupq_n_u32(bits as u32 >> 8), one),
                vtstq_u32(vdupq_n_u32(bits as u32 >> 12), one),
            ]
        }
    }
    #[inline(always)]
    fn mask_bits(self, m: M) -> u16 {
        // SAFETY: the target has NEON; the array has the 4 elements that are read.
        unsafe {
            let one = vld1q_u32([1, 2, 4, 8].as_ptr());
            let mut bits = 0;
            for (i, m) in m.into_iter().enumerate() {
                bits |= vaddvq_u32(vandq_u32(m, one)) << (4 * i);
            }
            bits as u16
        }
    }
    #[inline(always)]
    fn reduce_add(self, a: F) -> f32 {
        // SAFETY: the target has NEON.
        unsafe { tree!(a, x, y => vaddq_f32(x, y)) }
    }
    #[inline(always)]
    fn reduce_max_raw(self, a: F) -> f32 {
        // SAFETY: the target has NEON.
        unsafe { tree!(a, x, y => vbslq_f32(vcgtq_f32(x, y), x, y)) }
    }
    #[inline(always)]
    fn reduce_min_raw(self, a: F) -> f32 {
        // SAFETY: the target has NEON.
        unsafe { tree!(a, x, y => vbslq_f32(vcltq_f32(x, y), x, y)) }
    }
    #[inline(always)]
    fn lookup(self, table: F, index: I) -> F {
        let (table, index, mut x) = (self.to_array(table), self.to_array_i32(index), [0.0; LANES]);
        for (x, &i) in x.iter_mut().zip(&index) {
            *x = table[(i & 15) as usize];
        }
        self.load(&x)
    }
    #[inline(always)]
    fn zip(self, a: F, b: F) -> (F, F) {
        // SAFETY: the target has NEON.
        let zip = |i: usize| unsafe { [vzip1q_f32(a[i], b[i]), vzip2q_f32(a[i], b[i])] };
        let [[a, b], [c, d], [e, f], [g, h]] = [zip(0), zip(1), zip(2), zip(3)];
        ([a, b, c, d], [e, f, g, h])
    }

    #[inline(always)]
    fn unzip(self, a: F, b: F) -> (F, F) {
        // SAFETY: the target has NEON.
        unsafe {
            (
                [
                    vuzp1q_f32(a[0], a[1]),
                    vuzp1q_f32(a[2], a[3]),
                    vuzp1q_f32(b[0], b[1]),
                    vuzp1q_f32(b[2], b[3]),
                ],
                [
                    vuzp2q_f32(a[0], a[1]),
                    vuzp2q_f32(a[2], a[3]),
                    vuzp2q_f32(b[0], b[1]),
                    vuzp2q_f32(b[2], b[3]),
                ],
            )
        }
    }

    #[inline(always)]
    unsafe fn load_columns(self, rows: &[*const f32; LANES]) -> [F; LANES / 2] {
        // SAFETY: the target has NEON; the memory is the caller's promise.
        unsafe {
            let mut columns = [[vdupq_n_f32(0.0); 4]; LANES / 2];
            for i in 0..4 {
                for j in 0..2 {
                    let mut block = [vdupq_n_f32(0.0); 4];
                    for (x, row) in block.iter_mut().zip(&rows[4 * i..]) {
                        *x = vld1q_f32(row.add(4 * j));
                    }
                    for (column, x) in columns[4 * j..].iter_mut().zip(transpose_4x4(block)) {
                        column[i] = x;
                    }
                }
            }
            columns
        }
    }

    #[inline(always)]
    fn transpose(self, rows: &mut [F; LANES]) {
        let from = *rows;
        for i in 0..4 {
            for j in 0..4 {
                let block = [from[4 * i][j], from[4 * i + 1][j], from[4 * i + 2][j], from[4 * i + 3][j]];
                for (row, x) in rows[4 * j..].iter_mut().zip(transpose_4x4(block)) {
                    row[i] = x;
                }
            }
        }
    }

    #[inline(always)]
    fn transpose_quads(self, x: [F; 4]) -> [F; 4] {
        let mut quads = x;
        for i in 0..4 {
            for (quad, x) in quads.iter_mut().zip(transpose_4x4([x[0][i], x[1][i], x[2][i], x[3][i]])) {
                quad[i] = x;
            }
        }
        quads
    }
}

/// The 4×4 transpose.
#[inline(always)]
fn transpose_4x4([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    macro_rules! pairs {
        ($x:expr) => {
            vreinterpretq_f64_f32($x)
        };
    }
    // SAFETY: the target has NEON.
    unsafe {
        let (ab, ab2) = (pairs!(vtrn1q_f32(a, b)), pairs!(vtrn2q_f32(a, b)));
        let (cd, cd2) = (pairs!(vtrn1q_f32(c, d)), pairs!(vtrn2q_f32(c, d)));
        [
            vreinterpretq_f32_f64(vtrn1q_f64(ab, cd)),
            vreinterpretq_f32_f64(vtrn1q_f64(ab2, cd2)),
            vreinterpretq_f32_f64(vtrn2q_f64(ab, cd)),
            vreinterpretq_f32_f64(vtrn2q_f64(ab2, cd2)),
        ]
    }
}

/// A shift count read as unsigned and held to 32, as NEON reads the low byte as signed.
#[inline(always)]
unsafe fn count(n: int32x4_t) -> int32x4_t {
    // SAFETY: the target has NEON.
    unsafe { vreinterpretq_s32_u32(vminq_u32(vreinterpretq_u32_s32(n), vdupq_n_u32(32))) }
}

/// `a >> n` with zeros from the left, `n` in 0 ..= 32.
#[inline(always)]
unsafe fn shift_right(a: int32x4_t, n: int32x4_t) -> int32x4_t {
    // SAFETY: the target has NEON.
    unsafe { vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(a), vnegq_s32(n))) }
}
