//! Where the packed weights of a program are, and what the module says of them.

use crate::plan::{Plan, Root};
use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};

/// Where a program has its packed weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum WeightsIn {
    /// In a literal of the expansion.
    #[default]
    Literal,
    /// In a file that the expansion includes, relative to the file that the expansion stands in. Whoever asks for it
    /// writes the plan's weights there.
    File(String),
}

/// The items that hold the weights.
pub fn packed(weights: &WeightsIn, plan: &Plan) -> TokenStream {
    let bytes = plan.weights.bytes();
    // A step may read weights of no elements.
    let mut reads = plan.steps.iter().flat_map(|s| s.reads.iter().flatten());
    if bytes.is_empty() && !reads.any(|o| o.root == Root::Weights) {
        return TokenStream::new();
    }
    let len = Literal::usize_unsuffixed(bytes.len());
    let literal = match weights {
        WeightsIn::Literal => Literal::byte_string(bytes).into_token_stream(),
        WeightsIn::File(path) => quote!(include_bytes!(#path)),
    };
    quote! {
        static PACKED: rt::Packed<#len> = rt::Packed(*#literal);
        const WEIGHTS: rt::Weights = PACKED.weights();
    }
}
