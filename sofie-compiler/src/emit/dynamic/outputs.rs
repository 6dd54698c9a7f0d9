//! The outputs of a dynamic session: where they are at the extents of a run.

use super::Emitter;
use crate::emit::types;
use proc_macro2::TokenStream;
use quote::quote;

impl Emitter<'_> {
    pub(super) fn make_outputs(&self) -> TokenStream {
        let w = self.writer();
        let fields = self.outputs.iter().zip(&self.plan.outputs).zip(&self.family.index.outputs);
        let fields = fields.map(|((t, (_, operand)), at)| {
            let (name, ty, len) = (&t.name, types::stored(operand.dtype), w.count(&t.len()));
            let start = self.start(operand, *at);
            let over = t.over(quote!(arena.get(rt::span::<#ty>(#start, #len))), &w, false);
            quote!(#name: #over)
        });
        let made = quote!(Ok(Outputs { #(#fields),* }));
        let made = match self.plan.check.as_ref().zip(self.family.index.check) {
            None => made,
            Some((operand, at)) => {
                let span = self.span(operand, at, None);
                quote! {
                    match arena.get(#span) {
                        [0] => Err(rt::ExtentError::Shape(rt::ShapeError)),
                        _ => #made,
                    }
                }
            }
        };
        let apart = self.take_apart(quote!(dims));
        let found = self.take_found(quote!(steps.found));
        let layout = self.is_open().then(|| quote!(layout: &Layout));
        quote! {
            fn outputs<'s>(
                arena: &'s rt::Arena, steps: &Steps, dims: Dims, #layout
            ) -> Result<Outputs<'s>, rt::ExtentError> {
                #apart
                #found
                #made
            }
        }
    }
}
