//! Where buffers lie in a session whose caller says how large the extents get: what the planner does for known bounds,
//! written as a function of the session.

use super::Emitter;
use crate::emit::types;
use crate::plan::Kernel;
use crate::plan::family::scratch_of;
use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};

impl Emitter<'_> {
    /// The bytes of a step's scratch, which lies in buffer `b`: of `steps` at the largest extents and `least` at the least.
    fn scratch(&self, step: usize, b: usize) -> TokenStream {
        let (kernel, writes) = (&self.plan.steps[step].kernel, &self.plan.steps[step].writes);
        let (Some((_, Some(field))), Some(o)) = (self.names().into_iter().nth(step), writes.last()) else {
            return Literal::usize_unsuffixed(self.plan.buffers[b].bytes).into_token_stream();
        };
        let ty = types::stored(o.dtype);
        // That it can be said was found out while planning.
        let may_be_unknown = matches!(
            kernel,
            Kernel::Conv(_) | Kernel::ConvPool(_) | Kernel::Separable(_) | Kernel::ConvTranspose(_)
        );
        let known = may_be_unknown.then(|| quote!(.unwrap_or_default()));
        quote!(rt::layout::bytes::<#ty>(steps.#field.scratch_within(&least.#field) #known))
    }

    /// The type that knows where everything lies.
    pub(super) fn layout(&self) -> TokenStream {
        let w = self.writer();
        let ends = self.family.ends().unwrap_or_default();
        let number = Literal::usize_unsuffixed;
        let scratch = |b: usize| self.plan.steps.iter().position(|step| scratch_of(step) == Some(b));
        let rooms = ends.iter().enumerate().map(|(b, ends)| {
            let ends: Vec<TokenStream> = match scratch(b) {
                Some(step) => vec![self.scratch(step, b)],
                None => ends.iter().map(|d| w.most(d)).collect(),
            };
            quote!(rt::layout::room([#(#ends),*]))
        });
        let lives = self.plan.buffers.iter().map(|b| {
            let (first, last) = (number(b.first), number(b.last));
            quote!([#first, #last])
        });
        let (buffers, inputs) = (number(self.plan.buffers.len()), number(self.inputs.len()));
        let input_rooms = self.inputs.iter().map(|t| w.most(&t.len()));
        let input_bytes = self.inputs.iter().enumerate().map(|(i, t)| {
            let (i, ty) = (number(i), types::stored(t.port.dtype));
            quote!(rt::layout::bytes::<#ty>(input_room[#i]))
        });
        let (apart, found) = (self.take_apart(quote!(most)), self.find_most());
        quote! {
            /// Where everything lies in the memory of a session.
            #[derive(Clone, Debug)]
            struct Layout {
                most: Dims,
                at: [usize; #buffers],
                room: [usize; #buffers],
                inputs: [usize; #inputs],
                input_room: [usize; #inputs],
            }

            impl Layout {
                /// For extents of at most these; with the bytes of the arena and of the inputs.
                fn new(most: Dims) -> (Layout, usize, usize) {
                    let (mut steps, mut least) = (Steps::new(), Steps::new());
                    steps.set(most);
                    least.set(Dims::LEAST);
                    #apart
                    #found
                    let room = [#(#rooms),*];
                    let (at, arena_bytes) = rt::layout::arrange(room, [#(#lives),*]);
                    let input_room = [#(#input_rooms),*];
                    let (inputs, input_bytes) = rt::layout::stack([#(#input_bytes),*]);
                    (Layout { most, at, room, inputs, input_room }, arena_bytes, input_bytes)
                }
            }
        }
    }
}
