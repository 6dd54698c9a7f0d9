sofie_infer::sofie_model!("models/external_outside.onnx");

fn main() {
    external_outside::Session::new();
}
