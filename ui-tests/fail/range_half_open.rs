sofie_infer::sofie_model!("models/free.onnx", dims(batch = 1..64));

fn main() {
    free::Session::new();
}
