//! The facade under another name, and its macro under another name again.
extern crate sofie_infer as networks;

mod reexport {
    pub use networks::sofie_model as compile;
}

networks::sofie_model!("ui-tests/models/dense.onnx");
mod other {
    crate::reexport::compile!("ui-tests/models/two_inputs.onnx");
}

fn main() {
    dense::Session::new().infer(&[[0.0; 4]]);
    assert_eq!(other::two_inputs::Session::new().infer(&[[1.0; 3]; 2], &[[2.0; 3]; 2]).y, &[[3.0; 3]; 2]);
}
