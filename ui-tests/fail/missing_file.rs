sofie_infer::sofie_model!("models/gone.onnx");

fn main() {
    gone::Session::new();
}
