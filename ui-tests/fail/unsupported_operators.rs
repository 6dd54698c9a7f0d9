// Both operators in one message, and no second error for the call of `infer`.
sofie_infer::sofie_model!("models/unsupported.onnx");

fn main() {
    let mut session = unsupported::Session::new();
    let scores = session.infer(&[[0.0; 4]]).y;
    println!("{scores:?}");
}
