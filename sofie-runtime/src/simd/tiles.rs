//! Products of bytes by the tile registers of AMX: two tiles of rows by one or two panels at once, 64 bytes of each row to an
//! instruction. The sums are those of [`Bytes`](super::bytes::Bytes), exact.
//!
//! The instructions have no stable intrinsics, so they are one block of assembly. The system hands the registers out to those
//! that ask for them, which the first question does.

use core::arch::asm;
use core::sync::atomic::{AtomicU8, Ordering};

use super::LANES;

/// Rows of a tile, and groups of four bytes of one of its rows, at most.
pub const ROWS: usize = 16;

/// The CPU and the system have the instructions.
#[derive(Clone, Copy, Debug)]
pub struct Tiles(());

/// 0 before the first question, 1 no, 2 yes.
static TILES: AtomicU8 = AtomicU8::new(0);

impl Tiles {
    /// The instructions, where they are there.
    #[inline]
    pub fn get() -> Option<Self> {
        let answer = match TILES.load(Ordering::Relaxed) {
            0 => detect(),
            answer => answer,
        };
        (answer == 2).then_some(Self(()))
    }
}

#[cold]
#[inline(never)]
fn detect() -> u8 {
    let answer = 1 + u8::from(cpu_has_them() && system_gives_them());
    TILES.store(answer, Ordering::Relaxed);
    answer
}

/// Tiles, products of bytes, and the registers that the system has switched on: CPUID and XGETBV.
fn cpu_has_them() -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    #[allow(unused_unsafe, reason = "safe in newer toolchains alone")]
    // SAFETY: every CPU with AVX-512 has the instruction and these leaves.
    let (features, switched) = unsafe { (__cpuid_count(7, 0).edx, __cpuid(1).ecx) };
    let [tile, int8, osxsave] = [features >> 24, features >> 25, switched >> 27].map(|bit| bit & 1 == 1);
    if !(tile && int8 && osxsave) {
        return false;
    }
    let (low, _high): (u32, u32);
    // SAFETY: XGETBV is there where the system has switched XSAVE on.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _high, options(nomem, nostack)) };
    low >> 17 & 3 == 3
}

/// Asks the system for the registers, for all threads of the process.
#[cfg(target_os = "linux")]
fn system_gives_them() -> bool {
    const ARCH_PRCTL: isize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const XFEATURE_XTILEDATA: usize = 18;
    let result: isize;
    // SAFETY: the call reads and writes nothing of this process; a kernel that does not know it says so.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") ARCH_REQ_XCOMP_PERM,
            in("rsi") XFEATURE_XTILEDATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn system_gives_them() -> bool {
    false
}

/// The operands of a block: two tiles of rows by one or two panels of weights. A row is `runs` times `chunks` pieces of
/// `groups` groups of four bytes; pieces of a run are next to each other, and so are a panel's groups of weights.
pub struct Product<'a> {
    /// The left operand.
    pub a: &'a [u8],
    /// The first byte of each tile's first row.
    pub starts: [usize; 2],
    /// From row to row, and from run to run.
    pub steps: [usize; 2],
    /// Pieces of a run.
    pub chunks: usize,
    /// Runs of a row.
    pub runs: usize,
    /// The weights of the panels: those of all groups of a run, and more behind them that are left out.
    pub w: &'a [[u32; LANES]],
    /// From one panel to the other.
    pub panel: usize,
    /// From run to run.
    pub run: usize,
    /// What is fetched meanwhile, some lines with each piece; any address.
    pub ahead: Option<*const u8>,
}

/// What the assembly adds to its pointers.
#[repr(C)]
struct Steps {
    /// Behind a piece.
    a: usize,
    w: usize,
    /// Behind a run.
    a_run: usize,
    w_run: usize,
    chunks: usize,
    /// Bytes that are fetched ahead with each piece.
    ahead: usize,
}

/// Cache lines that are fetched ahead with each piece.
const LINES: usize = 8;

/// Registers with a shape: `rows` rows of `groups` groups of bytes. It is given back when this is dropped.
pub struct Shaped {
    rows: usize,
    groups: usize,
}

impl Shaped {
    /// Gives the registers a shape.
    ///
    /// # Panics
    ///
    /// Where there are no rows or groups, or too many.
    pub fn new(_: Tiles, rows: usize, groups: usize) -> Self {
        assert!(
            (1..=ROWS).contains(&rows) && (1..=ROWS).contains(&groups),
            "tiles of {rows} x {groups} groups"
        );
        #[repr(C, align(64))]
        struct Config {
            palette: u8,
            start: u8,
            zero: [u8; 14],
            bytes_a_row: [u16; 16],
            rows: [u8; 16],
        }
        let (mut bytes_a_row, mut of_rows) = ([0; 16], [0; 16]);
        let (line, vector) = (4 * groups as u16, 4 * LANES as u16);
        bytes_a_row[..8].copy_from_slice(&[vector, vector, vector, vector, line, line, vector, vector]);
        let (rows8, groups8) = (rows as u8, groups as u8);
        of_rows[..8].copy_from_slice(&[rows8, rows8, rows8, rows8, rows8, rows8, groups8, groups8]);
        let config = Config { palette: 1, start: 0, zero: [0; 14], bytes_a_row, rows: of_rows };
        // SAFETY: the token exists, so the instruction does, too; the shapes are within what palette 1 allows.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Self { rows, groups }
    }

    /// The sums of `P` panels, 1 or 2, for the rows of both tiles one after the other, a vector of each panel for each row.
    ///
    /// # Panics
    ///
    /// Where an operand is too short.
    #[inline(always)]
    pub fn product<const P: usize>(&self, of: &Product<'_>, sums: &mut [[i32; LANES]]) {
        let Product { a, starts, steps, chunks, runs, w, panel, run, ahead } = *of;
        let (bytes, groups) = (chunks * self.groups * 4, chunks * self.groups);
        assert!(runs > 0 && chunks > 0 && (P == 1 || P == 2), "a product of tiles: nothing to add");
        let last = starts[0].max(starts[1]) + (self.rows - 1) * steps[0] + (runs - 1) * steps[1] + bytes;
        assert!(last <= a.len(), "a product of tiles: rows behind their operand");
        assert!(
            (P - 1) * panel + (runs - 1) * run + groups <= w.len(),
            "a product of tiles: too few weights"
        );
        assert!(sums.len() >= 2 * self.rows * P, "a product of tiles: no room for its sums");
        let by = Steps {
            a: self.groups * 4,
            w: self.groups * 4 * LANES,
            a_run: steps[1].wrapping_sub(bytes),
            w_run: (run - groups) * 4 * LANES,
            chunks,
            // Else the same lines again, which are there.
            ahead: if ahead.is_some() { LINES * 64 } else { 0 },
        };
        let [a0, a1] = starts.map(|start| a.as_ptr().wrapping_add(start));
        let w0 = w.as_ptr();
        let ahead = ahead.unwrap_or(w0.cast());
        let w1 = w0.wrapping_add((P - 1) * panel);
        let c0 = sums.as_mut_ptr();
        let c1 = c0.wrapping_add(self.rows * P);
        macro_rules! run {
            ([$($zero:literal)*] [$($piece:literal)*] [$($store:literal)*]) => {
                // SAFETY: the registers have the shape that this says. A tile's rows are `steps[0]` apart and end within
                // `a`, the weights within `w` and the sums within `sums`, as was asserted for the last of each.
                unsafe {
                    asm!(
                        $($zero,)*
                        "2:",
                        "mov {k}, [{by} + 32]",
                        "3:",
                        "prefetcht1 [{ahead}]",
                        "prefetcht1 [{ahead} + 64]",
                        "prefetcht1 [{ahead} + 128]",
                        "prefetcht1 [{ahead} + 192]",
                        "prefetcht1 [{ahead} + 256]",
                        "prefetcht1 [{ahead} + 320]",
                        "prefetcht1 [{ahead} + 384]",
                        "prefetcht1 [{ahead} + 448]",
                        "add {ahead}, [{by} + 40]",
                        $($piece,)*
                        "add {a0}, [{by}]",
                        "add {a1}, [{by}]",
                        "add {w0}, [{by} + 8]",
                        "add {w1}, [{by} + 8]",
                        "dec {k}",
                        "jnz 3b",
                        "add {a0}, [{by} + 16]",
                        "add {a1}, [{by} + 16]",
                        "add {w0}, [{by} + 24]",
                        "add {w1}, [{by} + 24]",
                        "dec {runs}",
                        "jnz 2b",
                        "mov {k}, {line}",
                        $($store,)*
                        by = in(reg) &by,
                        k = out(reg) _,
                        runs = inout(reg) runs => _,
                        a0 = inout(reg) a0 => _,
                        a1 = inout(reg) a1 => _,
                        w0 = inout(reg) w0 => _,
                        w1 = inout(reg) w1 => _,
                        ahead = inout(reg) ahead => _,
                        c0 = in(reg) c0,
                        c1 = in(reg) c1,
                        row = in(reg) steps[0],
                        vector = in(reg) 4 * LANES,
                        line = const 4 * LANES * P,
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack)
                    );
                }
            };
        }
        if P == 1 {
            run!(
                ["tilezero tmm0" "tilezero tmm2"]
                [
                    "tileloadd tmm4, [{a0} + {row}]"
                    "tileloadd tmm6, [{w0} + {vector}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "tileloadd tmm5, [{a1} + {row}]"
                    "tdpbusd tmm2, tmm5, tmm6"
                ]
                ["tilestored [{c0} + {k}], tmm0" "tilestored [{c1} + {k}], tmm2"]
            );
        } else {
            run!(
                ["tilezero tmm0" "tilezero tmm1" "tilezero tmm2" "tilezero tmm3"]
                [
                    "tileloadd tmm4, [{a0} + {row}]"
                    "tileloadd tmm6, [{w0} + {vector}]"
                    "tdpbusd tmm0, tmm4, tmm6"
                    "tileloadd tmm7, [{w1} + {vector}]"
                    "tdpbusd tmm1, tmm4, tmm7"
                    "tileloadd tmm5, [{a1} + {row}]"
                    "tdpbusd tmm2, tmm5, tmm6"
                    "tdpbusd tmm3, tmm5, tmm7"
                ]
                [
                    "tilestored [{c0} + {k}], tmm0" "tilestored [{c0} + {k} + 64], tmm1"
                    "tilestored [{c1} + {k}], tmm2" "tilestored [{c1} + {k} + 64], tmm3"
                ]
            );
        }
    }
}

impl Drop for Shaped {
    fn drop(&mut self) {
        // SAFETY: there is such an instruction where there are shapes.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}
