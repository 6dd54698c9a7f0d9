//! What a session holds beside its memory and lends to the steps: weights that were loaded or transformed, and the
//! profile. Each is a field of `Session`, a borrow in `Inputs` and a parameter of `compute`; this file writes all of them.

use super::weights::WeightsIn;
use crate::plan::Plan;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

/// One of them.
struct Extra {
    name: Ident,
    /// The type of the session's field.
    held: TokenStream,
    /// What the steps see.
    lent: TokenStream,
    mutable: bool,
}

/// All that a session has.
pub struct Extras(Vec<Extra>);

impl Extras {
    /// Those that the plan and the options ask for.
    pub fn new(plan: &Plan, weights: &WeightsIn, profile: bool) -> Extras {
        let shared = |name: &str| Extra {
            name: format_ident!("{name}"),
            held: quote!(rt::Arc<rt::Arena>),
            lent: quote!(rt::Arena),
            mutable: false,
        };
        let ty = quote!(rt::profile::Profile);
        let all = [
            (!plan.preparations.is_empty()).then(|| shared("prepared")),
            (*weights == WeightsIn::External).then(|| shared("weights")),
            profile.then(|| Extra {
                name: format_ident!("profile"),
                held: ty.clone(),
                lent: ty,
                mutable: true,
            }),
        ];
        Extras(all.into_iter().flatten().collect())
    }

    /// With where everything lies, which each session knows for itself.
    pub fn with_layout(mut self) -> Extras {
        let ty = quote!(Layout);
        self.0.push(Extra { name: format_ident!("layout"), held: ty.clone(), lent: ty, mutable: false });
        self
    }

    /// Names that no input's parameter may have.
    pub fn reserved(&self) -> Vec<String> {
        self.0.iter().flat_map(|e| [e.name.to_string(), borrowed(e).to_string()]).collect()
    }

    /// Fields of `Session`.
    pub fn fields(&self) -> TokenStream {
        self.each(|Extra { name, held, .. }| quote!(#name: #held,))
    }

    /// The fields' values, which stand in variables of the same names.
    pub fn values(&self) -> TokenStream {
        self.each(|Extra { name, .. }| quote!(#name,))
    }

    /// Parameters of `compute`.
    pub fn parameters(&self) -> TokenStream {
        self.each(|e| {
            let (name, lent) = (&e.name, &e.lent);
            let mutable = mutable(e);
            quote!(#name: &#mutable #lent,)
        })
    }

    /// Arguments of `compute` in `Session::infer`.
    pub fn arguments(&self) -> TokenStream {
        self.each(|e| {
            let (name, mutable) = (&e.name, mutable(e));
            quote!(&#mutable self.#name,)
        })
    }

    /// The fields' names, for a pattern.
    pub fn names(&self) -> TokenStream {
        self.each(|Extra { name, .. }| quote!(#name,))
    }

    /// Arguments of `compute` where the fields have been taken apart.
    pub fn lent_arguments(&self) -> TokenStream {
        self.each(|e| {
            let (name, mutable) = (&e.name, mutable(e));
            quote!(&#mutable *#name,)
        })
    }

    /// Fields of `Inputs`.
    pub fn borrows(&self) -> TokenStream {
        self.each(|e| {
            let (name, lent, mutable) = (borrowed(e), &e.lent, mutable(e));
            quote!(#name: &'s #mutable #lent,)
        })
    }

    /// The values of the fields of `Inputs`, in a method of `Session`.
    pub fn lend(&self) -> TokenStream {
        self.each(|e| {
            let (field, name, mutable) = (borrowed(e), &e.name, mutable(e));
            quote!(#field: &#mutable self.#name,)
        })
    }

    /// Arguments of `compute` in `Inputs::run`.
    pub fn borrowed_arguments(&self) -> TokenStream {
        self.each(|e| {
            let name = borrowed(e);
            quote!(self.#name,)
        })
    }

    fn each(&self, tokens: impl Fn(&Extra) -> TokenStream) -> TokenStream {
        self.0.iter().map(tokens).collect()
    }
}

fn borrowed(e: &Extra) -> Ident {
    format_ident!("session_{}", e.name)
}

fn mutable(e: &Extra) -> TokenStream {
    if e.mutable { quote!(mut) } else { TokenStream::new() }
}
