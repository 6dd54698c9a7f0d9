sofie_infer::sofie_model!("models/free.onnx");

fn main() {
    free::Session::new();
}
