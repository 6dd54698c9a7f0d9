sofie_infer::sofie_model!("models/complex.onnx");

fn main() {
    complex::Session::new();
}
