//! What the macro expands to, pretty-printed, as snapshots: a person should be able to say, I could have written
//! this. Weights are cut to their length and the paths of this machine to file names.

use quote::{format_ident, quote};
use sofie_infer_compiler::{Extent, Request, WeightsIn, expand};
use std::path::{Path, PathBuf};
use syn::visit_mut::{self, VisitMut};

fn request(path: &str, name: &str, dims: &[(&str, u64)]) -> Request {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Request {
        dims: dims.iter().map(|(symbol, extent)| (symbol.to_string(), Extent::Fixed(*extent))).collect(),
        ..Request::new(quote!(::sofie_infer), format_ident!("{name}"), root, path.to_owned())
    }
}

/// Cuts what no reader wants.
struct Shorten;

impl VisitMut for Shorten {
    fn visit_lit_mut(&mut self, lit: &mut syn::Lit) {
        match lit {
            syn::Lit::ByteStr(bytes) if bytes.value().len() > 64 => {
                let text = format!("{} bytes", bytes.value().len());
                *lit = syn::Lit::ByteStr(syn::LitByteStr::new(text.as_bytes(), bytes.span()));
            }
            syn::Lit::Str(text) if Path::new(&text.value()).is_absolute() => {
                let file = PathBuf::from(text.value());
                let name = file.file_name().unwrap().to_string_lossy().into_owned();
                *lit = syn::Lit::Str(syn::LitStr::new(&name, text.span()));
            }
            _ => {}
        }
    }

    fn visit_macro_mut(&mut self, call: &mut syn::Macro) {
        if let Ok(mut lit) = call.parse_body::<syn::Lit>() {
            self.visit_lit_mut(&mut lit);
            call.tokens = quote!(#lit);
        }
        visit_mut::visit_macro_mut(self, call);
    }
}

fn expansion(path: &str, name: &str, dims: &[(&str, u64)]) -> String {
    shown(&request(path, name, dims))
}

fn shown(request: &Request) -> String {
    let tokens = expand(request);
    let mut file = syn::parse2(tokens.clone()).unwrap_or_else(|e| panic!("{e}: {tokens}"));
    Shorten.visit_file_mut(&mut file);
    prettyplease::unparse(&file)
}

#[test]
fn small_mlp() {
    insta::assert_snapshot!(expansion("assets/models/hls4ml_mlp_trained.onnx", "jets", &[("batch", 1)]));
}

#[test]
fn small_mlp_with_a_free_batch() {
    let mut request = request("assets/models/hls4ml_mlp_trained.onnx", "jets", &[]);
    request.dims = vec![("batch".to_owned(), Extent::Free { least: 0, most: Some(64) })];
    insta::assert_snapshot!(shown(&request));
}

#[test]
fn deep_sets_with_free_extents() {
    let mut request = request("assets/models/deepsets_eq_dyn.onnx", "sets", &[]);
    let free = |least, most| Extent::Free { least, most: Some(most) };
    request.dims = vec![("batch".to_owned(), free(0, 8)), ("particles".to_owned(), free(1, 128))];
    insta::assert_snapshot!(shown(&request));
}

#[test]
fn particlenet_lite() {
    insta::assert_snapshot!(expansion("assets/models/particlenet_lite_k7_p100.onnx", "tagger", &[]));
}

#[test]
fn weights_from_a_file_and_a_profile() {
    let jets = request("assets/models/hls4ml_mlp_trained.onnx", "jets", &[("batch", 1)]);
    insta::assert_snapshot!(shown(&Request { weights: WeightsIn::External, profile: true, ..jets }));
}

#[test]
fn a_free_dimension_is_an_error_with_the_line_to_paste() {
    insta::assert_snapshot!(expansion("assets/models/hls4ml_mlp_trained.onnx", "jets", &[]));
}

#[test]
fn compiling_twice_gives_equal_tokens() {
    for model in ["particlenet_lite_k7_p100", "graphnets_epd", "lstm_seq2"] {
        let path = format!("assets/models/{model}.onnx");
        let [one, two] = [0, 1].map(|_| expand(&request(&path, "model", &[])).to_string());
        assert!(one == two, "{model} expands in two ways");
    }
}

#[test]
fn weights_apart_want_bounds() {
    let free = Extent::Free { least: 0, most: None };
    let request = Request {
        weights: WeightsIn::External,
        dims: vec![("batch".into(), free)],
        ..request("ui-tests/models/free.onnx", "free", &[])
    };
    assert!(shown(&request).contains("`weights = external` needs a bound of batch"));
}
