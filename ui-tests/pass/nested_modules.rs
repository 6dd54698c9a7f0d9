//! The same model twice, two models in one crate, in modules of modules, under names of their own.
mod detectors {
    pub mod barrel {
        sofie_infer::sofie_model! {
            /// The barrel's network.
            #[allow(unused)]
            pub(crate) mod tagger = "ui-tests/models/dense.onnx"
        }
    }

    sofie_infer::sofie_model!("ui-tests/models/dense.onnx",);
}

sofie_infer::sofie_model! { mod fixed = "ui-tests/models/free.onnx", dims(batch = 2) }

fn main() {
    let x = [[0.5, -1.0, 2.0, 0.25]];
    let mut one = detectors::barrel::tagger::Session::new();
    let y = *one.infer(&x).y;
    assert_eq!(y, *detectors::dense::Session::default().infer(&x).y);
    assert_eq!([y[0], y[0]], *fixed::Session::new().infer(&[x[0], x[0]]).y);
}
