//! `cargo fuzz run weights`: bytes as a file of weights for a session.
#![no_main]

#[path = "../entries/weights.rs"]
mod entry;

use sofie_infer_compiler::{Options, compile};
use std::cell::RefCell;
use std::path::Path;

sofie_infer::sofie_model! {
    mod tagger = "../assets/models/hls4ml_mlp_trained.onnx", dims(batch = 1), weights = external
}

thread_local! {
    static SESSION: RefCell<tagger::Session> = RefCell::new(session());
}

/// One with the model's own weights.
fn session() -> tagger::Session {
    let model = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../assets/models/hls4ml_mlp_trained.onnx"));
    let options = Options { dims: [("batch".into(), 1)].into(), ..Options::default() };
    let compiled = compile(model, model, &options).unwrap_or_else(|failure| panic!("{}", failure));
    let bytes = sofie_infer_build::weights::safetensors(&compiled, "tagger").expect("weights");
    tagger::Session::load(bytes).expect("a session")
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| SESSION.with_borrow_mut(|session| {
    let _ = entry::reload(session, bytes, |s, b| s.reload(b), |s| s.infer(&[[0.5; 16]]).y[0].to_vec());
}));
