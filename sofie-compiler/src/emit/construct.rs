//! How a session is made: `new` where the program has the weights, `load` and `reload` where a file has them.

use super::extras::Extras;
use super::many::has_many;
use super::module::{Context, input_offsets};
use super::steps::preparations;
use super::weights::WeightsIn;
use crate::plan::Plan;
use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};

/// How the memory of a session comes about.
pub struct Making {
    /// Statements before the session is put together.
    pub before: TokenStream,
    /// Bytes of the arena.
    pub arena: TokenStream,
    /// Bytes of the block of inputs.
    pub inputs: TokenStream,
    /// Fields that are neither memory nor extras.
    pub fields: TokenStream,
    /// Whether the caller says how large the extents get, as `most`.
    pub by_capacity: bool,
}

impl Making {
    /// Memory that is known while compiling.
    pub fn fixed(plan: &Plan) -> Making {
        Making {
            before: TokenStream::new(),
            arena: quote!(ARENA_BYTES),
            inputs: Literal::usize_unsuffixed(input_offsets(plan).1).into_token_stream(),
            fields: has_many(plan).then(|| quote!(arenas: rt::parallel::Arenas::new(),)).into_token_stream(),
            by_capacity: false,
        }
    }
}

/// The constructors, and what they share.
pub fn constructors(cx: &Context<'_>, plan: &Plan, extras: &Extras, making: &Making) -> TokenStream {
    let values = extras.values();
    let Making { before, arena, inputs, fields, by_capacity } = making;
    let made =
        quote!(Session { arena: rt::Arena::new(#arena), inputs: rt::Arena::new(#inputs), #values #fields });
    let external = *cx.weights == WeightsIn::External;
    let prepare = prepare(cx, plan);
    let argument = external.then(|| quote!(&weights));
    let prepared =
        (!plan.preparations.is_empty()).then(|| quote!(let prepared = rt::Arc::new(prepare(#argument));));
    let profile = cx.profile.then(|| quote!(let profile = rt::profile::Profile::new(STEPS);));
    if *by_capacity {
        let doc = format!(
            " A session of `{}` with memory of its own for extents up to these; weights are shared by all.",
            cx.path
        );
        return quote! {
            impl Session {
                #[doc = #doc]
                ///
                /// # Errors
                /// When an extent is outside its bounds.
                ///
                /// # Panics
                /// When there is not as much memory.
                pub fn with_capacity(most: Dims) -> Result<Session, rt::ExtentError> {
                    let most = most.checked(Dims::MOST)?;
                    #prepared
                    #profile
                    #before
                    Ok(#made)
                }
            }

            #prepare
        };
    }
    if !external {
        let doc = format!(" A session of `{}` with memory of its own; weights are shared by all.", cx.path);
        return quote! {
            impl Session {
                #[doc = #doc]
                pub fn new() -> Session {
                    #prepared
                    #profile
                    #before
                    #made
                }
            }

            impl Default for Session {
                fn default() -> Session {
                    Session::new()
                }
            }

            #prepare
        };
    }
    let doc = format!(
        " A session of `{}` with the weights of a file, given as a path or as bytes: what `sofie weights` writes.",
        cx.path
    );
    let replace = (!plan.preparations.is_empty()).then(|| quote!(self.prepared = prepared;));
    quote! {
        impl Session {
            #[doc = #doc]
            ///
            /// # Errors
            /// Where the file cannot be read, is damaged, or was written for another network.
            pub fn load(weights: impl rt::weights_file::Source) -> Result<Session, rt::weights_file::Error> {
                let weights = rt::Arc::new(WEIGHTS.load(weights)?);
                #prepared
                #profile
                #before
                Ok(#made)
            }

            /// Goes on with the weights of another file; clones of the session keep theirs.
            ///
            /// # Errors
            /// As [`Session::load`]; the session then keeps the weights that it has.
            pub fn reload(&mut self, weights: impl rt::weights_file::Source) -> Result<(), rt::weights_file::Error> {
                let weights = rt::Arc::new(WEIGHTS.load(weights)?);
                #prepared
                #replace
                self.weights = weights;
                Ok(())
            }
        }

        #prepare
    }
}

/// The function that transforms weights, where any are.
fn prepare(cx: &Context<'_>, plan: &Plan) -> TokenStream {
    if plan.preparations.is_empty() {
        return TokenStream::new();
    }
    let parameter = (*cx.weights == WeightsIn::External).then(|| quote!(weights: &rt::Arena));
    let bytes = Literal::usize_unsuffixed(plan.prepared_bytes());
    let transforms = preparations(plan, &cx.weights.place());
    quote! {
        /// Weights in the form that some kernels want, made once.
        fn prepare(#parameter) -> rt::Arena {
            let mut prepared = rt::Arena::new(#bytes);
            #transforms
            prepared
        }
    }
}
