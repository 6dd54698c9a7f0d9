//! `cargo fuzz run npz`: bytes as an archive, and as an array in one.
#![no_main]

#[path = "../entries/npz.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = entry::archive(bytes.to_vec());
    let _ = entry::array(bytes);
});
