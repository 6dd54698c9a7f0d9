//! The syntax of `sofie_model!`:
//! `"path.onnx" [, options]` or `#[attr]… [pub] mod name = "path.onnx" [, options]`, behind the facade's path.
//! Options: `dims(symbol = extent, symbol = least..=most, …)`, `op("domain::Name" = function)`, `test = "reference.npz"`,
//! `weights = external`, `print = "timing"`.

use crate::operator::operator;
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use sofie_infer_compiler::ops::UserOperator;
use sofie_infer_compiler::{Extent, Request, WeightsIn, expand, module_name, refused};
use std::path::PathBuf;
use syn::ext::IdentExt;
use syn::parse::{Error, Parse, ParseStream, Parser, Result};
use syn::{Attribute, LitInt, LitStr, Token, Visibility, parenthesized};

/// One call of the macro.
pub struct Call {
    krate: TokenTree,
    attributes: Vec<Attribute>,
    visibility: TokenStream,
    name: Ident,
    path: LitStr,
    /// What is wrong with the options is said in the module's place, so that nothing else is missed there.
    options: Result<Options>,
}

/// What stands behind the path.
#[derive(Default)]
struct Options {
    dims: Vec<(String, Extent)>,
    test: Option<LitStr>,
    timing: bool,
    operators: Vec<(UserOperator, TokenStream)>,
    /// Where the program does not have its weights: where that is said.
    external: Option<Span>,
}

impl Parse for Call {
    fn parse(input: ParseStream) -> Result<Call> {
        let krate = input.parse()?;
        let attributes = input.call(Attribute::parse_outer)?;
        let (visibility, name) = if attributes.is_empty() && input.peek(LitStr) {
            (quote!(pub), None)
        } else {
            let visibility: Visibility = input.parse()?;
            input.parse::<Token![mod]>().map_err(|e| {
                Error::new(e.span(), "expected a path in quotes, or `mod name = \"path.onnx\"`")
            })?;
            let name = input.parse()?;
            input.parse::<Token![=]>()?;
            (visibility.into_token_stream(), Some(name))
        };
        let path: LitStr = input.parse()?;
        let name = name.unwrap_or_else(|| module_name(&path.value(), path.span()));
        let options = Options::parse.parse2(input.parse()?);
        Ok(Call { krate, attributes, visibility, name, path, options })
    }
}

impl Call {
    /// The module.
    pub fn expand(self) -> TokenStream {
        let request = self.options.and_then(Options::checked).and_then(|options| {
            let missing =
                "CARGO_MANIFEST_DIR is not set: the model's path is relative to the crate's manifest";
            let root =
                std::env::var("CARGO_MANIFEST_DIR").map_err(|_| Error::new(self.path.span(), missing))?;
            Ok(Request {
                krate: self.krate.into(),
                attributes: self.attributes.iter().map(ToTokens::to_token_stream).collect(),
                visibility: self.visibility.clone(),
                name: self.name.clone(),
                root: PathBuf::from(root),
                span: self.path.span(),
                path: self.path.value(),
                dims: options.dims,
                test: options.test.map(|t| t.value()),
                timing: options.timing,
                weights: if options.external.is_some() { WeightsIn::External } else { WeightsIn::Literal },
                profile: cfg!(feature = "profile"),
                operators: options.operators,
            })
        });
        match request {
            Ok(request) => expand(&request),
            Err(e) => refused(&self.visibility, &self.name, &e.to_compile_error()),
        }
    }
}

impl Options {
    fn parse(input: ParseStream) -> Result<Options> {
        let mut options = Options::default();
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if !input.is_empty() {
                options.option(input)?;
            }
        }
        Ok(options)
    }

    fn option(&mut self, input: ParseStream) -> Result<()> {
        let name = input.call(Ident::parse_any)?;
        match name.to_string().as_str() {
            "dims" => {
                let list;
                parenthesized!(list in input);
                while !list.is_empty() {
                    let (symbol, at) = symbol(&list)?;
                    list.parse::<Token![=]>()?;
                    let extent = extent(&list)?;
                    if self.dims.iter().any(|(s, _)| *s == symbol) {
                        return Err(Error::new(at, format!("dims gives `{symbol}` twice")));
                    }
                    self.dims.push((symbol, extent));
                    if !list.is_empty() {
                        list.parse::<Token![,]>()?;
                    }
                }
            }
            "test" => {
                input.parse::<Token![=]>()?;
                self.test = Some(input.parse()?);
            }
            "print" => {
                input.parse::<Token![=]>()?;
                let what: LitStr = input.parse()?;
                if what.value() != "timing" {
                    let message =
                        format!("unknown value {:?} of `print`; it can be \"timing\"", what.value());
                    return Err(Error::new(what.span(), message));
                }
                self.timing = true;
            }
            "op" => {
                let given;
                parenthesized!(given in input);
                let at = given.span();
                let (operator, function) = operator(&given)?;
                if !given.is_empty() {
                    return Err(given.error("one operator stands in each op(..)"));
                }
                if self.operators.iter().any(|(o, _)| o.name == operator.name) {
                    return Err(Error::new(at, format!("op gives {:?} twice", operator.name)));
                }
                self.operators.push((operator, function));
            }
            "weights" => {
                input.parse::<Token![=]>()?;
                let place = input.call(Ident::parse_any)?;
                if place != "external" {
                    return Err(Error::new(
                        place.span(),
                        "`weights` can be `external`; without it they are in the program",
                    ));
                }
                self.external = Some(place.span());
            }
            other => {
                let known = "dims(symbol = extent, ...), op(\"domain::Name\" = function), test = \"reference.npz\", \
                             weights = external, print = \"timing\"";
                return Err(Error::new(
                    name.span(),
                    format!("unknown option `{other}`; the options are {known}"),
                ));
            }
        }
        Ok(())
    }

    /// The options, if they go together.
    fn checked(self) -> Result<Options> {
        let Some(span) = self.external else { return Ok(self) };
        if !cfg!(feature = "safetensors") {
            return Err(Error::new(
                span,
                "`weights = external` needs the feature `safetensors` of sofie-infer",
            ));
        }
        if self.test.is_some() {
            let problem = "`test` needs weights that are in the program; load them in a test of your own";
            return Err(Error::new(span, problem));
        }
        Ok(self)
    }
}

/// `4`, `..=64`, `8..=64` or `..`.
fn extent(input: ParseStream) -> Result<Extent> {
    let number = |input: ParseStream| input.parse::<LitInt>()?.base10_parse();
    let least = if input.peek(LitInt) { Some((number(input)?, input.span())) } else { None };
    if input.peek(Token![..=]) {
        input.parse::<Token![..=]>()?;
        let at = input.span();
        let most = number(input)?;
        let least = least.map_or(0, |(n, _)| n);
        if least > most {
            return Err(Error::new(at, format!("no extent is from {least} to {most}")));
        }
        return Ok(Extent::Free { least, most: Some(most) });
    }
    if input.peek(Token![..]) {
        let dots = input.parse::<Token![..]>()?;
        if input.peek(LitInt) {
            let most = number(input)?;
            let message =
                format!("the largest extent belongs to the range: write ..={}", most.saturating_sub(1u64));
            return Err(Error::new_spanned(dots, message));
        }
        return Ok(Extent::Free { least: least.map_or(0, |(n, _)| n), most: None });
    }
    match least {
        Some((n, _)) => Ok(Extent::Fixed(n)),
        None => Err(input.error("expected an extent (4) or a range of extents (1..=64)")),
    }
}

/// A symbol's name, as an identifier or in quotes.
fn symbol(input: ParseStream) -> Result<(String, Span)> {
    if input.peek(LitStr) {
        let name: LitStr = input.parse()?;
        return Ok((name.value(), name.span()));
    }
    let name = input.call(Ident::parse_any)?;
    Ok((name.unraw().to_string(), name.span()))
}
