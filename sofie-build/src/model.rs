//! One model with its options, and the files that it becomes.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use sofie_infer_compiler::error::{Error, Errors};
use sofie_infer_compiler::{Compiled, Extent, Options, Request, WeightsIn, compile, module, module_name};

/// A network to compile, with the options of `sofie_model!`.
///
/// ```no_run
/// // In the `main` of build.rs:
/// sofie_infer_build::Model::new("models/dl1.onnx")
///     .name("tagger")
///     .doc("Flavour tagger, from 28 numbers of a jet.")
///     .dim("batch", 8)
///     .test("models/dl1_reference.npz")
///     .compile();
/// ```
#[derive(Clone, Debug)]
#[must_use = "`compile` does the work"]
pub struct Model {
    path: PathBuf,
    name: Option<String>,
    doc: Option<String>,
    visibility: String,
    krate: String,
    dims: Vec<(String, Extent)>,
    test: Option<String>,
    weights: Weights,
    profile: bool,
    root: PathBuf,
    out_dir: Option<PathBuf>,
}

/// Where the weights go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weights {
    Beside,
    InCode,
    External,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The module, to be included.
    pub module: PathBuf,
    /// The packed weights, which the module includes; none where it has none or holds them itself.
    pub weights: Option<PathBuf>,
    /// The files that were read: the model and its external data.
    pub read: Vec<PathBuf>,
}

impl Model {
    /// The model at `path`, relative to the crate's manifest.
    pub fn new(path: impl AsRef<Path>) -> Model {
        Model {
            path: path.as_ref().to_path_buf(),
            name: None,
            doc: None,
            visibility: "pub".into(),
            krate: "::sofie_infer".into(),
            dims: Vec::new(),
            test: None,
            weights: Weights::Beside,
            profile: false,
            root: std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default(),
            out_dir: std::env::var_os("OUT_DIR").map(PathBuf::from),
        }
    }

    /// The module's name, and the file's; by default after the model's file.
    pub fn name(mut self, name: impl Into<String>) -> Model {
        self.name = Some(name.into());
        self
    }

    /// Documentation of the module.
    pub fn doc(mut self, text: impl Into<String>) -> Model {
        self.doc = Some(text.into());
        self
    }

    /// The module's visibility, such as `pub(crate)`; by default `pub`.
    pub fn visibility(mut self, visibility: impl Into<String>) -> Model {
        self.visibility = visibility.into();
        self
    }

    /// The path of the facade, where `Cargo.toml` gives it another name; by default `::sofie_infer`.
    pub fn krate(mut self, path: impl Into<String>) -> Model {
        self.krate = path.into();
        self
    }

    /// Fixes a symbolic dimension.
    pub fn dim(mut self, symbol: impl Into<String>, extent: u64) -> Model {
        self.dims.push((symbol.into(), Extent::Fixed(extent)));
        self
    }

    /// Leaves a symbolic dimension to each run, within bounds.
    pub fn free(mut self, symbol: impl Into<String>, extents: RangeInclusive<u64>) -> Model {
        let (least, most) = extents.into_inner();
        self.dims.push((symbol.into(), Extent::Free { least, most: Some(most) }));
        self
    }

    /// Leaves a symbolic dimension to each run, from `least` to what `Session::with_capacity` says.
    pub fn open(mut self, symbol: impl Into<String>, least: u64) -> Model {
        self.dims.push((symbol.into(), Extent::Free { least, most: None }));
        self
    }

    /// Adds a `#[test]` to the module that compares with the arrays stored in an archive of NumPy's, relative to the
    /// crate's manifest (feature `npz` of `sofie-infer`).
    pub fn test(mut self, reference: impl Into<String>) -> Model {
        self.test = Some(reference.into());
        self
    }

    /// Keeps the weights in the code, as a literal, rather than in a file beside it.
    pub fn weights_in_code(mut self) -> Model {
        self.weights = Weights::InCode;
        self
    }

    /// Leaves the weights out of the program: `Session::load` reads a file that [`Model::write_weights`] or `sofie weights`
    /// wrote (feature `safetensors` of `sofie-infer`).
    pub fn weights_external(mut self) -> Model {
        self.weights = Weights::External;
        self
    }

    /// Lets sessions take the time of each step (feature `profile` of `sofie-infer`).
    pub fn profile(mut self) -> Model {
        self.profile = true;
        self
    }

    /// Where the files go; by default `OUT_DIR`.
    pub fn out_dir(mut self, folder: impl Into<PathBuf>) -> Model {
        self.out_dir = Some(folder.into());
        self
    }

    /// What paths are relative to; by default the folder of the crate's manifest.
    pub fn root(mut self, folder: impl Into<PathBuf>) -> Model {
        self.root = folder.into();
        self
    }

    /// The model's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.root.join(&self.path)
    }

    /// Compiles the model and writes its files, without a word to cargo.
    ///
    /// # Errors
    /// Everything that is wrong with the model, an option that is no Rust, or a file that cannot be written.
    pub fn write(&self) -> Result<Output, Errors> {
        let shown = self.path.to_string_lossy().into_owned();
        let name = match &self.name {
            Some(name) => parsed::<Ident>(name, "a module's name")?,
            None => module_name(&shown, Span::call_site()),
        };
        let folder = self.out_dir.as_ref().ok_or_else(|| {
            Error::new("OUT_DIR is not set")
                .help("call this in a build script, or say where the files go: out_dir(..)")
        })?;
        let weights_file = format!("{}.weights", plain(&name));
        let krate = parsed::<syn::Path>(&self.krate, "a path")?.into_token_stream();
        let request = Request {
            attributes: self.doc.as_ref().map(|text| doc(text)).unwrap_or_default(),
            visibility: parsed::<syn::Visibility>(&self.visibility, "a visibility")?.into_token_stream(),
            dims: self.dims.clone(),
            test: self.test.clone(),
            weights: match self.weights {
                Weights::Beside => WeightsIn::File(weights_file.clone()),
                Weights::InCode => WeightsIn::Literal,
                Weights::External => WeightsIn::External,
            },
            profile: self.profile,
            ..Request::new(krate, name.clone(), self.root.clone(), shown)
        };
        let compiled = self.compiled()?.with_weights(&request.weights, &self.path)?;
        let file = syn::parse2(module(&request, &compiled))
            .map_err(|e| Error::new(format!("what was emitted is no Rust: {e}")))?;
        let mut output = Output {
            module: folder.join(format!("{}.rs", plain(&name))),
            weights: None,
            read: compiled.files.clone(),
        };
        let bytes = compiled.plan.weights.bytes();
        if self.weights == Weights::Beside && !bytes.is_empty() {
            let path = folder.join(weights_file);
            write(&path, bytes)?;
            output.weights = Some(path);
        }
        write(&output.module, prettyplease::unparse(&file).as_bytes())?;
        Ok(output)
    }

    /// Compiles the model and writes its packed weights as a `safetensors` file for `Session::load` of this model, or of
    /// one that differs in the values of its weights alone.
    ///
    /// # Errors
    /// Everything that is wrong with the model, or a file that cannot be written.
    pub fn write_weights(&self, path: impl AsRef<Path>) -> Result<(), Errors> {
        let compiled = self.compiled()?;
        let bytes = crate::weights::safetensors(&compiled, &self.path.to_string_lossy())?;
        Ok(write(path.as_ref(), &bytes)?)
    }

    fn compiled(&self) -> Result<Compiled, Errors> {
        let options = Options::default().with_extents(&self.dims);
        compile(&self.file(), &self.path, &options)
    }
}

/// An identifier without the `r#` of a keyword.
fn plain(name: &Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}

fn parsed<T: syn::parse::Parse>(text: &str, what: &str) -> Result<T, Error> {
    syn::parse_str(text).map_err(|_| Error::new(format!("`{text}` is not {what}")))
}

fn doc(text: &str) -> TokenStream {
    let lines = text.lines().map(|line| format!(" {line}"));
    quote!(#(#[doc = #lines])*)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|e| Error::new(format!("cannot write {}: {e}", path.display())))
}
