//! What a refused model expands to: a module in whose `Session` the error itself stands.
//! rustc reports nothing more about a value whose type holds an error, whatever a program does with its session, so that one
//! mistake is one message.

use proc_macro2::{Ident, TokenStream};
use quote::quote;

/// The module; `error` is the `compile_error!`, placed where the user is to look.
pub fn refused(visibility: &TokenStream, name: &Ident, error: &TokenStream) -> TokenStream {
    quote! {
        /// The model could not be compiled; the error says why.
        #[allow(dead_code)]
        #visibility mod #name {
            /// What cannot be, and why.
            pub struct Refused<const WHY: usize>;
            /// Stands for the session.
            pub type Session = Refused<{ #error }>;
            /// Stands for the inputs in place.
            pub type Inputs<'s> = (Session, &'s ());
            /// Stands for the outputs.
            pub type Outputs<'s> = (Session, &'s ());
            /// Stands for the free extents.
            pub type Dims = Session;
            /// Stands for what is known of the inputs.
            pub const INPUTS: Session = Refused;
            /// Stands for what is known of the outputs.
            pub const OUTPUTS: Session = Refused;
            /// Not known.
            pub const ARENA_BYTES: usize = 0;
            /// Not known.
            pub const ARENA_BOUND_BYTES: usize = 0;
            /// Not known.
            pub const SCRATCH_BYTES: usize = 0;
            /// Not known.
            pub const WEIGHT_BYTES: usize = 0;
        }
    }
}
