//! A free dimension: slices of arrays, errors, and no `unsafe` or warning in the expansion.
#![forbid(unsafe_code)]
#![deny(warnings)]

sofie_infer::sofie_model! { mod free = "ui-tests/models/free.onnx", dims(batch = ..=8) }

fn main() {
    let mut session = free::Session::new();
    for batch in [8, 0, 3] {
        assert!(session.infer(&vec![[0.5; 4]; batch]).is_ok());
    }
    let error = session.infer(&[[0.5; 4]; 9]).unwrap_err();
    assert!(error.to_string().contains("has extent 9, which is not from 0 to 8"), "{error}");
}
