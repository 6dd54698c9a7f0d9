sofie_infer::sofie_model!("models/not_onnx.onnx");

fn main() {
    not_onnx::Session::new();
}
