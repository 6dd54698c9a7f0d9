//! The AVX-512 level: one 512-bit register a vector, mask registers for masks.

use core::arch::x86_64::*;

use super::{LANES, Level, Op, Simd, level, sealed};

/// x86-64 with AVX-512 F, BW, DQ and VL (and AVX2, FMA, F16C).
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// The token, if this CPU has the instruction set.
    #[must_use]
    pub fn new() -> Option<Self> {
        Level::Avx512.is_available().then_some(Avx512(()))
    }

    /// The token, without asking.
    /// # Safety
    /// [`Level::is_available`] must be true for [`Level::Avx512`].
    #[inline(always)]
    #[must_use]
    pub const unsafe fn new_unchecked() -> Self {
        Avx512(())
    }
}

impl sealed::Sealed for Avx512 {}

macro_rules! intrinsics {
    ($($name:ident($($x:ident: $ty:ty),*) -> $ret:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: $ty),*) -> $ret {
            // SAFETY: the token exists, so the CPU has the instruction set.
            unsafe { $body }
        }
    )*};
}

macro_rules! memory {
    ($($name:ident($($x:ident: $ty:ty),*) $(-> $ret:ty)? = $body:expr;)*) => {$(
        #[inline(always)]
        unsafe fn $name(self, $($x: $ty),*) $(-> $ret)? {
            // SAFETY: the token exists, so the CPU has the instruction set; the memory is the caller's promise.
            unsafe { $body }
        }
    )*};
}

/// The tree of the reductions: lane + 8, + 4, + 2, + 1.
macro_rules! tree {
    ($a:expr, $f256:ident, $f128:ident, $f1:ident) => {{
        let a = $f256(_mm512_castps512_ps256($a), _mm512_extractf32x8_ps::<1>($a));
        let a = $f128(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = $f128(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32($f1(a, _mm_movehdup_ps(a)))
    }};
}

impl Simd for Avx512 {
    type F32 = __m512;
    type I32 = __m512i;
    type Mask = __mmask16;
    type Half = __m256;

    const LEVEL: Level = Level::Avx512;

    #[inline(always)]
    fn outline<O: Op>(self, op: O) -> O::Output {
        // SAFETY: the token exists, so the CPU has the instruction set.
        unsafe { level::run_avx512(op, self) }
    }

    memory! {
        load_ptr(p: *const f32) -> __m512 = _mm512_loadu_ps(p);
        store_ptr(v: __m512, p: *mut f32) = _mm512_storeu_ps(p, v);
        load_i32_ptr(p: *const i32) -> __m512i = _mm512_loadu_si512(p.cast());
        store_i32_ptr(v: __m512i, p: *mut i32) = _mm512_storeu_si512(p.cast(), v);
        load_masked_ptr(p: *const f32, m: __mmask16, fill: __m512) -> __m512
            = _mm512_mask_loadu_ps(fill, m, p);
        gather_ptr(base: *const f32, index: __m512i) -> __m512 = _mm512_i32gather_ps::<4>(index, base);
        gather_masked_ptr(base: *const f32, index: __m512i, m: __mmask16, fill: __m512) -> __m512
            = _mm512_mask_i32gather_ps::<4>(fill, m, index, base);
        load_half_ptr(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
    }

    /// A masked store takes longer even where nothing is masked (Zen 4: a dozen cycles).
    #[inline(always)]
    unsafe fn store_first_ptr(self, v: __m512, p: *mut f32, n: usize) {
        if n >= LANES {
            // SAFETY: the caller's promise.
            return unsafe { self.store_ptr(v, p) };
        }
        // SAFETY: the token exists, so the CPU has the instruction set; the memory is the caller's promise.
        unsafe { _mm512_mask_storeu_ps(p, self.mask_first(n), v) }
    }

    #[inline(always)]
    unsafe fn load_columns(self, rows: &[*const f32; LANES]) -> [__m512; LANES / 2] {
        // SAFETY: the token exists, so the CPU has the instruction set; the memory is the caller's promise.
        unsafe {
            let mut columns = [_mm512_setzero_ps(); LANES / 2];
            for (half, columns) in columns.chunks_exact_mut(4).enumerate() {
                // Loads put the quarters where they belong, which leaves half of the shuffles of a whole transpose.
                let mut quads = [_mm512_setzero_ps(); 4];
                for (r, quad) in quads.iter_mut().enumerate() {
                    *quad = _mm512_castps128_ps512(_mm_loadu_ps(rows[r].add(4 * half)));
                    *quad = _mm512_insertf32x4::<1>(*quad, _mm_loadu_ps(rows[4 + r].add(4 * half)));
                    *quad = _mm512_insertf32x4::<2>(*quad, _mm_loadu_ps(rows[8 + r].add(4 * half)));
                    *quad = _mm512_insertf32x4::<3>(*quad, _mm_loadu_ps(rows[12 + r].add(4 * half)));
                }
                columns.copy_from_slice(&transpose_quads(quads));
            }
            columns
        }
    }

    intrinsics! {
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        splat_i32(x: i32) -> __m512i = _mm512_set1_epi32(x);
        prefetch(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T0>(p.cast());
        prefetch_far(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T1>(p.cast());

        splat_half(x: f32) -> __m256 = _mm256_set1_ps(x);
        mul_add_half(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        lower_half(v: __m512) -> __m256 = _mm512_castps512_ps256(v);
        widen_half(h: __m256) -> __m512 = _mm512_zextps256_ps512(h);

        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        mul_sub(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmsub_ps(a, b, c);
        neg_mul_add(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        sqrt(a: __m512) -> __m512 = _mm512_sqrt_ps(a);
        round_ties_even(a: __m512) -> __m512 = _mm512_roundscale_ps::<0x08>(a);
        floor(a: __m512) -> __m512 = _mm512_roundscale_ps::<0x09>(a);
        ceil(a: __m512) -> __m512 = _mm512_roundscale_ps::<0x0a>(a);
        trunc(a: __m512) -> __m512 = _mm512_roundscale_ps::<0x0b>(a);
        max_raw(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        min_raw(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);

        lt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b);
        le(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b);
        eq(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b);
        ne(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(a, b);
        select(m: __mmask16, yes: __m512, no: __m512) -> __m512 = _mm512_mask_blend_ps(m, no, yes);
        select_i32(m: __mmask16, yes: __m512i, no: __m512i) -> __m512i = _mm512_mask_blend_epi32(m, no, yes);

        to_bits(a: __m512) -> __m512i = _mm512_castps_si512(a);
        from_bits(a: __m512i) -> __m512 = _mm512_castsi512_ps(a);
        add_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        sub_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_sub_epi32(a, b);
        mul_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_mullo_epi32(a, b);
        min_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_min_epi32(a, b);
        max_i32(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epi32(a, b);
        min_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_min_epu32(a, b);
        max_u32(a: __m512i, b: __m512i) -> __m512i = _mm512_max_epu32(a, b);
        and(a: __m512i, b: __m512i) -> __m512i = _mm512_and_si512(a, b);
        or(a: __m512i, b: __m512i) -> __m512i = _mm512_or_si512(a, b);
        xor(a: __m512i, b: __m512i) -> __m512i = _mm512_xor_si512(a, b);
        shl(a: __m512i, n: u32) -> __m512i = _mm512_sll_epi32(a, _mm_cvtsi32_si128(n as i32));
        shr(a: __m512i, n: u32) -> __m512i = _mm512_srl_epi32(a, _mm_cvtsi32_si128(n as i32));
        sar(a: __m512i, n: u32) -> __m512i = _mm512_sra_epi32(a, _mm_cvtsi32_si128(n as i32));
        shl_each(a: __m512i, n: __m512i) -> __m512i = _mm512_sllv_epi32(a, n);
        shr_each(a: __m512i, n: __m512i) -> __m512i = _mm512_srlv_epi32(a, n);
        sar_each(a: __m512i, n: __m512i) -> __m512i = _mm512_srav_epi32(a, n);
        eq_i32(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmpeq_epi32_mask(a, b);
        lt_i32(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmplt_epi32_mask(a, b);
        lt_u32(a: __m512i, b: __m512i) -> __mmask16 = _mm512_cmplt_epu32_mask(a, b);
        add_products(acc: __m512i, w: __m512i, a: u32) -> __m512i = {
            let a = _mm512_set1_epi32(a as i32);
            let even = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(w));
            let odd = _mm512_srai_epi16::<8>(w);
            let even = _mm512_madd_epi16(even, _mm512_and_si512(a, _mm512_set1_epi16(0xff)));
            _mm512_add_epi32(acc, _mm512_add_epi32(even, _mm512_madd_epi16(odd, _mm512_srli_epi16::<8>(a))))
        };
        to_f32(a: __m512i) -> __m512 = _mm512_cvtepi32_ps(a);
        round_i32(a: __m512) -> __m512i = _mm512_cvtps_epi32(a);
        trunc_i32(a: __m512) -> __m512i = _mm512_cvttps_epi32(a);

        reduce_add(a: __m512) -> f32 = tree!(a, _mm256_add_ps, _mm_add_ps, _mm_add_ss);
        reduce_max_raw(a: __m512) -> f32 = tree!(a, _mm256_max_ps, _mm_max_ps, _mm_max_ss);
        reduce_min_raw(a: __m512) -> f32 = tree!(a, _mm256_min_ps, _mm_min_ps, _mm_min_ss);
        lookup(table: __m512, index: __m512i) -> __m512 = _mm512_permutexvar_ps(index, table);
        lookup_pair(a: __m512, b: __m512, index: __m512i) -> __m512 = _mm512_permutex2var_ps(a, index, b);
        zip(a: __m512, b: __m512) -> (__m512, __m512) = {
            let low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            let high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
            (_mm512_permutex2var_ps(a, low, b), _mm512_permutex2var_ps(a, high, b))
        };
        unzip(a: __m512, b: __m512) -> (__m512, __m512) = {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        };
        transpose(rows: &mut [__m512; LANES]) -> () = transpose(rows);
        transpose_quads(x: [__m512; 4]) -> [__m512; 4] = transpose_quads(x);
        mask_from_bools(bytes: [u8; LANES]) -> __mmask16 = {
            let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
            _mm_test_epi8_mask(bytes, bytes)
        };
        mask_bools(m: __mmask16) -> [u8; LANES] = {
            let mut bytes = [0; LANES];
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm_maskz_set1_epi8(m, 1));
            bytes
        };
    }

    #[inline(always)]
    fn mask_from_bits(self, bits: u16) -> __mmask16 {
        bits
    }
    #[inline(always)]
    fn mask_bits(self, m: __mmask16) -> u16 {
        m
    }
    #[inline(always)]
    fn mask_and(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    fn mask_or(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }
    #[inline(always)]
    fn mask_xor(self, a: __mmask16, b: __mmask16) -> __mmask16 {
        a ^ b
    }
    #[inline(always)]
    fn mask_not(self, a: __mmask16) -> __mmask16 {
        !a
    }
}

/// Within each 128-bit quarter: 8 shuffles.
#[inline(always)]
unsafe fn transpose_quads([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    // SAFETY: called with the token at hand.
    unsafe {
        let (ab, ab2) =
            (_mm512_castps_pd(_mm512_unpacklo_ps(a, b)), _mm512_castps_pd(_mm512_unpackhi_ps(a, b)));
        let (cd, cd2) =
            (_mm512_castps_pd(_mm512_unpacklo_ps(c, d)), _mm512_castps_pd(_mm512_unpackhi_ps(c, d)));
        [
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)),
            _mm512_castpd_ps(_mm512_unpacklo_pd(ab2, cd2)),
            _mm512_castpd_ps(_mm512_unpackhi_pd(ab2, cd2)),
        ]
    }
}

/// Pairs of lanes, pairs of pairs, then the four 128-bit quarters twice: 64 shuffles.
#[inline(always)]
unsafe fn transpose(rows: &mut [__m512; LANES]) {
    // SAFETY: called with the token at hand.
    unsafe {
        // u[4 i + j] holds in its quarter q the column 4 q + j of rows 4 i .. 4 i + 4.
        let mut u = *rows;
        for i in 0..4 {
            let quads = transpose_quads([rows[4 * i], rows[4 * i + 1], rows[4 * i + 2], rows[4 * i + 3]]);
            u[4 * i..][..4].copy_from_slice(&quads);
        }
        for j in 0..4 {
            let even_low = _mm512_shuffle_f32x4::<0x88>(u[j], u[4 + j]);
            let even_high = _mm512_shuffle_f32x4::<0x88>(u[8 + j], u[12 + j]);
            let odd_low = _mm512_shuffle_f32x4::<0xdd>(u[j], u[4 + j]);
            let odd_high = _mm512_shuffle_f32x4::<0xdd>(u[8 + j], u[12 + j]);
            rows[j] = _mm512_shuffle_f32x4::<0x88>(even_low, even_high);
            rows[4 + j] = _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high);
            rows[8 + j] = _mm512_shuffle_f32x4::<0xdd>(even_low, even_high);
            rows[12 + j] = _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high);
        }
    }
}
