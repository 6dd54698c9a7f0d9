sofie_infer::sofie_model!("models/dense.onnx", weights = external);

fn main() {
    dense::Session::new();
}
