//! Compiles the network that the crate includes.

fn main() {
    sofie_infer_build::Model::new("../../assets/particlenet.onnx")
        .name("tagger")
        .doc("Tells jets of one, two and three prongs apart.")
        .test("../../assets/particlenet_reference.npz")
        .compile();
}
