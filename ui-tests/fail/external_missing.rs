sofie_infer::sofie_model!("models/external_missing.onnx");

fn main() {
    external_missing::Session::new();
}
