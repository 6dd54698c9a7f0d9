//! A dynamic session as tools see it: `DynSession`, whose shapes are those of the last `fit`.

use super::Emitter;
use crate::emit::module::input_offsets;
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, format_ident, quote};

impl Emitter<'_> {
    /// The session as tools see it.
    pub(super) fn seen(&self) -> TokenStream {
        let w = self.writer();
        let (offsets, _) = input_offsets(&self.plan);
        let apart = self.take_apart(quote!(self.dims));
        let layout = self.is_open().then(|| quote!(let layout = &self.layout;));
        let inputs = self.inputs.iter().zip(&offsets).enumerate().map(|(i, (t, at))| {
            let i = Literal::usize_unsuffixed(i);
            let at = match self.is_open() {
                true => quote!(self.layout.inputs[#i]),
                false => Literal::usize_unsuffixed(*at).into_token_stream(),
            };
            let len = t.len().mul(&t.port.dtype.size().into()).map(|d| w.count(&d)).unwrap_or_default();
            quote!(#i => self.inputs.get_mut(rt::span::<u8>(#at, #len)),)
        });
        let outputs = self.outputs.iter().zip(&self.plan.outputs).zip(&self.family.index.outputs);
        let outputs = outputs.enumerate().map(|(i, ((t, (port, operand)), at))| {
            let (i, start) = (Literal::usize_unsuffixed(i), self.start(operand, *at));
            let len = t.len().mul(&port.dtype.size().into()).map(|d| w.count(&d)).unwrap_or_default();
            quote!(#i => self.arena.get(rt::span::<u8>(#start, #len)),)
        });
        let free = self.outputs.iter().enumerate().flat_map(|(i, t)| {
            let free = t.dims.iter().enumerate().filter(|(_, d)| d.fixed().is_none());
            let w = &w;
            free.map(move |(axis, d)| {
                let (i, axis) = (Literal::usize_unsuffixed(i), Literal::usize_unsuffixed(axis));
                let n = w.count(d);
                quote!((#i, #axis) => #n,)
            })
        });
        let extents: Vec<_> = free.collect();
        let shapes: Vec<Ident> = (0..self.inputs.len()).map(|i| format_ident!("shape_{i}")).collect();
        let ranks = self.inputs.iter().zip(&shapes).map(|(t, shape)| {
            let rank = Literal::usize_unsuffixed(t.dims.len());
            let message = format!("another number of axes than `{}` has", t.port.name);
            quote!(assert!(#shape.len() == #rank, #message);)
        });
        let find = self.find(
            &|i, a| {
                let (shape, axis) = (&shapes[i], Literal::usize_unsuffixed(a));
                quote!(#shape[#axis])
            },
            true,
        );
        let together = self.put_together();
        let found = self.take_found(quote!(self.steps.found));
        let run = match self.free.is_empty() {
            true => quote!(self.inputs().run()),
            false => quote!(self.inputs(dims).and_then(Inputs::run)),
        };
        quote! {
            impl rt::DynSession for Session {
                fn input_info(&self) -> &'static [rt::TensorInfo] {
                    INPUTS
                }

                fn output_info(&self) -> &'static [rt::TensorInfo] {
                    OUTPUTS
                }

                fn fit(&mut self, shapes: &[&[usize]]) -> Result<(), rt::ExtentError> {
                    let &[#(#shapes),*] = shapes else { panic!("shapes of other inputs than the model's") };
                    #(#ranks)*
                    #find
                    self.resize(#together);
                    Ok(())
                }

                fn input_bytes(&mut self, i: usize) -> &mut [u8] {
                    #apart
                    match i {
                        #(#inputs)*
                        _ => panic!("the model has no input {i}"),
                    }
                }

                fn run(&mut self) {
                    let dims = self.dims;
                    if let Err(error) = #run {
                        panic!("{error}");
                    }
                }

                fn output_extent(&self, i: usize, axis: usize) -> usize {
                    #apart
                    #found
                    #layout
                    match (i, axis) {
                        #(#extents)*
                        _ => OUTPUTS[i].shape[axis],
                    }
                }

                fn output_bytes(&self, i: usize) -> &[u8] {
                    #apart
                    #found
                    #layout
                    match i {
                        #(#outputs)*
                        _ => panic!("the model has no output {i}"),
                    }
                }
            }
        }
    }
}
