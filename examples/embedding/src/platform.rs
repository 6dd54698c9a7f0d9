//! What std would bring and a program without it provides itself: memory, and what happens at a panic.
//!
//! A session allocates while it is made and never again. So the allocator gives what the caller of `tagger_create` lends
//! for that time, one block behind the other, takes nothing back (the memory goes with the session), and has nothing to
//! give at any other time.

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

struct Lent {
    /// Whether a thread lends now; the others wait, for the microseconds that making a session takes.
    busy: AtomicBool,
    /// The first byte that is free; null while nobody lends.
    next: AtomicPtr<u8>,
    /// The bytes that are free.
    left: AtomicUsize,
}

#[global_allocator]
static LENT: Lent =
    Lent { busy: AtomicBool::new(false), next: AtomicPtr::new(ptr::null_mut()), left: AtomicUsize::new(0) };

/// Runs `make`, whose allocations come from `memory`.
///
/// # Safety
/// `memory` is `bytes` bytes that are used for nothing else as long as anything of what `make` allocates is.
pub unsafe fn lend<T>(memory: *mut u8, bytes: usize, make: impl FnOnce() -> T) -> T {
    while LENT.busy.swap(true, Ordering::Acquire) {
        core::hint::spin_loop();
    }
    LENT.left.store(bytes, Ordering::Relaxed);
    LENT.next.store(memory, Ordering::Relaxed);
    let made = make();
    LENT.next.store(ptr::null_mut(), Ordering::Relaxed);
    LENT.busy.store(false, Ordering::Release);
    made
}

// SAFETY: a block begins where the last one ended, aligned, and ends inside what is lent, so that blocks do not overlap;
// null says that there is none. `lend` lets one thread in at a time, and nothing allocates outside of it.
unsafe impl GlobalAlloc for Lent {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (next, left) = (self.next.load(Ordering::Relaxed), self.left.load(Ordering::Relaxed));
        let before = (next as usize).wrapping_neg() & (layout.align() - 1);
        let taken = before.saturating_add(layout.size());
        if next.is_null() || taken > left {
            return ptr::null_mut();
        }
        self.next.store(next.wrapping_add(taken), Ordering::Relaxed);
        self.left.store(left - taken, Ordering::Relaxed);
        next.wrapping_add(before)
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

unsafe extern "C" {
    /// C's own: ends the program.
    safe fn abort() -> !;
}

/// A panic is an error of this library, and there is no Rust to unwind to: it must not run into frames of C++, so the
/// program ends here, as it does when C++ itself calls `std::terminate`.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    abort()
}

/// The core library comes compiled, with tables for unwinding that name this function. Nothing unwinds, so nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    abort()
}
