//! What a refused model expands to beside its error: a module whose `Session` can be named and called, so
//! that one mistake is one message.

use super::many::{event_type, has_batch_of_one};
use super::names::Names;
use super::types;
use crate::plan::Port;
use proc_macro2::{Ident, TokenStream};
use quote::quote;

/// The module; `interface` is what is known of inputs and outputs.
pub fn skeleton(
    krate: &TokenStream,
    visibility: &TokenStream,
    name: &Ident,
    interface: &Option<(Vec<Port>, Vec<Port>)>,
) -> TokenStream {
    let (inputs, outputs) = interface.clone().unwrap_or_default();
    let fields = |ports: &[Port], reference: TokenStream| -> TokenStream {
        let mut names = Names::default();
        let field = |p: &Port| {
            let (name, ty) = (names.snake(&p.name), types::nested(p.dtype, &p.dims));
            quote!(#[allow(missing_docs)] pub #name: #reference #ty,)
        };
        ports.iter().map(field).collect()
    };
    let (input_fields, output_fields) = (fields(&inputs, quote!(&'s mut)), fields(&outputs, quote!(&'s)));
    let mut names = Names::default();
    let params = inputs.iter().map(|p| {
        let (name, ty) = (names.snake(&p.name), types::nested(p.dtype, &p.dims));
        quote!(#name: &#ty)
    });
    let rows = has_batch_of_one(inputs.iter().chain(&outputs));
    let mut names = Names::default();
    let mut many = |ports: &[Port], reference: TokenStream| -> TokenStream {
        let param = |p: &Port| {
            let (name, ty) = (names.snake(&p.name), event_type(p, rows));
            quote!(#name: &#reference [#ty],)
        };
        ports.iter().map(param).collect()
    };
    let (many_inputs, many_outputs) = (many(&inputs, quote!()), many(&outputs, quote!(mut)));
    quote! {
        /// The model could not be compiled; the error says why.
        #[allow(dead_code, unused_variables, unused_imports, clippy::all)]
        #visibility mod #name {
            use #krate::rt;

            /// Stands for the session of a model that could not be compiled.
            #[derive(Clone, Debug, Default)]
            pub struct Session {}

            /// Stands for its inputs.
            #[derive(Debug)]
            pub struct Inputs<'s> { #input_fields _session: &'s () }

            /// Stands for its outputs.
            #[derive(Clone, Copy, Debug)]
            pub struct Outputs<'s> { #output_fields _session: &'s () }

            impl Session {
                /// Never runs.
                pub fn new() -> Session { Session {} }
                /// Never runs.
                pub fn infer(&mut self, #(#params),*) -> Outputs<'_> { ::core::unreachable!() }
                /// Never runs.
                pub fn infer_many(&mut self, #many_inputs #many_outputs) { ::core::unreachable!() }
                /// Never runs.
                pub fn inputs(&mut self) -> Inputs<'_> { ::core::unreachable!() }
            }

            impl<'s> Inputs<'s> {
                /// Never runs.
                pub fn run(self) -> Outputs<'s> { ::core::unreachable!() }
            }
        }
    }
}
