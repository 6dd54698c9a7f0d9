sofie_infer::sofie_model!("models/free.onnx", dims(batch = 8..=4));

fn main() {
    free::Session::new();
}
