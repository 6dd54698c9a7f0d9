//! Nothing allocates once a session exists, counted by this binary's allocator for the calling thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::models::{all, cases};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.with(|n| n.set(n.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came; counting itself allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn inference_allocates_nothing() {
    assert!(ALLOCATIONS.get() > 0, "the allocator does not count");
    let mut allocating = Vec::new();
    for (name, mut session) in all() {
        for case in cases(name, &*session) {
            case.fill(&mut *session);
            let before = ALLOCATIONS.get();
            session.run();
            let after = ALLOCATIONS.get();
            if after != before {
                allocating.push((name, after - before));
            }
        }
    }
    assert_eq!(allocating, []);
}

#[test]
fn the_typed_call_allocates_nothing() {
    let mut session = crate::models::hls4ml_mlp_trained::Session::new();
    let before = ALLOCATIONS.get();
    for i in 0..3 {
        std::hint::black_box(session.infer(&[[i as f32; 16]]).y);
    }
    assert_eq!(ALLOCATIONS.get(), before);
}
