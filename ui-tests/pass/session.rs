//! What a session can do: be sent, cloned, shown, filled in place, called with plain slices; zero-sized axes; bools.
sofie_infer::sofie_model!("ui-tests/models/dense.onnx");
sofie_infer::sofie_model!("ui-tests/models/empty_axis.onnx");
sofie_infer::sofie_model!("ui-tests/models/bools.onnx");

fn send<T: Send + Sync + Clone + std::fmt::Debug>(_: &T) {}

fn main() {
    let mut session = dense::Session::new();
    send(&session);
    let direct = *session.infer(&[[1.0, 2.0, 3.0, 4.0]]).y;
    let inputs = session.inputs();
    inputs.x[0].copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
    let dense::Outputs { y } = inputs.run();
    assert_eq!(*y, direct);
    let slice = vec![1.0, 2.0, 3.0, 4.0];
    let mut other = session.clone();
    assert_eq!(*other.infer(sofie_infer::from_slice(&slice).unwrap()).y, direct);
    assert!(sofie_infer::from_slice::<[[f32; 4]; 1]>(&slice[1..]).is_err());
    assert!(format!("{session:?}").contains("Session"));
    assert_eq!(dense::INPUTS[0].shape, [1, 4]);
    let _: usize = dense::ARENA_BYTES + dense::WEIGHT_BYTES;

    let joined = empty_axis::Session::new().infer(&[[], []], &[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).y[1];
    assert_eq!(joined, [4.0, 5.0, 6.0]);
    assert_eq!(bools::Session::new().infer(&[true, false, true]).y, &[false, true, false]);
    let mut session = bools::Session::new();
    let inputs = session.inputs();
    inputs.mask[1] = true;
    assert_eq!(inputs.run().y, &[true, false, true]);
}
