//! The macro's call → tokens: resolves the path, compiles the model, and places errors so that a user sees
//! one message for one mistake.

use crate::compile::{Compiled, Options, compile};
use crate::emit::{self, WeightsIn};
use crate::error::{Error, Errors};
use crate::ops::UserOperator;
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use std::path::{Path, PathBuf};
use std::time::Instant;

impl Options {
    /// With what `dims(..)` says.
    #[must_use]
    pub fn with_extents(mut self, extents: &[(String, Extent)]) -> Options {
        for (symbol, extent) in extents {
            match *extent {
                Extent::Fixed(n) => _ = self.dims.insert(symbol.clone(), n),
                Extent::Free { least, most } => _ = self.bounds.insert(symbol.clone(), (least, most)),
            }
        }
        self
    }
}

/// What `dims(..)` says of a symbolic dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// `batch = 4`.
    Fixed(u64),
    /// `batch = 1..=64`: each run decides.
    Free {
        /// The least extent.
        least: u64,
        /// The largest.
        most: Option<u64>,
    },
}

impl From<u64> for Extent {
    fn from(n: u64) -> Extent {
        Extent::Fixed(n)
    }
}

/// A call of `sofie_model!`.
#[derive(Clone, Debug)]
pub struct Request {
    /// The facade's path, as the wrapper macro passes it.
    pub krate: TokenStream,
    /// Attributes and documentation of the module.
    pub attributes: TokenStream,
    /// The module's visibility.
    pub visibility: TokenStream,
    /// The module's name.
    pub name: Ident,
    /// The folder of the calling crate's manifest.
    pub root: PathBuf,
    /// The model's path, relative to `root`, as the user wrote it.
    pub path: String,
    /// Where the path stands in the source.
    pub span: Span,
    /// Extents of symbolic dimensions.
    pub dims: Vec<(String, Extent)>,
    /// Reference inputs and outputs, relative to `root`, for a test of the module.
    pub test: Option<String>,
    /// Whether to print how long compiling takes.
    pub timing: bool,
    /// Where the program has its weights.
    pub weights: WeightsIn,
    /// Operators of the calling program, each with the function that computes it.
    pub operators: Vec<(UserOperator, TokenStream)>,
    /// Whether sessions take the time of each step.
    pub profile: bool,
}

impl Request {
    /// The call of a program that knows the facade as `krate` and says nothing but the module's name and the path, which is
    /// relative to `root`.
    pub fn new(krate: TokenStream, name: Ident, root: PathBuf, path: String) -> Request {
        Request {
            krate,
            attributes: TokenStream::new(),
            visibility: quote!(pub),
            name,
            root,
            path,
            span: Span::call_site(),
            dims: Vec::new(),
            test: None,
            timing: false,
            weights: WeightsIn::default(),
            operators: Vec::new(),
            profile: false,
        }
    }
}

/// The module that a call expands to; on errors one that [`refused`](emit::refused) makes.
pub fn expand(request: &Request) -> TokenStream {
    let start = Instant::now();
    let shown = Path::new(&request.path);
    let path = request.root.join(shown);
    let operators = request.operators.iter().map(|(operator, _)| operator.clone()).collect();
    let options = Options { operators, ..Options::default() }.with_extents(&request.dims);
    let compiled = compile(&path, shown, &options).and_then(|c| c.with_weights(&request.weights, shown));
    let (tokens, outcome) = match compiled {
        Ok(compiled) => (emitted(request, &compiled, &tracked(&path, &compiled)), "compiled"),
        Err(errors) => {
            let message = message(&errors);
            let error = quote_spanned!(request.span=> ::core::compile_error!(#message));
            (emit::refused(&request.visibility, &request.name, &error), "refused")
        }
    };
    if request.timing {
        eprintln!("sofie_model!({:?}): {outcome} in {:.1?}", request.path, start.elapsed());
    }
    tokens
}

impl Compiled {
    /// The model, if its weights can be where they are wanted.
    ///
    /// # Errors
    /// Weights apart from a program whose extents each session bounds.
    pub fn with_weights(self, weights: &WeightsIn, shown: &Path) -> Result<Compiled, Errors> {
        let Some(open) = self.family.as_ref().and_then(|family| family.open.first()) else { return Ok(self) };
        if *weights != WeightsIn::External {
            return Ok(self);
        }
        let error = Error::new(format!("`weights = external` needs a bound of {open}"))
            .help(format!("give one, dims({open} = ..=64), or leave the weights in the program"));
        Err(Errors::from(error).in_file(shown))
    }
}

/// What the compiler shows: errors after the word "error" that rustc prints itself.
fn message(errors: &Errors) -> String {
    let text = errors.to_string();
    text.strip_prefix("error in ").or_else(|| text.strip_prefix("error: ")).unwrap_or(&text).to_owned()
}

/// The module of a compiled model alone, for whoever writes it to a file: rustc is not told which files it came from.
pub fn module(request: &Request, compiled: &Compiled) -> TokenStream {
    emitted(request, compiled, &[])
}

/// The files that the expansion depends on, as rustc is to track them.
fn tracked(path: &Path, compiled: &Compiled) -> Vec<PathBuf> {
    let files = if compiled.files.is_empty() { vec![path.to_path_buf()] } else { compiled.files.clone() };
    files.into_iter().map(|f| std::path::absolute(&f).unwrap_or(f)).collect()
}

fn emitted(request: &Request, compiled: &Compiled, files: &[PathBuf]) -> TokenStream {
    let context = emit::Context {
        krate: &request.krate,
        attributes: &request.attributes,
        visibility: &request.visibility,
        name: &request.name,
        path: &request.path,
        files,
        test: request.test.as_ref().map(|t| test(request, t)).unwrap_or_default(),
        weights: &request.weights,
        functions: request.operators.iter().map(|(o, f)| (&*o.name, f)).collect(),
        profile: request.profile,
    };
    match &compiled.family {
        None => emit::module(&context, &compiled.plan),
        Some(family) => emit::dynamic(&context, family, compiled.plan.clone()),
    }
}

/// A `#[test]` that runs the session against stored inputs and outputs.
fn test(request: &Request, reference: &str) -> TokenStream {
    let krate = &request.krate;
    let file = request.root.join(reference).display().to_string();
    let name = format_ident!("agrees_with_reference");
    let doc = format!("Runs the session on the inputs in `{reference}` and compares with the outputs there.");
    quote! {
        #[cfg(test)]
        #[doc = #doc]
        #[test]
        fn #name() {
            #krate::reference::check(&mut Session::new(), #file);
        }
    }
}
