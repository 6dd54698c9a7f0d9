//! Four rows of 16 bytes side by side, and their products with as many weights: AVX-512 with VNNI and VBMI, which permutes
//! bytes across a vector.

use core::arch::x86_64::*;

use super::{Avx512, LANES, Level, Simd, level};

/// 16 words of four bytes, or 16 sums.
pub type Words = __m512i;

/// The CPU has the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Quads(Avx512);

impl Quads {
    /// The vectors of the instruction set.
    #[inline(always)]
    pub fn simd(self) -> Avx512 {
        self.0
    }

    /// All 0.
    #[inline(always)]
    pub fn none(self) -> Words {
        self.0.zero_i32()
    }

    /// Word `i` has byte `i` of each row.
    ///
    /// # Safety
    /// Each row must be valid for reading 16 bytes.
    #[inline(always)]
    pub unsafe fn interleave(self, rows: [*const u8; 4]) -> Words {
        const ORDER: [u8; 64] = {
            let (mut order, mut i) = ([0; 64], 0);
            while i < 64 {
                order[i] = (i % 4 * LANES + i / 4) as u8;
                i += 1;
            }
            order
        };
        // SAFETY: the token exists, so the CPU has the instructions; the memory is the caller's promise.
        unsafe {
            let x = _mm512_castsi128_si512(_mm_loadu_si128(rows[0].cast()));
            let x = _mm512_inserti32x4::<1>(x, _mm_loadu_si128(rows[1].cast()));
            let x = _mm512_inserti32x4::<2>(x, _mm_loadu_si128(rows[2].cast()));
            let x = _mm512_inserti32x4::<3>(x, _mm_loadu_si128(rows[3].cast()));
            _mm512_permutexvar_epi8(_mm512_loadu_si512(ORDER.as_ptr().cast()), x)
        }
    }

    /// Adds to each sum the four products of its word's bytes, unsigned, and its weights, signed.
    #[inline(always)]
    pub fn add(self, sums: Words, words: Words, w: &[u32; LANES]) -> Words {
        // SAFETY: the token exists, so the CPU has the instructions; the array has 64 bytes.
        unsafe { _mm512_dpbusd_epi32(sums, words, _mm512_loadu_si512(w.as_ptr().cast())) }
    }

    /// The words, one after the other.
    #[inline(always)]
    pub fn store(self, words: Words) -> [u32; LANES] {
        self.0.to_array_i32(words).map(|word| word as u32)
    }
}

/// Work for CPUs that have the instructions; what is hot below it is `#[inline(always)]`.
pub trait QuadsOp {
    /// The work.
    fn run(self, q: Quads);
}

#[target_feature(enable = "avx,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512vbmi")]
#[inline(never)]
fn run_quads<O: QuadsOp>(op: O, q: Quads) {
    op.run(q);
}

/// Runs `op`, or gives it back where the level in use or the CPU has no such instructions.
pub fn dispatch_quads<O: QuadsOp>(op: O) -> Option<O> {
    if Level::current() != Level::Avx512 || !level::has_vnni() || !level::has_vbmi() {
        return Some(op);
    }
    // SAFETY: the level in use is one that the CPU has.
    let q = Quads(unsafe { Avx512::new_unchecked() });
    // SAFETY: the CPU has the level, VNNI and VBMI.
    unsafe { run_quads(op, q) };
    None
}
