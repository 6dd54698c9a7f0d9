sofie_infer::sofie_model!("models/truncated.onnx");

fn main() {
    truncated::Session::new();
}
