//! Links the facade into a program without std.
//!
//! If anything here brought std along, its panic handler would clash with this one.
#![no_std]

extern crate sofie_infer;

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

/// What a program without an operating system provides for `alloc`; here it only has to link.
struct OutOfMemory;

// SAFETY: a null pointer is an allocation that failed, and no block exists that could be freed.
unsafe impl GlobalAlloc for OutOfMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: OutOfMemory = OutOfMemory;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {}
}
