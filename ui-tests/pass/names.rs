//! Names that are no identifiers, and names that the expansion itself might use.
sofie_infer::sofie_model!("ui-tests/models/names.onnx");
// Inputs that are called as the expansion's own variables might be.
sofie_infer::sofie_model!("ui-tests/models/locals.onnx");

fn main() {
    let mut session = names::Session::new();
    let out = session.infer(&[1.0, 2.0], &[3.0, 4.0], &[10.0, 100.0]);
    assert_eq!((out.x_1, out.x_1_2), (&[4.0, 6.0], &[40.0, 600.0]));
    let inputs = session.inputs();
    *inputs.serving_default_input_2_0 = [1.0, 1.0];
    *inputs._387 = [0.0, 1.0];
    *inputs.type_ = [2.0, 2.0];
    assert_eq!(inputs.run().x_1_2, &[2.0, 4.0]);

    let identity = [[1.0, 0.0], [0.0, 1.0]];
    let mut session = locals::Session::new();
    let out = session.infer(&[[1.0, 2.0], [3.0, 4.0]], &identity, &identity, &[1, 0]);
    assert_eq!((out.top, out.rest), (&[[3.0, 4.0]], &[[1.0, 2.0]]));
}
