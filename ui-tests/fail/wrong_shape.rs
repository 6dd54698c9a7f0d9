sofie_infer::sofie_model!("models/dense.onnx");

fn main() {
    dense::Session::new().infer(&[[0.0; 5]]);
}
