//! The module that a build script writes is the module that the macro expands to.

use quote::{format_ident, quote};
use sofie_infer_build::Model;
use sofie_infer_compiler::{Request, expand};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// What the macro expands to, less the lines by which rustc tracks files, in the same format.
fn expansion(path: &str, name: &str, dims: &[(&str, u64)]) -> String {
    let request = Request {
        attributes: quote!(#[doc = " Jets."]),
        visibility: quote!(pub(crate)),
        dims: dims.iter().map(|(s, n)| (s.to_string(), (*n).into())).collect(),
        test: Some("assets/reference.npz".into()),
        ..Request::new(quote!(::sofie_infer), format_ident!("{name}"), root(), path.to_owned())
    };
    let mut file: syn::File = syn::parse2(expand(&request)).unwrap();
    for item in &mut file.items {
        if let syn::Item::Mod(syn::ItemMod { content: Some((_, items)), .. }) = item {
            items.retain(|i| !matches!(i, syn::Item::Const(c) if c.ident == "_"));
        }
    }
    prettyplease::unparse(&file)
}

#[test]
fn the_module_is_that_of_the_macro() {
    let folder = folder("same");
    for (name, dims) in [
        ("hls4ml_mlp_dynamo_ext", &[("batch", 3)][..]),
        ("particlenet_lite_k7_p100", &[]),
        ("rnnip_gru_bi", &[("batch", 1)]),
    ] {
        let path = format!("assets/models/{name}.onnx");
        let mut model = Model::new(&path).root(root()).out_dir(&folder).name(name).doc("Jets.");
        model = model.visibility("pub(crate)").test("assets/reference.npz").weights_in_code();
        for (symbol, extent) in dims {
            model = model.dim(*symbol, *extent);
        }
        let output = model.write().unwrap();
        assert_eq!(output.weights, None);
        let written = std::fs::read_to_string(&output.module).unwrap();
        assert!(written == expansion(&path, name, dims), "{name} differs from its expansion");
    }
}

#[test]
fn weights_stand_in_a_file_beside_the_code() {
    let model = Model::new("assets/models/hls4ml_mlp_dynamo_ext.onnx").root(root()).out_dir(folder("beside"));
    let output = model.name("jets").dim("batch", 1).write().unwrap();
    let code = std::fs::read_to_string(&output.module).unwrap();
    assert!(code.contains("include_bytes!(\"jets.weights\")") && !code.contains("*b\""), "{code}");
    let weights = std::fs::read(output.weights.unwrap()).unwrap();
    assert!(code.contains(&format!("pub const WEIGHT_BYTES: usize = {};", weights.len())));
    let read: Vec<_> =
        output.read.iter().map(|f| f.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(read, ["hls4ml_mlp_dynamo_ext.onnx", "hls4ml_mlp_dynamo_ext.onnx.data"]);
}

#[test]
fn what_is_wrong_is_an_error_and_no_file() {
    let folder = folder("wrong");
    let model = |path: &str| Model::new(path).root(root()).out_dir(&folder).name("wrong");
    let said = |model: Model| model.write().unwrap_err().to_string();
    assert!(said(model("assets/models/hls4ml_mlp_trained.onnx")).contains("dims(batch = 1)"));
    assert!(said(model("nowhere.onnx")).contains("error in nowhere.onnx"));
    assert!(said(model("nowhere.onnx").name("9")).contains("`9` is not a module's name"));
    assert!(said(model("nowhere.onnx").krate("a b")).contains("`a b` is not a path"));
    assert!(!folder.join("wrong.rs").exists());
}
