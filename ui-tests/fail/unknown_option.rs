sofie_infer::sofie_model!("models/dense.onnx", optimise = true);

fn main() {
    dense::Session::new();
}
