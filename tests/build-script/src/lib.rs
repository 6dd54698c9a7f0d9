//! A crate that compiles its network in its build script; the module brings its own test.
#![forbid(unsafe_code)]

include!(concat!(env!("OUT_DIR"), "/tagger.rs"));

#[test]
fn the_module_is_documented_and_sized() {
    assert_eq!(tagger::INPUTS.len(), 3);
    const { assert!(tagger::WEIGHT_BYTES > 0 && tagger::ARENA_BYTES >= tagger::ARENA_BOUND_BYTES) };
}
