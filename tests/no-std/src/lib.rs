//! Links the facade into a program without std.
//!
//! If anything here brought std along, its panic handler would clash with this one.
#![no_std]

extern crate sofie_infer;

use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {}
}
