//! `cargo fuzz run compile`: bytes as a model.
#![no_main]

#[path = "../entries/compile.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = entry::compile(bytes.to_vec());
});
