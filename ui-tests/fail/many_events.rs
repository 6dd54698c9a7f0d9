sofie_infer::sofie_model!("models/dense.onnx");

fn main() {
    let mut scores = [[0.0; 3]; 2];
    dense::Session::new().infer_many(&[[0.0; 5], [0.0; 5]], &mut scores);
}
