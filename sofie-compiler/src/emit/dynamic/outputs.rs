//! The outputs of a dynamic session: where they are at the extents of a run, and how many elements values left in them.

use super::Emitter;
use crate::emit::types;
use proc_macro2::TokenStream;
use quote::quote;

impl Emitter<'_> {
    /// Where the number of elements of an output along an axis is.
    pub(super) fn count_span(&self, output: usize, axis: usize) -> TokenStream {
        let mut extents = self.plan.extents.iter().zip(&self.family.index.extents);
        let found = extents.find(|((i, a, _), _)| (*i, *a) == (output, axis));
        found.map(|((_, _, operand), at)| self.span(operand, *at, None)).unwrap_or_default()
    }

    /// The statements behind the steps that leave no room in outputs whose extents values decide.
    pub(super) fn compact(&self) -> TokenStream {
        let w = self.writer();
        let places = self.plan.outputs.iter().map(|(_, operand)| operand).zip(&self.family.index.outputs);
        let mut statements = TokenStream::new();
        for (i, (t, (operand, at))) in self.outputs.iter().zip(places).enumerate() {
            let compacting = t.compacting(&self.start(operand, *at), &w);
            if !compacting.is_empty() {
                let counting = t.counting(&quote!(arena), &|axis| self.count_span(i, axis), &w);
                statements.extend(quote!({ #counting #compacting }));
            }
        }
        statements
    }

    pub(super) fn make_outputs(&self) -> TokenStream {
        let w = self.writer();
        let fields = self.outputs.iter().zip(&self.plan.outputs).zip(&self.family.index.outputs);
        let fields = fields.enumerate().map(|(i, ((t, (_, operand)), at))| {
            let (name, ty, len) = (&t.name, types::stored(operand.dtype), t.elements(&w));
            let start = self.start(operand, *at);
            let over = t.over(quote!(arena.get(rt::span::<#ty>(#start, #len))), &w, false);
            if t.counts.is_empty() {
                return quote!(#name: #over);
            }
            let counting = t.counting(&quote!(arena), &|axis| self.count_span(i, axis), &w);
            quote!(#name: { #counting #over })
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
        let layout = self.is_open().then(|| quote!(layout: &Layout));
        quote! {
            fn outputs<'s>(
                arena: &'s rt::Arena, dims: Dims, #layout
            ) -> Result<Outputs<'s>, rt::ExtentError> {
                #apart
                #made
            }
        }
    }
}
