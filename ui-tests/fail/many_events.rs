sofie_infer::sofie_model!("models/dense.onnx");

fn main() {
    let events = vec![[0.0; 4]; 10];
    let mut scores = vec![[0.0; 5]; 10];
    let mut session = dense::Session::new();
    session.infer_many(&events, &mut scores);
    session.infer_many(&events, &scores);
}
