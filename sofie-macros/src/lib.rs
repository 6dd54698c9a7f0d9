//! The procedural macro of `sofie-infer`: parses the call and hands it to the compiler library.
//! Use it through the facade, whose `sofie_model!` passes its own path as `$crate`.

mod call;
mod operator;

use proc_macro::TokenStream;

/// Expands to a module with a typed `Session` for one trained network. Called by the facade's
/// `sofie_model!`, which puts its own path in front.
#[proc_macro]
pub fn sofie_model_impl(tokens: TokenStream) -> TokenStream {
    match syn::parse::<call::Call>(tokens) {
        Ok(call) => call.expand().into(),
        Err(e) => e.to_compile_error().into(),
    }
}
