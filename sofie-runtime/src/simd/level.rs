//! Which instruction set runs: detection, the process-wide choice, and the way from it into a kernel.
//!
//! The choice is one relaxed atomic load and a predictable jump (under 2 ns), so small kernels can dispatch on
//! their own. Because every level gives the same bits, forcing one is a matter of speed and of testing only.

use core::sync::atomic::{AtomicU8, Ordering};

#[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
use super::Neon;
#[cfg(all(target_arch = "x86_64", not(miri)))]
use super::{Avx2, Avx512};
use super::{Scalar, Simd};

/// An instruction set that the kernels are compiled for, slowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Level {
    /// Plain Rust, any CPU (and the only one under Miri).
    Scalar = 1,
    /// AArch64 NEON: four registers of 4 lanes.
    Neon = 2,
    /// x86-64 with AVX2, FMA and F16C: two registers of 8 lanes.
    Avx2 = 3,
    /// x86-64 with AVX-512 F, BW, DQ and VL: one register of 16 lanes.
    Avx512 = 4,
}

impl Level {
    /// All levels, slowest first.
    pub const ALL: [Level; 4] = [Level::Scalar, Level::Neon, Level::Avx2, Level::Avx512];

    /// A short lower-case name for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Neon => "neon",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }

    /// Can this CPU run it? Without the feature `std` the answer is that of the compile-time target features.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Level::Scalar => true,
            #[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
            Level::Neon => true,
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Level::Avx2 => has_avx2(),
            #[cfg(all(target_arch = "x86_64", not(miri)))]
            Level::Avx512 => has_avx2() && has_avx512(),
            #[allow(unreachable_patterns, reason = "which levels are compiled depends on the target")]
            _ => false,
        }
    }

    /// The levels that this CPU can run, slowest first; the last is the one used unless another is forced.
    pub fn available() -> impl Iterator<Item = Level> {
        Level::ALL.into_iter().filter(|level| level.is_available())
    }

    /// The level that [`dispatch`] uses now.
    #[must_use]
    #[inline]
    pub fn current() -> Level {
        match CURRENT.load(Ordering::Relaxed) {
            1 => Level::Scalar,
            2 => Level::Neon,
            3 => Level::Avx2,
            4 => Level::Avx512,
            _ => detect(),
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn has_avx2() -> bool {
    #[cfg(feature = "std")]
    return std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("fma")
        && std::arch::is_x86_feature_detected!("f16c");
    #[cfg(not(feature = "std"))]
    return cfg!(all(target_feature = "avx2", target_feature = "fma", target_feature = "f16c"));
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
fn has_avx512() -> bool {
    #[cfg(feature = "std")]
    return std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512dq")
        && std::arch::is_x86_feature_detected!("avx512vl");
    #[cfg(not(feature = "std"))]
    return cfg!(all(
        target_feature = "avx512f",
        target_feature = "avx512bw",
        target_feature = "avx512dq",
        target_feature = "avx512vl"
    ));
}

/// Whether a CPU that has [`Level::Avx512`] has VNNI too, which products of bytes alone use.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(super) fn has_vnni() -> bool {
    #[cfg(feature = "std")]
    return std::arch::is_x86_feature_detected!("avx512vnni");
    #[cfg(not(feature = "std"))]
    return cfg!(target_feature = "avx512vnni");
}

/// Whether a CPU that has [`Level::Avx512`] permutes bytes too.
#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(super) fn has_vbmi() -> bool {
    #[cfg(feature = "std")]
    return std::arch::is_x86_feature_detected!("avx512vbmi");
    #[cfg(not(feature = "std"))]
    return cfg!(target_feature = "avx512vbmi");
}

/// Whether half a vector takes half the time of a whole one, so that lanes left idle are worth a narrower instruction: of the
/// CPUs that have [`Level::Avx512`] Zen 4 alone, whose units are 256 bits wide. Below it a vector is several registers.
#[inline]
pub(crate) fn halves_are_faster(level: Level) -> bool {
    match level {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Level::Avx512 => match HALVES.load(Ordering::Relaxed) {
            0 => detect_halves(),
            answer => answer == 2,
        },
        Level::Scalar => false,
        _ => true,
    }
}

/// 0 before the first question, 1 no, 2 yes.
#[cfg(all(target_arch = "x86_64", not(miri)))]
static HALVES: AtomicU8 = AtomicU8::new(0);

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[cold]
#[inline(never)]
fn detect_halves() -> bool {
    use core::arch::x86_64::__cpuid;
    #[allow(unused_unsafe, reason = "safe in newer toolchains alone")]
    // SAFETY: every CPU with AVX-512 has the instruction and both leaves.
    let (vendor, signature) = unsafe { (__cpuid(0), __cpuid(1).eax) };
    let amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes) == [*b"Auth", *b"enti", *b"cAMD"];
    let family = (signature >> 8 & 0xf) + (signature >> 20 & 0xff);
    let answer = amd && family == 0x19;
    HALVES.store(1 + u8::from(answer), Ordering::Relaxed);
    answer
}

/// Runs `f` as on a CPU with this answer. Other threads may see it too, and compute the same bits.
#[cfg(test)]
pub(crate) fn with_halves<R>(faster: bool, f: impl FnOnce() -> R) -> R {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        let before = HALVES.swap(1 + u8::from(faster), Ordering::Relaxed);
        let result = f();
        HALVES.store(before, Ordering::Relaxed);
        result
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    {
        let _ = faster;
        f()
    }
}

/// The level in use as its number, 0 before the first question. Only ever an available level.
static CURRENT: AtomicU8 = AtomicU8::new(0);

#[cold]
#[inline(never)]
fn detect() -> Level {
    let best = Level::available().last().unwrap_or(Level::Scalar);
    CURRENT.store(best as u8, Ordering::Relaxed);
    best
}

/// Work written once for every instruction set.
pub trait Op {
    /// What it gives back.
    type Output;
    /// The work. Mark the implementation and everything hot below it `#[inline(always)]` (and keep closures
    /// out of it): only what is inlined here is compiled with the instruction set.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

// One function each, so that what a caller dispatches stays a call: the callers are compiled without the
// instruction set and could not take it in anyway.

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx,avx2,fma,f16c")]
#[inline(never)]
pub(super) fn run_avx2<O: Op>(op: O, s: Avx2) -> O::Output {
    op.run(s)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "avx,avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")]
#[inline(never)]
pub(super) fn run_avx512<O: Op>(op: O, s: Avx512) -> O::Output {
    op.run(s)
}

/// For the levels that need no features beyond the target's own.
#[inline(never)]
pub(super) fn run_plain<O: Op, S: Simd>(op: O, s: S) -> O::Output {
    op.run(s)
}

/// Runs `op` on the fastest instruction set that the CPU has, or on the forced one.
///
/// Generic code is compiled in the crate that calls this, at that crate's optimisation level: call it from
/// functions of this crate that are not generic.
#[inline]
pub fn dispatch<O: Op>(op: O) -> O::Output {
    match CURRENT.load(Ordering::Relaxed) {
        // SAFETY: `CURRENT` only ever holds the number of a level that the CPU has.
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        4 => unsafe { run_avx512(op, Avx512::new_unchecked()) },
        // SAFETY: as above.
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        3 => unsafe { run_avx2(op, Avx2::new_unchecked()) },
        _ => dispatch_at(Level::current(), op),
    }
}

/// Runs `op` on the given instruction set, whatever the process uses.
///
/// # Panics
/// When the CPU does not have `level`.
pub fn dispatch_at<O: Op>(level: Level, op: O) -> O::Output {
    assert!(level.is_available(), "this CPU cannot run {}", level.name());
    match level {
        // SAFETY: checked above.
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Level::Avx512 => unsafe { run_avx512(op, Avx512::new_unchecked()) },
        // SAFETY: checked above.
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        Level::Avx2 => unsafe { run_avx2(op, Avx2::new_unchecked()) },
        #[cfg(all(target_arch = "aarch64", target_feature = "neon", not(miri)))]
        Level::Neon => run_plain(op, Neon::new()),
        _ => run_plain(op, Scalar::new()),
    }
}

/// Makes the whole process use `level` from now on, or with `None` the fastest one again.
///
/// Results do not change, only speed: it is there for tests that compare instruction sets and for benchmarks.
///
/// # Panics
/// When the CPU does not have `level`.
pub fn force_level(level: Option<Level>) {
    if let Some(level) = level {
        assert!(level.is_available(), "this CPU cannot run {}", level.name());
    }
    CURRENT.store(level.map_or(0, |level| level as u8), Ordering::Relaxed);
}

/// Runs `f` while the whole process uses `level`, then goes back to what it used.
///
/// With the feature `std`, threads that call this wait for each other (calls within calls on one thread are
/// fine), so tests in parallel threads each get the level they asked for.
///
/// # Panics
/// When the CPU does not have `level`.
pub fn with_level<R>(level: Level, f: impl FnOnce() -> R) -> R {
    /// Goes back to the level before, also when `f` panics.
    struct Restore(u8);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.store(self.0, Ordering::Relaxed);
        }
    }
    #[cfg(feature = "std")]
    let _turn = turn::Turn::take();
    let _restore = Restore(CURRENT.load(Ordering::Relaxed));
    force_level(Some(level));
    f()
}

/// Runs `f` once for each level that the CPU has, slowest first, the process using that level meanwhile.
/// Same rules as [`with_level`].
pub fn for_each_level(mut f: impl FnMut(Level)) {
    for level in Level::available() {
        with_level(level, || f(level));
    }
}

/// Whose turn it is to force a level: one thread at a time, any depth of calls within that thread.
#[cfg(feature = "std")]
mod turn {
    use std::cell::Cell;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    static LOCK: Mutex<()> = Mutex::new(());
    std::thread_local! {
        static DEPTH: Cell<usize> = const { Cell::new(0) };
    }

    /// Held while a thread has forced a level.
    pub(super) struct Turn {
        _guard: Option<MutexGuard<'static, ()>>,
    }

    impl Turn {
        pub(super) fn take() -> Turn {
            let outermost = DEPTH.get() == 0;
            let guard = outermost.then(|| LOCK.lock().unwrap_or_else(PoisonError::into_inner));
            DEPTH.set(DEPTH.get() + 1);
            Turn { _guard: guard }
        }
    }

    impl Drop for Turn {
        fn drop(&mut self) {
            DEPTH.set(DEPTH.get() - 1);
        }
    }
}
