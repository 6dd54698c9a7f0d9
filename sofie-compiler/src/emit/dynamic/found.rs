//! Extents that values decide: what is placed by them waits for the step that finds them, in each run anew.

use super::Emitter;
use crate::ir::Dim;
use crate::plan::{Operand, Root};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;
use std::sync::Arc;

/// One of them.
pub(super) struct Found {
    /// Its name in shapes.
    pub name: Arc<str>,
    /// The least that the network can go on with.
    pub least: i64,
    /// The most that it can be.
    pub room: Dim,
    /// The step that finds it.
    pub step: usize,
    /// The variable in functions.
    pub local: Ident,
    /// The method of `Steps` that sets what depends on it, and on those before.
    pub set: Ident,
}

impl Emitter<'_> {
    /// `let [kept, chosen] = steps.found;`, nothing where there are none.
    pub(super) fn take_found(&self, from: TokenStream) -> TokenStream {
        let locals = self.found.iter().map(|f| &f.local);
        if self.found.is_empty() { TokenStream::new() } else { quote!(let [#(#locals),*] = #from;) }
    }

    /// The last extent that some numbers wait for.
    pub(super) fn waits_for(&self, numbers: &[Dim]) -> Option<usize> {
        let named = |name: &str| numbers.iter().any(|d| d.symbols().iter().any(|s| **s == *name));
        self.found.iter().rposition(|f| named(&f.name))
    }

    /// The statements of a step that finds an extent, from the operand that holds the number.
    pub(super) fn find_extent(
        &self,
        step: usize,
        operand: Option<(&Operand, usize)>,
        inputs: &[Ident],
        weights: &TokenStream,
    ) -> TokenStream {
        let Some((o, at)) = operand else { return TokenStream::new() };
        let slice = match o.root {
            Root::Buffer(_) => {
                let span = self.span(o, at, None);
                quote!(arena.get(#span))
            }
            Root::Weights | Root::Prepared => {
                let span = self.span(o, at, None);
                quote!(#weights.get(#span))
            }
            Root::Input(i) => {
                let (input, start) = (&inputs[i], self.writer().count(&self.family.numbers[at]));
                quote!(rt::part(#input, #start, 1))
            }
        };
        let numbers = &self.family.numbers[self.family.index.steps[step].kernel.clone()];
        let [extent, room] = numbers else { return TokenStream::new() };
        let room = self.writer().count(room);
        match self.found.iter().position(|f| f.step == step) {
            Some(k) => {
                let (Found { local, set, least, .. }, k) = (&self.found[k], Literal::usize_unsuffixed(k));
                let node = self.plan.steps[step].origin.join(" + ");
                let enough = (*least > 0).then(|| {
                    let least = Literal::i64_unsuffixed(*least);
                    quote!(rt::at_least(#node, #local, #least)?;)
                });
                quote! {
                    let #local = rt::counted(#slice, #room);
                    #enough
                    steps.found[#k] = #local;
                    steps.#set(dims);
                }
            }
            None => {
                let (node, extent) = (self.plan.steps[step].origin.join(" + "), self.writer().count(extent));
                quote!(rt::found(#node, #slice, #room, #extent)?;)
            }
        }
    }

    /// The statements that set everything for the most that there can be, in the function that lays out memory.
    pub(super) fn find_most(&self) -> TokenStream {
        let one = |(k, f): (usize, &Found)| {
            let (Found { local, set, .. }, k) = (f, Literal::usize_unsuffixed(k));
            let most = self.writer().most(&f.room);
            quote! {
                let #local = #most;
                steps.found[#k] = #local;
                steps.#set(most);
                least.#set(Dims::LEAST);
            }
        };
        self.found.iter().enumerate().map(one).collect()
    }
}
