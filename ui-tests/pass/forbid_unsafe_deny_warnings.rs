#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, clippy::all)]
//! A crate that allows itself nothing.

sofie_infer::sofie_model!("ui-tests/models/dense.onnx");

fn main() {
    assert!(dense::Session::new().infer(&[[0.5; 4]]).y[0].iter().all(|y| *y >= 0.0));
}
