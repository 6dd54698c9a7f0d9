sofie_infer::sofie_model!("models/two_inputs.onnx");

fn main() {
    two_inputs::Session::new().infer(&[[0.0; 3]; 2]);
}
