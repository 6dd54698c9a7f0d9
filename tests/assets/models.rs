//! The models of `assets/`, each compiled by the macro as a user would write it.

use sofie_infer::npz::{Array, Npz};
use sofie_infer::rt::DynSession;

/// Compiles the models, and lists them behind one type.
macro_rules! models {
    ($($name:ident = $path:tt $(, dims($($dims:tt)*))?;)*) => {
        $(sofie_infer::sofie_model! { pub mod $name = $path $(, dims($($dims)*))? })*

        /// Name and new session of every model.
        pub fn all() -> Vec<(&'static str, Box<dyn DynSession>)> {
            vec![$((stringify!($name), Box::new($name::Session::new()) as _)),*]
        }
    };
}

models! {
    particlenet = "assets/particlenet.onnx";
    particlenet_trained = "assets/models/particlenet_trained.onnx", dims(batch = 1);
    particlenet_lite_k7_p100 = "assets/models/particlenet_lite_k7_p100.onnx";
    hls4ml_mlp = "assets/models/hls4ml_mlp.onnx", dims(batch = 16);
    hls4ml_mlp_bn = "assets/models/hls4ml_mlp_bn.onnx", dims(batch = 1);
    hls4ml_mlp_dynamo_ext = "assets/models/hls4ml_mlp_dynamo_ext.onnx", dims(batch = 1);
    hls4ml_mlp_trained = "assets/models/hls4ml_mlp_trained.onnx", dims(batch = 1);
    dl1 = "assets/models/dl1.onnx", dims(batch = 3);
    adc_vae57 = "assets/models/adc_vae57.onnx", dims(batch = 7);
    cicada_student = "assets/models/cicada_student.onnx", dims("unk__501" = 4);
    rnnip_rnn = "assets/models/rnnip_rnn.onnx", dims(batch = 6);
    rnnip_lstm = "assets/models/rnnip_lstm.onnx", dims(batch = 1);
    rnnip_gru_bi = "assets/models/rnnip_gru_bi.onnx", dims(batch = 3);
    keraslike_gru = "assets/models/keraslike_gru.onnx", dims(batch = 1);
    lstm_seq2 = "assets/models/lstm_seq2.onnx";
    trackin_scatter_add = "assets/models/trackin_scatter_add.onnx";
    tcn_1d = "assets/models/tcn_1d.onnx";
    deepsets_eq_dyn = "assets/models/deepsets_eq_dyn.onnx", dims(batch = 4, particles = 31);
    graphnets_epd = "assets/models/graphnets_epd.onnx", dims(n = 20, m = 60);
    calo_t3d_dec = "assets/models/calo_t3d_dec.onnx";
    lenet_mnist = "assets/models/lenet_mnist.onnx", dims(batch = 1);
    torch_tfenc = "assets/models/torch_tfenc.onnx";
}

/// A stored case whose shapes are those that the model was compiled for.
pub struct Case {
    /// `assets/io/NAME/caseK`.
    #[allow(dead_code, reason = "the benches, which share this file, only fill")]
    pub folder: String,
    inputs: Vec<Array>,
}

impl Case {
    /// Writes the inputs into the session; each run needs that anew, since the arena reuses their bytes.
    pub fn fill(&self, session: &mut dyn DynSession) {
        for (i, array) in self.inputs.iter().enumerate() {
            session.input_bytes(i).copy_from_slice(&array.bytes);
        }
    }
}

/// The stored cases that fit; at least one does.
pub fn cases(name: &str, session: &dyn DynSession) -> Vec<Case> {
    let case = |k| {
        let folder = format!("assets/io/{name}/case{k}");
        let npz = Npz::open(format!("{folder}/inputs.npz")).unwrap();
        let inputs = session.input_info().iter().map(|i| npz.array(i.name).unwrap()).collect();
        Case { folder, inputs }
    };
    let fits =
        |c: &Case| c.inputs.iter().zip(session.input_info()).all(|(array, info)| array.shape == info.shape);
    let cases: Vec<_> = (0..3).map(case).filter(fits).collect();
    assert!(!cases.is_empty(), "no case of {name} fits the shapes it was compiled for");
    cases
}
