//! Products of bytes: 16 lanes of `i32`, each of which adds the products of four bytes. They are exact, so every
//! instruction set gives the same bits; where the CPU has an instruction for it ([`Vnni`]), it is one.

#[cfg(all(target_arch = "x86_64", not(miri)))]
use core::arch::x86_64::*;

#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::{Avx512, Level, level, tiles::Tiles};
use super::{LANES, Simd, dispatch};

/// What adds products of bytes.
pub trait Bytes: Copy {
    /// The vectors of the instruction set.
    type Simd: Simd;
    /// 16 sums.
    type Sums: Copy;

    /// The vectors of the instruction set.
    fn simd(self) -> Self::Simd;

    /// All 0.
    fn none(self) -> Self::Sums;

    /// Adds to each sum the four products of the unsigned bytes of `a` and the signed ones of the sum's element of `w`.
    fn add(self, sums: Self::Sums, a: u32, w: &[u32; LANES]) -> Self::Sums;

    /// The sums as whole numbers.
    fn sums(self, sums: Self::Sums) -> <Self::Simd as Simd>::I32;

    /// Registers that take the products of many rows at once.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    #[inline(always)]
    fn tiles(self) -> Option<Tiles> {
        None
    }
}

/// Any instruction set.
#[derive(Clone, Copy, Debug)]
pub struct Generic<S>(pub S);

impl<S: Simd> Bytes for Generic<S> {
    type Simd = S;
    type Sums = S::I32;

    #[inline(always)]
    fn simd(self) -> S {
        self.0
    }

    #[inline(always)]
    fn none(self) -> S::I32 {
        self.0.zero_i32()
    }

    #[inline(always)]
    fn add(self, sums: S::I32, a: u32, w: &[u32; LANES]) -> S::I32 {
        // SAFETY: the array has 16 elements, and every bit pattern is an `i32`.
        let w = unsafe { self.0.load_i32_ptr(w.as_ptr().cast()) };
        self.0.add_products(sums, w, a)
    }

    #[inline(always)]
    fn sums(self, sums: S::I32) -> S::I32 {
        sums
    }
}

/// AVX-512 with VNNI, and perhaps with tiles.
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[derive(Clone, Copy, Debug)]
pub struct Vnni(Avx512, Option<Tiles>);

#[cfg(all(target_arch = "x86_64", not(miri)))]
impl Bytes for Vnni {
    type Simd = Avx512;
    type Sums = __m512i;

    #[inline(always)]
    fn simd(self) -> Avx512 {
        self.0
    }

    #[inline(always)]
    fn none(self) -> __m512i {
        self.0.zero_i32()
    }

    #[inline(always)]
    fn add(self, sums: __m512i, a: u32, w: &[u32; LANES]) -> __m512i {
        // SAFETY: the token exists, so the CPU has the instructions; the array has 64 bytes.
        unsafe {
            _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(a as i32), _mm512_loadu_si512(w.as_ptr().cast()))
        }
    }

    #[inline(always)]
    fn sums(self, sums: __m512i) -> __m512i {
        sums
    }

    #[inline(always)]
    fn tiles(self) -> Option<Tiles> {
        self.1
    }
}

/// Work written once for everything that adds products of bytes. As with [`Op`](super::Op), the implementation and what is
/// hot below it are `#[inline(always)]`.
pub trait BytesOp {
    /// The work.
    fn run<B: Bytes>(self, b: B);
}

struct Any<O>(O);

impl<O: BytesOp> super::Op for Any<O> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.0.run(Generic(s));
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline(never)]
fn run_vnni<O: BytesOp>(op: O, s: Vnni) {
    op.run(s);
}

/// Runs `op` on the fastest instructions for it, within the level in use.
pub fn dispatch_bytes<O: BytesOp>(op: O) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if Level::current() == Level::Avx512 && level::has_vnni() {
        // SAFETY: the level in use is one that the CPU has.
        let s = Vnni(unsafe { Avx512::new_unchecked() }, Tiles::get());
        // SAFETY: the CPU has the level and VNNI.
        return unsafe { run_vnni(op, s) };
    }
    dispatch(Any(op));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::simd::{Level, dispatch_at};

    /// Runs `op` on what a level has beside instructions made for it.
    pub(crate) fn dispatch_generic<O: BytesOp>(level: Level, op: O) {
        dispatch_at(level, Any(op));
    }

    /// Runs `op` row by row, where `dispatch_bytes` could take tiles of them.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    pub(crate) fn dispatch_rows<O: BytesOp>(op: O) {
        if level::has_vnni() && Level::available().any(|level| level == Level::Avx512) {
            // SAFETY: the CPU has the level.
            let s = Vnni(unsafe { Avx512::new_unchecked() }, None);
            // SAFETY: the CPU has the level and VNNI.
            unsafe { run_vnni(op, s) }
        } else {
            dispatch(Any(op))
        }
    }

    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    pub(crate) fn dispatch_rows<O: BytesOp>(op: O) {
        dispatch(Any(op))
    }

    struct Lane<'a>(&'a mut [i32; LANES], u32, [u32; LANES]);

    impl BytesOp for Lane<'_> {
        #[inline(always)]
        fn run<B: Bytes>(self, b: B) {
            let once = b.add(b.none(), self.1, &self.2);
            *self.0 = b.simd().to_array_i32(b.sums(b.add(once, self.1, &self.2)));
        }
    }

    #[test]
    fn the_largest_bytes_do_not_saturate() {
        let a = [255u8, 1, 255, 254];
        let w: [[i8; 4]; LANES] = core::array::from_fn(|i| match i % 4 {
            0 => [-128; 4],
            1 => [127; 4],
            2 => [-128, 127, i as i8, -1],
            _ => [0, -(i as i8), 127, 3],
        });
        let expected = w.map(|w| 2 * a.iter().zip(w).map(|(a, w)| i32::from(*a) * i32::from(w)).sum::<i32>());
        let (a, w) = (u32::from_le_bytes(a), w.map(|w| u32::from_le_bytes(w.map(|b| b as u8))));
        for level in Level::available() {
            let mut y = [0; LANES];
            dispatch_generic(level, Lane(&mut y, a, w));
            assert_eq!(y, expected, "{}", level.name());
        }
        let mut y = [0; LANES];
        dispatch_bytes(Lane(&mut y, a, w));
        assert_eq!(y, expected);
    }
}
