//! Bytes by a table of 256: four instructions for 64 of them where the CPU has VBMI, one after the other elsewhere.

#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::{Level, level};

/// `y[i] = table[x[i]]`, as far as both go.
pub(crate) fn lookup_bytes(y: &mut [u8], x: &[u8], table: &[u8; 256]) {
    let n = y.len().min(x.len());
    #[allow(unused_mut, reason = "where nothing is done at once")]
    let mut done = 0;
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if Level::current() == Level::Avx512 && level::has_vbmi() {
        // SAFETY: the CPU has the level in use, and VBMI.
        done = unsafe { lookup_vbmi(&mut y[..n], &x[..n], table) };
    }
    for (y, x) in y[done..n].iter_mut().zip(&x[done..n]) {
        *y = table[usize::from(*x)];
    }
}

/// As many as are whole vectors: the low seven bits of a byte say which of two registers' bytes it is, the highest which two.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
#[inline(never)]
fn lookup_vbmi(y: &mut [u8], x: &[u8], table: &[u8; 256]) -> usize {
    use core::arch::x86_64::*;
    const WIDTH: usize = 64;
    let whole = x.len() / WIDTH * WIDTH;
    // SAFETY: the table has four times 64 bytes, the chunks have 64.
    unsafe {
        let a = _mm512_loadu_si512(table.as_ptr().cast());
        let b = _mm512_loadu_si512(table.as_ptr().add(WIDTH).cast());
        let c = _mm512_loadu_si512(table.as_ptr().add(2 * WIDTH).cast());
        let d = _mm512_loadu_si512(table.as_ptr().add(3 * WIDTH).cast());
        for (y, x) in y.chunks_exact_mut(WIDTH).zip(x.chunks_exact(WIDTH)) {
            let x = _mm512_loadu_si512(x.as_ptr().cast());
            let (low, high) = (_mm512_permutex2var_epi8(a, x, b), _mm512_permutex2var_epi8(c, x, d));
            let found = _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high);
            _mm512_storeu_si512(y.as_mut_ptr().cast(), found);
        }
    }
    whole
}
