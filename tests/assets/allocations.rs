//! Nothing allocates once a session exists, counted by this binary's allocator for the calling thread.

use crate::counting::allocations;
use crate::models::{all, cases};

#[test]
fn inference_allocates_nothing() {
    assert!(allocations() > 0, "the allocator does not count");
    // The tests' runtime has the feature `threads`: what a pool of several allocates is rayon's.
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
    assert_eq!(alone.current_num_threads(), 1);
    let mut allocating = Vec::new();
    for (name, mut session) in all() {
        for case in cases(name, &*session) {
            case.fill(&mut *session);
            let before = allocations();
            session.run();
            let after = allocations();
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
    let before = allocations();
    for i in 0..3 {
        std::hint::black_box(session.infer(&[[i as f32; 16]]).y);
    }
    assert_eq!(allocations(), before);
}

#[test]
fn many_events_allocate_nothing() {
    let mut session = crate::models::hls4ml_mlp_trained::Session::new();
    let (events, mut scores) = ([[0.5; 16]; 8], [[0.0; 3]; 8]);
    let before = allocations();
    session.infer_many(&events, &mut scores);
    assert_eq!(allocations(), before);
}
