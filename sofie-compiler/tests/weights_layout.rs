//! The hash of a program says which files of weights it takes: those of a model that differs in the numbers of its
//! weights, and no others.

use sofie_infer_compiler::onnx::{self, Attribute, Bytes, Initializer, Tensor};
use sofie_infer_compiler::{Options, compile_model, weights_layout};
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/models").join(format!("{name}.onnx"))
}

fn load(name: &str) -> onnx::Model {
    onnx::load(&path(name)).unwrap()
}

fn hash(model: &onnx::Model) -> u64 {
    let symbols = model.graph.inputs.iter().flat_map(|i| match &i.ty {
        onnx::ValueType::Tensor(t) => t.shape.clone().unwrap_or_default(),
        _ => Vec::new(),
    });
    let dims = symbols.filter_map(|d| match d {
        onnx::DimSpec::Symbol(name) => Some((name, 1)),
        _ => None,
    });
    let options = Options { dims: dims.collect(), ..Options::default() };
    weights_layout(&compile_model(model, Path::new("model.onnx"), &options).unwrap().plan, None).hash
}

/// Every float among larger weights a little larger, as after another training.
fn retrained(mut model: onnx::Model) -> onnx::Model {
    for Initializer { tensor, .. } in &mut model.graph.initializers {
        if tensor.dtype() == Ok(sofie_infer_runtime::DType::F32) && tensor.len() > 1 {
            let values = tensor.to_f32().unwrap().into_iter();
            let bytes: Vec<u8> = values.flat_map(|x| (x * 1.25).to_le_bytes()).collect();
            *tensor = Tensor::new(tensor.element(), tensor.dims().to_vec(), Bytes::from(bytes)).unwrap();
        }
    }
    model
}

#[test]
fn other_numbers_are_the_same_program() {
    for name in ["hls4ml_mlp_trained", "dl1", "torch_tfenc", "rnnip_gru_bi", "particlenet_lite_k7_p100"] {
        let model = load(name);
        assert_eq!(hash(&model), hash(&retrained(model.clone())), "{name}");
    }
}

#[test]
fn another_constant_in_the_code_is_another_program() {
    let mut model = load("torch_tfenc");
    let before = hash(&model);
    let norm = model.graph.nodes.iter_mut().find(|n| n.op_type == "LayerNormalization").unwrap();
    norm.attributes.insert("epsilon".into(), Attribute::Float(1e-3));
    assert_ne!(hash(&model), before);
}

/// Blocks are found by name, so a layer must not pass for another of its shape.
#[test]
fn layers_that_changed_places_are_another_program() {
    let mut model = load("torch_tfenc");
    let before = hash(&model);
    let norms: Vec<usize> = (0..model.graph.nodes.len())
        .filter(|&i| model.graph.nodes[i].op_type == "LayerNormalization")
        .collect();
    let name = model.graph.nodes[norms[0]].name.clone();
    model.graph.nodes[norms[0]].name = std::mem::replace(&mut model.graph.nodes[norms[1]].name, name);
    assert_ne!(hash(&model), before);
}
