//! One vector trait over every instruction set: [`Simd`], 16 lanes of `f32` and of `i32`, whatever the CPU.
//!
//! An algorithm is written once, generic over `S: Simd`, `#[inline(always)]` all the way down, and started
//! through [`dispatch`], which picks the instruction set once per process. Every operation is defined to the
//! last bit (NaN payloads apart), so all levels, the scalar one included, give the same results.
//!
//! ```
//! use sofie_infer_runtime::simd::{Op, Simd, dispatch};
//!
//! struct Axpy<'a> { a: f32, x: &'a [f32; 16], y: &'a mut [f32; 16] }
//! impl Op for Axpy<'_> {
//!     type Output = ();
//!     #[inline(always)] // else it is compiled without the instruction set
//!     fn run<S: Simd>(self, s: S) {
//!         let v = s.mul_add(s.splat(self.a), s.load(self.x), s.load(self.y));
//!         s.store(v, self.y);
//!     }
//! }
//! let mut y = [1.0; 16];
//! dispatch(Axpy { a: 2.0, x: &[3.0; 16], y: &mut y });
//! assert_eq!(y, [7.0; 16]);
//! ```

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod avx2;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod avx512;
pub mod bytes;
pub mod float;
mod level;
mod lookup;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
mod neon;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) mod quads;
mod scalar;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub mod tiles;

pub(crate) use self::level::halves_are_faster;
#[cfg(test)]
pub(crate) use self::level::with_halves;
pub use self::level::{Level, Op, dispatch, dispatch_at, for_each_level, force_level, with_level};
pub(crate) use self::lookup::lookup_bytes;
#[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
pub use self::neon::Neon;
pub use self::scalar::Scalar;
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub use self::{avx2::Avx2, avx512::Avx512};

/// Lanes of a vector, on every instruction set.
pub const LANES: usize = 16;

mod sealed {
    /// Only this module's tokens implement [`super::Simd`]: owning one proves that the CPU has the feature.
    pub trait Sealed {}
}

/// The top bit of each byte.
const TOPS: u64 = 0x8080_8080_8080_8080;

/// An instruction set. A value of the type is the proof that the CPU has it; the methods are its operations.
///
/// Two NaNs count as the same bits; everything else is equal between implementations to the last bit.
/// Arithmetic is IEEE 754 binary32, rounding to nearest, subnormals kept.
pub trait Simd: sealed::Sealed + Copy + Send + Sync + 'static {
    /// 16 lanes of `f32`.
    type F32: Copy;
    /// 16 lanes of `i32` (two's complement, wrapping; also used as `u32`).
    type I32: Copy;
    /// 16 lanes of yes or no.
    type Mask: Copy;
    /// The lower 8 lanes of [`Simd::F32`]: half the work where the upper ones are not wanted.
    type Half: Copy;

    /// The level that this token stands for.
    const LEVEL: Level;

    /// Runs `op` as a function of its own, compiled for this instruction set and never inlined: for algorithms
    /// made of many large kernels, which would otherwise all end up in one function.
    fn outline<O: Op>(self, op: O) -> O::Output;

    // ---- making vectors ----

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F32;
    /// `x` in every lane.
    fn splat_i32(self, x: i32) -> Self::I32;
    /// 0.0 in every lane.
    #[inline(always)]
    fn zero(self) -> Self::F32 {
        self.splat(0.0)
    }
    /// 0 in every lane.
    #[inline(always)]
    fn zero_i32(self) -> Self::I32 {
        self.splat_i32(0)
    }
    /// The lane's own number: 0, 1, … 15.
    #[inline(always)]
    fn iota(self) -> Self::I32 {
        self.load_i32(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    // ---- memory ----

    /// Reads 16 floats, any alignment.
    /// # Safety
    /// `p` must be valid for reading 16 `f32`.
    unsafe fn load_ptr(self, p: *const f32) -> Self::F32;
    /// Writes 16 floats, any alignment.
    /// # Safety
    /// `p` must be valid for writing 16 `f32`.
    unsafe fn store_ptr(self, v: Self::F32, p: *mut f32);
    /// Reads 16 integers, any alignment.
    /// # Safety
    /// `p` must be valid for reading 16 `i32`.
    unsafe fn load_i32_ptr(self, p: *const i32) -> Self::I32;
    /// Writes 16 integers, any alignment.
    /// # Safety
    /// `p` must be valid for writing 16 `i32`.
    unsafe fn store_i32_ptr(self, v: Self::I32, p: *mut i32);
    /// Reads the lanes that `m` names, the others come from `fill`; memory of the others is not touched.
    /// # Safety
    /// `p + lane` must be valid for reading for every lane set in `m`.
    unsafe fn load_masked_ptr(self, p: *const f32, m: Self::Mask, fill: Self::F32) -> Self::F32;
    /// Writes the first `n` lanes (all of them when `n` is 16 or more); memory of the others is not touched.
    /// Where masked stores are slow, this is some plain stores instead.
    /// # Safety
    /// `p` must be valid for writing the first `n` lanes.
    unsafe fn store_first_ptr(self, v: Self::F32, p: *mut f32, n: usize);
    /// Reads the lanes that `m` names, the others come from `fill`; memory of the others is not touched.
    /// # Safety
    /// `p + lane` must be valid for reading for every lane set in `m`.
    #[inline(always)]
    unsafe fn load_masked_i32_ptr(self, p: *const i32, m: Self::Mask, fill: Self::I32) -> Self::I32 {
        // SAFETY: the caller's promise; `f32` and `i32` have one size and every bit pattern is a value.
        self.to_bits(unsafe { self.load_masked_ptr(p.cast(), m, self.from_bits(fill)) })
    }
    /// `base[index]` in each lane; indices count `f32`s from `base` and may be negative.
    /// # Safety
    /// `base + index` must be valid for reading in every lane.
    unsafe fn gather_ptr(self, base: *const f32, index: Self::I32) -> Self::F32;
    /// `base[index]` in the lanes that `m` names, `fill` in the others.
    /// # Safety
    /// `base + index` must be valid for reading in every lane set in `m`.
    unsafe fn gather_masked_ptr(
        self,
        base: *const f32,
        index: Self::I32,
        m: Self::Mask,
        fill: Self::F32,
    ) -> Self::F32;
    /// The columns of 16 rows of 8 floats: lane `r` of vector `c` is element `c` of row `r`.
    /// # Safety
    /// Each row must be valid for reading 8 floats.
    #[inline(always)]
    unsafe fn load_columns(self, rows: &[*const f32; LANES]) -> [Self::F32; LANES / 2] {
        let mut block = [self.zero(); LANES];
        for (x, row) in block.iter_mut().zip(rows) {
            // SAFETY: the caller's promise.
            *x = unsafe { self.load_masked_ptr(*row, self.mask_first(LANES / 2), self.zero()) };
        }
        self.transpose(&mut block);
        let mut columns = [self.zero(); LANES / 2];
        for (column, x) in columns.iter_mut().zip(block) {
            *column = x;
        }
        columns
    }
    /// The 4×4 transpose of each quarter: lane `4 q + j` of vector `i` changes places with lane `4 q + i` of vector `j`.
    #[inline(always)]
    fn transpose_quads(self, x: [Self::F32; 4]) -> [Self::F32; 4] {
        let mut from = [[0.0; LANES]; 4];
        for (from, x) in from.iter_mut().zip(x) {
            self.store(x, from);
        }
        let mut quads = x;
        for (i, quad) in quads.iter_mut().enumerate() {
            let mut to = [0.0; LANES];
            for (lane, to) in to.iter_mut().enumerate() {
                *to = from[lane % 4][lane / 4 * 4 + i];
            }
            *quad = self.load(&to);
        }
        quads
    }
    /// Asks for the cache line of `p`; no effect on the result, `p` may point anywhere.
    fn prefetch(self, p: *const f32);
    /// Asks for it in the second cache alone: what is waited for from memory must not hold up what L1 asks for.
    fn prefetch_far(self, p: *const f32);

    /// Reads 16 floats.
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F32 {
        // SAFETY: the array has 16 elements.
        unsafe { self.load_ptr(x.as_ptr()) }
    }
    /// Writes 16 floats.
    #[inline(always)]
    fn store(self, v: Self::F32, x: &mut [f32; LANES]) {
        // SAFETY: the array has 16 elements.
        unsafe { self.store_ptr(v, x.as_mut_ptr()) }
    }
    /// Reads 16 integers.
    #[inline(always)]
    fn load_i32(self, x: &[i32; LANES]) -> Self::I32 {
        // SAFETY: the array has 16 elements.
        unsafe { self.load_i32_ptr(x.as_ptr()) }
    }
    /// Writes 16 integers.
    #[inline(always)]
    fn store_i32(self, v: Self::I32, x: &mut [i32; LANES]) {
        // SAFETY: the array has 16 elements.
        unsafe { self.store_i32_ptr(v, x.as_mut_ptr()) }
    }
    /// Reads `x[lane]` where it exists (the first 16 of a longer slice), `fill` in the lanes past its end.
    #[inline(always)]
    fn load_part(self, x: &[f32], fill: f32) -> Self::F32 {
        // SAFETY: only lanes below the slice's length are read.
        unsafe { self.load_masked_ptr(x.as_ptr(), self.mask_first(x.len()), self.splat(fill)) }
    }
    /// Writes the first lanes to `x`, as many as it holds (at most 16).
    #[inline(always)]
    fn store_part(self, v: Self::F32, x: &mut [f32]) {
        // SAFETY: only lanes below the slice's length are written.
        unsafe { self.store_first_ptr(v, x.as_mut_ptr(), x.len()) }
    }
    /// The lanes as an array.
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        let mut x = [0.0; LANES];
        self.store(v, &mut x);
        x
    }
    /// The lanes as an array.
    #[inline(always)]
    fn to_array_i32(self, v: Self::I32) -> [i32; LANES] {
        let mut x = [0; LANES];
        self.store_i32(v, &mut x);
        x
    }

    // ---- half vectors ----

    /// Reads 8 floats, any alignment.
    /// # Safety
    /// `p` must be valid for reading 8 `f32`.
    unsafe fn load_half_ptr(self, p: *const f32) -> Self::Half;
    /// `x` in all 8 lanes.
    fn splat_half(self, x: f32) -> Self::Half;
    /// `a * b + c`, rounded once.
    fn mul_add_half(self, a: Self::Half, b: Self::Half, c: Self::Half) -> Self::Half;
    /// The lower 8 lanes.
    fn lower_half(self, v: Self::F32) -> Self::Half;
    /// The 8 lanes below, 0.0 above.
    fn widen_half(self, h: Self::Half) -> Self::F32;

    // ---- float arithmetic ----

    /// `a + b`.
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a - b`.
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b`.
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a / b`.
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a * b + c`, rounded once.
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `a * b - c`, rounded once.
    #[inline(always)]
    fn mul_sub(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        self.mul_add(a, b, self.neg(c))
    }
    /// `c - a * b`, rounded once.
    fn neg_mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// `√a`, correctly rounded.
    fn sqrt(self, a: Self::F32) -> Self::F32;
    /// The sign bit flipped, NaN's too.
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.xor(self.to_bits(a), self.splat_i32(i32::MIN)))
    }
    /// The sign bit cleared, NaN's too.
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        self.from_bits(self.and(self.to_bits(a), self.splat_i32(i32::MAX)))
    }
    /// The magnitude of `a` with the sign bit of `sign`.
    #[inline(always)]
    fn copysign(self, a: Self::F32, sign: Self::F32) -> Self::F32 {
        let s = self.and(self.to_bits(sign), self.splat_i32(i32::MIN));
        self.from_bits(self.or(self.and(self.to_bits(a), self.splat_i32(i32::MAX)), s))
    }
    /// To the nearest integer, halves to the even one.
    fn round_ties_even(self, a: Self::F32) -> Self::F32;
    /// To the integer below.
    fn floor(self, a: Self::F32) -> Self::F32;
    /// To the integer above.
    fn ceil(self, a: Self::F32) -> Self::F32;
    /// To the integer next to it towards zero.
    fn trunc(self, a: Self::F32) -> Self::F32;

    /// `if a > b { a } else { b }`: one instruction on x86, but `b` when either is NaN, and `b` when both are
    /// zeros. `max_raw(zero, x)` is a ReLU that keeps NaN.
    fn max_raw(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `if a < b { a } else { b }`: one instruction on x86, but `b` when either is NaN, and `b` when both are
    /// zeros.
    fn min_raw(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// The larger; NaN when either is NaN, as ONNX's `Max`; `b` when both are zeros.
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        self.select(self.is_nan(a), a, self.max_raw(a, b))
    }
    /// The smaller; NaN when either is NaN, as ONNX's `Min`; `b` when both are zeros.
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        self.select(self.is_nan(a), a, self.min_raw(a, b))
    }
    /// `x` held between the bounds, NaN kept: `min_raw(hi, max_raw(lo, x))`, so `hi` wins when `lo > hi`, as
    /// ONNX's `Clip`. The bounds must not be NaN.
    #[inline(always)]
    fn clamp(self, x: Self::F32, lo: Self::F32, hi: Self::F32) -> Self::F32 {
        self.min_raw(hi, self.max_raw(lo, x))
    }

    // ---- comparisons and masks ----

    /// `a < b`; false when either is NaN.
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a <= b`; false when either is NaN.
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a == b`; false when either is NaN.
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a != b`; true when either is NaN.
    fn ne(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `a > b`; false when either is NaN.
    #[inline(always)]
    fn gt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.lt(b, a)
    }
    /// `a >= b`; false when either is NaN.
    #[inline(always)]
    fn ge(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        self.le(b, a)
    }
    /// Is the lane a NaN?
    #[inline(always)]
    fn is_nan(self, a: Self::F32) -> Self::Mask {
        self.ne(a, a)
    }
    /// `yes` where `m` is set, `no` elsewhere.
    fn select(self, m: Self::Mask, yes: Self::F32, no: Self::F32) -> Self::F32;
    /// `yes` where `m` is set, `no` elsewhere.
    #[inline(always)]
    fn select_i32(self, m: Self::Mask, yes: Self::I32, no: Self::I32) -> Self::I32 {
        self.to_bits(self.select(m, self.from_bits(yes), self.from_bits(no)))
    }
    /// The first `n` lanes; all of them when `n` is 16 or more.
    #[inline(always)]
    fn mask_first(self, n: usize) -> Self::Mask {
        self.mask_from_bits(((1u32 << n.min(LANES)) - 1) as u16)
    }
    /// Lane `i` is set when bit `i` is.
    fn mask_from_bits(self, bits: u16) -> Self::Mask;
    /// Bit `i` is set when lane `i` is.
    fn mask_bits(self, m: Self::Mask) -> u16;
    /// Lane `i` is set when byte `i` is not 0.
    #[inline(always)]
    fn mask_from_bools(self, bytes: [u8; LANES]) -> Self::Mask {
        let (halves, _) = bytes.as_chunks::<8>();
        let [low, high] = [0, 1].map(|h: usize| {
            let x = u64::from_le_bytes(halves[h]);
            // The top bit of each byte that is not 0, then the eight of them side by side.
            let top = (((x & !TOPS) + !TOPS) | x) & TOPS;
            ((top >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u16
        });
        self.mask_from_bits(low | high << 8)
    }
    /// Byte `i` is 1 when lane `i` is set, else 0.
    #[inline(always)]
    fn mask_bools(self, m: Self::Mask) -> [u8; LANES] {
        let bits = self.mask_bits(m);
        let mut bytes = [0u8; LANES];
        for (h, bytes) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            let copies = ((bits >> (8 * h)) & 0xff) as u64 * 0x0101_0101_0101_0101;
            let spread = copies & 0x8040_2010_0804_0201;
            *bytes = (((spread + !TOPS) & TOPS) >> 7).to_le_bytes();
        }
        bytes
    }
    /// Both.
    fn mask_and(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Either.
    fn mask_or(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// One and not the other.
    fn mask_xor(self, a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// The other lanes.
    fn mask_not(self, a: Self::Mask) -> Self::Mask;
    /// Is any lane set?
    #[inline(always)]
    fn any(self, m: Self::Mask) -> bool {
        self.mask_bits(m) != 0
    }
    /// Are all lanes set?
    #[inline(always)]
    fn all(self, m: Self::Mask) -> bool {
        self.mask_bits(m) == u16::MAX
    }

    // ---- integers ----

    /// The same bits as integers.
    fn to_bits(self, a: Self::F32) -> Self::I32;
    /// The same bits as floats.
    #[allow(clippy::wrong_self_convention, reason = "`self` is the instruction set, as everywhere here")]
    fn from_bits(self, a: Self::I32) -> Self::F32;
    /// `a + b`, wrapping.
    fn add_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a - b`, wrapping.
    fn sub_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a * b`, wrapping.
    fn mul_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The smaller, signed.
    fn min_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The larger, signed.
    fn max_i32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The smaller, unsigned.
    fn min_u32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The larger, unsigned.
    fn max_u32(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bitwise and.
    fn and(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bitwise or.
    fn or(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Bitwise exclusive or.
    fn xor(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// `a << n`; 0 from 32 on. One instruction when `n` is a constant.
    fn shl(self, a: Self::I32, n: u32) -> Self::I32;
    /// `a >> n` with zeros from the left; 0 from 32 on. One instruction when `n` is a constant.
    fn shr(self, a: Self::I32, n: u32) -> Self::I32;
    /// `a >> n` with copies of the sign; all sign from 32 on. One instruction when `n` is a constant.
    fn sar(self, a: Self::I32, n: u32) -> Self::I32;
    /// `a << n` lane by lane, `n` unsigned; 0 from 32 on.
    fn shl_each(self, a: Self::I32, n: Self::I32) -> Self::I32;
    /// `a >> n` lane by lane with zeros from the left, `n` unsigned; 0 from 32 on.
    fn shr_each(self, a: Self::I32, n: Self::I32) -> Self::I32;
    /// `a >> n` lane by lane with copies of the sign, `n` unsigned; all sign from 32 on.
    fn sar_each(self, a: Self::I32, n: Self::I32) -> Self::I32;
    /// `a == b`.
    fn eq_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// `a < b`, signed.
    fn lt_i32(self, a: Self::I32, b: Self::I32) -> Self::Mask;
    /// `a < b`, unsigned.
    #[inline(always)]
    fn lt_u32(self, a: Self::I32, b: Self::I32) -> Self::Mask {
        let top = self.splat_i32(i32::MIN);
        self.lt_i32(self.xor(a, top), self.xor(b, top))
    }
    /// `acc` and the four products of the unsigned bytes of `a` and the signed bytes of each lane of `w`, wrapping.
    #[inline(always)]
    fn add_products(self, acc: Self::I32, w: Self::I32, a: u32) -> Self::I32 {
        let mut acc = acc;
        for (i, a) in a.to_le_bytes().into_iter().enumerate() {
            let byte = self.sar(self.shl(w, 24 - 8 * i as u32), 24);
            acc = self.add_i32(acc, self.mul_i32(byte, self.splat_i32(i32::from(a))));
        }
        acc
    }
    /// Each integer as a float, rounded to nearest even.
    fn to_f32(self, a: Self::I32) -> Self::F32;
    /// To the nearest integer, halves to even. What a lane outside `i32`'s range gives is unspecified: clamp.
    fn round_i32(self, a: Self::F32) -> Self::I32;
    /// Towards zero. What a lane outside `i32`'s range gives is unspecified: clamp, or [`Simd::trunc_i32_sat`].
    fn trunc_i32(self, a: Self::F32) -> Self::I32;
    /// Towards zero, held to `i32`'s range, 0 for NaN: Rust's `a as i32`.
    #[inline(always)]
    fn trunc_i32_sat(self, a: Self::F32) -> Self::I32 {
        // 2^31 is the first float above the range; -2^31 is inside.
        let top = self.splat(2_147_483_648.0);
        let low = self.splat(-2_147_483_648.0);
        let inside = self.mask_and(self.ge(a, low), self.lt(a, top));
        let x = self.trunc_i32(self.select(inside, a, self.zero()));
        let x = self.select_i32(self.ge(a, top), self.splat_i32(i32::MAX), x);
        self.select_i32(self.lt(a, low), self.splat_i32(i32::MIN), x)
    }
    /// `2^n` for `n` in -126 ..= 127; other lanes are unspecified.
    #[inline(always)]
    fn pow2(self, n: Self::I32) -> Self::F32 {
        self.from_bits(self.shl(self.add_i32(n, self.splat_i32(127)), 23))
    }
    /// `a * 2^n` for `n` in -252 ..= 254, in two steps, so that results down to the subnormals come out (and
    /// are rounded once when `|a|` is in `[0.5, 4)`); other lanes are unspecified.
    #[inline(always)]
    fn scale_pow2(self, a: Self::F32, n: Self::I32) -> Self::F32 {
        let half = self.sar(n, 1);
        self.mul(self.mul(a, self.pow2(half)), self.pow2(self.sub_i32(n, half)))
    }

    // ---- across lanes ----

    /// The sum of the lanes in the fixed tree: lane `i` + lane `i + 8`, then `+ 4`, `+ 2`, `+ 1`.
    fn reduce_add(self, a: Self::F32) -> f32;
    /// The largest lane in the tree of [`Simd::reduce_add`]; NaN when a lane is NaN.
    #[inline(always)]
    fn reduce_max(self, a: Self::F32) -> f32 {
        // NaN decided once, outside the tree.
        if self.any(self.is_nan(a)) { f32::NAN } else { self.reduce_max_raw(a) }
    }
    /// The smallest lane in the tree of [`Simd::reduce_add`]; NaN when a lane is NaN.
    #[inline(always)]
    fn reduce_min(self, a: Self::F32) -> f32 {
        if self.any(self.is_nan(a)) { f32::NAN } else { self.reduce_min_raw(a) }
    }
    /// The tree of [`Simd::reduce_add`] over [`Simd::max_raw`]; no lane may be NaN.
    fn reduce_max_raw(self, a: Self::F32) -> f32;
    /// The tree of [`Simd::reduce_add`] over [`Simd::min_raw`]; no lane may be NaN.
    fn reduce_min_raw(self, a: Self::F32) -> f32;
    /// The sum of the lanes, wrapping.
    #[inline(always)]
    fn reduce_add_i32(self, a: Self::I32) -> i32 {
        let mut sum = 0i32;
        for x in self.to_array_i32(a) {
            sum = sum.wrapping_add(x);
        }
        sum
    }
    /// `table[index & 15]` in each lane.
    fn lookup(self, table: Self::F32, index: Self::I32) -> Self::F32;
    /// [`Simd::lookup`] where all indices are below 8; other lanes are unspecified.
    #[inline(always)]
    fn lookup_low(self, table: Self::F32, index: Self::I32) -> Self::F32 {
        self.lookup(table, index)
    }
    /// Of the 32 lanes of `a` and then `b`, the one with the number `index & 31` in each lane.
    #[inline(always)]
    fn lookup_pair(self, a: Self::F32, b: Self::F32, index: Self::I32) -> Self::F32 {
        let first = self.eq_i32(self.and(index, self.splat_i32(LANES as i32)), self.zero_i32());
        self.select(first, self.lookup(a, index), self.lookup(b, index))
    }
    /// Lanes of both in turn, `a`'s first: `[a0, b0, a1, …]` and `[a8, b8, a9, …]`.
    fn zip(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32);
    /// Of the 32 lanes of `a` and then `b`, those of even number and those of odd number.
    fn unzip(self, a: Self::F32, b: Self::F32) -> (Self::F32, Self::F32);
    /// The 16×16 transpose: lane `j` of vector `i` goes to lane `i` of vector `j`.
    fn transpose(self, rows: &mut [Self::F32; LANES]);
}
