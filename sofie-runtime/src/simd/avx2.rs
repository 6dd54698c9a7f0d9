//! The AVX2 level: two 256-bit registers a vector, masks as all-ones lanes.

use core::arch::x86_64::*;

use super::{LANES, Level, Op, Simd, level, sealed};

/// x86-64 with AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if this CPU has the instruction set.
    #[must_use]
    pub fn new() -> Option<Self> {
        Level::Avx2.is_available().then_some(Avx2(()))
    }

    /// The token, without asking.
    /// # Safety
    /// [`Level::is_available`] must be true for [`Level::Avx2`].
    #[inline(always)]
    #[must_use]
    pub const unsafe fn new_unchecked() -> Self {
        Avx2(())
    }
}

impl sealed::Sealed for Avx2 {}

type F = [__m256; 2];
type I = [__m256i; 2];

/// Methods that do the same to both halves; in the body each vector stands for its half.
macro_rules! halves {
    ($($name:ident($($x:ident: $ty:ty),+ $(; $s:ident: $sty:ty)?) -> $ret:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($x: $ty),+ $(, $s: $sty)?) -> $ret {
            // SAFETY: the token exists, so the CPU has the instruction set.
            unsafe { [{ $(let $x = $x[0];)+ $body }, { $(let $x = $x[1];)+ $body }] }
        }
    )*};
}

macro_rules! whole {
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
        let a = $f256($a[0], $a[1]);
        let a = $f128(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
        let a = $f128(a, _mm_movehl_ps(a, a));
        _mm_cvtss_f32($f1(a, _mm_movehdup_ps(a)))
    }};
}

/// A masked load where lanes off the mask come from `fill`. The pointer of the upper half may lie past the
/// end of what exists (then none of its lanes is set), hence `wrapping_add`.
macro_rules! load_masked {
    ($p:expr, $m:expr, $fill:expr) => {{
        let (m, fill) = ($m, $fill);
        let (lo, hi) = (_mm256_maskload_ps($p, m[0]), _mm256_maskload_ps($p.wrapping_add(8), m[1]));
        [blend(fill[0], lo, m[0]), blend(fill[1], hi, m[1])]
    }};
}

impl Simd for Avx2 {
    type F32 = F;
    type I32 = I;
    type Mask = I;
    type Half = __m256;

    const LEVEL: Level = Level::Avx2;

    #[inline(always)]
    fn outline<O: Op>(self, op: O) -> O::Output {
        // SAFETY: the token exists, so the CPU has the instruction set.
        unsafe { level::run_avx2(op, self) }
    }

    memory! {
        load_ptr(p: *const f32) -> F = [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))];
        store_ptr(v: F, p: *mut f32) = {
            _mm256_storeu_ps(p, v[0]);
            _mm256_storeu_ps(p.add(8), v[1]);
        };
        load_i32_ptr(p: *const i32) -> I
            = [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(8).cast())];
        store_i32_ptr(v: I, p: *mut i32) = {
            _mm256_storeu_si256(p.cast(), v[0]);
            _mm256_storeu_si256(p.add(8).cast(), v[1]);
        };
        load_masked_ptr(p: *const f32, m: I, fill: F) -> F = load_masked!(p, m, fill);
        gather_ptr(base: *const f32, index: I) -> F
            = [_mm256_i32gather_ps::<4>(base, index[0]), _mm256_i32gather_ps::<4>(base, index[1])];
        gather_masked_ptr(base: *const f32, index: I, m: I, fill: F) -> F = [
            _mm256_mask_i32gather_ps::<4>(fill[0], base, index[0], _mm256_castsi256_ps(m[0])),
            _mm256_mask_i32gather_ps::<4>(fill[1], base, index[1], _mm256_castsi256_ps(m[1])),
        ];
        load_half_ptr(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
    }

    /// Stores of 8, 4, 2 and 1 lanes: AMD's masked stores take ten times as long (measured on Zen 4: 12 µs
    /// against 52 for 4,096 rows of 3), and widths repeat, so the branches are free.
    #[inline(always)]
    unsafe fn store_first_ptr(self, v: F, mut p: *mut f32, n: usize) {
        // SAFETY: the token exists, so the CPU has the instruction set; the memory is the caller's promise.
        unsafe {
            if n >= LANES {
                return self.store_ptr(v, p);
            }
            let mut rest = v[0];
            if n & 8 != 0 {
                _mm256_storeu_ps(p, rest);
                if n == 8 {
                    return;
                }
                (rest, p) = (v[1], p.add(8));
            }
            let mut quarter = _mm256_castps256_ps128(rest);
            if n & 4 != 0 {
                _mm_storeu_ps(p, quarter);
                (quarter, p) = (_mm256_extractf128_ps::<1>(rest), p.add(4));
            }
            if n & 2 != 0 {
                _mm_storel_pd(p.cast(), _mm_castps_pd(quarter));
                (quarter, p) = (_mm_movehl_ps(quarter, quarter), p.add(2));
            }
            if n & 1 != 0 {
                _mm_store_ss(p, quarter);
            }
        }
    }

    #[inline(always)]
    unsafe fn load_columns(self, rows: &[*const f32; LANES]) -> [F; LANES / 2] {
        // SAFETY: the token exists, so the CPU has the instruction set; the memory is the caller's promise.
        unsafe {
            let zero = _mm256_setzero_ps();
            let mut columns = [[zero; 2]; 8];
            for half in 0..2 {
                let mut block = [zero; 8];
                for (x, row) in block.iter_mut().zip(&rows[8 * half..]) {
                    *x = _mm256_loadu_ps(*row);
                }
                for (column, x) in columns.iter_mut().zip(transpose_8x8(block)) {
                    column[half] = x;
                }
            }
            columns
        }
    }

    #[inline(always)]
    fn transpose_quads(self, x: [F; 4]) -> [F; 4] {
        let mut quads = x;
        for half in 0..2 {
            // SAFETY: the token exists, so the CPU has the instruction set.
            let columns = unsafe { transpose_quads([x[0][half], x[1][half], x[2][half], x[3][half]]) };
            for (quad, x) in quads.iter_mut().zip(columns) {
                quad[half] = x;
            }
        }
        quads
    }

    halves! {
        add(a: F, b: F) -> F = _mm256_add_ps(a, b);
        sub(a: F, b: F) -> F = _mm256_sub_ps(a, b);
        mul(a: F, b: F) -> F = _mm256_mul_ps(a, b);
        div(a: F, b: F) -> F = _mm256_div_ps(a, b);
        mul_add(a: F, b: F, c: F) -> F = _mm256_fmadd_ps(a, b, c);
        mul_sub(a: F, b: F, c: F) -> F = _mm256_fmsub_ps(a, b, c);
        neg_mul_add(a: F, b: F, c: F) -> F = _mm256_fnmadd_ps(a, b, c);
        sqrt(a: F) -> F = _mm256_sqrt_ps(a);
        round_ties_even(a: F) -> F = _mm256_round_ps::<0x08>(a);
        floor(a: F) -> F = _mm256_round_ps::<0x09>(a);
        ceil(a: F) -> F = _mm256_round_ps::<0x0a>(a);
        trunc(a: F) -> F = _mm256_round_ps::<0x0b>(a);
        max_raw(a: F, b: F) -> F = _mm256_max_ps(a, b);
        min_raw(a: F, b: F) -> F = _mm256_min_ps(a, b);

        lt(a: F, b: F) -> I = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b));
        le(a: F, b: F) -> I = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_LE_OQ>(a, b));
        eq(a: F, b: F) -> I = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_EQ_OQ>(a, b));
        ne(a: F, b: F) -> I = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_NEQ_UQ>(a, b));
        select(m: I, yes: F, no: F) -> F = blend(no, yes, m);
        mask_and(a: I, b: I) -> I = _mm256_and_si256(a, b);
        mask_or(a: I, b: I) -> I = _mm256_or_si256(a, b);
        mask_xor(a: I, b: I) -> I = _mm256_xor_si256(a, b);
        mask_not(a: I) -> I = _mm256_xor_si256(a, _mm256_set1_epi32(-1));

        to_bits(a: F) -> I = _mm256_castps_si256(a);
        from_bits(a: I) -> F = _mm256_castsi256_ps(a);
        add_i32(a: I, b: I) -> I = _mm256_add_epi32(a, b);
        sub_i32(a: I, b: I) -> I = _mm256_sub_epi32(a, b);
        mul_i32(a: I, b: I) -> I = _mm256_mullo_epi32(a, b);
        min_i32(a: I, b: I) -> I = _mm256_min_epi32(a, b);
        max_i32(a: I, b: I) -> I = _mm256_max_epi32(a, b);
        min_u32(a: I, b: I) -> I = _mm256_min_epu32(a, b);
        max_u32(a: I, b: I) -> I = _mm256_max_epu32(a, b);
        and(a: I, b: I) -> I = _mm256_and_si256(a, b);
        or(a: I, b: I) -> I = _mm256_or_si256(a, b);
        xor(a: I, b: I) -> I = _mm256_xor_si256(a, b);
        shl(a: I; n: u32) -> I = _mm256_sll_epi32(a, _mm_cvtsi32_si128(n as i32));
        shr(a: I; n: u32) -> I = _mm256_srl_epi32(a, _mm_cvtsi32_si128(n as i32));
        sar(a: I; n: u32) -> I = _mm256_sra_epi32(a, _mm_cvtsi32_si128(n as i32));
        shl_each(a: I, n: I) -> I = _mm256_sllv_epi32(a, n);
        shr_each(a: I, n: I) -> I = _mm256_srlv_epi32(a, n);
        sar_each(a: I, n: I) -> I = _mm256_srav_epi32(a, n);
        eq_i32(a: I, b: I) -> I = _mm256_cmpeq_epi32(a, b);
        lt_i32(a: I, b: I) -> I = _mm256_cmpgt_epi32(b, a);
        add_products(acc: I, w: I; a: u32) -> I = {
            let a = _mm256_set1_epi32(a as i32);
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(w));
            let odd = _mm256_srai_epi16::<8>(w);
            let even = _mm256_madd_epi16(even, _mm256_and_si256(a, _mm256_set1_epi16(0xff)));
            _mm256_add_epi32(acc, _mm256_add_epi32(even, _mm256_madd_epi16(odd, _mm256_srli_epi16::<8>(a))))
        };
        to_f32(a: I) -> F = _mm256_cvtepi32_ps(a);
        round_i32(a: F) -> I = _mm256_cvtps_epi32(a);
        trunc_i32(a: F) -> I = _mm256_cvttps_epi32(a);
    }

    #[inline(always)]
    fn lower_half(self, v: F) -> __m256 {
        v[0]
    }

    whole! {
        splat_half(x: f32) -> __m256 = _mm256_set1_ps(x);
        mul_add_half(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        widen_half(h: __m256) -> F = [h, _mm256_setzero_ps()];
        splat(x: f32) -> F = [_mm256_set1_ps(x); 2];
        splat_i32(x: i32) -> I = [_mm256_set1_epi32(x); 2];
        prefetch(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T0>(p.cast());
        prefetch_far(p: *const f32) -> () = _mm_prefetch::<_MM_HINT_T1>(p.cast());
        mask_first(n: usize) -> I = {
            let n = _mm256_set1_epi32(n.min(LANES) as i32);
            [
                _mm256_cmpgt_epi32(n, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                _mm256_cmpgt_epi32(n, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)),
            ]
        };
        mask_from_bits(bits: u16) -> I = {
            let bits = _mm256_set1_epi32(bits as i32);
            let lo = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
            let hi = _mm256_slli_epi32::<8>(lo);
            [
                _mm256_cmpeq_epi32(_mm256_and_si256(bits, lo), lo),
                _mm256_cmpeq_epi32(_mm256_and_si256(bits, hi), hi),
            ]
        };
        mask_bits(m: I) -> u16 = {
            let lo = _mm256_movemask_ps(_mm256_castsi256_ps(m[0]));
            let hi = _mm256_movemask_ps(_mm256_castsi256_ps(m[1]));
            (lo | hi << 8) as u16
        };
        mask_from_bools(bytes: [u8; LANES]) -> I = {
            let clear = _mm_cmpeq_epi8(_mm_loadu_si128(bytes.as_ptr().cast()), _mm_setzero_si128());
            let set = _mm_xor_si128(clear, _mm_set1_epi8(-1));
            [_mm256_cvtepi8_epi32(set), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(set))]
        };
        mask_bools(m: I) -> [u8; LANES] = {
            let pairs = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(m[0], m[1]));
            let set = _mm_packs_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256::<1>(pairs));
            let mut bytes = [0; LANES];
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm_and_si128(set, _mm_set1_epi8(1)));
            bytes
        };
        reduce_add(a: F) -> f32 = tree!(a, _mm256_add_ps, _mm_add_ps, _mm_add_ss);
        reduce_max_raw(a: F) -> f32 = tree!(a, _mm256_max_ps, _mm_max_ps, _mm_max_ss);
        reduce_min_raw(a: F) -> f32 = tree!(a, _mm256_min_ps, _mm_min_ps, _mm_min_ss);
        lookup(table: F, index: I) -> F = [lookup(table, index[0]), lookup(table, index[1])];
        lookup_low(table: F, index: I) -> F = [
            _mm256_permutevar8x32_ps(table[0], index[0]),
            _mm256_permutevar8x32_ps(table[0], index[1]),
        ];
        zip(a: F, b: F) -> (F, F) = (zip(a[0], b[0]), zip(a[1], b[1]));
        unzip(a: F, b: F) -> (F, F) = {
            let ((even, odd), (even2, odd2)) = (unzip(a[0], a[1]), unzip(b[0], b[1]));
            ([even, even2], [odd, odd2])
        };
        transpose(rows: &mut [F; LANES]) -> () = transpose(rows);
    }
}

/// `yes` where `m` is set.
#[inline(always)]
unsafe fn blend(no: __m256, yes: __m256, m: __m256i) -> __m256 {
    // SAFETY: called with the token at hand.
    unsafe { _mm256_blendv_ps(no, yes, _mm256_castsi256_ps(m)) }
}

/// The permutation reads three bits of the index; bit 3, moved to the sign, chooses the half of the table.
#[inline(always)]
unsafe fn lookup(table: F, index: __m256i) -> __m256 {
    // SAFETY: called with the token at hand.
    unsafe {
        let lo = _mm256_permutevar8x32_ps(table[0], index);
        let hi = _mm256_permutevar8x32_ps(table[1], index);
        blend(lo, hi, _mm256_slli_epi32::<28>(index))
    }
}

/// Four 8×8 blocks; the off-diagonal ones change places.
#[inline(always)]
unsafe fn transpose(rows: &mut [F; LANES]) {
    let from = *rows;
    for i in 0..2 {
        for j in 0..2 {
            // SAFETY: called with the token at hand.
            unsafe { transpose_block(&from, i, j, rows) }
        }
    }
}

/// Lanes of both in turn.
#[inline(always)]
unsafe fn zip(a: __m256, b: __m256) -> F {
    // SAFETY: called with the token at hand.
    unsafe {
        let (low, high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
        [_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high)]
    }
}

/// The even and the odd of 16 lanes.
#[inline(always)]
unsafe fn unzip(a: __m256, b: __m256) -> (__m256, __m256) {
    // SAFETY: called with the token at hand.
    unsafe {
        // Pairs of lanes in the order 0 2 1 3.
        let even = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b));
        let odd = _mm256_castps_pd(_mm256_shuffle_ps::<0xdd>(a, b));
        (
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(even)),
            _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(odd)),
        )
    }
}

/// Rows `8 i ..` of half `j` go to rows `8 j ..` of half `i`, transposed.
#[inline(always)]
unsafe fn transpose_block(from: &[F; LANES], i: usize, j: usize, to: &mut [F; LANES]) {
    let mut rows = [from[0][0]; 8];
    for (row, from) in rows.iter_mut().zip(&from[8 * i..]) {
        *row = from[j];
    }
    // SAFETY: called with the token at hand.
    let columns = unsafe { transpose_8x8(rows) };
    for (to, column) in to[8 * j..].iter_mut().zip(columns) {
        to[i] = column;
    }
}

/// Within each 128-bit half: 8 shuffles.
#[inline(always)]
unsafe fn transpose_quads([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    // SAFETY: called with the token at hand.
    unsafe {
        let (ab, ab2) =
            (_mm256_castps_pd(_mm256_unpacklo_ps(a, b)), _mm256_castps_pd(_mm256_unpackhi_ps(a, b)));
        let (cd, cd2) =
            (_mm256_castps_pd(_mm256_unpacklo_ps(c, d)), _mm256_castps_pd(_mm256_unpackhi_ps(c, d)));
        [
            _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
            _mm256_castpd_ps(_mm256_unpacklo_pd(ab2, cd2)),
            _mm256_castpd_ps(_mm256_unpackhi_pd(ab2, cd2)),
        ]
    }
}

/// The 8×8 transpose.
#[inline(always)]
unsafe fn transpose_8x8(rows: [__m256; 8]) -> [__m256; 8] {
    // SAFETY: called with the token at hand.
    unsafe {
        // u and v hold in their 128-bit half q the column 4 q + c of the upper four rows and of the lower four.
        let [a, b, c, d, e, f, g, h] = rows;
        let (u, v) = (transpose_quads([a, b, c, d]), transpose_quads([e, f, g, h]));
        let mut columns = rows;
        for c in 0..4 {
            columns[c] = _mm256_permute2f128_ps::<0x20>(u[c], v[c]);
            columns[4 + c] = _mm256_permute2f128_ps::<0x31>(u[c], v[c]);
        }
        columns
    }
}
